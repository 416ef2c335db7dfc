"""`--workers` as a user types it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from benchmark.cli import main
from benchmark.records.results import load_records
from tests.fakes import make_tables

ROOT = Path(__file__).parents[3]


def test_an_interrupt_ends_workers_and_keeps_what_is_finished(tmp_path):
    log = tmp_path / "fits"
    process = subprocess.Popen(
        [
            sys.executable, "-m", "tests.fakes", "run", "--task", "next_item", "--dataset",
            "world", "--out", str(tmp_path / "out"), "--json", "--methods", "alpha,beta",
            "--set", "beta.wait=3600", "--set", f"beta.log={log}", "--workers", "1",
        ],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
        env=os.environ | {"USERLLM_BENCH_HOME": str(tmp_path / "home"), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    begun = time.monotonic()
    while not log.exists() and time.monotonic() - begun < 300:
        time.sleep(0.05)
    below = psutil.Process(process.pid).children(recursive=True)
    assert below
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: the workers get it too
    out, err = process.communicate(timeout=300)
    assert process.returncode == 130
    assert out == ""
    assert "Traceback" not in err
    assert "Dask dashboard: http://127.0.0.1:" in err
    assert err.splitlines()[-1].startswith("error: interrupted; finished cells are kept")
    assert [row.method for row in load_records([tmp_path / "out"])] == ["alpha"]
    _, alive = psutil.wait_procs(below, timeout=60)
    assert not alive


@pytest.mark.parametrize(
    "command",
    [
        ["run", "--task", "next_item"],
        ["ablate", "--axis", "fusion"],
        ["sweep", "--axis", "seq_len", "--values", "5"],
        ["tune", "--method", "alpha"],
    ],
)
def test_both_kinds_of_cluster_at_once_are_an_error(capsys, command):
    code = main([*command, "--workers", "2", "--scheduler", "tcp://a:1"], make_tables())
    assert code == 2
    assert "give one of the two" in capsys.readouterr().err


def test_nothing_of_dask_is_imported_unless_it_is_asked_for(tmp_path):
    code = (
        "import sys\n"
        "from benchmark.cli import main\n"
        "from tests.fakes import make_tables\n"
        "arguments = 'run --task next_item --dataset world --methods alpha --json --out'.split()\n"
        f"assert main([*arguments, {str(tmp_path / 'out')!r}], make_tables()) == 0\n"
        "assert not {'dask', 'distributed'} & set(sys.modules)\n"
    )
    environment = os.environ | {"USERLLM_BENCH_HOME": str(tmp_path / "home")}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True,
        timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
