"""What was compared, with how much to learn and how large, and what it costs. Free of torch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmark.display.durations import duration
from benchmark.evidence.contestants import settings_apart
from benchmark.records.results import RunRecord
from benchmark.reporting.facts_results import Result
from benchmark.reporting.language_model import language_models

if TYPE_CHECKING:
    from benchmark.tables import Tables

_MEGA, _TERA = 1e6, 1e12


@dataclass(frozen=True)
class Summary:
    """What a method is, as the table of methods says it; "" where it is not there."""

    method: str
    summary: str


@dataclass(frozen=True)
class MethodFacts:
    """A contestant as it was set and fitted; parameters and budget are those of its first seed.

    What nobody knows of an imported row is None.

    Attributes:
        label: The contestant.
        studied: Whether the study is about it.
        history: Most events that it reads, 0 = none; None = it does not say.
        parameters: All that it has.
        trained: Those that the last stage trains.
        budget: What was spent, in a phrase.
        changes: What somebody or a search set of it.
        tuned: What search found its settings, in a phrase; "" where none did.
        reads_text: Whether a language model is part of it.
        notes: What fitting had to say, and settings that its seeds do not share.
    """

    label: str
    studied: bool
    history: int | None
    parameters: int | None
    trained: int | None
    budget: str
    changes: str
    tuned: str
    reads_text: bool | None
    notes: tuple[str, ...]


@dataclass(frozen=True)
class CostFacts:
    """What training and an answer of a contestant cost, means over seeds; None = not measured.

    Attributes:
        label: The contestant.
        reads_text: Whether there is a language model that could read tokens; None = not known.
        training_seconds: Of all stages; those from the cache count as when they were made.
        training_teraflops: Of all stages.
        evaluation_seconds: Of all answers.
        tokens: That the language model reads of a question.
        question_megaflops: To read a question, encoder included.
        answer_megaflops: Of a whole answer.
        latency_seconds: Median of an answer to one user.
        throughput_per_second: Answers at the best batch size.
        answer_memory_bytes: Of an answer, beside the weights.
        cache_bytes: Keys and values that are kept of a question.
        peak_memory_bytes: Most memory of fitting and judging.
        failed: Why nothing could be measured, "" where it could.
    """

    label: str
    reads_text: bool | None
    training_seconds: float | None
    training_teraflops: float | None
    evaluation_seconds: float | None
    tokens: float | None
    question_megaflops: float | None
    answer_megaflops: float | None
    latency_seconds: float | None
    throughput_per_second: float | None
    answer_memory_bytes: float | None
    cache_bytes: float | None
    peak_memory_bytes: float | None
    failed: str


def summaries_of(names: Iterable[str], tables: Tables) -> tuple[Summary, ...]:
    """What some methods are, each once, in the order of the tables."""
    there = set(names)
    known = [
        Summary(name, tables.methods[name].summary) for name in tables.methods if name in there
    ]
    others = sorted(there - {own.method for own in known})
    return (*known, *(Summary(name, "") for name in others))


def methods_of(results: Sequence[Result]) -> tuple[MethodFacts, ...]:
    """Lines of the table of methods, in the order of the results."""
    return tuple(_method(own) for own in results)


def _method(own: Result) -> MethodFacts:
    record = own.records[0]
    return MethodFacts(
        label=own.label,
        studied=own.studied,
        history=record.protocol.history_length,
        parameters=None if own.imported else record.fit.parameters,
        trained=None if own.imported else record.fit.trained_parameters,
        budget=str(record.budget.get("text", "")),
        changes=", ".join(f"{name}={value}" for name, value in record.method.changes.items()),
        tuned=_tuned(record),
        reads_text=None if own.imported else bool(language_models(own.records)),
        notes=_notes(own.records),
    )


def _notes(records: Sequence[RunRecord]) -> tuple[str, ...]:
    of_fits = dict.fromkeys(note for one in records for note in one.fit.notes)
    return tuple(filter(None, [*of_fits, settings_apart(records)]))


def _tuned(record: RunRecord) -> str:
    search = record.tuned
    if search is None:
        return ""
    name = search["method"]
    as_whom = "" if name == record.method.name else f" as {name}"
    encoder = search.get("encoder_seconds", 0)
    below = f", after {duration(encoder)} for its encoder," if encoder else ""
    by_hand = f", by hand {', '.join(search['set'])}" if search.get("set") else ""
    return (
        f"tuned{as_whom}: {search['trials']} trials in {duration(search['seconds'])}{below} on "
        f"validation targets of {search['dataset']}, split {search['split']}{by_hand}"
    )


def costs_of(results: Sequence[Result]) -> tuple[CostFacts, ...]:
    """Lines of the table of costs, in the order of the results."""
    return tuple(_cost(own) for own in results)


def _cost(own: Result) -> CostFacts:
    records, cost = own.records, own.cost
    return CostFacts(
        label=own.label,
        reads_text=None if own.imported else bool(language_models(records)),
        training_seconds=_measured(own, [record.fit.seconds for record in records]),
        # Schemas that did not count arithmetic have 0 for it.
        training_teraflops=_scaled(cost.training_flops or None, _TERA),
        evaluation_seconds=_measured(own, [record.evaluation_seconds for record in records]),
        tokens=cost.llm_input_tokens,
        question_megaflops=_scaled(cost.prompt_flops, _MEGA),
        answer_megaflops=_scaled(cost.answer_flops, _MEGA),
        latency_seconds=cost.latency_seconds,
        throughput_per_second=cost.throughput_per_second,
        answer_memory_bytes=cost.answer_memory_bytes,
        cache_bytes=cost.kv_cache_bytes,
        peak_memory_bytes=_measured(own, [record.peak_memory_bytes for record in records]),
        failed=cost.failed,
    )


def _measured(own: Result, values: Sequence[float]) -> float | None:
    """The mean over seeds; of an imported row the zeros of its record stand for nothing known."""
    return None if own.imported else sum(values) / len(values)


def _scaled(value: float | None, unit: float) -> float | None:
    return None if value is None else value / unit
