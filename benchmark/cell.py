"""One cell: build a method, fit it, judge it, and leave a record behind."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from benchmark import host, results
from benchmark.plan import Cell, World
from benchmark.progress import RunProgress
from benchmark.protocols import FitContext
from benchmark.recording import make_record


def run_cell(cell: Cell, world: World, progress: RunProgress) -> results.RunRecord:
    """Fits and evaluates one cell, and puts its folder in place in one step."""
    host.reset_peak_memory()
    seed_everything(cell.seed, world.threads)
    method, task = cell.method(), cell.task()
    # Building may draw random numbers or not, depending on what was imported before.
    seed_everything(cell.seed, world.threads)
    began = time.perf_counter()
    context = FitContext(
        seed=cell.seed,
        cache=world.cache,
        validate=task.validator(world.split, world.seen),
        progress=progress,
        validation=f"{world.split.target_hash}/{world.seen}/{task.name}/{task.version}/{cell.task_settings.model_dump_json()}",
        llm=world.llm if cell.uses_llm else None,
        accelerator=world.accelerator,
    )
    report = method.fit(world.split.train, context)
    wall_seconds = time.perf_counter() - began
    evaluation = task.evaluate(
        method, world.split, world.dataset, world.seen, world.part, progress, cell.method_name
    )
    record = make_record(cell, world, task, method, report, wall_seconds, evaluation)
    with _in_place(cell.folder) as folder:
        evaluation.examples.write_parquet(folder / results.EXAMPLES)
        with (folder / results.RECORD).open("w", encoding="utf-8") as file:
            file.write(record.model_dump_json(indent=2) + "\n")
            file.flush()
            os.fsync(file.fileno())
    return record


def seed_everything(seed: int, threads: int) -> None:
    """Seeds Python, NumPy and torch, and fixes what else numbers can depend on."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    torch.set_num_threads(threads)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    # Deterministic kernels; where an operator has none, it runs all the same. The other function
    # for this, use_deterministic_algorithms, also imports the compiler, which takes seconds.
    torch.set_deterministic_debug_mode("warn")
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]


@contextlib.contextmanager
def _in_place(folder: Path) -> Iterator[Path]:
    """A fresh folder that takes the place of `folder` when the block ends well."""
    prefix = f".tmp-{folder.name}-"
    for left_over in folder.parent.glob(f"{prefix}*"):
        shutil.rmtree(left_over, ignore_errors=True)
    fresh = Path(tempfile.mkdtemp(prefix=prefix, dir=folder.parent))
    try:
        fresh.chmod(0o777 & ~_umask())
        yield fresh
        old = fresh.with_name(fresh.name + "-old")
        try:
            if folder.exists():
                folder.rename(old)
            fresh.rename(folder)
        except BaseException:  # an interrupt between the two must not lose the old record
            if old.exists() and not folder.exists():
                old.rename(folder)
            raise
        shutil.rmtree(old, ignore_errors=True)
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
