"""One search as optuna keeps it: a journal of a line a trial, and what was tried.

What is suggested follows from the seed and the trials before alone: an interrupted search goes on
as if nothing had happened. A line that was being written when the machine stopped is cut off when
the journal is opened, so that the trial that it was about is lost and no other.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from pydantic import TypeAdapter

from benchmark.display.visible import NAME, bounded
from benchmark.errors import UserError
from benchmark.records.identity import stable_hash
from benchmark.tuning.space import Space

if TYPE_CHECKING:
    from optuna import Study as OptunaStudy
    from optuna.storages.journal._file import BaseJournalFileLock

_MAXIMIZE: Literal["maximize"] = "maximize"
"""Of every metric that tasks report, more is better."""
_RANDOM_TRIALS = 10
"""Trials before what was found guides the next."""
_FACTS, _ATTEMPT = "facts", "attempt"


@dataclass(frozen=True)
class Suggestion:
    """What to try.

    Attributes:
        number: Of the trial, from 0, which has the settings as they are.
        settings: Dotted name → value of everything that is searched.
        params: The same as it was drawn, where it was.
    """

    number: int
    settings: dict[str, Any]
    params: Mapping[str, Any]


@dataclass(frozen=True)
class Attempt:
    """A trial that has ended.

    Attributes:
        number: See `Suggestion`.
        state: Whether it has a value.
        value: Of the metric that is optimised, on validation targets; None where it failed.
        seconds: Of training and evaluation; a stage from the cache counts as when it was made.
        settings: See `Suggestion`.
        reason: Why it failed.
        config_hash: Of its record; "" where it left none.
    """

    number: int
    state: Literal["finished", "failed"]
    value: float | None
    seconds: float
    settings: dict[str, Any]
    reason: str = ""
    config_hash: str = ""

    def to_json(self) -> dict[str, Any]:
        """As a file has it, without what says nothing."""
        return {name: v for name, v in asdict(self).items() if v not in ("", None)}


class Study:
    """The trials of one search.

    Args:
        path: Its journal, made where there is none; whoever opens it holds its lock.
        space: What it may set.
        facts: JSON-ready; what makes two searches the same.
        seed: Of what is drawn.

    Raises:
        UserError: The journal is of a search with other facts, or broken.
    """

    def __init__(self, path: Path, space: Space, facts: Mapping[str, Any], seed: int) -> None:
        self.path, self.space, self.seed = path, space, seed
        path.parent.mkdir(parents=True, exist_ok=True)
        _cut_half_written(path)
        self._distributions = {name: own.distribution() for name, own in space.dimensions.items()}
        with _readable(path):
            self._study = self._open()
            self.attempts()
        given = json.loads(json.dumps(dict(facts), default=str))
        before = self._study.user_attrs.get(_FACTS)
        if before is None:
            self._study.set_user_attr(_FACTS, given)
        elif not isinstance(before, dict):
            raise UserError(f"{path} is broken: --force starts the search anew")
        elif before != given:
            raise UserError(
                f"{path}: this search was begun with another {_differences(before, given)}; "
                "--force starts it anew, another --out leaves it"
            )

    def _open(self) -> OptunaStudy:
        import optuna
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        # The lock of optuna's own choice outlives a process that is killed.
        backend = JournalFileBackend(str(self.path), cast("BaseJournalFileLock", _Held()))
        return optuna.create_study(
            storage=JournalStorage(backend),
            study_name=self.path.stem,
            direction=_MAXIMIZE,
            load_if_exists=True,
        )

    @property
    def sampler(self) -> dict[str, Any]:
        """How settings are drawn, for the record."""
        import optuna

        return {
            "name": "TPESampler",
            "seed": self.seed,
            "random_trials": _RANDOM_TRIALS,
            "optuna": optuna.__version__,
        }

    def attempts(self) -> list[Attempt]:
        """What was tried, in order."""
        own = TypeAdapter(Attempt)
        found = (trial.user_attrs[_ATTEMPT] for trial in self._study.trials)
        return [own.validate_python(attempt) for attempt in found]

    def best(self) -> Attempt | None:
        """The best of them, the earliest of equals; None where none has a value."""
        valued = [own for own in self.attempts() if own.value is not None]
        return max(valued, key=lambda own: own.value or 0.0, default=None)

    def suggest(self) -> Suggestion:
        """What to try next; nothing is kept of it before `add`."""
        trials = self._study.trials
        if not trials:
            return Suggestion(0, dict(self.space.as_is), self.space.known)
        import optuna
        from optuna.samplers import TPESampler

        # A sampler of its own for every trial: one that is made anew begins at its seed.
        drawn = int(stable_hash([self.seed, len(trials)])[:8], 16)
        sampler = TPESampler(seed=drawn, n_startup_trials=_RANDOM_TRIALS, multivariate=False)
        asked = optuna.create_study(sampler=sampler, direction=_MAXIMIZE)
        with _readable(self.path):
            asked.add_trials(trials)
            trial = asked.ask(self._distributions)
        written = {
            name: dimension.written(trial.params[name])
            for name, dimension in self.space.dimensions.items()
        }
        return Suggestion(len(trials), written, trial.params)

    def add(self, suggestion: Suggestion, attempt: Attempt) -> None:
        """Keeps what came out of a suggestion, all of it or nothing."""
        from optuna.trial import TrialState, create_trial

        failed = attempt.value is None
        self._study.add_trial(
            create_trial(
                state=TrialState.FAIL if failed else TrialState.COMPLETE,
                value=attempt.value,
                params=dict(suggestion.params),
                distributions={name: self._distributions[name] for name in suggestion.params},
                user_attrs={_ATTEMPT: asdict(attempt)},
            )
        )


@contextlib.contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Says that a journal is broken where optuna, or we, make nothing of it."""
    try:
        yield
    except Exception as error:  # optuna trusts its files and fails in any way
        if isinstance(error, UserError | OSError):
            raise
        reason = bounded(str(error) or type(error).__name__, NAME)
        raise UserError(f"{path} is broken ({reason}): --force starts the search anew") from None


class _Held:
    """A lock for optuna that is held already, see `benchmark.system.locking`."""

    def acquire(self) -> bool:
        """Is there at once."""
        return True

    def release(self) -> None:
        """Whoever opened the study lets go."""


def _cut_half_written(path: Path) -> None:
    """Cuts a last line that has no end or is no JSON: what is appended to it would be lost too."""
    if not path.exists():
        return
    with path.open("r+b") as file:
        text = file.read()
        whole = text[: text.rfind(b"\n") + 1]
        last = whole[whole.rfind(b"\n", 0, -1) + 1 :]
        try:
            json.loads(last or b"{}")
        except ValueError:
            whole = whole[: -len(last)]
        if whole != text:
            file.truncate(len(whole))
            os.fsync(file.fileno())


def _differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """What two searches do not share, with its values where these are short."""
    told = []
    for name in {**before, **now}:
        old, new = before.get(name), now.get(name)
        if old != new:
            short = all(isinstance(own, str | int) and len(str(own)) < 20 for own in (old, new))
            told.append(f"{name} ({old}, now {new})" if short else name)
    return ", ".join(told)
