"""What fails in one of two processes, or in both, ends or goes on in both."""

import json

import pytest

from tests.processes import codes_of_two

MODULE = "tests.benchmark.survival.failing"
RUN = [
    "run", "--task", "next_item", "--dataset", "synthetic", "--preset", "smoke", "--devices", "2",
    "--no-keep-models", "--threads", "1", "--methods", "sasrec", "--seeds", "0,1",
    "--set", "sasrec.transformer={width: 16, layers: 1}", "--set", "cost.users=0",
]  # fmt: skip


@pytest.fixture(autouse=True)
def _home(tmp_path, monkeypatch):
    monkeypatch.setenv("USERLLM_BENCH_HOME", str(tmp_path / "home"))


def run(tmp_path, kind, failing):
    out = tmp_path / "out"
    codes, said = codes_of_two(MODULE, kind, failing, *RUN, "--out", str(out))
    assert "Traceback" not in "".join(said)
    records = [json.loads(path.read_text()) for path in out.glob("*/record.json")]
    return codes, said, sorted(records, key=lambda record: record["seed"])


def test_out_of_memory_in_both_is_tried_again_by_both(tmp_path):
    codes, said, records = run(tmp_path, "memory", "01")
    assert codes == [0, 0], "".join(said)
    assert ["smaller_batches" in record["budget"] for record in records] == [True, False]
    assert not list((tmp_path / "out").glob(".unfinished/*"))


def test_out_of_memory_in_one_ends_both(tmp_path):
    codes, said, records = run(tmp_path, "memory", "1")
    assert codes == [1, 1], "".join(said)
    assert not records
    assert "not enough memory" in said[1]
    assert "the same command goes on from there" in said[1]


def test_data_that_change_end_the_run_of_both_alike(tmp_path):
    codes, said, records = run(tmp_path, "data", "0")  # as the first cell's record is written
    assert codes == [1, 0], "".join(said)  # one that helps has done what there was to do
    assert not records
    assert "the data set changed on the disk" in said[0]
    assert "error" not in said[1]
