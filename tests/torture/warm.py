"""Makes a process ready to be forked: all is imported, nothing has been done."""

from __future__ import annotations

import functools
import importlib
import json
import os
from collections.abc import Callable
from typing import Any

_MODULES = (
    "benchmark.commands.ablate",
    "benchmark.commands.run",
    "benchmark.commands.sweep",
    "benchmark.commands.table",
    "benchmark.commands.tune",
    "benchmark.plotting.results",
    "benchmark.runs.runner",
    "benchmark.tuning.trials",
    "baselines.popularity",
    "baselines.sasrec",
    "baselines.text_prompt",
    "lightning",
    "matplotlib.pyplot",
    "optuna",
    "pandas",
    "peft",
    "polars",
    "safetensors.torch",
    "torch",
    "transformers",
    "transformers.models.llama.modeling_llama",
    "userllm.encoder_method",
    "userllm.method",
)


def warm_up(save_every_seconds: float) -> None:
    """Imports everything, and has training save more often than a minute."""
    for name in _MODULES:
        importlib.import_module(name)
    from userllm.training.loop import Stage

    made = Stage.__init__

    @functools.wraps(made)
    def often(self: Stage, *given: Any, **named: Any) -> None:
        made(self, *given, **{"save_every_seconds": save_every_seconds, **named})

    Stage.__init__ = often  # type: ignore[method-assign]


def elsewhere(function: Callable[..., Any], *arguments: Any) -> Any:
    """What a function gives, as JSON, from a process of its own: this one starts no threads."""
    read, write = os.pipe()
    pid = os.fork()
    if not pid:
        code = 1
        try:
            with os.fdopen(write, "w") as pipe:
                json.dump(function(*arguments), pipe, default=str)
            code = 0
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            os._exit(code)
    os.close(write)
    with os.fdopen(read) as pipe:
        text = pipe.read()
    _, status = os.waitpid(pid, 0)
    if status:
        raise RuntimeError(f"{function.__name__} failed")
    return json.loads(text)
