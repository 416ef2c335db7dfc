"""Shapes of language models: those that come along, and any `config.json`. Free of torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmark.errors import UserError, unknown

SHAPES = Path(__file__).parents[1] / "configs" / "llms"
_CONFIG = "config.json"


@dataclass(frozen=True)
class LlmShape:
    """What a language model's `config.json` says.

    Attributes:
        name: As it was asked for.
        config: Its values.
    """

    name: str
    config: Mapping[str, Any]


def shape_names() -> list[str]:
    """The shapes that come along."""
    return sorted(path.stem for path in SHAPES.glob("*.json"))


def read_llm_config(name_or_path: str) -> LlmShape:
    """The shape of a name, or of a `config.json` or a folder that holds one.

    Raises:
        UserError: There is no such name or file, or it is no configuration of a model.
    """
    path = Path(name_or_path).expanduser()
    if name_or_path in shape_names():
        path = SHAPES / f"{name_or_path}.json"
    elif not path.exists() and not _like_a_path(name_or_path):
        error = unknown("language model shape", name_or_path, shape_names())
        raise UserError(f"{error}, or the path of a {_CONFIG}")
    config = _read(name_or_path, path / _CONFIG if path.is_dir() else path)
    if not isinstance(config, dict) or not isinstance(config.get("model_type"), str):
        raise UserError(f"--llm-config {name_or_path}: it has no model_type, so no model follows")
    return LlmShape(name_or_path, config)


def _like_a_path(name: str) -> bool:
    return name.startswith((".", "~")) or "/" in name or name.endswith(".json")


def _read(name: str, path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"--llm-config {name}: there is no file {str(path)!r}") from None
    except OSError as error:
        raise UserError(f"--llm-config {name}: it cannot be read ({error.strerror})") from None
    except ValueError as error:
        where = f" ({error})" if isinstance(error, json.JSONDecodeError) else ""
        raise UserError(f"--llm-config {name}: {path.name} is no JSON{where}") from None
