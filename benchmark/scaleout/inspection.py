"""Looks at the workers before anything runs there: same code, same data, same folders."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark import host
from benchmark.config import RunConfig
from benchmark.errors import UserError
from benchmark.scaleout.messages import Inspection
from benchmark.scaleout.work import inspect, other_data, version

if TYPE_CHECKING:
    from distributed import Client


def workers_of(client: Client) -> Mapping[str, Mapping[str, Any]]:
    """What the scheduler says of its workers at this moment, by address."""
    workers: Mapping[str, Mapping[str, Any]] = client.scheduler_info()["workers"]
    return workers


def check_scheduler(client: Client, address: str) -> None:
    """Refuses a scheduler that could not read what it is to hand on.

    Raises:
        UserError: It has not this package.
    """
    try:
        client.run_on_scheduler(version)
    except Exception as error:  # whatever reading the function raised there
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"--scheduler {address}: userllm-bench cannot be imported there "
            f"({type(error).__name__}: {reason}): scheduler and workers need it as well"
        ) from None


def check_workers(
    client: Client,
    workers: Mapping[str, Mapping[str, Any]],
    config: RunConfig,
    fingerprint: str,
    *,
    ended: bool,
) -> None:
    """Refuses a cluster some of whose workers could not give the numbers that this process would.

    Args:
        client: Of the cluster.
        workers: Who is looked at, see `workers_of`.
        config: The run.
        fingerprint: Of its data.
        ended: Whether a worker may have to be ended because its cell takes too long.

    Raises:
        UserError: A worker is refused, with the first reason found.
    """
    for address, worker in workers.items():
        if worker["nthreads"] > 1:
            raise UserError(
                f"worker {address} takes {worker['nthreads']} cells at once, and those of one "
                "process share its random numbers: start it with --nthreads 1 (and --nworkers)"
            )
        if ended and not worker.get("nanny"):
            raise UserError(
                f"--cell-seconds: worker {address} was started with --no-nanny, so nothing can "
                "end a cell that hangs there"
            )
    here = host.package_versions()
    mark = str(_mark_of(config.out).absolute())
    said = client.run(inspect, config.dataset, mark, workers=list(workers), on_error="return")
    for address, text in said.items():
        reason = _refusal(text, here, fingerprint, config)
        if reason:
            raise UserError(f"worker {address} {reason}")


def _refusal(said: object, here: Mapping[str, str], fingerprint: str, config: RunConfig) -> str:
    """Why a worker is refused, "" where it is not."""
    if isinstance(said, OSError | TimeoutError):
        return ""  # it has gone meanwhile
    if not isinstance(said, str):
        reason = " ".join(str(said).split())[:200]
        return (
            f"cannot say its version ({type(said).__name__}: {reason}): install userllm-bench there"
        )
    there = Inspection.model_validate_json(said)
    for name in ("userllm-bench", *here):  # our own first
        if there.versions.get(name) != here.get(name):
            return (
                f"has {name} {there.versions.get(name, 'not at all')}, here it is "
                f"{here.get(name, 'not there')}: let all have the same versions"
            )
    if there.fingerprint not in ("", fingerprint):
        return other_data(there.fingerprint, fingerprint)
    if not there.sees:
        return f"does not see the folder {config.out.absolute()}: --out must be one that all share"
    return ""


def _mark_of(folder: Path) -> Path:
    """A file that no other folder of results has: made once, it stays among the locks."""
    locks = folder / ".locks"
    locks.mkdir(parents=True, exist_ok=True)
    for mark in locks.glob("folder-*"):
        return mark
    mark = locks / f"folder-{uuid.uuid4().hex}"
    mark.touch()
    return mark
