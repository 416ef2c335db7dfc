"""What rankings are like beyond being right: likelihood, calibration, coverage, popularity."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from benchmark.evidence.contestants import Contestant
from benchmark.records.differences import NLL

CUT = 10
BINS = 10


@dataclass(frozen=True)
class ListQuality:
    """Facts about the rankings of one contestant, means over its seeds; None = not known.

    Attributes:
        label: The contestant.
        nll: Mean negative log-likelihood of the targets over the whole catalogue, nats.
        confidence: Mean probability of the item ranked first, among the candidates.
        accuracy: How often that item is the target.
        calibration_error: Expected calibration error of that probability (Guo et al., 2017), in
            bins of equally many users: mean over bins of |confidence - accuracy|.
        coverage: Share of the catalogue that stands among the first ten of somebody.
        popularity_lift: Mean popularity (training events) of the first ten over that of what the
            user met, minus 1 (Abdollahpouri et al., 2020): 0 = as popular as the histories.
    """

    label: str
    nll: float | None
    confidence: float | None
    accuracy: float | None
    calibration_error: float | None
    coverage: float | None
    popularity_lift: float | None


def list_quality(contestant: Contestant, items: int) -> ListQuality:
    """The facts about a contestant's rankings of items.

    Args:
        contestant: Of `next_item`.
        items: Size of the catalogue.
    """
    frames = list(contestant.by_seed.values())
    sure = [reliability(frame) for frame in frames]
    known = [own for own in sure if own is not None]
    complete = len(known) == len(sure)
    return ListQuality(
        label=contestant.label,
        nll=_mean([_column_mean(frame, NLL) for frame in frames]),
        confidence=_mean([float(own[0].mean()) for own in known]) if complete else None,
        accuracy=_mean([float(own[1].mean()) for own in known]) if complete else None,
        calibration_error=_mean([calibration_error(*own) for own in known]) if complete else None,
        coverage=_mean([coverage(frame, items) for frame in frames]),
        popularity_lift=_mean([popularity_lift(frame) for frame in frames]),
    )


def reliability(examples: pl.DataFrame) -> tuple[np.ndarray, np.ndarray] | None:
    """Probability of the item ranked first among the candidates, and whether it is the target.

    Returns:
        `[n]` each; None where the method has no distribution, somebody's ranking is empty, or the
        examples do not say where the target stands.
    """
    needed = ("first_logprob", "candidates_logprob")
    if any(name not in examples.columns or examples[name].null_count() for name in needed):
        return None
    if "target_rank" not in examples.columns:
        return None
    first, every = (examples[name].to_numpy() for name in needed)
    right = (examples["target_rank"] == 1).fill_null(False).to_numpy()
    return np.exp(np.minimum(first - every, 0.0)), right.astype(np.float64)


def calibration_error(confidence: np.ndarray, right: np.ndarray, bins: int = BINS) -> float:
    """Mean over bins of equally many users of |mean confidence - share that is right|.

    >>> calibration_error(np.array([0.5, 0.5]), np.array([1.0, 0.0]), bins=1)
    0.0

    Args:
        confidence: `[n]` probabilities.
        right: `[n]` 1 = right, 0 = wrong.
        bins: How many; no more than there are users.
    """
    order = np.argsort(confidence, kind="stable")
    parts = np.array_split(order, min(bins, len(order)))
    apart = [abs(confidence[part].mean() - right[part].mean()) * len(part) for part in parts]
    return float(sum(apart) / len(order))


def coverage(examples: pl.DataFrame, items: int) -> float | None:
    """Share of the catalogue among the first ten of somebody; None where no list was kept."""
    if "ranked" not in examples.columns or not items:
        return None
    shown = examples.select(pl.col("ranked").list.head(CUT).explode().drop_nulls().n_unique())
    return float(shown.item() / items)


def popularity_lift(examples: pl.DataFrame) -> float | None:
    """See `ListQuality`; None where examples do not say, or histories were never trained on."""
    shown, met = (
        _column_mean(examples, "ranked_popularity"),
        _column_mean(examples, "history_popularity"),
    )
    return None if shown is None or not met else shown / met - 1.0


def _column_mean(examples: pl.DataFrame, name: str) -> float | None:
    if name not in examples.columns or examples[name].null_count():
        return None
    return float(np.mean(examples[name].to_numpy()))


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known and len(known) == len(values) else None
