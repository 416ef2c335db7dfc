"""A short campaign; `make torture` kills 200 times."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.torture.campaign import gave_up, phase
from tests.torture.checks import differences, half_written, left_over
from tests.torture.deaths import Death, Deaths
from tests.torture.life import Ended, live

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc, forks")


def torture(*arguments: str) -> subprocess.CompletedProcess[str]:
    # A process of its own: what is forked may have started no threads.
    return subprocess.run(
        [sys.executable, "-m", "tests.torture", *arguments],
        cwd=ROOT, capture_output=True, text=True, timeout=900,
    )  # fmt: skip


def test_a_run_that_is_killed_five_times_ends_as_one_that_is_not(tmp_path: Path) -> None:
    done = torture(
        "tiny", "--kills", "5", "--lives", "3", "--seed", "3", "--start-seconds", "3",
        "--folder", str(tmp_path),
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^5 kills in .*; 0 problems$", done.stdout, re.MULTILINE)


def test_what_follows_two_dashes_is_the_commands(tmp_path: Path) -> None:
    """As `make torture` calls it."""
    makefile = (ROOT / "Makefile").read_text()
    (asked,) = re.findall(r"-m tests.torture run (.* -- .*)", makefile)
    done = torture("run", "--folder", str(tmp_path), *asked.split(), "--no-such-option")
    assert "the unbroken run ended with 2" in done.stdout
    assert "--no-such-option" in done.stdout
    assert "--workers" not in done.stdout


def test_equal_seeds_draw_equal_deaths() -> None:
    def draw(seed: int) -> list[object]:
        deaths = Deaths(seed, 10.0, 300, 10, 5.0, children=True)
        return [deaths.draw(1.0) for _ in range(50)]

    assert draw(1) == draw(1)
    assert draw(1) != draw(2)
    kinds = [death.kind for death in draw(1)]  # type: ignore[attr-defined]
    assert set(kinds) == {"clock", "file", "within", "start"}


def test_a_child_is_killed_alone_too_and_at_any_moment_of_a_life() -> None:
    def draw(children: bool) -> list[Death]:
        deaths = Deaths(1, 30.0, 300, 10, 5.0, children=children)
        return [deaths.draw(1.0) for _ in range(100)]

    alone = [death for death in draw(children=True) if death.spared]
    assert 5 < len(alone) < 30
    assert {death.kind for death in alone} == {"clock"}
    assert all(death.child is not None and 0 <= death.seconds <= 30 for death in alone)
    assert max(death.seconds for death in alone) > 20
    assert [death for death in draw(children=True) if death.child is not None and not death.spared]
    assert not [death for death in draw(children=False) if death.spared or death.child is not None]


BEGIN_A_CHILD = """
import subprocess, sys, time
sleep = [sys.executable, "-c", "import sys, time; time.sleep(int(sys.argv[1]))"]
helper = subprocess.Popen([*sleep, "300", "multiprocessing.resource_tracker"])
print("says something", file=sys.stderr, flush=True)
time.sleep(0.5)  # so that it is heard before the child is there
child = subprocess.Popen([*sleep, "{seconds}"])
print("its child ended with", child.wait(), file=sys.stderr, flush=True)
helper.terminate()
print("its helper ended with", helper.wait(), file=sys.stderr, flush=True)
sys.exit({code})
"""


@pytest.mark.parametrize(
    ("seconds", "code", "spared"), [(300, 0, True), (300, 1, True), (0, 3, True), (300, 1, False)]
)
def test_a_life_whose_child_alone_is_killed_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: int, code: int, spared: bool
) -> None:
    """One that is not spared is to be killed a while later, and may have ended by itself."""

    def be_born(*given: Any) -> None:
        os.setsid()
        os.dup2(given[-1], 2)
        text = BEGIN_A_CHILD.format(seconds=seconds, code=code)
        os.execv(sys.executable, [sys.executable, "-c", text])

    monkeypatch.setattr("tests.torture.life._be_born", be_born)
    when = 0.1 if spared else 4.0
    death = Death("clock", seconds=when if seconds else 300, child=0.5, spared=spared)
    ended = live([], {}, tmp_path, death)
    expected = -9 if seconds else 0
    assert ended.lines == (
        "says something", f"its child ended with {expected}", "its helper ended with -15",
    )  # fmt: skip
    assert (ended.code, ended.killed, ended.orphans) == (code, False, ())
    assert ended.heard == (1 if seconds else None)
    if seconds:
        assert phase(ended) == "a child alone: beginning a cell"


@pytest.mark.parametrize(
    ("heard", "code", "lines", "expected"),
    [
        (0, 1, ["error: 2 workers did not start (killed): the same command tries again"], True),
        (1, 1, ["sasrec seed 0: failed: its worker died once, the last was tcp://h:1"], False),
        (None, 1, ["sasrec seed 0: failed: its worker died 3 times, the last was x"], False),
        (0, 0, ["sasrec seed 0: done in 3s"], False),
        (0, 1, ["sasrec seed 0: failed: ValueError"], False),
        (0, 1, ["error: the scheduler is gone", "error: x: the same command tries again"], False),
    ],
)
def test_a_call_may_give_up_in_one_line_when_it_lost_a_child(
    heard: int | None, code: int, lines: list[str], expected: bool
) -> None:
    assert gave_up(Ended(False, code, 1.0, tuple(lines), "", 0, (), heard)) is expected


def test_what_is_wrong_with_a_folder_is_found(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "record.json").write_text('{"half')
    (tmp_path / "examples.parquet").write_bytes(b"PAR1")
    (tmp_path / "weights.safetensors").write_bytes(b"")
    (tmp_path / ".tmp-x").mkdir()
    (tmp_path / ".locks").mkdir()
    (tmp_path / ".locks" / "a.lock").touch()
    found = [line.split()[0] for line in half_written(tmp_path)]
    assert found == ["a/record.json", "examples.parquet", "weights.safetensors"]
    assert left_over(tmp_path) == [".tmp-x is left over"]


def test_what_differs_is_named() -> None:
    whole = {"a": {"b": 1, "c": [1.0]}}
    assert differences(whole, {"a": {"b": 1, "c": [1.0]}}) == []
    assert differences(whole, {"a": {"b": 2, "c": [1.0]}}) == [" a b: 2 is not 1"]
    assert differences(whole, {}) == [" a: None is not {'b': 1, 'c': [1.0]}"]


@pytest.mark.parametrize(
    ("before", "line", "expected"),
    [
        ("os.rename out/.tmp-cell-1", "", "writing a record (os.rename)"),
        ("open out/.unfinished/cell/c.pt", "", "saving a checkpoint (open)"),
        ("", "", "starting"),
        ("", "sasrec seed 0", "beginning a cell"),
        ("", "sasrec seed 0: train", "training: train"),
        ("", "sasrec seed 0: train: epoch 1/2", "training: train"),
        ("", "sasrec seed 0: evaluate on test", "evaluating"),
        ("", "sasrec seed 0: done in 3s", "between cells"),
    ],
)
def test_what_a_life_was_at_is_told(before: str, line: str, expected: str) -> None:
    lines = (line,) if line else ()
    assert phase(Ended(True, -9, 1.0, lines, before, 0, ())) == expected


def _may_mount() -> bool:
    able = hasattr(os, "geteuid") and os.geteuid() == 0
    mount = "mount -t tmpfs tmpfs /mnt"
    try:
        tried = subprocess.run(["unshare", "--mount", "sh", "-c", mount], capture_output=True)
    except FileNotFoundError:
        return False
    return able and tried.returncode == 0


@pytest.mark.skipif(not _may_mount(), reason="needs the right to mount a small file system")
def test_a_disk_that_is_too_small_is_told_and_costs_nothing_later(tmp_path: Path) -> None:
    done = subprocess.run(
        [
            sys.executable, "-m", "tests.torture.full_disk", "least", "--rooms",
            "12288,24576", "--folder", str(tmp_path),
        ],
        cwd=ROOT, capture_output=True, text=True, timeout=900,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 problems" in done.stdout
    assert done.stdout.count("exit code 1: ") >= 1, done.stdout
