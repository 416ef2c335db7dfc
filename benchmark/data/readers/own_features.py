"""Columns of the user's own file as features."""

from __future__ import annotations

import polars as pl

from benchmark.data.readers.labels import several, tidy_labels
from benchmark.data.readers.own_columns import FeatureColumn
from benchmark.data.readers.sieve import NOTHING
from benchmark.errors import UserError
from benchmark.schema import Feature, FeatureKind, number

EDGES = (0.0, *(float(step * 10**power) for power in range(6) for step in (1, 2, 5)), 1e6)
"""Where buckets meet unless `columns.yaml` says: fixed, so that no held-out event has a say."""


def feature_column(
    name: str, column: pl.Series, given: FeatureColumn, *, of_item: bool
) -> tuple[pl.Series, Feature, dict[str, int]]:
    """A column as a feature.

    Args:
        name: Of the feature.
        column: Strings, lists of strings for a feature of several values; null where unknown.
        given: What `columns.yaml` says of it.
        of_item: Whether it follows from the item.

    Returns:
        Its values (null where unknown), the feature, and how many values were left out.

    Raises:
        UserError: There is no value at all.
    """
    read = {"category": _category, "multi": _multi, "number": _number}[given.kind]
    values, feature, lost = read(name, column, given, of_item)
    if values.null_count() == len(values):
        wanted = "number" if given.kind == "number" else "value"
        raise UserError(f"column {column.name!r} (feature {name!r}) has no {wanted} at all")
    return values, feature, {f"values of {name!r} left out": lost} if lost else {}


def _category(
    name: str, column: pl.Series, given: FeatureColumn, of_item: bool
) -> tuple[pl.Series, Feature, int]:
    values = _labels(column)
    kept, lost = _most_frequent(values, given.most)
    values = values.set(~values.is_in(kept.implode()).fill_null(True), None)
    labels = _in_order(kept) or ("",)
    return (
        values,
        Feature(name, FeatureKind.CATEGORY, len(labels), of_item=of_item, labels=labels),
        lost,
    )


def _multi(
    name: str, column: pl.Series, given: FeatureColumn, of_item: bool
) -> tuple[pl.Series, Feature, int]:
    rows = pl.DataFrame({"row": pl.int_range(len(column), eager=True), "value": column})
    rows = rows.explode("value")
    rows = rows.with_columns(_labels(rows["value"]))
    kept, lost = _most_frequent(rows["value"], given.most)
    rows = rows.filter(pl.col("value").is_in(kept.implode()))
    lists = rows.group_by("row", maintain_order=True).agg("value")
    whole = pl.DataFrame({"row": pl.int_range(len(column), eager=True)})
    values = tidy_labels(whole.join(lists, on="row", how="left", maintain_order="left")["value"])
    feature = several(name, values, _in_order(kept) or ("",), of_item=of_item)
    return values, feature, lost


def _number(
    name: str, column: pl.Series, given: FeatureColumn, of_item: bool
) -> tuple[pl.Series, Feature, int]:
    values = column.str.strip_chars().cast(pl.Float64, strict=False)
    values = values.set(values.is_nan().fill_null(False), None)
    written = column.str.strip_chars().is_in(NOTHING).not_().fill_null(False)
    lost = int((written & values.is_null()).sum())
    return values, number(name, given.edges or EDGES, of_item=of_item), lost


def _labels(column: pl.Series) -> pl.Series:
    """Values as labels: without blanks around them, and "4.0" as "4" where all are numbers."""
    values = column.str.strip_chars()
    values = values.set(values.is_in(NOTHING).fill_null(False), None)
    numbers = values.cast(pl.Float64, strict=False)
    if numbers.null_count() > values.null_count() or not numbers.is_finite().all():
        return values
    # Ids that begin with a zero ("007") or are longer than a float is exact stay as they are.
    if values.str.contains(r"^[+-]?0\d|\d{16}").any():
        return values
    return numbers.cast(pl.String).str.replace(r"\.0$", "")


def _most_frequent(values: pl.Series, most: int) -> tuple[pl.Series, int]:
    """The most frequent values, of equally frequent ones the first of the alphabet."""
    counted = values.drop_nulls().rename("value").value_counts()
    counted = counted.sort(["count", "value"], descending=[True, False])
    return counted["value"].head(most), int(counted["count"].slice(most).sum())


def _in_order(labels: pl.Series) -> tuple[str, ...]:
    """Labels in the order of numbers where all are, else of the alphabet."""
    numbers = labels.cast(pl.Float64, strict=False)
    return tuple(labels.sort() if numbers.has_nulls() else labels.gather(numbers.arg_sort()))
