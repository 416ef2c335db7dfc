"""USER-LLM as a library: a language model that reads embeddings of a user's history.

A model is built around a Hugging Face causal model and a `FeatureSchema`, fitted to histories, and
then ranks the next item or writes text for each user:

    schema = infer_schema(items, histories)
    catalog = build_catalog(items, schema)
    model = UserLLM.build(causal_model, tokenizer, schema, catalog=catalog)
    model.fit(histories)
    model.rank(histories=histories, k=10)
    model.generate(histories=histories, prompts="Next:")
    model.save_pretrained("folder")

What is listed in `__all__` is the public face; it is imported on first use, so that
`import userllm` alone loads neither torch nor transformers. Wrong input raises `UserError`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmark.errors import UserError
    from benchmark.events import EventLog
    from benchmark.schema import Feature, FeatureKind, FeatureSchema
    from benchmark.types import Catalog, HistoryBatch
    from userllm.config import UserEncoderSettings, UserLLMSettings
    from userllm.encoder.event_encoder import EventEncoder
    from userllm.encoder.user_encoder import UserEncoder
    from userllm.histories import build_catalog, build_log, infer_schema
    from userllm.llm.language_model import LanguageModel
    from userllm.llm.loading import load_language_model
    from userllm.model import UserLLM
    from userllm.progress import Printed

__all__ = [
    "Catalog",
    "EventEncoder",
    "EventLog",
    "Feature",
    "FeatureKind",
    "FeatureSchema",
    "HistoryBatch",
    "LanguageModel",
    "Printed",
    "UserEncoder",
    "UserEncoderSettings",
    "UserError",
    "UserLLM",
    "UserLLMSettings",
    "build_catalog",
    "build_log",
    "infer_schema",
    "load_language_model",
]

_PLACES = {
    "benchmark.errors": ("UserError",),
    "benchmark.events": ("EventLog",),
    "benchmark.schema": ("Feature", "FeatureKind", "FeatureSchema"),
    "benchmark.types": ("Catalog", "HistoryBatch"),
    "userllm.config": ("UserEncoderSettings", "UserLLMSettings"),
    "userllm.encoder.event_encoder": ("EventEncoder",),
    "userllm.histories": ("build_catalog", "build_log", "infer_schema"),
    "userllm.llm.language_model": ("LanguageModel",),
    "userllm.llm.loading": ("load_language_model",),
    "userllm.model": ("UserLLM",),
    "userllm.progress": ("Printed",),
    "userllm.encoder.user_encoder": ("UserEncoder",),
}
_MODULE_OF = {name: module for module, names in _PLACES.items() for name in names}


def __getattr__(name: str) -> object:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'userllm' has no attribute {name!r}")
    return getattr(import_module(_MODULE_OF[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
