"""Probes that change the training: cells of their own, compared with the run's."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping

import polars as pl

from benchmark.config import RunConfig
from benchmark.display.progress import RunProgress
from benchmark.probing.losses import Values, losses_of, user_values
from benchmark.probing.report import Loss, ProbeRow
from benchmark.records.results import EXAMPLES, Row
from benchmark.runs.runner import run
from benchmark.tables import Tables
from benchmark.variants import Variant


def fit_anew(
    config: RunConfig,
    method: str,
    settings: Mapping[str, Mapping[str, object]],
    base: Values,
    tables: Tables,
    progress: RunProgress,
    command: str,
) -> list[ProbeRow]:
    """Fits a method with other settings, through the runner, so that a finished cell is found.

    Args:
        config: That of the run, with the folder of the new cells.
        method: Its method.
        settings: What changes, by probe.
        base: What the run reached, user by user.
        tables: What can be named.
        progress: Where to say how far it is.
        command: What the user typed.
    """
    variants = [
        Variant(method, {method: dict(changes)}, {"probe": name})
        for name, changes in settings.items()
    ]
    rows = run(config, tables, progress, command, variants)
    return [
        _fitted_row(name, settings[name], row, base)
        for name, row in zip(settings, rows, strict=True)
    ]


def _fitted_row(name: str, settings: Mapping[str, object], row: Row, base: Values) -> ProbeRow:
    changes = ", ".join(f"{field}={value}" for field, value in settings.items())
    found = ProbeRow(probe=name, about=f"fitted anew: {changes}", trained=True)
    if row.record is None or row.path is None:
        return found.model_copy(update={"na": row.na, "error": row.error})
    metrics: dict[str, Loss] = {}
    with contextlib.suppress(OSError):  # a lost examples file leaves the perplexities
        metrics = losses_of(user_values(pl.read_parquet(row.path.parent / EXAMPLES)), base)
    return found.model_copy(
        update={
            "metrics": metrics,
            "perplexity": row.record.fit.perplexity,
            "record": str(row.path),
        }
    )
