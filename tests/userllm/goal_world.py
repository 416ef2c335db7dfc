"""Goals over the tiny catalogue, for tests: labels follow the latest item, texts the first one."""

from __future__ import annotations

import numpy as np

from benchmark.events import EventLog
from benchmark.goals import LabelGoal, TextGoal
from benchmark.schema import ITEM, FeatureSchema
from benchmark.texts import Texts
from tests.tiny_model import TITLES, make_catalog

LABELS = ("Drama", "Drama and War", "Comedy", "War")
TEXTS = ("a dull one", "what a joy")


def make_log(schema: FeatureSchema, users: int = 24, events: int = 5) -> EventLog:
    rng = np.random.default_rng(0)
    count = users * events
    columns = {
        ITEM: rng.integers(1, len(TITLES) + 1, count),
        "rating": rng.integers(1, 6, count),
    }
    indptr = np.arange(users + 1) * events
    log = EventLog(schema, indptr, columns, make_catalog().columns, np.arange(count))
    return EventLog(
        **{**vars(log), "written": {"text": Texts.of(TEXTS[item % 2] for item in log.items)}}
    )


def label_goal(log: EventLog) -> LabelGoal:
    """The label of a history is its latest item, modulo 4; every third history has a second."""
    stops = log.indptr[1:] - 1
    right = np.arange(len(LABELS)) == (log.items[stops - 1] % len(LABELS))[:, None]
    right[::3, 1] = True
    return LabelGoal("labels", "Kind:", LABELS, log.indptr[:-1], stops, right)


def text_goal(log: EventLog, longest: int = 8) -> TextGoal:
    """A user writes what their latest item makes them write, whatever the prompt is."""
    stops = log.indptr[1:] - 1
    said = [TEXTS[item % 2] for item in log.items[stops - 1]]
    prompts = [f"{TITLES[item - 1]} | Review:" for item in log.items[stops]]
    return TextGoal("texts", "text", log.indptr[:-1], stops, prompts, said, longest)
