"""The tree itself: files stay small enough to read, and the map of them is whole."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FILES = [
    path
    for folder in ("benchmark", "userllm", "baselines", "tests")
    for path in (ROOT / folder).rglob("*.py")
]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_has_at_most_400_lines(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400


def test_the_map_names_every_module_on_top_and_no_other() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    layout = text.split("## Layout\n")[1].split("\n## ")[0]
    named = set(re.findall(r"`(?:[\w/]*/)?(\w+\.py)`", layout))
    folders = (ROOT / "benchmark", ROOT / "userllm")
    on_top = {path.name for folder in folders for path in folder.glob("[!_]*.py")}
    assert on_top <= named
    assert named <= {path.name for path in FILES}
