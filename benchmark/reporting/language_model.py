"""Which language model a number is about, and what it was pretrained on. Free of torch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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
        vocabulary: Most tokens that the embedded one knows; None = not said.
    """

    name: str
    trained_on: str
    vocabulary: int | None = None

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
    shape, known = "", None
    if isinstance(settings, dict) and {"layers", "width"} <= settings.keys():
        several = "" if settings["layers"] == 1 else "s"
        shape = f" ({settings['layers']} layer{several} of width {settings['width']})"
        known = settings.get("vocabulary")
    return LanguageModel(
        f"the embedded language model{shape}",
        record.dataset.name,
        known if isinstance(known, int) else None,
    )


def language_models(records: Iterable[RunRecord]) -> tuple[LanguageModel, ...]:
    """Those behind some records, each once."""
    found = (language_model_of(record) for record in records)
    return tuple(dict.fromkeys(own for own in found if own is not None))


def named(models: Iterable[LanguageModel]) -> str:
    """What some are and what they were pretrained on; those of one shape together."""
    alike: dict[str, list[LanguageModel]] = {}
    for own in models:
        alike.setdefault(own.name, []).append(own)
    return "; ".join(_phrase(name, own) for name, own in alike.items()) or "no language model"


def _phrase(name: str, models: Sequence[LanguageModel]) -> str:
    known = sorted({own.trained_on for own in models if own.trained_on})
    if not known:
        return f"{name}, pretrained on what its publisher says"
    if words := sorted({own.vocabulary for own in models if own.vocabulary}):
        name += f" with at most {' or '.join(f'{own:,}' for own in words)} tokens"
    if len(known) > _LISTED:
        return f"{name}, pretrained on the text of each of {len(known)} data sets alone"
    alone = "alone" if len(known) == 1 else "each alone"
    return f"{name}, pretrained on the text of {', '.join(known)} {alone}"
