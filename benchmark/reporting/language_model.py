"""Which language model a number is about, and what it was pretrained on. Free of torch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from benchmark.records.results import RunRecord

_STAGE, _SETTINGS = "language_model", "language_model"
"""The stage that trains the embedded model, and the section of settings that says its shape."""

_LISTED = 3
"""Most data sets that a phrase names."""


@dataclass(frozen=True)
class LanguageModel:
    """A language model as titles and conclusions name it.

    Attributes:
        name: Hub name or folder; of the embedded one its shape.
        trained_on: Data set whose training text the embedded one learnt from random weights; ""
            for one that came trained, of which no record says on what.
    """

    name: str
    trained_on: str

    @property
    def embedded(self) -> bool:
        """Whether it was trained here."""
        return bool(self.trained_on)

    @property
    def phrase(self) -> str:
        """What it is and what it was pretrained on."""
        return named([self])


def language_model_of(record: RunRecord) -> LanguageModel | None:
    """The language model behind a record; None where the method used none."""
    if record.llm is not None:
        name, digest = record.llm.get("name", "unnamed"), record.llm.get("sha256", "")
        return LanguageModel(f"{name} (SHA-256 {digest[:12]})" if digest else name, "")
    if not any(stage.name == _STAGE for stage in record.fit.stages):
        return None
    settings = record.method.settings.get(_SETTINGS)
    shape = ""
    if isinstance(settings, dict) and {"layers", "width"} <= settings.keys():
        several = "" if settings["layers"] == 1 else "s"
        words = settings.get("vocabulary")
        known = f", at most {words:,} tokens" if isinstance(words, int) else ""
        shape = f" ({settings['layers']} layer{several} of width {settings['width']}{known})"
    return LanguageModel(f"the embedded language model{shape}", record.dataset.name)


def language_models(records: Iterable[RunRecord]) -> tuple[LanguageModel, ...]:
    """Those behind some records, each once."""
    found = (language_model_of(record) for record in records)
    return tuple(dict.fromkeys(own for own in found if own is not None))


def named(models: Iterable[LanguageModel]) -> str:
    """What some are and what they were pretrained on; those of one shape together."""
    data: dict[str, list[str]] = {}
    for own in models:
        data.setdefault(own.name, []).append(own.trained_on)
    return "; ".join(_phrase(name, own) for name, own in data.items()) or "no language model"


def _phrase(name: str, trained_on: list[str]) -> str:
    known = sorted(own for own in trained_on if own)
    if not known:
        return f"{name}, pretrained on what its publisher says"
    if len(known) > _LISTED:
        return f"{name}, pretrained on the text of each of {len(known)} data sets alone"
    alone = "alone" if len(known) == 1 else "each alone"
    return f"{name}, pretrained on the text of {', '.join(known)} {alone}"
