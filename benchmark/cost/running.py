"""Counts arithmetic while it is done. Part of the kernel: methods count their training with it.

Counted are products of matrices and attention, a multiply-add as 2; what is done entry by entry
(norms, activations, rotations) is left out. Causal attention counts half, as half of its pairs are
seen; attention under a mask of any other kind counts whole. Recurrent cells and whole layers that
one kernel computes (an LSTM; torch's own transformer layers without gradients) are not counted.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry, sdpa_backward_flop_count, sdpa_flop_count

REST = "rest"
"""Where what no part does is counted."""

_aten = torch.ops.aten


def _product(_: Tensor, first: Tensor, second: Tensor, **__: Any) -> int:
    return 2 * first.shape[0] * first.shape[1] * second.shape[1]


def _with_vector(first: Tensor, second: Tensor, *_: Any, **__: Any) -> int:
    return 2 * first.numel()


def _attention(query: Tensor, key: Tensor, value: Tensor, *_: Any, **__: Any) -> int:
    return int(sdpa_flop_count(query.shape, key.shape, value.shape))


def _attention_backward(
    grad: Tensor, query: Tensor, key: Tensor, value: Tensor, *_: Any, **__: Any
) -> int:
    return int(sdpa_backward_flop_count(grad.shape, query.shape, key.shape, value.shape))


_FORMULAS: Mapping[Any, Callable[..., int]] = {
    **flop_registry,
    # What torch's registry lacks: the kernels of attention on a processor, and a sum in place.
    _aten._scaled_dot_product_flash_attention_for_cpu: _attention,
    _aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward,
    _aten.addmm_: _product,
    _aten.mv: _with_vector,
    _aten.dot: _with_vector,
}


class FlopCounter(TorchDispatchMode):
    """Counts while it is open.

    Attributes:
        parts: Arithmetic by part, see `within`.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.parts: defaultdict[str, float] = defaultdict(float)
        self._part = REST

    @property
    def flops(self) -> float:
        """All of it."""
        return float(sum(self.parts.values()))

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Runs an operator, and adds what it costs."""
        given = dict(kwargs or {})
        formula = _FORMULAS.get(func.overloadpacket)
        if formula is None and not torch.is_grad_enabled():
            with self:  # without gradients torch hands over whole what is made of other operators
                parts = func.decompose(*args, **given)
            if parts is not NotImplemented:
                return parts
        out = func(*args, **given)
        if formula is not None:
            self.parts[self._part] += formula(*args, **given, out_val=out) * _seen(
                func, args, given
            )
        return out

    @contextmanager
    def within(self, named: Mapping[str, nn.Module | None]) -> Iterator[None]:
        """While this is open, what modules do is counted under their names.

        A module's name also covers what it calls, be that another part.

        Args:
            named: Modules by part; None = there is no such part.
        """
        handles = []
        outside: list[str] = []

        def enter(part: str) -> Callable[..., None]:
            def before(module: nn.Module, args: Any) -> None:
                outside.append(self._part)
                self._part = part if self._part == REST else self._part

            return before

        def leave(module: nn.Module, args: Any, output: Any) -> None:
            self._part = outside.pop()

        for part, module in named.items():
            # Some encoders are called by the layers that they are made of.
            for own in [] if module is None else module.modules():
                handles.append(own.register_forward_pre_hook(enter(part)))
                handles.append(own.register_forward_hook(leave, always_call=True))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    @contextmanager
    def calls(self, module: nn.Module | None, first: str, later: str) -> Iterator[None]:
        """While this is open, the first call of a module is one part, and later ones another.

        Args:
            module: A language model, say: it reads the question, then decides on an answer.
            first: Part of the first call.
            later: Part of the others.
        """
        if module is None:
            yield
            return
        count = 0
        outside = REST

        def before(own: nn.Module, args: Any) -> None:
            nonlocal count, outside
            outside, self._part = self._part, later if count else first
            count += 1

        def after(own: nn.Module, args: Any, output: Any) -> None:
            self._part = outside

        handles = [
            module.register_forward_pre_hook(before),
            module.register_forward_hook(after, always_call=True),
        ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()


def _seen(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> float:
    """The share of the pairs that attention sees: half where it is causal."""
    names = [argument.name for argument in func._schema.arguments]
    if "is_causal" not in names:
        return 1.0
    place = names.index("is_causal")
    causal = args[place] if place < len(args) else kwargs.get("is_causal", False)
    return 0.5 if causal else 1.0
