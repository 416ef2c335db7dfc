"""What makes two cells the same: a stable hash, and what a language model is known by."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from benchmark.errors import UserError

_WHOLE_BYTES = 64 * 2**20
"""Files up to this size are hashed whole; of larger ones the size, the beginning and the end."""


def stable_hash(facts: object) -> str:
    """SHA-256 of JSON-ready facts; it does not depend on the order of keys."""
    text = json.dumps(facts, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def llm_identity(llm: str | None) -> dict[str, str] | None:
    """What a language model is known by: hub name, or hash of a local folder's content.

    Args:
        llm: Hub name, folder, or None for the embedded model (which its settings describe).

    Raises:
        UserError: A local path without a model.
    """
    if llm is None:
        return None
    path = Path(llm).expanduser()
    if not (path.exists() or llm.startswith((".", "/", "~")) or llm.count("/") > 1):
        return {"name": llm}
    if not path.is_dir():
        raise UserError(f"--llm {llm}: there is no such folder, and a hub name has the form a/b")
    files = sorted(p for p in path.iterdir() if p.is_file())
    names = {p.name for p in files}
    if "config.json" not in names:
        raise UserError(f"--llm {llm}: the folder holds no model: it has no config.json")
    if not any(name.endswith(".safetensors") for name in names):
        raise UserError(f"--llm {llm}: the folder holds no weights (*.safetensors)")
    return {"name": path.name, "sha256": stable_hash({p.name: _file_hash(p) for p in files})}


def _file_hash(path: Path) -> str:
    size = path.stat().st_size
    digest = hashlib.sha256(str(size).encode())
    with path.open("rb") as file:
        if size <= _WHOLE_BYTES:
            digest.update(file.read())
        else:
            digest.update(file.read(2**20))
            file.seek(-(2**20), 2)
            digest.update(file.read())
    return digest.hexdigest()
