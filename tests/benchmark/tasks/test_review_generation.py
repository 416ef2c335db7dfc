from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from benchmark.data.dataset import Dataset
from benchmark.data.division import Split
from benchmark.data.item_texts import with_summaries
from benchmark.data.splits import split_last
from benchmark.errors import RunError, UserError
from benchmark.goals import Decoding
from benchmark.schema import TEXT, Feature, FeatureKind, number
from benchmark.tasks.config import ReviewGenerationSettings
from benchmark.tasks.review_generation import ReviewGeneration
from benchmark.tasks.review_prompts import Prompts, ratings_in_words, tells_itself
from benchmark.texts import Texts
from benchmark.types import IDS, SUMMARIES, HistoryBatch
from tests.world import randomise_tests, small_world


class Writer:
    """Writes what a function of histories, prompts and items says, and remembers what it saw."""

    def __init__(self, write: Callable[..., list[str]], history_length: int = 5) -> None:
        self.write = write
        self.history_length = history_length
        self.asked: list[tuple[HistoryBatch, list[str], torch.Tensor, Decoding]] = []

    def generate(
        self, histories: HistoryBatch, prompts: list[str], items: torch.Tensor, decoding: Decoding
    ) -> list[str]:
        self.asked.append((histories, prompts, items, decoding))
        return self.write(histories, prompts, items)


def silent(histories: HistoryBatch, prompts: list[str], items: torch.Tensor) -> list[str]:
    return [""] * len(prompts)


@pytest.fixture(scope="module")
def titled() -> Dataset:
    """A world whose reviews name the item, with a gap in every third."""
    world = small_world(titled=True)
    log = world.events
    texts = ["" if n % 3 == 1 else text for n, text in enumerate(log.written[TEXT])]
    return replace(world, events=replace(log, written={TEXT: Texts.of(texts)}))


def make(**settings: Any) -> ReviewGeneration:
    return ReviewGeneration(ReviewGenerationSettings(bootstrap_samples=100, **settings))


def divided(dataset: Dataset) -> Split:
    return split_last(dataset, make().need)


def evaluate(task: ReviewGeneration, method: Any, split: Split, dataset: Dataset) -> Any:
    return task.evaluate(method, split, dataset, "include")


def test_targets_have_a_review_that_no_history_shows(titled: Dataset) -> None:
    method, split = Writer(silent, history_length=1000), divided(titled)
    table = evaluate(make(), method, split, titled).examples
    assert table["reference"].str.len_chars().min() > 0
    row = 0
    for histories, prompts, items, _ in method.asked:
        for user, texts in enumerate(histories.written[TEXT]):
            assert len(texts) == int(histories.lengths[user])
            assert prompts[user] == table["prompt"][row]
            assert titled.catalog.items.to_external(int(items[user])) == table["item"][row]
            title = titled.catalog.texts[int(items[user])].split(" (")[0]
            assert title in table["reference"][row]
            assert table["reference"][row] not in texts  # nobody meets an item twice here
            row += 1
    assert row == len(table)


def test_who_writes_the_reference_scores_one_and_who_writes_nothing_zero(titled: Dataset) -> None:
    task, split = make(batch_size=7), divided(titled)
    table = evaluate(task, Writer(silent), split, titled).examples
    left = iter(table["reference"].to_list())
    by_heart = Writer(lambda h, prompts, i: [f"  {next(left)}\n" for _ in prompts])
    found = evaluate(task, by_heart, split, titled)
    assert {name: found.metrics[name] for name in task.metrics} == dict.fromkeys(task.metrics, 1.0)
    assert found.examples["output"].to_list() == table["reference"].to_list()
    nothing = evaluate(task, Writer(silent), split, titled)
    assert set(nothing.metrics.values()) == {0.0}


def test_new_are_the_references_that_no_training_review_repeats(world: Dataset) -> None:
    split = divided(world)
    found = evaluate(make(), Writer(lambda h, p, i: ["A good drama"] * len(p)), split, world)
    seen = set(split.train.events.written[TEXT])
    table = found.examples
    expected = [text in seen for text in table["reference"]]
    assert table["verbatim"].to_list() == expected
    assert 0 < sum(expected) < len(expected)
    fresh = table.filter(~table["verbatim"])
    assert found.metrics["rouge1/new"] == pytest.approx(fresh["rouge1"].mean())
    assert found.metrics["rouge1"] == pytest.approx(table["rouge1"].mean())
    low, high = found.intervals["rouge1/new"]
    assert low <= found.metrics["rouge1/new"] <= high


def test_white_space_does_not_make_a_review_new(world: Dataset) -> None:
    log = world.events
    last = set((log.indptr[1:] - 1).tolist())
    texts = [
        text.replace(" ", "\n ", 1) if n in last else text
        for n, text in enumerate(log.written[TEXT])
    ]
    other = replace(world, events=replace(log, written={TEXT: Texts.of(texts)}))
    mine, theirs = (
        evaluate(make(), Writer(silent), divided(own), own).examples["verbatim"]
        for own in (world, other)
    )
    assert mine.to_list() == theirs.to_list()


def test_the_goal_is_made_of_training_events_alone(world: Dataset) -> None:
    task, other = make(), randomise_tests(world)
    mine, theirs = (task.goal(divided(own).train) for own in (world, other))
    for part in ("starts", "stops"):
        np.testing.assert_array_equal(getattr(mine, part), getattr(theirs, part))
    assert list(mine.prompts) == list(theirs.prompts)
    assert list(mine.references) == list(theirs.references)


def test_every_training_review_but_one_that_opens_a_history_is_an_example(titled: Dataset) -> None:
    log, goal = divided(titled).train.events, make().goal(divided(titled).train)
    written = log.written[TEXT].lengths > 0
    opens = np.isin(np.arange(log.num_events), log.indptr[:-1])
    np.testing.assert_array_equal(goal.stops, np.flatnonzero(written & ~opens))
    assert list(goal.references) == [log.written[TEXT][int(stop)] for stop in goal.stops]
    owner = np.searchsorted(log.indptr, goal.stops, side="right") - 1
    np.testing.assert_array_equal(goal.starts, log.indptr[owner])


def test_prompts_say_what_is_known(titled: Dataset) -> None:
    log, catalog = titled.events, titled.catalog
    places = np.arange(20)
    prompts = Prompts(catalog, log, places, TEXT)
    for place, prompt in zip(places, prompts, strict=True):
        stars = int(log.columns["rating"][place])
        plural = "star" if stars == 1 else "stars"
        assert prompt == f"{catalog.texts[log.items[place]]} | {stars} {plural} | Review:"
    assert prompts[3:5] == [prompts[3], prompts[4]]
    assert prompts[-1] == prompts[19]
    with pytest.raises(IndexError):
        prompts[20]
    unknown = {**log.columns, "rating": np.zeros_like(log.items)}
    for bare in (replace(log, columns=unknown), without_ratings(titled)):
        assert Prompts(catalog, bare, places, "summary")[0] == (
            f"{catalog.texts[log.items[0]]} | Summary:"
        )
    ids = replace(catalog, text_source=IDS)
    assert all(prompt.startswith(("1 star", "2", "3", "4", "5")) for prompt in
               Prompts(ids, log, places, TEXT))  # fmt: skip


def without_ratings(dataset: Dataset) -> Any:
    log = dataset.events
    columns = {name: column for name, column in log.columns.items() if name != "rating"}
    kept = [name for name in log.schema.names if name != "rating"]
    return replace(log, columns=columns, schema=log.schema.subset(kept))


def test_a_prompt_does_not_quote_the_very_review_that_is_to_be_written(titled: Dataset) -> None:
    log = titled.events
    texts = ("", *titled.catalog.items.external_ids)
    catalog = with_summaries(replace(titled.catalog, texts=texts, text_source=IDS), log)
    assert catalog.text_source == SUMMARIES
    own = tells_itself(catalog, log)
    assert 0 < own.sum() < log.num_events
    for place in range(log.num_events):
        item = log.items[place]
        quoted = " ".join(log.written[TEXT][place].split()[:10]) == catalog.texts[item]
        assert own[place] == quoted
    assert not tells_itself(titled.catalog, log).any()
    split = divided(replace(titled, catalog=replace(titled.catalog, texts=texts, text_source=IDS)))
    goal = make().goal(split.train)
    giveaways = [
        " ".join(reference.split()[:10]) in prompt
        for prompt, reference in zip(goal.prompts, goal.references, strict=True)
    ]
    told = tells_itself(split.train.catalog, split.train.events)[goal.stops]
    assert told.any()
    assert not np.any(np.array(giveaways) & told)


def test_validation_asks_for_the_likeliest_text_and_draws_differ_by_batch(titled: Dataset) -> None:
    task = make(decoding="sample", seed=3, batch_size=16, validation_users=20, longest=9)
    split, method = divided(titled), Writer(silent)
    assert task.validator(split, "include")(method) == dict.fromkeys(task.metrics, 0.0)
    assert sum(len(prompts) for _, prompts, _, _ in method.asked) == 20
    assert all(not decoding.sample for *_, decoding in method.asked)
    method.asked.clear()
    evaluate(task, method, split, titled)
    seeds = [decoding.seed for *_, decoding in method.asked]
    assert len(set(seeds)) == len(seeds) > 1
    assert all(decoding.sample and decoding.longest == 18 for *_, decoding in method.asked)
    other = Writer(silent)
    evaluate(make(decoding="sample", seed=4, batch_size=16), other, split, titled)
    assert not {decoding.seed for *_, decoding in other.asked} & set(seeds)


def test_bad_answers_and_data_without_reviews_are_refused(titled: Dataset) -> None:
    split = divided(titled)
    for answer in (["x"], [None]):
        with pytest.raises(RunError, match="one text for each user"):
            evaluate(make(), Writer(lambda h, p, i, a=answer: a * (len(p) + (a == ["x"]))),
                     split, titled)  # fmt: skip
    assert make().unfit(titled) == ""
    assert "review_generation.field=text would work" in make(field="summary").unfit(titled)
    empty = {TEXT: Texts.of([""] * titled.events.num_events)}
    mute = replace(titled, events=replace(titled.events, written=empty))
    assert "no event of world has a text" in make().unfit(mute)
    written = {TEXT: Texts.of([""] * split.train.events.num_events)}
    with pytest.raises(UserError, match="nothing to learn"):
        make().goal(replace(split.train, events=replace(split.train.events, written=written)))


@pytest.mark.parametrize(
    ("feature", "said"),
    [
        (Feature("rating", FeatureKind.CATEGORY, 2, labels=("1", "4.5")), ["1 star", "4.5 stars"]),
        (Feature("rating", FeatureKind.CATEGORY, 1, labels=("good",)), ["rating good"]),
        (
            number("rating", (2, 4.5)),
            ["rating below 2", "rating 2 to 4.5", "rating 4.5 or more"],
        ),
    ],
)
def test_any_rating_has_words(feature: Feature, said: list[str]) -> None:
    assert ratings_in_words(feature) == ["", *said]
