"""Records of finished cells: their schema, reading them back, and tidy frames. Free of torch."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from benchmark.cost.facts import Cost
from benchmark.display.visible import NAME, bounded
from benchmark.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

SCHEMA_VERSION = 4
RECORD = "record.json"
EXAMPLES = "examples.parquet"
_OF_JUDGING = ("batch_size", "bootstrap_samples", "bootstrap_seed", "validation_users")
_LABEL = 48
"""Most characters of what a figure or table calls a variant by."""
MODEL = "model"
"""Folder of the fitted model, beside the record, where it was kept."""


class NewerRecordError(UserError):
    """A record that only a newer version can read; nobody overwrites it unasked."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DatasetFacts(_Part):
    """Which data: `fingerprint` covers ids, events and texts, `target_hash` the test targets.

    `item_text` says what a language model says for an item, see `benchmark.types.TEXT_SOURCES`.
    """

    name: str
    fingerprint: str
    target_hash: str
    licence: str = ""
    citation: str = ""
    source: str = ""
    item_text: str = "titles"
    facts: dict[str, Any] = {}


class ProtocolFacts(_Part):
    """How a method was judged.

    `leak` says what of the future training knew; `shared_with` names the other tasks of the run,
    whose cuts shared stages kept to; `fitted_for` the tasks that the one fit serves.
    """

    split: str
    split_description: str
    split_settings: dict[str, Any] = {}
    part: str
    seen: str
    tie_rule: str
    history_length: int | None = None
    leak: str = ""
    shared_with: tuple[str, ...] = ()
    fitted_for: tuple[str, ...] = ()


class Component(_Part):
    """A task or method with the settings it ran with; `version` is empty for a method."""

    name: str
    version: str = ""
    settings: dict[str, Any] = {}
    changes: dict[str, Any] = {}


class Stage(_Part):
    """One training stage; `curve` holds `[seconds, step, validation value]` of every look.

    `flops` is the arithmetic of all steps, forward and backward, multiply-add = 2; 0 in records of
    versions that did not count it.
    """

    name: str
    seconds: float
    steps: int = 0
    epochs: float = 0.0
    targets: int = 0
    reused: bool = False
    stopped: str = "budget"
    curve: tuple[tuple[float, int, float], ...] = ()
    flops: float = 0.0


class Measure(_Part):
    """A value and its 95% bootstrap interval."""

    value: float
    low: float
    high: float


class Fit(_Part):
    """What fitting took; `perplexity` is that of held-out text, by what was asked."""

    seconds: float
    wall_seconds: float
    stages: tuple[Stage, ...] = ()
    parameters: int = 0
    trained_parameters: int = 0
    notes: tuple[str, ...] = ()
    perplexity: dict[str, Measure] = {}


class RunRecord(_Part):
    """One finished cell: a method, on a task, with a seed.

    `encoder` is what stands in the encoder slot of a method that has one; what somebody set of it
    is also among the method's changes, under its name. `imported` names the file of answers (name,
    SHA-256) of a row that was not run here: what fitting it took is then unknown and stands as 0.
    `tuned` says what search found its settings, where a file of `tune` gave them: see
    `benchmark.tuning.applied.tuned_of`.
    """

    schema_version: int = Field(SCHEMA_VERSION, strict=True)
    config_hash: str
    dataset: DatasetFacts
    task: Component
    method: Component
    encoder: Component | None = None
    protocol: ProtocolFacts
    seed: int
    preset: str
    axes: dict[str, Any] = {}
    budget: dict[str, Any] = {}
    metrics: dict[str, float]
    intervals: dict[str, tuple[float, float]] = {}
    examples: int
    fit: Fit
    evaluation_seconds: float
    peak_memory_bytes: int
    cost: Cost = Cost()
    llm: dict[str, str] | None = None
    imported: dict[str, str] | None = None
    tuned: dict[str, Any] | None = None
    host: dict[str, Any] = {}
    python: str
    versions: dict[str, str] = {}
    git: dict[str, Any] | None = None
    created: str
    command: str


class Row(_Part):
    """What a run says about one cell: a record, or why there is none."""

    dataset: str
    task: str
    method: str
    seed: int
    preset: str
    axes: dict[str, Any] = {}
    record: RunRecord | None = None
    path: Path | None = None
    na: str = ""
    error: str = ""
    log: Path | None = None

    def to_json(self) -> dict[str, Any]:
        """The row as `--json` prints it."""
        row: dict[str, Any] = {
            "dataset": self.dataset,
            "task": self.task,
            "method": self.method,
            "seed": self.seed,
            "preset": self.preset,
            "axes": self.axes,
        }
        if self.record is None:
            row |= {"na": self.na} if self.na else {"error": self.error}
            return row | ({"log": str(self.log)} if self.log else {})
        record = self.record
        return row | {
            "metrics": record.metrics,
            "intervals": {name: list(interval) for name, interval in record.intervals.items()},
            "budget": record.budget,
            "training_seconds": record.fit.seconds,
            "cost": record.cost.model_dump(exclude_none=True),
            "split": record.protocol.split,
            "part": record.protocol.part,
            "seen": record.protocol.seen,
            "leak": record.protocol.leak,
            "item_text": record.dataset.item_text,
            "changes": {**record.task.changes, **record.method.changes},
            "dataset_hash": record.dataset.fingerprint,
            "target_hash": record.dataset.target_hash,
            "config_hash": record.config_hash,
            "record": str(self.path),
        }


def row_of(record: RunRecord, path: Path) -> Row:
    """The row of a finished cell."""
    return Row(
        dataset=record.dataset.name,
        task=record.task.name,
        method=record.method.name,
        seed=record.seed,
        preset=record.preset,
        axes=record.axes,
        record=record,
        path=path,
    )


def read_record(path: Path) -> RunRecord:
    """Reads one record.

    Raises:
        UserError: It is broken, or, as `NewerRecordError`, written by a newer version.
    """
    try:
        text = path.read_text(encoding="utf-8")
        values = json.loads(text)
        if "\\ud" in text.lower():  # halves of characters, which no table can hold
            json.dumps(values, ensure_ascii=False).encode()
        version = values["schema_version"]
        if isinstance(version, int) and version > SCHEMA_VERSION:
            raise NewerRecordError(
                f"{path} was written by a newer version (record schema {version}; this version "
                f"reads up to {SCHEMA_VERSION}): update userllm-bench"
            )
        return RunRecord.model_validate(values)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        problem = "it is no valid JSON record"
        if isinstance(error, ValidationError):
            first = error.errors()[0]
            problem = bounded(f"{'.'.join(map(str, first['loc']))}: {first['msg'].lower()}", NAME)
        # Another file that somebody named is theirs: nothing around it is to be deleted.
        if path.name != RECORD:
            right = f"name a {RECORD}, or a folder with some"
            raise UserError(f"{path} is no record: {problem}; {right}") from None
        raise UserError(f"{path} is broken: {problem}; delete its folder and run again") from None


def find_records(paths: Sequence[Path]) -> Iterator[Path]:
    """Record files under some folders, at any depth, in order of their names, each once."""
    seen: set[Path] = set()
    for path in paths:
        try:
            path.stat()
        except (OSError, ValueError):
            raise UserError(f"there is no folder {str(path)!r}") from None
        for record in [path] if path.is_file() else sorted(_records_below(path)):
            if record.resolve() not in seen:
                seen.add(record.resolve())
                yield record


def _records_below(folder: Path) -> Iterator[Path]:
    # Not by `rglob`, which fails where a folder goes away while it looks.
    for parent, folders, files in os.walk(folder):
        # Hidden folders hold what is being written or replaced at this moment.
        folders[:] = [name for name in folders if not name.startswith(".")]
        if RECORD in files or RECORD in folders:  # a folder of that name is told, not passed over
            yield Path(parent) / RECORD


def load_records(paths: Sequence[Path]) -> list[Row]:
    """Rows of all records under some folders.

    Raises:
        UserError: No record there, or a broken one.
    """
    rows = [row_of(read_record(path), path) for path in find_records(paths)]
    if not rows:
        where = ", ".join(str(path) for path in paths)
        raise UserError(f"no {RECORD} under {where}: run userllm-bench run first")
    return rows


def to_frame(rows: Sequence[Row]) -> pd.DataFrame:
    """A tidy frame: one line a cell and metric, of finished cells only.

    Columns: what identifies a cell, `metric`, `value`, `low`, `high`, `training_seconds`,
    `training_flops` (None = not measured), `record` (position in `rows`), and `group`, equal for
    rows that may be compared.
    """
    import pandas as pd

    lines = []
    for position, row in enumerate(rows):
        if row.record is None:
            continue
        record = row.record
        for metric, value in record.metrics.items():
            low, high = record.intervals.get(metric, (value, value))
            lines.append(
                {
                    "group": comparison_group(record),
                    "dataset": record.dataset.name,
                    "task": record.task.name,
                    "seen": record.protocol.seen,
                    "split": record.protocol.split,
                    "part": record.protocol.part,
                    "preset": record.preset,
                    "method": record.method.name,
                    "variant": variant(record),
                    "variant_label": variant_label(record),
                    "changed": bool(record.method.changes),
                    "seed": record.seed,
                    "metric": metric,
                    "value": value,
                    "low": low,
                    "high": high,
                    "training_seconds": record.fit.seconds,
                    "training_flops": record.cost.training_flops,
                    "created": record.created,
                    "record": position,
                }
            )
    return pd.DataFrame(lines)


def comparison_group(record: RunRecord) -> str:
    """A key that is equal for records that belong into one figure or table."""
    return f"{question(record)}|{record.preset}"


def question(record: RunRecord) -> str:
    """A key that is equal for records that were asked the same, whatever their budgets."""
    protocol = record.protocol
    return "|".join(
        [
            record.dataset.name,
            record.dataset.fingerprint,
            record.dataset.target_hash,
            record.task.name,
            record.task.version,
            protocol.split,
            protocol.part,
            protocol.seen,
            protocol.tie_rule,
            *(f"{name}={value}" for name, value in asked(record).items()),
            *([str(protocol.split_settings)] if protocol.split != "last" else []),
        ]
    )


def asked(record: RunRecord) -> dict[str, Any]:
    """What somebody set of the task that changes what is asked, not only how it is judged."""
    return {name: value for name, value in record.task.changes.items() if name not in _OF_JUDGING}


def variant(record: RunRecord, *, devices: bool = True) -> str:
    """What tells a record from others of its method: settings that somebody changed, and devices.

    Numbers depend on devices, so that seeds of several kinds are no seeds of one row.
    """
    changes: Mapping[str, Any] = record.method.changes  # axes only say by what name it was asked
    spread = trained_on(record) if devices else {}
    parts = [f"{name}={value}" for name, value in sorted({**changes, **spread}.items())]
    if record.llm is not None:
        parts.append(f"llm={record.llm.get('name', '')}")
    return ", ".join(filter(None, [*parts, beside(record)]))


def trained_on(record: RunRecord) -> dict[str, Any]:
    """What it was trained on, as options of `run`; nothing of one process on a processor."""
    usual = {"accelerator": "cpu", "devices": 1, "distributed": "ddp", "micro_batches": 1}
    return {name: own for name, own in record.host.items() if own != usual.get(name, own)}


def beside(record: RunRecord) -> str:
    """What other tasks of its run a fit knew of, "" where it knew of none."""
    protocol = record.protocol
    if len(protocol.fitted_for) > 1:
        return f"fitted for {', '.join(protocol.fitted_for)}"
    return f"stages shared with {', '.join(protocol.shared_with)}" if protocol.shared_with else ""


def variant_label(record: RunRecord) -> str:
    """`variant`, short enough for a figure; different where variants differ."""
    whole = variant(record)
    if len(whole) <= _LABEL:
        return whole or "as is"
    digest = hashlib.sha256(whole.encode()).hexdigest()[:4]
    return f"tuned, {digest}" if record.tuned else f"{whole[: _LABEL - 8].rstrip(', ')}… {digest}"
