"""Clusters of Dask: one of this machine's processes, or one that is there already."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from benchmark.errors import RunError, UserError
from benchmark.runs.failures import explain
from benchmark.scaleout.demands import GPU, MEMORY, THREADS
from benchmark.scaleout.scale import Scale

if TYPE_CHECKING:
    from distributed import Client

_ANSWER_SECONDS = 5
"""How long a scheduler has to answer."""
_START_SECONDS = 600
"""How long the processes of this machine may take to start."""
_FEWER_WAKES = {
    "distributed.admin.tick.interval": "500ms",
    "distributed.worker.profile.enabled": False,
}
"""Dask wakes up 50 times a second, made for tasks of milliseconds: 4% of a core that cells need."""
_POOLS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@contextlib.contextmanager
def connected(scale: Scale, threads: int, accelerator: str, most: int) -> Iterator[Client]:
    """A client of the cluster that is asked for; a local one starts and ends with the block.

    Args:
        scale: Which cluster.
        threads: Of a cell.
        accelerator: `cpu` or `gpu`.
        most: Cells that there are: a local cluster has no more workers.

    Raises:
        UserError: The scheduler does not answer.
        RunError: The processes do not start.
    """
    if scale.scheduler is not None:
        with _client_of(scale.scheduler) as client:
            yield client
        return
    count = min(scale.local_workers, most)
    with _local(count, threads, accelerator) as client:
        yield client


@contextlib.contextmanager
def _local(count: int, threads: int, accelerator: str) -> Iterator[Client]:
    """Processes of this machine, one cell each at a time, reachable from this machine alone."""
    import dask
    from distributed import Client, Nanny, Scheduler, SpecCluster
    from distributed.system import MEMORY_LIMIT

    here = {"host": "127.0.0.1"}
    has = {THREADS: threads, MEMORY: MEMORY_LIMIT // count}
    gpus = visible_gpus() if accelerator == "gpu" else []

    def options(index: int) -> dict[str, Any]:
        gpu = [gpus[index % len(gpus)]] if gpus else []
        return {
            **here,
            "nthreads": 1,
            "memory_limit": 0,  # the system's own limits hold
            "resources": {**has, **({GPU: 1} if gpu else {})},
            "env": {"CUDA_VISIBLE_DEVICES": gpu[0]} if gpu else {},
            "preload": ["benchmark.scaleout.preload"],
            "silence_logs": logging.CRITICAL,
        }

    workers = {index: {"cls": Nanny, "options": options(index)} for index in range(count)}
    dashboard = {"dashboard": True, "dashboard_address": "127.0.0.1:0"}
    scheduler = {
        "cls": Scheduler,
        # A cell whose worker died comes back to the caller, who knows which had begun.
        "options": {**here, **dashboard, "allowed_failures": 0},
    }
    settings = {
        # Set before a worker's process begins, where Dask's own way is one thread each.
        "distributed.nanny.pre-spawn-environ": dict.fromkeys(_POOLS, threads),
        **_FEWER_WAKES,
    }
    with contextlib.ExitStack() as stack:
        stack.enter_context(dask.config.set(settings))
        try:
            cluster = SpecCluster(
                workers=workers, scheduler=scheduler, silence_logs=logging.CRITICAL, name="cells"
            )
            stack.enter_context(cluster)
            client = stack.enter_context(Client(cluster, set_as_default=False))
            client.wait_for_workers(count, timeout=_START_SECONDS)
        except (TimeoutError, asyncio.TimeoutError):
            raise RunError(f"{count} workers did not start in {_START_SECONDS} s") from None
        except (RuntimeError, OSError) as error:
            reason = explain(error.__cause__ or error)
            raise RunError(
                f"{count} workers did not start ({reason}): the same command tries again"
            ) from None
        yield client


@contextlib.contextmanager
def _client_of(address: str) -> Iterator[Client]:
    """A client of a scheduler that is there already; TLS as Dask's own configuration says."""
    from distributed import Client

    try:
        asyncio.run(_reach(address))  # first, since a client that could not connect ends noisily
    except (OSError, asyncio.TimeoutError, TypeError, ValueError, RuntimeError) as error:
        said = str(error.__cause__ or "") or str(error)
        why = " ".join(said.split()).rpartition(">: ")[2][:200] or type(error).__name__
        hint = "is it running, and reachable from here? One that has TLS is tls://HOST:PORT"
        if address.startswith(("tls", "wss")):
            hint = (
                "TLS takes distributed.comm.tls.ca-file, .client.cert and .client.key of Dask's "
                "configuration, e.g. DASK_DISTRIBUTED__COMM__TLS__CA_FILE"
            )
        raise UserError(f"--scheduler {address} does not answer: {hint} ({why})") from None
    # What it logs when the scheduler goes, the caller says in a line.
    logging.getLogger("distributed.client").setLevel(logging.CRITICAL)
    with Client(address, timeout=_ANSWER_SECONDS, set_as_default=False) as client:
        yield client


async def _reach(address: str) -> None:
    from distributed import Security
    from distributed.comm.core import connect

    arguments = Security().get_connection_args("client")
    comm = await connect(address, timeout=_ANSWER_SECONDS, **arguments)
    await comm.close()


def visible_gpus() -> list[str]:
    """What `CUDA_VISIBLE_DEVICES` may say of one GPU each."""
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given:
        return [name.strip() for name in given.split(",") if name.strip()]
    import torch

    return [str(number) for number in range(torch.cuda.device_count())]
