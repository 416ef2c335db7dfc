from __future__ import annotations

from pathlib import Path

import pytest
import torch

from benchmark.types import HistoryBatch
from tests.tiny_model import make_catalog, make_histories
from userllm.config import UserLLMSettings
from userllm.decoding.likelihoods import item_likelihood
from userllm.decoding.trie import TitleTrie
from userllm.encoder.user_encoder import UserEncoder
from userllm.fusion import CrossAttentionFusion, GatedCrossAttention, UserContext
from userllm.llm.language_model import LanguageModel
from userllm.model import UserLLM
from userllm.muting import muted


@pytest.fixture(params=[True, False], ids=["feed_forward", "attention_alone"])
def model(request: pytest.FixtureRequest, encoder: UserEncoder, llm: LanguageModel) -> UserLLM:
    fields = {"fusion": {"heads": 2, "feed_forward": request.param}}
    return UserLLM(encoder, llm, UserLLMSettings.model_validate(fields), make_catalog()).eval()


def context_of(model: UserLLM, seed: int = 0) -> UserContext:
    histories = make_histories([3, 6], seed)
    last = histories.lengths.unsqueeze(1) - 1
    return model.context(model.encoder(histories), histories.mask, last)


def open_gates(model: UserLLM) -> None:
    assert model.fusion is not None
    for block in model.fusion.blocks:
        torch.nn.init.ones_(block.attention_gate)  # type: ignore[arg-type]


TOKENS = torch.tensor([[5, 9, 30, 7], [8, 2, 2, 40]])


def test_gate_zero_is_the_plain_model_bit_for_bit(model: UserLLM) -> None:
    plain = model.llm.model(input_ids=TOKENS).logits
    assert model.fusion is not None
    context = context_of(model)
    with model.fusion.attend(model.llm, context, torch.zeros_like(TOKENS)):
        assert torch.equal(model.llm.model(input_ids=TOKENS).logits, plain)


def test_an_open_gate_lets_the_user_through_and_closing_takes_it_away(model: UserLLM) -> None:
    names = list(model.llm.model.state_dict())
    plain = model.llm.model(input_ids=TOKENS).logits
    assert model.fusion is not None
    open_gates(model)
    read = []
    for seed in (0, 1):
        context = context_of(model, seed)
        with model.fusion.attend(model.llm, context, torch.zeros_like(TOKENS)):
            read.append(model.llm.model(input_ids=TOKENS).logits)
    assert not torch.allclose(read[0], plain, atol=1e-3)
    assert not torch.allclose(read[0], read[1], atol=1e-3)
    assert torch.equal(model.llm.model(input_ids=TOKENS).logits, plain)
    assert list(model.llm.model.state_dict()) == names


def test_without_a_view_every_token_reads_the_first(model: UserLLM) -> None:
    assert model.fusion is not None
    open_gates(model)
    histories = make_histories([3, 6])
    views = torch.stack([histories.lengths - 1, torch.zeros(2, dtype=torch.long)], dim=1)
    states = model.encoder.encode(histories).states
    context = model.context(states, histories.mask, views)
    read = []
    for view in (None, torch.zeros_like(TOKENS), torch.ones_like(TOKENS)):
        with model.fusion.attend(model.llm, context, view):
            read.append(model.llm.model(input_ids=TOKENS).logits)
    torch.testing.assert_close(read[0], read[1])
    assert not torch.allclose(read[0], read[2], atol=1e-3)


def test_texts_of_a_user_stand_in_rows_next_to_each_other(model: UserLLM) -> None:
    assert model.fusion is not None
    open_gates(model)
    context = context_of(model)
    three = torch.cat([TOKENS, TOKENS.flip(1), TOKENS + 3])  # Rows user 0, 1, 0, 1, 0, 1.
    rows = torch.tensor([0, 2, 4, 1, 3, 5])
    with model.fusion.attend(model.llm, context):
        together = model.llm.model(input_ids=three[rows]).logits
        for text in range(3):
            alone = model.llm.model(input_ids=three[2 * text : 2 * text + 2]).logits
            torch.testing.assert_close(together[[text, 3 + text]], alone)


def test_hooks_are_removed_when_the_model_fails(model: UserLLM) -> None:
    assert model.fusion is not None
    context = context_of(model)
    with (
        pytest.raises(RuntimeError, match="halt"),
        model.fusion.attend(model.llm, context, TOKENS * 0),
    ):
        raise RuntimeError("halt")
    assert all(not layer._forward_pre_hooks for layer in model.llm.layers())


def test_every_nth_layer_is_attached(llm: LanguageModel) -> None:
    assert CrossAttentionFusion(llm, every=2, heads=2, length=4).places == (0, 2)
    with pytest.raises(ValueError, match="3 decoder layers"):
        CrossAttentionFusion(llm, every=4, heads=2, length=4)


def test_a_block_without_a_feed_forward_has_nothing_of_it_and_reads_all_the_same() -> None:
    torch.manual_seed(0)
    whole = GatedCrossAttention(16, 2, 4)
    bare = GatedCrossAttention(16, 2, 4, feed_forward=False)
    names = {name for name, _ in whole.named_parameters()}
    assert {name for name, _ in bare.named_parameters()} == {n for n in names if "feed" not in n}
    assert (len(whole.gates), len(bare.gates)) == (2, 1)
    bare.load_state_dict({n: v for n, v in whole.state_dict().items() if "feed" not in n})
    mask = torch.tensor([[[True, True, False]], [[False, False, False]]])
    context = UserContext(torch.randn(2, 3, 16), mask, torch.tensor([2, 1, 0]).expand(2, 1, -1))
    x = torch.randn(2, 5, 16)
    assert torch.equal(bare(x, context), x)
    for block in (whole, bare):
        torch.nn.init.ones_(block.attention_gate)
    # A shut gate of the feed-forward leaves what the cross-attention says.
    assert torch.equal(bare(x, context), whole(x, context))
    assert not torch.equal(bare(x, context)[0], x[0])
    assert torch.equal(bare(x, context)[1], x[1])


@torch.inference_mode()
def test_a_checkpoint_and_silence_are_the_same_without_feed_forwards(
    model: UserLLM, tmp_path: Path
) -> None:
    open_gates(model)
    own = any("feed_gate" in name for name, _ in model.named_parameters())
    assert own == model.settings.fusion.feed_forward
    histories, others = make_histories([3, 6]), make_histories([3, 6], 1)
    said = model.catalogue_log_probs(model.trie, histories)
    with muted(model):
        silent = [model.catalogue_log_probs(model.trie, batch) for batch in (histories, others)]
    assert torch.equal(*silent)
    assert not torch.allclose(said[:, 1:], silent[0][:, 1:], atol=1e-3)
    model.save_pretrained(tmp_path / "saved")
    loaded = UserLLM.from_pretrained(tmp_path / "saved")
    assert loaded.settings == model.settings
    assert loaded.state_dict().keys() == model.state_dict().keys()
    assert torch.equal(loaded.catalogue_log_probs(loaded.trie, histories), said)


def test_the_query_must_be_short(encoder: UserEncoder, llm: LanguageModel) -> None:
    with pytest.raises(ValueError, match="1 to 32 are allowed"):
        UserLLM(encoder, llm, UserLLMSettings(query="many words " * 20))


def test_a_view_sees_no_event_after_its_position(model: UserLLM, trie: TitleTrie) -> None:
    assert model.fusion is not None
    open_gates(model)
    histories = make_histories([6])
    states = model.encoder(histories)
    later = states.clone()
    later[:, 3:] = -later[:, 3:]
    positions, items = torch.tensor([[2, 4]]), torch.tensor([[6, 6]])
    kept = torch.ones_like(items, dtype=torch.bool)
    scores = [
        item_likelihood(
            model, model.context(s, histories.mask, positions), model.query, items, kept
        )
        for s in (states, later)
    ]
    torch.testing.assert_close(scores[0][0, 0], scores[1][0, 0])
    assert not torch.isclose(scores[0][0, 1], scores[1][0, 1], atol=1e-5)


@pytest.mark.parametrize(
    ("kind", "latents", "feed_forward"),
    [
        ("cross_attention", 0, True),
        ("cross_attention", 0, False),
        ("cross_attention", 3, True),
        ("soft_prompt", 0, True),
        ("soft_prompt", 3, True),
    ],
)
def test_an_empty_history_reads_nothing_whoever_stands_beside_it(
    kind: str, latents: int, feed_forward: bool, encoder: UserEncoder, llm: LanguageModel
) -> None:
    fusion = {"kind": kind, "heads": 2, "feed_forward": feed_forward}
    fields = {"fusion": fusion, "projector": {"latents": latents}}
    model = UserLLM(encoder, llm, UserLLMSettings.model_validate(fields), make_catalog()).eval()
    for name, weight in model.named_parameters():
        if "gate" in name or "out.weight" in name:
            torch.nn.init.normal_(weight, std=0.5)
    beside = make_histories([0, 5])
    alone = HistoryBatch(
        {name: value[:1, :2] for name, value in beside.features.items()}, beside.mask[:1, :2]
    )
    with torch.inference_mode():
        said = [model.catalogue_log_probs(model.trie, batch)[:1] for batch in (beside, alone)]
        full = model.catalogue_log_probs(model.trie, beside)[1:]
    torch.testing.assert_close(said[0], said[1], atol=1e-5, rtol=0)
    assert not torch.allclose(said[0][:, 1:], full[:, 1:], atol=1e-2)


def test_text_of_half_precision_stays_so_and_a_shut_gate_changes_no_bit(
    model: UserLLM,
) -> None:
    assert model.fusion is not None
    x = torch.randn(2, 4, 16).bfloat16()
    block = model.fusion.blocks[0]
    context = context_of(model)
    assert torch.equal(block(x, context), x)
    torch.nn.init.ones_(block.attention_gate)  # type: ignore[arg-type]
    read = block(x, context)
    assert read.dtype == torch.bfloat16
    assert not torch.equal(read, x)
