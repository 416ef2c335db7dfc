"""What earlier calls left behind: records, examples, prepared sets, searches, checkpoints."""

from __future__ import annotations

import contextlib
import io
import os
from pathlib import Path

import polars as pl
import torch

from benchmark.cli import main
from benchmark.data.made_up.layouts import write_layout
from benchmark.data.made_up.synthetic import SyntheticSettings
from benchmark.data.raw import PrepareSettings
from benchmark.data.store.manifest import MANIFEST
from benchmark.data.store.prepare import prepare
from benchmark.data.store.store import open_dataset
from benchmark.datasets import DATASETS
from benchmark.errors import UserError
from benchmark.importing.predictions import read_predictions
from benchmark.records import results
from benchmark.records.example_files import read_examples
from benchmark.records.verification import verify
from benchmark.tables import default_tables
from benchmark.tuning.space import Dimension, Space
from benchmark.tuning.study import Attempt, Study
from tests.fakes import Silent, make_tables
from tests.fuzz.file_targets import FileSession
from tests.fuzz.target import Target
from tests.judged import keep
from tests.records import make_record, write_record
from userllm.training.resume import CheckpointFile

_TOKENS = (
    b"null", b"NaN", b"Infinity", b"-1", b"1e999", b"{}", b"[]", b'""', b"true", b'"\\ud800"',
    b'"\\u0000"', b'{"a":{}}', b"\xff", b"PAR1", b"\x93NUMPY", b"'descr': '|O'", b"\x80\x04",
)  # fmt: skip


def _record(folder: Path) -> FileSession:
    record = make_record(
        "user_llm",
        method_changes={"strategy": "lora", "fit.epochs": 3},
        curve=((1.0, 10, 0.1), (2.0, 20, 0.2)),
        budget={"text": "fit 2 ep"},
        llm={"name": "tiny", "sha256": "0" * 64},
    )
    path = write_record(folder / "runs" / "a", record)

    def read() -> None:
        found = results.row_of(results.read_record(path), path)
        found.to_json()
        assert found.record is not None
        results.comparison_group(found.record)
        results.variant_label(found.record)
        results.to_frame([found])
        from benchmark.commands.table import print_table

        with contextlib.redirect_stdout(io.StringIO()):
            print_table([found], ("recall@1", "recall@10"))

    return FileSession([(path, path.read_bytes())], read, _TOKENS)


def commands_on_records(words: tuple[str, ...], weight: float) -> Target:
    """A command over a folder with a record that is not as it should be."""

    def opened(folder: Path) -> FileSession:
        first = keep(folder / "runs" / "a", "next_item")
        keep(folder / "more" / "b", "next_item")
        (folder / "more" / "b" / results.RECORD).write_text(
            (folder / "more" / "b" / results.RECORD).read_text().replace('"alpha"', '"beta"')
        )
        examples = first.with_name(results.EXAMPLES)
        # A report is on the method that the project's own tables mark.
        tables = default_tables() if words[0] == "report" else make_tables()

        def read() -> None:
            complaints = io.StringIO()
            with (
                contextlib.redirect_stdout(io.StringIO()),
                contextlib.redirect_stderr(complaints),
            ):
                code = main(list(words), tables)
            if code == 2:
                raise UserError(complaints.getvalue().rstrip("\n"))
            assert code in (0, 1), code

        seeds = [(file, file.read_bytes()) for file in (first, first, examples)]
        return FileSession(seeds, read, _TOKENS)

    return Target(f"{words[0]} of a broken record", weight, opened)


def _examples(folder: Path) -> FileSession:
    path = keep(folder / "runs" / "a", "next_item")
    examples = path.with_name(results.EXAMPLES)
    tables = default_tables()

    def read() -> None:
        list(verify([path], tables))
        read_examples(path)

    return FileSession([(examples, examples.read_bytes())], read, _TOKENS)


def _predictions(folder: Path) -> FileSession:
    path = folder / "answers.parquet"
    frame = pl.DataFrame({"user": ["a", "b"], "ranked": [["x"], ["y", "z"]]})
    frame.write_parquet(path, metadata={"target_hash": "t", "task": "next_item"})
    return FileSession([(path, path.read_bytes())], lambda: read_predictions(path), _TOKENS)


def _prepared(folder: Path) -> FileSession:
    os.environ["USERLLM_BENCH_HOME"] = str(folder / "home")
    world = SyntheticSettings(users=8, items=10, events=(3, 6), genres=3, titled=True)
    source = write_layout("ml-latest-small", folder / "source", world)
    made = prepare(
        "ml-latest-small", DATASETS["ml-latest-small"], source, PrepareSettings(),
        tell=lambda line: None,
    )  # fmt: skip
    arrays = sorted((made.folder / "arrays").glob("*.npy"))
    files = [made.folder / MANIFEST] * 5 + arrays

    def read() -> None:
        os.environ["USERLLM_BENCH_HOME"] = str(folder / "home")
        found = open_dataset("ml-latest-small")
        _ = found.catalog.texts[0], found.events.items[:3]

    return FileSession([(file, file.read_bytes()) for file in files], read, _TOKENS)


def _journal(folder: Path) -> FileSession:
    path = folder / "one.journal"
    space = Space({"rate": Dimension(low=1e-4, high=0.1, log=True)}, {"rate": 0.01})
    study = Study(path, space, {"preset": "quick"}, 0)
    for _ in range(3):
        asked = study.suggest()
        study.add(asked, Attempt(asked.number, "finished", 0.5, 1.0, asked.settings))

    def read() -> None:
        found = Study(path, space, {"preset": "quick"}, 0)
        found.best()
        found.suggest()

    tokens = (*_TOKENS, b'"op_code": 3', b'"op_code": 99', b'"study_id": 9', b"\n")
    return FileSession([(path, path.read_bytes())], read, tokens)


def _checkpoint(folder: Path) -> FileSession:
    path = folder / "fit.pt"
    file = CheckpointFile(path, "me", Silent())
    file.save({"step": 3, "weights": {"a": torch.ones(3)}, "curve": [{"step": 1}]})
    return FileSession([(path, path.read_bytes())], file.load, _TOKENS)


TARGETS = (
    Target("record", 12, _record),
    Target("examples", 5, _examples),
    Target("answers", 4, _predictions),
    Target("prepared data set", 6, _prepared),
    Target("checkpoint", 5, _checkpoint),
    Target("search", 4, _journal),
    commands_on_records(("show", "runs", "--examples", "2"), 0.4),
    commands_on_records(("verify", "runs"), 0.4),
    commands_on_records(("compare", "runs", "more"), 0.2),
    commands_on_records(("plot", "runs", "more", "--out", "figures"), 0.05),
    commands_on_records(("report", "runs", "more", "--out", "report"), 0.03),
)
