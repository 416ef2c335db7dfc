"""Two small made-up worlds in which the history pays, by the rules of the data set `synthetic`.

In `chain_world` the latest event tells the next one. In `taste_world` users jump between items of
the genres that they like, and what they write follows from the genre that they meet most, so that
not only earlier reviews tell it, as in `synthetic`, but also the items, which is what an encoder
reads.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from benchmark.data.dataset import Dataset, fingerprint
from benchmark.data.made_up.synthetic import VERDICTS, SyntheticSettings, make_world
from benchmark.schema import TEXT
from benchmark.texts import Texts

CHAIN = SyntheticSettings(users=160, items=50, events=(10, 16), genres=4, follow=0.8, seed=4)
TASTE = SyntheticSettings(
    users=260, items=60, events=(24, 32), genres=8, follow=0.3, repeats=True, seed=4
)
ENDINGS = (
    "friends laughed tonight",
    "cried until morning",
    "slept badly since",
    "guessed everything wrong",
    "my heart melted",
    "too much noise",
    "saddle up again",
    "dragons feel real",
)
"""What users write at the end, by their genre; no two have a word in common."""


def chain_world() -> Dataset:
    """A world in which four of five events follow from the one before."""
    return make_world(CHAIN, name="chain")


def taste_world() -> Dataset:
    """A world of tastes, in which reviews are `<verdict by the rating>, <ending by the user>`."""
    world = make_world(TASTE, name="taste")
    log, genres = world.events, world.events.item_columns["genres"][:, 0]
    texts = []
    for start, stop in zip(log.indptr[:-1], log.indptr[1:], strict=True):
        # The last two events are targets: nothing that is to be written depends on them.
        counts = np.bincount(genres[log.items[start : stop - 2]], minlength=len(ENDINGS) + 1)
        ending = ENDINGS[counts[1:].argmax()]
        texts += [f"{VERDICTS[star - 1]}, {ending}" for star in log.columns["rating"][start:stop]]
    events = replace(log, written={TEXT: Texts.of(texts)})
    printed = fingerprint(world.catalog, events, world.users.external_ids)
    return replace(world, events=events, fingerprint=printed)
