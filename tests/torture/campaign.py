"""A campaign: a run is killed again and again until it is done, and compared with an unbroken one.

Where it is done before all kills are spent, the folders are emptied and it begins again.
"""

from __future__ import annotations

import re
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.torture.checks import blocking_locks, differences, half_written, left_over, outcome
from tests.torture.deaths import Death, Deaths
from tests.torture.life import Ended, live
from tests.torture.warm import elsewhere

_IMPATIENT = 4
"""Lives without progress after which the next may last longer."""


@dataclass
class Tally:
    """What became of a campaign.

    Attributes:
        kills: Lives that were killed, or lost a child.
        rounds: Times that the run was done.
        phases: What the killed lives were at, and how often.
        problems: What does not hold.
        seconds: It took.
        unbroken_seconds: What a run takes that nobody kills.
    """

    kills: int = 0
    rounds: int = 0
    phases: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    seconds: float = 0.0
    unbroken_seconds: float = 0.0


class Campaign:
    """Kills one command.

    Args:
        arguments: Of the command line, without `--out` and `--json`.
        folder: Of the campaign, emptied first.
        kills: How many.
        seed: Of when and how.
        lives: Kills that one run should take, about.
        start_seconds: See `Deaths`.
        signals: See `Deaths`.
        children: See `Deaths`.
        tell: Takes a line about each life.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        folder: Path,
        kills: int,
        seed: int,
        lives: int,
        start_seconds: float,
        *,
        signals: Sequence[int] = (signal.SIGKILL,),
        children: bool = False,
        tell: Callable[[str], None] = lambda line: print(line, file=sys.stderr, flush=True),
    ) -> None:
        self.arguments, self.folder, self.kills = arguments, folder.resolve(), kills
        self.seed, self.lives, self.start_seconds = seed, lives, start_seconds
        self.signals, self.children, self.tell = signals, children, tell
        self.tally = Tally()

    def run(self) -> Tally:
        """Runs it all."""
        began = time.monotonic()
        whole_folder, broken_folder = self._fresh("whole"), self._fresh("broken")
        whole = self._live(whole_folder, None)
        self.tally.unbroken_seconds = whole.seconds
        if whole.code:
            self.tally.problems.append(f"the unbroken run ended with {whole.code}")
            self.tally.problems += whole.lines[-5:]
            return self.tally
        self._check_end(whole_folder, whole_folder)
        deaths = Deaths(
            self.seed, whole.seconds, whole.operations, self.lives, self.start_seconds,
            signals=self.signals, children=self.children,
        )  # fmt: skip
        while self.tally.kills < self.kills:
            self._round(deaths, whole_folder, broken_folder)
            broken_folder = self._fresh("broken")
        self.tally.seconds = time.monotonic() - began
        return self.tally

    def _round(self, deaths: Deaths, whole: Path, broken: Path) -> None:
        """One run from nothing to its end."""
        patience, still, standing = 1.0, 0, _standing(broken)
        while True:
            spent = self.tally.kills >= self.kills
            ended = self._live(broken, None if spent else deaths.draw(patience))
            if ended.killed or ended.heard is not None:
                self.tally.kills += 1
                self.tally.phases[phase(ended)] += 1
                self.tell(f"{self.tally.kills}: {ended.seconds:.1f} s, {phase(ended)}")
                self._check(broken, elsewhere(half_written, broken))
            if gave_up(ended):
                self.tell("its workers had not started; the same command tries again")
            elif not ended.killed:
                break
            before, standing = standing, _standing(broken)
            still = still + 1 if standing == before else 0
            patience = patience * 2 if still >= _IMPATIENT else 1.0
        self.tally.rounds += 1
        self.tell(f"done for the {self.tally.rounds}. time, with exit code {ended.code}")
        if ended.code:
            self.tally.problems.append(f"a run ended with {ended.code}: {ended.lines[-3:]}")
        else:
            self._check_end(whole, broken)

    def _live(self, folder: Path, death: Death | None) -> Ended:
        arguments = [*self.arguments, "--out", str(folder / "out"), "--json"]
        known = death is not None and death.signal != signal.SIGKILL
        home = {"USERLLM_BENCH_HOME": str(folder / "home")}
        ended = live(arguments, home, folder, death)
        self._check(folder, [f"{own} outlives its run" for own in ended.orphans])
        said = [line for line in ended.lines if line.startswith("error: interrupted")]
        # A process that has yet to reach our first line can say nothing.
        mute = ended.code < 0 and not ended.lines
        if ended.killed and known and not mute and (ended.code < 0 or len(said) != 1):
            self._check(folder, [f"exit code {ended.code}, and it says {ended.lines[-2:]}"])
        if any(line.startswith("Traceback") for line in ended.lines):
            self._check(folder, [f"a traceback: {ended.lines[-20:]}"])
        return ended

    def _check_end(self, whole: Path, broken: Path) -> None:
        self._check(broken, elsewhere(half_written, broken))
        self._check(broken, left_over(broken))
        self._check(broken, elsewhere(blocking_locks, broken))
        if whole != broken:
            self._check(broken, elsewhere(_compare, whole, broken))

    def _check(self, folder: Path, problems: Sequence[str]) -> None:
        for problem in problems:
            where = f"after kill {self.tally.kills}, {folder.name}: {problem}"
            self.tally.problems.append(where)
            self.tell(f"PROBLEM {where}")

    def _fresh(self, name: str) -> Path:
        folder = self.folder / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder


def _compare(whole: Path, broken: Path) -> list[str]:
    return differences(*(outcome(own, own / "stdout") for own in (whole, broken)))


def _standing(folder: Path) -> dict[str, int]:
    """What shows whether a life got further than the one before: all files, and when written."""
    found = {}
    for path in folder.rglob("*"):
        if path.is_file() and path.name != "stdout" and path.suffix != ".lock":
            found[str(path)] = path.stat().st_mtime_ns
    return found


_PLACES = (
    (r"/\.tmp-.*-old", "replacing a record"),
    (r"/\.tmp-", "writing a record"),
    (r"/\.unfinished", "saving a checkpoint"),
    (r"/stages/", "keeping a stage"),
    (r"/plots", "drawing figures"),
)


_GIVEN_UP = re.compile(r"error: .*: the same command tries again$")
"""What a life says whose workers had not started yet when one was killed. One that works already
has its cells run again."""


def gave_up(ended: Ended) -> bool:
    """Whether a life that lost a child ended as it may, so that the same command goes on."""
    told = [line for line in ended.lines if _GIVEN_UP.fullmatch(line)]
    errors = [line for line in ended.lines if line.startswith("error: ")]
    return ended.heard is not None and ended.code == 1 and bool(told) and len(errors) <= 1


def phase(ended: Ended) -> str:
    """What a killed life was at, by the file that it was about to touch or by what it said last."""
    if ended.heard is not None:
        return f"a child alone: {_at(ended.lines[: ended.heard])}"
    if ended.before:
        event, _, path = ended.before.partition(" ")
        known = [name for pattern, name in _PLACES if re.search(pattern, f"/{path}")]
        return f"{(known or ['another file'])[0]} ({event})"
    return _at(ended.lines)


def _at(heard: Sequence[str]) -> str:
    """What a life is at that has said this."""
    lines = [line for line in heard if not line.startswith("error: ")]
    if not lines:
        return "starting"
    _, colon, said = lines[-1].partition(": ")
    if not colon:
        return "beginning a cell"
    if said.startswith(("done in", "finished before")):
        return "between cells"
    if said.startswith("measure"):
        return "measuring cost, or writing"
    if " ends after " in said:
        return "between stages"
    name = said.partition(" goes on from")[0].partition(":")[0]
    return "evaluating" if name.startswith("evaluate") else f"training: {name}"
