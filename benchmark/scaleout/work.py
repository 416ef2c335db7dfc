"""What runs on a worker: it opens the world itself, resolves the cell again, and settles it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast

from benchmark import __version__
from benchmark import config as configs
from benchmark.errors import UserError
from benchmark.records import identity
from benchmark.registry import load
from benchmark.scaleout.messages import Answer, Inspection, Opening, Request
from benchmark.scaleout.relay import Relay
from benchmark.system import host
from benchmark.tables import Tables

if TYPE_CHECKING:
    from benchmark.runs.plan import World


host.source_state()  # asked for while this code is imported: a worker may outlive its checkout


class _OtherError(Exception):
    """What is opened here is not what the caller has."""


class _Opened(NamedTuple):
    """What the cells of a call share on a worker."""

    config: configs.RunConfig
    tables: Tables
    layers: configs.Layers
    world: World


def version() -> str:
    """This package's, where it can be imported."""
    return __version__


def inspect(dataset: str, seen: str) -> str:
    """What this worker is, as JSON of `Inspection`; quick, and free of torch.

    Args:
        dataset: Whose prepared folder is looked at.
        seen: A file of the caller's, which shared folders show here too.
    """
    from benchmark.data.store.manifest import read_manifest

    try:
        manifest = read_manifest(dataset)
    except UserError:  # a broken one is said when it is opened
        manifest = None
    return Inspection(
        versions=host.package_versions(),
        source=host.source_state(),
        fingerprint="" if manifest is None else manifest.fingerprint,
        sees=Path(seen).exists(),
    ).model_dump_json()


def work(text: str) -> str:
    """Settles one cell.

    Args:
        text: JSON of `Request`.

    Returns:
        JSON of `Answer`.
    """
    from distributed import get_worker

    request = Request.model_validate_json(text)
    worker = get_worker()
    send = functools.partial(worker.log_event, request.topic)
    relay = Relay(send, request.token, str(worker.get_current_task()))
    relay.taken(worker.address)
    from benchmark.display.progress import quiet_libraries
    from benchmark.display.terminal import harmless_output

    with harmless_output(), quiet_libraries():
        return _answer(request, relay).model_dump_json()


def _answer(request: Request, relay: Relay) -> Answer:
    from benchmark.data.store.seal import DataChangedError
    from benchmark.records.results import Row
    from benchmark.runs.planning import make_cell
    from benchmark.runs.runner import StopError, settle
    from benchmark.system.locking import heard

    asked = configs.RunConfig.model_validate_json(request.opening.config)
    row = Row(
        dataset=asked.dataset,
        task=request.task,
        method=request.method,
        seed=request.seed,
        preset=asked.preset,
        axes=request.axes,
    )
    try:
        config, tables, layers, world = _opened(request.opening)
        variant = request.variant
        cell = make_cell(request.task, variant, request.seed, config, tables, layers, world)
        if cell.config_hash != request.config_hash:
            return Answer(
                kind="refused",
                text="resolves a cell to other settings than this call: the code or a file of "
                "settings is not the same there",
            )
        with heard(relay.waits):
            settled = settle(row, cell, world, relay, config.force, call=request.token)
        return Answer(kind="settled", row=settled, said=relay.said)
    except (StopError, DataChangedError) as stopped:
        stopping = row.model_copy(update={"error": str(stopped)})
        return Answer(kind="stopped", row=stopping, said=relay.said)
    except _OtherError as other:
        return Answer(kind="refused", text=str(other))
    except UserError as error:
        return Answer(kind="wrong", text=str(error))


def other_data(found: str, wanted: str) -> str:
    """Says that a worker's data are not the caller's."""
    return (
        f"has the data prepared with fingerprint {found[:12]}, here it is {wanted[:12]}: let all "
        "have the same prepared folder"
    )


@functools.lru_cache(maxsize=2)
def _opened(opening: Opening) -> _Opened:
    """The world of a call, kept for the cells that follow; two calls may take turns.

    Raises:
        _OtherError: It is not the caller's. That is not kept: it may be mended before the next.
    """
    from benchmark.runs.planning import open_world

    config = configs.RunConfig.model_validate_json(opening.config)
    tables = cast("Callable[[], Tables]", load(opening.tables))()
    # Any section may be set: what the call's variants bring into it, the caller has checked.
    layers = configs.read_layers(config, tables, set(tables.sections))
    llm_facts = identity.llm_identity(config.llm)
    if identity.stable_hash(llm_facts) != opening.llm:
        raise _OtherError(f"has another language model at {config.llm}: let all have the same")
    world = open_world(config, tables, layers, llm_facts, opening.command)
    found = world.dataset.fingerprint
    if found != opening.fingerprint:
        raise _OtherError(other_data(found, opening.fingerprint))
    return _Opened(config, tables, layers, world)
