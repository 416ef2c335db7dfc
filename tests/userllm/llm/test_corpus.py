"""What the embedded language model learns from, and how much of it a pass holds."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmark.data.dataset import Dataset
from benchmark.texts import Texts
from benchmark.types import IDS
from userllm.config import LanguageModelSettings
from userllm.llm.corpus import language_model, read_corpus
from userllm.llm.embedded import _encoded, _lines_of_a_pass, _passes, train_tokenizer
from userllm.progress import Silent


def test_what_users_wrote_stands_behind_the_catalogue(world: Dataset) -> None:
    told = read_corpus(world.catalog, world.events)
    assert len(told.catalog) == len(world.catalog)
    assert told.written == [text for text in world.events.written["text"] if text]
    assert told.lines == [*told.catalog, *told.written]


def test_ids_are_no_text(world: Dataset) -> None:
    ids = ("", *world.catalog.items.external_ids)
    catalog = replace(world.catalog, texts=ids, text_source=IDS)
    told = read_corpus(catalog, world.events)
    assert told.catalog
    assert not any(name in line for name in ids[1:] for line in told.catalog)
    # Where nothing else is said, there is nothing else to learn.
    mute = replace(world.events, written={}, schema=world.events.schema.subset(("rating",)))
    assert read_corpus(catalog, mute).lines == list(ids[1:])


def test_text_that_fits_is_read_whole_in_every_pass() -> None:
    lines = [torch.zeros(10)] * 9
    assert _lines_of_a_pass(lines, 4, 90) == 9
    passes = _passes(9, 4, 9, seed=0)
    assert all(next(passes).tolist() == list(range(9)) for _ in range(3))


def test_more_text_than_fits_is_read_in_turns() -> None:
    lines = [torch.zeros(10)] * 104
    shown = _lines_of_a_pass(lines, 4, 140)
    assert shown == 14  # the four that are always there, and room for ten
    drawn = [part.tolist() for part in itertools.islice(_passes(104, 4, shown, seed=0), 20)]
    assert all(part[:4] == [0, 1, 2, 3] and len(set(part)) == 14 for part in drawn)
    met = Counter(line for part in drawn for line in part[4:])
    assert set(met) == set(range(4, 104))
    assert set(met.values()) == {2}  # 20 passes of ten: each of the hundred twice
    again = [part.tolist() for part in itertools.islice(_passes(104, 4, shown, seed=0), 20)]
    assert drawn == again
    assert drawn != [part.tolist() for part in itertools.islice(_passes(104, 4, shown, 1), 20)]


def test_a_large_catalogue_leaves_room_for_what_users_write() -> None:
    lines = [torch.zeros(10)] * 150
    assert _lines_of_a_pass(lines, 100, 400) == 110


def test_lines_are_closed_or_cut() -> None:
    tokenizer = train_tokenizer(["one two three"], 300)
    short, long = _encoded(tokenizer, ["two", "three " * 200])
    ends = tokenizer.bos_token_id, tokenizer.eos_token_id
    assert (short[0], short[-1]) == ends
    assert tokenizer.decode(short[1:-1]) == " two"
    assert len(long) == 130
    assert long[0] == ends[0]
    assert ends[1] not in long


@pytest.mark.parametrize("room", [800, 10_000_000])
def test_the_budget_bounds_what_a_pass_costs(room: int, world: Dataset, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    count = world.events.num_events
    said = Texts.of(" ".join(rng.choice(["so", "it", "goes"], 9)) for _ in range(count))
    events = replace(world.events, written={"text": said})
    settings = LanguageModelSettings(
        width=16, heads=2, layers=1, vocabulary=300, epochs=2, batch_size=8, max_tokens=room
    )
    _, (report,) = language_model(
        world.catalog,
        events,
        settings,
        name=None,
        seed=0,
        cache=tmp_path,
        progress=Silent(),
    )
    lines = len(world.catalog) + count
    assert report.epochs == pytest.approx(2, rel=0.05)
    if room > 800:
        assert report.steps == pytest.approx(2 * lines / 8, abs=3)
    else:
        assert report.steps < 0.2 * 2 * lines / 8
