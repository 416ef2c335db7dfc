"""Turns a finished cell into its record."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmark.cost.facts import Cost
from benchmark.metrics.perplexity import perplexity
from benchmark.records import results
from benchmark.records.example_files import Stored, write_examples
from benchmark.runs.plan import Cell, Task, World
from benchmark.settings import flatten
from benchmark.system import host
from benchmark.system.wall_clock import CLOCK
from benchmark.tasks.evaluation import Evaluation
from benchmark.types import FitReport, StageReport

_BUDGET_FIELDS = ("epochs", "steps", "targets", "seconds")


def make_record(
    cell: Cell,
    world: World,
    task: Task,
    method: object,
    report: FitReport,
    wall_seconds: float,
    evaluation: Evaluation,
    peak_memory_bytes: int,
    cost: Cost,
) -> results.RunRecord:
    """The record of a cell that has just been fitted and judged.

    Args:
        cell: What was run.
        world: What it shared with the other cells.
        task: Who judged.
        method: Who was fitted.
        report: What the method says about its training.
        wall_seconds: Time of `fit`, validation included.
        evaluation: What came out.
        peak_memory_bytes: Most resident memory of fitting and judging.
        cost: What an answer costs; what training does is added here.

    Raises:
        FloatingPointError: A metric is no number.
    """
    dataset, split = world.dataset, cell.split
    limited = cell.method_settings.model_dump(mode="json")
    if cell.encoder is not None:
        limited = {**limited, cell.encoder.name: cell.encoder.settings.model_dump(mode="json")}
    for metric, value in evaluation.metrics.items():
        if not math.isfinite(value):
            raise FloatingPointError(f"{metric} is {value}")
    return results.RunRecord(
        config_hash=cell.config_hash,
        dataset=results.DatasetFacts(
            name=dataset.name,
            fingerprint=dataset.fingerprint,
            target_hash=split.target_hash,
            licence=dataset.licence,
            citation=dataset.citation,
            source=dataset.source,
            item_text=cell.trained_on.catalog.text_source,
            facts={**dataset.facts, **split.facts},
        ),
        task=results.Component(
            name=cell.task_name,
            version=task.version,
            settings=cell.task_settings.model_dump(mode="json"),
            changes=cell.task_changes,
        ),
        method=results.Component(
            name=cell.method_name,
            settings=cell.method_settings.model_dump(mode="json"),
            changes=cell.changes,
        ),
        encoder=None
        if cell.encoder is None
        else results.Component(
            name=cell.encoder.name,
            settings=cell.encoder.settings.model_dump(mode="json"),
            changes=cell.encoder.changes,
        ),
        protocol=results.ProtocolFacts(
            split=world.split_name,
            split_description=split.description,
            split_settings=dict(world.split_settings),
            leak=split.leak,
            part=world.part,
            seen=world.seen,
            tie_rule=task.tie_rule,
            history_length=getattr(method, "history_length", None),
            shared_with=tuple(n for n in world.tasks if cell.shares and n != cell.task_name),
            fitted_for=tuple(world.tasks) if cell.serves_all else (cell.task_name,),
        ),
        seed=cell.seed,
        preset=world.preset,
        axes=dict(cell.axes),
        budget=describe_budget(limited, report),
        metrics=evaluation.metrics,
        intervals=evaluation.intervals,
        examples=evaluation.examples.height,
        fit=results.Fit(
            seconds=report.seconds,
            wall_seconds=wall_seconds,
            stages=tuple(_stage(stage) for stage in report.stages),
            parameters=report.parameters,
            trained_parameters=report.trained_parameters,
            notes=report.notes,
            perplexity={
                name: results.Measure(value=value, low=low, high=high)
                for name, scores in report.texts.items()
                for value, low, high in [perplexity(scores.nll, scores.tokens)]
            },
        ),
        evaluation_seconds=evaluation.seconds,
        peak_memory_bytes=peak_memory_bytes,
        cost=cost.model_copy(
            update={
                "training_flops": sum(stage.flops for stage in report.stages),
                "training_seconds": report.seconds,
            }
        ),
        llm=world.llm_facts if cell.uses_llm else None,
        host={**host.describe_host(world.threads, world.accelerator), **world.several},
        python=host.python_version(),
        versions=host.package_versions(),
        git=host.source_state(),
        created=CLOCK.now(),
        command=world.command,
        tuned=None if cell.tuned is None else dict(cell.tuned),
    )


def write_cell(folder: Path, record: results.RunRecord, evaluation: Evaluation) -> None:
    """Writes a record and its examples into a folder that is there."""
    write_examples(folder, Stored(evaluation.examples, evaluation.labels))
    text = record.model_dump_json(indent=2) + "\n"
    (folder / results.RECORD).write_text(text, encoding="utf-8")


def _stage(stage: StageReport) -> results.Stage:
    return results.Stage(
        name=stage.name,
        seconds=stage.seconds,
        steps=stage.steps,
        epochs=stage.epochs,
        targets=stage.targets,
        reused=stage.reused,
        stopped=stage.stopped,
        curve=tuple((point.seconds, point.step, point.value) for point in stage.curve),
        flops=stage.flops,
    )


def describe_budget(settings: Mapping[str, Any], report: FitReport) -> dict[str, Any]:
    """What the settings allowed, what was spent, and one line about the latter.

    Args:
        settings: As JSON; of an encoder under its name.
        report: What the method says about its training.
    """
    limits = {
        name: value
        for name, value in flatten(settings).items()
        if name.rpartition(".")[2].removeprefix("max_") in _BUDGET_FIELDS
    }
    parts = []
    for stage in report.stages:
        amount = f" {stage.epochs:.3g} ep" if stage.epochs else ""
        amount = amount or (f" {stage.steps} steps" if stage.steps else "")
        early = " (early stop)" if stage.stopped == "early" else ""
        parts.append(stage.name + amount + early)
    return {
        "limits": limits,
        "steps": sum(stage.steps for stage in report.stages),
        "targets": sum(stage.targets for stage in report.stages),
        "text": ", ".join(parts) or "no training",
    }
