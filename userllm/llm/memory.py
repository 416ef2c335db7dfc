"""What a language model has read so far: its keys and values, and where each token stands."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


class Memory:
    """Keys and values of `S` tokens in each of `B` rows, which later tokens read on top of.

    All keys are kept, whatever a layer's window: the reader's mask says what is in the window.
    Reading appends in place and never writes into what was there, so copies may share it.

    Args:
        positions: `LongTensor[B, S]` position of every token.
        cache: Keys and values as Hugging Face's models take them; fresh ones where absent.
    """

    def __init__(self, positions: Tensor, cache: Any = None) -> None:
        from transformers import DynamicCache

        self.positions = positions
        # Without a config, no layer forgets what leaves its window.
        self.cache: Any = DynamicCache() if cache is None else cache

    def __len__(self) -> int:
        return self.positions.shape[1]

    def append(self, positions: Tensor) -> None:
        """Notes positions `LongTensor[B, T]` of tokens whose keys and values were just added."""
        self.positions = torch.cat([self.positions, positions], dim=1)

    def repeat(self, count: int) -> Memory:
        """Each row `count` times: row r of the result is row `r // count` of this one."""
        return self._map(lambda x: x.repeat_interleave(count, dim=0))

    def select(self, rows: Tensor) -> Memory:
        """The rows `LongTensor[R]`, in that order."""
        return self._map(lambda x: x.index_select(0, rows))

    def cut(self, length: int) -> Memory:
        """The first `length` tokens of every row."""
        return self._map(lambda x: x[..., :length, :])

    def _map(self, change: Callable[[Tensor], Tensor]) -> Memory:
        from transformers.cache_utils import DynamicCache, DynamicLayer

        cache: Any = DynamicCache()
        for layer in self.cache.layers:
            keys, values = change(layer.keys), change(layer.values)
            copy = DynamicLayer()
            copy.lazy_initialization(keys, values)
            copy.keys, copy.values = keys, values
            cache.layers.append(copy)
        return Memory(change(self.positions.unsqueeze(2)).squeeze(2), cache)
