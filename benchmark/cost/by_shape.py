"""What an answer costs at any size of language model, known by its published shape alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np
from pydantic import BaseModel, ConfigDict

from benchmark.config import Layers
from benchmark.cost.drawn_histories import drawn_histories
from benchmark.cost.facts import Cost
from benchmark.cost.llm_shapes import LlmShape, read_llm_config
from benchmark.cost.outlined import Chosen, counted_cost, why_not
from benchmark.cost.reference import reference, reference_layers
from benchmark.data.division import Need, Split
from benchmark.data.opening import load_dataset
from benchmark.display.progress import quiet_libraries
from benchmark.errors import UserError
from benchmark.registry import load
from benchmark.runs.planning import chosen_split
from benchmark.tables import Tables
from benchmark.types import HistoryBatch
from benchmark.variants import Variant

_SPLIT = "last"
_LLM, _TOKENIZER = "userllm.llm.from_shape:outline_llm", "userllm.llm.from_shape:outline_tokenizer"
_CORPUS, _EMBEDDED = "userllm.llm.corpus:corpus", "userllm.llm.embedded:train_tokenizer"
_SETTINGS = "userllm.config:LanguageModelSettings"


@dataclass(frozen=True)
class CostRequest:
    """What is to be counted.

    Attributes:
        dataset: Whose histories and catalogue are asked about; one that is ready here.
        task: What is asked; counted is `next_item` alone, rows of others say so (`na`).
        variants: Methods with the settings that an axis gives them; `axes` may hold numbers. A row
            each, in this order.
        layers: Settings that a file and `--set` give. The reference design
            (`configs/costs/reference.yaml`) takes the place of their preset, below both.
        tables: What can be named.
        llm_config: A shipped shape (`llama-3.2-1b`), or the path of a `config.json` or its folder.
        tokenizer: A `tokenizer.json`, or a folder that holds one; None = the embedded BPE, trained
            on what the data set's training part says.
        query_tokens: Tokens that ask, of every method, the first token of a text included; None =
            those of the reference design (32).
        answer_tokens: Tokens of an answer; None = mean tokens of a title, rounded.
        causal: Share of the pairs that causal attention is counted by; 1 = whole.
        users: How many histories tokens are counted over.
        seed: Of the sample of users, and of the lines that are drawn.
    """

    dataset: str
    task: str
    variants: Sequence[Variant]
    layers: Layers
    tables: Tables
    llm_config: str
    tokenizer: Path | None = None
    query_tokens: int | None = None
    answer_tokens: int | None = None
    causal: float = 0.5
    users: int = 64
    seed: int = 0


class CostRow(BaseModel):
    """One row; `cost` is None where `na` says why there is none.

    Attributes:
        dataset: Its name.
        task: What is asked.
        method: Its name.
        variant: What tells it from other rows of the method, beside its axes: "full prompt",
            "projector.latents=64"; "" = the reference design.
        axes: Axis → number.
        llm: The language model's shape, as it was asked for.
        tokenizer: What tokens were counted by.
        settings: What decides the cost, dotted name → value.
        cost: Of one answer.
        na: Why there is none.
    """

    model_config = ConfigDict(frozen=True)

    dataset: str
    task: str
    method: str
    variant: str = ""
    axes: dict[str, Any] = {}
    llm: str
    tokenizer: str
    settings: dict[str, Any] = {}
    cost: Cost | None = None
    na: str = ""

    def to_json(self) -> dict[str, Any]:
        """The row as `--json` prints it: with its cost, or with `na`."""
        values = self.model_dump(mode="json", exclude={"cost", "na"})
        if self.cost is None:
            return values | {"na": self.na}
        return values | {"cost": self.cost.model_dump(mode="json", exclude_none=True)}


def cost_rows(request: CostRequest) -> list[CostRow]:
    """Counts tokens, arithmetic and bytes of one answer, a row a variant.

    Raises:
        UserError: A name is unknown, the data set is not ready, a file cannot be read, no causal
            language model has such a shape, or settings that fit none of the rows.
    """
    shape = read_llm_config(request.llm_config)
    with quiet_libraries():
        shop = _Shop(request, shape)
        rows: list[CostRow] = []
        failed: list[UserError] = []
        for variant in request.variants:
            try:
                rows.append(_row(variant, shop))
            except UserError as error:
                failed.append(error)
                rows.append(shop.row(variant, na=str(error)))
    if failed and not any(row.cost for row in rows):
        raise failed[0]
    return rows


class _Shop:
    """What all rows of a request share.

    Args:
        request: What is asked.
        shape: Of the language model.
    """

    def __init__(self, request: CostRequest, shape: LlmShape) -> None:
        self.request = request
        layers = reference_layers(request.layers)
        request.tables.tasks[request.task]
        dataset = load_dataset(request.dataset, request.tables.dataset(request.dataset))
        self.split: Split = chosen_split(_SPLIT, request.tables, layers)(dataset, Need())
        self.train = self.split.train
        self.tokenizer, self.tokenizer_name = self._read_tokenizer()
        self.llm: Any = _called(_LLM)(shape.config, self.tokenizer, shape.name)
        widths = (self.llm.width, self.llm.layer_width)
        count = len(self.llm.layers())
        self.layers = reference_layers(request.layers, llm_layers=count, widths=widths)
        asked = request.query_tokens
        self.query_tokens = reference().query_tokens if asked is None else asked

    def _read_tokenizer(self) -> tuple[Any, str]:
        path = self.request.tokenizer
        if path is not None:
            return _called(_TOKENIZER)(path), str(path)
        lines = _called(_CORPUS)(self.train.catalog, self.train.events)
        vocabulary = _called(_SETTINGS)().vocabulary
        tokenizer = _called(_EMBEDDED)(lines, vocabulary)
        name = f"embedded BPE of {len(tokenizer):,} tokens, trained on {self.request.dataset}"
        return tokenizer, name

    @cached_property
    def answer_tokens(self) -> int:
        """Tokens of an answer: as asked for, or as a title has on average."""
        if self.request.answer_tokens is not None:
            return self.request.answer_tokens
        titles = [len(self.llm.encode(f" {text}")) for text in self.train.catalog.texts[1:]]
        return max(1, round(float(np.mean(titles))))

    def histories(self, length: int) -> Iterator[HistoryBatch]:
        """Histories of a sample of users, each of so many events."""
        examples = self.split.validation.sample(self.request.users, self.request.seed)
        return drawn_histories(examples, self.train.events, length, self.request.seed)

    def row(self, of: Variant, **facts: Any) -> CostRow:
        """A row with all that is known beforehand."""
        return CostRow(
            dataset=self.request.dataset,
            task=self.request.task,
            method=of.method,
            axes=dict(of.axes),
            llm=self.request.llm_config,
            tokenizer=self.tokenizer_name,
            **facts,
        )


def _row(variant: Variant, shop: _Shop) -> CostRow:
    request = shop.request
    reason = why_not(variant.method, request.task, shop.train, request.tables)
    if reason:
        return shop.row(variant, na=reason)
    chosen = Chosen.of(variant, shop.layers, request.tables)
    outline = chosen.outline(shop.train, shop.llm, shop.query_tokens, shop.answer_tokens)
    cost = counted_cost(
        outline,
        shop.histories(chosen.length),
        events=chosen.length,
        answer_tokens=shop.answer_tokens,
        causal=request.causal,
    )
    told = {**chosen.told, "query_tokens": shop.query_tokens, "answer_tokens": shop.answer_tokens}
    if request.causal != 0.5:
        told["causal"] = request.causal
    return shop.row(variant, variant=_label(chosen, outline.labels), settings=told, cost=cost)


def _label(chosen: Chosen, labels: Mapping[str, str]) -> str:
    """What a row is called beside its axes."""
    changed = [f"{name}={value}" for name, value in chosen.changes.items() if name not in labels]
    return ", ".join([*labels.values(), *changed])


def _called(target: str) -> Any:
    """Something of the methods' side, as the registry's entries name it."""
    return cast("Any", load(target))
