"""What a goal is learnt from: its learner, its batches, and how many of them there are to be."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from torch import nn

from benchmark.events import EventLog
from benchmark.goals import Goal, LabelGoal, NextItemGoal, TextGoal
from userllm.encoder.unmet import unmet_items
from userllm.encoder.windows import endless_windows, picked_per_window
from userllm.goals.goal_stages import SayingLabels, Together, Writing, mixed
from userllm.goals.label_goal import label_batches
from userllm.goals.text_goal import text_batches
from userllm.model import UserLLM
from userllm.stages import Tuning


@dataclass(frozen=True)
class Feed:
    """What a stage is made of.

    Attributes:
        learner: What trains.
        batches: Endless.
        steps: Optimizer steps.
        steps_per_epoch: Of a pass over the examples.
        targets_per_step: Supervised targets of a step, on average; a text counts as one.
    """

    learner: nn.Module
    batches: Iterator[Any]
    steps: int
    steps_per_epoch: float
    targets_per_step: float


def feed_of(goal: Goal, model: UserLLM, events: EventLog, seed: int) -> Feed:
    """The feed of one goal, as the model's settings say.

    Args:
        goal: What is to be learnt.
        model: What learns it.
        events: Training events.
        seed: Seed of the order.

    Raises:
        ValueError: There is nothing to learn from.
    """
    if isinstance(goal, NextItemGoal):
        return _next_items(model, events, seed)
    settings, history = model.settings.tune, model.encoder.history
    size = settings.batch_size
    if isinstance(goal, LabelGoal):
        learner: nn.Module = SayingLabels(model, goal)
        batches: Iterator[Any] = label_batches(events, goal, history, size, seed)
    else:
        goal = _said(goal, model, events)
        learner = Writing(model)
        batches = text_batches(model.llm, events, goal, history, size, seed)
    count = len(goal.starts)
    a_step = min(size, count) * settings.optimizer.accumulate
    steps = max(1, round(settings.examples / a_step))
    return Feed(learner, batches, steps, count / a_step, a_step)


def _next_items(model: UserLLM, events: EventLog, seed: int) -> Feed:
    settings, length = model.settings.tune, model.encoder.history + 1
    batches, windows = endless_windows(events, length, settings.windows, seed)
    a_step = min(settings.windows, windows) * settings.optimizer.accumulate
    per_step = a_step * picked_per_window(events, length, settings.targets_per_window)
    learner = Tuning(
        model,
        settings.targets_per_window,
        model.settings.encoder_targets,
        model.held_out,
        unmet_items(model.encoder, events.items),
    )
    steps = max(1, round(settings.targets / per_step))
    return Feed(learner, batches, steps, windows / a_step, per_step)


def _said(goal: TextGoal, model: UserLLM, events: EventLog) -> TextGoal:
    """The goal without texts of items of which training may say nothing."""
    if model.held_out is None:
        return goal
    rows = np.flatnonzero(~model.held_out.numpy()[events.items[goal.stops]])
    return replace(
        goal,
        starts=goal.starts[rows],
        stops=goal.stops[rows],
        prompts=[goal.prompts[row] for row in rows.tolist()],
        references=[goal.references[row] for row in rows.tolist()],
    )


def together(feeds: Sequence[Feed]) -> Feed:
    """One feed of several: each goal has as many steps as alone, spread evenly among the others'.

    A step that gathers several batches may gather them from several goals. A pass is one over the
    examples of an average goal.
    """
    if len(feeds) == 1:
        return feeds[0]
    steps = [feed.steps for feed in feeds]
    passes = sum(feed.steps / feed.steps_per_epoch for feed in feeds) / len(feeds)
    return Feed(
        learner=Together([feed.learner for feed in feeds]),
        batches=mixed([feed.batches for feed in feeds], steps),
        steps=sum(steps),
        steps_per_epoch=sum(steps) / passes,
        targets_per_step=sum(feed.steps * feed.targets_per_step for feed in feeds) / sum(steps),
    )


def goal_facts(goal: Goal) -> str:
    """Changes with what a goal asks and with its examples."""
    digest = hashlib.sha256()
    for name, value in vars(goal).items():
        if isinstance(value, np.ndarray):
            digest.update(f"{name} {value.dtype} {value.shape}".encode() + value.tobytes())
        elif name in ("prompts", "references"):  # they follow from the data: a few show the way
            digest.update(repr([value[n] for n in range(min(100, len(value)))]).encode())
        else:
            digest.update(f"{name} {value!r}".encode())
    return digest.hexdigest()
