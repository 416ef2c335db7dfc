import numpy as np
import pytest

from benchmark.cli import main
from benchmark.errors import UserError
from benchmark.evidence.comparisons import MARGIN
from benchmark.reporting.data_notes import NOTES, DataNote, read_notes
from benchmark.reporting.facts import make_report
from benchmark.tables import default_tables
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
    assert read_notes(folders) == {"x": DataNote("three"), "y": DataNote("two")}
    assert read_notes(folders[2:]) == {}


def test_the_nearest_folder_above_speaks_for_those_below(tmp_path):
    below = tmp_path / "shop/next_item"
    below.mkdir(parents=True)
    (tmp_path / NOTES).write_text("shop: far")
    assert read_notes([below]) == {"shop": DataNote("far")}
    (tmp_path / "shop" / NOTES).write_text("shop: {note: near, made_up: true}")
    assert read_notes([below]) == {"shop": DataNote("near", made_up=True)}


def test_what_is_made_up_decides_nothing(tmp_path):
    rng = np.random.default_rng(0)
    for name, share in (("user_llm", 0.5), ("sasrec", 0.1)):
        finished(tmp_path, name, rng.random(300) < share)
    tables = default_tables()
    before = make_report([tmp_path], tables, MARGIN)
    (tmp_path / NOTES).write_text("ml-100k: {note: by nobody, made_up: true}")
    after = make_report([tmp_path], tables, MARGIN)
    assert before.verdicts["better"] == 1
    assert not any(after.verdicts.values())
    claims = [{own.name: own.outcome for own in report.claims} for report in (before, after)]
    assert claims[0]["next_item"] == "confirmed"
    assert claims[1]["next_item"] == "missing"
    assert after.conclusions[0].better  # it is said all the same
    assert main(["report", str(tmp_path), "--out", str(tmp_path / "report")]) == 0
    text = (tmp_path / "report/REPORT.md").read_text()
    assert "highest value of the first metric in 0 of 0 comparisons" in text
    assert "count neither here nor in what is held against the study: ml-100k." in text


@pytest.mark.parametrize(
    "text",
    [
        "- a\n- b",
        "x: [1, 2]",
        "x: ''",
        "x: {",
        "",
        "x: {made_up: true}",
        "x: {note: a, made_up: 1}",
    ],
)
def test_broken_notes(tmp_path, text):
    (tmp_path / NOTES).write_text(text)
    with pytest.raises(UserError, match=NOTES):
        read_notes([tmp_path])
