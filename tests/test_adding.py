"""The examples of `docs/adding.md` work as they stand: put into a copy of the project, they run."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "docs/adding.md").read_text(encoding="utf-8")
PIECES = re.findall(
    r"^(New file|Add to) `([\w./]+)`[^\n]*\n\n```python\n(.*?)```", TEXT, re.MULTILINE | re.DOTALL
)
SECTIONS = re.findall(r"^```yaml\n(  .*?)```", TEXT, re.MULTILINE | re.DOTALL)
ABLATIONS = re.findall(r"^```yaml\n# (\S+\.yaml)\n(.*?)```", TEXT, re.MULTILINE | re.DOTALL)
USERS, ITEMS = 12, 8


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project with everything that the page adds to it."""
    copy = tmp_path_factory.mktemp("project")
    for package in ("benchmark", "userllm", "baselines"):
        no_caches = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / package, copy / package, ignore=no_caches)
    for what, name, code in PIECES:
        place = copy / name
        assert place.exists() == (what == "Add to"), name
        with place.open("a", encoding="utf-8") as file:
            file.write(code if what == "New file" else f"\n\n{code}")
    for name, text in ABLATIONS:
        (copy / name).write_text(text, encoding="utf-8")
    with (copy / "benchmark/configs/presets/smoke.yaml").open("a", encoding="utf-8") as preset:
        preset.writelines(SECTIONS)
    return copy


def told(project: Path, *arguments: str) -> str:
    """What the copy's command says."""
    home = {"USERLLM_BENCH_HOME": str(project / "home"), "PYTHONPATH": str(project)}
    done = subprocess.run(
        [sys.executable, "-m", "benchmark", *arguments],
        cwd=project,
        env={**os.environ, **home},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_the_page_has_an_example_of_each_kind() -> None:
    names = [name for _, name, _ in PIECES]
    assert len([what for what, _, _ in PIECES if what == "New file"]) == 3
    assert names.count("benchmark/registrations.py") == 2
    assert names.count("benchmark/datasets.py") == 1
    assert len(SECTIONS) == 2
    assert len(ABLATIONS) == 1


def test_a_method_a_task_and_an_ablation_work_as_they_stand(project: Path) -> None:
    said = told(
        project,
        *("run", "--task", "next_item,next_item_untied", "--dataset", "synthetic"),
        *("--methods", "popularity,transitions", "--preset", "smoke"),
    )
    assert len(list((project / "results/runs").glob("*-next_item_untied-transitions-*"))) == 1
    assert "failed" not in said
    assert "recent" in told(project, "list", "ablations")


def test_a_data_set_works_as_it_stands(project: Path) -> None:
    events = ["user,item,rating,timestamp"]
    for user in range(USERS):
        for step in range(6):
            events.append(f"u{user},i{(user + step) % ITEMS},{1 + step % 5},{100 * step + user}")
    items = ["item,title,genres", *(f"i{n},Title {n},Comedy|War" for n in range(ITEMS))]
    with zipfile.ZipFile(project / "ratings.zip", "w") as archive:
        archive.writestr("events.csv", "\n".join(events))
        archive.writestr("items.csv", "\n".join(items))
    told(project, "data", "prepare", "ratings", "--from", "ratings.zip")
    said = told(
        project,
        *("run", "--task", "next_item", "--dataset", "ratings", "--part", "validation"),
        *("--methods", "popularity", "--preset", "smoke"),
    )
    assert "failed" not in said
