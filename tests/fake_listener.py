"""A fake method that keeps its model, may be muted, and is fitted anew by two probes."""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from benchmark.entries import MethodEntry
from benchmark.schema import ITEM
from benchmark.tables import Tables
from benchmark.types import FitReport, TextScores, rank_scores
from tests.fakes import Fake, make_tables


class Listener(Fake):
    """A distribution by the last item; by nothing at all where muted or nobody is known.

    With `fail=ear` it breaks where a history is empty, with `flag` it learns nothing.
    """

    history_length = 5

    def fit(self, data, context):
        if self.settings.fail == "ear":
            self._fail = lambda: None
        report = super().fit(data, context)
        counts = self.counts.counts + 0.1
        self.weights = torch.ones_like(counts) if self.settings.flag else counts
        self.deaf = False
        texts = {"before": TextScores(np.full(3, 4.0), np.array([1, 2, 3]))}
        return FitReport(report.stages, 12, 12, texts=texts if self.settings.flag else {})

    def rank(self, histories, candidates, k):
        lengths = histories.lengths
        if self.settings.fail == "ear" and not lengths.all():
            raise RuntimeError("nothing to hear")
        last = histories.features[ITEM][torch.arange(len(lengths)), (lengths - 1).clamp(min=0)]
        rows = self.weights.sum(0) if self.deaf else self.weights[last]
        scores = rows.expand(len(lengths), -1).clone()
        scores[:, 0] = 0
        return rank_scores((scores / scores.sum(1, True)).log(), candidates, k, log_probs=True)

    @contextlib.contextmanager
    def muted(self):
        self.deaf = True
        yield
        self.deaf = False

    def save(self, folder: Path):
        save_file({"weights": self.weights}, folder / "w.safetensors")

    def restore(self, folder: Path, data, context):
        self.weights, self.deaf = load_file(folder / "w.safetensors")["weights"], False


def listening_tables(**facts: object) -> Tables:
    tables = make_tables(**facts)
    for name in ("listener", "plain"):
        tables.methods.add(
            name,
            MethodEntry(
                "tests.fake_listener:Listener" if name == "listener" else "tests.fakes:Fake",
                "a fake",
                settings="tests.fakes:FakeSettings",
                capabilities=("CandidateRanker",),
                probes={"learn_nothing": {"flag": True}, "learn_badly": {"fail": "nan"}},
            ),
        )
    return tables
