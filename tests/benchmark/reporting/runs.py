"""Made-up runs with examples, for reports."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from benchmark.cost.facts import Cost
from benchmark.records import results
from tests.records import make_record, write_record

USERS = 240


def write_run(folder: Path, method: str, rate: float, seed: int = 0, *, examples: bool = True,
              users: int = 0, **changes) -> results.RunRecord:  # fmt: skip
    """A record whose users are right at a rate, the first of them always the same.

    Args:
        folder: Holds runs.
        method: Its name.
        rate: Share of users whose target is first.
        seed: Its seed.
        examples: Whether examples stand beside it.
        users: Number of the first user.
        changes: Of the record.
    """
    rng = np.random.default_rng(seed + 1)
    right = (np.arange(USERS) < rate * USERS - 6) | (rng.permutation(USERS) < 6)
    hits = {"recall@1": right, "recall@10": right | (np.arange(USERS) % 3 == 0)}
    metrics = {name: float(own.mean()) for name, own in hits.items()}
    changes = {
        "examples": USERS,
        "metrics": metrics,
        "intervals": {name: (0.9 * own, 1.1 * own) for name, own in metrics.items()},
        "dataset": results.DatasetFacts(
            name="ml-100k", fingerprint="f", target_hash="t", facts={"items": 50}
        ),
        **changes,
    }
    record = make_record(method, seed, **changes)
    varied = "-".join(f"{name}-{value}" for name, value in record.axes.items())
    name = f"{record.task.name}-{method}-{seed}-{varied}-{record.config_hash[:4]}"
    path = write_record(folder / name, record)
    if examples:
        write_examples(path, hits, users)
    return record


def write_examples(record: Path, hits: dict[str, np.ndarray], users: int = 0) -> None:
    """Examples with what slices and facts about rankings are made of."""
    count = np.arange(USERS)
    columns = {
        "user": [f"u{users + number:05}" for number in count],
        "ranked": [[f"i{(number + place) % 40}" for place in range(10)] for number in count],
        "target_rank": np.where(hits["recall@1"], 1, 7),
        "target_logprob": np.where(hits["recall@1"], -0.5, -3.0),
        "first_logprob": np.full(USERS, -0.7),
        "candidates_logprob": np.zeros(USERS),
        **{name: own.astype(float) for name, own in hits.items()},
        "history_events": 5 + count % 60,
        "gap_seconds": np.where(count % 4, count * 997, 0),
        "target_popularity": count % 20,
        "history_popularity": np.full(USERS, 10.0),
        "ranked_popularity": np.full(USERS, 15.0),
    }
    pd.DataFrame(columns).to_parquet(record.parent / results.EXAMPLES)


def write_comparison(folder: Path, seeds: tuple[int, ...] = (0, 1), **changes) -> None:
    """The studied method, a clearly worse one, and one that is nearly as good."""
    for seed in seeds:
        for method, rate in (("user_llm", 0.4), ("sasrec", 0.395), ("popularity", 0.1)):
            write_run(folder, method, rate, seed, **changes)


def make_cost(tokens: float | None, flops: float) -> Cost:
    """The cost of an answer."""
    return Cost(llm_input_tokens=tokens, prompt_flops=flops, answer_flops=2 * flops)
