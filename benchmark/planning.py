"""Makes the world and the cells of a run from what was asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, cast

import benchmark
from benchmark import config as configs
from benchmark import host, identity
from benchmark.data.dataset import Dataset
from benchmark.data.splits import Split
from benchmark.encoder_slot import choose_encoder, missing_encoder
from benchmark.errors import UserError
from benchmark.home import stages_folder
from benchmark.plan import Cell, World, build
from benchmark.results import Row
from benchmark.settings import flatten
from benchmark.tables import Tables, why_unavailable
from benchmark.tasks.next_item import resolve_seen
from benchmark.variants import Variant


def open_world(
    config: configs.RunConfig, tables: Tables, llm_facts: dict[str, str] | None, command: str
) -> World:
    """Loads and splits the data of a run.

    Raises:
        UserError: The data set or the accelerator is not available here.
    """
    accelerator = host.choose_accelerator(config.accelerator)
    entry = tables.datasets[config.dataset]
    reason = why_unavailable(entry)
    if reason:
        raise UserError(f"data set {config.dataset!r} is not available: {reason}")
    dataset = cast("Callable[[], Dataset]", entry.load())()
    split = cast("Callable[[Dataset], Split]", tables.splits[config.split].load())(dataset)
    return World(
        dataset=dataset,
        split=split,
        split_name=config.split,
        seen=resolve_seen(config.seen, dataset),
        part=config.part,
        preset=config.preset,
        llm=config.llm,
        llm_facts=llm_facts,
        cache=stages_folder(),
        threads=config.threads or host.default_threads(),
        command=command,
        accelerator=accelerator,
        keep_models=config.keep_models,
    )


def planned_cells(
    config: configs.RunConfig,
    tables: Tables,
    layers: configs.Layers,
    world: World,
    variants: Sequence[Variant],
) -> Iterator[tuple[Row, Cell | None]]:
    """Every asked-for cell, in order; None where there is nothing to run."""
    for task in config.task:
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
                entry, need = tables.methods[method], tables.tasks[task].needs
                reason = why_unavailable(entry) or _lacking(variant, world)
                if need not in entry.capabilities:
                    reason = f"{task} needs {need}, which {method} does not have"
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
    task_type = task_entry.load()
    version = getattr(task_type, "version", "")
    named = {method: method_settings.model_dump(mode="json")}
    # What concerns few cells stands only in theirs, so that the others keep their hashes.
    special: dict[str, object] = host.gpu_facts(world.accelerator)
    if encoder is not None:
        named[encoder.name] = encoder.settings.model_dump(mode="json")
        special["encoder"] = [encoder.name, named[encoder.name]]
    derived = _derived_features(world, named)
    if derived:
        special["derived"] = derived
    config_hash = identity.stable_hash(
        {
            **special,
            "package": benchmark.__version__,
            "dataset": world.dataset.fingerprint,
            "split": world.split_name,
            "targets": world.split.target_hash,
            "part": world.part,
            "seen": world.seen,
            "task": [task, version, task_settings.model_dump(mode="json")],
            "method": [method, named[method]],
            "llm": world.llm_facts if method_entry.uses_llm else None,
            "seed": seed,
            "preset": world.preset,
        }
    )
    name = f"{config.dataset}-{task}-{method.replace('/', '-')}-s{seed}-{config_hash[:8]}"
    return Cell(
        task=lambda: build(task_type, task_settings),
        method=lambda: build(method_entry.load(), method_settings),
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
        uses_llm=method_entry.uses_llm,
        config_hash=config_hash,
        folder=config.out / name,
        axes=variant.axes,
        encoder=encoder,
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
