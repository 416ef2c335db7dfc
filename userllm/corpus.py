"""What the language model is trained on and what it may say."""

from __future__ import annotations

from pathlib import Path

from benchmark.events import EventLog
from benchmark.schema import FeatureKind
from benchmark.types import Catalog, Progress, StageReport
from userllm.config import LanguageModelSettings
from userllm.embedded import embedded_language_model
from userllm.llm import LanguageModel, load_language_model

SEPARATOR = " | "


def item_lines(catalog: Catalog, log: EventLog) -> list[str]:
    """A line of text an item, item 1 first: its title, then its readable features."""
    lines = []
    for item in range(1, len(catalog) + 1):
        parts = [catalog.texts[item]]
        for feature in log.schema:
            if feature.kind is FeatureKind.MULTI and feature.of_item and feature.labels:
                values = catalog.columns[feature.name][item]
                parts.append(", ".join(feature.labels[v - 1] for v in values if v > 0))
        lines.append(SEPARATOR.join(part for part in parts if part))
    return lines


def corpus(catalog: Catalog, log: EventLog) -> list[str]:
    """All text that the embedded model may know: the catalogue, and what training events say."""
    return [*item_lines(catalog, log), *(text for text in log.texts or () if text)]


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
    """
    if name is not None:
        return load_language_model(name), ()
    llm, report = embedded_language_model(
        corpus(catalog, log),
        settings,
        seed=seed,
        cache=cache,
        progress=progress,
        accelerator=accelerator,
    )
    return llm, (report,)
