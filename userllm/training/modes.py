"""How modules stand: learning, or asked something, after which they stand as before."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from userllm.llm.language_model import LanguageModel


def train_mode(module: nn.Module) -> None:
    """Puts a module into training mode, and its frozen parts into evaluation mode.

    Lightning leaves the modes as it finds them, and a part that does not learn needs no dropout.
    """
    weights = list(module.parameters())
    if weights and not any(weight.requires_grad for weight in weights):
        module.eval()
        return
    module.training = True
    for child in module.children():
        train_mode(child)


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """While this is open, a module and all in it evaluate; then each is in its own mode again."""
    modes = [(own, own.training) for own in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for own, training in modes:
            own.training = training


@contextmanager
def by_options_alone(llm: LanguageModel) -> Iterator[None]:
    """While this is open, a checkpoint's own sampling, penalties and ends do not count.

    Hugging Face's `generate` then does what its options say, and what no option says is greedy.
    """
    from transformers import GenerationConfig

    own = llm.model.generation_config
    llm.model.generation_config = GenerationConfig()
    try:
        yield
    finally:
        llm.model.generation_config = own
