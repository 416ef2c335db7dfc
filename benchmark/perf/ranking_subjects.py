"""What ranking is measured on: a catalogue, a language model over it, and users.

The harness reaches the models through names, so everything of theirs is `Any` here.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmark.config import read_config, read_layers
from benchmark.display.progress import open_progress
from benchmark.perf.movie_titles import movie_titles
from benchmark.records import results
from benchmark.registry import load
from benchmark.runs.planning import open_world
from benchmark.runs.runner import run
from benchmark.tables import default_tables

LARGE: Mapping[str, Any] = {
    "titles": 27_000,
    "pairs": 54_000,
    "language_model": {"vocabulary": 8000, "epochs": 1},
}
"""The large catalogue, and what its language model is trained on: lines of two titles."""


@dataclass(frozen=True)
class Subject:
    """A catalogue, a model and some users.

    Attributes:
        llm: The language model.
        fusion: Its cross-attention to users, if any.
        trie: The catalogue.
        titles: Tokens of each title, item 1 first.
        users: Their number.
        ask: Reads what stands before the title for some users: prompt, and prior or None.
        exclude: `BoolTensor[B, N + 1]` items left out for each user.
        facts: What a reader should know.
    """

    llm: Any
    fusion: Any
    trie: Any
    titles: Sequence[Sequence[int]]
    users: int
    ask: Callable[[slice], tuple[Any, Any]]
    exclude: Tensor
    facts: Mapping[str, object]


def trained_subject(
    dataset: str, *, users: int, preset: str, out: Path = Path("results/runs")
) -> Subject:
    """USER-LLM as a run of the harness trains it; taken from there where that run is finished.

    Args:
        dataset: Data set.
        users: How many of its users, asked for their validation target, seed 0.
        preset: Budget.
        out: Folder of runs.
    """
    tables = default_tables()
    options = {"task": "next_item", "dataset": dataset, "methods": "user_llm", "preset": preset}
    options["part"] = "validation"  # the test part is not for development
    config = read_config(None, {**options, "out": out}, tables)
    row = run(config, tables, open_progress())[0]
    if row.path is None or not (row.path.parent / results.MODEL).is_dir():
        # The run was made without keeping its model.
        config = config.model_copy(update={"force": True})
        row = run(config, tables, open_progress())[0]
    assert row.path is not None, row.error or row.na
    user_llm: Any = load("userllm.model:UserLLM")
    tokens: Any = load("userllm.llm.corpus:item_title_tokens")
    model = user_llm.from_pretrained(row.path.parent / results.MODEL).eval()
    world = open_world(config, tables, read_layers(config, tables), None, "")
    split = world.splits["next_item"]
    asked = split.validation.sample(users, seed=0)
    _, histories = next(asked.batches(users, model.encoder.history))

    def ask(some: slice) -> tuple[Any, Any]:
        rows = histories.rows(some)
        prompt, encoded = model.ask(rows)
        return prompt, model.prior(model.trie, encoded.at_latest())

    return Subject(
        llm=model.llm,
        fusion=model.fusion,
        trie=model.trie,
        titles=tokens(split.train.catalog, model.llm),
        users=len(asked),
        ask=ask,
        exclude=asked.seen(slice(0, len(asked))),
        facts={
            "dataset": dataset,
            "dataset_fingerprint": world.dataset.fingerprint,
            "target_hash": split.target_hash,
            "seen": "exclude",
            "model": f"user_llm, preset {preset}, seed 0, trained by the harness",
        },
    )


def made_up_subject(size: Mapping[str, Any], *, users: int, cache: Path) -> Subject:
    """An embedded language model on made-up titles; a user is one earlier title as text.

    It is trained briefly on lines of two titles, popular ones more often (by Zipf's law), of which
    half are neighbours in the list of titles.

    Args:
        size: As `LARGE`.
        users: How many.
        cache: Folder of training stages.
    """
    titles, rng = movie_titles(size["titles"], seed=0), random.Random(1)
    count = len(titles)

    def popular() -> int:
        return int(count ** rng.random()) - 1

    pairs = []
    for _ in range(size["pairs"]):
        first = popular()
        second = (first + rng.randint(1, 3)) % count if rng.random() < 0.5 else popular()
        pairs.append((first, second))
    settings: Any = load("userllm.config:LanguageModelSettings")
    embedded: Any = load("userllm.llm.embedded:embedded_language_model")
    build_trie: Any = load("userllm.decoding.trie:build_trie")
    read_prompt: Any = load("userllm.decoding:read_prompt")
    llm, report = embedded(
        [f"{titles[first]}\n {titles[second]}" for first, second in pairs],
        settings.model_validate(size["language_model"]),
        seed=0,
        cache=cache,
        progress=open_progress(),
    )
    tokens = [llm.encode(f" {title}") for title in titles]
    before = [popular() for _ in range(users)]
    leads = [torch.tensor(llm.encode(f" {titles[i]}\n", begin=True)).flip(0) for i in before]
    lead = torch.nn.utils.rnn.pad_sequence(leads, batch_first=True, padding_value=-1).flip(1)
    exclude = torch.zeros(users, count + 1, dtype=torch.bool)
    exclude[torch.arange(users), torch.tensor(before) + 1] = True

    def ask(some: slice) -> tuple[Any, Any]:
        return read_prompt(llm, lead[some], len(lead[some])), None

    return Subject(
        llm=llm.eval(),
        fusion=None,
        trie=build_trie(tokens, llm.end_token),
        titles=tokens,
        users=users,
        ask=ask,
        exclude=exclude,
        facts={
            "dataset": f"{count} made-up titles, seed 0",
            "examples": titles[:5],
            "model": "embedded language model, trained briefly on lines of two titles",
            "training": asdict(report),
            "settings": dict(size),
        },
    )
