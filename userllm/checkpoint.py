"""A USER-LLM in a folder: JSON and safetensors, nothing that runs code when it is read.

`config.json` holds settings, schema, catalogue and what the language model is; `model.safetensors`
the encoder, the bridge and LoRA matrices; `llm/` the tokenizer and, where they are to be kept, the
language model's own weights, as Hugging Face writes them.
"""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from benchmark.errors import UserError
from benchmark.schema import FeatureSchema
from userllm import description
from userllm.arguments import check_kind, folder_of
from userllm.description import Description, LanguageModelFacts
from userllm.encoder.event_encoder import EventEncoder
from userllm.encoder.user_encoder import UserEncoder
from userllm.llm.language_model import LanguageModel
from userllm.llm.loading import quiet, wrap_language_model
from userllm.trainable import LORA, has_lora, with_lora

if TYPE_CHECKING:
    from userllm.model import UserLLM

WEIGHTS = "model.safetensors"
LLM = "llm"

_BASE = ".base_layer."
"""Part of the name of every weight that peft puts matrices beside."""


def save(model: UserLLM, folder: str | Path, *, llm_weights: bool = True) -> None:
    """Writes a model into a folder, whole or not at all; an earlier checkpoint is replaced.

    Args:
        model: Fitted or not.
        folder: Made where it does not exist.
        llm_weights: Whether to keep the language model's weights too. Without them `load` has to
            be given the same language model; possible where it was not trained.

    Raises:
        UserError: The folder cannot be written or holds something else, or the language model's
            weights are to be left out although nobody else has them.
    """
    place = folder_of("folder", folder)
    own = model.llm.identity.startswith("embedded:")
    if not llm_weights and (own or model.settings.strategy == "full"):
        why = "it was made here" if own else "strategy=full trains it"
        raise UserError(f"llm_weights=False would lose the language model: {why}")
    if place.exists() and not (place.is_dir() and _is_free(place)):
        raise UserError(f"{place} exists and is no USER-LLM checkpoint: choose another folder")
    work = None
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{place.name}-", dir=place.parent))
        _write(model, work / "new", llm_weights)
        if place.exists():
            place.rename(work / "old")
        (work / "new").rename(place)
    except (OSError, SafetensorError) as error:
        raise UserError(f"{place} cannot be written ({error})") from error
    finally:
        if work is not None:
            if (work / "old").exists() and not place.exists():
                (work / "old").rename(place)
            shutil.rmtree(work, ignore_errors=True)


def load(
    folder: str | Path,
    *,
    schema: FeatureSchema | None = None,
    llm: Any = None,
    encoder: EventEncoder | None = None,
) -> UserLLM:
    """Reads a model that `save` wrote; it ranks and writes as the saved one did, bit for bit.

    Args:
        folder: Where it is.
        schema: The features of the histories it is to read; None = those it was made for.
        llm: The language model of a checkpoint without its weights: a name, a path or a model.
            The model that is given is rounded to the saved dtype and gets the LoRA matrices; all
            else goes where it is.
        encoder: Gets the saved weights; needed where it is not the autoregressive encoder.

    Raises:
        UserError: No checkpoint, a damaged or a newer one, one of another schema, or a language
            model or encoder that is missing or another one.
    """
    from userllm.model import UserLLM  # it imports this file

    place = folder_of("folder", folder)
    if encoder is not None:
        check_kind("encoder", encoder, EventEncoder, "an EventEncoder")
    told = description.read(place)
    if schema is not None:
        check_kind("schema", schema, FeatureSchema, "infer_schema(items, histories)")
        description.check_schema(place, told.schema, schema)
    tensors = _tensors(place / WEIGHTS)
    language_model = _language_model(place, told, llm)
    with torch.random.fork_rng(devices=[]):
        if told.lora:
            language_model.model = with_lora(language_model.model, told.settings.lora_rank)
        built = _encoder(place, told, encoder)
        model = UserLLM(built, language_model, told.settings, told.catalog)
    model.schema, model.encoder_settings = told.schema, told.encoder.training
    model.encoder_is_fresh = told.encoder.fresh
    _fill(model, tensors, place / WEIGHTS)
    return model.to(language_model.device).eval()


def _is_free(place: Path) -> bool:
    if not any(place.iterdir()):
        return True
    return (place / WEIGHTS).is_file() and description.is_checkpoint(place)


def _write(model: UserLLM, folder: Path, llm_weights: bool) -> None:
    folder.mkdir()
    base = _base_state(model.llm.model)
    with quiet():
        model.llm.tokenizer.save_pretrained(folder / LLM)
        if llm_weights:
            # A copy: writing takes tensors out of it.
            model.llm.model.save_pretrained(folder / LLM, state_dict=dict(base))
    save_file(_own_state(model), folder / WEIGHTS)
    lora = has_lora(model.llm.model)
    description.write(folder, model, llm_weights, weights_digest(base), lora)
    for weights in folder.rglob("*.safetensors"):
        # safetensors lets the owner alone read them, whatever the umask, which JSON went by.
        shutil.copymode(folder / description.CONFIG, weights)


def _own_state(model: UserLLM) -> dict[str, Tensor]:
    """All that is not the language model's, and its LoRA matrices; each tensor a copy."""
    # Of tensors that share memory each is written: the module that is filled shares them again.
    return {
        name: value.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, value in model.state_dict().items()
        if not name.startswith("llm.") or LORA in name
    }


def _base_state(model: Any) -> dict[str, Tensor]:
    """The language model's own weights by their own names, LoRA left out."""
    state = model.state_dict().items()
    return {name.replace(_BASE, "."): value for name, value in state if LORA not in name}


def weights_digest(state: Mapping[str, Tensor]) -> str:
    """A hash of names, shapes and a sample of the values: tells language models apart."""
    digest = hashlib.sha256()
    for name in sorted(state):
        values = state[name].detach().flatten()
        sample = values[:: max(1, len(values) // 1000)].float().cpu().contiguous()
        digest.update(f"{name} {tuple(state[name].shape)}".encode())
        digest.update(sample.numpy().tobytes())
    return digest.hexdigest()


def _language_model(place: Path, told: Description, given: Any) -> LanguageModel:
    if not (place / LLM).is_dir():  # else it would be looked for on the hub
        raise UserError(f"{place} is damaged: its folder {LLM} is missing")
    tokenizer = _tokenizer(place / LLM)
    facts = told.llm
    if facts.weights:
        if given is not None:
            raise UserError(f"{place} holds its language model: leave llm out")
        return LanguageModel(_model(place / LLM, facts), tokenizer, facts.identity)
    if given is None:
        raise UserError(f"{place} is without its language model: give llm={facts.identity!r}")
    llm = wrap_language_model(given, tokenizer)
    if has_lora(llm.model):
        raise UserError("llm already carries LoRA matrices: give it as it was first loaded")
    for weight in llm.model.parameters():  # `to` would also round what a model keeps in 32 bits
        weight.data = weight.data.to(getattr(torch, facts.dtype))
    if weights_digest(llm.model.state_dict()) != facts.digest:
        raise UserError(
            f"{llm.identity} has not the weights of {facts.identity}, which {place} needs"
        )
    return LanguageModel(llm.model, tokenizer, facts.identity)


def _tokenizer(folder: Path) -> Any:
    from transformers import AutoTokenizer

    with _readable(folder):
        return AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)


def _model(folder: Path, facts: LanguageModelFacts) -> Any:
    from transformers import AutoModelForCausalLM

    with _readable(folder), quiet():
        return AutoModelForCausalLM.from_pretrained(
            folder,
            dtype="auto",
            attn_implementation=facts.attention,
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=True,
        )


def _encoder(place: Path, told: Description, given: EventEncoder | None) -> EventEncoder:
    facts = told.encoder
    if given is None:
        if facts.transformer is None:
            raise UserError(
                f"{place} has an encoder {facts.kind!r}, which is not built here: give encoder="
            )
        return UserEncoder(facts.schema, facts.transformer, facts.history, facts.text_width)
    for name in ("width", "history"):
        if getattr(given, name) != getattr(facts, name):
            raise UserError(
                f"encoder: {name}={getattr(given, name)}, but {getattr(facts, name)} in {place}"
            )
    description.check_schema(place, facts.schema, given.schema)
    return given


def _fill(model: UserLLM, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Puts tensors in their places; every place must get one, of its shape."""
    places = {n: v for n, v in model.state_dict().items() if not n.startswith("llm.") or LORA in n}
    for what, names in (
        ("lacks", places.keys() - tensors.keys()),
        ("has too much:", tensors.keys() - places.keys()),
    ):
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            raise UserError(f"{path} {what} {min(names)}{more}")
    for name, value in tensors.items():
        if value.shape != places[name].shape:
            shapes = f"{tuple(value.shape)}, not {tuple(places[name].shape)}"
            raise UserError(f"{path}: {name} has the shape {shapes}")
    model.load_state_dict(dict(tensors), strict=False)


def _tensors(path: Path) -> dict[str, Tensor]:
    with _readable(path):
        return load_file(path)


@contextlib.contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # Libraries raise dozens of kinds; each means "not to be read".
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{path} is missing or damaged ({reason})") from error
