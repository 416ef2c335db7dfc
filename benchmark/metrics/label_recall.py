"""Whether a right label is among the first of a ranking; of tied labels each is right."""

from __future__ import annotations

import numpy as np
import polars as pl

from benchmark.errors import UserError

CUTS = (1, 5)


def recalls(order: np.ndarray, right: np.ndarray) -> dict[str, np.ndarray]:
    """Whether a right label is among the first k, `[n]` values a metric.

    Args:
        order: `[n, K]` labels, best first; all of them or the first few.
        right: `BoolArray[n, C]`.
    """
    hits = np.take_along_axis(right, order, axis=1)
    return {f"recall@{k}": hits[:, :k].max(axis=1).astype(np.float64) for k in CUTS}


def label_places(
    frame: pl.DataFrame, labels: tuple[str, ...] = ()
) -> tuple[np.ndarray, np.ndarray]:
    """Ranked labels as indices `[n, K]`, and right ones as `BoolArray[n, C]`.

    Args:
        frame: Columns `right` and `ranked`.
        labels: In their order; empty = those of the frame in the order of the alphabet.

    Raises:
        UserError: Columns or names are missing, or lists are not of one length.
    """
    if not {"right", "ranked"} <= set(frame.columns):
        raise UserError("its examples lack the names of right and ranked labels")
    said, true = frame["ranked"].to_list(), frame["right"].to_list()
    if not all(said) or not all(true) or len({len(names) for names in said}) > 1:
        raise UserError("its examples have users without labels, or rankings of several lengths")
    known = labels or tuple(sorted({name for names in (*said, *true) for name in names}))
    place = {name: index for index, name in enumerate(known)}
    try:
        order = np.array([[place[name] for name in names] for names in said])
        right = np.zeros((len(true), len(known)), dtype=bool)
        for row, names in enumerate(true):
            right[row, [place[name] for name in names]] = True
    except KeyError as error:
        raise UserError(f"its examples name a label that there is not: {error}") from None
    return order, right
