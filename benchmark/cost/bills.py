"""What a fitted method would be billed: computed at the question, or stored before it.

Known by shapes, at the numbers of events and tokens that were measured; see `benchmark.outlines`.
Of next items alone: what asks for them is a query of the method's own, the same for everybody.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy as np
import torch
from pydantic import BaseModel

from benchmark.cost.facts import Cost
from benchmark.cost.outlined import billed, without_weights
from benchmark.goals import NextItemGoal
from benchmark.outlines import Outliner, OutlineRequest, Question
from benchmark.protocols import LLM, Profiled, PromptReader, TrainingData
from benchmark.registry import load
from benchmark.runs.asking import Asking
from benchmark.runs.encoder_slot import ChosenEncoder

_OUTLINE_LLM = "userllm.llm.from_shape:outline_llm"


def with_bills(
    cost: Cost,
    method: Any,
    asking: Asking,
    *,
    outliner: str,
    settings: BaseModel,
    encoder: ChosenEncoder | None,
    data: TrainingData,
) -> Cost:
    """A measured cost with the ways to be billed; without, where they cannot be known.

    Numbers that are stored are taken to have 2 bytes, whatever they have here.

    Args:
        cost: As measured.
        method: Fitted.
        asking: The questions.
        outliner: Target of the method's `outline`; "" = none.
        settings: Of the method.
        encoder: What stands in its encoder slot.
        data: What it was fitted on.
    """
    known = isinstance(method, Profiled) and isinstance(method, PromptReader)
    if not isinstance(asking.goal, NextItemGoal) or not outliner or not known:
        return cost
    if cost.llm_input_tokens is None:
        return cost
    asked = asking.examples
    events = np.minimum(asked.stops - asked.starts, method.history_length)
    config = method.parts()[LLM].config.to_dict()
    outline_llm = cast("Callable[..., Any]", load(_OUTLINE_LLM))
    make = cast("Outliner", load(outliner))
    try:
        with torch.random.fork_rng(devices=[]):
            llm = outline_llm(config, method.tokenizer, "the language model")
            outline = make(
                OutlineRequest(
                    data=data,
                    settings=settings,
                    encoder=None if encoder is None else without_weights(encoder, data),
                    llm=llm,
                )
            )
            some = asking.histories(method, np.arange(min(len(asked), 64)))
            question = Question(
                events=max(1, round(float(events.mean()))),
                prompt_tokens=round(cost.llm_input_tokens),
                event_tokens=round(outline.event_tokens(some)),
                answer_tokens=1,
            )
            bills = billed(outline, question)
    except Exception:  # Encoders and language models that need numbers fail in their own ways.
        return cost
    return cost.model_copy(update={"billed": bills})
