"""A linear head that says labels, on the state of a user encoder, and how both are trained.

First the head learns alone: the encoder is frozen, so that every history is encoded once and a
pass over the examples costs next to nothing. Then the encoder learns with it at a lower rate. Of
the two, what validates better is kept (linear probing before fine-tuning keeps what pretraining
learnt: Kumar et al., ICLR 2022).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmark.events import EventLog
from benchmark.goals import Goal, LabelGoal
from benchmark.types import HistoryBatch, Progress, StageReport
from userllm.config import LabelHeadSettings, OptimizerSettings
from userllm.encoder.event_encoder import EventEncoder
from userllm.goals.label_examples import (
    LabelExamples,
    drawn,
    encoded,
    history_batches,
    state_batches,
    tied_shares,
)
from userllm.nn.loss import full_precision
from userllm.training.dividing import EachRow
from userllm.training.loop import Stage, run_stage, training_device
from userllm.training.resume import moving_weights, put_back


def label_goal(goals: Sequence[Goal]) -> LabelGoal | None:
    """The goal that asks for labels; None where there is none."""
    return next((goal for goal in goals if isinstance(goal, LabelGoal)), None)


class LabelHead(EachRow, nn.Module):
    """From states to labels: a norm, since encoders have states of any length, and a linear map.

    It begins with the labels' own frequency, the same for everybody.

    Args:
        width: `D`.
        shares: Mean share of each label among the examples, `FloatTensor[C]`.
    """

    def __init__(self, width: int, shares: Tensor) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.linear = nn.Linear(width, len(shares))
        with torch.no_grad():
            self.linear.weight.zero_()
            self.linear.bias.copy_(shares.clamp(min=1e-4).log())

    def forward(self, states: Tensor) -> Tensor:
        """Log-probabilities `[B, C]` of labels after states `[B, D]`."""
        logits = self.linear(self.norm(states))
        return full_precision(logits).log_softmax(dim=-1)

    def training_loss(self, batch: LabelExamples) -> Tensor:
        """Cross-entropy of examples whose states are known; scalar, in nats."""
        assert isinstance(batch.read, Tensor)
        return cross_entropy(self(batch.read), batch.shares)


class LabelModel(EachRow, nn.Module):
    """A user encoder with a head: `benchmark.protocols.LabelRanker`.

    Args:
        encoder: Turns histories into states.
        head: Turns states into labels.
    """

    def __init__(self, encoder: EventEncoder, head: LabelHead) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = head
        self.history_length = encoder.history

    def forward(self, histories: HistoryBatch) -> Tensor:
        """Log-probabilities `[B, C]` of the labels."""
        return self.head(self.encoder.embed(histories))

    def training_loss(self, batch: LabelExamples) -> Tensor:
        """Cross-entropy of examples whose histories are known; scalar, in nats."""
        assert isinstance(batch.read, HistoryBatch)
        return cross_entropy(self(batch.read), batch.shares)

    @torch.no_grad()
    def rank_labels(self, histories: HistoryBatch, goal: LabelGoal) -> Tensor:
        """See `benchmark.protocols.LabelRanker`; the scores are log-probabilities."""
        return self(histories.to(self.head.linear.weight.device)).cpu()


def cross_entropy(log_probs: Tensor, shares: Tensor) -> Tensor:
    """Mean cross-entropy of log-probabilities with right shares, both `[B, C]`."""
    return -(shares * log_probs).sum(dim=1).mean()


@dataclass(frozen=True)
class LabelFit:
    """What fitting a head gave.

    Attributes:
        model: In evaluation mode, where it trained.
        stages: `label_head`, and `label_tune` where the encoder was let learn.
        note: Whether the encoder that is kept learnt with the head.
    """

    model: LabelModel
    stages: tuple[StageReport, ...]
    note: str


def fit_label_head(
    encoder: EventEncoder,
    goal: LabelGoal,
    events: EventLog,
    settings: LabelHeadSettings,
    *,
    seed: int,
    progress: Progress,
    validate: Callable[[LabelModel], float] | None = None,
    accelerator: str = "cpu",
    checkpoints: Path | None = None,
    key: str = "",
) -> LabelFit:
    """Puts a head on an encoder and trains it; the encoder may change with it.

    Args:
        encoder: Pretrained.
        goal: The labels and the training examples.
        events: What the goal's positions are positions in.
        settings: Of the training.
        seed: Seed of order and dropout.
        progress: Where to say how far it is.
        validate: Value to maximise, which chooses between looks and between frozen and tuned;
            without it the tuned one is kept.
        accelerator: Lightning's name of the device.
        checkpoints: Folder for checkpoints of unfinished stages; None = keep none.
        key: Changes with the events and with what `validate` looks at.
    """
    device = training_device(accelerator)
    torch.manual_seed(seed)
    chosen = drawn(len(goal.starts), settings.examples, seed)
    starts, stops = goal.starts[chosen], goal.stops[chosen]
    shares = tied_shares(goal.right[chosen])
    head = LabelHead(encoder.width, shares.mean(dim=0))
    model = LabelModel(encoder, head).to(device).eval()
    size = min(settings.batch_size, len(chosen))
    looks = settings.looks if validate is not None else 0

    def train(
        name: str,
        learner: nn.Module,
        batches: Iterator[LabelExamples],
        steps: float,
        optimizer: OptimizerSettings,
    ) -> StageReport:
        a_step = size * optimizer.accumulate
        stage = Stage(
            name=name,
            batches=batches,
            steps=max(1, round(steps)),
            steps_per_epoch=len(chosen) / a_step,
            targets_per_step=a_step,
            optimizer=optimizer,
            accelerator=accelerator,
            validate=None if validate is None else lambda: validate(model),
            looks=looks,
            patience=settings.patience,
            checkpoint=None if checkpoints is None else checkpoints / f"{name}.pt",
            key=f"{key} {seed} {goal.task} {settings.model_dump_json()}",
        )
        torch.manual_seed(seed)  # the same, whether the stage before ran or was found finished
        return run_stage(learner, stage, progress)

    begin = time.perf_counter()
    states = encoded(encoder, events, starts, stops, device)
    seconds = time.perf_counter() - begin
    batches = state_batches(states, shares, size, seed)
    frozen = train("label_head", head, batches, settings.steps, settings.frozen)
    frozen = replace(frozen, seconds=frozen.seconds + seconds)
    if not settings.epochs:
        encoder.requires_grad_(False)
        return LabelFit(model, (frozen,), "the encoder stayed frozen")
    encoder.requires_grad_(True)
    before = {name: weight.clone() for name, weight in moving_weights(model).items()}
    batches = history_batches(events, starts, stops, shares, encoder.history, size, seed)
    steps = settings.epochs * len(chosen) / (size * settings.optimizer.accumulate)
    tuned = train("label_tune", model, batches, steps, settings.optimizer)
    ours, reference = best(tuned), best(frozen)
    if ours is None or reference is None:
        return LabelFit(model, (frozen, tuned), "the encoder learnt with the head")
    if ours <= reference:
        put_back(model, before)
    kept = "learning with the head" if ours > reference else "frozen"
    note = f"kept the encoder {kept}: validation {ours:.4f} learning, {reference:.4f} frozen"
    return LabelFit(model, (frozen, tuned), note)


def best(stage: StageReport) -> float | None:
    """The highest validation value of a stage; None where nobody looked."""
    return max((point.value for point in stage.curve), default=None)
