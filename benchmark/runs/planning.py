"""Makes the world and the cells of a run from what was asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, cast

from pydantic import BaseModel

import benchmark
from benchmark import config as configs
from benchmark.cost.config import SECTION, CostSettings
from benchmark.data.dataset import Dataset
from benchmark.data.division import Need, Split, shared_split
from benchmark.data.opening import load_dataset
from benchmark.data.store.seal import Seal
from benchmark.entries import MethodEntry, ability
from benchmark.errors import UserError
from benchmark.goals import Goal
from benchmark.named_features import check_features
from benchmark.records import identity
from benchmark.records.results import Row
from benchmark.runs.encoder_slot import choose_encoder, missing_encoder
from benchmark.runs.plan import Cell, Task, World, build
from benchmark.settings import flatten
from benchmark.system import host
from benchmark.system.home import stages_folder
from benchmark.system.launching import spread_of, threads_a_process
from benchmark.tables import Tables, why_unavailable
from benchmark.tasks.config import NextItemSettings
from benchmark.tasks.next_item import NextItem, resolve_seen
from benchmark.tuning.applied import tuned_of
from benchmark.types import IDS
from benchmark.variants import Variant


def open_world(
    config: configs.RunConfig,
    tables: Tables,
    layers: configs.Layers,
    llm_facts: dict[str, str] | None,
    command: str,
) -> World:
    """Loads and splits the data of a run.

    Raises:
        UserError: The data set or the accelerator is not available here, or no task suits it.
    """
    accelerator = host.choose_accelerator(config.accelerator)
    entry = tables.dataset(config.dataset)
    dataset = load_dataset(config.dataset, entry)
    seal = None if entry.embedded else Seal(dataset)
    tasks = {name: build_task(name, tables, layers) for name in config.task}
    divide = chosen_split(config.split, tables, layers)
    splits: dict[str, Split] = {}
    goals: dict[str, Goal] = {}
    shared_goals: dict[str, Goal] = {}
    unfit: dict[str, str] = {}
    for name, task in tasks.items():
        reason = task.unfit(dataset)
        if not reason:
            try:
                split = divide(dataset, task.need)
                goals[name] = task.goal(split.train)  # there must be something to learn from
                splits[name] = split
            except UserError as error:
                if len(tasks) == 1:
                    raise
                reason = str(error)
        if reason:
            unfit[name] = reason
    if not splits and len(tasks) > 1:
        raise UserError("; ".join(f"{name}: {reason}" for name, reason in unfit.items()))
    shared = None if set(splits) <= {NextItem.name} else shared_split(dataset, splits)
    if config.multi_task and shared is not None:
        shared_goals = {name: tasks[name].goal(shared.train) for name in splits}
    return World(
        dataset=dataset,
        splits=splits,
        unfit=unfit,
        shared=shared,
        tasks={name: tasks[name] for name in splits},
        goals=goals,
        shared_goals=shared_goals,
        next_item=build_task(NextItem.name, tables, layers),
        split_name=config.split,
        split_settings=layers.resolve(tables, config.split).model_dump(mode="json"),
        seen=resolve_seen(config.seen, dataset),
        part=config.part,
        preset=config.preset,
        llm=config.llm,
        llm_facts=llm_facts,
        cache=stages_folder(),
        threads=threads_a_process(config),
        command=command,
        accelerator=accelerator,
        keep_models=config.keep_models,
        multi_task=config.multi_task,
        cost=cast("CostSettings", layers.resolve(tables, SECTION)),
        several=spread_of(config).facts(),
        seal=seal,
    )


def build_task(name: str, tables: Tables, layers: configs.Layers) -> Task:
    """A task with its settings; `next_item` with its own where the tables lack it."""
    if name not in tables.tasks:
        return NextItem(NextItemSettings())
    task: Task = build(tables.tasks[name].load(), layers.resolve(tables, name))
    return task


def chosen_split(
    name: str, tables: Tables, layers: configs.Layers
) -> Callable[[Dataset, Need], Split]:
    """A way to divide a data set, with its settings."""
    settings = layers.resolve(tables, name)
    function = cast("Callable[[Dataset, Need, BaseModel], Split]", tables.splits[name].load())
    return lambda dataset, need: function(dataset, need, settings)


def planned_cells(
    config: configs.RunConfig,
    tables: Tables,
    layers: configs.Layers,
    world: World,
    variants: Sequence[Variant],
) -> Iterator[tuple[Row, Cell | None]]:
    """Every asked-for cell, in order; None where there is nothing to run."""
    for task in config.task:
        needs = tables.tasks[task].needs
        for seed in config.seeds:
            for variant in variants:
                method = variant.method
                row = Row(
                    dataset=config.dataset,
                    task=task,
                    method=method,
                    seed=seed,
                    preset=config.preset,
                    axes=dict(variant.axes),
                )
                entry = tables.methods[method]
                reason = why_unavailable(entry) or _lacking(variant, world)
                if needs not in entry.capabilities:
                    reason = f"{method} cannot {ability(needs)}"
                reason = reason or world.unfit.get(task, "") or _speechless(task, entry, world)
                reason = reason or _undivided(entry, world)
                if reason:
                    yield row.model_copy(update={"na": reason}), None
                    continue
                try:
                    cell = make_cell(task, variant, seed, config, tables, layers, world)
                except UserError as error:
                    if not variant.axes:
                        raise
                    yield row.model_copy(update={"error": str(error)}), None
                    continue
                missing = missing_encoder(cell.encoder, tables)
                if missing:
                    yield row.model_copy(update={"error": missing}), None
                else:
                    yield row, cell


def _lacking(variant: Variant, world: World) -> str:
    """Why a variant cannot be shown on this data set, "" where it can."""
    names = world.dataset.events.schema.names
    missing = [name for name in variant.features if name not in names]
    if not missing:
        return ""
    return (
        f"the data set {world.dataset.name} has no feature {', '.join(missing)}; it has "
        f"{', '.join(names)}"
    )


def _undivided(entry: MethodEntry, world: World) -> str:
    """Why a method cannot be trained as several devices are to, "" where it can."""
    if world.several.get("distributed") != "fsdp" or entry.uses_llm:
        return ""
    return "fsdp divides the weights of a language model, and it trains none: use ddp"


def _speechless(task: str, entry: MethodEntry, world: World) -> str:
    """Why a method that says items cannot, "" where it can."""
    catalog = world.splits[task].train.catalog
    if task != NextItem.name or not entry.says_items or catalog.text_source != IDS:
        return ""
    return (
        f"the items of {world.dataset.name} have no text to say; user_llm_item_head ranks without"
    )


def make_cell(
    task: str,
    variant: Variant,
    seed: int,
    config: configs.RunConfig,
    tables: Tables,
    layers: configs.Layers,
    world: World,
) -> Cell:
    """Resolves one cell and gives it its folder."""
    method, layers = variant.method, variant.over(layers)
    task_entry, method_entry = tables.tasks[task], tables.methods[method]
    task_settings = layers.resolve(tables, task)
    method_settings = layers.resolve(tables, method)
    encoder = choose_encoder(method, method_settings, tables, layers)
    schema = world.dataset.events.schema
    check_features(method_settings, tables.section(method), schema)
    if encoder is not None:
        check_features(encoder.settings, encoder.name, schema)
    task_type = task_entry.load()
    version = getattr(task_type, "version", "")
    split = world.splits[task]
    # An encoder alone reads a language model where it is told to know items by their text.
    asked_for = getattr(method_settings, method_entry.llm_setting or "-", False)
    uses_llm = method_entry.uses_llm or bool(asked_for)
    serves_all = world.multi_task and method_entry.multi_task and len(world.tasks) > 1
    named = {method: method_settings.model_dump(mode="json")}
    # What concerns few cells stands only in theirs, so that the others keep their hashes.
    special: dict[str, object] = {**host.gpu_facts(world.accelerator), **world.several}
    if encoder is not None:
        named[encoder.name] = encoder.settings.model_dump(mode="json")
        special["encoder"] = [encoder.name, named[encoder.name]]
    derived = _derived_features(world, named)
    if derived:
        special["derived"] = derived
    shares = method_entry.shares and world.shared is not None
    if world.shared is not None and shares:
        shared, judge = world.shared, world.next_item.settings.model_dump(mode="json")
        special["shared"] = [shared.train.fingerprint, shared.target_hash, judge]
    if task != NextItem.name:
        special["label_feature"] = world.dataset.label_feature
    if world.split_name != "last":  # what is trained on need not show in the targets
        special["divided"] = [dict(world.split_settings), split.train.fingerprint]
    if serves_all:
        special["tasks"] = [
            [name, own.version, own.settings.model_dump(mode="json")]
            for name, own in world.tasks.items()
        ]
    config_hash = identity.stable_hash(
        {
            **special,
            "package": benchmark.__version__,
            "dataset": world.dataset.fingerprint,
            "split": world.split_name,
            "targets": split.target_hash,
            "part": world.part,
            "seen": world.seen,
            "task": [task, version, task_settings.model_dump(mode="json")],
            "method": [method, named[method]],
            "llm": world.llm_facts if uses_llm else None,
            "seed": seed,
            "preset": world.preset,
        }
    )
    name = f"{config.dataset}-{task}-{method}-s{seed}-{config_hash[:8]}".replace("/", "-")
    return Cell(
        task=lambda: build(task_type, task_settings),
        method=lambda settings=method_settings: build(method_entry.load(), settings),
        task_name=task,
        method_name=method,
        task_settings=task_settings,
        method_settings=method_settings,
        changes={
            **layers.changes(tables, method),
            **({} if encoder is None else flatten({encoder.name: encoder.changes})),
        },
        task_changes=dict(layers.changes(tables, task)),
        seed=seed,
        uses_llm=uses_llm,
        config_hash=config_hash,
        folder=config.out / name,
        split=split,
        trained_on=world.shared.train if serves_all and world.shared else split.train,
        serves_all=serves_all,
        shares=shares,
        in_stages=method_entry.in_stages,
        axes=variant.axes,
        encoder=encoder,
        outliner=method_entry.outline,
        tuned=tuned_of(method, config, layers, tables),
        variant=variant,
    )


def _derived_features(world: World, settings: Mapping[str, Any]) -> list[dict[str, object]]:
    """Descriptions of the derived features that some settings name.

    The data set's fingerprint leaves derived features out, since few cells read them.
    """
    named = {value for values in flatten(settings).values() for value in _texts(values)}
    schema = world.dataset.events.schema
    return [feature.to_json() for feature in schema if feature.derived and feature.name in named]


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Sequence):
        for part in value:
            yield from _texts(part)
