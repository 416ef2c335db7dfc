"""Text about users, from every family and with either fusion."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.userllm.families.checkpoints import FAMILIES, load, save_checkpoint
from tests.userllm.families.users import attached, context_of
from userllm.fusion import UserContext
from userllm.generation import generate
from userllm.llm.language_model import LanguageModel
from userllm.model import UserLLM

FUSIONS = ["cross_attention", "soft_prompt"]
LENGTHS = [3, 6, 1]
PROMPTS = [" Star", " Heat Wave and more of it", " A"]
MODES: list[dict[str, Any]] = [
    {"do_sample": False},
    {"do_sample": True, "seed": 7, "temperature": 0.8},
    {"num_beams": 2, "do_sample": False},
]


def user(context: UserContext, row: int) -> UserContext:
    return context.of(torch.tensor([row]))


@pytest.mark.parametrize("kind", FUSIONS)
def test_the_cache_changes_nothing(family_llm: LanguageModel, kind: str) -> None:
    model = attached(family_llm, kind)
    context = context_of(model, LENGTHS)
    for mode in MODES:
        texts = [
            generate(model, context, PROMPTS, max_new_tokens=6, use_cache=cached, **mode)
            for cached in (True, False)
        ]
        assert texts[0] == texts[1], mode
        assert any(texts[0])


@pytest.mark.parametrize("kind", FUSIONS)
def test_a_text_depends_on_its_own_user_alone(family_llm: LanguageModel, kind: str) -> None:
    model = attached(family_llm, kind)
    context = context_of(model, LENGTHS)
    for mode in (MODES[0], MODES[2]):
        together = generate(model, context, PROMPTS, max_new_tokens=6, **mode)
        alone = [
            generate(model, user(context, row), [prompt], max_new_tokens=6, **mode)[0]
            for row, prompt in enumerate(PROMPTS)
        ]
        assert together == alone


def greedy(model: UserLLM, context: UserContext, prompt: str, steps: int) -> str:
    """One user's text by hand: all read anew at every step, nothing padded or remembered."""
    llm = model.llm
    tokens = llm.encode(prompt, begin=True)
    new: list[int] = []
    vectors = context.vectors[:, context.mask[0, 0]]
    for _ in range(steps):
        read = llm.embed_tokens(torch.tensor([tokens + new]))
        if model.fusion is None:
            states = llm.hidden_states(torch.cat([vectors, read], dim=1))
        else:
            with model.fusion.attend(llm, context):
                states = llm.hidden_states(read)
        every = torch.arange(llm.model.get_output_embeddings().weight.shape[0])
        new.append(int(llm.token_logits(states[:, -1], every).argmax()))
        if new[-1] == llm.end_token:
            break
    return str(llm.tokenizer.decode(new, skip_special_tokens=True))


@torch.no_grad()
@pytest.mark.parametrize("kind", FUSIONS)
def test_greedy_text_is_the_likeliest_token_each_time(family_llm: LanguageModel, kind: str) -> None:
    model = attached(family_llm, kind)
    context = context_of(model, LENGTHS)
    by_hand = [greedy(model, user(context, row), PROMPTS[row], 6) for row in range(3)]
    assert generate(model, context, PROMPTS, max_new_tokens=6, do_sample=False) == by_hand


@pytest.mark.parametrize("family", list(FAMILIES))
def test_a_tokenizer_without_a_pad_token_writes_the_same(
    family: str, checkpoints: dict[str, Path], tmp_path: Path
) -> None:
    texts = []
    bare = save_checkpoint(family, tmp_path, pad_token=False)
    for folder in (checkpoints[family], bare):
        llm = load(folder)
        for kind in FUSIONS:
            model = attached(llm, kind)
            context = context_of(model, LENGTHS)
            texts.append(generate(model, context, PROMPTS, max_new_tokens=6, do_sample=False))
    assert llm.tokenizer.pad_token_id is None
    assert texts[:2] == texts[2:]
