"""Lightning's trainer as a stage needs it: on one device, or as one of several processes."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Any, Literal

import lightning as L
from lightning.fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning.pytorch.strategies import DDPStrategy, ModelParallelStrategy, Strategy

from benchmark.system import ranks

if TYPE_CHECKING:
    from userllm.training.loop import Stage


class _Placed(ClusterEnvironment):
    """The processes that are there already; see `benchmark.system.ranks`."""

    creates_processes_externally = True
    main_address = property(lambda self: os.environ.get("MASTER_ADDR", "127.0.0.1"))
    main_port = property(lambda self: int(os.environ.get("MASTER_PORT", "0")))

    @staticmethod
    def detect() -> bool:
        """Never: it is named."""
        return False

    def world_size(self) -> int:
        """Processes in all."""
        return ranks.spread().size

    def set_world_size(self, size: int) -> None:
        """It is what it is."""

    def global_rank(self) -> int:
        """Number of this process."""
        return ranks.spread().rank

    def set_global_rank(self, rank: int) -> None:
        """It is what it is."""

    def local_rank(self) -> int:
        """Its number on its machine."""
        return ranks.spread().local_rank

    def node_rank(self) -> int:
        """Number of the machine."""
        return ranks.spread().rank // ranks.spread().devices


def make_trainer(
    stage: Stage,
    callback: L.Callback,
    *,
    steps: int,
    precision: Literal["32-true", "bf16-mixed"],
    sharded: bool,
) -> L.Trainer:
    """A trainer that says nothing, saves nothing and runs for some steps.

    Args:
        stage: What is trained.
        callback: What happens around its steps.
        steps: Optimizer steps to do.
        precision: Lightning's name of it.
        sharded: Whether the module divides its weights among the processes.
    """
    for name in ("lightning.pytorch", "lightning.fabric", "pytorch_lightning"):
        logging.getLogger(name).setLevel(logging.ERROR)
    spread = ranks.spread()
    several: dict[str, Any] = {}
    if spread.size > 1:
        several = {
            "strategy": _strategy(sharded),
            "plugins": [_Placed()],
            "num_nodes": spread.size // spread.devices,
            "use_distributed_sampler": False,  # each batch is divided instead
        }
    kind, _, number = stage.accelerator.partition(":")
    return L.Trainer(
        accelerator=kind,
        devices=[int(number)] if number else spread.devices,
        precision=precision,
        max_steps=steps,
        max_epochs=-1,
        accumulate_grad_batches=stage.optimizer.accumulate * spread.micro_batches,
        gradient_clip_val=stage.optimizer.clip,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[callback],
        **several,
    )


def _strategy(sharded: bool) -> Strategy:
    if sharded:
        return ModelParallelStrategy(data_parallel_size=ranks.spread().size, tensor_parallel_size=1)
    # A batch may leave weights out, those of another goal's head for example; buffers are constant.
    return DDPStrategy(find_unused_parameters=True, broadcast_buffers=False)
