"""The numbers of `next_item`: from the places of the targets. Free of torch."""

from __future__ import annotations

import numpy as np
import polars as pl

from benchmark.errors import UserError
from benchmark.metrics.ranking import MISSED, NEXT_ITEM_METRICS, ranks_in_lists
from benchmark.records.example_files import Stored
from benchmark.records.results import RunRecord
from benchmark.tasks.averages import averaged
from benchmark.tasks.config import NextItemSettings
from benchmark.tasks.numbers import Numbers, Recomputed, groups_of, offenders, settings_of

STRAYS = "stray_answers"
"""Share of a user's answers that are no item; only of methods that answer in free text."""


def values_at(places: np.ndarray, strays: np.ndarray | None = None) -> dict[str, np.ndarray]:
    """Metric values of every example, `[n]` each.

    Args:
        places: `[n]` rank of each target, 0 = missed.
        strays: `[n]` shares of answers that are no item; None where all must be.
    """
    values = {metric.name: metric.per_example(places) for metric in NEXT_ITEM_METRICS}
    return values if strays is None else {**values, STRAYS: strays}


def recompute(stored: Stored, record: RunRecord) -> Recomputed:
    """The numbers of a record, from its lists and targets, or from the ranks of the targets.

    Raises:
        UserError: The examples have neither.
    """
    frame = stored.frame
    settings = settings_of(record, NextItemSettings)
    problems: tuple[str, ...] = ()
    if {"target", "ranked"} <= set(frame.columns):
        places = ranks_in_lists(frame)
        problems = _contradictions(frame, places)
    elif "target_rank" in frame.columns:
        places = frame["target_rank"].fill_null(MISSED).to_numpy()
    else:
        raise UserError("its examples have neither targets with lists nor ranks of targets")
    if {"target_rank", "candidates"} <= set(frame.columns):
        within = frame.select(pl.col("target_rank").is_between(1, pl.col("candidates")))
        outside = ~within.to_series().fill_null(True).to_numpy()
        problems += offenders(frame, outside, "target_rank is not between 1 and candidates")
    strays = frame[STRAYS].to_numpy() if STRAYS in frame.columns else None
    values = values_at(places, strays)
    metrics, intervals = averaged(values, groups_of(frame, "tied"), settings)
    return Recomputed(values, metrics, intervals, problems)


def _contradictions(frame: pl.DataFrame, places: np.ndarray) -> tuple[str, ...]:
    """Where lists name an item twice, or `target_rank` is not where the target stands."""
    twice = frame.select(pl.col("ranked").list.n_unique() < pl.col("ranked").list.len())
    problems = offenders(frame, twice.to_series().to_numpy(), "an item is ranked twice")
    if "target_rank" not in frame.columns:
        return problems
    rank = frame["target_rank"]
    beyond = (rank.is_null() | (rank > frame["ranked"].list.len())).to_numpy()
    agrees = np.where(places == MISSED, beyond, rank.fill_null(MISSED).to_numpy() == places)
    wrong = "target_rank is not where the target stands in ranked"
    return (*problems, *offenders(frame, ~agrees, wrong))


NUMBERS = Numbers("1", recompute)
