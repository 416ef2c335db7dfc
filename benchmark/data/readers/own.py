"""The user's own data: one file of interactions, and `columns.yaml` that says what is what.

One row is one event. What is known of an item stands in the rows of its events; of several
values for one item the first known one counts.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import polars as pl
from pydantic import Field

from benchmark.data.raw import PrepareSettings, Raw
from benchmark.data.readers.own_columns import (
    COLUMNS_FILE,
    Columns,
    FeatureColumn,
    feature_names,
    read_columns,
)
from benchmark.data.readers.own_features import feature_column
from benchmark.data.readers.own_tables import find_table, read_table
from benchmark.data.readers.own_times import is_a_time, times
from benchmark.data.readers.sieve import distinct_rows, external_id, first_known, has_id
from benchmark.data.store.sources import note_read
from benchmark.errors import UserError
from benchmark.schema import ITEM, SUMMARY, TEXT, TIMESTAMP, USER, Feature


class OwnSettings(PrepareSettings):
    """How the user's own file is read."""

    columns: Path | None = Field(
        None, description="what the file's columns mean; null = columns.yaml beside the file"
    )


def read_own(name: str, source: Path, settings: PrepareSettings) -> Raw:
    """Reads the user's own data: the `Reader` of `own/*`.

    Args:
        name: For example `own/shop`.
        source: A CSV, Parquet or JSON lines file, or a folder with one and its `columns.yaml`.
        settings: How many broken lines to bear, and with `OwnSettings` where `columns.yaml` is.

    Raises:
        UserError: File and `columns.yaml` do not fit together, or the file is too broken.
    """
    mapping = find_columns(name, source, settings)
    columns = read_columns(mapping)
    path = find_table(source)
    for read in (mapping, path):
        note_read(read)  # the mapping may lie elsewhere: a change of it counts all the same
    checks = [has_id([columns.user]), has_id([columns.item])]
    if columns.timestamp is not None:
        checks.append(is_a_time(columns.timestamp))
    file, table, counts = read_table(path, columns, checks, settings.broken)
    notes = [f"the interactions are those of {PurePosixPath(file).name}"]
    if columns.timestamp is not None and columns.duplicates == "drop":
        table, repeated = distinct_rows(table)
        counts = {**counts, **repeated}
    if columns.timestamp is None:
        # No time is made up: equal times keep the order of the file, and say that they are equal.
        seconds = pl.zeros(len(table), dtype=pl.Int64, eager=True)
        notes.append("there are no timestamps: a user's events are in the order of the file")
    else:
        seconds, understood = times(table[columns.timestamp.column], columns.timestamp)
        notes += understood
    events = table.select(
        external_id(pl.col(columns.user)).alias(USER),
        external_id(pl.col(columns.item)).alias(ITEM),
        seconds.alias(TIMESTAMP),
        *(
            on_one_line(pl.col(column)).alias(field)
            for field, column in ((TEXT, columns.text), (SUMMARY, columns.summary))
            if column is not None
        ),
    )
    features: list[Feature] = []
    for column, given in columns.features.items():
        label = given.name or column
        values, feature, lost = feature_column(label, table[column], given, of_item=False)
        events = events.with_columns(values.alias(label))
        features.append(feature)
        counts = {**counts, **lost}
    catalog, found = read_items(table, columns)
    counts = {**counts, **found}
    for label, given in feature_names(columns.item_features).items():
        values, feature, lost = feature_column(label, catalog[label], given, of_item=True)
        catalog = catalog.with_columns(values.alias(label))
        features.append(feature)
        counts = {**counts, **lost}
    return Raw(events, catalog, tuple(features), columns.label or "", counts, tuple(notes))


def find_columns(name: str, source: Path, settings: PrepareSettings) -> Path:
    """The `columns.yaml` that was named, or the one beside the file.

    Raises:
        UserError: There is none.
    """
    named = settings.columns if isinstance(settings, OwnSettings) else None
    path = named or (source if source.is_dir() else source.parent) / COLUMNS_FILE
    if not path.is_file():
        raise UserError(
            f"data set {name!r}: {path} is not there: say in it which column is `user`, which"
            " `item` and which `timestamp`, or name another file with --columns"
        )
    return path


def read_items(table: pl.DataFrame, columns: Columns) -> tuple[pl.DataFrame, dict[str, int]]:
    """What the rows say of items: each item once, with the first title and features known of it.

    Args:
        table: The mapped columns, one row an event.
        columns: What they mean.

    Returns:
        Columns `item`, `text` and one a feature, as strings or lists of strings; counts.
    """
    title = pl.lit(None, pl.String()) if columns.title is None else pl.col(columns.title)
    rows = table.select(
        external_id(pl.col(columns.item)).alias(ITEM),
        on_one_line(title).alias(TEXT),
        *(
            known_values(column, given).alias(given.name or column)
            for column, given in columns.item_features.items()
        ),
    )
    titles = rows.group_by(ITEM).agg(pl.col(TEXT).drop_nulls().n_unique())[TEXT]
    found = {
        "items with several titles, the first kept": int((titles > 1).sum()),
    }
    # Rows of one item are no repetition here: every event has one.
    return first_known(rows)[0], {reason: count for reason, count in found.items() if count}


def known_values(column: str, given: FeatureColumn) -> pl.Expr:
    """What a column says of an item, so that a later row may say what this one does not."""
    if given.kind == "multi":
        return pl.col(column).list.eval(external_id(pl.element()).drop_nulls())
    return external_id(pl.col(column))


def on_one_line(text: pl.Expr) -> pl.Expr:
    """Text with single blanks for line ends and rows of blanks; null where it says nothing."""
    # pandas writes a missing title as it writes a missing id: a film called "None" is the rarer.
    return external_id(text.cast(pl.String).str.replace_all(r"\s+", " "))
