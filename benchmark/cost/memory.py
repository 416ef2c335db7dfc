"""Bytes: what an answer takes beside the weights, and what a language model keeps of a question."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode


def answer_memory_bytes(ask: Callable[[], object]) -> int:
    """Most memory that tensors take at a time while `ask` runs, beyond what there was before.

    On a GPU it is what the allocator says. On a processor it is the sum of the tensors that are
    there after each operator; what an operator needs only while it runs is not seen.

    Args:
        ask: Asks once; it was asked before, so that nothing is made for the first time.
    """
    if torch.cuda.is_available() and torch.cuda.memory_allocated():
        torch.cuda.synchronize()
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        ask()
        torch.cuda.synchronize()
        return int(torch.cuda.max_memory_allocated() - before)
    with _Tensors() as tensors:
        ask()
    return tensors.most


class _Tensors(TorchDispatchMode):
    """Sums the storages that operators make, for as long as somebody holds them."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.most = 0
        self._made: dict[int, tuple[StorageWeakRef, int]] = {}
        self._there: dict[int, StorageWeakRef] = {}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        given = kwargs or {}
        for storage in _storages((args, given)):
            if storage._cdata not in self._made:  # weights and the like were there before
                self._there[storage._cdata] = StorageWeakRef(storage)
        out = func(*args, **given)
        for storage in _storages(out):
            there = self._there.get(storage._cdata)
            if there is None or there.expired():
                self._made[storage._cdata] = (StorageWeakRef(storage), storage.nbytes())
        self._made = {k: own for k, own in self._made.items() if not own[0].expired()}
        self.most = max(self.most, sum(size for _, size in self._made.values()))
        return out


def _storages(values: Any) -> list[Any]:
    leaves = torch.utils._pytree.tree_leaves(values)
    return [leaf.untyped_storage() for leaf in leaves if isinstance(leaf, torch.Tensor)]


class KeptBytes:
    """Keys and values that a language model has after it read a question, see `watching`."""

    def __init__(self) -> None:
        self.last: int | None = None

    @contextmanager
    def watching(self, module: nn.Module | None) -> Iterator[None]:
        """While this is open, the first call of the model says what it keeps in `last`."""
        self.last = None
        if module is None:
            yield
            return

        def after(own: nn.Module, args: Any, output: Any) -> None:
            kept = getattr(output, "past_key_values", None)
            if self.last is None and kept is not None:
                self.last = sum(
                    tensor.numel() * tensor.element_size()
                    for layer in kept.layers
                    for tensor in (layer.keys, layer.values)
                    if tensor is not None
                )

        handle = module.register_forward_hook(after)
        try:
            yield
        finally:
            handle.remove()
