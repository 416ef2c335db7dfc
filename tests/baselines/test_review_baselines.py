"""The baselines that write without a model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from baselines.common_sentence import CommonSentence
from baselines.previous_review import PreviousReview
from baselines.review_config import CommonSentenceSettings, PreviousReviewSettings
from benchmark.data.dataset import Dataset
from benchmark.data.splits import split_last
from benchmark.errors import UserError
from benchmark.events import EventLog
from benchmark.goals import Decoding, TextGoal
from benchmark.protocols import FitContext, TextGenerator, TrainingData
from benchmark.schema import TEXT
from benchmark.tasks.config import ReviewGenerationSettings
from benchmark.tasks.review_generation import ReviewGeneration
from benchmark.texts import Texts
from tests.baselines.fitting import Silent
from tests.world import randomise_tests

TASK = ReviewGeneration(ReviewGenerationSettings())
MAKERS = {
    "common_sentence": lambda: CommonSentence(CommonSentenceSettings()),
    "previous_review": lambda: PreviousReview(PreviousReviewSettings()),
}


def fit(method: Any, data: TrainingData, goal: TextGoal | None = None) -> Any:
    goals = (TASK.goal(data) if goal is None else goal,)
    method.fit(data, FitContext(0, Path(), lambda _: {}, Silent(), goals=goals, watch="rougeL"))
    return method


def written(world: Dataset, rows: list[tuple[int, str]]) -> TrainingData:
    """One user who writes something of one item after the other."""
    log = world.events
    count = len(rows)
    columns = {name: column[:count].copy() for name, column in log.columns.items()}
    columns["item"] = np.array([item for item, _ in rows], dtype=np.int32)
    events = EventLog(
        log.schema,
        np.array([0, count]),
        columns,
        log.item_columns,
        np.arange(count),
        {TEXT: Texts.of(text for _, text in rows)},
    )
    return TrainingData("written", "", world.catalog, events)


def answers(method: TextGenerator, data: TrainingData, items: list[int], **decoding: Any) -> Any:
    """What is written of items at the end of the history, or of none where there is no event."""
    count = len(items)
    starts, stops = np.zeros(count, np.int64), np.full(count, data.events.num_events)
    histories = data.events.gather(starts, stops, method.history_length, written=True)
    return method.generate(histories, [""] * count, torch.tensor(items), Decoding(**decoding))


ROWS = [
    (1, "So so. Never again!"),
    (2, "Great.  I liked it 3.5 times."),
    (1, "Great. Never again!"),
    (1, ""),
    (3, "Why?\nNobody knows. Great. Great."),
    (3, "Great. Why? Well."),
]


def test_the_common_sentence_is_the_items_own_and_else_everybodys(world: Dataset) -> None:
    data = written(world, ROWS)
    method = fit(MAKERS["common_sentence"](), data)
    # Of item 1 `Never again!` twice. Item 2 has each once, and `Great.` is the common one of them
    # overall. Of item 3 `Why?` and `Great.` in both reviews, but `Great.` in more of all; said
    # twice in one review it counts once.
    assert answers(method, data, [1, 2, 3, 4]) == ["Never again!", "Great.", "Great.", "Great."]
    assert answers(method, data, [1], longest=1) == ["Never"]


def test_of_equally_common_sentences_the_first_is_taken(world: Dataset) -> None:
    data = written(world, [(1, "One. Two."), (1, "Two. One."), (2, "Three.")])
    assert answers(fit(MAKERS["common_sentence"](), data), data, [1, 5]) == ["One.", "One."]


def test_the_previous_review_is_the_latest_of_the_history(world: Dataset) -> None:
    data = written(world, [*ROWS, (5, ""), (6, " ")])
    method = fit(MAKERS["previous_review"](), data)
    assert answers(method, data, [1, 2]) == ["Great. Why? Well."] * 2
    assert answers(method, data, [1], longest=2) == ["Great. Why?"]


def test_without_a_review_in_the_history_it_is_the_most_common_one(world: Dataset) -> None:
    rows = [(1, "Fine."), (2, "Bad."), (3, "Bad."), (4, "Fine."), (5, "Odd.")]
    method = fit(MAKERS["previous_review"](), written(world, rows))
    silent = written(world, [(1, ""), (2, "")])
    assert answers(method, silent, [1]) == ["Fine."]
    nobody = silent.events.gather(np.zeros(1, np.int64), np.zeros(1, np.int64), 3, written=True)
    assert method.generate(nobody, [""], torch.tensor([1]), Decoding()) == ["Fine."]


def moods(texts: list[str]) -> list[str]:
    return [text.split()[-1] for text in texts]


def test_who_knows_the_user_hits_their_mood_and_who_does_not_does_not(world: Dataset) -> None:
    split = split_last(world, TASK.need)
    hits = {}
    for name, make in MAKERS.items():
        table = TASK.evaluate(fit(make(), split.train), split, world, "include").examples
        said, meant = (moods(table[column].to_list()) for column in ("output", "reference"))
        hits[name] = float(np.mean([own == right for own, right in zip(said, meant, strict=True)]))
    assert hits["previous_review"] == 1.0
    assert hits["common_sentence"] < 0.4


@pytest.mark.parametrize("name", MAKERS)
def test_nothing_fitted_changes_with_the_test_targets(name: str, world: Dataset) -> None:
    mine, theirs = (
        fit(MAKERS[name](), split_last(own, TASK.need).train).state()
        for own in (world, randomise_tests(world))
    )
    assert mine.keys() == theirs.keys()
    assert all(torch.equal(mine[key], theirs[key]) for key in mine)
    log = world.events
    other = replace(log, written={TEXT: Texts.of(f"x{t}" for t in log.written[TEXT])})
    changed = split_last(replace(world, events=other), TASK.need).train
    assert any(not torch.equal(mine[k], v) for k, v in fit(MAKERS[name](), changed).state().items())


@pytest.mark.parametrize("name", MAKERS)
def test_without_a_goal_to_write_there_is_an_error(name: str, world: Dataset) -> None:
    data = split_last(world, TASK.need).train
    with pytest.raises(UserError, match="writes texts"):
        MAKERS[name]().fit(data, FitContext(0, Path(), lambda _: {}, Silent()))
