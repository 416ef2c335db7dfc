"""A world whose titles say what follows: an item's last word is its place.

From one place users go to the next one, to any item there. So the title of an item tells where it
comes in, and its id tells nothing before it has been met.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from benchmark.data.dataset import Dataset, build_dataset
from benchmark.data.made_up.synthetic import make_titles

PLACES = (
    "Harbour", "Desert", "Forest", "Palace", "Prison", "Island", "Mountain", "Village", "River",
    "Castle", "Garden", "Station",
)  # fmt: skip
EACH = 10
"""Items of a place."""


def titled_world(users: int = 300, follow: float = 0.8, seed: int = 0) -> Dataset:
    """Makes the world.

    Args:
        users: Number of users, with 8 to 16 events each, none of them twice of an item.
        follow: Probability that an event is at the next place, and not at any.
        seed: Seed of everything.
    """
    rng = np.random.default_rng(seed)
    places = len(PLACES)
    place_of = rng.permutation(np.repeat(np.arange(places), EACH))
    names = make_titles(len(place_of), rng)
    ids = [f"i{number:03d}" for number in range(len(place_of))]
    rows = []
    for user in range(users):
        time, place = 1_000_000_000 + int(rng.integers(10_000_000)), int(rng.integers(places))
        new = np.ones(len(place_of), dtype=bool)
        for _ in range(int(rng.integers(8, 17))):
            follows = rng.random() < follow
            place = (place + 1) % places if follows else int(rng.integers(places))
            item = int(rng.choice(np.flatnonzero((place_of == place) & new)))
            new[item] = False
            time += int(rng.integers(60, 3600))
            rows.append((f"u{user:03d}", ids[item], time))
    events = pl.DataFrame(rows, schema=["user", "item", "timestamp"], orient="row")
    titles = [f"{name} of the {PLACES[at]}" for name, at in zip(names, place_of, strict=True)]
    return build_dataset(
        "titled",
        events.sort("timestamp", maintain_order=True),
        pl.DataFrame({"item": ids, "text": titles}),
        [],
        source="tests",
        licence="same as the code",
        citation="none",
        gaps=False,
    )
