import numpy as np
import pytest

from benchmark.cli import main
from benchmark.errors import UserError
from benchmark.reporting.data_notes import NOTES, read_notes
from tests.benchmark.evidence.rows import finished


def test_a_note_stands_wherever_the_data_set_does(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("user_llm", "sasrec"):
        finished(tmp_path, name, rng.random(60) < 0.3)
    (tmp_path / NOTES).write_text("ml-100k: made up | by <b>nobody</b>\n")
    assert main(["report", str(tmp_path), "--out", str(tmp_path / "report")]) == 0
    text = (tmp_path / "report/REPORT.md").read_text()
    told = [line for line in text.splitlines() if "made up" in line]
    assert len(told) >= 3  # conclusion, data, results
    assert "<b>" not in text
    assert any(line.startswith("- **next_item on ml-100k") for line in told)


def test_later_folders_win_and_without_a_file_there_is_no_note(tmp_path):
    for folder, text in (("a", "x: one\ny: two"), ("b", "x: three"), ("c", "")):
        (tmp_path / folder).mkdir()
        if text:
            (tmp_path / folder / NOTES).write_text(text)
    folders = [tmp_path / name for name in "abc"]
    assert read_notes(folders) == {"x": "three", "y": "two"}
    assert read_notes(folders[2:]) == {}


def test_the_nearest_folder_above_speaks_for_those_below(tmp_path):
    below = tmp_path / "shop/next_item"
    below.mkdir(parents=True)
    (tmp_path / NOTES).write_text("shop: far")
    assert read_notes([below]) == {"shop": "far"}
    (tmp_path / "shop" / NOTES).write_text("shop: near")
    assert read_notes([below]) == {"shop": "near"}


@pytest.mark.parametrize("text", ["- a\n- b", "x: [1, 2]", "x: ''", "x: {", ""])
def test_broken_notes(tmp_path, text):
    (tmp_path / NOTES).write_text(text)
    with pytest.raises(UserError, match=NOTES):
        read_notes([tmp_path])
