"""A language model of 16 bits stays one, and everything works around it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.userllm.own_rows import HISTORIES, tiny_user_llm
from userllm import UserLLM
from userllm.histories import read_batch
from userllm.llm.language_model import LanguageModel

KINDS = ["cross_attention", "soft_prompt"]
HALVES = [torch.bfloat16, torch.float16]


@pytest.fixture(params=HALVES, ids=str)
def half(request: pytest.FixtureRequest, llm: LanguageModel, tmp_path: Path) -> LanguageModel:
    """The tiny model as Hugging Face loads a checkpoint of 16 bits."""
    from transformers import AutoModelForCausalLM

    # `to` would round what such a checkpoint's model computes in 32 bits, the positions' angles.
    llm.model.save_pretrained(tmp_path / "whole")
    llm.tokenizer.save_pretrained(tmp_path / "whole")
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "whole", dtype=request.param)
    return LanguageModel(model.eval(), llm.tokenizer, str(tmp_path / "whole"))


def answers(model: UserLLM) -> list[object]:
    texts = model.generate(histories=HISTORIES, prompts="Next:", max_new_tokens=4)
    return [model.rank(histories=HISTORIES, k=6), texts, model.embed(HISTORIES).tolist()]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("strategy", ["full", "lora", "enc"])
def test_it_is_fitted_asked_saved_and_loaded(
    half: LanguageModel, kind: str, strategy: str, tmp_path: Path
) -> None:
    dtype = half.dtype
    if strategy == "full" and dtype == torch.float16:
        pytest.skip("nothing scales the gradients of weights with so few exponents")
    model = tiny_user_llm(half, kind=kind, strategy=strategy)
    before = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    stages = model.fit(HISTORIES)
    assert [stage.name for stage in stages] == ["encoder", "align", "tune"]
    for name, weight in model.named_parameters():
        frozen = name.startswith("llm.") and "lora_" not in name
        assert weight.dtype == (dtype if frozen else torch.float32), name
        assert weight.isfinite().all(), name
    changed = {
        name.split(".")[0]
        for name, weight in model.named_parameters()
        if name in before and not torch.equal(weight, before[name])
    }
    assert "projector" in changed
    assert ("llm" in changed) is (strategy == "full")
    said = answers(model)
    model.save_pretrained(tmp_path / "saved")
    assert answers(UserLLM.from_pretrained(tmp_path / "saved")) == said
    if strategy != "full":
        model.save_pretrained(tmp_path / "bridge", llm_weights=False)
        again = UserLLM.from_pretrained(tmp_path / "bridge", llm=half.identity)
        assert again.llm.dtype == dtype
        assert answers(again) == said


@torch.inference_mode()
def test_closed_gates_are_the_plain_model_bit_for_bit(half: LanguageModel) -> None:
    model = tiny_user_llm(half)
    assert model.fusion is not None
    tokens = torch.tensor([[5, 9, 30, 7], [8, 44, 21, 40]])
    plain = half.model(input_ids=tokens).logits
    assert plain.dtype == half.dtype
    batch = read_batch(HISTORIES[:2], model.schema, model.catalog)
    with model.fusion.attend(half, model.read_histories(batch)[0]):
        assert torch.equal(half.model(input_ids=tokens).logits, plain)
    for block in model.fusion.blocks:
        torch.nn.init.constant_(block.attention_gate, 0.3)  # type: ignore[arg-type]
    with model.fusion.attend(half, model.read_histories(batch)[0]):
        assert not torch.equal(half.model(input_ids=tokens).logits, plain)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "changes", [{"decoding": "top_k"}, {"decoding": "beam"}, {"recent_as_text": 2}]
)
def test_every_way_to_rank_is_there_and_scores_in_32_bits(
    half: LanguageModel, kind: str, changes: dict[str, object]
) -> None:
    exact, other = (
        tiny_user_llm(half, kind=kind, **{**changes, **more}).rank(histories=HISTORIES, k=6)
        for more in ({"decoding": "exact"}, {})
    )
    for mine, theirs in zip(exact, other, strict=True):
        known = dict(theirs)
        assert known.keys() == dict(mine).keys()
        assert [score for _, score in mine] == pytest.approx([known[i] for i, _ in mine], abs=0.1)
    total = sum(
        torch.tensor([s for _, s in row], dtype=torch.float64).exp().sum().item()
        for row in tiny_user_llm(half, kind=kind).rank(HISTORIES, k=6, exclude_seen=False)
    )
    assert total == pytest.approx(len(HISTORIES), abs=1e-4)


@pytest.mark.parametrize("loss", ["token", "item_head"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_loss_trains(half: LanguageModel, kind: str, loss: str) -> None:
    model = tiny_user_llm(half, kind=kind, loss=loss, strategy="enc", projector={"latents": 2})
    model.fit(HISTORIES, pretrain=False)
    ranked = model.rank(histories=HISTORIES, k=2)
    assert all(torch.tensor([score for _, score in row]).isfinite().all() for row in ranked)
