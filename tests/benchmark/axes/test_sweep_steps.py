"""What is said of a sweep whose lengths differ in more than their length."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from benchmark.axes.sweep_points import Point, points_of
from benchmark.axes.sweep_steps import cautions
from benchmark.commands.sweep_table import about, print_sweep
from benchmark.records.results import EXAMPLES, Fit, Row, Stage, row_of
from tests.records import make_record, write_record


def rows_of(folder: Path, steps: dict[int, int], longest: int | None = 30) -> list[Row]:
    """A row a length, with so many steps of tuning after ten of a shared stage."""
    rows = []
    for length, count in steps.items():
        stages = (Stage(name="language_model", seconds=1.0, steps=10),
                  Stage(name="tune", seconds=1.0, steps=count))  # fmt: skip
        fit = Fit(seconds=2.0, wall_seconds=2.0, stages=stages)
        record = make_record("text_prompt", fit=fit, axes={"seq_len": length})
        path = write_record(folder / str(length), record)
        if longest is not None:
            frame = pl.DataFrame({"user": ["a", "b"], "history_events": [longest, 4]})
            frame.write_parquet(path.parent / EXAMPLES)
        rows.append(row_of(record, path))
    return rows


def points(rows: list[Row]) -> list[Point]:
    return [Point(row.method, row.axes, rows=(row,)) for row in rows]


def test_steps_that_differ_are_counted_and_lengths_beyond_every_history_named(tmp_path):
    steps, same = cautions(points(rows_of(tmp_path, {10: 27, 50: 67, 200: 275})))
    assert "text_prompt, tune: 10: 27, 50: 67, 200: 275" in steps
    assert "language_model" not in steps
    assert "30 events" in same
    assert same.endswith("50, 200 read the same")


def test_nothing_is_said_where_only_the_length_differs(tmp_path):
    assert cautions(points(rows_of(tmp_path, {10: 100, 30: 102}))) == []
    assert cautions([Point("popularity", {})]) == []


def test_without_examples_the_steps_are_said_alone(tmp_path):
    (line,) = cautions(points(rows_of(tmp_path, {10: 27, 200: 275}, longest=None)))
    assert "steps" in line


def test_places_of_a_second_axis_are_not_mixed(tmp_path):
    rows = rows_of(tmp_path, {10: 20, 20: 80})
    places = [Point(row.method, {**row.axes, "width": float(n)}, rows=(row,))
              for n, row in enumerate(rows)]  # fmt: skip
    assert cautions(places) == []


def test_the_table_and_the_figures_say_it(tmp_path, capsys):
    rows = rows_of(tmp_path, {10: 27, 200: 275})
    told = cautions(points(rows))
    print_sweep(points_of(rows), rows, ["seq_len"], ["recall@10"], [], "", told)
    out = capsys.readouterr().out
    note = about(rows, ["recall@10"], ["seq_len"], told).note
    for line in told:
        assert line in out
        assert line in note
