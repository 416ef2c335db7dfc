"""What the language model is trained on and what it may say."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from itertools import compress
from pathlib import Path

import numpy as np

from benchmark.errors import UserError
from benchmark.events import EventLog
from benchmark.schema import FeatureKind
from benchmark.types import Catalog, Progress, StageReport
from userllm.config import LanguageModelSettings
from userllm.llm.embedded import embedded_language_model
from userllm.llm.language_model import LanguageModel
from userllm.llm.loading import load_language_model

SEPARATOR = " | "


def item_lines(catalog: Catalog, log: EventLog) -> list[str]:
    """A line of text an item, item 1 first: its title, then its readable features.

    An id is no title: where the catalogue has nothing else, a line is left with the features.
    """
    lines = []
    for item in range(1, len(catalog) + 1):
        parts = [catalog.texts[item] if catalog.named[item] else ""]
        for feature in log.schema:
            if feature.kind is FeatureKind.MULTI and feature.of_item and feature.labels:
                values = catalog.columns[feature.name][item]
                parts.append(", ".join(feature.labels[v - 1] for v in values if v > 0))
        lines.append(SEPARATOR.join(part for part in parts if part))
    return lines


@dataclass(frozen=True)
class Corpus:
    """All text that the embedded model may know.

    Attributes:
        catalog: What is said of items, a line each.
        written: What users wrote in training events, in the order of the events.
    """

    catalog: list[str]
    written: list[str]

    @property
    def lines(self) -> list[str]:
        """All of it."""
        return [*self.catalog, *self.written]


def corpus(catalog: Catalog, log: EventLog, held_out: np.ndarray | None = None) -> list[str]:
    """All text that the embedded model may know, see `read_corpus`."""
    return read_corpus(catalog, log, held_out).lines


def read_corpus(catalog: Catalog, log: EventLog, held_out: np.ndarray | None = None) -> Corpus:
    """All text that the embedded model may know: the catalogue, and what training events say.

    Where neither says anything, the ids of the items stand in for it.

    Args:
        catalog: The items.
        log: Training events.
        held_out: From `held_out_items`: what is said of these items is left out.
    """
    lines = item_lines(catalog, log)
    written = [
        (item, text)
        for texts in log.written.values()
        for item, text in zip(log.items, texts, strict=True)
        if text
    ]
    if not any(lines) and not written:
        lines = list(catalog.texts[1:])
    if held_out is None:
        return Corpus([line for line in lines if line], [text for _, text in written])
    unsaid = set(compress(lines, held_out[1:]))
    kept = [line for line in compress(lines, ~held_out[1:]) if line]
    texts = [text for item, text in written if not held_out[item]]
    # Somebody may have written of another item what is a held-out item's own text.
    return Corpus(
        [line for line in kept if line not in unsaid],
        [text for text in texts if text not in unsaid],
    )


def held_out_items(catalog: Catalog, share: float) -> np.ndarray:
    """Which items' text no training may say: a share of them, chosen by a hash of their titles.

    Items of one title are held out together: what is said of one would be learnt from the other.

    Args:
        catalog: The items.
        share: About how many; the same titles whatever the seed, and more of them for more.

    Returns:
        `[N + 1]`, True = held out; position 0 is padding.

    Raises:
        UserError: The share holds out no item, or all.
    """
    digests = (hashlib.sha256(text.encode()).digest() for text in catalog.texts[1:])
    places = [int.from_bytes(digest[:8], "big") / 2**64 for digest in digests]
    held_out = np.array([False, *(place < share for place in places)])
    if share and (not held_out.any() or held_out[1:].all()):
        raise UserError(
            f"user_llm.held_out={share} holds out {held_out.sum()} of {len(catalog)} items: choose "
            "a share that leaves some on both sides"
        )
    return held_out


def shuffled_titles(catalog: Catalog, seed: int) -> Catalog:
    """The catalogue with every text at another item than its own; features stay."""
    order = np.random.default_rng(seed).permutation(len(catalog)) + 1
    texts = list(catalog.texts)
    for item, other in zip(order, np.roll(order, 1), strict=True):  # one cycle through all
        texts[item] = catalog.texts[other]
    return replace(catalog, texts=tuple(texts))


def item_title_tokens(catalog: Catalog, llm: LanguageModel) -> list[list[int]]:
    """Tokens of each item's title as the model says it, item 1 first."""
    return [llm.encode(f" {text}") for text in catalog.texts[1:]]


def language_model(
    catalog: Catalog,
    log: EventLog,
    settings: LanguageModelSettings,
    *,
    name: str | None,
    seed: int,
    cache: Path,
    progress: Progress,
    accelerator: str = "cpu",
    checkpoints: Path | None = None,
    held_out: np.ndarray | None = None,
) -> tuple[LanguageModel, tuple[StageReport, ...]]:
    """The language model of a run, and the stages its making took.

    Args:
        catalog: The items.
        log: Training events.
        settings: Of the embedded model.
        name: Hub name or local path; None = the embedded model.
        seed: Seed of the embedded model.
        cache: Folder of shared stages.
        progress: Where to say how far it is.
        accelerator: Lightning's name of the device.
        checkpoints: Folder for checkpoints of unfinished stages; None = keep none.
        held_out: From `held_out_items`: what the embedded model may not know.
    """
    if name is not None:
        return load_language_model(name), ()
    told = read_corpus(catalog, log, held_out)
    llm, report = embedded_language_model(
        told.catalog,
        settings,
        written=told.written,
        seed=seed,
        cache=cache,
        progress=progress,
        accelerator=accelerator,
        checkpoints=checkpoints,
    )
    return llm, (report,)
