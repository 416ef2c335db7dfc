"""Writes a report, each file in one step, and its facts as JSON. Free of torch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from benchmark.errors import UserError
from benchmark.evidence.contestants import Contestant, Group
from benchmark.records.results import Row
from benchmark.reporting.contests import Contest
from benchmark.system.durable import alone_in, whole_file

if TYPE_CHECKING:
    from benchmark.reporting.facts import Report


def page_title(report: Report) -> str:
    """What the window of the page is called."""
    return f"{report.question.studied} and its baselines, with {report.question.language_model}"


def write_files(out: Path, drawn: Path, texts: Mapping[str, str]) -> list[Path]:
    """Writes texts and figures into a folder; older ones are replaced, figures first.

    Args:
        out: The folder.
        drawn: Holds the figures, with their paths below `out`.
        texts: File name → text.

    Returns:
        The texts' files.

    Raises:
        UserError: The folder cannot be written to.
    """
    contents = {
        path.relative_to(drawn): path.read_bytes()
        for path in sorted(drawn.rglob("*"))
        if path.is_file()
    } | {Path(name): text.encode() for name, text in texts.items()}
    for path, content in contents.items():
        target = out / path
        try:
            with alone_in(target.parent), whole_file(target) as fresh:
                fresh.write_bytes(content)
        except OSError as error:
            raise UserError(f"cannot write {target}: {error.strerror or error}") from None
    return [out / name for name in texts]


def facts_as_json(value: object) -> Any:
    """Facts as JSON: fields by name, numbers that are none as null, rows as paths."""
    if isinstance(value, Contest | Group | Contestant):
        # Whoever reads JSON gets what was worked out of these.
        return None
    if isinstance(value, Row):
        return str(value.path)
    if isinstance(value, BaseModel):
        return facts_as_json(value.model_dump(mode="json"))
    if is_dataclass(value):
        return {own.name: facts_as_json(getattr(value, own.name)) for own in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): facts_as_json(own) for key, own in value.items()}
    if isinstance(value, tuple | list | set | frozenset):
        return [facts_as_json(own) for own in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)
