"""What a run ran on: machine, versions, source. It never says the machine's or a user's name."""

from __future__ import annotations

import functools
import importlib.metadata
import os
import platform
import resource
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmark import __version__
from benchmark.errors import UserError
from benchmark.system.cores import physical_cores, usable_cpus

_PACKAGES = (
    "lightning", "numpy", "pandas", "peft", "polars", "pyarrow", "recbole", "safetensors",
    "scikit-learn", "scipy", "tokenizers", "torch", "transformers",
)  # fmt: skip
_SOURCE = Path(__file__).resolve().parents[2]


def choose_accelerator(asked: str) -> str:
    """`cpu` or `gpu`, from what the user asked for: one of them or `auto`.

    Raises:
        UserError: A GPU is asked for where torch finds none.
    """
    if asked == "cpu":
        return asked
    import torch

    if torch.cuda.is_available():
        return "gpu"
    if asked == "gpu":
        raise UserError(
            "--accelerator gpu: torch finds no CUDA GPU here; choose auto or cpu, or install a "
            "torch that was built for the GPU"
        )
    return "cpu"


def gpu_facts(accelerator: str) -> dict[str, Any]:
    """What numbers on a GPU depend on beside the settings; nothing on a processor."""
    if accelerator == "cpu":
        return {}
    import torch

    # With precision=auto the ability to compute in bf16 decides.
    bf16 = torch.cuda.is_bf16_supported(including_emulation=False)
    return {"accelerator": accelerator, "bf16": bf16}


def describe_host(threads: int, accelerator: str) -> dict[str, Any]:
    """Processor, cores, threads, memory and operating system, and the GPU where one computes."""
    gpu = {}
    if accelerator != "cpu":
        import torch

        gpu["gpu"] = torch.cuda.get_device_name()
    return {
        "cpu": _cpu_model(),
        "physical_cores": physical_cores(),
        "logical_cores": len(usable_cpus()),
        "threads": threads,
        "memory_bytes": _memory_bytes(),
        "os": f"{platform.system()} {platform.release()}",
        "machine": platform.machine(),
        "accelerator": accelerator,
        **gpu,
    }


def package_versions() -> dict[str, str]:
    """Versions of the installed packages that numbers can depend on."""
    # An installed package may say the version of an earlier checkout.
    versions = {"userllm-bench": __version__}
    for name in _PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return dict(sorted(versions.items()))


def python_version() -> str:
    """For example `CPython 3.11.7`."""
    return f"{platform.python_implementation()} {platform.python_version()}"


@functools.cache
def source_state() -> dict[str, Any] | None:
    """Commit of the source tree and whether it was changed since; None outside a checkout.

    As it was when this process first asked: code that is imported stays what it was.
    """
    if not (_SOURCE / ".git").exists():
        return None
    commit = _git("rev-parse", "--verify", "-q", "HEAD")
    changes = _git("status", "--porcelain", "--", "benchmark", "userllm", "baselines")
    if not commit or changes is None:
        return None
    return {"commit": commit, "dirty": bool(changes)}


def reset_peak_memory() -> None:
    """Starts the measurement of `peak_memory_bytes` anew where the system can (Linux)."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return


def peak_memory_bytes() -> int:
    """Most resident memory of this process since the last reset, or since its start."""
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _cpu_model() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _memory_bytes() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return None


def _git(*arguments: str) -> str | None:
    git = shutil.which("git")
    if git is None:
        return None
    given = ["-C", str(_SOURCE), *arguments]
    try:
        done = subprocess.run([git, *given], capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
