"""The reference study's configuration files are valid, and each is there or made before its use."""

from __future__ import annotations

import itertools
import os
import shlex
import subprocess
from pathlib import Path

import pytest

from benchmark.config import read_config, read_layers
from benchmark.reporting.data_notes import NOTES
from benchmark.tables import default_tables
from benchmark.tuning.search import Search

ROOT = Path(__file__).parent.parent
STUDY = ROOT / "results/reference/study.sh"
TABLES = default_tables()
FILES = sorted(
    path
    for folder in ("reference", "tuned")
    for path in (ROOT / "results" / folder).glob("*.yaml")
    if path.name != NOTES
)
PARTS = ("ml_100k", "ml_latest_small", "ml_1m", "amazon", "google")


def commands(part):
    """What a part of the study would run, as options."""
    env = {**os.environ, "BENCH": "echo", "SEEDS": "0"}
    done = subprocess.run(
        ["sh", STUDY, part], cwd=ROOT, env=env, capture_output=True, text=True, check=True
    )
    for line in done.stdout.splitlines():
        words = shlex.split(line)[1:]
        yield {name: value for name, value in itertools.pairwise(words) if name.startswith("--")}


def made() -> dict[str, str]:
    """The files that `tune` makes, each with its split."""
    files = {}
    for options in commands("tune"):
        given = {key: options[f"--{key}"] for key in ("task", "dataset", "split", "preset")}
        config = read_config(None, {**given, "methods": options["--method"]}, TABLES)
        search = Search(config, TABLES, 1, 1.0, "", Path("results/tuned"), False, "")
        files[str(search.file)] = config.split
    return files


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_committed_configuration_is_valid(path) -> None:
    config = read_config(path, {}, TABLES)
    layers = read_layers(config, TABLES)
    resolved = [layers.resolve(TABLES, name) for name in config.sections]
    assert len(resolved) == len(config.sections) > 0


@pytest.mark.parametrize("part", PARTS)
def test_what_a_part_reads_is_committed_or_made_for_its_split(part) -> None:
    tuned = made()
    asked = list(commands(part))
    assert asked
    for options in asked:
        file = options.get("--config")
        if file in tuned:
            assert tuned[file] == options.get("--split", "last")
        else:
            assert file is None or ROOT / file in FILES


def test_methods_of_ml_1m_have_the_published_settings() -> None:
    (options,) = commands("ml_1m")
    config = read_config(ROOT / options["--config"], {}, TABLES)
    assert (config.dataset, config.preset, config.tuning) == ("ml-1m", "full", {})
    layers = read_layers(config, TABLES)
    assert layers.resolve(TABLES, "sasrec").fit.history == 200
    assert layers.resolve(TABLES, "user_encoder").fit == layers.resolve(TABLES, "sasrec").fit
