"""Starts the processes of a run on several devices, and ends them together.

`--devices 4` makes the command that was typed a watchman: it starts itself again four times, each
with a number, and goes when they go. The processes plan the same cells and meet in their training
stages. Under torchrun, or where somebody set RANK, the processes are there already.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING

from benchmark import host
from benchmark.errors import UserError

if TYPE_CHECKING:
    from benchmark.config import RunConfig
    from benchmark.ranks import Spread

_WATCHED = "USERLLM_BENCH_WATCHED"
"""Set where a watchman holds the other end of a process's standard input."""
_GRACE_SECONDS = 20.0
"""How long the others may take to end by themselves."""


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
        }
        for local in range(config.devices)
    ]
    raise SystemExit(_run_all(arguments, numbers))


def threads_a_process(config: RunConfig) -> int:
    """Threads of each process: those asked for, or the cores, divided among a machine's."""
    # A process that was started with a number has its share already.
    if config.threads is None and "RANK" in os.environ and config.devices * config.num_nodes > 1:
        return host.default_threads()
    return max(1, (config.threads or host.default_threads()) // config.devices)


def check_devices(config: RunConfig) -> None:
    """Refuses more devices than there are.

    Raises:
        UserError: There are fewer.
    """
    if config.devices == 1:
        return
    if host.choose_accelerator(config.accelerator) == "cpu":
        # Two processes on one processor are how it is tried out.
        there, what = max(2, len(host.usable_cpus())), "processors"
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
    from benchmark import ranks

    size = config.devices * config.num_nodes
    if size == 1:
        return ranks.join(spread_of(config))
    check_devices(config)
    said = _numbers(size)
    own = spread_of(config, said["RANK"], said["LOCAL_RANK"])
    if os.environ.pop(_WATCHED, ""):
        threading.Thread(target=_end_with_watchman, daemon=True).start()
    hosted = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    ranks.join(own, os.environ["MASTER_ADDR"], said["MASTER_PORT"], hosted=hosted)
    return None


def spread_of(config: RunConfig, rank: int = 0, local_rank: int = 0) -> Spread:
    """How a run spreads training, as one of its processes sees it."""
    from benchmark.ranks import Spread

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
    names = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_PORT")
    found = {name: os.environ.get(name, "") for name in names}
    if not all(value.isdigit() for value in found.values()) or not os.environ.get("MASTER_ADDR"):
        raise UserError(
            f"a run of {size} processes needs RANK, LOCAL_RANK, WORLD_SIZE, MASTER_ADDR and "
            "MASTER_PORT, as torchrun sets them, in the environment of each"
        )
    numbers = {name: int(value) for name, value in found.items()}
    if numbers["WORLD_SIZE"] != size:
        raise UserError(
            f"WORLD_SIZE={numbers['WORLD_SIZE']}, but --devices times --num-nodes is {size}: give "
            "the options what torchrun was given"
        )
    return numbers


def _node(config: RunConfig) -> int | None:
    """The number of this machine; None where there is but one."""
    if config.num_nodes == 1:
        return None
    node = os.environ.get("NODE_RANK", "")
    there = all(os.environ.get(name) for name in ("MASTER_ADDR", "MASTER_PORT"))
    if not (there and node.isdigit() and int(node) < config.num_nodes):
        raise UserError(
            f"--num-nodes {config.num_nodes}: give the same command on each machine with "
            f"MASTER_ADDR, MASTER_PORT and NODE_RANK (0 to {config.num_nodes - 1}) set, or start "
            "it by torchrun"
        )
    return int(node)


def _place() -> dict[str, str]:
    """Where the processes of one machine meet."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(probe.getsockname()[1])}


def _run_all(arguments: Sequence[str], numbers: Sequence[Mapping[str, str]]) -> int:
    """Runs the processes of this machine to their end; the exit code of all together."""
    with tempfile.TemporaryDirectory() as scratch, contextlib.ExitStack() as files:
        # What a process has to say once it is known to be the one that failed.
        said = [files.enter_context((Path(scratch) / str(n)).open("wb+")) for n in numbers[1:]]
        stops: list[int] = []
        with _interrupts(stops):
            processes: list[subprocess.Popen[bytes]] = []
            try:
                for local, own in enumerate(numbers):
                    told = None if local == 0 else said[local - 1]
                    processes.append(_start(arguments, own, told, scratch))
                code, culprit = _wait(processes, stops)
            finally:
                _end(processes)
        if culprit:
            said[culprit - 1].seek(0)
            lines = said[culprit - 1].read().decode(errors="replace").strip().splitlines()
            reason = lines[-1].removeprefix("error: ") if lines else "it said nothing"
            print(
                f"error: process {numbers[culprit]['RANK']} ended with code "
                f"{processes[culprit].returncode} ({reason}); finished cells are kept, the same "
                "command goes on from there",
                file=sys.stderr,
                flush=True,
            )
        return code


def _start(
    arguments: Sequence[str], own: Mapping[str, str], told: IO[bytes] | None, scratch: str
) -> subprocess.Popen[bytes]:
    """One process; `told` is the file for what it says, None = it speaks for all."""
    root = str(Path(__file__).resolve().parent.parent)
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH", "")]))
    environment = {**os.environ, **own, "PYTHONPATH": path, "PYTHONSAFEPATH": "1", _WATCHED: "1"}
    if told is not None:
        environment["TMPDIR"] = scratch
    return subprocess.Popen(
        [sys.executable, "-m", "benchmark", *arguments],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=None if told is None else subprocess.DEVNULL,
        stderr=told,
        # A terminal's interrupt is to reach the watchman alone, who passes it on once.
        start_new_session=True,
    )


@contextlib.contextmanager
def _interrupts(stops: list[int]) -> Iterator[None]:
    """Collects the signals that ask to stop."""
    kinds = (signal.SIGINT, signal.SIGTERM)
    before = {kind: signal.signal(kind, lambda number, _: stops.append(number)) for kind in kinds}
    try:
        yield
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)


def _wait(processes: Sequence[subprocess.Popen[bytes]], stops: list[int]) -> tuple[int, int]:
    """Waits for the first to end, or for another that fails.

    Returns:
        An exit code, and which process failed before all others; 0 = none but the first.
    """
    passed_on = 0
    while True:
        if len(stops) > passed_on:
            # Process zero alone saves; the others wait for it wherever they are.
            processes[0].send_signal(signal.SIGINT if passed_on == 0 else signal.SIGKILL)
            passed_on = len(stops)
        failed = [n for n, own in enumerate(processes) if own.poll()]
        if processes[0].poll() is None and not failed:
            time.sleep(0.05)
            continue
        if failed and 0 not in failed:
            _patiently([processes[0]])
            if processes[0].poll() in (None, 0, 1):
                return 1, failed[0]
        if not failed:
            _patiently(processes)
        code = processes[0].poll()
        return (1 if code is None or code < 0 else code), 0


def _patiently(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    """Gives processes time to end by themselves."""
    until = time.monotonic() + _GRACE_SECONDS
    for own in processes:
        with contextlib.suppress(subprocess.TimeoutExpired):
            own.wait(max(0.0, until - time.monotonic()))


def _end(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    """No process is left."""
    for own in processes:
        own.kill()
        own.wait()


def _end_with_watchman() -> None:
    """Ends this process when nobody holds the other end of its standard input any more."""
    while os.read(0, 1):
        pass
    os._exit(1)
