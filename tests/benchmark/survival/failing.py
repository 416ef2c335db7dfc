"""A run as one of two processes, in which something fails: `failing KIND RANKS ARGUMENTS...`."""

from __future__ import annotations

import os
import sys
from typing import Any

from benchmark.cli import main
from benchmark.data.store.seal import DataChangedError
from benchmark.runs.plan import World
from benchmark.system import ranks
from userllm.training.watch import Watch


def fail(kind: str, failing: str) -> None:
    """Has training run out of memory once, or data change, where the process's number says."""
    ranks._APART_SECONDS = 3
    here = os.environ["RANK"] in failing
    calls = {"train": 0, "check": 0}
    begin, check = Watch.on_train_batch_start, World.check_data

    def beginning(self: Watch, *arguments: Any) -> Any:
        calls["train"] += 1
        if kind == "memory" and here and calls["train"] == 3:
            raise MemoryError("not enough memory")
        return begin(self, *arguments)

    def checking(self: World) -> None:
        calls["check"] += 1
        if kind == "data" and here and calls["check"] == 2:
            raise DataChangedError("the data set changed on the disk")
        check(self)

    Watch.on_train_batch_start = beginning  # type: ignore[method-assign]
    World.check_data = checking  # type: ignore[method-assign]


if __name__ == "__main__":
    fail(*sys.argv[1:3])
    sys.exit(main(sys.argv[3:]))
