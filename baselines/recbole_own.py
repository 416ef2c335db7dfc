"""RecBole as it is, with its own files, samples and trainer: what `make perf` compares with."""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import recbole.data
import recbole.trainer
import torch

from baselines.recbole_bridge import ITEM_FIELD, USER_FIELD, model_class, seeded, settings_of
from benchmark.events import EventLog


@dataclass(frozen=True)
class OwnTraining:
    """What RecBole's own trainer took and reached.

    Attributes:
        recall: Validation recall@10, seen items left in the ranking.
        seconds: `Trainer.fit` alone, no look at validation in it.
        preparation_seconds: Reading, splitting and cutting one sample of every prefix.
        samples: Training samples of an epoch.
        options: RecBole's settings that matter for comparing.
    """

    recall: float
    seconds: float
    preparation_seconds: float
    samples: int
    options: dict[str, Any]


def own_training(
    events: EventLog, name: str, length: int, *, epochs: int, seed: int
) -> OwnTraining:
    """Trains a model the way RecBole does, to compare with: its files, samples and trainer.

    It splits as we do (a user's last event is test, the one before validation): the order of the
    events stands in place of their time, so that ties cannot be settled otherwise. Everything it
    writes goes into a temporary folder.

    Args:
        events: All events, those of validation and test too.
        name: RecBole's name of the model.
        length: Most events of a history.
        epochs: Passes over its samples.
        seed: Seed of everything random.
    """
    with (
        tempfile.TemporaryDirectory() as folder,
        _inside(folder),
        _old_numpy_names(),
        seeded(seed),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        _write_inter(events, Path(folder, "data", "events"))
        options = {
            "epochs": epochs,
            "seed": seed,
            "data_path": "data",
            "load_col": {"inter": [USER_FIELD, ITEM_FIELD, "timestamp"]},
            "metrics": ["Recall"],
            "valid_metric": "Recall@10",
            "metric_decimal_place": 8,
        }
        config = settings_of(name, length, options, num_items=events.schema.num_items)
        torch.manual_seed(seed)
        begin = time.perf_counter()
        dataset = recbole.data.create_dataset(config)
        train, validation, _ = recbole.data.data_preparation(config, dataset)
        model = model_class(name)(config, train.dataset)
        trainer = recbole.trainer.Trainer(config, model)
        ready = time.perf_counter()
        with torch.autograd.detect_anomaly():  # as importing RecBole leaves it, see `model_class`
            trainer.fit(train, saved=False, verbose=False)
        done = time.perf_counter()
        values = trainer.evaluate(validation, load_best_model=False)
    kept = ("epochs", "train_batch_size", "learning_rate", "mask_ratio", "hidden_dropout_prob")
    return OwnTraining(
        recall=float(values["recall@10"]),
        seconds=done - ready,
        preparation_seconds=ready - begin,
        samples=len(train.dataset),
        options={key: config[key] for key in kept},
    )


def own_dataset(folder: Path, length: int) -> dict[str, float]:
    """Builds a data set the way RecBole does for a sequential model, to compare with.

    Args:
        folder: Has `events/events.inter`, in RecBole's format.
        length: Most events of a history.

    Returns:
        Seconds to create it (read the file, number users and items), seconds to build it (sort, cut
        a sample of every prefix, split), and how many users, items and samples it has.
    """
    with (
        tempfile.TemporaryDirectory() as scratch,
        _inside(scratch),
        _old_numpy_names(),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        columns = [USER_FIELD, ITEM_FIELD, "rating", "timestamp"]
        options = {"data_path": str(folder), "load_col": {"inter": columns}}
        config = settings_of("SASRec", length, options, num_items=length)
        begin = time.perf_counter()
        dataset = recbole.data.create_dataset(config)
        created = time.perf_counter()
        parts = dataset.build()
        built = time.perf_counter()
    return {
        "create_seconds": created - begin,
        "build_seconds": built - created,
        "users": dataset.user_num - 1,
        "items": dataset.item_num - 1,
        "samples": sum(len(part) for part in parts),
    }


def _write_inter(events: EventLog, folder: Path) -> None:
    folder.mkdir(parents=True)
    owners = np.repeat(np.arange(events.num_users), events.lengths)
    rows = (f"{u}\t{i}\t{t}" for t, (u, i) in enumerate(zip(owners, events.items, strict=True)))
    head = f"{USER_FIELD}:token\t{ITEM_FIELD}:token\ttimestamp:float"
    (folder / "events.inter").write_text("\n".join([head, *rows]))


@contextlib.contextmanager
def _inside(folder: str) -> Iterator[None]:
    """Makes a folder the working folder for a while; RecBole leaves logs in the working folder."""
    before = os.getcwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


@contextlib.contextmanager
def _old_numpy_names() -> Iterator[None]:
    """NumPy's names of before 2.0 that RecBole's data pipeline and evaluator use, for a while."""
    old = {"float": np.float64, "bool": np.bool_, "long": np.int64, "int": np.int64}
    before = {name: vars(np)[name] for name in old if name in vars(np)}
    try:
        for name, value in old.items():
            setattr(np, name, value)
        yield
    finally:
        for name in old:
            delattr(np, name)
        for name, value in before.items():
            setattr(np, name, value)
