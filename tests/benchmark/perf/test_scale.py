from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from benchmark.data.ordering import stand_together
from benchmark.errors import RunError
from benchmark.perf import scale, scale_subjects
from benchmark.perf.comparison import write
from benchmark.perf.scale import compare
from benchmark.perf.scale_events import write_events
from benchmark.perf.scale_figure import draw


@pytest.fixture
def begun(tmp_path, monkeypatch):
    """Subjects run in this process, which saves a start for each. Which ones were begun."""
    called: list[tuple[str, int]] = []

    def begin(threads, subject, folder, *numbers):
        called.append((subject, threads))
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("USERLLM_BENCH_HOME", "set by the subject")
            return json.loads(json.dumps(scale_subjects.measure(subject, folder, *numbers)))

    monkeypatch.setenv("USERLLM_BENCH_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(scale, "_begin", begin)
    monkeypatch.setattr(scale, "_end", lambda subject, costs: costs)
    return called


def test_every_size_is_prepared_and_sampled_and_drawn(begun, tmp_path):
    result = compare(1, (600, 2400), 3)
    rows = result.details["sizes"]
    assert [row["prepare"]["events"] for row in rows] == [600, 2400]
    for row in rows:
        sample = row["sample"]
        assert sample["batches_timed"] == min(3, sample["batches_of_an_epoch"]) - 1
        assert sample["epoch_is_extrapolated"] == (sample["batches_of_an_epoch"] > 3)
        assert sample["epoch_seconds"] >= sample["cutting_seconds"]
        assert sample["peak_private_bytes"] <= sample["peak_resident_bytes"]
        assert sum(rank["training_events"] for rank in row["ranks"]) == sample["training_events"]
    assert result.ours == pytest.approx(rows[1]["prepare"]["seconds"] / 2400 * 1e6)
    files = draw(write("scale", result, tmp_path, 1))
    assert [file.name for file in files] == ["scale.png", "scale.svg"]


def texts_of(measured: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What stands in the figure of a measurement."""
    drawn: list[Figure] = []
    monkeypatch.setattr(
        "benchmark.perf.scale_figure.save", lambda figure, path: drawn.append(figure)
    )
    draw(measured)
    return [text.get_text() for text in drawn[0].findobj(Text)]


def test_the_figure_says_what_was_measured_where_and_what_was_reckoned(
    begun, tmp_path, monkeypatch
):
    file = write("scale", compare(1, (600, 2400), 3), tmp_path, 1)
    facts = json.loads(file.read_text())
    for reckoned in (True, False):
        facts["details"]["sizes"][-1]["sample"]["epoch_is_extrapolated"] = reckoned
        file.write_text(json.dumps(facts))
        texts = texts_of(file, monkeypatch)
        assert "What more events cost" in texts
        assert any("made-up ratings" in text and "1 thread" in text for text in texts)
        assert any(text.startswith("aim: at most 4 GiB") for text in texts)
        assert ("reckoned from a part of it" in texts) is reckoned


def test_what_was_measured_is_not_measured_again(begun):
    first = compare(1, (600,), 3)
    done = len(begun)
    assert compare(1, (600,), 3).details["sizes"] == first.details["sizes"]
    assert len(begun) == done == 5
    compare(2, (600,), 3)
    assert begun[done:] == [(subject, 2) for subject, _ in begun[:done]]


def test_a_size_for_which_there_is_no_room_is_refused_before_it_begins(begun):
    with pytest.raises(RunError, match="TMPDIR"):
        compare(1, (10**15,), 3)
    assert begun == []


def test_a_subject_that_fails_is_told(tmp_path):
    with pytest.raises(RunError, match=r"prepare failed: .*is not there"):
        scale._run(1, "prepare", tmp_path)


def test_events_come_in_the_order_of_time_and_users_are_scattered(tmp_path):
    write_events(tmp_path / "a", 3000)
    write_events(tmp_path / "b", 3000)
    frame = pl.read_csv(tmp_path / "a" / "ratings.csv")
    assert len(frame) == 3000
    assert frame["timestamp"].is_sorted()
    assert not stand_together(frame["userId"].to_numpy())
    assert set(frame["rating"]) <= set(np.arange(1, 11) / 2)
    movies = pl.read_csv(tmp_path / "a" / "movies.csv")
    assert set(frame["movieId"]) <= set(movies["movieId"])
    assert frame.equals(pl.read_csv(tmp_path / "b" / "ratings.csv"))
