"""Averages rows over seeds, with intervals over users. Free of torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from benchmark.metrics.significance import bootstrap_interval
from benchmark.records.differences import mean_a_user
from benchmark.records.results import Row, comparison_group, to_frame

if TYPE_CHECKING:
    import pandas as pd


def latest_rows(rows: Sequence[Row]) -> list[Row]:
    """Of rows that differ in nothing a figure shows, the one made last."""
    frame = to_frame(rows)
    if frame.empty:
        return []
    last = frame.sort_values("created", kind="stable").drop_duplicates(
        ["group", "method", "variant", "seed"], keep="last"
    )
    return [rows[position] for position in sorted(last["record"])]


def comparable_rows(rows: Sequence[Row]) -> list[list[Row]]:
    """Finished rows by what they were asked, of equal rows the one made last."""
    groups: dict[str, list[Row]] = {}
    for row in latest_rows(rows):
        if row.record is not None:
            groups.setdefault(comparison_group(row.record), []).append(row)
    return list(groups.values())


def summarise(rows: Sequence[Row], *, changes: bool = False) -> pd.DataFrame:
    """One line a method (and variant) and metric, averaged over seeds.

    Args:
        rows: Finished rows of one comparison group, each seed of a method once.
        changes: Whether labels say what settings were changed of a method that is there in one
            variant alone, too; where several are, they always do.

    Returns:
        Columns `label`, `metric`, `value`, `low`, `high`, `least` and `most` (of all seeds),
        `seeds` (how many), `users`, `training_seconds` and `training_flops` (means over seeds; NaN
        = not measured). Methods stand in the order of the rows.
    """
    import pandas as pd

    frame = to_frame(rows)
    frame["label"] = _labels(frame, changes)
    lines = []
    for (label, metric), part in frame.groupby(["label", "metric"], sort=False):
        low, high = _interval(part, [rows[position] for position in part["record"]])
        records = [rows[position].record for position in part["record"]]
        lines.append(
            {
                "label": label,
                "metric": metric,
                "value": part["value"].mean(),
                "low": low,
                "high": high,
                "least": part["value"].min(),
                "most": part["value"].max(),
                "seeds": part["seed"].nunique(),
                "users": max(record.examples for record in records if record),
                "training_seconds": part["training_seconds"].mean(),
                "training_flops": pd.to_numeric(part["training_flops"]).mean(),
            }
        )
    return pd.DataFrame(lines)


def learning_curves(rows: Sequence[Row], *, changes: bool = False) -> pd.DataFrame:
    """Validation values while training, with the seconds of all stages before counted.

    Of each row those of its last stage that looked: what an earlier one reaches, for example an
    encoder alone, is not what the row answers.

    Args:
        rows: Finished rows.
        changes: See `summarise`.

    Returns:
        Columns `label`, `seed`, `stage` (its number), `seconds`, `value`.
    """
    import pandas as pd

    frame = to_frame(rows)
    labels = dict(zip(frame["record"], _labels(frame, changes), strict=True))
    lines: list[dict[str, Any]] = []
    for position, row in enumerate(rows):
        before = 0.0
        stages = row.record.fit.stages if row.record else ()
        last = max((number for number, stage in enumerate(stages) if stage.curve), default=-1)
        for number, stage in enumerate(stages):
            lines += [
                {
                    "label": labels[position],
                    "seed": row.seed,
                    "stage": number,
                    "seconds": before + seconds,
                    "value": value,
                }
                for seconds, _, value in stage.curve
                if number == last
            ]
            before += stage.seconds
    return pd.DataFrame(lines, columns=["label", "seed", "stage", "seconds", "value"])


def _labels(frame: pd.DataFrame, changes: bool) -> pd.Series[str]:
    """The method's name, with what was changed where it is there in several variants, or asked."""
    told = frame.groupby("method")["variant"].transform("nunique") > 1
    if changes:
        told |= frame["changed"]
    return frame["method"].where(~told, frame["method"] + "\n" + frame["variant_label"])


def _interval(part: pd.DataFrame, rows: Sequence[Row]) -> tuple[float, float]:
    """The row's own interval; with several seeds a bootstrap over users of their mean."""
    if len(rows) > 1:
        values = mean_a_user(rows, str(part["metric"].iloc[0]))
        if values is not None:
            return bootstrap_interval(values.to_numpy(dtype=float))
    return float(part["low"].mean()), float(part["high"].mean())
