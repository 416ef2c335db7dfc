"""Next item: given what a user did, which item comes next? The whole catalogue is ranked.

Rules that hold for every row:

- An item is right only if its id is the target's; another item of the same text is not.
- Equal scores are settled by catalogue order: the item that stands first comes first.
- With seen items out, every item of the user's whole history is taken out of the ranking, also
  beyond what a method reads. A target that the user has met before can then not be found: it
  counts as missed and its `target_rank` is null. `auto` takes seen items out only where a data
  set has no repeats, so that this does not happen.
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
from benchmark.errors import unknown
from benchmark.goals import NextItemGoal
from benchmark.metrics.ranking import NEXT_ITEM_METRICS
from benchmark.protocols import CandidateRanker, TrainingData
from benchmark.runs.asking import Asking
from benchmark.tasks.averages import averaged
from benchmark.tasks.circumstances import circumstances, popularity_of_lists
from benchmark.tasks.config import NextItemSettings
from benchmark.tasks.evaluation import Evaluation, examples_of, heard
from benchmark.tasks.next_item_numbers import NUMBERS, values_at
from benchmark.tasks.ranking import UNKNOWN_RANK, Answers, ask
from benchmark.types import Candidates, HistoryBatch, Progress

TIE_RULE = "equal scores in catalogue order; items of the same text are different items"
SEEN = ("auto", "exclude", "include")


def resolve_seen(seen: str, dataset: Dataset) -> str:
    """`exclude` or `include` for what `--seen` says.

    Raises:
        UserError: It is none of `auto`, `exclude`, `include`.
    """
    if seen not in SEEN:
        raise unknown("value of --seen", seen, SEEN)
    if seen == "auto":
        return "include" if dataset.has_repeats else "exclude"
    return seen


class NextItem:
    """The task `next_item`.

    Args:
        settings: See `NextItemSettings`.
    """

    name = "next_item"
    version = NUMBERS.version
    tie_rule = TIE_RULE
    watch = "recall@10"
    need = Need()
    metrics = tuple(metric.name for metric in NEXT_ITEM_METRICS)

    def __init__(self, settings: NextItemSettings) -> None:
        self.settings = settings

    def unfit(self, dataset: Dataset) -> str:
        """Why the task cannot be asked on a data set, "" where it can."""
        return ""

    def goal(self, train: TrainingData) -> NextItemGoal:
        """What methods are fitted for."""
        return NextItemGoal()

    def validator(
        self, split: Split, seen: str
    ) -> Callable[[CandidateRanker], Mapping[str, float]]:
        """A function that ranks validation examples and returns the means of the metrics.

        The same users are asked on every call. Where the method has a distribution, `nll` (the
        mean negative log-likelihood of the targets, in nats) is among the values.

        Args:
            split: Where the examples come from.
            seen: `exclude` or `include`.
        """
        count = self.settings.validation_users
        examples = split.validation.sample(count, seed=0) if count else split.validation

        def validate(method: CandidateRanker) -> Mapping[str, float]:
            answers = self._ask(method, examples, seen)
            values = {name: float(v.mean()) for name, v in values_at(answers.places).items()}
            if not np.isnan(answers.target_logprobs).any():
                values["nll"] = float(-answers.target_logprobs.mean())
            return values

        return validate

    def evaluate(
        self,
        method: CandidateRanker,
        split: Split,
        dataset: Dataset,
        seen: str,
        part: str = "test",
        progress: Progress | None = None,
        name: str = "",
    ) -> Evaluation:
        """Ranks for every user of a part of the split.

        Args:
            method: A fitted method.
            split: Where the examples come from.
            dataset: Where external ids come from.
            seen: `exclude` or `include`.
            part: `test` or `validation`.
            progress: Told how far the ranking is.
            name: The method's name, for errors.
        """
        examples = examples_of(split, part, self.settings.users)
        on_batch = heard(progress, part, len(examples))
        begin = time.perf_counter()
        answers = self._ask(method, examples, seen, name, on_batch)
        return self.judge(answers, examples, split, dataset, time.perf_counter() - begin)

    def judge(
        self,
        answers: Answers,
        examples: Examples,
        split: Split,
        dataset: Dataset,
        seconds: float = 0.0,
    ) -> Evaluation:
        """Scores answers, whoever gave them.

        Args:
            answers: What was answered.
            examples: What was asked, in the same order.
            split: Where the examples come from.
            dataset: Where external ids come from.
            seconds: How long answering took.

        Raises:
            FloatingPointError: A metric is no number.
        """
        strays = None if np.isnan(answers.strays).any() else answers.strays
        values = values_at(answers.places, strays)
        for metric, column in values.items():
            if np.isnan(column).any():
                raise FloatingPointError(f"{metric} is nan")
        metrics, intervals = averaged(values, examples.groups, self.settings)
        table = tabulate(dataset, examples, answers, values)
        about = circumstances(examples, split.train)
        popular = popularity_of_lists(examples, answers.ranked, split.train)
        table = pl.concat([table, about, popular], how="horizontal")
        return Evaluation(table, metrics, intervals, seconds)

    def asking(self, split: Split, seen: str, part: str) -> Asking:
        """How methods are asked; see `benchmark.runs.asking`."""
        examples = examples_of(split, part, self.settings.users)
        count = examples.log.schema.num_items
        k = min(self.settings.k, count)

        def answer(method: CandidateRanker, histories: HistoryBatch, rows: np.ndarray) -> object:
            own = examples.only(rows)
            exclude = own.seen(slice(None)) if seen == "exclude" else None
            with torch.no_grad():
                return method.rank(histories, Candidates(count, exclude), k)

        return Asking(examples, NextItemGoal(), answer)

    def _ask(
        self,
        method: CandidateRanker,
        examples: Examples,
        seen: str,
        name: str = "",
        on_batch: Callable[[int], None] | None = None,
    ) -> Answers:
        if seen not in ("exclude", "include"):
            raise ValueError(f"seen must be exclude or include, got {seen!r}")
        return ask(
            method,
            examples,
            k=self.settings.k,
            batch_size=self.settings.batch_size,
            exclude_seen=seen == "exclude",
            name=name,
            on_batch=on_batch,
        )


def tabulate(
    dataset: Dataset, examples: Examples, answers: Answers, values: Mapping[str, np.ndarray]
) -> pl.DataFrame:
    """Answers and metric values as a frame with external ids, one row an example."""
    users = np.array(dataset.users.external_ids, dtype=object)
    items = np.array(["", *dataset.catalog.items.external_ids], dtype=object)
    ranked = [items[row[row > 0]].tolist() for row in answers.ranked]
    frame = pl.DataFrame(
        {
            "user": pl.Series(users[examples.users - 1].tolist(), dtype=pl.String),
            "target": pl.Series(items[examples.targets].tolist(), dtype=pl.String),
            "ranked": pl.Series(ranked, dtype=pl.List(pl.String)),
            "target_rank": pl.Series(answers.target_ranks, dtype=pl.Int64),
            "target_logprob": pl.Series(answers.target_logprobs, dtype=pl.Float64),
            "first_logprob": pl.Series(answers.first_logprobs, dtype=pl.Float64),
            "candidates_logprob": pl.Series(answers.candidates_logprobs, dtype=pl.Float64),
            "candidates": pl.Series(answers.candidates, dtype=pl.Int64),
            "tied": pl.Series(examples.tied, dtype=pl.Boolean),
            **{name: pl.Series(column, dtype=pl.Float64) for name, column in values.items()},
            **{name: pl.Series(group, dtype=pl.Boolean) for name, group in examples.groups.items()},
        }
    )
    return frame.with_columns(
        pl.col("target_rank").replace(UNKNOWN_RANK, None),
        pl.col("target_logprob", "first_logprob", "candidates_logprob").fill_nan(None),
    )
