"""Made-up records and examples."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from benchmark.records import results


def make_record(method: str, seed: int = 0, *, recall: float = 0.2, seconds: float = 30.0,
                curve=(), **changes) -> results.RunRecord:  # fmt: skip
    metrics = {"recall@1": recall / 4, "recall@5": recall / 1.5, "recall@10": recall}
    record = results.RunRecord(
        config_hash="0" * 64,
        dataset=results.DatasetFacts(name="ml-100k", fingerprint="f", target_hash="t"),
        task=results.Component(name="next_item", version="1"),
        method=results.Component(name=method, changes=changes.pop("method_changes", {})),
        protocol=results.ProtocolFacts(
            split="last", split_description="", part="test", seen="exclude", tie_rule=""
        ),
        seed=seed,
        preset="quick",
        metrics=metrics,
        intervals={name: (0.9 * value, 1.1 * value) for name, value in metrics.items()},
        examples=200,
        fit=results.Fit(
            seconds=seconds,
            wall_seconds=seconds,
            stages=(results.Stage(name="fit", seconds=seconds, curve=curve),),
        ),
        evaluation_seconds=1.0,
        peak_memory_bytes=1,
        python="",
        created="2026-01-01T00:00:00+00:00",
        command="",
    )
    return record.model_copy(update=changes)


def write_record(folder: Path, record: results.RunRecord) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / results.RECORD
    path.write_text(record.model_dump_json())
    return path


def write_examples(folder: Path, record: results.RunRecord, seed: int = 0) -> None:
    """Examples whose means are, as nearly as they can be, those of the record."""
    order = np.random.default_rng(seed).permutation(record.examples)
    columns = {
        name: (order < round(value * record.examples)).astype(float)
        for name, value in record.metrics.items()
    }
    users = [str(user) for user in range(record.examples)]
    pd.DataFrame({"user": users, **columns}).to_parquet(folder / results.EXAMPLES)
