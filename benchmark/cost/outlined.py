"""Counts what a method's outline says: tokens, arithmetic, bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from pydantic import BaseModel
from torch import nn

from benchmark.config import Layers
from benchmark.cost.facts import Bill, Cost
from benchmark.cost.traced import traced_flops
from benchmark.entries import ability
from benchmark.errors import UserError
from benchmark.outlines import (
    ANSWERED,
    NEW_EVENT,
    READ_BY_LLM,
    STORED_READ,
    Outline,
    Outliner,
    OutlineRequest,
    Question,
    Work,
)
from benchmark.protocols import PROJECTOR, USER_ENCODER, FitContext, TrainingData
from benchmark.registry import load
from benchmark.runs.encoder_slot import ChosenEncoder, choose_encoder, missing_encoder
from benchmark.settings import flatten, merge
from benchmark.tables import Tables
from benchmark.tasks.next_item import NextItem
from benchmark.types import IDS, HistoryBatch, Progress
from benchmark.variants import Variant


def why_not(method: str, task: str, data: TrainingData, tables: Tables) -> str:
    """Why the cost of a method cannot be known by shapes alone, "" where it can."""
    entry, needs = tables.methods[method], tables.tasks[task].needs
    if needs not in entry.capabilities:
        return f"{method} cannot {ability(needs)}"
    if not entry.uses_llm:
        return "reads no text: it has no language model"
    if not entry.outline:
        return f"{method} has no outline that could be counted"
    if task != NextItem.name:
        return f"by shapes alone {NextItem.name} is counted, not {task}"
    if entry.says_items and data.catalog.text_source == IDS:
        return f"the items of {data.name} have no text to say"
    return ""


@dataclass(frozen=True)
class Chosen:
    """A variant with its settings.

    Attributes:
        outliner: Target of its entry's `outline`.
        settings: Of the method.
        encoder: What stands in its encoder slot.
        length: Events of a history.
        told: What decides its cost, dotted name → value.
        changes: What differs from the reference design, axes left out; the method's own settings
            without its section.
    """

    outliner: str
    settings: BaseModel
    encoder: ChosenEncoder | None
    length: int
    told: Mapping[str, Any]
    changes: Mapping[str, Any]

    @classmethod
    def of(cls, variant: Variant, layers: Layers, tables: Tables) -> Chosen:
        """Resolves a variant's settings.

        Raises:
            UserError: They are wrong, or what stands in the encoder slot is not installed.
        """
        method, entry = variant.method, tables.methods[variant.method]
        own = variant.over(layers)
        settings = own.resolve(tables, method)
        encoder = choose_encoder(method, settings, tables, own)
        reason = missing_encoder(encoder, tables) or _reads_text(encoder, tables)
        if reason:
            raise UserError(reason)
        section = tables.section(method)
        found = {section: settings.model_dump(mode="json")}
        length = f"{section}.{entry.length}"
        changes = dict(flatten(merge(layers.changes(tables, method), entry.overrides)))
        if encoder is not None:
            found[encoder.name] = encoder.settings.model_dump(mode="json")
            length = f"{encoder.name}.{tables.encoders[encoder.name].length}"
            changes |= flatten({encoder.name: layers.changes(tables, encoder.name)})
        values = flatten(found)
        named = [name for name in flatten(layers.preset) if name in values]
        moved = flatten({name: variant.settings[name] for name in variant.settings})
        named += [name for name in (length, *moved) if name in values]
        named += [name for change in changes for name in (change, f"{section}.{change}")]
        axes = {name.removeprefix(f"{section}.") for name in (length, *moved)}
        return cls(
            outliner=entry.outline,
            settings=settings,
            encoder=encoder,
            length=int(values[length]),
            told={name: values[name] for name in dict.fromkeys(named) if name in values},
            changes={name: value for name, value in changes.items() if name not in axes},
        )

    def outline(
        self, data: TrainingData, llm: object, query_tokens: int, answer_tokens: int
    ) -> Outline:
        """The method's outline.

        Args:
            data: Names items and features.
            llm: See `OutlineRequest`.
            query_tokens: See `OutlineRequest`.
            answer_tokens: See `OutlineRequest`.

        Raises:
            UserError: Settings and language model do not fit together.
        """
        make = cast("Outliner", load(self.outliner))
        request = OutlineRequest(
            data=data,
            settings=self.settings,
            encoder=None if self.encoder is None else without_weights(self.encoder, data),
            llm=llm,
            query_tokens=query_tokens,
            answer_tokens=answer_tokens,
        )
        return make(request)


def _reads_text(encoder: ChosenEncoder | None, tables: Tables) -> str:
    """Why an encoder cannot be built without weights, "" where it can."""
    if encoder is None or encoder.name not in tables.methods:
        return ""
    asked = tables.methods[encoder.name].llm_setting
    if not getattr(encoder.settings, asked or "-", False):
        return ""
    return f"{encoder.name}.{asked} needs the weights of a language model, and there are none"


def without_weights(encoder: ChosenEncoder, data: TrainingData) -> nn.Module:
    """What stands in the encoder slot, on the device `meta`."""
    silent = cast("Callable[[], Progress]", load("userllm.progress:Silent"))()
    context = FitContext(seed=0, cache=Path(), validate=lambda method: {}, progress=silent)
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        try:
            # Some hold what is known of items, which no device context moves.
            return encoder.build(data, context, trained=False).module.to("meta").eval()
        except (RuntimeError, NotImplementedError, TypeError, ValueError) as error:
            raise _uncounted(encoder.name, error) from error


def _uncounted(what: str, error: Exception) -> UserError:
    reason = " ".join(str(error).split())[:120]
    return UserError(f"{what} cannot be followed without numbers ({reason})")


def counted_cost(
    outline: Outline,
    batches: Iterable[HistoryBatch],
    *,
    events: int,
    answer_tokens: int,
    causal: float = 0.5,
) -> Cost:
    """Tokens over some histories; arithmetic and bytes at their rounded mean.

    Args:
        outline: Of a method.
        batches: Histories of one length.
        events: That length.
        answer_tokens: Tokens of an answer.
        causal: See `traced_flops`.

    Raises:
        UserError: The language model has too few positions, or something cannot be followed.
    """
    tokens: list[int] = []
    dropped: list[int] = []
    line_tokens: list[float] = []
    for histories in batches:
        read = outline.prompt_tokens(histories)
        tokens += read.tokens
        dropped += read.dropped
        line_tokens += [outline.event_tokens(histories)] * len(histories)
    question = Question(
        events=events,
        prompt_tokens=round(float(np.mean(tokens))),
        event_tokens=round(float(np.mean(line_tokens))),
        answer_tokens=answer_tokens,
    )
    try:
        flops = _flops(outline.works(question), causal)
    except (RuntimeError, NotImplementedError) as error:
        raise _uncounted("what it computes", error) from error
    encoder, projector = flops.get(USER_ENCODER, 0.0), flops.get(PROJECTOR, 0.0)
    read_flops, decoded = flops[READ_BY_LLM], flops[ANSWERED]
    prompt = encoder + projector + read_flops
    return Cost(
        llm_input_tokens=float(np.mean(tokens)),
        llm_input_tokens_max=max(tokens),
        dropped_events=float(np.mean(dropped)),
        truncated_users=float(np.mean(np.array(dropped) > 0)),
        user_encoder_flops=encoder,
        projector_flops=projector,
        encoder_flops=encoder + projector,
        llm_prompt_flops=read_flops,
        prompt_flops=prompt,
        decode_flops=decoded,
        answer_flops=prompt + decoded,
        kv_cache_bytes=float(outline.kv_bytes(question)),
        billed=_bills(outline, question, flops),
    )


def billed(outline: Outline, question: Question) -> dict[str, Bill]:
    """Ways to be billed for a question.

    Raises:
        UserError: Something cannot be followed without numbers.
    """
    try:
        works = outline.works(question)
        read = {part: own for part, own in works.items() if part != ANSWERED}
        return _bills(outline, question, _flops(read, 0.5))
    except (RuntimeError, NotImplementedError) as error:
        raise _uncounted("what it computes", error) from error


def _bills(outline: Outline, question: Question, flops: Mapping[str, float]) -> dict[str, Bill]:
    at_question = sum(flops.get(part, 0.0) for part in (USER_ENCODER, PROJECTOR, READ_BY_LLM))
    stored = float(outline.stored_bytes(question))
    return {
        "at_question": Bill(flops=at_question),
        "stored": Bill(flops=flops[STORED_READ], bytes_per_user=stored),
        "new_event": Bill(flops=flops[NEW_EVENT]),
    }


def _flops(works: Mapping[str, Sequence[Work]], causal: float) -> dict[str, float]:
    """Arithmetic by part; work that stands in several parts is followed once."""
    known: dict[int, float] = {}
    total = {}
    for part, own in works.items():
        for work in own:
            if id(work) not in known:
                known[id(work)] = work.times * traced_flops(
                    work.module, work.inputs, work.repeats, causal
                )
        total[part] = sum(known[id(work)] for work in own)
    return total
