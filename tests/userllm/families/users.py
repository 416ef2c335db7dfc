"""Users attached to a language model of any family, loudly enough to be heard."""

from __future__ import annotations

import torch

from benchmark.schema import Feature, FeatureKind, FeatureSchema
from tests.tiny_model import LENGTH, TITLES, make_histories
from userllm.config import TransformerSettings, UserLLMSettings
from userllm.encoder.user_encoder import UserEncoder
from userllm.fusion import GatedCrossAttention, UserContext
from userllm.llm.language_model import LanguageModel
from userllm.model import UserLLM

SCHEMA = FeatureSchema((Feature("item", FeatureKind.ID, len(TITLES)),))


def attached(llm: LanguageModel, kind: str, *, gates: float = 0.3, latents: int = 0) -> UserLLM:
    """USER-LLM around a model, with a random encoder.

    Args:
        llm: The language model.
        kind: Of fusion.
        gates: Value of the gates of cross-attention.
        latents: Of the projector.
    """
    torch.manual_seed(3)
    settings = TransformerSettings(width=16, layers=1, heads=2, dropout=0.0)
    encoder = UserEncoder(SCHEMA, settings, LENGTH)
    fused = {"fusion": {"kind": kind, "heads": 2}, "projector": {"latents": latents}}
    model = UserLLM(encoder, llm, UserLLMSettings.model_validate(fused)).eval()
    for block in model.fusion.blocks if model.fusion is not None else []:
        assert isinstance(block, GatedCrossAttention)
        for gate in block.gates:
            torch.nn.init.constant_(gate, gates)
    return model


@torch.no_grad()
def context_of(model: UserLLM, lengths: list[int]) -> UserContext:
    """Random histories of some lengths, as the model's context with one view each."""
    return model.read_histories(make_histories(lengths))[0]
