"""What a search may set: one YAML file a section of settings, checked before anything is loaded.

    optimizer.learning_rate: {low: 3e-4, high: 6e-3, log: true}
    transformer.layers: {low: 1, high: 3}
    fit.batch_size: [16, 32, 64]
    masked: {choices: [0.2, 0.4], tasks: [next_item]}

Between two whole numbers lie whole numbers. `tasks` names those that read a setting at all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from benchmark.config import Layers
from benchmark.errors import UserError
from benchmark.settings import build, check_names, flatten, merge, nest, parse_yaml
from benchmark.tables import Tables

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

Value = bool | int | float | str | None
_DIGITS = 4
"""Significant digits of a number that is drawn: more only make files hard to read."""


class Dimension(BaseModel):
    """One setting: a range of numbers, or choices."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    low: int | float | None = Field(None, description="smallest number")
    high: int | float | None = Field(None, description="largest number, itself included")
    step: int | float | None = Field(None, gt=0, description="distance of two numbers")
    log: bool = Field(False, description="whether numbers are drawn evenly by their logarithm")
    choices: tuple[Value, ...] | None = Field(None, description="values, in place of a range")
    tasks: tuple[str, ...] = Field((), description="tasks that read the setting; all if absent")

    @model_validator(mode="after")
    def _range_or_choices(self) -> Dimension:
        if self.choices is not None:
            if self.low is not None or self.high is not None or self.step is not None or self.log:
                raise ValueError("choices stand alone: a range has low, high, step and log")
            if len(self.choices) < 2 or len(set(map(repr, self.choices))) < len(self.choices):
                raise ValueError("two choices or more, each once, are needed")
        elif self.low is None or self.high is None:
            raise ValueError("a range needs low and high, e.g. {low: 1, high: 4}; else list values")
        elif self.low >= self.high:
            raise ValueError(f"low {self.low} must be below high {self.high}")
        elif self.log and (self.low <= 0 or self.step is not None):
            raise ValueError("log needs a low above 0, and no step")
        elif self.step is not None and not _whole((self.high - self.low) / self.step):
            raise ValueError(f"no whole number of steps of {self.step} leads from low to high")
        return self

    @property
    def extremes(self) -> tuple[Value, ...]:
        """Values that must be allowed: all choices, or both ends."""
        return (self.low, self.high) if self.choices is None else self.choices

    @property
    def _ends(self) -> tuple[float, float]:
        assert self.low is not None
        assert self.high is not None
        return self.low, self.high

    def distribution(self) -> BaseDistribution:
        """The same as optuna calls it."""
        from optuna.distributions import (
            CategoricalDistribution,
            FloatDistribution,
            IntDistribution,
        )

        if self.choices is not None:
            return CategoricalDistribution(self.choices)
        low, high = self._ends
        if all(isinstance(own, int) for own in (low, high, self.step or 1)):
            return IntDistribution(int(low), int(high), self.log, int(self.step or 1))
        return FloatDistribution(low, high, self.log, self.step)

    def holds(self, value: object) -> bool:
        """Whether a value is one that can be drawn, on a step or not."""
        if self.choices is not None:
            return any(value == own and type(value) is type(own) for own in self.choices)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        low, high = self._ends
        return low <= value <= high

    def written(self, value: Value) -> Value:
        """A value that was drawn as a file has it: a number that is not whole, shortened."""
        if self.choices is not None or not isinstance(value, float):
            return value
        low, high = self._ends
        return min(max(float(f"{value:.{_DIGITS}g}"), low), high)

    def to_json(self) -> Any:
        """As a file has it that is of one task."""
        if self.choices is not None:
            return list(self.choices)
        return self.model_dump(exclude_defaults=True)


def _whole(number: float) -> bool:
    return abs(number - round(number)) < 1e-9 * max(1.0, number)


@dataclass(frozen=True)
class Space:
    """What one search may set of a method.

    Attributes:
        dimensions: Dotted name of a setting → its values.
        as_is: The same settings as they are without a search; those that the settings model does
            not know by name, such as options of RecBole, are missing.
    """

    dimensions: Mapping[str, Dimension]
    as_is: Mapping[str, Any]

    @property
    def known(self) -> dict[str, Any]:
        """The settings as they are, where they could be drawn too."""
        return {name: v for name, v in self.as_is.items() if self.dimensions[name].holds(v)}

    def changes(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Of some settings those that are not as they are."""
        same = self.as_is
        return {n: v for n, v in settings.items() if n not in same or same[n] != v}

    def to_json(self) -> dict[str, Any]:
        """As its file has it, without what takes no part."""
        return {name: dimension.to_json() for name, dimension in self.dimensions.items()}


def tunable(tables: Tables) -> list[str]:
    """Methods that have a search space."""
    return [name for name in tables.methods if _shipped(name, tables).is_file()]


def _shipped(method: str, tables: Tables) -> Path:
    return tables.spaces / f"{tables.section(method)}.yaml"


def read_space(
    method: str, task: str, layers: Layers, tables: Tables, file: Path | None = None
) -> Space:
    """What a search sets of a method: what its row or a `--set` fixes is left out.

    Args:
        method: Its name.
        task: What it is fitted for.
        layers: Settings without the search.
        tables: What can be named.
        file: Read in place of the shipped one.

    Raises:
        UserError: There is none, or it names a field or a value that the method does not take.
    """
    path = _shipped(method, tables) if file is None else file
    if file is None and not path.is_file():
        raise UserError(
            f"{method} has no search space: give one by --space, or tune one of "
            f"{', '.join(tunable(tables))}"
        )
    section = tables.section(method)
    plain = layers.resolve(tables, method).model_dump(mode="json")
    fixed = {*flatten(tables.methods[method].overrides), *_set_by_hand(layers, tables, method)}
    as_is = flatten(plain)
    dimensions = {}
    for name, values in _read(path).items():
        dimension = _dimension(path, name, values)
        try:
            check_names(tables.settings_model(section), nest({name: 0}), section)
            if name in fixed:  # its values may be impossible beside what else the row fixes
                continue
            for value in dimension.extremes:
                build(tables.settings_model(section), merge(plain, nest({name: value})), section)
            read_by = [own for own in dimension.tasks if tables.tasks[own]]
        except UserError as error:
            raise UserError(f"{path}: {name}: {error}") from None
        if not read_by or task in read_by:
            dimensions[name] = dimension.model_copy(update={"tasks": ()})
    if not dimensions:
        raise UserError(f"{path}: nothing is left to search for {method} on {task}")
    return Space(dimensions, {name: as_is[name] for name in dimensions if name in as_is})


def _set_by_hand(layers: Layers, tables: Tables, method: str) -> Iterator[str]:
    sections = {method, tables.section(method)}
    for section in sections:
        yield from flatten(layers.sets.get(section, {}))


def _read(path: Path) -> dict[str, Any]:
    try:
        values = parse_yaml(path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
        raise UserError(f"cannot read the search space {str(path)!r}: {reason}") from None
    if not isinstance(values, dict) or not values:
        raise UserError(
            f"{path}: settings with a range or values are needed, e.g. 'fit.batch_size: [32, 64]'"
        )
    return {str(name): value for name, value in values.items()}


def _dimension(path: Path, name: str, values: object) -> Dimension:
    given: object = values
    if isinstance(values, Sequence) and not isinstance(values, str):
        given = {"choices": list(values)}
    if not isinstance(given, Mapping):
        raise UserError(f"{path}: {name}: a list of values or {{low: 1, high: 4}}, got {values!r}")
    return build(Dimension, given, f"{path}: {name}")
