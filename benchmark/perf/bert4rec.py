"""How long BERT4Rec takes to a given quality: our training on windows against RecBole's trainer.

Both sides train on the same events with the same number of threads, one after the other, and are
judged on the same validation targets with seen items left in the ranking. RecBole trains first;
what it reaches after its last epoch is the mark. Then ours trains, and its time is that of the
first look at which it is at the mark. Neither side's looks at validation are counted, nor the
start of the process. Of RecBole `Trainer.fit` alone is counted, without reading its files and
cutting its samples; ours counts cutting the windows, which goes on while it trains. RecBole's
trainer runs as importing RecBole leaves it, with torch's anomaly detection on, which costs it time.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from benchmark.data.dataset import Dataset
from benchmark.data.division import Split
from benchmark.datasets import DATASETS
from benchmark.display.progress import open_progress
from benchmark.perf.comparison import Comparison
from benchmark.protocols import CandidateRanker, FitContext
from benchmark.registrations import SPLITS
from benchmark.registry import load
from benchmark.tasks.config import NextItemSettings
from benchmark.tasks.next_item import NextItem
from benchmark.types import CurvePoint

OURS: Mapping[str, Any] = {
    "transformer": {"width": 64, "layers": 2, "heads": 2, "dropout": 0.0},
    "fit": {"history": 50, "batch_size": 32, "epochs": 16, "looks": 16},
    "optimizer": {"learning_rate": 3e-3, "weight_decay": 0.1},
    "masked": 0.25,
}
"""Our settings; size and history are those of RecBole's defaults."""

EPOCHS = 5
"""Epochs of RecBole's trainer."""

SEEDS = (0, 1, 2)
"""Our side is the median over these seeds; RecBole's runs once, with the first."""


def time_to_quality(threads: int) -> Comparison:
    """The comparison on MovieLens-100K."""
    dataset = DATASETS["ml-100k"].load()()  # type: ignore[operator]
    return compare(dataset, threads, ours=OURS, epochs=EPOCHS, seeds=SEEDS)


def compare(
    dataset: Dataset,
    threads: int,
    *,
    ours: Mapping[str, Any],
    epochs: int,
    seeds: tuple[int, ...],
) -> Comparison:
    """Seconds of both sides to the validation recall@10 that RecBole's trainer ends with.

    Args:
        dataset: What to train on.
        threads: Of both sides.
        ours: Settings of our BERT4Rec.
        epochs: Of RecBole's trainer.
        seeds: See `SEEDS`.
    """
    torch.set_num_threads(threads)
    split = SPLITS["last"].load()(dataset)  # type: ignore[operator]
    length = ours["fit"]["history"]
    own_training: Any = load("baselines.recbole_own:own_training")
    _say(f"RecBole's trainer, {epochs} epochs; this takes a while")
    theirs = own_training(dataset.events, "BERT4Rec", length, epochs=epochs, seed=seeds[0])
    _say(f"recall@10 {theirs.recall:.4f} after {theirs.seconds:.1f} s; now ours")
    curves = {seed: _curve(split, ours, seed) for seed in seeds}
    reached = {
        seed: next((p.seconds for p in curve if p.value >= theirs.recall), None)
        for seed, curve in curves.items()
    }
    times = [seconds for seconds in reached.values() if seconds is not None]
    return Comparison(
        ours=statistics.median(times) if len(times) == len(seeds) else None,
        theirs=theirs.seconds,
        unit="seconds",
        details={
            "question": "training seconds to RecBole's validation recall@10",
            "dataset": dataset.name,
            "dataset_fingerprint": dataset.fingerprint,
            "target_hash": split.target_hash,
            "seen": "include",
            "threads": threads,
            "counted": (__doc__ or "").split("\n\n")[1].replace("\n", " ").strip(),
            "quality": theirs.recall,
            "recbole": asdict(theirs),
            "our_settings": dict(ours),
            "our_seconds_by_seed": reached,
            "our_curves": {s: [asdict(p) for p in curve] for s, curve in curves.items()},
        },
    )


def _curve(split: Split, settings: Mapping[str, Any], seed: int) -> tuple[CurvePoint, ...]:
    """Validation values over training seconds, one look an epoch."""
    settings_class: Any = load("baselines.config:Bert4RecSettings")
    method: Any = load("baselines.bert4rec:Bert4Rec")
    validate = NextItem(NextItemSettings()).validator(split, "include")

    def shown(ranker: CandidateRanker) -> Mapping[str, float]:
        values = validate(ranker)
        _say(f"seed {seed}: recall@10 {values['recall@10']:.4f}")
        return values

    with tempfile.TemporaryDirectory() as cache:
        context = FitContext(seed=seed, cache=Path(cache), validate=shown, progress=open_progress())
        report = method(settings_class.model_validate(settings)).fit(split.train, context)
    curve: tuple[CurvePoint, ...] = report.stages[0].curve
    return curve


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
