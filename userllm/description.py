"""What a checkpoint's `config.json` says: all of a model that is not a tensor."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmark.errors import UserError
from benchmark.schema import FeatureSchema, IdMap
from benchmark.types import TEXT_SOURCES, TITLES, Catalog
from userllm.config import TransformerSettings, UserEncoderSettings, UserLLMSettings
from userllm.encoder.event_encoder import EventEncoder
from userllm.encoder.user_encoder import UserEncoder

if TYPE_CHECKING:
    from userllm.model import UserLLM

CONFIG = "config.json"

_FORMAT, _VERSION = "userllm", 1


@dataclass(frozen=True)
class EncoderFacts:
    """How to build the encoder again.

    Attributes:
        kind: `user_encoder`, or the name of an encoder that this package cannot build.
        schema: Features it reads.
        history: Most events of a history.
        width: `D`.
        transformer: Size of the autoregressive encoder, None of another.
        training: How `fit` pretrains it, or None.
        text_width: Width of the frozen vectors of items' text that it reads; 0 = none.
        fresh: Whether it has the random weights that it was built with.
    """

    kind: str
    schema: FeatureSchema
    history: int
    width: int
    transformer: TransformerSettings | None
    training: UserEncoderSettings | None
    text_width: int = 0
    fresh: bool = False


@dataclass(frozen=True)
class LanguageModelFacts:
    """Which language model it was.

    Attributes:
        identity: Hub name, path or key.
        weights: True where its weights are in the checkpoint.
        digest: Of its weights without LoRA.
        dtype: Of its weights, as torch names it.
        attention: Hugging Face's name of the attention's implementation.
    """

    identity: str
    weights: bool
    digest: str
    dtype: str
    attention: str | None


@dataclass(frozen=True)
class Description:
    """What `config.json` says."""

    settings: UserLLMSettings
    schema: FeatureSchema
    catalog: Catalog | None
    encoder: EncoderFacts
    llm: LanguageModelFacts
    lora: bool


def write(folder: Path, model: UserLLM, llm_weights: bool, digest: str, lora: bool) -> None:
    """Writes a model's `config.json`.

    Args:
        folder: Where.
        model: What is described.
        llm_weights: Whether the language model's weights lie beside it.
        digest: Of those weights.
        lora: Whether there are LoRA matrices.
    """
    encoder, catalog, hf = model.encoder, model.catalog, model.llm.model
    own = isinstance(encoder, UserEncoder)
    settings = getattr(encoder, "settings", None)
    training = model.encoder_settings
    kind = "user_encoder" if own else model.settings.encoder
    facts = LanguageModelFacts(
        identity=model.llm.identity,
        weights=llm_weights,
        digest=digest,
        dtype=str(hf.dtype).removeprefix("torch."),
        attention=getattr(hf.config, "_attn_implementation", None),
    )
    content = {
        "format": _FORMAT,
        "version": _VERSION,
        "settings": model.settings.model_dump(mode="json"),
        "schema": model.schema.to_json(),
        "schema_fingerprint": model.schema.fingerprint(),
        "encoder": {
            "kind": type(encoder).__name__ if not own and kind == "user_encoder" else kind,
            "schema": encoder.schema.to_json(),
            "history": encoder.history,
            "width": encoder.width,
            "settings": None if settings is None else settings.model_dump(mode="json"),
            "training": None if training is None else training.model_dump(mode="json"),
            **_text_width(encoder),
            **({"fresh": True} if model.encoder_is_fresh else {}),
        },
        "catalog": None if catalog is None else _catalog_rows(catalog),
        "llm": asdict(facts),
        "lora": lora,
    }
    (folder / CONFIG).write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")


def is_checkpoint(folder: Path) -> bool:
    """Whether a folder's `config.json` is one of ours, of whatever version."""
    try:
        _content(folder)
    except UserError:
        return False
    return True


def read(folder: Path) -> Description:
    """Reads a checkpoint's `config.json`.

    Raises:
        UserError: It is missing, damaged, of something else, or of a newer version.
    """
    content = _content(folder)
    version = content.get("version")
    if isinstance(version, int) and version > _VERSION:
        raise UserError(
            f"{folder} has format {version}, this version of userllm reads up to {_VERSION}: "
            "install a newer one"
        )
    with _sound(folder / CONFIG):
        schema = FeatureSchema.from_json(content["schema"])
        if schema.fingerprint() != content["schema_fingerprint"]:
            raise ValueError("the schema does not have its fingerprint")
        encoder = content["encoder"]
        own, training = encoder["kind"] == "user_encoder", encoder["training"]
        rows = content["catalog"]
        return Description(
            settings=UserLLMSettings.model_validate(content["settings"]),
            schema=schema,
            catalog=None if rows is None else _catalog(rows),
            encoder=EncoderFacts(
                kind=encoder["kind"],
                schema=FeatureSchema.from_json(encoder["schema"]),
                history=encoder["history"],
                width=encoder["width"],
                transformer=TransformerSettings.model_validate(encoder["settings"])
                if own
                else None,
                training=None if training is None else UserEncoderSettings.model_validate(training),
                text_width=encoder.get("text_width", 0),
                fresh=encoder.get("fresh", False),
            ),
            llm=LanguageModelFacts(**content["llm"]),
            lora=content["lora"],
        )


def check_schema(folder: Path, stored: FeatureSchema, given: FeatureSchema) -> None:
    """Refuses a schema other than the checkpoint's.

    Raises:
        UserError: They differ; it says in which features.
    """
    if stored.fingerprint() == given.fingerprint():
        return
    told = []
    for name in dict.fromkeys((*stored.names, *given.names)):
        if name not in given.names:
            told.append(f"{name!r} is in the checkpoint alone")
        elif name not in stored.names:
            told.append(f"{name!r} is not in the checkpoint")
        elif stored[name] != given[name]:
            ours, theirs = asdict(stored[name]), asdict(given[name])
            fields = [field for field in ours if ours[field] != theirs[field]]
            what = fields[0]
            told.append(f"{name!r} has {what}={_short(ours[what])}, not {_short(theirs[what])}")
    raise UserError(
        f"{folder} is of another schema: {'; '.join(told) or 'the features stand in another order'}"
    )


def _text_width(encoder: EventEncoder) -> dict[str, int]:
    """What there is to say of items' text: nothing where none is read, as ever."""
    if not isinstance(encoder, UserEncoder) or encoder.text is None:
        return {}
    return {"text_width": encoder.text.text_width}


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _content(folder: Path) -> dict[str, Any]:
    path = folder / CONFIG
    if not path.is_file():
        raise UserError(f"{folder} is no USER-LLM checkpoint: it has no {CONFIG}")
    with _sound(path):
        content = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        raise UserError(f"{folder} is no USER-LLM checkpoint: its {CONFIG} is of something else")
    return content


def _catalog_rows(catalog: Catalog) -> dict[str, Any]:
    """A catalogue as JSON has it; titles are what texts are unless it says otherwise."""
    source = catalog.text_source
    return {
        "items": list(catalog.items.external_ids),
        "texts": list(catalog.texts[1:]),
        "columns": {name: column.tolist() for name, column in catalog.columns.items()},
        **({} if source == TITLES else {"text_source": source}),
    }


def _catalog(rows: dict[str, Any]) -> Catalog:
    """The reverse of `_catalog_rows`."""
    columns = {name: np.array(column, dtype=np.int64) for name, column in rows["columns"].items()}
    source = rows.get("text_source", TITLES)
    if source not in TEXT_SOURCES:
        raise ValueError(f"text_source={source!r}")
    return Catalog(IdMap(rows["items"]), ("", *rows["texts"]), columns, source)


@contextmanager
def _sound(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, KeyError, TypeError, ValueError, AttributeError) as error:
        reason = " ".join(str(error).split())
        missing = f"no {reason}" if isinstance(error, KeyError) else reason
        raise UserError(f"{path} is damaged: {missing}") from error
