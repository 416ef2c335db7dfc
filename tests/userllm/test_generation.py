"""Options, prompts and users of free text; tests/userllm/families tries every kind of model."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from benchmark.errors import UserError
from tests.userllm.families.users import attached, context_of
from userllm.generation import MAX_NEW_TOKENS, generate
from userllm.llm.language_model import LanguageModel

PROMPTS = [" Star", " Heat and"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_tokens": 3}, "unknown generation option 'max_tokens'"),
        ({"num_beam": 3}, "did you mean 'num_beams'"),
        ({"num_return_sequences": 2}, "one text for each prompt"),
        ({"return_dict_in_generate": True}, "the result is text"),
        ({"max_new_tokens": 0}, "max_new_tokens"),
        ({"stop_strings": 3}, "stop_strings=3: a text, or a list of them"),
        ({"stop_strings": [3]}, "stop_strings"),
        ({"stop_strings": []}, "stop_strings"),
        ({"stop_strings": ["a", ""]}, "stop_strings"),
        ({"do_sample": True, "temperature": -1.0}, "temperature"),
        ({"max_new_tokens": 1000}, "has 256 positions: lower max_new_tokens"),
    ],
)
def test_a_bad_option_is_one_clear_line(
    llm: LanguageModel, options: dict[str, Any], message: str
) -> None:
    model = attached(llm, "soft_prompt")
    with pytest.raises(UserError, match=message) as raised:
        generate(model, context_of(model, [2, 3]), PROMPTS, **options)
    assert len(str(raised.value).splitlines()) == 1


def test_there_is_a_prompt_for_each_user(llm: LanguageModel) -> None:
    model = attached(llm, "cross_attention")
    with pytest.raises(UserError, match="2 prompts for 3 users"):
        generate(model, context_of(model, [2, 3, 4]), PROMPTS)
    llm.tokenizer.bos_token = None
    with pytest.raises(UserError, match="a prompt is empty"):
        generate(model, context_of(model, [2, 3]), [" Star", ""])


@pytest.mark.parametrize("kind", ["cross_attention", "soft_prompt"])
def test_the_user_decides_what_is_said(llm: LanguageModel, kind: str) -> None:
    model = attached(llm, kind, gates=1.0)
    same = generate(model, context_of(model, [2, 6]), [" Star"] * 2, do_sample=False)
    assert same[0] != same[1]


@pytest.mark.parametrize("kind", ["cross_attention", "soft_prompt"])
@pytest.mark.parametrize("latents", [0, 3])
def test_an_empty_history_says_something_too(llm: LanguageModel, kind: str, latents: int) -> None:
    model = attached(llm, kind, latents=latents)
    texts = generate(model, context_of(model, [0, 5]), PROMPTS, do_sample=False)
    alone = generate(model, context_of(model, [0]), PROMPTS[:1], do_sample=False)
    assert texts[:1] == alone


def test_sampling_repeats_with_its_seed_and_leaves_everything_as_it_was(llm: LanguageModel) -> None:
    model = attached(llm, "soft_prompt").train()
    context = context_of(model, [2, 3])
    state = torch.get_rng_state()
    asked: dict[str, Any] = {"do_sample": True, "seed": 1}
    texts = generate(model, context, PROMPTS, **asked)
    assert texts == generate(model, context, PROMPTS, **asked)
    assert texts != generate(model, context, PROMPTS, **{**asked, "seed": 2})
    assert texts == generate(model, context, PROMPTS, **asked, max_new_tokens=MAX_NEW_TOKENS)
    assert torch.equal(torch.get_rng_state(), state)
    assert model.training
    assert llm.model.training
    assert not llm.model._forward_pre_hooks


@pytest.mark.parametrize("kind", ["cross_attention", "soft_prompt"])
def test_a_text_ends_with_what_is_to_stop_it(llm: LanguageModel, kind: str) -> None:
    model = attached(llm, kind)
    context = context_of(model, [2])
    (whole,) = generate(model, context, PROMPTS[:1], max_new_tokens=12)
    first = whole[0]
    (cut,) = generate(model, context, PROMPTS[:1], max_new_tokens=12, stop_strings=[first])
    assert cut.startswith(first)
    assert whole.startswith(cut)
    assert cut != whole
    assert generate(model, context, PROMPTS[:1], max_new_tokens=12, stop_strings=first) == [cut]
