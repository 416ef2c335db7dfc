"""Whole sets of reviews: as `layouts` writes them, and the publishers' own where they are here."""

import os
from pathlib import Path

import pytest

from benchmark.data.made_up.layouts import write_layout
from benchmark.data.made_up.synthetic import SyntheticSettings
from benchmark.data.raw import PrepareSettings
from benchmark.data.readers.amazon import read_amazon
from benchmark.data.readers.google_local import read_google_local
from tests.publishers import as_dataset, everything

STRICT = PrepareSettings(broken=0)
REAL = os.environ.get("USERLLM_BENCH_TEST_DATA")


@pytest.mark.skipif(REAL is None, reason="USERLLM_BENCH_TEST_DATA names no folder of real files")
@pytest.mark.parametrize(
    ("name", "users", "items", "rows", "repeated"),
    [
        ("amazon-2014/Musical_Instruments", 1429, 900, 10_261, 0),
        ("amazon-2018/Gift_Cards", 458, 148, 2972, 0),
        ("amazon-2018/All_Beauty", 991, 85, 5269, 1051),
    ],
)
def test_real_files(name, users, items, rows, repeated):
    raw = read_amazon(name, Path(str(REAL)) / name.partition("/")[0], STRICT)
    assert raw.events["user"].n_unique() == users
    assert raw.events["item"].n_unique() == items == len(raw.catalog)
    assert raw.counts.get("exact duplicates", 0) == repeated
    assert len(raw.events) == rows - repeated
    written = raw.events["text"].drop_nulls()
    assert not written.str.contains(r"&#\d+;|<br|</").any()
    if name.endswith("Gift_Cards"):
        assert raw.catalog["text"].null_count() == 0
        assert raw.label_feature == "categories"


@pytest.mark.parametrize("quirks", [False, True])
@pytest.mark.parametrize("family", ["amazon-2014", "amazon-2018", "amazon-2023", "google-local"])
def test_the_layouts_of_the_synthetic_world(tmp_path, family, quirks):
    world = SyntheticSettings(users=30, items=40)
    source = write_layout(f"{family}/Toys", tmp_path, world, quirks=quirks)
    read = read_google_local if family == "google-local" else read_amazon
    raw = read(f"{family}/Toys", source, STRICT)
    assert 'Reader "' not in everything(raw).replace("\\", "")
    assert ("exact duplicates" in raw.counts) is quirks
    data = as_dataset(raw)
    assert data.events.num_users == 30
    assert data.label_feature == "categories"
    assert len(data.events.schema["categories"].labels) == world.genres
    assert (raw.catalog["text"].null_count() > 0) is quirks
