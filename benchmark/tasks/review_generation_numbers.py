"""The numbers of `review_generation`: from references and texts. Free of torch."""

from __future__ import annotations

import numpy as np

from benchmark.errors import UserError
from benchmark.metrics.text import ROUGE, rouge
from benchmark.records.example_files import Stored
from benchmark.records.results import RunRecord
from benchmark.tasks.averages import averaged
from benchmark.tasks.config import ReviewGenerationSettings
from benchmark.tasks.numbers import Numbers, Recomputed, groups_of, offenders, settings_of

NEW, VERBATIM = "new", "verbatim"


def recompute(stored: Stored, record: RunRecord) -> Recomputed:
    """The numbers of a record: ROUGE from the texts where they are there, else its stored values.

    Raises:
        UserError: The examples have neither.
    """
    frame = stored.frame
    settings = settings_of(record, ReviewGenerationSettings)
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    if {"reference", "output"} <= set(frame.columns):
        values = rouge(frame["reference"].to_list(), frame["output"].to_list())
    elif set(ROUGE) <= set(frame.columns):
        values = {name: frame[name].to_numpy() for name in ROUGE}
        notes = ("no texts there: checked from each user's stored ROUGE",)
        for name, column in values.items():
            problems += offenders(frame, ~np.isfinite(column), f"{name} is no number")
    else:
        raise UserError("its examples have neither texts nor ROUGE of each user")
    groups = groups_of(frame, VERBATIM)
    if VERBATIM in frame.columns:
        groups[NEW] = ~frame[VERBATIM].to_numpy()
    metrics, intervals = averaged(values, groups, settings)
    return Recomputed(values, metrics, intervals, problems, notes)


NUMBERS = Numbers("1", recompute)
