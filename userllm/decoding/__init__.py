"""Likelihood of titles under a language model: for training, and to rank the whole catalogue.

Training reads many titles of a user at once (`layout`, `likelihood`). Ranking reads what stands
before the title once (`prompt`) and then as much of the catalogue's trie as it needs: all of it
(`exact`), what the best k items call for (`search`), or what a beam passes (`beam`).
"""

from userllm.decoding.beam import beam_search
from userllm.decoding.exact import POSITIONS_AT_ONCE, catalogue_log_probs, chunks, like_lengths
from userllm.decoding.frontier import Found
from userllm.decoding.layout import (
    Choices,
    Layout,
    Packed,
    Prefix,
    branch_states,
    pack,
    text_prefix,
    title_layout,
)
from userllm.decoding.likelihood import Prior, choice_log_probs, title_log_probs
from userllm.decoding.prompt import Prompt, read_prompt
from userllm.decoding.search import top_k

__all__ = [
    "POSITIONS_AT_ONCE",
    "Choices",
    "Found",
    "Layout",
    "Packed",
    "Prefix",
    "Prior",
    "Prompt",
    "beam_search",
    "branch_states",
    "catalogue_log_probs",
    "choice_log_probs",
    "chunks",
    "like_lengths",
    "pack",
    "read_prompt",
    "text_prefix",
    "title_layout",
    "title_log_probs",
    "top_k",
]
