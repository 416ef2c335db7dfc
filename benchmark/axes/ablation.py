"""Ablations: an axis of settings is a YAML file; a grid of axes expands to variants of a method.

Imports nothing heavy: a typing error is found before anything is loaded.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from benchmark.display.counting import counted
from benchmark.errors import UserError, unknown
from benchmark.settings import build, check_names, flatten, merge, parse_assignment, parse_yaml
from benchmark.variants import Variant, check_axes

if TYPE_CHECKING:
    from benchmark.tables import Tables

_METHOD, _NEEDS = "method", "needs"


class Axis(BaseModel):
    """One YAML file of `configs/ablations`.

    A value holds settings by section; beside them it may name another row of the table of methods
    (`method`), and features without which a data set cannot show it (`needs`).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    description: str = Field(description="one line for `list ablations`")
    method: str = Field("user_llm", description="whose settings are varied")
    default: str = Field(description="the value that the others are compared with")
    metric: str = Field("", description="what is compared; the task's if absent")
    embedded_llm: bool = Field(
        False, description="varies the embedded language model, so that --llm takes no part"
    )
    values: dict[str, dict[str, Any]] = Field(description="name → settings")

    @model_validator(mode="after")
    def _default_changes_nothing(self) -> Axis:
        if self.values.get(self.default) != {}:
            # Else the default would be another cell on every axis.
            raise ValueError(
                f"the default {self.default!r} must be a value that sets nothing: {{}}"
            )
        return self

    @property
    def ordered(self) -> list[str]:
        """Names of the values, the default first."""
        return [self.default, *(name for name in self.values if name != self.default)]

    def shown(self, chosen: Sequence[str]) -> list[str]:
        """Some values as a figure has them: the default first, whether it was chosen or not."""
        return [name for name in self.ordered if name in (self.default, *chosen)]

    def variant(self, value: str) -> Variant:
        """The variant of one value."""
        settings = dict(self.values[value])
        method = settings.pop(_METHOD, self.method)
        features = tuple(settings.pop(_NEEDS, ()))
        return Variant(method, settings, {self.name: value}, features)


@dataclass(frozen=True)
class Grid:
    """What one call compares.

    Attributes:
        axes: One or two axes.
        chosen: The values asked for, by axis, in order.
        variants: Every combination; the reference, where every axis has its default, is first,
            whether it was asked for or not, as all others are compared with it.
    """

    axes: tuple[Axis, ...]
    chosen: tuple[tuple[str, ...], ...]
    variants: tuple[Variant, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the axes."""
        return tuple(axis.name for axis in self.axes)

    @property
    def methods(self) -> list[str]:
        """The methods that its variants are of, each once."""
        return list(dict.fromkeys(variant.method for variant in self.variants))

    @property
    def sections(self) -> set[str]:
        """Every section that a variant brings into the run."""
        return {section for variant in self.variants for section in variant.sections}

    def metric(self, metrics: Sequence[str]) -> str:
        """What is compared, of what a task measures."""
        named = next((axis.metric for axis in self.axes if axis.metric), "")
        if named:
            if named not in metrics:
                raise unknown("metric", named, metrics)
            return named
        recalls = [metric for metric in metrics if metric.startswith("recall@")]
        return (recalls or list(metrics))[-1]

    def check(self, assignments: Sequence[str], llm: str | None) -> None:
        """Checks that nothing else decides what an axis varies.

        Raises:
            UserError: A `--set` of what an axis varies, or `--llm` where it would change nothing.
        """
        for axis in self.axes:
            if axis.embedded_llm and llm is not None:
                raise UserError(
                    f"--llm {llm}: the axis {axis.name} varies the embedded language model; leave "
                    "--llm out"
                )
            varied = {
                name for value in axis.values for name in flatten(axis.variant(value).settings)
            }
            for text in assignments:
                section, nested = parse_assignment(text)
                for name in flatten({section: nested}):
                    if name in varied:
                        raise UserError(f"--set {text}: the axis {axis.name} varies {name}")


def axis_names(tables: Tables) -> list[str]:
    """Names of all axes."""
    return sorted(path.stem for path in tables.ablations.glob("*.yaml"))


def read_axis(name: str, tables: Tables) -> Axis:
    """Reads one axis by name and checks every name in it.

    Raises:
        UserError: No such axis, or its file names what is not there.
    """
    names = axis_names(tables)
    if name not in names:
        raise unknown("axis", name, names)
    path = tables.ablations / f"{name}.yaml"
    values = parse_yaml(path.read_text(encoding="utf-8"), str(path))
    if not isinstance(values, dict):
        raise UserError(f"{path}: description, default and values are needed")
    axis = build(Axis, {"name": name, **values}, f"ablation {name}")
    for value in axis.values:
        variant = axis.variant(value)
        tables.methods[variant.method]
        for section, settings in variant.settings.items():
            check_names(tables.settings_model(section), settings, section)
    return axis


def read_grid(axes: Sequence[str], values: Sequence[str], tables: Tables) -> Grid:
    """The grid that `--axis` and `--values` ask for.

    Args:
        axes: Names of axes.
        values: Comma-separated values, the first for the first axis; all values where absent.
        tables: What can be named.

    Raises:
        UserError: An unknown, missing or repeated name.
    """
    if not axes:
        raise UserError(f"which axis? Add --axis: {', '.join(axis_names(tables))}")
    check_axes(axes)
    if len(values) > len(axes):
        raise UserError(
            f"--values is given {counted(len(values), 'time')} for "
            f"{counted(len(axes), 'axis', 'axes')}"
        )
    read = tuple(read_axis(name, tables) for name in axes)
    chosen = tuple(
        _chosen(axis, text) for axis, text in itertools.zip_longest(read, values) if axis
    )
    return Grid(read, chosen, tuple(_expand(read, chosen)))


def _chosen(axis: Axis, text: str | None) -> tuple[str, ...]:
    if text is None:
        return tuple(axis.ordered)
    names = list(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    if not names:
        raise UserError(f"--values: the list is empty; {axis.name} has {', '.join(axis.ordered)}")
    for name in names:
        if name not in axis.values:
            raise unknown(f"value of {axis.name}", name, axis.values)
    return tuple(names)


def _expand(axes: Sequence[Axis], chosen: Sequence[Sequence[str]]) -> Iterator[Variant]:
    reference = tuple(axis.default for axis in axes)
    asked = [names for names in itertools.product(*chosen) if names != reference]
    for names in (reference, *asked):
        parts = [axis.variant(name) for axis, name in zip(axes, names, strict=True)]
        own = [p.method for p, axis in zip(parts, axes, strict=True) if p.method != axis.method]
        if len({axis.method for axis in axes}) > 1 or len(set(own)) > 1:
            called = " and ".join(axis.name for axis in axes)
            raise UserError(f"{called} vary different methods: they make no grid")
        yield Variant(
            method=(own or [axes[0].method])[0],
            settings=merge(*(part.settings for part in parts)),
            axes={axis.name: name for axis, name in zip(axes, names, strict=True)},
            features=tuple(dict.fromkeys(name for part in parts for name in part.features)),
        )
