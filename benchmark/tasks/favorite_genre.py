"""Favourite genre: given what a user did, which genre (category, ...) do they meet most?

The labels are the values of the data set's label feature; every event counts each label of its
item once. Rules that hold for every row:

- `label=future` asks for the most frequent label among the `horizon` events that are held out,
  `label=window` for that among the latest `window` events of the history itself, which a counter
  knows. Both hold the same events out, so that their cuts, users and histories are the same: the
  history is all that stands before the held-out events, and nobody reads more of it than its
  latest `window` events.
- Any of tied labels counts as right for recall. Users with tied labels are left out of macro-F1,
  which has one term a label that is right for or said of somebody.
- Users whose events to be counted hold no label at all are left out; `users/unlabelled` is their
  share, `users/tied` that of tied labels among the others.
- Equal scores are settled by the order of the labels: the one that stands first comes first.
- Items seen before play no part; what `--seen` says changes nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import numpy as np
import polars as pl
import torch

from benchmark.data.dataset import Dataset
from benchmark.data.division import Need, Split
from benchmark.data.histories import Examples
from benchmark.display.counting import counted
from benchmark.errors import RunError, UserError
from benchmark.goals import LabelGoal
from benchmark.metrics.classification import macro_f1
from benchmark.metrics.label_recall import CUTS, recalls
from benchmark.protocols import LabelRanker, TrainingData
from benchmark.runs.asking import Asking
from benchmark.schema import PADDING
from benchmark.tasks.circumstances import circumstances
from benchmark.tasks.config import FavoriteGenreSettings
from benchmark.tasks.evaluation import Evaluation, examples_of, heard
from benchmark.tasks.favorite_genre_numbers import MACRO_F1, NUMBERS, judged, sure
from benchmark.tasks.label_answers import Question, check_scores, ranked, tabulate
from benchmark.tasks.label_counts import LabelCounts, drawn_places, label_names, query_of
from benchmark.tasks.sharing import as_of_all, from_all, own_share
from benchmark.types import HistoryBatch, Progress

TIE_RULE = (
    "any of tied labels is right; users with tied labels are left out of macro-F1; equal scores in"
    " the order of the labels"
)
_SEED = 0
"""Of drawing training examples: every method of every seed gets the same ones."""


class FavoriteGenre:
    """The task `favorite_genre`.

    Args:
        settings: See `FavoriteGenreSettings`.
    """

    name = "favorite_genre"
    version = NUMBERS.version
    tie_rule = TIE_RULE
    watch = "recall@1"
    metrics = (*(f"recall@{k}" for k in CUTS), MACRO_F1)

    def __init__(self, settings: FavoriteGenreSettings) -> None:
        self.settings = settings
        self.need = Need(block=settings.horizon)

    def unfit(self, dataset: Dataset) -> str:
        """Why the task cannot be asked on a data set, "" where it can."""
        name = dataset.label_feature
        if not name:
            return f"the items of {dataset.name} have no genres or categories"
        met = np.unique(dataset.events.items)
        found = np.unique(np.asarray(dataset.catalog.columns[name])[met])
        count = int((found != PADDING).sum())
        if count < 2:
            return f"the items of {dataset.name} have {count} of its {name}: two are needed"
        return ""

    def goal(self, train: TrainingData) -> LabelGoal:
        """What methods are fitted for: histories within training, and their right labels.

        Of every user, `positions` places are drawn among those that can be asked about; `future`
        counts the `horizon` events that follow, all of them training events.

        Raises:
            UserError: Nobody has enough training events, or none that has a label.
        """
        settings, log = self.settings, train.events
        future = settings.label == "future"
        # A history has one event at least; behind it stand the events that are counted.
        ahead = settings.horizon if future else 0
        begins, stops = drawn_places(log.indptr, ahead, settings.positions, _SEED)
        starts = np.maximum(begins, stops - settings.window)
        counted = (stops, stops + ahead) if future else (starts, stops)
        right = LabelCounts(train).most_frequent(log.items, *counted)
        labelled = right.any(axis=1)
        if not labelled.any():
            raise UserError(
                f"favorite_genre of {train.name}: no user has a history and {ahead} events with a "
                "label behind it among the training events: set favorite_genre.horizon to less"
                if future
                else f"favorite_genre of {train.name}: no training event has a label"
            )
        kept = (array[labelled] for array in (starts, stops, right))
        return LabelGoal(self.name, query_of(train.label_feature), label_names(train), *kept)

    def asked_of(self, train: TrainingData) -> LabelGoal:
        """The goal that names what is asked, without examples: what `rank_labels` gets."""
        none = np.zeros(0, dtype=np.int64)
        labels = label_names(train)
        right = np.zeros((0, len(labels)), dtype=bool)
        return LabelGoal(self.name, query_of(train.label_feature), labels, none, none, right)

    def question(self, examples: Examples, train: TrainingData) -> Question:
        """Right labels of examples; users without any are left out.

        Args:
            examples: Histories and held-out events.
            train: Names the labels.
        """
        spans = examples.stops, examples.ends
        if self.settings.label == "window":
            latest = np.maximum(examples.starts, examples.stops - self.settings.window)
            spans = latest, examples.stops
        right = LabelCounts(train).most_frequent(examples.log.items, *spans)
        found = Question(examples, right)
        return found.only(np.flatnonzero(right.any(axis=1)))

    def validator(self, split: Split, seen: str) -> Callable[[LabelRanker], Mapping[str, float]]:
        """A function that asks validation examples and returns the metrics.

        The same users are asked on every call.

        Args:
            split: Where the examples come from.
            seen: Plays no part.
        """
        question = self.question(split.validation, split.train)
        question = question.sample(self.settings.validation_users)
        goal = self.asked_of(split.train)

        def validate(method: LabelRanker) -> Mapping[str, float]:
            order = self._ask(method, question.examples, goal)
            means = {name: float(v.mean()) for name, v in recalls(order, question.right).items()}
            right, said = sure(order, question.right)
            return {**means, **({MACRO_F1: macro_f1(right, said)} if len(right) else {})}

        return validate

    def evaluate(
        self,
        method: LabelRanker,
        split: Split,
        dataset: Dataset,
        seen: str,
        part: str = "test",
        progress: Progress | None = None,
        name: str = "",
    ) -> Evaluation:
        """Asks for every user of a part of the split.

        Args:
            method: A fitted method.
            split: Where the examples come from.
            dataset: Where external ids come from.
            seen: Plays no part.
            part: `test` or `validation`.
            progress: Told how far the asking is.
            name: The method's name, for errors.

        Raises:
            RunError: No user has a label, or the method answers with what are no scores.
        """
        everybody = examples_of(split, part, self.settings.users)
        question = self.question(everybody, split.train)
        asked, dropped = len(question.examples), len(everybody) - len(question.examples)
        on_batch = heard(progress, part, asked)
        if progress is not None and dropped:
            progress.note(f"left out: {counted(dropped, 'user')} with no event that has a label")
        begin = time.perf_counter()
        goal = self.asked_of(split.train)
        order = self._ask(method, question.examples, goal, name, on_batch)
        seconds = time.perf_counter() - begin
        return self.judge(order, question, split, dataset, len(everybody), seconds)

    def judge(
        self,
        order: np.ndarray,
        question: Question,
        split: Split,
        dataset: Dataset,
        everybody: int,
        seconds: float = 0.0,
    ) -> Evaluation:
        """Scores answers, whoever gave them.

        Args:
            order: `[n, K]` indices of labels, best first; all labels or the first few.
            question: What was asked, in the same order.
            split: Where the examples come from.
            dataset: Where external ids come from.
            everybody: Users there are, those without a label included.
            seconds: How long answering took.
        """
        values = recalls(order, question.right)
        metrics, intervals = judged(values, order, question.right, everybody, self.settings)
        labels = label_names(split.train)
        table = tabulate(dataset, question, labels, order, values)
        about = circumstances(question.examples, split.train)
        table = pl.concat([table, about], how="horizontal")
        return Evaluation(table, metrics, intervals, seconds, tuple(labels))

    def asking(self, split: Split, seen: str, part: str) -> Asking:
        """How methods are asked; see `benchmark.runs.asking`."""
        examples = self.question(
            examples_of(split, part, self.settings.users), split.train
        ).examples
        goal = self.asked_of(split.train)

        def answer(method: LabelRanker, histories: HistoryBatch, rows: np.ndarray) -> object:
            with torch.no_grad():
                return method.rank_labels(histories, goal)

        return Asking(examples, goal, answer, window=self.settings.window)

    def _ask(
        self,
        method: LabelRanker,
        examples: Examples,
        goal: LabelGoal,
        name: str = "",
        on_batch: Callable[[int], None] | None = None,
    ) -> np.ndarray:
        """Ranks all labels for every example: `[n, C]` indices of labels, best first."""
        if not len(examples):
            raise RunError("there is no user with a label to ask for")
        length = min(self.settings.window, method.history_length)
        name = name or type(method).__name__
        share, _ = own_share(examples)

        def answered() -> dict[str, np.ndarray]:
            parts = []
            with torch.no_grad():
                for rows, histories in share.batches(self.settings.batch_size, length):
                    scores = method.rank_labels(histories, goal)
                    scores = check_scores(scores, len(histories), len(goal.labels), name)
                    parts.append(ranked(scores))
                    if on_batch is not None:
                        on_batch(as_of_all(rows.stop, share, examples))
            return {"order": np.concatenate(parts)} if parts else {}

        return from_all(answered)["order"]
