"""Made-up rows of an ablation, with examples."""

import numpy as np
import pandas as pd

from benchmark.records.results import Row, row_of
from tests.records import make_record, write_record


def make_row(folder, value, hits, seed=0, logprobs=None, users=None, axis="kind"):
    """A finished row whose users hit as told."""
    hits = np.asarray(hits, dtype=float)
    record = make_record("alpha", seed, examples=len(hits))
    mean = float(hits.mean())
    record = record.model_copy(
        update={"metrics": {"recall@10": mean}, "intervals": {"recall@10": (mean, mean)}}
    )
    path = write_record(folder / f"{value}-{seed}", record)
    frame = pd.DataFrame({"user": [str(u) for u in (users or range(len(hits)))], "recall@10": hits})
    if logprobs is not None:
        frame["target_logprob"] = logprobs
    frame.to_parquet(path.parent / "examples.parquet")
    return row_of(record, path).model_copy(update={"axes": {axis: value}})


def failed(value, seed=0, **reason):
    return Row(dataset="ml-100k", task="next_item", method="alpha", seed=seed, preset="quick",
               axes={"kind": value}, **(reason or {"error": "it broke"}))  # fmt: skip
