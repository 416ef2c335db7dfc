"""Lists of items that a model ranked elsewhere, judged as `next_item` judges its own methods."""

from __future__ import annotations

import numpy as np
import polars as pl

from benchmark.data.dataset import Dataset
from benchmark.data.division import Split
from benchmark.data.histories import Examples
from benchmark.importing.checks import in_order, log_probs, ranked, refuse
from benchmark.importing.judge import Asked, Judge
from benchmark.metrics.ranking import MISSED
from benchmark.tasks.evaluation import Evaluation, examples_of
from benchmark.tasks.next_item import NextItem
from benchmark.tasks.ranking import UNKNOWN_RANK, Answers

LOG_PROBS = ("target_logprob", "first_logprob", "candidates_logprob")
_ROUNDING = 1e-4
"""Nats that log-probabilities may be apart by the rounding of single precision."""
_ROWS = 1024
"""Users whose seen items are looked up at a time."""


def ask(task: NextItem, split: Split, dataset: Dataset, part: str) -> Asked:
    """Which item comes next, of the whole catalogue or of what is left of it."""
    examples = examples_of(split, part, task.settings.users)
    items = pl.Series(list(dataset.catalog.items.external_ids), dtype=pl.String)
    facts = {"candidates": str(len(items)), "k": str(task.settings.k)}
    return Asked(examples, {}, {"target": items.gather(examples.targets - 1)}, facts)


def judge_answers(
    task: NextItem, frame: pl.DataFrame, split: Split, dataset: Dataset, seen: str, part: str
) -> Evaluation:
    """Scores lists of items; see `benchmark.importing.judge.Judge`.

    Raises:
        UserError: They are not one ranking of the candidates for each user that is asked.
    """
    asked = ask(task, split, dataset, part)
    examples, frame = asked.examples, in_order(frame, asked.users(dataset))
    ids = ranked(frame, "ranked", dataset.catalog.items.external_ids, "item")
    met, left = _seen(examples, ids, seen == "exclude")
    refuse(frame, met, "an item is ranked that the user has seen, which --seen exclude takes out")
    shortest = np.minimum(task.settings.k, left)
    short = (ids > 0).sum(axis=1) < shortest
    refuse(frame, short, f"a list has fewer items than {task.settings.k} or all candidates")
    hits = ids == examples.targets[:, None]
    places = np.where(hits.any(axis=1), hits.argmax(axis=1) + 1, MISSED)
    target, first, candidates = (log_probs(frame, name) for name in LOG_PROBS)
    _refuse_contradictions(frame, places, target, first, candidates)
    answers = Answers(
        ranked=ids[:, : task.settings.k],
        places=np.where(places <= task.settings.k, places, MISSED),
        target_ranks=np.where(places == MISSED, UNKNOWN_RANK, places),
        target_logprobs=target,
        first_logprobs=first,
        candidates_logprobs=candidates,
        candidates=left,
        strays=np.full(len(frame), np.nan),
    )
    return task.judge(answers, examples, split, dataset)


def _refuse_contradictions(
    frame: pl.DataFrame,
    places: np.ndarray,
    target: np.ndarray,
    first: np.ndarray,
    candidates: np.ndarray,
) -> None:
    """Refuses log-probabilities that cannot be so together; what is unknown contradicts nothing.

    Raises:
        UserError: They are such, of somebody.
    """
    most = candidates + _ROUNDING
    above = "is above candidates_logprob, though it is of one of the candidates"
    refuse(frame, first > most, f"first_logprob {above}")
    refuse(frame, (target > most) & (places != MISSED), f"target_logprob {above}")
    unlike = (np.abs(target - first) > _ROUNDING) & (places == 1)
    refuse(frame, unlike, "the target is ranked first, but target_logprob is not first_logprob")


def _seen(examples: Examples, ids: np.ndarray, exclude: bool) -> tuple[np.ndarray, np.ndarray]:
    """Whether a list has an item that is no candidate, and how many candidates there are.

    Args:
        examples: What was asked.
        ids: `[n, K]` ranked items, 0 behind the end of a list.
        exclude: Whether seen items are no candidates.

    Returns:
        `BoolArray[n]` and `[n]`.
    """
    count = examples.log.schema.num_items
    met, left = np.zeros(len(ids), dtype=bool), np.full(len(ids), count)
    for begin in range(0, len(ids) if exclude else 0, _ROWS):
        rows = slice(begin, min(begin + _ROWS, len(ids)))
        seen = examples.seen(rows).numpy()
        seen[:, 0] = False
        met[rows] = np.take_along_axis(seen, ids[rows], axis=1).any(axis=1)
        left[rows] = count - seen.sum(axis=1)
    return met, left


JUDGE = Judge(("ranked", *LOG_PROBS), ask, judge_answers)
