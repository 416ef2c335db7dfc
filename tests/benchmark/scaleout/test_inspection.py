import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmark.config import read_config
from benchmark.scaleout.inspection import Inspector, workers_of
from benchmark.scaleout.messages import Inspection
from benchmark.system import host
from tests.fakes import make_tables

ROOT = Path(__file__).parents[3]
HERE = {"commit": "a" * 40, "dirty": False}


@pytest.fixture
def refusal(monkeypatch, tmp_path):
    """What is said of a worker whose source is another."""
    options = {"task": "next_item", "dataset": "world", "out": tmp_path}
    config = read_config(None, options, make_tables())

    def refusal(here, there, foreign=True):
        monkeypatch.setattr("benchmark.system.host.source_state", lambda: here)
        inspector = Inspector(None, config, "abc", ended=False, foreign=foreign)
        said = Inspection(
            versions=host.package_versions(), source=there, fingerprint="abc", sees=True
        )
        return inspector.refusal(said.model_dump_json())

    refusal.inspector = Inspector(None, config, "abc", ended=False, foreign=True)
    return refusal


@pytest.mark.parametrize(
    ("there", "named"),
    [
        ({"commit": "b" * 40, "dirty": False}, "bbbbbbbbbbbb without changes"),
        ({"commit": "a" * 40, "dirty": True}, "aaaaaaaaaaaa with changes"),
    ],
)
def test_a_worker_with_other_source_is_refused(refusal, there, named):
    said = refusal(HERE, there)
    assert said.startswith(f"runs commit {named}, here it is commit aaaaaaaaaaaa without changes:")
    assert "\n" not in said


def test_a_worker_with_the_same_source_or_one_of_ours_is_not(refusal):
    dirty = {**HERE, "dirty": True}
    assert refusal(HERE, HERE) == ""
    assert refusal(dirty, dirty) == ""
    assert refusal(HERE, None) == refusal(None, HERE) == refusal(None, None) == ""
    assert refusal(HERE, {"commit": "b" * 40, "dirty": True}, foreign=False) == ""


def test_a_worker_that_says_other_things_has_other_code(refusal):
    old = json.dumps({"versions": host.package_versions(), "fingerprint": "", "sees": True})
    assert refusal.inspector.refusal(old).startswith("runs other code of userllm-bench")


def test_a_process_says_the_source_that_it_began_with(monkeypatch, tmp_path):
    def git(*arguments):
        name = ("-c", "user.name=a", "-c", "user.email=a@example.org")
        subprocess.run(["git", "-C", str(tmp_path), *name, *arguments], check=True)  # noqa: S607

    (tmp_path / "benchmark").mkdir()
    git("init", "-q")
    git("commit", "-q", "--allow-empty", "-m", "first")
    monkeypatch.setattr(host, "_SOURCE", tmp_path)
    host.source_state.cache_clear()
    try:
        first = host.source_state()
        assert not first["dirty"]
        git("commit", "-q", "--allow-empty", "-m", "second")
        (tmp_path / "benchmark" / "new.py").touch()
        assert host.source_state() == first
        host.source_state.cache_clear()  # as another process would
        assert host.source_state()["commit"] != first["commit"]
        assert host.source_state()["dirty"]
    finally:
        host.source_state.cache_clear()


def test_the_source_is_asked_for_before_cells_run():
    code = (
        "import benchmark.scaleout.work\n"
        "from benchmark.system import host\n"
        "assert host.source_state.cache_info().currsize == 1\n"
        "host.source_state.cache_clear()\n"
        "from benchmark.scaleout.hands import at_work\n"
        "from benchmark.scaleout.scale import Scale\n"
        "from tests.fakes import make_tables\n"
        "with at_work(Scale(), make_tables()):\n"
        "    assert host.source_state.cache_info().currsize == 1\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_all_workers_are_seen_where_dask_names_five_or_forgets_some():
    class Client:
        looks = 0

        def scheduler_info(self, n_workers=5):
            self.looks += 1
            shown = 7 if n_workers == -1 and self.looks > 1 else 0  # its own clock was quicker
            return {"n_workers": 7, "workers": {f"tcp://a:{n}": {} for n in range(shown)}}

    class Older:
        def scheduler_info(self, **named):
            return {"workers": {"tcp://a:1": {}}}

    assert len(workers_of(Client())) == 7
    assert len(workers_of(Older())) == 1
