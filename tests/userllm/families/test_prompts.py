"""Plain text before a title is read without a mask, as it is read with one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
from torch import Tensor

from tests.tiny_model import TITLES
from tests.userllm.families.checkpoints import WINDOWED, load
from userllm.decoding import Prefix, catalogue_log_probs, read_prompt, text_prefix, top_k
from userllm.decoding.trie import TitleTrie, build_trie
from userllm.llm.language_model import LanguageModel

ROWS = torch.tensor(
    [
        [5, 9, 30, 7, 77, 8, 123, 60, 31],
        [8, 44, 21, 40, -1, -1, -1, -1, -1],
        [-1, -1, -1, -1, -1, -1, -1, -1, -1],
        [12, 6, 7, 250, 33, 41, 9, -1, -1],
    ]
)
LEADS = {
    "one_for_all": torch.tensor([11, 19]),
    "one_each": torch.tensor([[11, 19, 40], [-1, -1, 6], [-1, 7, 8], [70, 5, 5]]),
}
CLOSE = {"atol": 1e-5, "rtol": 1e-5}


def titles(llm: LanguageModel) -> TitleTrie:
    return build_trie([llm.encode(f" {title}") for title in TITLES], llm.end_token)


def prefix_of(llm: LanguageModel, rows: Tensor) -> Prefix:
    prefix = text_prefix(llm, rows)
    assert prefix is not None
    return prefix


@contextmanager
def watched(seen: list[tuple[bool, bool]]) -> Iterator[None]:
    """Notes of each fused attention whether it has a mask, and whether it is causal by itself."""
    fused = torch.nn.functional.scaled_dot_product_attention

    def attend(*args: Any, **options: Any) -> Tensor:
        seen.append((options.get("attn_mask") is not None, bool(options.get("is_causal"))))
        return fused(*args, **options)

    with mock.patch("torch.nn.functional.scaled_dot_product_attention", attend):
        yield


@torch.inference_mode()
@pytest.mark.parametrize("lead", list(LEADS))
@pytest.mark.parametrize("eager", [False, True])
def test_plain_text_reads_as_under_its_mask(
    family_llm: LanguageModel, lead: str, eager: bool
) -> None:
    llm, trie, before = family_llm, titles(family_llm), LEADS[lead]
    if eager:
        llm.model.set_attn_implementation("eager")
    plain = prefix_of(llm, ROWS)
    masked = replace(plain, keep=plain.sees)
    got, expected = (read_prompt(llm, before, len(ROWS), prefix) for prefix in (plain, masked))
    torch.testing.assert_close(got.state, expected.state, **CLOSE)
    assert torch.equal(got.start, expected.start)
    assert torch.equal(got.visible.sum(dim=1), got.start)
    assert got.visible.shape == (len(ROWS), len(got.memory))
    exact = [catalogue_log_probs(llm, trie, prompt) for prompt in (got, expected)]
    torch.testing.assert_close(*exact, **CLOSE)
    found = [top_k(llm, trie, prompt, 4) for prompt in (got, expected)]
    assert torch.equal(found[0].ids, found[1].ids)


@torch.inference_mode()
@pytest.mark.parametrize("lead", list(LEADS))
def test_plain_text_reads_the_same_whoever_stands_beside_it(
    family_llm: LanguageModel, lead: str
) -> None:
    llm, trie = family_llm, titles(family_llm)
    before = LEADS[lead].expand(len(ROWS), -1)
    together = read_prompt(llm, before, len(ROWS), prefix_of(llm, ROWS))
    every = catalogue_log_probs(llm, trie, together)
    for user in range(len(ROWS)):
        row = ROWS[user][ROWS[user] >= 0].unsqueeze(0)
        text = torch.cat([row[0], before[user][before[user] >= 0]])
        own = read_prompt(llm, before[user : user + 1], 1, text_prefix(llm, row))
        body = llm.model.base_model(input_ids=text.unsqueeze(0), use_cache=False)
        torch.testing.assert_close(together.state[user], body.last_hidden_state[0, -1], **CLOSE)
        torch.testing.assert_close(together.state[user], own.state[0], **CLOSE)
        assert int(together.start[user]) == len(text)
        scores = catalogue_log_probs(llm, trie, own)
        torch.testing.assert_close(every[user : user + 1], scores, **CLOSE)


@torch.inference_mode()
@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_no_mask_is_made_of_plain_text(family: str, checkpoints: dict[str, Path]) -> None:
    llm = load(checkpoints[family])
    prefix = prefix_of(llm, ROWS)
    seen: list[tuple[bool, bool]] = []
    with watched(seen):
        read_prompt(llm, LEADS["one_for_all"], len(ROWS), prefix)
        assert seen == [(False, True)] * len(llm.layers())
        read_prompt(llm, LEADS["one_for_all"], len(ROWS), replace(prefix, keep=prefix.sees))
        assert (True, False) in seen


@torch.inference_mode()
@pytest.mark.parametrize("family", ["llama", *WINDOWED])
def test_a_view_that_sees_less_text_asks_behind_less(
    family: str, checkpoints: dict[str, Path]
) -> None:
    llm = load(checkpoints[family])
    trie, before = titles(llm), LEADS["one_for_all"]
    some = text_prefix(llm, ROWS[:1], seen=torch.tensor([[4]]))
    cut = text_prefix(llm, ROWS[:1, :4])
    scores = [catalogue_log_probs(llm, trie, read_prompt(llm, before, 1, p)) for p in (some, cut)]
    torch.testing.assert_close(*scores, **CLOSE)
