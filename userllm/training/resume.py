"""Checkpoints of a stage, so that one that was interrupted goes on where it stopped."""

from __future__ import annotations

import time
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmark.system.durable import whole_file
from benchmark.types import CurvePoint, Progress
from userllm.training.sharding import divided_like

FORMAT = 2
"""Changes when files of before can no longer be read."""


@dataclass
class Standing:
    """Where a stage stands after a whole number of optimizer steps, beside its weights.

    Attributes:
        step: Optimizer steps taken.
        seconds: Seconds of training so far.
        loss: Running mean of the loss.
        stopped: Whether patience ran out.
        curve: The looks so far.
        best: Weights of the best look; None where they are the present ones, or nobody looked.
        best_value: Its value.
        best_look: Its number, from 1.
        random: States of the random number generators, see `random_states`.
        flops: What the metered steps took, see `userllm.training.step_flops`.
        metered: How many these are.
    """

    step: int = 0
    seconds: float = 0.0
    loss: float | None = None
    stopped: bool = False
    curve: list[CurvePoint] = field(default_factory=list)
    best: dict[str, Tensor] | None = None
    best_value: float = float("-inf")
    best_look: int = 0
    random: dict[str, Tensor] = field(default_factory=dict)
    flops: float = 0.0
    metered: int = 0

    def contents(self) -> dict[str, Any]:
        """As plain values and tensors."""
        plain = {name: value for name, value in vars(self).items() if name != "curve"}
        return {**plain, "curve": [asdict(point) for point in self.curve]}

    @classmethod
    def of(cls, contents: Mapping[str, Any]) -> Standing:
        """The reverse of `contents`."""
        return cls(**{**contents, "curve": [CurvePoint(**point) for point in contents["curve"]]})


class CheckpointFile:
    """The checkpoint of one stage on disk: it appears whole or not at all, and holds no code.

    Args:
        path: Where it is.
        owner: Changes with everything that the stage depends on; a file of another is ignored.
        progress: Hears of a file that is of no use, and of a disk that takes none.
    """

    def __init__(self, path: Path, owner: str, progress: Progress) -> None:
        self.path = path
        self.owner = owner
        self.progress = progress
        self.save_seconds = 0.0
        """What the last save took."""
        self._failed = False

    def load(self) -> dict[str, Any] | None:
        """What was saved last; None where there is nothing of use."""
        if not self.path.exists():
            return None
        try:
            _check_sums(self.path)
            contents = torch.load(self.path, map_location="cpu", weights_only=True)
            own = contents["owner"] == self.owner
        except Exception as error:  # A damaged file may fail in any way.
            self.progress.note(f"begins anew: {self.path} is broken ({type(error).__name__})")
            return None
        if not own:
            self.progress.note(f"begins anew: {self.path} belongs to other settings or versions")
            return None
        return dict(contents)

    def save(self, contents: Mapping[str, Any]) -> None:
        """Puts a checkpoint in place of the one before; where that fails, training matters more."""
        began = time.perf_counter()
        try:
            # By a file of ours: of one that torch opens a full disk is not told as what it is.
            with whole_file(self.path) as fresh, fresh.open("wb") as file:
                torch.save({"owner": self.owner, **contents}, file)
        except (OSError, RuntimeError) as error:  # torch.save tells of a full disk by the latter
            if not self._failed:
                reason = getattr(error, "strerror", None) or str(error).split("\n")[0]
                self.progress.note(f"goes on without saving to {self.path}: {reason}")
            self._failed = True
        self.save_seconds = time.perf_counter() - began


def _check_sums(path: Path) -> None:
    """Raises where a file is not what was written: torch keeps checksums and does not look."""
    with zipfile.ZipFile(path) as archive:
        broken = archive.testzip()
    if broken is not None:
        raise ValueError(f"{broken} has another checksum")


def moving_weights(learner: nn.Module) -> dict[str, Tensor]:
    """What training changes: parameters that learn, and buffers. The tensors are the live ones.

    Frozen parameters are left out: whoever builds the learner again gets the same ones.
    """
    found: dict[int, tuple[str, Tensor]] = {}
    for name, value in learner.state_dict(keep_vars=True).items():
        frozen = isinstance(value, nn.Parameter) and not value.requires_grad
        if isinstance(value, Tensor) and not frozen:
            found.setdefault(id(value), (name, value.detach()))  # tied weights once
    return dict(found.values())


def put_back(learner: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Sets what `moving_weights` gave before."""
    for name, live in moving_weights(learner).items():
        live.copy_(divided_like(weights[name], live))


def random_states(device: torch.device) -> dict[str, Tensor]:
    """States of torch's generators on the processor and on a device."""
    states = {"cpu": torch.get_rng_state()}
    if device.type != "cpu":
        states[device.type] = torch.get_device_module(device).get_rng_state()
    return states


def set_random_states(states: Mapping[str, Tensor]) -> None:
    """Sets what `random_states` gave before."""
    for device, state in states.items():
        if device == "cpu":
            torch.set_rng_state(state)
        else:
            torch.get_device_module(device).set_rng_state(state)
