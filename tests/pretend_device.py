"""A device that is not there: tensors on it compute, but not together with those of the processor.

It stands in for a GPU: what forgets to move a tensor, or makes one without saying where, fails.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

DEVICE = torch.device("meta")
"""The one kind beside the processor's that every torch can name; tensors here do hold numbers."""

_aten = torch.ops.aten
_INDEXING = (_aten.index.Tensor, _aten.index_put.default, _aten.index_put_.default)
_MOVING = (_aten._to_copy.default, _aten.copy_.default, _aten.set_.source_Tensor)


class There(Tensor):
    """A tensor on the pretended device, which holds a real one."""

    held: Tensor

    @staticmethod
    def __new__(cls, real: Tensor) -> There:
        made = Tensor._make_wrapper_subclass(
            cls,
            real.size(),
            strides=real.stride(),
            storage_offset=real.storage_offset(),
            dtype=real.dtype,
            device=DEVICE,
        )
        made.held = real
        return made

    def tolist(self) -> Any:
        return self.held.tolist()

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @classmethod
    def __torch_dispatch__(
        cls, op: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        return _call(op, args, kwargs or {})


class _Makes(TorchDispatchMode):
    """Sends to the pretended device what is made there out of nothing."""

    def __torch_dispatch__(
        self, op: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        return _call(op, args, kwargs or {})


def _call(op: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    device = kwargs.get("device")
    tensors = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
    there = any(isinstance(x, There) for x in tensors)
    if there and op not in _MOVING:
        checked = tree_leaves(args[:1] + args[2:]) if op in _INDEXING else tensors
        strangers = [
            x for x in checked if isinstance(x, Tensor) and not isinstance(x, There) and x.ndim
        ]
        if strangers:
            shapes = [tuple(x.shape) for x in strangers]
            raise RuntimeError(f"{op}: tensors {shapes} are on the processor, others are not")
    inner, options = tree_map_only(There, lambda x: x.held, (args, kwargs))
    goes_there = there
    if device is not None:
        goes_there = torch.device(device).type == DEVICE.type
        options = {**options, "device": torch.device("cpu")}
    result = op(*inner, **options)
    first = args[0] if args else None
    if op._schema.name.endswith("_") and isinstance(first, Tensor):
        return first
    if "out" in kwargs:
        return kwargs["out"]
    return tree_map_only(Tensor, There, result) if goes_there else result


@contextmanager
def pretended() -> Iterator[torch.device]:
    """While this is open, tensors can be made on the device and moved to it."""
    make = torch.tensor

    def make_and_move(data: Any, *, device: Any = None, **options: Any) -> Tensor:
        return make(data, **options) if device is None else make(data, **options).to(device)

    # What `tensor` makes elsewhere passes by the modes of Python, and no device of this kind has
    # other precisions to choose from.
    with (
        patch.object(torch, "tensor", make_and_move),
        patch.object(torch, "autocast", lambda *args, **kwargs: nullcontext()),
        _Makes(),
    ):
        yield DEVICE


def move(module: nn.Module) -> nn.Module:
    """Puts a module there; tied weights stay tied."""
    moved: dict[int, nn.Parameter] = {}
    for part in module.modules():
        for name, weight in part._parameters.items():
            if weight is not None:
                if id(weight) not in moved:
                    moved[id(weight)] = nn.Parameter(There(weight.detach()), weight.requires_grad)
                part._parameters[name] = moved[id(weight)]
        for name, buffer in part._buffers.items():
            if buffer is not None:
                part._buffers[name] = There(buffer)
    return module
