"""Looks at the workers before anything runs there: same code, same data, same folders."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from benchmark.config import RunConfig
from benchmark.errors import UserError
from benchmark.scaleout.messages import Inspection
from benchmark.scaleout.work import inspect, other_data, version
from benchmark.system import host

if TYPE_CHECKING:
    from distributed import Client

_LOOKS = 3
"""How often the scheduler is asked: Dask keeps its answer where its own clock may cut it."""


def workers_of(client: Client) -> Mapping[str, Mapping[str, Any]]:
    """What the scheduler says of its workers at this moment, by address."""
    for _ in range(_LOOKS):
        # Some releases name five workers unless told otherwise; those before them name all.
        info = client.scheduler_info(n_workers=-1)
        if len(info["workers"]) >= info.get("n_workers", 0):
            break
    workers: Mapping[str, Mapping[str, Any]] = info["workers"]
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


class Inspector:
    """Refuses workers that could not give the numbers that this process would.

    Args:
        client: Of the cluster.
        config: The run.
        fingerprint: Of its data.
        ended: Whether a worker may have to be ended because its cell takes too long.
        foreign: Whether somebody else started the workers, maybe from another source tree.
    """

    def __init__(
        self, client: Client, config: RunConfig, fingerprint: str, *, ended: bool, foreign: bool
    ) -> None:
        self._client, self._config, self._fingerprint = client, config, fingerprint
        self._ended, self._foreign = ended, foreign

    def check_start(self, workers: Mapping[str, Mapping[str, Any]]) -> None:
        """Looks at how workers were started, see `workers_of`.

        Raises:
            UserError: One is refused, with the first reason found.
        """
        for address, worker in workers.items():
            if worker["nthreads"] > 1:
                raise UserError(
                    f"worker {address} takes {worker['nthreads']} cells at once, and those of one "
                    "process share its random numbers: start it with --nthreads 1 (and --nworkers)"
                )
            if self._ended and not worker.get("nanny"):
                raise UserError(
                    f"--cell-seconds: worker {address} was started with --no-nanny, so nothing "
                    "can end a cell that hangs there"
                )

    def ask(self, address: str) -> Future[Mapping[str, object]]:
        """Asks a worker what it is, and does not wait for what it says: by address, see `refusal`.

        A process that hangs answers once it goes on, or when the scheduler gives it up.
        """
        mark = str(_mark_of(self._config.out).absolute())
        asked = self._client.run(
            inspect,
            self._config.dataset,
            mark,
            workers=[address],
            on_error="return",
            asynchronous=True,
        )
        loop: Any = self._client.loop  # tornado's, around asyncio's
        return asyncio.run_coroutine_threadsafe(asked, loop.asyncio_loop)

    def refusal(self, said: object) -> str:
        """Why a worker that said this is refused, "" where it is not."""
        if not isinstance(said, str):
            reason = " ".join(str(said).split())[:200]
            return (
                f"cannot say its version ({type(said).__name__}: {reason}): install userllm-bench "
                "there"
            )
        try:
            there = Inspection.model_validate_json(said)
        except ValidationError:
            return "runs other code of userllm-bench: let all have the same, and start it anew"
        here = host.package_versions()
        for name in ("userllm-bench", *here):  # our own first
            if there.versions.get(name) != here.get(name):
                return (
                    f"has {name} {there.versions.get(name, 'not at all')}, here it is "
                    f"{here.get(name, 'not there')}: let all have the same versions"
                )
        source = host.source_state()
        if self._foreign and None not in (source, there.source) and source != there.source:
            return (
                f"runs {_named(there.source)}, here it is {_named(source)}: let all have the same "
                "source, and start workers anew that were started before it changed"
            )
        if there.fingerprint not in ("", self._fingerprint):
            return other_data(there.fingerprint, self._fingerprint)
        if not there.sees:
            return (
                f"does not see the folder {self._config.out.absolute()}: --out must be one that "
                "all share"
            )
        return ""


def _named(source: Mapping[str, Any] | None) -> str:
    assert source is not None  # asked before
    return f"commit {source['commit'][:12]} {'with' if source['dirty'] else 'without'} changes"


def _mark_of(folder: Path) -> Path:
    """A file that no other folder of results has: made once, it stays among the locks."""
    locks = folder / ".locks"
    locks.mkdir(parents=True, exist_ok=True)
    for mark in locks.glob("folder-*"):
        return mark
    mark = locks / f"folder-{uuid.uuid4().hex}"
    mark.touch()
    return mark
