"""What a fine-tuning step of USER-LLM costs above the language model's own work.

Our side is a whole step: forward and backward through encoder, projector, fusion and language
model, gradient clipping left out, and the optimizer's step. The other side is the language model
alone, forward and backward on the same texts (the query and as much of a title as our step reads)
as Hugging Face's model takes them: a text a row, padded on the right, next-token cross-entropy over
the vocabulary, no optimizer. `packed` is that work on our own packed rows, next to free of padding:
what the language model cannot do without. The sides take turns on the same batches.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmark.data.dataset import Dataset
from benchmark.datasets import DATASETS
from benchmark.display.progress import open_progress
from benchmark.perf.comparison import Comparison
from benchmark.registrations import SPLITS
from benchmark.registry import load
from benchmark.system.home import stages_folder

TARGETS_PER_WINDOW = 8
WINDOWS = 32
STEPS = 40


def tuning_step(threads: int) -> Comparison:
    """The comparison on MovieLens-100K."""
    torch.set_num_threads(threads)
    dataset = DATASETS["ml-100k"].load()()  # type: ignore[operator]
    return compare(dataset, STEPS)


def compare(dataset: Dataset, steps: int) -> Comparison:
    """Median seconds of both sides over some batches.

    Args:
        dataset: Where windows and titles come from.
        steps: Batches timed.
    """
    torch.manual_seed(0)
    work = _Work(dataset)
    sides: dict[str, Callable[[int], object]] = {
        "ours": work.step,
        "theirs": work.padded,
        "packed": work.packed,
    }
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(-3, steps):  # the first few only warm up
        batch = number % len(work.batches)
        for name, side in sides.items():
            torch.manual_seed(batch)  # so that our step picks the targets of the texts
            begin = time.perf_counter()
            side(batch)
            if number >= 0:
                seconds[name].append(time.perf_counter() - begin)
    cost = {name: statistics.median(times) for name, times in seconds.items()}
    times = [f"{cost['ours'] / cost[side]:.2f}" for side in ("theirs", "packed")]
    print(f"a step costs {times[0]} times the language model, {times[1]} packed", file=sys.stderr)
    return Comparison(
        ours=cost["ours"],
        theirs=cost["theirs"],
        unit="seconds",
        details={
            "question": "seconds of a fine-tuning step, and of the language model on its texts",
            "counted": " ".join((__doc__ or "").split("\n\n")[1].split()),
            "dataset": dataset.name,
            "windows": WINDOWS,
            "targets_per_window": TARGETS_PER_WINDOW,
            "steps": steps,
            "packed_seconds": cost["packed"],
            "ours_over_theirs": cost["ours"] / cost["theirs"],
            "ours_over_packed": cost["ours"] / cost["packed"],
            "tokens": statistics.mean(sum(map(len, rows)) for rows in work.rows),
        },
    )


class _Work:
    """A model, batches, and the texts that a step reads of each."""

    def __init__(self, dataset: Dataset) -> None:
        train = SPLITS["last"].load()(dataset).train  # type: ignore[operator]
        language: Any = load("userllm.config:LanguageModelSettings")
        llm, _ = load("userllm.llm.corpus:language_model")(  # type: ignore[operator]
            train.catalog,
            train.events,
            language(epochs=0.1),  # how well it speaks changes no cost
            name=None,
            seed=0,
            cache=stages_folder(),
            progress=open_progress(),
        )
        of_encoder: Any = load("userllm.config:UserEncoderSettings")
        encoder = load("userllm.encoder.pretraining:new_encoder")(train.events, of_encoder(), 0)  # type: ignore[operator]
        settings: Any = load("userllm.config:UserLLMSettings")
        build: Any = load("userllm.model:UserLLM")
        tuning: Any = load("userllm.stages:Tuning")
        windows: Any = load("userllm.encoder.windows:endless_windows")
        self.llm: Any = llm
        self.model = build(encoder, llm, settings(), train.catalog)
        self.tuning = tuning(self.model, TARGETS_PER_WINDOW).train()
        self.optimizer = torch.optim.AdamW(self.tuning.parameters(), lr=1e-4, fused=True)
        endless, _ = windows(train.events, encoder.history + 1, WINDOWS, 0)
        self.batches = [next(endless) for _ in range(10)]
        self.layouts: list[Any] = []
        self.rows: list[list[Tensor]] = []
        for number, batch in enumerate(self.batches):
            torch.manual_seed(number)
            self._read(*self.tuning.pick(batch)[1:])

    def _read(self, items: Tensor, kept: Tensor) -> None:
        layout: Any = load("userllm.decoding:title_layout")
        model = self.model
        self.layouts.append(layout(model.trie, model.query, items, kept)[0])
        inputs = model.trie.item_inputs[items[kept]]
        self.rows.append([torch.cat([model.query, text[text >= 0]]) for text in inputs])

    def step(self, number: int) -> None:
        """A whole fine-tuning step."""
        self.optimizer.zero_grad()
        self.tuning.training_loss(self.batches[number]).backward()
        self.optimizer.step()

    def padded(self, number: int) -> None:
        """The language model alone, as Hugging Face's model reads texts."""
        self.optimizer.zero_grad()
        rows, pad = self.rows[number], torch.nn.utils.rnn.pad_sequence
        tokens = pad(rows, batch_first=True, padding_value=0)
        mask = pad([torch.ones_like(row) for row in rows], batch_first=True)
        labels = tokens.masked_fill(mask == 0, -100)
        self.llm.model(
            input_ids=tokens, attention_mask=mask, labels=labels, use_cache=False
        ).loss.backward()

    def packed(self, number: int) -> None:
        """The language model alone, on our packed rows."""
        self.optimizer.zero_grad()
        layout = self.layouts[number]
        vectors = self.llm.embed_tokens(layout.tokens)
        states = self.llm.hidden_states(vectors, layout.keep.unsqueeze(1), layout.offset)
        logits = self.llm.logits(states[:, :-1].flatten(0, 1))
        F.cross_entropy(logits, layout.tokens[:, 1:].flatten()).backward()
