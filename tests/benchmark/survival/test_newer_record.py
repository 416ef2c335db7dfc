from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmark.cli import main
from benchmark.records.results import SCHEMA_VERSION, NewerRecordError, read_record
from tests.benchmark.survival.bench import starter, tables_of
from tests.records import make_record, write_examples, write_record

NEWER = SCHEMA_VERSION + 1
BOTH = (f"record schema {NEWER}", f"reads up to {SCHEMA_VERSION}")


def made_newer(path: Path) -> str:
    values = json.loads(path.read_text())
    values["schema_version"] = NEWER
    values["what_nobody_knows_yet"] = 1
    path.write_text(json.dumps(values))
    return path.read_text()


@pytest.fixture
def records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a record of this version and one of a newer."""
    monkeypatch.chdir(tmp_path)
    for method, recall in (("sasrec", 0.2), ("user_llm", 0.3)):
        record = make_record(method, recall=recall)
        write_record(tmp_path / "runs" / method, record)
        write_examples(tmp_path / "runs" / method, record)
    made_newer(tmp_path / "runs" / "user_llm" / "record.json")
    return tmp_path / "runs"


def test_a_newer_record_is_kept_and_the_other_cells_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("USERLLM_BENCH_HOME", str(tmp_path / "home"))
    start = starter(tables_of(), tmp_path / "out")
    path = start()[0].path
    assert path is not None
    before = made_newer(path)
    files = sorted(path.parent.iterdir())
    rows = start("alpha,beta")
    assert all(text in rows[0].error for text in (str(path), *BOTH, "--force"))
    assert rows[1].record is not None
    assert path.read_text() == before
    assert sorted(path.parent.iterdir()) == files
    assert start(force=True)[0].record is not None
    assert any(str(path) in line and "overwritten" in line for line in start.progress.lines)
    assert read_record(path).schema_version == SCHEMA_VERSION


@pytest.mark.parametrize("version", ["5", None, 4.5, [5]])
def test_a_version_that_is_no_whole_number_is_a_broken_record(
    tmp_path: Path, version: object
) -> None:
    path = write_record(tmp_path, make_record("sasrec"))
    values = json.loads(path.read_text())
    path.write_text(json.dumps({**values, "schema_version": version}))
    with pytest.raises(Exception, match="is broken") as caught:
        read_record(path)
    assert not isinstance(caught.value, NewerRecordError)


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (["plot", "runs"], 2),
        (["show", "runs/user_llm"], 2),
        (["probe", "runs/user_llm"], 2),
        (["compare", "runs/sasrec", "runs/user_llm"], 2),
        (["report", "runs", "--out", "report"], 0),
        (["verify", "runs"], 1),
        (["publish", "runs", "--out", "there"], 1),
    ],
)
def test_every_command_names_the_file_and_both_versions(
    records: Path, command: list[str], code: int, capfd: pytest.CaptureFixture[str]
) -> None:
    newer = records / "user_llm" / "record.json"
    before = newer.read_text()
    assert main(command) == code
    said = capfd.readouterr()
    text = " ".join((said.out + said.err).split())
    text += " ".join(page.read_text() for page in Path().glob("report/*.md"))
    assert str(newer.relative_to(records.parent)) in text
    assert all(part in text for part in BOTH)
    assert newer.read_text() == before


def test_publishing_does_not_replace_a_newer_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("USERLLM_BENCH_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        "benchmark.system.host.source_state", lambda: {"commit": "c", "dirty": False}
    )
    tables = tables_of()
    starter(tables, Path("out"))()
    command = ["publish", "out", "--out", "there"]
    assert main(command, tables) == 0
    (path,) = Path("there").rglob("record.json")
    before = made_newer(path)
    capfd.readouterr()
    assert main(command, tables) == 1
    said = " ".join(capfd.readouterr().out.split())
    assert str(path) in said
    assert all(part in said for part in BOTH)
    assert path.read_text() == before
