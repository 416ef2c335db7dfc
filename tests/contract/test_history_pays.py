"""In each task, methods that read the history beat those that do not, outside the intervals.

Worlds with a planted dependence on the history go through the whole harness with small models.
`tests.history_world` plants it where every method under test can read it: `user_llm` reads items
and features, `text_prompt` and `previous_review` read earlier reviews too. Reviews of the data set
`synthetic` cannot show it of `user_llm`: there a user's own word is drawn at random, so that
earlier reviews tell it and nothing else does.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmark.config import read_config
from benchmark.entries import DatasetEntry
from benchmark.registry import Registry
from benchmark.runs.runner import run
from benchmark.tables import default_tables
from tests.fakes import Silent

SPARE = 0.02
"""How far the intervals must lie apart at least."""

FAST = {"learning_rate": 5e-3}
ENCODER = {
    "transformer": {"width": 32, "layers": 1, "dropout": 0.1},
    "fit": {"history": 24, "batch_size": 32, "epochs": 12, "looks": 0},
    "optimizer": FAST,
}
LANGUAGE = {
    "width": 48, "layers": 1, "heads": 4, "vocabulary": 800, "epochs": 2, "batch_size": 32,
    "max_tokens": 30_000,
}  # fmt: skip
TUNE = {"batch_size": 16, "looks": 0, "optimizer": FAST}


def settings(budget: dict[str, int], items: int) -> dict[str, Any]:
    """Settings of the methods: how much both language models learn from, and how far back."""
    prompt = {"language_model": LANGUAGE, "items": items, "fields": ["genres"]}
    user_llm = {"language_model": LANGUAGE, "align": {"steps": 60, "batch_size": 32}}
    return {
        "cost": {"users": 0},
        "sasrec": ENCODER,
        "user_encoder": ENCODER,
        "text_prompt": {**prompt, **TUNE, "batch_targets": 24, **budget},
        "user_llm": {**user_llm, "tune": {**TUNE, "windows": 8, **budget}},
    }


@dataclass(frozen=True)
class Claim:
    """Who beats whom.

    Attributes:
        world: Where.
        metric: By what.
        aware: Methods that read the history.
        blind: Methods that do not: all that the task has.
        settings: By section.
    """

    world: str
    metric: str
    aware: tuple[str, ...]
    blind: tuple[str, ...]
    settings: dict[str, Any]


CLAIMS = {
    "next_item": Claim(
        "chain",
        "recall@10",
        ("sasrec", "text_prompt", "user_llm"),
        ("popularity",),
        settings({"targets": 8_000}, items=3),
    ),
    "favorite_genre": Claim(
        "taste",
        "recall@1",
        ("genre_counter", "user_llm"),
        ("popularity", "no_history"),
        {**settings({"examples": 3_000}, items=8), "favorite_genre": {"horizon": 5}},
    ),
    "review_generation": Claim(
        "taste",
        "rougeL",
        ("previous_review", "text_prompt", "user_llm"),
        ("common_sentence", "no_history"),
        {**settings({"examples": 2_500}, items=3), "review_generation": {"longest": 6}},
    ),
}


def intervals(task: str, claim: Claim, folder: Path) -> dict[str, tuple[float, float]]:
    """The 95% interval of each method's metric on the test part."""
    (folder / "presets").mkdir()
    preset = {"description": "enough to find what is planted", "settings": claim.settings}
    (folder / "presets" / "small.yaml").write_text(yaml.safe_dump(preset))
    worlds: Registry[DatasetEntry] = Registry("data set")
    source = f"tests.history_world:{claim.world}_world"
    worlds.add(claim.world, DatasetEntry(source, "a made-up world", embedded=True))
    tables = replace(default_tables(), datasets=worlds, presets=folder / "presets")
    options = {"task": [task], "dataset": claim.world, "preset": "small", "out": folder / "runs",
               "methods": [*claim.blind, *claim.aware], "keep_models": False, "threads": 1,
               "seeds": [0]}  # fmt: skip
    rows = run(read_config(None, options, tables), tables, Silent())
    assert all(row.record for row in rows), {row.method: row.error or row.na for row in rows}
    return {row.method: row.record.intervals[claim.metric] for row in rows if row.record}


@pytest.mark.parametrize("task", CLAIMS)
def test_reading_the_history_pays(
    task: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("USERLLM_BENCH_HOME", str(tmp_path / "home"))
    claim = CLAIMS[task]
    found = intervals(task, claim, tmp_path)
    bar = max(found[name][1] for name in claim.blind)
    behind = {name: found[name] for name in claim.aware if found[name][0] < bar + SPARE}
    assert not behind, f"not above {bar:.3f}, where {claim.blind} end: {behind} of {found}"
