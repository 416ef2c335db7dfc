"""Starts the processes of a run on several devices.

`--devices 4` makes the command that was typed a watchman: it starts itself again four times, each
with a number, and goes when they go. The processes plan the same cells and meet in their training
stages. Under torchrun, or where somebody set RANK, the processes are there already.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from benchmark.errors import UserError
from benchmark.system import host
from benchmark.system.cores import default_threads, usable_cpus
from benchmark.system.watchman import end_with_watchman, run_together
from benchmark.whole_numbers import LARGEST_PORT, whole_number, whole_number_set

if TYPE_CHECKING:
    from benchmark.config import RunConfig
    from benchmark.system.ranks import Spread


def launch(config: RunConfig, arguments: Sequence[str]) -> None:
    """Where several processes are asked for and none is there yet: runs them, then leaves.

    Args:
        config: Says how many.
        arguments: The command line that each of them is to follow.

    Raises:
        UserError: There are not as many devices, or the settings of several machines are missing.
        SystemExit: The processes have ended, with the exit code of process zero.
    """
    size = config.devices * config.num_nodes
    if size == 1 or "RANK" in os.environ:
        return
    check_devices(config)
    node = _node(config)
    place = {} if node is not None else _place()
    begin = config.devices * (node or 0)
    threads = str(threads_a_process(config))
    numbers = [
        {
            **place,
            "RANK": str(begin + local),
            "LOCAL_RANK": str(local),
            "WORLD_SIZE": str(size),
            "OMP_NUM_THREADS": threads,
            "MKL_NUM_THREADS": threads,
            # What torch's C++ warns of says nothing to who runs a benchmark.
            "TORCH_CPP_LOG_LEVEL": os.environ.get("TORCH_CPP_LOG_LEVEL", "ERROR"),
        }
        for local in range(config.devices)
    ]
    command = [sys.executable, "-m", "benchmark", *arguments]
    raise SystemExit(run_together(command, numbers))


def threads_a_process(config: RunConfig) -> int:
    """Threads of each process: those asked for, or the cores, divided among a machine's."""
    # A process that was started with a number has its share already.
    if config.threads is None and "RANK" in os.environ and config.devices * config.num_nodes > 1:
        return default_threads()
    return max(1, (config.threads or default_threads()) // config.devices)


def check_devices(config: RunConfig) -> None:
    """Refuses more devices than there are.

    Raises:
        UserError: There are fewer.
    """
    if config.devices == 1:
        return
    if host.choose_accelerator(config.accelerator) == "cpu":
        # Two processes on one processor are how it is tried out.
        there, what = max(2, len(usable_cpus())), "processors"
    else:
        import torch

        there, what = torch.cuda.device_count(), "CUDA GPUs"
    if config.devices > there:
        raise UserError(
            f"--devices {config.devices}: there are {there} {what} here; choose at most {there}"
        )


def joined(config: RunConfig) -> None:
    """Makes this process one of those that a run asks for.

    Raises:
        UserError: The environment says otherwise than the options.
    """
    from benchmark.system import ranks

    size = config.devices * config.num_nodes
    if size == 1:
        return ranks.join(spread_of(config))
    check_devices(config)
    said = _numbers(size)
    own = spread_of(config, said["RANK"], said["LOCAL_RANK"])
    end_with_watchman()
    hosted = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    ranks.join(own, os.environ["MASTER_ADDR"], said["MASTER_PORT"], hosted=hosted)
    return None


def spread_of(config: RunConfig, rank: int = 0, local_rank: int = 0) -> Spread:
    """How a run spreads training, as one of its processes sees it."""
    from benchmark.system.ranks import Spread

    return Spread(
        rank=rank,
        size=config.devices * config.num_nodes,
        local_rank=local_rank,
        devices=config.devices,
        distributed=config.distributed,
        micro_batches=config.micro_batches,
    )


def _numbers(size: int) -> Mapping[str, int]:
    """What the environment says of this process."""
    names = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
    if not all(os.environ.get(name) for name in names):
        raise UserError(
            f"a run of {size} processes needs RANK, LOCAL_RANK, WORLD_SIZE, MASTER_ADDR and "
            "MASTER_PORT, as torchrun sets them, in the environment of each"
        )
    if whole_number(os.environ["WORLD_SIZE"]) != size:
        raise UserError(
            f"WORLD_SIZE={os.environ['WORLD_SIZE']}, but --devices times --num-nodes is {size}: "
            "give the options what torchrun was given"
        )
    ranks = {name: whole_number_set(name, 0, size - 1) for name in ("RANK", "LOCAL_RANK")}
    return {**ranks, "MASTER_PORT": _port()}


def _node(config: RunConfig) -> int | None:
    """The number of this machine; None where there is but one."""
    if config.num_nodes == 1:
        return None
    names = ("MASTER_ADDR", "MASTER_PORT", "NODE_RANK")
    if not all(os.environ.get(name) for name in names):
        raise UserError(
            f"--num-nodes {config.num_nodes}: give the same command on each machine with "
            f"MASTER_ADDR, MASTER_PORT and NODE_RANK (0 to {config.num_nodes - 1}) set, or start "
            "it by torchrun"
        )
    _port()  # here, and not in what is started: one line, and not one of each
    return whole_number_set("NODE_RANK", 0, config.num_nodes - 1)


def _port() -> int:
    return whole_number_set("MASTER_PORT", 1, LARGEST_PORT)


def _place() -> dict[str, str]:
    """Where the processes of one machine meet."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(probe.getsockname()[1])}
