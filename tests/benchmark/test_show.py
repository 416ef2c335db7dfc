from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from benchmark.cli import main
from benchmark.records import results
from tests.fakes import make_tables
from tests.records import make_record, write_record

LONG = "word " * 60
METRICS = {"rouge1": 0.5, "rougeL": 0.25}


def keep(folder: Path, method: str, frame: pl.DataFrame, task: str, **changes: Any) -> Path:
    component = results.Component(name=task, version="1")
    metrics = {name: 0.5 for name in ("rouge1", "rougeL", "recall@1") if name in frame.columns}
    record = make_record(method, task=component, metrics=metrics, intervals={}, **changes)
    write_record(folder, record)
    frame.write_parquet(folder / results.EXAMPLES)
    return folder


def written(output: str, users: int = 9, shift: int = 0) -> pl.DataFrame:
    names = [f"u{n}" for n in range(users)]
    return pl.DataFrame(
        {
            "user": [*names[shift:], *names[:shift]],
            "prompt": [f"Item {n} | Review:" for n in range(users)],
            "reference": [LONG if n % 2 else f"Reference {n}.\nTwo lines." for n in range(users)],
            "output": [output] * users,
            "verbatim": [n % 3 == 0 for n in range(users)],
            "rouge1": [0.5] * users,
            "rougeL": [0.25] * users,
        }
    )


@pytest.fixture
def show(capsys: pytest.CaptureFixture[str]) -> Any:
    def call(*arguments: object) -> tuple[int, str, str]:
        code = main(["show", *map(str, arguments)])
        out, err = capsys.readouterr()
        return code, out, err

    return call


def test_it_prints_what_was_asked_beside_what_was_answered(show: Any, tmp_path: Path) -> None:
    run = keep(tmp_path / "a", "user_llm", written("An answer."), "review_generation")
    code, out, _ = show(run, "--examples", 9)
    assert code == 0
    lines = out.splitlines()
    assert lines[0] == "review_generation on ml-100k: test targets, 9 examples"
    begin = lines.index("user u2")
    assert lines[begin + 1 : begin + 8] == [
        "prompt     Item 2 | Review:",
        "reference  Reference 2.",
        "           Two lines.",
        "verbatim   no",
        "output     An answer.",
        "scores     rouge1 0.500, rougeL 0.250",
        "",
    ]
    assert all(len(line) <= 100 for line in lines)
    assert out.count("word") == 4 * 60  # wrapped, and nothing lost
    assert "\x1b" not in out


def test_the_seed_says_which_and_the_record_stands_for_its_folder(
    show: Any, tmp_path: Path
) -> None:
    run = keep(tmp_path / "a", "user_llm", written("x", users=40), "review_generation")
    chosen = [
        [line for line in show(path, "--seed", seed)[1].splitlines() if line.startswith("user ")]
        for path, seed in ((run, 0), (run / results.RECORD, 0), (run, 1))
    ]
    assert [len(users) for users in chosen] == [5, 5, 5]
    assert chosen[0] == chosen[1] != chosen[2]


def test_only_a_group(show: Any, tmp_path: Path) -> None:
    run = keep(tmp_path / "a", "user_llm", written("x"), "review_generation")
    _, out, _ = show(run, "--only", "new", "--examples", 100)
    assert "6 examples of group new" in out
    assert "verbatim   yes" not in out
    _, out, _ = show(run, "--only", "verbatim", "--examples", 100)
    assert "3 examples" in out
    assert "verbatim   no" not in out
    code, _, err = show(run, "--only", "nwe")
    assert code == 2
    assert "did you mean 'new'" in err
    all_known = written("x").with_columns(verbatim=True)
    code, _, err = show(keep(tmp_path / "b", "z", all_known, "review_generation"), "--only", "new")
    assert code == 2
    assert "no example" in err


def test_several_runs_stand_below_each_other_user_by_user(show: Any, tmp_path: Path) -> None:
    keep(tmp_path / "a", "user_llm", written("First."), "review_generation")
    keep(tmp_path / "b", "no_history", written("", shift=4), "review_generation")
    code, out, _ = show(tmp_path, "--examples", 9)
    assert code == 0
    blocks = out.split("\n\n")[1:]
    assert len(blocks) == 9
    for block in blocks:
        assert block.count("user u") == 1
        assert "user_llm    First." in block
        assert "no_history  (nothing)" in block
        assert block.count("rouge1 0.500") == 2


def test_what_each_run_says_of_itself_stands_with_its_answer(show: Any, tmp_path: Path) -> None:
    for method, share in (("sasrec", -1.5), ("popularity", -2.5)):
        frame = pl.DataFrame(
            {
                "user": ["u1"],
                "target": ["i7"],
                "ranked": [["i3", "i7"]],
                "first_logprob": [share],
                "candidates_logprob": [share],
                "ranked_popularity": [share],
                "recall@1": [0.0],
            }
        )
        keep(tmp_path / method, method, frame, "next_item")
    _, out, _ = show(tmp_path, "--examples", "1")
    assert ", 1 example\n" in out
    head, _, answers = out.partition("popularity  ")
    assert "logprob" not in head + answers.partition("first_logprob")[0]
    for name in ("first_logprob", "candidates_logprob", "ranked_popularity"):
        assert answers.count(name) == 2


def test_other_tasks_show_target_and_ranking(show: Any, tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {
            "user": ["u1"],
            "target": ["i7"],
            "ranked": [["i3", "i7"]],
            "target_rank": pl.Series([None], dtype=pl.Int64),
            "target_logprob": [-1.25],
            "tied": [True],
            "recall@1": [0.0],
        }
    )
    _, out, _ = show(keep(tmp_path / "a", "sasrec", frame, "next_item"), "--only", "tied")
    for line in ("target          i7", "ranked          i3, i7", "target_logprob  -1.250",
                 "scores          recall@1 0.000"):  # fmt: skip
        assert line in out.splitlines()
    assert "target_rank" not in out
    labels = pl.DataFrame(
        {"user": ["u1"], "right": [["Drama", "War"]], "ranked": [["War"]], "recall@1": [None]},
        schema_overrides={"recall@1": pl.Float64},
    )
    _, out, _ = show(keep(tmp_path / "b", "genre_counter", labels, "favorite_genre"))
    assert "right   Drama, War" in out.splitlines()
    assert "ranked  War" in out.splitlines()
    assert "scores" not in out


def test_what_cannot_be_shown_is_said_in_a_line(show: Any, tmp_path: Path) -> None:
    def refused(path: Path, *arguments: str) -> str:
        code, _, err = show(path, *arguments)
        assert code == 2
        assert err.count("\n") == 1
        return str(err)

    assert "there is no folder" in refused(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    assert "no finished run" in refused(tmp_path / "empty")
    run = keep(tmp_path / "a", "user_llm", written("x"), "review_generation")
    (run / results.EXAMPLES).write_bytes(b"PAR1 no")
    assert "cannot be read" in refused(run)
    (run / results.EXAMPLES).unlink()
    assert "only the record was kept" in refused(run)
    keep(tmp_path / "a", "user_llm", written("x"), "review_generation")
    keep(tmp_path / "b", "popularity", written("x"), "next_item")
    assert "not asked the same" in refused(tmp_path)
    assert "no groups" in refused(
        keep(tmp_path / "c", "m", written("x").drop("verbatim"), "review_generation"),
        "--only", "new",
    )  # fmt: skip


def test_next_items_are_shown_by_title_behind_the_end_of_the_history(
    capfd: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("USERLLM_BENCH_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    tables = make_tables()
    run = ("run", "--task", "next_item", "--dataset", "world", "--threads", "1", "--methods",
           "alpha", "--set", "cost.users=0")  # fmt: skip
    assert main(list(run), tables) == 0
    (path,) = Path("results/runs").glob("*/record.json")
    capfd.readouterr()

    assert main(["show", str(path), "--examples", "1"], tables) == 0
    out = capfd.readouterr().out
    dataset = tables.dataset("world").load()()
    user = next(line for line in out.splitlines() if line.startswith("user ")).split()[1]
    row = dataset.users.external_ids.index(user)
    own = dataset.events.items[dataset.events.indptr[row] : dataset.events.indptr[row + 1]]
    *history, target = [dataset.catalog.texts[int(item)] for item in own]
    words = " ".join(out.split())
    assert f"target {target} [" in words
    told = words.partition(" history ")[2].partition(" target ")[0]
    titles = [part.rpartition(" [")[0].removeprefix("… ") for part in told.split("; ")]
    assert titles == history[-5:]
    assert f"of {len(history)})" in told or len(history) <= 5
    first = pl.read_parquet(path.with_name(results.EXAMPLES)).filter(user=user)["ranked"][0][0]
    place = dataset.catalog.items.external_ids.index(first) + 1
    assert f"ranked {dataset.catalog.texts[place]} [{first}];" in words

    record = results.read_record(path)
    other = record.dataset.model_copy(update={"fingerprint": "another"})
    path.write_text(record.model_copy(update={"dataset": other}).model_dump_json())
    assert main(["show", str(path), "--examples", "1"], tables) == 0
    out = capfd.readouterr().out
    assert "items by their ids: the data set world here is another one" in out
    assert "history  " not in out
    assert f"ranked {first}, " in " ".join(out.split())
