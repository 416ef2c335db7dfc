"""Axes of a sweep: the length of histories, or any setting that is a number."""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmark.axes.ablation import axis_names, read_axis
from benchmark.config import Layers
from benchmark.display.counting import counted
from benchmark.errors import UserError
from benchmark.settings import Nested, build, flatten, merge, nest, parse_yaml
from benchmark.tables import Tables
from benchmark.variants import Variant, check_axes

SEQ_LEN = "seq_len"
"""Most events of a history that a method reads, by whatever setting it has for that."""
_HISTORY, _BATCH = ".fit.history", ".fit.batch_size"


@dataclass(frozen=True)
class NumberAxis:
    """One axis.

    Attributes:
        name: `seq_len`, or the dotted name of a setting.
        values: In the order they were given, each once.
    """

    name: str
    values: tuple[float, ...]

    def settings(
        self, method: str, value: float, tables: Tables, layers: Layers, others: Sequence[str] = ()
    ) -> Nested:
        """What a method gets at a value; nothing where the axis does not concern it.

        Windows of another length come in batches that hold as many events as before where all are
        full, not where another axis varies the batch. So every length takes as many steps for as
        many targets as long as histories are at least as long; where they are shorter a batch holds
        fewer events, and longer lengths take more steps (see `benchmark.axes.sweep_steps`).

        Args:
            method: Its name.
            value: On the axis.
            tables: What can be named.
            layers: Settings without the axis.
            others: Names of the other axes.
        """
        path = length_setting(method, tables, layers) if self.name == SEQ_LEN else self.name
        if not path or not _concerns(path, method, tables, layers):
            return {}
        found = nest({path: value})
        section = path.removesuffix(_HISTORY)
        if self.name == SEQ_LEN and path.endswith(_HISTORY) and section + _BATCH not in others:
            settings: Any = layers.resolve(tables, section)
            fit = settings.fit
            windows = max(1, round(fit.batch_size * fit.history / value))
            found = merge(found, {section: {"fit": {"batch_size": windows}}})
        return found


def length_setting(method: str, tables: Tables, layers: Layers) -> str:
    """The dotted setting of most events that a method reads; "" where it reads none, or all."""
    encoder = layers.encoder(tables, method)
    if encoder is not None:
        length = tables.encoders[encoder].length
        return f"{encoder}.{length}" if length else ""
    length = tables.methods[method].length
    return f"{tables.section(method)}.{length}" if length else ""


def _concerns(path: str, method: str, tables: Tables, layers: Layers) -> bool:
    """Whether a method reads a setting: one of its own that its row does not fix, or its slot's."""
    section, _, field = path.partition(".")
    if section in (method, tables.section(method)):
        return field not in flatten(tables.methods[method].overrides)
    return section == layers.encoder(tables, method)


def read_axes(
    names: Sequence[str],
    values: Sequence[str],
    methods: Sequence[str],
    tables: Tables,
    layers: Layers,
) -> tuple[NumberAxis, ...]:
    """The axes that `--axis` and `--values` ask for.

    Args:
        names: One or two axes.
        values: Comma-separated numbers, the first for the first axis.
        methods: Of the sweep, whose settings can be named.
        tables: What can be named.
        layers: Say what stands in encoder slots.

    Raises:
        UserError: An unknown axis, a setting that is no number, or values that are none.
    """
    if not names:
        raise UserError(f"which axis? Add --axis {SEQ_LEN}, or the name of a numeric setting")
    check_axes(names)
    if len(values) != len(names):
        raise UserError(
            f"--values is given {counted(len(values), 'time')} for "
            f"{counted(len(names), 'axis', 'axes')}: each needs its own, "
            "e.g. --values 10,50,200"
        )
    settings = dict(_settings(methods, tables, layers))
    valid = [SEQ_LEN, *(name for name, value in settings.items() if _is_number(value))]
    for name in names:
        if name in settings and name not in valid:
            raise UserError(
                f"--axis {name}: this setting is no number, and a sweep varies numbers"
                + _ablated(name, tables)
            )
        if name not in valid:
            near = difflib.get_close_matches(name, valid, n=3, cutoff=0.4)
            raise UserError(
                f"unknown axis {name!r}: {' or '.join(near) or SEQ_LEN}? It is {SEQ_LEN}, or a "
                "setting of the sweep's methods that is a number (userllm-bench list settings NAME)"
            )
    return tuple(
        NumberAxis(name, _numbers(name, text)) for name, text in zip(names, values, strict=True)
    )


def _ablated(name: str, tables: Tables) -> str:
    """What varies a setting that is no number; "" where nothing does."""
    for axis in (read_axis(own, tables) for own in axis_names(tables)):
        if any(name in flatten(axis.variant(value).settings) for value in axis.values):
            return f"; userllm-bench ablate --axis {axis.name} varies it"
    return ""


def _settings(
    methods: Sequence[str], tables: Tables, layers: Layers
) -> Iterator[tuple[str, object]]:
    """Dotted names of all settings of a sweep, and their defaults."""
    encoders = [name for method in methods if (name := layers.encoder(tables, method))]
    for section in sorted({*map(tables.section, methods), *encoders}):
        model = tables.settings_model(section)
        try:
            defaults = flatten(build(model, {}, section).model_dump())
        except UserError:  # a section that needs something said, such as a model's name
            continue
        yield from ((f"{section}.{name}", value) for name, value in defaults.items())


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _numbers(axis: str, text: str) -> tuple[float, ...]:
    numbers: list[float] = []
    for part in (part.strip() for part in text.split(",") if part.strip()):
        value = parse_yaml(part, "--values")
        if not _is_number(value):
            raise UserError(f"--values: {part!r} is no number; an axis has numbers, e.g. 10,50,200")
        if axis == SEQ_LEN and (not isinstance(value, int) or value < 1):
            raise UserError(f"--values: a history of {part} events: whole numbers, 1 or more")
        numbers.append(value)
    if not numbers:
        raise UserError("--values: the list is empty; give numbers, e.g. 10,50,200")
    return tuple(dict.fromkeys(numbers))


def expand(
    axes: Sequence[NumberAxis], methods: Sequence[str], tables: Tables, layers: Layers
) -> list[Variant]:
    """Every method at every place of the axes, its settings checked.

    Raises:
        UserError: A value is out of the range of its setting.
    """
    variants = []
    for values in itertools.product(*(axis.values for axis in axes)):
        place: Mapping[str, float] = dict(zip((axis.name for axis in axes), values, strict=True))
        for method in methods:
            names = [axis.name for axis in axes]
            parts = [
                axis.settings(method, place[axis.name], tables, layers, names) for axis in axes
            ]
            variant = Variant(method, merge(*parts), place)
            own = variant.over(layers)
            own.resolve(tables, method)
            encoder = own.encoder(tables, method)
            if encoder is not None:
                own.resolve(tables, encoder)
            variants.append(variant)
    return variants
