"""What parts of the method are good for: variants beside what they differ from. Free of torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchmark.axes.ablation import Axis
from benchmark.evidence.family import Plan
from benchmark.records.differences import Estimate, Outcome, compare
from benchmark.records.provenance import differences_in_code, version_of
from benchmark.records.results import Row, RunRecord, asked, beside, comparison_group
from benchmark.reporting.figure import Figure
from benchmark.reporting.language_model import LanguageModel, language_models, named
from benchmark.reporting.reading import LeftOut, records_of
from benchmark.settings import flatten

if TYPE_CHECKING:
    from benchmark.reporting.kinds import Kinds
    from benchmark.tables import Tables


@dataclass(frozen=True)
class Variant:
    """A line of an ablation.

    Attributes:
        name: The value, or the values, of its axes.
        reference: Whether the others are compared with it.
        seeds: How many.
        estimate: Of the metric; None where it was not measured.
        difference: To the reference, paired by user; None where it is not known.
        training_seconds: Mean over seeds.
        trained: Parameters that training changed.
    """

    name: str
    reference: bool
    seeds: int
    estimate: Estimate | None
    difference: Estimate | None
    training_seconds: float
    trained: int


@dataclass(frozen=True)
class Ablation:
    """Variants along one axis, or two, on one task and data set.

    Attributes:
        axes: Names.
        description: What they vary.
        method: Whose settings.
        task: What was asked.
        settings: What somebody set of the task, name → value.
        dataset: Of which data.
        split: With which split.
        part: Of which targets.
        preset: Under which budget.
        beside: See `benchmark.records.results.beside`.
        metric: What is compared.
        variants: The reference first.
        language_models: Behind them.
        outcomes: The same with all metrics.
        code: How the code that made the variants differs, "" where it does not.
        figures: Of it.
    """

    axes: tuple[str, ...]
    description: str
    method: str
    task: str
    settings: dict[str, Any]
    dataset: str
    split: str
    part: str
    preset: str
    beside: str
    metric: str
    variants: tuple[Variant, ...]
    language_models: tuple[LanguageModel, ...]
    outcomes: tuple[Outcome, ...]
    code: str
    figures: tuple[Figure, ...] = ()

    @property
    def title(self) -> str:
        """What was varied, and asked of which data."""
        return (
            f"{' by '.join(self.axes)} of {self.method}: {self.task} on {self.dataset}, split "
            f"{self.split}, "
            + "".join(f"{name}={value}, " for name, value in self.settings.items())
            + f"{self.part} targets, preset {self.preset}"
            + (f", {self.beside}" if self.beside else "")
        )

    @property
    def language_model(self) -> str:
        """Behind the variants, in a phrase."""
        return named(self.language_models)

    @property
    def paired(self) -> bool:
        """Whether some difference is known."""
        return any(own.difference is not None for own in self.variants)


def ablations_of(
    kinds: Kinds, plan: Plan, tables: Tables
) -> tuple[tuple[Ablation, ...], list[LeftOut]]:
    """Ablations of equal axes on equal questions, and rows without anything to compare with."""
    found: dict[tuple[str, ...], list[Row]] = {}
    for row in kinds.ablated:
        if row.record is not None:
            rest = _unvaried(row.record, [kinds.axes[name] for name in row.axes], tables)
            group = comparison_group(row.record), beside(row.record)
            key = (*group, *row.axes, str(sorted(rest.items())))
            found.setdefault((*key, str(row.record.llm)), []).append(row)
    ablations: list[Ablation] = []
    left_out: list[LeftOut] = []
    for members in found.values():
        axes = [kinds.axes[name] for name in members[0].axes]
        others = [row for row in members if not _is_default(row, axes)]
        if not others:
            continue
        reference = _reference(others, axes, [*kinds.main, *kinds.ablated], tables)
        if reference:
            ablations.append(_ablation(reference, others, axes, plan))
        else:
            default = ", ".join(f"{axis.name}={axis.default}" for axis in axes)
            why = f"there is no record of {default} on the same question to compare it with"
            left_out += [LeftOut(str(row.path), why) for row in others]
    return tuple(sorted(ablations, key=lambda own: own.title)), left_out


def _unvaried(record: RunRecord, axes: Sequence[Axis], tables: Tables) -> Mapping[str, Any]:
    """What was set of a method beside what some axes vary."""
    varied = set()
    for axis in axes:
        section = tables.section(axis.method)
        for value in axis.values:
            for name in flatten(axis.variant(value).settings):
                varied.add(name.removeprefix(f"{section}."))
    return {name: value for name, value in record.method.changes.items() if name not in varied}


def _is_default(row: Row, axes: Sequence[Axis]) -> bool:
    return all(row.axes[axis.name] == axis.default for axis in axes)


def _reference(
    others: Sequence[Row], axes: Sequence[Axis], rows: Sequence[Row], tables: Tables
) -> list[Row]:
    """The rows that set nothing of what some axes vary, and else what variants set, one a seed.

    Of the seeds that variants have: others would move a mean that is held against theirs. Of
    several of a seed the one that the version of a variant made, then one that an ablation made.
    """
    row = others[0]
    assert row.record is not None
    rest = _unvaried(row.record, axes, tables)
    versions = {version_of(record) for record in records_of(others)}
    found: dict[int, Row] = {}
    for own in rows:
        if (
            own.record is not None
            and own.method == axes[0].method
            and dict(own.record.method.changes) == dict(rest)
            and own.record.llm == row.record.llm
            and comparison_group(own.record) == comparison_group(row.record)
            and beside(own.record) == beside(row.record)
        ):
            there = found.get(own.seed)
            kept = there is not None and version_of(records_of([there])[0]) in versions
            if not kept or version_of(own.record) in versions:
                found[own.seed] = own
    paired = {other.seed for other in others} & set(found) or set(found)
    varied = {"axes": {axis.name: axis.default for axis in axes}}
    return [found[seed].model_copy(update=varied) for seed in sorted(paired)]


def _ablation(
    reference: Sequence[Row], others: Sequence[Row], axes: Sequence[Axis], plan: Plan
) -> Ablation:
    order = {axis.name: axis.ordered for axis in axes}
    ordered = sorted(
        others, key=lambda row: [order[name].index(value) for name, value in row.axes.items()]
    )
    outcomes = compare([*reference, *ordered])
    record = records_of(reference)[0]
    chosen = next((axis.metric for axis in axes if axis.metric), "")
    metric = chosen or plan.metrics.get(record.task.name) or next(iter(record.metrics), "")
    return Ablation(
        axes=tuple(order),
        description="; ".join(axis.description for axis in axes),
        method=axes[0].method,
        task=record.task.name,
        settings=asked(record),
        dataset=record.dataset.name,
        split=record.protocol.split,
        part=record.protocol.part,
        preset=record.preset,
        beside=beside(record),
        metric=metric,
        variants=tuple(_variant(own, metric) for own in outcomes),
        language_models=language_models(records_of([*reference, *others])),
        outcomes=tuple(outcomes),
        code=differences_in_code(records_of([*reference, *others])),
    )


def _variant(own: Outcome, metric: str) -> Variant:
    return Variant(
        name=", ".join(own.axes.values()),
        reference=own.reference,
        seeds=len(own.finished),
        estimate=own.metrics.get(metric),
        difference=own.differences.get(metric),
        training_seconds=own.training_seconds,
        trained=own.trained_parameters,
    )
