"""The numbers of `favorite_genre`: from right labels and ranked ones. Free of torch."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from benchmark.metrics.classification import macro_f1, macro_f1_interval
from benchmark.metrics.label_recall import label_places, recalls
from benchmark.records.example_files import Stored
from benchmark.records.results import RunRecord
from benchmark.tasks.averages import averaged
from benchmark.tasks.config import FavoriteGenreSettings, TaskSettings
from benchmark.tasks.numbers import Numbers, Recomputed, offenders, settings_of

MACRO_F1 = "macro_f1"
TIED, UNLABELLED = "users/tied", "users/unlabelled"
"""Shares of users: of those asked, with several right labels; of all, left out without any."""


def sure(order: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The right label and the first that was said, of users with one right label, `[m]` each.

    Args:
        order: `[n, K]` labels, best first.
        right: `BoolArray[n, C]`.
    """
    alone = right.sum(axis=1) == 1
    return right[alone].argmax(axis=1), order[alone, 0]


def judged(
    values: Mapping[str, np.ndarray],
    order: np.ndarray,
    right: np.ndarray,
    everybody: int,
    settings: TaskSettings,
) -> tuple[dict[str, float], dict[str, tuple[float, float]]]:
    """Metrics and intervals.

    Args:
        values: From `recalls`.
        order: `[n, K]` labels, best first.
        right: `BoolArray[n, C]`.
        everybody: Users there are, those without any right label included.
        settings: Of the bootstrap.
    """
    # The groups of a split go by the first held-out item, which says nothing of a label.
    metrics, intervals = averaged(values, {}, settings)
    truth, said = sure(order, right)
    if len(truth):
        metrics[MACRO_F1] = macro_f1(truth, said)
        intervals[MACRO_F1] = macro_f1_interval(
            truth, said, samples=settings.bootstrap_samples, seed=settings.bootstrap_seed
        )
    metrics[TIED] = 1 - len(truth) / len(right)
    metrics[UNLABELLED] = (everybody - len(right)) / everybody
    return metrics, intervals


def recompute(stored: Stored, record: RunRecord) -> Recomputed:
    """The numbers of a record, from the names of the right and the ranked labels.

    Resampling macro-F1 goes by the order of the labels, which stands in the file; where it does
    not, that of the alphabet is taken.

    Raises:
        UserError: The examples lack these names, or not every user has some.
    """
    frame = stored.frame
    settings = settings_of(record, FavoriteGenreSettings)
    order, right = label_places(frame, stored.labels)
    values = recalls(order, right)
    notes: tuple[str, ...] = ()
    everybody = _everybody(record, settings)
    metrics, intervals = judged(values, order, right, everybody or len(frame), settings)
    if not everybody and UNLABELLED in record.metrics:
        notes = (f"{UNLABELLED} does not follow from the examples: left unchecked",)
        metrics[UNLABELLED] = record.metrics[UNLABELLED]
    problems: tuple[str, ...] = ()
    if "tied" in frame.columns:
        wrong = frame["tied"].to_numpy() != (right.sum(axis=1) > 1)
        problems = offenders(frame, wrong, "tied is not whether several labels are right")
    twice = (np.diff(np.sort(order, axis=1), axis=1) == 0).any(axis=1)
    problems += offenders(frame, twice, "a label is ranked twice")
    return Recomputed(values, metrics, intervals, problems, notes)


def _everybody(record: RunRecord, settings: TaskSettings) -> int:
    """Users that there are, those without any right label included; 0 = nothing says how many."""
    known = record.dataset.facts.get("users_evaluated")
    if record.protocol.part != "test" or not isinstance(known, int):
        return 0
    return min(known, settings.users or known)


NUMBERS = Numbers("1", recompute)
