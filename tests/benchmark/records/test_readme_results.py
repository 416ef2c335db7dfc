import numpy as np
import pytest

from benchmark.records.readme_results import main
from tests.benchmark.evidence.rows import finished

BLOCK = "before\n<!-- results: {} -->\nold and wrong\n<!-- end of results -->\nafter\n"


@pytest.fixture
def document(tmp_path):
    rng = np.random.default_rng(0)
    for seed in (0, 1):
        finished(tmp_path / "runs/a", "sasrec", rng.random(200) < 0.3, seed)
        finished(tmp_path / "runs/a", "alien", rng.random(200) < 0.2, seed)
    dataset = finished(tmp_path, "x", np.ones(3)).record.dataset
    other = dataset.model_copy(update={"fingerprint": "g", "name": "other"})
    finished(tmp_path / "runs/b", "sasrec", np.ones(10), dataset=other)
    path = tmp_path / "README.md"
    path.write_text(BLOCK.format("metrics=recall@1 figure=bars.png runs/a"))
    return path


def test_a_table_is_what_the_records_say(document, capsys):
    assert main([str(document), "--check"]) == 1
    assert "make readme-results" in capsys.readouterr().err
    assert not (document.parent / "bars.png").exists()
    assert main([str(document)]) == 0
    text = document.read_text()
    assert text.startswith("before\n<!-- results: metrics=recall@1")
    assert text.endswith("<!-- end of results -->\nafter\n")
    assert "old and wrong" not in text
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith("| `")]
    assert [row[0] for row in rows] == ["| `sasrec`", "| `alien`"]  # known methods first
    least, most = map(float, rows[0][2].split(" to "))
    assert rows[0][3] == "2"  # seeds
    value, low, high = (float(part.strip("(),")) for part in rows[0][1].replace("to", "").split())
    assert low < value < high
    assert low < least < value < most < high
    assert (document.parent / "bars.png").stat().st_size > 1000
    assert main([str(document), "--check"]) == 0
    assert main([str(document)]) == 0
    assert document.read_text() == text


def test_a_changed_record_is_found(document, capsys):
    assert main([str(document)]) == 0
    folder = document.parent / "runs/a"
    finished(folder, "sasrec", np.ones(200), 1)
    assert main([str(document), "--check"]) == 1


def test_several_folders_are_columns(document):
    document.write_text(BLOCK.format("metrics=recall@1 runs/a runs/b"))
    assert main([str(document)]) == 0
    lines = document.read_text().splitlines()
    assert "| method | ml-100k | other |" in lines
    assert "| `sasrec` | 0." in next(line for line in lines if line.startswith("| `sasrec`"))
    assert next(line for line in lines if line.startswith("| `alien`")).endswith("|  |")


@pytest.mark.parametrize("what", ["nowhere", "runs"])
def test_wrong_folders(document, capsys, what):
    document.write_text(BLOCK.format(what))
    assert main([str(document)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert main([]) == 2
