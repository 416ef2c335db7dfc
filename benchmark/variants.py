"""Variants: a method with some settings of its own, several of which may stand in one run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from benchmark.config import Layers
from benchmark.errors import UserError
from benchmark.settings import Nested, merge

MOST_AXES = 2


@dataclass(frozen=True)
class Variant:
    """One row of a run, before task and seed.

    Attributes:
        method: Its name.
        settings: What it sets, by section; wins over everything that a user gives.
        axes: What it is called in an ablation or a sweep, axis → value.
        features: Features that a data set must have for it.
    """

    method: str
    settings: Mapping[str, Nested] = field(default_factory=dict)
    axes: Mapping[str, Any] = field(default_factory=dict)
    features: tuple[str, ...] = ()

    def over(self, layers: Layers) -> Layers:
        """The layers of a run with this variant's settings on top."""
        return replace(layers, sets=merge(layers.sets, self.settings))

    @property
    def sections(self) -> set[str]:
        """What it brings into a run: the sections that it sets, and the encoder that it names."""
        named = {nested["encoder"] for nested in self.settings.values() if "encoder" in nested}
        return {*self.settings, *named}


def check_axes(names: Sequence[str]) -> None:
    """Refuses more axes than a table and a figure can show, and one given twice.

    Raises:
        UserError: There are.
    """
    if len(names) > MOST_AXES:
        raise UserError(f"--axis may be given {MOST_AXES} times at most, got {len(names)}")
    if len(set(names)) < len(names):
        raise UserError(f"--axis {names[0]} is given twice: name two different axes")
