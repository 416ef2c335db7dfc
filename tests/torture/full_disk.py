"""A disk that is too small by every amount: `python -m tests.torture.full_disk`. Linux, as root.

The command runs on a file system in memory, first with too little room, then with enough.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.torture.checks import differences, half_written, left_over, outcome
from tests.torture.life import Ended, live
from tests.torture.warm import elsewhere, warm_up

_PLENTY_BYTES = 2**28
_SAID = ("disk is full", "No space left", "no room", "goes on without saving")


def sweep(
    arguments: Sequence[str], folder: Path, step_bytes: int, rooms: Sequence[int] = ()
) -> list[str]:
    """Gives a command more and more room until it is enough.

    Args:
        arguments: Of the command line, without `--out` and `--json`.
        folder: For all files; its `disk` is what is too small.
        step_bytes: From one room to the next.
        rooms: Bytes of each in place of steps.

    Returns:
        What does not hold.
    """
    disk = folder / "disk"
    disk.mkdir(parents=True, exist_ok=True)
    whole = _run(arguments, folder, _PLENTY_BYTES)
    if whole.code:
        return [f"with enough room it ended with {whole.code}: {whole.lines[-1:]}"]
    expected = elsewhere(_outcome, folder)
    needed = sum(path.stat().st_size for path in disk.rglob("*") if path.is_file())
    problems: list[str] = []
    for room in rooms or range(step_bytes, 2 * needed, step_bytes):
        first = _run(arguments, folder, room)
        said = [line for line in first.lines if any(word in line for word in _SAID)]
        print(f"{room} bytes: exit code {first.code}: {(said or ['nothing'])[0]}", flush=True)
        found = elsewhere(half_written, disk)
        if any(line.startswith("Traceback") for line in first.lines):
            found.append(f"a traceback: {first.lines[-1]}")
        if first.code not in (0, 1, 2):
            found.append(f"exit code {first.code}")
        if not said and (first.code or elsewhere(_outcome, folder) != expected):
            found.append(f"it does not say that the disk is full: {first.lines[-2:]}")
        _mount(disk, _PLENTY_BYTES, "remount")
        second = _run(arguments, folder)
        found += [f"the next call ended with {second.code}"] * bool(second.code)
        if not second.code:
            found += differences(expected, elsewhere(_outcome, folder))
            found += elsewhere(left_over, disk)
        problems += [f"{room} bytes: {own}" for own in found]
        if not first.code and not said:
            break
    return problems


def _outcome(folder: Path) -> dict[str, object]:
    found = outcome(folder / "disk", folder / "stdout")
    return {name: value for name, value in found.items() if "plots" not in name}


def _run(arguments: Sequence[str], folder: Path, room: int | None = None) -> Ended:
    """Runs the command, on an empty disk of some bytes where these are given."""
    disk = folder / "disk"
    if room is not None:
        subprocess.run(["umount", "-l", str(disk)], check=False, stderr=subprocess.DEVNULL)
        _mount(disk, room)
    home = {"USERLLM_BENCH_HOME": str(disk / "home")}
    return live([*arguments, "--out", str(disk / "out"), "--json"], home, folder, None)


def _mount(disk: Path, room: int, *options: str) -> None:
    how = ",".join([f"size={room}", *options])
    subprocess.run(["mount", "-t", "tmpfs", "-o", how, "tmpfs", str(disk)], check=True)


def main() -> int:
    """Runs a sweep in a view of the file systems of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("command", nargs="?", default="tiny")
    parser.add_argument("--step", type=int, default=16384, help="bytes")
    parser.add_argument("--rooms", default="", help="bytes, comma-separated, in place of steps")
    parser.add_argument("--folder", type=Path, default=Path("results/torture/full_disk"))
    given = parser.parse_args()
    if os.environ.get("TORTURE_UNSHARED") is None:
        os.environ["TORTURE_UNSHARED"] = "yes"
        own = [sys.executable, "-m", "tests.torture.full_disk", *sys.argv[1:]]
        return subprocess.run(["unshare", "--mount", *own], check=False).returncode
    os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1"}
    from tests.torture.__main__ import COMMANDS

    warm_up(0.1)
    rooms = [int(room) for room in given.rooms.split(",") if room]
    problems = sweep(COMMANDS[given.command], given.folder.resolve(), given.step, rooms)
    print(f"{len(problems)} problems", *problems, sep="\n")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
