"""What travels between the caller and its workers: small and plain, as JSON."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from benchmark.records.results import Row
from benchmark.variants import Variant


class _Message(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Opening(_Message):
    """What a worker opens its world with; equal for all cells of a call.

    `config` is `RunConfig` as JSON with every default filled in, `tables` the target of the
    function that makes the tables; `fingerprint` is that of the caller's data, `llm` the hash of
    what its language model is known by.
    """

    config: str
    tables: str
    command: str
    fingerprint: str
    llm: str


class Request(_Message):
    """One cell: who it is, and the topic that its progress is told on, under its `token`.

    All attempts of a cell have the same token.
    """

    opening: Opening
    task: str
    seed: int
    method: str
    settings: dict[str, Any]
    axes: dict[str, Any]
    features: tuple[str, ...]
    config_hash: str
    topic: str
    token: str

    @property
    def variant(self) -> Variant:
        """What the cell is resolved from."""
        return Variant(self.method, self.settings, self.axes, self.features)


class Answer(_Message):
    """What came of a cell.

    `settled` has a row. `stopped` has one too, and says that nothing that follows can work.
    `refused`: the worker cannot work for this caller. `wrong`: what the user asked for is. `said`
    is the last line of its progress.
    """

    kind: Literal["settled", "stopped", "refused", "wrong"]
    row: Row | None = None
    text: str = ""
    said: str = ""


class Inspection(_Message):
    """What a worker says of itself; the fingerprint of prepared data, "" where none is.

    `source` is the state of the source tree when the worker imported it, see `host.source_state`.
    """

    versions: dict[str, str]
    source: dict[str, Any] | None
    fingerprint: str
    sees: bool
