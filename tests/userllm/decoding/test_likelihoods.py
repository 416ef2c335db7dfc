"""The three losses, the text before the title, and the ways to rank."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from benchmark.types import Candidates, HistoryBatch
from tests.tiny_model import LENGTH, TITLES, make_catalog, make_histories
from userllm.config import UserLLMSettings
from userllm.decoding import ranking
from userllm.decoding.likelihoods import item_likelihood
from userllm.encoder.user_encoder import UserEncoder
from userllm.llm.language_model import LanguageModel
from userllm.model import UserLLM
from userllm.stages import Tuning

KINDS = ["cross_attention", "soft_prompt"]


def build(encoder: UserEncoder, llm: LanguageModel, kind: str, **changes: Any) -> UserLLM:
    torch.manual_seed(5)
    fields = {"fusion": {"kind": kind, "heads": 2}, **changes}
    model = UserLLM(encoder, llm, UserLLMSettings.model_validate(fields), make_catalog()).eval()
    for name, weight in model.named_parameters():
        if "gate" in name:
            torch.nn.init.constant_(weight, 0.2)
    return model


def of_whole_histories(model: UserLLM, histories: HistoryBatch, items: torch.Tensor):  # type: ignore[no-untyped-def]
    context, _ = model.read_histories(histories)
    lead = model.leads(histories, histories.lengths.unsqueeze(1) - 1)
    kept = torch.ones_like(items, dtype=torch.bool)
    return item_likelihood(model, context, lead, items, kept)


@pytest.mark.parametrize("kind", KINDS)
def test_token_likelihood_is_the_plain_one_of_the_whole_title(
    kind: str, encoder: UserEncoder, llm: LanguageModel
) -> None:
    model = build(encoder, llm, kind, loss="token")
    histories, items = make_histories([LENGTH, 2]), torch.tensor([[10], [5]])
    with torch.inference_mode():
        got = of_whole_histories(model, histories, items)
        for row, item in enumerate([10, 5]):
            title = [*llm.encode(f" {TITLES[item - 1]}"), llm.end_token]
            one = histories.rows(slice(row, row + 1))
            prompt = model.prompt(model.read_histories(one)[0])
            state, total = prompt.state, 0.0
            for number, token in enumerate(title):
                total += float(llm.logits(state).log_softmax(1)[0, token])
                lead = torch.cat([model.query, torch.tensor(title[: number + 1])])
                state = model.prompt(model.read_histories(one)[0], lead).state
            assert got[row, 0].item() == pytest.approx(total, abs=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_the_item_head_trains_what_it_ranks(
    kind: str, encoder: UserEncoder, llm: LanguageModel
) -> None:
    model = build(encoder, llm, kind, loss="item_head")
    histories, items = make_histories([LENGTH, 3]), torch.tensor([[4], [9]])
    with torch.inference_mode():
        got = of_whole_histories(model, histories, items)
        every = model.catalogue_log_probs(model.trie, histories)
    torch.testing.assert_close(got, every.gather(1, items), atol=1e-5, rtol=0)
    torch.testing.assert_close(every.exp().sum(1), torch.ones(2))
    assert model.item_head in model.bridge()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("loss", ["trie", "item_head"])
def test_recent_items_as_text_train_what_they_rank(
    kind: str, loss: str, encoder: UserEncoder, llm: LanguageModel
) -> None:
    model = build(encoder, llm, kind, recent_as_text=2, loss=loss)
    histories = make_histories([LENGTH, 3])
    positions = torch.tensor([[4, 1], [2, 0]])
    items, kept = torch.tensor([[3, 11], [7, 1]]), torch.ones(2, 2, dtype=torch.bool)
    with torch.inference_mode():
        encoded = model.encoder.encode(histories)
        context = model.context(encoded.states, encoded.mask, positions)
        got = item_likelihood(model, context, model.leads(histories, positions), items, kept)
        for view in range(2):
            cut = histories.mask & (torch.arange(LENGTH) <= positions[:, view : view + 1])
            features = {
                n: v * (cut if v.ndim == 2 else cut[..., None])
                for n, v in histories.features.items()
            }
            every = model.catalogue_log_probs(model.trie, HistoryBatch(features, cut))
            expected = every.gather(1, items[:, view : view + 1])[:, 0]
            torch.testing.assert_close(got[:, view], expected, atol=1e-4, rtol=0)


def test_the_lead_is_the_last_items_and_the_query(encoder: UserEncoder, llm: LanguageModel) -> None:
    model = build(encoder, llm, "cross_attention", recent_as_text=2)
    features = {
        "item": torch.tensor([[9, 4, 6]]),
        "rating": torch.tensor([[5, 0, 3]]),
        "genres": torch.zeros(1, 3, 3, dtype=torch.long),
    }
    histories = HistoryBatch(features, torch.ones(1, 3, dtype=torch.bool))
    leads = model.leads(histories, torch.tensor([[2, 0, -1]]))[0]
    texts = [llm.tokenizer.decode(lead[lead >= 0]) for lead in leads]
    begin = llm.tokenizer.bos_token
    assert texts[0] == f"{begin}Next: Amélie\nNext: A | 3\nNext:"
    assert texts[1] == f"{begin}Next: Star Wars | 5\nNext:"
    assert texts[2] == f"{begin}Next:"
    assert (leads[:, -1] >= 0).all()
    assert build(encoder, llm, "soft_prompt").leads(histories, torch.tensor([[2]])).ndim == 1


@pytest.mark.parametrize("loss", ["trie", "token", "item_head"])
@pytest.mark.parametrize("recent", [0, 2])
def test_every_loss_gives_every_part_a_gradient(
    loss: str, recent: int, encoder: UserEncoder, llm: LanguageModel
) -> None:
    model = build(encoder, llm, "cross_attention", loss=loss, recent_as_text=recent).train()
    Tuning(model, 3).training_loss(make_histories([LENGTH, 4, 2])).backward()
    for part in (*model.bridge(), model.encoder, model.llm):
        grads = [p.grad for p in part.parameters() if p.grad is not None]
        assert grads
        assert any(grad.abs().sum() > 0 for grad in grads)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("recent", [0, 1])
def test_ways_to_rank_agree(
    kind: str, recent: int, encoder: UserEncoder, llm: LanguageModel
) -> None:
    histories = make_histories([LENGTH, 0, 3])
    exclude = torch.zeros(3, len(TITLES) + 1, dtype=torch.bool)
    exclude[0, 4] = exclude[2, 1] = True
    candidates = Candidates(len(TITLES), exclude)
    found = {}
    for decoding, beams in (("exact", 1), ("top_k", 1), ("beam", len(TITLES))):
        settings = {"decoding": decoding, "beams": beams, "recent_as_text": recent}
        model = build(encoder, llm, kind, **settings)
        found[decoding] = ranking.rank(model, histories, candidates, 4)
    assert found["exact"].all_scores is not None
    for decoding in ("top_k", "beam"):
        torch.testing.assert_close(found[decoding].scores, found["exact"].scores, atol=1e-4, rtol=0)
        assert torch.equal(found[decoding].ids, found["exact"].ids)


def test_free_text_counts_titles_in_order_and_strays(
    encoder: UserEncoder, llm: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = build(encoder, llm, "cross_attention", loss="token", decoding="free", beams=5)
    written = [
        ["Heat", "nothing", "Heat", "Alien", "Star Wars"],
        ["A", "Aliens", "No such", "Never", "Alien"],
    ]
    rows = [[*llm.encode(f" {text}"), llm.end_token] for user in written for text in user]
    rows[-1].pop()  # a text that has not come to its end
    texts = torch.nn.utils.rnn.pad_sequence([torch.tensor(row) for row in rows], True, 5)
    log_probs = -torch.arange(1.0, 11).view(2, 5)
    monkeypatch.setattr(
        "userllm.decoding.free_text.likeliest_texts",
        lambda *_, **__: (texts.view(2, 5, -1), log_probs),
    )
    exclude = torch.zeros(2, len(TITLES) + 1, dtype=torch.bool)
    exclude[1, 6] = True  # "A"
    found = ranking.rank(model, make_histories([3, 2]), Candidates(len(TITLES), exclude), 3)
    assert found.ids.tolist() == [[1, 3, 7], [8, 0, 0]]
    assert found.scores[0].tolist() == [-1, -3, -4]
    assert found.scores[1, 0] == -7
    assert found.strays is not None
    assert found.strays.tolist() == pytest.approx([0.2, 0.6])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("beams", [1, 8])
def test_free_text_scores_are_the_likelihood_of_titles(
    kind: str, beams: int, encoder: UserEncoder, llm: LanguageModel
) -> None:
    model = build(encoder, llm, kind, loss="token", decoding="free", beams=beams)
    # A checkpoint may ask for penalties; a ranking by likelihood takes none of them.
    llm.model.generation_config.repetition_penalty = 1.5
    histories = make_histories([LENGTH, 2])
    every = torch.arange(1, len(TITLES) + 1).repeat(2, 1)
    optimizer = torch.optim.AdamW(llm.model.parameters(), lr=1e-2)
    learnt = every[:, 6:7] if beams == 1 else every
    for _ in range(16):  # until what it says are titles
        optimizer.zero_grad()
        for items in learnt.split(1, dim=1):
            (-of_whole_histories(model, histories, items).mean()).backward()
        optimizer.step()
    found = ranking.rank(model, histories, Candidates(len(TITLES)), beams)
    with torch.inference_mode():
        told = torch.cat(
            [of_whole_histories(model, histories, items) for items in every.split(1, dim=1)], dim=1
        )
    for row in range(2):
        named = [item for item in found.ids[row].tolist() if item]
        assert named
        scores = found.scores[row, : len(named)]
        torch.testing.assert_close(scores, told[row][[i - 1 for i in named]], atol=1e-3, rtol=0)
        assert scores.tolist() == sorted(scores.tolist(), reverse=True)
        if beams > 1:  # wide enough to come first to what is likeliest
            assert len({TITLES[item - 1] for item in named}) > 1
            assert TITLES[named[0] - 1] == TITLES[int(told[row].argmax())]
    assert llm.model.generation_config.repetition_penalty == 1.5


def test_items_by_head_are_ranked_without_a_trie(encoder: UserEncoder, llm: LanguageModel) -> None:
    model = build(encoder, llm, "cross_attention", loss="item_head")
    ranking.rank(model, make_histories([2]), Candidates(len(TITLES)), 3)
    assert "_trie" not in vars(model)


@pytest.mark.parametrize(
    "fields",
    [
        {"encoder_prior": True, "loss": "token"},
        {"encoder_prior": True, "decoding": "free"},
        {"loss": "item_head", "decoding": "beam"},
    ],
)
def test_settings_that_contradict_each_other_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"needs loss=trie|exact is all"):
        UserLLMSettings.model_validate(fields)
