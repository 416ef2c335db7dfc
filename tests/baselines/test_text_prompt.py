"""What the text prompt reads, learns and writes beside titles."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from baselines.prompt_labels import LabelLikelihood, history_rows, prompted_labels, score_rows
from baselines.prompt_rows import PromptRows
from baselines.prompt_texts import TextLessons, TextLikelihood
from baselines.prompt_writing import write
from baselines.text_prompt import TextPrompt
from baselines.text_prompt_config import TextPromptSettings
from benchmark.data.dataset import Dataset
from benchmark.data.division import Split
from benchmark.data.splits import split_last
from benchmark.errors import UserError
from benchmark.goals import Decoding, LabelGoal
from benchmark.protocols import FitContext, LabelRanker, TextGenerator, TrainingData
from benchmark.schema import ITEM, TEXT
from benchmark.tasks.config import ReviewGenerationSettings
from benchmark.tasks.review_generation import ReviewGeneration
from benchmark.texts import Texts
from tests.baselines.fitting import Silent
from userllm.decoding.trie import build_trie
from userllm.goals.label_goal import label_trie
from userllm.history_text import HistoryText
from userllm.llm.corpus import item_title_tokens
from userllm.llm.embedded import train_tokenizer
from userllm.llm.language_model import LanguageModel

TASK = ReviewGeneration(ReviewGenerationSettings(longest=24, bootstrap_samples=100))
RATINGS = ("one", "two", "three", "four", "five")


@pytest.fixture(scope="module")
def reviews(world: Dataset) -> Split:
    return split_last(world, TASK.need)


@pytest.fixture(scope="module")
def model(world: Dataset) -> LanguageModel:
    """A model with random weights and 200 positions, whose tokens fit the world."""
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = train_tokenizer([*world.catalog.texts[1:], *world.events.written[TEXT]], 400)
    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=200,
        tie_word_embeddings=True,
    )
    llama = LlamaForCausalLM(config).eval()
    with torch.no_grad():
        for weight in llama.parameters():
            weight.mul_(4)
    return LanguageModel(llama, tokenizer, "tiny")


def make_rows(model: LanguageModel, data: TrainingData, **changes: Any) -> PromptRows:
    titles = item_title_tokens(data.catalog, model)
    text = HistoryText(data.catalog, data.schema, ["rating"], model, titles, "Next:")
    facts = {"items": 4, "longest": 120, "behind": 30, "field": TEXT, "review_tokens": 12}
    return PromptRows(text, model, **{**facts, **changes})


def some_histories(data: TrainingData, count: int = 6, length: int = 5) -> Any:
    starts = data.events.indptr[:count]
    return data.events.gather(starts, starts + np.arange(count) % length, length, written=True)


def test_a_row_holds_the_latest_events_with_their_reviews_and_the_question(
    model: LanguageModel, reviews: Split
) -> None:
    data = reviews.train
    histories, question = some_histories(data), model.encode("What | Review:")
    rows = make_rows(model, data, longest=170, review_tokens=40).rows(histories, [question] * 6)
    for user, row in enumerate(rows):
        events = range(int(histories.lengths[user]))[-4:]
        lines = ""
        for place in events:
            title = data.catalog.texts[int(histories.features[ITEM][user, place])]
            stars = int(histories.features["rating"][user, place])
            lines += f"Next: {title} | {stars} | Review: {histories.written[TEXT][user][place]}\n"
        said = model.tokenizer.decode(row, skip_special_tokens=True)
        assert said == lines + "What | Review:"


@pytest.mark.parametrize("longest", [16, 25, 40, 64, 90, 10_000])
def test_what_does_not_fit_is_left_out_oldest_first(
    longest: int, model: LanguageModel, reviews: Split
) -> None:
    data = reviews.train
    maker = make_rows(model, data, longest=longest, items=5)
    assert maker.longest == min(longest, 200 - 30)
    histories, question = some_histories(data), model.encode("What | Review:")
    whole = make_rows(model, data, items=5, review_tokens=0, behind=0, longest=199)
    for user, row in enumerate(maker.rows(histories, [question] * 6)):
        assert len(row) <= maker.longest
        assert row[0] == model.encode("", begin=True)[0]
        assert row[-len(question) :] == question
        kept = maker.parts(histories, [len(question)] * 6)[user]
        bare = whole.parts(histories, [0] * 6)[user]
        for part, line in zip(reversed(kept), reversed(bare), strict=False):
            assert part[: len(line) - 1] == line[:-1]  # but for the line's end
        if len(kept) < len(bare):  # the next older event would not have fitted
            assert len(row) + len(bare[-len(kept) - 1]) > maker.longest
    long = [question * 100] * 6
    assert all(len(row) <= maker.longest for row in maker.rows(histories, long))
    assert all(row[-3:] == question[-3:] for row in maker.rows(histories, long))


def test_a_model_without_room_for_an_answer_is_refused(
    model: LanguageModel, reviews: Split
) -> None:
    with pytest.raises(UserError, match="200 positions, and an answer alone may take 300"):
        make_rows(model, reviews.train, behind=300)


def test_a_long_review_is_cut_and_an_empty_one_left_out(
    model: LanguageModel, reviews: Split
) -> None:
    histories = some_histories(reviews.train)
    own = [["word " * 500 if n % 2 else " \n" for n in range(len(row))]
           for row in histories.written[TEXT]]  # fmt: skip
    histories = replace(histories, written={TEXT: own})
    parts = make_rows(model, reviews.train, longest=170).parts(histories, [0] * 6)
    bare = make_rows(model, reviews.train, longest=170, review_tokens=0).parts(histories, [0] * 6)
    for user, (mine, lines) in enumerate(zip(parts, bare, strict=True)):
        first = len(own[user]) - len(mine)
        for place, (part, line) in enumerate(zip(mine, lines, strict=True), start=first):
            assert len(part) == len(line) if place % 2 == 0 else 12 < len(part) - len(line) <= 24


@pytest.mark.parametrize(("items", "together"), [(4, 8), (4, 2), (1, 8), (0, 8)])
def test_reviews_learnt_together_are_as_likely_as_each_alone(
    items: int, together: int, model: LanguageModel, reviews: Split
) -> None:
    data, goal = reviews.train, TASK.goal(reviews.train)
    rows = make_rows(model, data, items=items)
    lessons = TextLessons(model, data.events, goal, rows, batch_size=8, together=together, seed=0)
    batch = next(lessons.batches())
    assert batch.kept.sum(dim=1).max() <= max(1, min(items, together))
    assert (batch.kept.sum(dim=1).max() > 1) == (items > 1)
    total, tokens = 0.0, 0
    said = batch.batch.said.unflatten(0, batch.kept.shape)
    leads = batch.batch.leads.unflatten(0, batch.kept.shape)
    with torch.no_grad():
        loss = TextLikelihood(model).training_loss(batch)
        for user, view in batch.kept.nonzero().tolist():
            history = batch.rows[user, : int(batch.seen[user, view])].tolist()
            lead = [token for token in leads[user, view].tolist() if token >= 0]
            text = [token for token in said[user, view].tolist() if token >= 0]
            row = torch.tensor([[*history, *lead, *text]])
            log_probs = model.model(input_ids=row).logits[0].log_softmax(dim=1)
            begin = len(history) + len(lead) - 1
            total -= float(sum(log_probs[begin + n, token] for n, token in enumerate(text)))
            tokens += len(text)
    assert float(loss) == pytest.approx(total / tokens, abs=1e-4)


def test_reviews_learnt_together_see_what_stands_before_them_and_no_more(
    model: LanguageModel, reviews: Split
) -> None:
    data, goal = reviews.train, TASK.goal(reviews.train)
    rows = make_rows(model, data, items=3, longest=170)
    lessons = TextLessons(model, data.events, goal, rows, batch_size=8, together=8, seed=0)
    lasts = np.arange(len(goal.stops))
    batch = lessons.batch(lasts[:40])
    for user, last in enumerate(lasts[:40]):
        count = int(batch.kept[user].sum())
        own = range(last - count + 1, last + 1)
        begin = max(int(goal.starts[last]), int(goal.stops[last]) - 3)
        for view, row in enumerate(own):
            stop = int(goal.stops[row])
            history = data.events.gather(np.array([begin]), np.array([stop]), 3, written=True)
            (alone,) = rows.rows(history, [[]])
            assert batch.rows[user, : int(batch.seen[user, view])].tolist() == alone
            lead = batch.batch.leads.unflatten(0, batch.kept.shape)[user, view]
            assert [t for t in lead.tolist() if t >= 0] == model.encode(goal.prompts[row])


def test_labels_are_learnt_by_what_ranks_them(model: LanguageModel, reviews: Split) -> None:
    data = reviews.train
    goal = by_latest_rating(data, tied=True)
    trie, query = label_trie(goal.labels, model), model.encode(goal.query)
    learner = LabelLikelihood(model, trie, query)
    rows = make_rows(model, data, field="")
    batch = next(prompted_labels(data.events, goal, rows, 8, 0))
    with torch.no_grad():
        loss = float(learner.training_loss(batch))
        scores = learner.rank(history_rows(rows, batch.batch.histories))
    assert scores.shape == (8, len(RATINGS))
    torch.testing.assert_close(scores.exp().sum(dim=1), torch.ones(8), atol=1e-4, rtol=0)
    right = torch.stack([scores[n, own[own > 0] - 1].mean()
                         for n, own in enumerate(batch.batch.labels)])  # fmt: skip
    assert loss == pytest.approx(-float(right.mean()), abs=1e-4)


def by_latest_rating(data: TrainingData, tied: bool = False) -> LabelGoal:
    """Histories of up to four events that stand for the rating of their latest event."""
    log = data.events
    stops = np.setdiff1d(np.arange(log.num_events), log.indptr[:-1])
    starts = log.indptr[np.searchsorted(log.indptr, stops, side="right") - 1]
    right = log.columns["rating"][stops - 1][:, None] == np.arange(1, 6)
    if tied:
        right[:, 0] = True
    return LabelGoal("labels", "Latest:", RATINGS, starts, stops, right)


def test_writing_is_greedy_or_drawn_and_each_row_is_its_own(model: LanguageModel) -> None:
    rows = [model.encode(text, begin=True) for text in ("A good drama", "Why", "A weak war | x")]
    greedy = write(model, rows, Decoding(longest=7))
    assert greedy == [write(model, [row], Decoding(longest=7))[0] for row in rows]
    for row, text in zip(rows, greedy, strict=True):
        tokens = list(row)
        with torch.no_grad():
            for _ in range(7):
                best = int(model.model(input_ids=torch.tensor([tokens])).logits[0, -1].argmax())
                if best == model.end_token:
                    break
                tokens.append(best)
        assert model.tokenizer.decode(tokens[len(row) :], skip_special_tokens=True) == text
    drawn = [
        write(model, rows, Decoding(longest=7, sample=True, temperature=2.0, seed=seed))
        for seed in (1, 1, 2)
    ]
    assert drawn[0] == drawn[1] != drawn[2]
    cold = Decoding(longest=7, sample=True, top_p=1e-6)
    assert write(model, rows, cold) == greedy
    before = torch.get_rng_state()
    write(model, rows, Decoding(longest=2, sample=True))
    assert torch.equal(before, torch.get_rng_state())


def test_what_a_checkpoint_says_of_sampling_does_not_count(model: LanguageModel) -> None:
    from transformers import GenerationConfig

    rows = [model.encode("A good drama", begin=True)]
    greedy = write(model, rows, Decoding(longest=6))
    own = model.model.generation_config
    model.model.generation_config = GenerationConfig(do_sample=True, repetition_penalty=9.0)
    try:
        assert write(model, rows, Decoding(longest=6)) == greedy
    finally:
        model.model.generation_config = own


@torch.inference_mode()
def test_texts_of_any_lengths_are_scored_in_their_order_each_as_if_alone(
    model: LanguageModel, reviews: Split
) -> None:
    trie = build_trie(item_title_tokens(reviews.train.catalog, model), model.end_token)
    query, begin = torch.tensor(model.encode("Next:")), model.encode("", begin=True)
    lengths = [3, 90, 0, 41, 90, 7, 150, 1]
    texts = torch.randint(5, 300, (len(lengths), 150), generator=torch.Generator().manual_seed(2))
    rows = [[*begin, *text[:n].tolist()] for text, n in zip(texts, lengths, strict=True)]
    together = score_rows(model, trie, query, rows)
    alone = torch.cat([score_rows(model, trie, query, [row]) for row in rows])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)
    turned = score_rows(model, trie, query, rows[::-1])
    torch.testing.assert_close(turned.flip(0), together, atol=1e-5, rtol=1e-5)
    without = score_rows(model, trie, query, [[], []])
    torch.testing.assert_close(without[0], without[1], atol=1e-5, rtol=1e-5)


LANGUAGE = {"width": 48, "heads": 4, "layers": 2, "vocabulary": 400, "epochs": 1, "batch_size": 16}
FAST = {"learning_rate": 5e-3}


def fit(split: Split, goal: Any, cache: Path, validate: Any = None, **settings: Any) -> TextPrompt:
    method = TextPrompt(
        TextPromptSettings.model_validate(
            {"language_model": LANGUAGE, "optimizer": FAST, "looks": 0, **settings}
        )
    )
    context = FitContext(0, cache, validate or (lambda _: {}), Silent(), goals=(goal,), watch="x")
    torch.manual_seed(0)
    report = method.fit(split.train, context)
    assert report.stages[-1].targets == pytest.approx(method.settings.examples, rel=0.05)
    return method


def test_labels_that_the_history_tells_are_found_and_without_history_they_are_not(
    reviews: Split, tmp_path: Path
) -> None:
    goal = by_latest_rating(reviews.train)
    hits = {}
    for items in (2, 0):
        method = fit(reviews, goal, tmp_path, items=items, fields=["rating"], examples=3000)
        assert isinstance(method, LabelRanker)
        log = reviews.test.log
        right = log.columns["rating"][reviews.test.stops - 1] - 1
        found = [
            method.rank_labels(histories, goal).argmax(dim=1)
            for _, histories in reviews.test.batches(32, method.history_length)
        ]
        hits[items] = float(np.mean(torch.cat(found).numpy() == right))
    assert hits[2] > 0.8
    assert hits[0] < 0.6


def bare_moods(world: Dataset) -> Dataset:
    """The world with reviews that say the user's mood and nothing else, four times."""
    log = world.events
    words = [" ".join([text.split()[-1].strip(".")] * 4) for text in log.written[TEXT]]
    return replace(world, events=replace(log, written={TEXT: Texts.of(words)}))


def test_what_users_write_again_is_found_and_without_history_it_is_not(
    world: Dataset, tmp_path: Path
) -> None:
    moods = bare_moods(world)
    split = split_last(moods, TASK.need)
    goal, hits = TASK.goal(split.train), {}
    for items in (2, 0):
        method = fit(split, goal, tmp_path, items=items, fields=[], examples=2000)
        assert isinstance(method, TextGenerator)
        hits[items] = TASK.evaluate(method, split, moods, "include").metrics["rouge1"]
    assert hits[2] > 0.9
    assert hits[0] < 0.4


def test_what_cannot_be_is_refused(reviews: Split, tmp_path: Path) -> None:
    from benchmark.goals import NextItemGoal

    with pytest.raises(UserError, match="items=0 cannot rank"):
        fit(reviews, NextItemGoal(), tmp_path, items=0)
    method = TextPrompt(TextPromptSettings())
    goals = (NextItemGoal(), TASK.goal(reviews.train))
    with pytest.raises(UserError, match="one task at a time"):
        method.fit(reviews.train, FitContext(0, tmp_path, lambda _: {}, Silent(), goals=goals))
