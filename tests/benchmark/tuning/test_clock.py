"""What a search may take is the same for all, whatever the cache has or a method stands on."""

from __future__ import annotations

import pytest

from benchmark.records import results
from benchmark.tuning.trials import seconds_of
from tests.benchmark.tuning.conftest import TUNE
from tests.benchmark.tuning.standing import STAGE_SECONDS, standing_tables
from tests.records import make_record


@pytest.fixture
def tables(tmp_path):
    return standing_tables(tmp_path / "spaces")


@pytest.mark.parametrize(("reused", "expected"), [(False, 12.0), (True, 19.0)])
def test_a_stage_from_the_cache_counts_as_when_it_was_made(reused, expected):
    stages = (
        results.Stage(name="encoder", seconds=7.0, reused=reused),
        results.Stage(name="tune", seconds=9.0),
    )
    fit = results.Fit(seconds=16.0, wall_seconds=11.0, stages=stages)
    assert seconds_of(make_record("taker", fit=fit, evaluation_seconds=1.0)) == expected


def test_a_warm_cache_buys_no_trials(bench):
    given = ("--method", "taker", "--trials", "8", "--seconds", str(1.5 * STAGE_SECONDS))
    row = bench.rows(*given, "--set", "small.flag=true")["taker"]
    assert [own["seconds"] >= STAGE_SECONDS for own in row["history"]] == [True, True]


def test_a_method_that_stands_on_a_tuned_encoder_has_what_its_search_left(bench):
    bench.rows("--method", "small", "--trials", "2", "--set", "small.wait=0.5")
    encoder = bench.file()["tuning"]["small"]
    assert encoder["encoder_seconds"] == 0
    given = ("--method", "taker", "--trials", "6", "--seconds")
    row = bench.rows(*given, "1")["taker"]
    assert len(row["history"]) == 1  # one always runs
    assert row["encoder_seconds"] == encoder["seconds"] >= 1
    entry = bench.file()["tuning"]["taker"]
    assert entry["encoder_seconds"] == encoder["seconds"]
    assert entry["seconds"] == pytest.approx(sum(own["seconds"] for own in row["history"]))
    _, out, err = bench(*TUNE, *given, "60")
    assert "its encoder's search)" in err
    assert f"taker: {encoder['seconds']:.1f} s of its 60 were the search of its encoder" in out
    assert len(bench.file()["tuning"]["taker"]["history"]) == 6
    alone = bench.rows(*given, "1", "--out", "elsewhere")["taker"]
    assert alone["encoder_seconds"] == 0
