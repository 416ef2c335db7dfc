"""The documents: the example works, tables are those of the records, links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from matplotlib.image import imread

from benchmark.records.readme_results import rewritten
from userllm.llm.language_model import LanguageModel

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
DOCUMENTS = [README, ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def library_example() -> str:
    section = README.read_text(encoding="utf-8").split("## Use it as a library\n")[1]
    blocks = re.findall(r"```python\n(.*?)```", section.split("\n## ")[0], flags=re.DOTALL)
    assert len(blocks) == 1
    return blocks[0]


def test_the_library_example_runs(
    llm: LanguageModel,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    llm.model.save_pretrained("path/to/model")
    llm.tokenizer.save_pretrained("path/to/model")
    capsys.readouterr()
    names: dict[str, Any] = {}
    exec(compile(library_example(), str(README), "exec"), names)
    ranked = names["ranked"]
    assert [len(row) for row in ranked] == [3, 3]
    for row, history in zip(ranked, ({"b5", "b1"}, {"b6", "b3"}), strict=True):
        assert not {item for item, _ in row} & history
        assert [p for _, p in row] == sorted((p for _, p in row), reverse=True)
    # The histories say so plainly that whoever learns from them must find it.
    assert [row[0][0] for row in ranked] == ["b2", "b4"]
    assert all(isinstance(text, str) for text in names["written"])
    assert len(names["written"]) == 2
    assert names["states"].shape == (2, names["model"].encoder.width)
    assert torch.equal(names["again"].embed(names["new"]), names["states"])
    assert len(capsys.readouterr().out.splitlines()) == 2
    assert sorted(path.name for path in Path("my-user-llm").iterdir()) == [
        "config.json",
        "llm",
        "model.safetensors",
    ]


def test_the_documents_are_found() -> None:
    assert len(DOCUMENTS) > 8


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_tables_and_figures_are_those_of_the_reference_records(
    document: Path, tmp_path: Path
) -> None:
    text = document.read_text(encoding="utf-8")
    assert rewritten(document, figures=tmp_path) == text
    drawn = [path.relative_to(tmp_path) for path in tmp_path.rglob("*.png")]
    assert len(drawn) == text.count(" figure=")
    assert drawn or document is not README
    for path in drawn:
        fresh, committed = imread(tmp_path / path), imread(document.parent / path)
        assert fresh.shape == committed.shape
        # Fonts of another version may blur an edge; another number moves a bar and its label.
        changed = (abs(fresh - committed) > 0.5).any(axis=2)
        assert changed.mean() < 5e-5


def anchors(document: Path) -> set[str]:
    """What a link into a document may name behind the `#`."""
    text = re.sub(r"```.*?```", "", document.read_text(encoding="utf-8"), flags=re.DOTALL)
    titles = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_within_the_project_lead_somewhere(document: Path) -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", document.read_text(encoding="utf-8"))
    for link in links:
        if link.startswith("https:"):
            continue
        name, _, anchor = link.partition("#")
        path = document.parent / name if name else document
        assert path.exists(), link
        assert not anchor or anchor in anchors(path), link
