"""Settings of a file that a search found: whether a run may use them, and what its records say.

Validation targets of one split can be test targets of another, so that settings which were chosen
on them would be judged on what chose them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from benchmark.config import Layers, RunConfig, chosen_methods
from benchmark.errors import UserError
from benchmark.settings import flatten
from benchmark.tables import Tables

_RECORDED = (
    "file", "metric", "trials", "failed", "limit_seconds", "seconds", "encoder_seconds", "dataset",
    "task", "preset", "split", "split_settings", "dataset_hash", "target_hash", "version", "git",
)  # fmt: skip


def check_tuned(
    config: RunConfig, layers: Layers, tables: Tables, targets: Mapping[str, str] | None = None
) -> list[str]:
    """Refuses settings that test targets of a run may have chosen.

    Args:
        config: What to run.
        layers: Its settings.
        tables: What can be named.
        targets: Task → hash of its targets; not looked at where None, since that takes the data.

    Returns:
        One line about settings that were tuned on other data.

    Raises:
        UserError: Some were tuned on the same data, but divided otherwise.
    """
    if config.part != "test":
        return []
    split = layers.resolve(tables, config.split).model_dump(mode="json")
    elsewhere: dict[str, dict[str, None]] = {}
    for name, task, entry in _used(config, layers, tables):
        if entry["dataset"] != config.dataset:
            elsewhere.setdefault(str(entry["dataset"]), {})[name] = None
            continue
        asked = ""
        if entry["split"] != config.split:
            asked = f"--split {config.split}"
        elif entry["split_settings"] != split:
            asked = f"these settings of --split {config.split}"
        elif targets is not None and targets.get(task) not in (None, entry["target_hash"]):
            asked = f"the targets of {task}"
        if asked:
            raise UserError(
                f"{entry['file']}: settings of {name} were tuned for {entry['task']} on "
                f"{config.dataset} with --split {entry['split']}, whose validation targets can be "
                f"test targets with {asked}: give a file that userllm-bench tune made with the "
                "same split, its settings and task, or none"
            )
    if not elsewhere:
        return []
    told = (f"{', '.join(names)} on {dataset}" for dataset, names in elsewhere.items())
    return [f"settings were tuned on other data than {config.dataset}: {'; '.join(told)}"]


def tuned_of(
    method: str, config: RunConfig, layers: Layers, tables: Tables
) -> dict[str, Any] | None:
    """What a record says of the search that found a method's settings; None where none did.

    `method` there is the one that was searched: the row itself, the row that has the name of its
    section, or else what stands in its encoder slot. `set` names what a `--set` puts on top.
    """
    parts = _parts(method, layers, tables) if config.tuning else []
    name = next((part for part in parts if part in config.tuning), None)
    if name is None:
        return None
    entry = config.tuning[name]
    kept = {key: entry[key] for key in _RECORDED if key in entry}
    on_top = sorted({field for part in parts for field in flatten(layers.sets.get(part, {}))})
    return {"method": name, **kept, **({"set": on_top} if on_top else {})}


def _used(
    config: RunConfig, layers: Layers, tables: Tables
) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Name, task and entry of every search whose settings a row of a run has."""
    for method in chosen_methods(config, tables) if config.tuning else ():
        abilities = tables.methods[method].capabilities
        tasks = [task for task in config.task if tables.tasks[task].needs in abilities]
        for part in _parts(method, layers, tables):
            if part in config.tuning:
                yield from ((part, task, config.tuning[part]) for task in tasks)


def _parts(method: str, layers: Layers, tables: Tables) -> list[str]:
    """The sections that a method has settings from, its own first."""
    encoder = layers.encoder(tables, method)
    named = [method, *([encoder] if encoder else [])]
    sections = [part for own in named for part in (own, _section(own, tables))]
    return list(dict.fromkeys(sections))


def _section(name: str, tables: Tables) -> str:
    return tables.section(name) if name in tables.methods else name
