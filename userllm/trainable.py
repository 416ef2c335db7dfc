"""Which parameters train: the strategies of the study."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Any

from torch import nn

from userllm.llm.language_model import LanguageModel
from userllm.nn.loss import full_precision

LORA = ".lora_"
"""Part of the name of every matrix that peft adds."""

STRATEGIES = {
    "full": "everything trains",
    "lora": "LoRA matrices in the language model, encoder, projector and fusion train",
    "enc": "encoder, projector and fusion train; the language model is frozen",
    "proj": "projector and fusion train; encoder and language model are frozen",
}


def apply_strategy(
    strategy: str, llm: LanguageModel, encoder: nn.Module, bridge: Iterable[nn.Module], rank: int
) -> None:
    """Freezes and thaws parameters as a strategy says.

    Args:
        strategy: A key of `STRATEGIES`.
        llm: Gets LoRA matrices in every linear map but its head under `lora`.
        encoder: The user encoder.
        bridge: Projector and fusion: they always train.
        rank: Rank of the LoRA matrices.
    """
    llm.requires_grad_(strategy == "full")
    encoder.requires_grad_(strategy != "proj")
    for module in bridge:
        module.requires_grad_(True)
    if strategy == "lora":
        llm.model = with_lora(llm.model, rank)


def with_lora(model: Any, rank: int) -> Any:
    """Adds LoRA matrices (peft) to a causal model in place; only they train in it.

    The model object keeps its class: the matrices are injected into its linear maps. Embeddings
    and head have none and stay frozen. A model that has matrices keeps them, to be trained further.
    """
    if has_lora(model):
        for name, weight in model.named_parameters():
            weight.requires_grad_(LORA in name)
        return model
    from peft import LoraConfig, inject_adapter_in_model

    config = LoraConfig(
        r=rank,
        lora_alpha=2 * rank,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )
    with warnings.catch_warnings():
        # GPT-2's maps are stored the other way round; peft sees that by itself, and says so.
        warnings.filterwarnings("ignore", message="fan_in_fan_out")
        model = inject_adapter_in_model(config, model)
    # Beside weights of 16 bits too, they train in 32, or small steps would be lost.
    for name, weight in model.named_parameters():
        if LORA in name:
            weight.data = full_precision(weight.data)
    return model


def has_lora(model: nn.Module) -> bool:
    """Whether a causal model has LoRA matrices."""
    return any(LORA in name for name, _ in model.named_parameters())


def trained_parameters(module: nn.Module) -> int:
    """Number of parameters that training may change."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad)


def all_parameters(module: nn.Module) -> int:
    """Number of parameters."""
    return sum(p.numel() for p in module.parameters())
