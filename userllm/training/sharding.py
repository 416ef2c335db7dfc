"""Weights of a language model divided among devices while it trains (FSDP), and put together.

Each decoder layer is a unit that is gathered when it computes; what surrounds the layers is one
more. Gradients and the optimizer's moments exist once over all devices. For looks at validation,
and when a stage ends, every device holds the whole weights.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator, Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn

from benchmark.system import ranks
from userllm.llm.language_model import LanguageModel


def is_sharded(learner: nn.Module) -> bool:
    """Whether a learner is one that `Sharded` divides: a language model trains or stands in it."""
    return (
        ranks.spread().distributed == "fsdp" and ranks.spread().size > 1 and bool(_layers(learner))
    )


class Sharded:
    """Divides a learner's weights, and undoes it.

    Args:
        learner: On its device.
    """

    def __init__(self, learner: nn.Module) -> None:
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method

        self.learner = learner
        # A module can be divided once in its life. A layer lives on after the stage, so a shallow
        # copy of it stands in for it: the same submodules and hooks, in another object.
        self._layers = [(own, n, own[n]) for own in _layers(learner) for n in range(len(own))]
        for own, number, layer in self._layers:
            own[number] = copy.copy(layer)
        self._units = [*(own[number] for own, number, _ in self._layers), learner]
        self._hooks = [_hooks(unit) for unit in self._units]
        device = next(learner.parameters()).device.type
        mesh = init_device_mesh(device, (ranks.spread().size,))
        for unit in self._units:
            fully_shard(unit, mesh=mesh)
        register_fsdp_forward_method(learner, "training_loss")

    @contextlib.contextmanager
    def whole(self) -> Iterator[None]:
        """Every device holds the whole weights, so that each may compute what it likes."""
        units = [cast("Any", unit) for unit in self._units]
        for unit in units:
            unit.set_reshard_after_forward(False, recurse=False)
            unit.unshard()
        try:
            yield
        finally:
            for unit in units:
                unit.reshard()
                unit.set_reshard_after_forward(unit is not self.learner, recurse=False)

    def undo(self) -> None:
        """The learner is again what it was, with the weights as they are now."""
        seen: dict[int, nn.Parameter] = {}
        for module in self.learner.modules():
            for name, weight in list(module.named_parameters(recurse=False)):
                if id(weight) not in seen:  # tied weights stay tied
                    whole = complete(weight.detach())
                    seen[id(weight)] = nn.Parameter(whole, requires_grad=weight.requires_grad)
                module._parameters[name] = seen[id(weight)]
        for unit, hooks in zip(self._units, self._hooks, strict=True):
            for name, before in hooks.items():
                getattr(unit, name).clear()
                getattr(unit, name).update(before)
        for own, number, layer in self._layers:
            own[number] = layer


def complete(value: Tensor) -> Tensor:
    """A tensor whole: gathered where it is divided, which all processes must do together."""
    gather = getattr(value, "full_tensor", None)
    return value if gather is None else gather()


def completed(contents: Any) -> Any:
    """The same nested dictionaries and lists with whole tensors."""
    if isinstance(contents, Tensor):
        return complete(contents)
    if isinstance(contents, Mapping):
        return {name: completed(value) for name, value in contents.items()}
    if isinstance(contents, list | tuple):
        return [completed(value) for value in contents]
    return contents


def divided_like(value: Tensor, other: Tensor) -> Tensor:
    """A whole tensor divided as another is."""
    mesh = getattr(other, "device_mesh", None)
    if mesh is None or hasattr(value, "device_mesh"):
        return value
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(value.to(other.device), mesh, other.placements)  # type: ignore[attr-defined]


def load_optimizer(optimizer: torch.optim.Optimizer, saved: Mapping[str, Any]) -> None:
    """Sets what `completed(optimizer.state_dict())` gave before."""
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    state = {
        number: {
            name: divided_like(value, weights[number])
            if isinstance(value, Tensor) and value.ndim
            else value
            for name, value in own.items()
        }
        for number, own in saved["state"].items()
    }
    optimizer.load_state_dict({**saved, "state": state})


def _layers(learner: nn.Module) -> list[nn.ModuleList]:
    """The decoder layers of the language models in a learner."""
    return [own.layers() for own in learner.modules() if isinstance(own, LanguageModel)]


def _hooks(module: nn.Module) -> dict[str, dict[Any, Any]]:
    """What is called around a module's computations, by kind."""
    kinds = {name: own for name, own in vars(module).items() if name.endswith("_hooks")}
    return {name: dict(own) for name, own in kinds.items() if isinstance(own, dict)}
