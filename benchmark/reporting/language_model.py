"""Which language model a number is about, and what it was pretrained on. Free of torch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from benchmark.results import RunRecord

_STAGE, _SETTINGS = "language_model", "language_model"
"""The stage that trains the embedded model, and the section of settings that says its shape."""


@dataclass(frozen=True)
class LanguageModel:
    """A language model as titles and conclusions name it.

    Attributes:
        name: Hub name or folder; of the embedded one its shape.
        pretrained_on: As far as the record knows.
        embedded: Whether it was trained here, from random weights.
    """

    name: str
    pretrained_on: str
    embedded: bool

    @property
    def phrase(self) -> str:
        """Both in a few words."""
        return f"{self.name}, {self.pretrained_on}"


def language_model_of(record: RunRecord) -> LanguageModel | None:
    """The language model behind a record; None where the method used none.

    What a model of a hub was trained on is not in the record, and the phrase says so.
    """
    if record.llm is not None:
        name = record.llm.get("name", "unnamed")
        digest = record.llm.get("sha256", "")
        own = f"{name} (SHA-256 {digest[:12]})" if digest else name
        return LanguageModel(own, "pretrained as its publisher says, not by this study", False)
    if not any(stage.name == _STAGE for stage in record.fit.stages):
        return None
    settings = record.method.settings.get(_SETTINGS)
    shape = ""
    if isinstance(settings, dict):
        parts = [f"{name} {settings[name]}" for name in ("width", "layers") if name in settings]
        if "vocabulary" in settings:
            parts.append(f"at most {settings['vocabulary']:,} tokens")
        shape = f" ({', '.join(parts)})" if parts else ""
    return LanguageModel(
        f"the embedded language model{shape}",
        f"trained from random weights on the training text of {record.dataset.name} alone",
        True,
    )


def language_models(records: Iterable[RunRecord]) -> tuple[LanguageModel, ...]:
    """Those behind some records, each once."""
    found = (language_model_of(record) for record in records)
    return tuple(dict.fromkeys(own for own in found if own is not None))


def named(models: Iterable[LanguageModel]) -> str:
    """Some of them in one phrase."""
    return "; ".join(own.phrase for own in models) or "no language model"
