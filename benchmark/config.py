"""What a run is asked to do: command line, file and presets, merged and checked."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from benchmark.cost.config import SECTION
from benchmark.entries import ability
from benchmark.errors import UserError, describe_error, unknown
from benchmark.settings import (
    Nested,
    build,
    check_names,
    flatten,
    merge,
    parse_assignment,
    parse_yaml,
)
from benchmark.system.cores import default_threads
from benchmark.tables import Tables
from benchmark.whole_numbers import whole_number


class RunConfig(BaseModel):
    """The options of `userllm-bench run`; a configuration file has the same keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    task: tuple[str, ...] = Field(description="tasks, comma-separated")
    dataset: str = Field("ml-100k", description="data set")
    methods: tuple[str, ...] | None = Field(None, description="methods; the default set if absent")
    preset: str = Field("quick", description="budget of every method")
    seeds: tuple[int, ...] = Field((0,), description="seeds, comma-separated")
    assignments: tuple[str, ...] = Field((), alias="set", description="<name>.<field>=value")
    split: str = Field("last", description="how test and validation targets are chosen")
    part: Literal["test", "validation"] = Field("test", description="which targets to score")
    seen: Literal["auto", "exclude", "include"] = Field(
        "auto", description="whether a user's earlier items are ranked; auto = exclude them unless "
        "the data set has repeats"
    )  # fmt: skip
    llm: str | None = Field(None, description="hub name or folder of a causal language model")
    out: Path = Field(Path("results/runs"), description="folder that receives one folder a cell")
    threads: int | None = Field(
        None, ge=1, description="threads; OMP_NUM_THREADS if absent, else cores"
    )
    accelerator: Literal["auto", "cpu", "gpu"] = Field(
        "cpu", description="what computes; auto = a CUDA GPU where there is one"
    )
    devices: int = Field(1, ge=1, description="processes that train a cell together, a machine")
    num_nodes: int = Field(1, ge=1, description="machines that train a cell together")
    distributed: Literal["ddp", "fsdp"] = Field(
        "ddp", description="how they train: whole weights each, or a language model's divided"
    )
    micro_batches: int = Field(
        1, ge=1, description="parts in which a device takes its share of a batch"
    )
    precision: Literal["auto", "fp32", "bf16"] | None = Field(
        None, description="of activations, for every method of the run; as settings say if absent"
    )
    force: bool = Field(False, description="run finished cells again")
    keep_models: bool = Field(True, description="keep fitted models beside their records")
    multi_task: bool = Field(False, description="one fit of a method serves all tasks")
    as_json: bool = Field(False, alias="json", description="print the rows as JSON on stdout")
    sections: dict[str, dict[str, Any]] = Field({}, description="settings a method or task")
    tuning: dict[str, dict[str, Any]] = Field(
        {}, description="how settings were found, by method, with the name of the file as `file`"
    )

    @field_validator("seeds", mode="before")
    @classmethod
    def _whole(cls, value: object) -> object:
        if not isinstance(value, Sequence) or isinstance(value, str):
            return value
        seeds = []
        for part in value:
            text = str(part)
            seed = whole_number(text)
            if isinstance(part, bool) or seed is None:
                raise ValueError(f"{text!r} is no seed: give whole numbers from 0, e.g. 0,1")
            if seed >= 2**32:
                raise ValueError(f"the seed {text} is too large: it must be below {2**32}")
            seeds.append(seed)
        return tuple(dict.fromkeys(seeds))

    # Runs before the one above: of such validators the last one comes first.
    @field_validator("task", "methods", "seeds", mode="before")
    @classmethod
    def _listed(cls, value: object) -> object:
        if isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool)):
            value = [value]
        if isinstance(value, Sequence):
            if any(isinstance(part, list | dict) for part in value):
                raise ValueError("names or numbers are needed, no lists or mappings")
            parts: list[object] = []
            for part in value:
                parts += part.split(",") if isinstance(part, str) else [part]
            stripped = [part.strip() if isinstance(part, str) else part for part in parts]
            kept = [part for part in stripped if part != ""]
            if not kept:
                raise ValueError("the list is empty")
            return tuple(dict.fromkeys(kept))
        return value


_KEYS = {info.alias or name: name for name, info in RunConfig.model_fields.items()}
TUNING = "tuning"
"""Key of a configuration file that only says where its settings come from; see `tune`."""
_KEYS.pop("sections")
_KEYS.pop(TUNING)
_TUNED = ("dataset", "task", "split", "split_settings", "target_hash", "settings")
"""What must be known of a search to say whether a run may use what it found."""


class Preset(BaseModel):
    """A budget for every method and task."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    description: str
    size: int = Field(0, description="which budget is larger: primary tests are of the largest")
    warning: str = ""
    settings: dict[str, dict[str, Any]] = {}


@dataclass(frozen=True)
class Layers:
    """Settings by section, the later layer winning, each as YAML gave it."""

    preset: Mapping[str, Nested]
    file: Mapping[str, Nested]
    sets: Mapping[str, Nested]

    def resolve(self, tables: Tables, name: str) -> BaseModel:
        """The settings of a method or task.

        A method takes what is given for its section, then for its own name, then what its row
        fixes.
        """
        model = tables.settings_model(name)
        fixed = tables.methods[name].overrides if name in tables.methods else {}
        given = [self._of(layer, tables, name) for layer in (self.preset, self.file, self.sets)]
        return build(model, merge(*given, fixed), name)

    def encoder(self, tables: Tables, method: str) -> str | None:
        """What stands in the encoder slot of a method; None where it has no such slot.

        Raises:
            UserError: The method's settings name no encoder.
        """
        if not tables.methods[method].uses_encoder:
            return None
        name: str = getattr(self.resolve(tables, method), "encoder")  # noqa: B009
        tables.encoders[name]
        return name

    def changes(self, tables: Tables, name: str) -> dict[str, Any]:
        """What file and `--set` say about a method or task, dotted name → value."""
        return flatten(merge(*(self._of(layer, tables, name) for layer in (self.file, self.sets))))

    @staticmethod
    def _of(layer: Mapping[str, Nested], tables: Tables, name: str) -> dict[str, Any]:
        section = tables.section(name) if name in tables.methods else name
        return merge(layer.get(section, {}), layer.get(name, {}) if name != section else {})


def read_config(file: Path | None, options: Mapping[str, Any], tables: Tables) -> RunConfig:
    """Merges a configuration file with the options of the command line, which win.

    Args:
        file: YAML file or None.
        options: Keys of `RunConfig` (by alias); None = not given.
        tables: What can be named.
    """
    values: dict[str, Any] = {}
    sections: dict[str, Any] = {}
    if file is not None:
        known = tables.sections
        for key, value in _read_mapping(file).items():
            if key in _KEYS:
                values[key] = value
            elif key in known:
                check_names(tables.settings_model(key), value, key)
                sections[key] = value
            elif key == TUNING:
                values[TUNING] = _tuning(value, file)
            else:
                raise unknown(f"key in {file}", str(key), [*_KEYS, *known])
    given = {key: value for key, value in options.items() if value is not None}
    from_file = values.get("set") or []
    sets = [from_file] if isinstance(from_file, str) else list(from_file)
    sets += list(given.pop("set", []))
    if "task" not in values and "task" not in given:
        raise UserError(f"which task? Add --task: {', '.join(tables.tasks)}")
    try:
        config = RunConfig.model_validate({**values, **given, "set": sets, "sections": sections})
    except ValidationError as error:
        raise UserError(_with_flag(error)) from None
    _check(config, tables)
    if config.threads is None:
        default_threads()  # before OpenMP is there, which complains in words of its own
    return config


def _tuning(value: object, file: Path) -> dict[str, dict[str, Any]]:
    """What a file says of its searches, each with the name of the file."""
    entries: dict[str, dict[str, Any]] = {}
    for name, entry in value.items() if isinstance(value, dict) else [("it", None)]:
        if not isinstance(entry, dict) or not {*_TUNED} <= {*entry}:
            raise UserError(
                f"{file}: what stands under {TUNING} is to be as userllm-bench tune wrote it, "
                f"{', '.join(_TUNED)} of each method; {name} is not"
            )
        entries[str(name)] = {**entry, "file": file.name}
    return entries


def chosen_methods(config: RunConfig, tables: Tables) -> tuple[str, ...]:
    """The methods of a run, in order."""
    if config.methods is not None:
        return config.methods
    needed = {tables.tasks[task].needs for task in config.task}
    entries = {name: tables.methods[name] for name in tables.methods}
    return tuple(
        name
        for name, entry in entries.items()
        if entry.in_default or needed & set(entry.baseline_for)
    )


def read_preset(name: str, tables: Tables) -> Preset:
    """Reads a preset by name."""
    if name not in tables.preset_names:
        raise unknown("preset", name, tables.preset_names)
    path = tables.presets / f"{name}.yaml"
    return build(Preset, _read_mapping(path), f"preset {name}")


def read_layers(config: RunConfig, tables: Tables, others: Collection[str] = ()) -> Layers:
    """The settings that preset, file and `--set` give, names checked.

    Args:
        config: What to run.
        tables: What can be named.
        others: Sections that variants bring into the run, beside those of its methods.

    Raises:
        UserError: A `--set` names nothing, nothing of this run, or what its row fixes; or a method
            names no encoder.
    """
    sets: dict[str, Any] = {}
    methods = chosen_methods(config, tables)
    assigned = [(text, *parse_assignment(text)) for text in config.assignments]
    for _, section, nested in assigned:
        check_names(tables.settings_model(section), nested, section)
        sets = merge(sets, {section: nested})
    layers = Layers(read_preset(config.preset, tables).settings, config.sections, sets)
    sections = [tables.section(method) for method in methods]
    encoders = [name for method in methods if (name := layers.encoder(tables, method))]
    layers = Layers(
        layers.preset,
        layers.file,
        merge(precisions(config, tables, {*sections, *encoders, *others}), layers.sets),
    )
    used = {*config.task, config.split, SECTION, *methods, *sections, *encoders, *others}
    for text, section, nested in assigned:
        if section not in used:
            raise UserError(
                f"--set {text}: {section} is not part of this run; its parts: "
                f"{', '.join(sorted(used))}"
            )
        _check_fixed(text, section, nested, methods, tables)
    return layers


def precisions(
    config: RunConfig, tables: Tables, sections: Collection[str]
) -> dict[str, dict[str, Any]]:
    """What `--precision` says of some sections of settings: that of every optimizer in them.

    Raises:
        UserError: There is none.
    """
    if config.precision is None:
        return {}
    found = {
        name: setting
        for name in sections
        if (setting := _with_precision(tables.settings_model(name), config.precision))
    }
    if not found:
        raise UserError(f"--precision {config.precision}: no method of this run has an optimizer")
    return found


def _with_precision(model: type[BaseModel], value: str) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        kind = field.annotation
        if name == "precision":
            nested[name] = value
        elif isinstance(kind, type) and issubclass(kind, BaseModel):
            nested |= {name: inner} if (inner := _with_precision(kind, value)) else {}
    return nested


def _check_fixed(
    text: str, section: str, nested: Nested, methods: Sequence[str], tables: Tables
) -> None:
    """A `--set` that no row would follow, because each fixes the field, is an error."""
    readers = [name for name in methods if section in (name, tables.section(name))]
    for field in flatten(nested):
        fixing = [name for name in readers if field in flatten(tables.methods[name].overrides)]
        if readers and fixing == readers:
            raise UserError(f"--set {text}: {', '.join(fixing)} fixes {field}")


def _check(config: RunConfig, tables: Tables) -> None:
    """Checks every name of a run, and that each named method can do one of the tasks."""
    tables.dataset(config.dataset)
    tables.splits[config.split]
    needed = {name: tables.tasks[name].needs for name in config.task}
    if config.preset not in tables.preset_names:
        raise unknown("preset", config.preset, tables.preset_names)
    chosen = chosen_methods(config, tables)
    for name in chosen:
        tables.methods[name]
    users = [n for n, e in tables.methods.items() if e.uses_llm or e.llm_setting]
    if config.llm is not None and not set(users) & set(chosen):
        raise UserError(f"--llm: no method of this run uses it; these do: {', '.join(users)}")
    if config.distributed == "fsdp":
        dividing = [name for name, entry in tables.methods.items() if entry.uses_llm]
        if config.devices * config.num_nodes == 1:
            raise UserError("--distributed fsdp divides weights among devices: add --devices")
        strangers = [name for name in config.methods or () if name not in dividing]
        if strangers:
            raise UserError(
                f"--distributed fsdp divides the weights of a language model, and {strangers[0]} "
                f"trains none; these do: {', '.join(dividing)}"
            )
    if config.multi_task:
        serving = [name for name, entry in tables.methods.items() if entry.multi_task]
        if len(config.task) < 2 or not set(serving) & set(chosen):
            raise UserError(
                "--multi-task needs several tasks and a method that one fit can serve them with: "
                f"{', '.join(serving)}"
            )
    for name in config.methods or ():
        able, why = tables.methods[name].capabilities, tables.methods[name].unavailable
        if not set(needed.values()) & set(able):
            raise UserError(
                f"method {name!r} can do none of the tasks asked for: "
                + "; ".join(f"{task} needs one to {ability(n)}" for task, n in needed.items())
                + f"; it can {' and '.join(map(ability, able)) or 'do nothing'}"
                + (f" ({why})" if why else "")
            )


def _read_mapping(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(f"there is no configuration file {str(path)!r}") from None
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
        raise UserError(f"cannot read the configuration file {str(path)!r}: {reason}") from None
    values = parse_yaml(text, str(path))
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise UserError(f"{path}: keys with values are needed, e.g. 'task: next_item'")
    return {str(key): value for key, value in values.items()}


def _with_flag(error: ValidationError) -> str:
    """One line about a wrong option, as `--name` writes it."""
    details = error.errors()[0]
    details["loc"] = tuple(part for part in details["loc"] if part != "sections")
    if details["type"] == "value_error":
        return f"--{details['loc'][0]}: {details['msg'].removeprefix('Value error, ')}"
    return f"--{describe_error(details, '')}"
