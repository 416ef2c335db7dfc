"""What `write_layout` writes, read back by the project's own readers through the commands."""

import json
import re

import pytest

from benchmark.cli import main
from benchmark.data.made_up.layouts import LAYOUTS, MOVIELENS, write_layout
from benchmark.data.made_up.synthetic import SyntheticSettings, bare_titles, make_frames
from benchmark.data.store.store import open_dataset
from benchmark.schema import ITEM, TEXT, TIMESTAMP, USER

SETTINGS = SyntheticSettings(users=40, items=30, events=(5, 12), titled=True, seed=5)
BY_ITEM = tuple(name for name in MOVIELENS if name != "ml-1m")
"""Where files are sorted by item, and so equal times, too."""


def number(item: str) -> int:
    """The number of an item behind the id that a layout gives it."""
    found = re.search(r"(\d+)(:0x\d+)?$", item)
    assert found is not None
    return int(found[1])


def histories_of(dataset, by_item: bool) -> list[list[int]]:
    log, ids = dataset.events, dataset.catalog.items.external_ids
    found = []
    for begin, end in zip(log.indptr[:-1], log.indptr[1:], strict=True):
        mine = [number(ids[item - 1]) for item in log.items[begin:end]]
        if by_item:
            mine = [item for _, item in sorted(zip(log.timestamps[begin:end], mine, strict=True))]
        found.append(mine)
    return sorted(found)


def histories_of_world(by_item: bool) -> list[list[int]]:
    _, chunks = make_frames(SETTINGS)
    order = [TIMESTAMP, ITEM] if by_item else [TIMESTAMP]
    users = next(chunks).sort(order, maintain_order=True).partition_by(USER)
    return sorted(mine[ITEM].to_list() for mine in users)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("quirks", [False, True])
def test_the_readers_give_the_world_back(layout, quirks, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("USERLLM_BENCH_HOME", str(tmp_path / "home"))
    name = layout if layout in MOVIELENS else f"{layout}/Toys"
    source = write_layout(name, tmp_path / "files", SETTINGS, quirks=quirks)
    assert main(["data", "prepare", name, "--from", str(source)]) == 0, capsys.readouterr().err
    dataset = open_dataset(name)
    by_item = layout in BY_ITEM
    assert histories_of(dataset, by_item) == histories_of_world(by_item)
    assert not dataset.has_repeats

    catalog, _ = make_frames(SETTINGS)
    with_year = layout in (*MOVIELENS, "own")
    titles = (catalog[TEXT] if with_year else bare_titles(catalog)).to_list()
    found = dict(zip(dataset.catalog.items.external_ids, dataset.catalog.texts[1:], strict=True))
    same = sum(titles[number(item) - 1] == text for item, text in found.items())
    assert same == len(found) if not quirks else same >= 0.6 * len(found)
    assert dataset.label_feature in dataset.events.schema.names

    capsys.readouterr()
    assert main(["data", "info", name, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["label_feature"] == dataset.label_feature
    assert told["events"] == sum(map(len, histories_of_world(by_item)))
    if quirks and layout not in (*MOVIELENS, "own"):
        assert told["skipped"]["exact duplicates"] > 0
    if layout not in MOVIELENS:
        share = told["texts"]["written"][TEXT]
        assert (
            share == 1.0
            if not quirks and layout != "google-local"
            else 0.4 < share < 1.0 or (layout == "own")
        )
    assert not any("Reader" in text for texts in dataset.events.written.values() for text in texts)
