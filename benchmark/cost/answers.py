"""What one answer of a fitted method costs, measured by asking it again."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmark.cost.config import CostSettings
from benchmark.cost.facts import Cost
from benchmark.cost.latency import time_answers
from benchmark.cost.memory import KeptBytes, answer_memory_bytes
from benchmark.cost.running import REST, FlopCounter
from benchmark.goals import TextGoal
from benchmark.protocols import LLM, PROJECTOR, USER_ENCODER, Profiled, PromptReader
from benchmark.runs.asking import Asking

_PROMPT, _DECODING = "llm_prompt", "llm_decoding"
_COUNTED_AT_ONCE = 256
"""Users whose tokens are counted at a time."""


def answer_cost(method: Any, asking: Asking, settings: CostSettings) -> Cost:
    """Tokens over all examples; arithmetic, seconds and bytes over a seeded sample of them.

    The answers are thrown away. Weights, and random numbers drawn later, stay what they were.

    Args:
        method: Fitted; what it cannot tell of itself stays None.
        asking: The questions.
        settings: How much is measured; with no users nothing is.
    """
    if not settings.users or not len(asking.examples):
        return Cost()
    count = min(settings.users, len(asking.examples))
    users = np.random.default_rng(0).choice(len(asking.examples), size=count, replace=False)
    facts: dict[str, Any] = {"metered_users": count}
    with torch.random.fork_rng(devices=[]):
        facts |= _tokens(method, asking)
        facts |= _arithmetic(method, asking, users)

        def prepare(rows: np.ndarray) -> Callable[[], object]:
            histories = asking.histories(method, rows)
            return lambda: asking.answer(method, histories, rows)

        timing = time_answers(prepare, users, settings, _clock)
        longest = max(
            users, key=lambda row: asking.examples.stops[row] - asking.examples.starts[row]
        )
        memory = answer_memory_bytes(prepare(np.array([longest])))
    rate, size = timing.best
    return Cost(
        **facts,
        answer_memory_bytes=memory,
        latency_seconds=timing.median_seconds,
        latency_seconds_p95=timing.p95_seconds,
        latency_runs=len(timing.single),
        throughput_per_second=rate,
        throughput_batch=size,
    )


def _clock() -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def _tokens(method: Any, asking: Asking) -> dict[str, Any]:
    """What the language model reads, over all examples; nothing where there is none."""
    if not isinstance(method, PromptReader):
        return {}
    tokens: list[int] = []
    dropped: list[int] = []
    for begin in range(0, len(asking.examples), _COUNTED_AT_ONCE):
        rows = np.arange(begin, min(begin + _COUNTED_AT_ONCE, len(asking.examples)))
        histories = asking.histories(method, rows)
        read = method.prompt_tokens(histories, asking.goal, asking.prompts(rows))
        tokens += read.tokens
        dropped += read.dropped
    return {
        "llm_input_tokens": float(np.mean(tokens)),
        "llm_input_tokens_max": max(tokens),
        "dropped_events": float(np.mean(dropped)),
        "truncated_users": float(np.mean(np.array(dropped) > 0)),
    }


def _arithmetic(method: Any, asking: Asking, users: np.ndarray) -> dict[str, Any]:
    """Arithmetic by part, and keys and values kept, as means over some users."""
    parts = dict(method.parts()) if isinstance(method, Profiled) else {}
    llm: nn.Module | None = parts.pop(LLM, None)
    total: defaultdict[str, float] = defaultdict(float)
    kept: list[int] = []
    keeps = KeptBytes()
    for row in users:
        rows = np.array([row])
        histories = asking.histories(method, rows)
        counter = FlopCounter()
        calls = counter.calls(llm, _PROMPT, _DECODING)
        with counter, counter.within(parts), calls, keeps.watching(llm):
            asking.answer(method, histories, rows)
        for part, flops in counter.parts.items():
            total[part] += flops
        if keeps.last is not None:
            kept.append(keeps.last)
    mean = {name: value / len(users) for name, value in total.items()}
    rest, decoding = mean.get(REST, 0.0), mean.get(_DECODING, 0.0)
    if isinstance(asking.goal, TextGoal):  # what stands outside of modules chooses tokens
        rest, decoding = 0.0, decoding + rest
    encoder, projector = mean.get(USER_ENCODER, 0.0), mean.get(PROJECTOR, 0.0)
    prompt = mean.get(_PROMPT, 0.0)
    return {
        "user_encoder_flops": encoder,
        "projector_flops": projector,
        "encoder_flops": encoder + projector,
        "llm_prompt_flops": prompt,
        "prompt_flops": encoder + projector + prompt,
        "decode_flops": decoding,
        "ranking_flops": rest,
        "answer_flops": encoder + projector + prompt + decoding + rest,
        "kv_cache_bytes": float(np.mean(kept)) if kept else None,
    }
