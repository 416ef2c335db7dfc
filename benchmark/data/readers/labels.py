"""Several labels an item: which of very many are kept, and the feature that they make."""

from __future__ import annotations

import polars as pl

from benchmark.schema import Feature, FeatureKind


def tidy_labels(lists: pl.Series) -> pl.Series:
    """Lists without nulls, empty labels and repetitions; null where nothing is left.

    Args:
        lists: Lists of strings, null where there is none.
    """
    element = pl.element()
    tidy = pl.col("lists").list.eval(element.filter(element.is_not_null() & (element != "")))
    frame = pl.DataFrame({"lists": lists}).select(tidy.list.unique(maintain_order=True))
    return frame.select(
        pl.when(pl.col("lists").list.len() > 0).then(pl.col("lists")).otherwise(None)
    ).to_series()


def with_frequent_labels(
    catalog: pl.DataFrame, column: str, limit: int
) -> tuple[pl.DataFrame, Feature | None]:
    """Keeps the labels that most items have, as a feature of the item.

    Args:
        catalog: One row an item; `column` has lists of labels, null where an item has none.
        column: The column, and the feature's name.
        limit: Most labels that are kept; equally frequent ones in the order of the alphabet.

    Returns:
        The catalogue with kept labels alone, null where none is left, and the feature; where no
        item has any label, the catalogue without the column, and None.
    """
    lists = tidy_labels(catalog[column])
    counted = lists.drop_nulls().explode().rename("label").value_counts()
    if counted.is_empty():
        return catalog.drop(column), None
    best = counted.sort(["count", "label"], descending=[True, False])["label"].head(limit)
    kept = pl.DataFrame({column: lists}).select(
        pl.col(column).list.eval(pl.element().filter(pl.element().is_in(best.implode())))
    )
    lists = tidy_labels(kept[column])
    feature = several(column, lists, tuple(best.sort()), of_item=True)
    return catalog.with_columns(lists.alias(column)), feature


def several(name: str, lists: pl.Series, labels: tuple[str, ...], *, of_item: bool) -> Feature:
    """A feature of several values, as wide as the longest of some lists."""
    width = int(lists.list.len().max() or 1)  # type: ignore[arg-type]
    return Feature(
        name, FeatureKind.MULTI, len(labels), of_item=of_item, width=width, labels=labels
    )
