"""Brings a finished run back: its data, its settings and its fitted model."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmark import config as configs
from benchmark.display.progress import RunProgress
from benchmark.errors import UserError
from benchmark.protocols import CandidateRanker, Saveable
from benchmark.records import identity, results
from benchmark.records.results import RunRecord
from benchmark.runs.cell import make_context, seed_everything
from benchmark.runs.plan import Cell, Task, World
from benchmark.runs.planning import make_cell, open_world
from benchmark.settings import flatten, merge, nest
from benchmark.tables import Tables, why_unavailable
from benchmark.variants import Variant


@dataclass(frozen=True)
class Reopened:
    """A finished run, ready to be asked again.

    Attributes:
        record: What it left.
        path: Its record's file.
        config: What `run` would be told to get the same cell.
        world: Its data.
        cell: Its cell.
        task: Who asks.
        method: Who answers, with its fitted weights.
    """

    record: RunRecord
    path: Path
    config: configs.RunConfig
    world: World
    cell: Cell
    task: Task
    method: CandidateRanker


def find_record(run: Path) -> Path:
    """The record of a run that is named by its folder or by its record.

    Raises:
        UserError: There is none, or there are several.
    """
    if not run.exists():
        raise UserError(f"there is no run {str(run)!r}: name the folder of a finished cell")
    path = run / results.RECORD if run.is_dir() else run
    if path.is_file():
        return path
    below = list(results.find_records([run]))
    if below:
        raise UserError(f"{run} holds {len(below)} runs: name one, e.g. {below[0].parent}")
    raise UserError(f"{run} is no finished cell: it has no {results.RECORD}")


def reopen(
    run: Path,
    tables: Tables,
    progress: RunProgress,
    *,
    llm: str | None = None,
    threads: int | None = None,
) -> Reopened:
    """Loads data and model of a finished run.

    Args:
        run: Its folder or record.
        tables: What can be named.
        progress: Where to say how far it is.
        llm: The language model, where the run had one from a local folder.
        threads: Threads to use; the run's own where None.

    Raises:
        UserError: No such run, its model was not kept, or data, settings or version have changed.
    """
    path = find_record(run)
    record = results.read_record(path)
    if record.imported is not None:
        raise UserError(f"{path} was imported: there is no model here to ask anything")
    llm_name, llm_facts = _language_model(record, llm, path)
    config = _config(record, tables, llm_name, threads)
    layers = configs.read_layers(config, tables)
    world = open_world(config, tables, layers, llm_facts, record.command)
    for what, now, then in (
        ("data", world.dataset.fingerprint, record.dataset.fingerprint),
        ("targets", world.splits[record.task.name].target_hash, record.dataset.target_hash),
    ):
        if now != then:
            raise UserError(
                f"{path}: the {what} of {record.dataset.name} are others now ({now[:12]}, not "
                f"{then[:12]}): run it again"
            )
    variant = Variant(record.method.name)
    cell = make_cell(record.task.name, variant, record.seed, config, tables, layers, world)
    if cell.config_hash != record.config_hash:
        raise UserError(f"{path} {_what_differs(cell, record)}: run it again")
    seed_everything(cell.seed, world.threads)
    task, method = cell.task(), cell.method()
    if not isinstance(method, Saveable) or not isinstance(method, CandidateRanker):
        able = ", ".join(_probed(tables)) or "none"
        raise UserError(
            f"{path}: {cell.method_name} does not keep its model; what can be probed: {able}"
        )
    folder = path.parent / results.MODEL
    if not folder.is_dir():
        raise UserError(
            f"{path}: its model was not kept; give its command again with --keep-models --force: "
            f"{record.command}"
        )
    context = make_context(cell, world, task, progress)
    if cell.encoder is not None:
        built = cell.encoder.build(*context.for_sharing(cell.trained_on), trained=False)
        context = replace(context, encoder=built)
    method.restore(folder, cell.trained_on, context)
    return Reopened(record, path, config, world, cell, task, method)


def _probed(tables: Tables) -> list[str]:
    """Methods that work here, keep their model and rank items."""
    wanted = ("save", "restore", "rank")
    return [
        name
        for name, entry in tables.methods.items()
        if not why_unavailable(entry) and all(hasattr(entry.load(), own) for own in wanted)
    ]


def _language_model(
    record: RunRecord, given: str | None, path: Path
) -> tuple[str | None, dict[str, str] | None]:
    """Name and facts of the language model of a run."""
    facts = record.llm
    if facts is None:
        if given is not None:
            raise UserError(f"--llm {given}: {path} has no such language model; leave --llm out")
        return None, None
    if given is None:
        if "sha256" in facts:
            raise UserError(
                f"{path} has the language model of a local folder, {facts['name']}: say where it "
                "is with --llm"
            )
        return facts["name"], facts
    if identity.llm_identity(given) != facts:
        raise UserError(f"--llm {given}: {path} has another language model, {facts['name']}")
    return given, facts


def _config(
    record: RunRecord, tables: Tables, llm: str | None, threads: int | None
) -> configs.RunConfig:
    """What `run` would be told to make the record's cell."""
    method, task, protocol = record.method.name, record.task.name, record.protocol
    tables.dataset(record.dataset.name)
    tables.splits[protocol.split]
    own = tables.settings_model(method).model_fields
    if task != "next_item" or protocol.shared_with:
        others = f" with {', '.join(protocol.shared_with)}" if protocol.shared_with else ""
        raise UserError(f"probes ask for next_item alone; this run is of {task}{others}")
    sections: dict[str, Any] = {
        task: nest(record.task.changes),
        protocol.split: protocol.split_settings,
    }
    for name, value in record.method.changes.items():
        # What a run changed beside its method's own section carries the other section's name.
        elsewhere = name.partition(".")[0] not in own
        nested = nest({name: value})
        sections = merge(sections, nested if elsewhere else {method: nested})
    return configs.RunConfig.model_validate(
        {
            "task": [task],
            "dataset": record.dataset.name,
            "methods": [method],
            "preset": record.preset,
            "seeds": [record.seed],
            "split": protocol.split,
            "part": protocol.part,
            "seen": protocol.seen,
            "llm": llm,
            "threads": threads or record.host.get("threads"),
            "accelerator": record.host.get("accelerator") or "cpu",
            **{
                name: record.host[name]
                for name in ("devices", "distributed", "micro_batches")
                if name in record.host
            },
            "sections": sections,
        }
    )


def _what_differs(cell: Cell, record: RunRecord) -> str:
    """Why a cell made from the record's own words is not the record's."""
    for section, now, then in (
        (cell.task_name, cell.task_settings, record.task.settings),
        (cell.method_name, cell.method_settings, record.method.settings),
    ):
        new, old = flatten(now.model_dump(mode="json")), flatten(then)
        for name in {**old, **new}:
            if new.get(name) != old.get(name):
                return (
                    f"has {section}.{name}={old.get(name)}, which its preset {record.preset} "
                    f"and its options now make {new.get(name)}"
                )
    return "was made by another version"
