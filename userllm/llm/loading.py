"""Where language models come from: the hub, a folder, or an object that somebody has loaded."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from benchmark.errors import UserError
from userllm.llm.language_model import LanguageModel


def wrap_language_model(model: Any, tokenizer: Any) -> LanguageModel:
    """A language model from a Hugging Face model and tokenizer, either also by name or path.

    Raises:
        UserError: It is no causal language model, or its tokenizer is missing or is none.
    """
    if isinstance(model, LanguageModel):
        return model
    if isinstance(model, (str, Path)):
        if tokenizer is None:
            return load_language_model(str(model))
        tokenizer = _tokenizer_of(str(model), tokenizer)  # first: it is read in no time
        llm = load_language_model(str(model))
        return LanguageModel(llm.model, tokenizer, llm.identity)
    kind = type(model).__name__
    if (
        isinstance(model, type)
        or not callable(getattr(model, "can_generate", None))
        or not model.can_generate()
    ):
        raise UserError(f"{kind} is not a causal language model of Hugging Face")
    if model.config.is_encoder_decoder:
        raise UserError(f"{kind} has an encoder of its own; a causal language model is needed")
    tokenizer = _tokenizer_of(kind, tokenizer)
    return LanguageModel(model, tokenizer, model.config._name_or_path or kind)


def load_language_model(name: str) -> LanguageModel:
    """Loads a causal model by hub name or local path, without a word of what the loader says.

    Raises:
        UserError: There is no such model, something of it is missing or does not fit, or it is
            not a causal language model.
    """
    from transformers import AutoModelForCausalLM

    source, config, tokenizer = _without_weights(name)
    with _loading(name, "the weights"):
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            source,
            trust_remote_code=False,
            dtype=torch.float32,
            use_safetensors=True,
            output_loading_info=True,
        )
    model, report = loaded
    llm = LanguageModel(model, tokenizer, identity=name)
    _check_causal(name, llm)
    if missing := sorted(report["missing_keys"]):
        raise _refused(
            name,
            f"{len(missing)} weights of {config.model_type} are not in the file, "
            f"first {missing[0]}; they would be random",
        )
    return llm


def outline_language_model(name: str) -> LanguageModel:
    """A causal model by hub name or local path with its tokenizer and shapes, but no weights.

    It can be asked how large it is and what its tokens are, in a second and next to no memory.

    Raises:
        UserError: See `load_language_model`; weights are not looked at.
    """
    from transformers import AutoModelForCausalLM

    _, config, tokenizer = _without_weights(name)
    with _loading(name, "the model"), torch.device("meta"):
        model: Any = AutoModelForCausalLM.from_config(config, trust_remote_code=False)
    return LanguageModel(model, tokenizer, identity=name)


def check_language_model(name: str) -> None:
    """Looks at a model's configuration alone, a small file, before work that is to end in it.

    Raises:
        UserError: There is no such model, or it is not a causal language model.
    """
    _configuration(name)


def _tokenizer_of(model: str, given: Any) -> Any:
    """The tokenizer of a model: as given, or by the name or path that was given."""
    if isinstance(given, (str, Path)):
        name, (path, local) = str(given), _place(str(given))
        if local and not path.is_dir():
            raise UserError(f"tokenizer {name}: there is no such folder")
        return _load_tokenizer(name, str(path) if local else name)
    if not hasattr(given, "eos_token_id"):
        raise UserError(f"the tokenizer of {model} is needed")
    return given


def _load_tokenizer(name: str, source: str) -> Any:
    from transformers import AutoTokenizer

    with _loading(name, "the tokenizer"):
        tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=False)
    if set(tokenizer.get_vocab()) <= set(tokenizer.all_special_tokens):
        raise _refused(name, "the tokenizer cannot be loaded (it has no vocabulary)")
    return tokenizer


def _without_weights(name: str) -> tuple[str, Any, Any]:
    """Where a model is, its configuration and its tokenizer."""
    source, config = _configuration(name)
    return source, config, _load_tokenizer(name, source)


def _place(name: str) -> tuple[Path, bool]:
    """A name as a path, and whether it is one."""
    path = Path(name).expanduser()
    return path, path.exists() or name.startswith((".", "/", "~"))


def _configuration(name: str) -> tuple[str, Any]:
    """Where a model is, and its configuration."""
    from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, AutoConfig

    path, local = _place(name)
    if local:
        _check_folder(name, path)
    source = str(path) if local else name
    with _loading(name, "the configuration"):
        config = AutoConfig.from_pretrained(source, trust_remote_code=False)
    if config.is_encoder_decoder or type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING:
        raise _refused(name, f"{config.model_type} is not a causal language model")
    return source, config


def _check_folder(name: str, path: Path) -> None:
    if not (path / "config.json").is_file():
        raise _refused(name, "no model there; a folder with config.json is needed")
    if any(path.glob("*.safetensors")):
        return
    if pickled := sorted(file.name for file in path.glob("*.bin")):
        raise _refused(
            name,
            f"its weights are pickled ({pickled[0]}), and reading them may run code; "
            "load it where you trust it and save_pretrained it as safetensors",
        )
    raise _refused(name, "no weights there; a *.safetensors file is needed")


def _check_causal(name: str, llm: LanguageModel) -> None:
    """Tries what we rely on: earlier tokens know nothing of later ones, and logits are ours."""
    kind = llm.model.config.model_type
    tokens = torch.tensor([[0, 1], [0, 2]], device=llm.device)
    with torch.no_grad(), quiet():
        logits = llm.model(input_ids=tokens).logits
        close = 1e-5 * logits.abs().max()
        if (logits[0, 0] - logits[1, 0]).abs().max() > close:
            raise _refused(name, f"{kind} is an encoder, not a causal language model")
        keep = torch.ones(2, 1, 2, 2, dtype=torch.bool, device=llm.device).tril()
        try:
            states = llm.hidden_states(llm.embed_tokens(tokens), keep)
            ours = llm.logits(states[0])
        except UserError as error:
            raise _refused(name, str(error)) from None
        except Exception as error:  # Each model that knows other masks fails in its own way.
            raise _refused(name, f"{kind} takes no attention mask of ours") from error
    if (logits[0] - ours).abs().max() > 100 * close:
        raise _refused(name, f"{kind} computes states or logits in a way of its own")


def _refused(name: str, reason: str) -> UserError:
    return UserError(f"language model {name}: {reason}")


@contextmanager
def _loading(name: str, part: str) -> Iterator[None]:
    """Turns whatever goes wrong with a part into one line."""
    try:
        with quiet():
            yield
    except Exception as error:  # The hub raises dozens of kinds; each means "not to be had".
        lines = str(error).strip().splitlines() or [repr(error)]
        reason = " ".join(line.strip() for line in lines[:2])
        if "ignore_mismatched_sizes" in reason:
            reason = "they have other shapes than config.json says"
        raise _refused(name, f"{part} cannot be loaded ({reason})") from error


@contextmanager
def quiet() -> Iterator[None]:
    """No logs, warnings or progress bars of transformers."""
    from transformers.utils import logging as said

    level, bars = said.get_verbosity(), said.is_progress_bar_enabled()
    said.set_verbosity(logging.CRITICAL)
    said.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        said.set_verbosity(level)
        if bars:
            said.enable_progress_bar()
