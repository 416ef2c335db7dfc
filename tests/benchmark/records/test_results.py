import json

import pytest

from benchmark.errors import UserError
from benchmark.records.results import (
    SCHEMA_VERSION,
    Row,
    comparison_group,
    find_records,
    load_records,
    read_record,
    row_of,
    to_frame,
    variant_label,
)
from tests.records import make_record, write_record


def test_a_record_reads_back_as_it_was_written(tmp_path):
    record = make_record("alpha", curve=((0.5, 3, 0.25),))
    assert read_record(write_record(tmp_path, record)) == record


def test_records_are_found_at_any_depth_each_once(tmp_path):
    for depth, method in (("a", "one"), ("b/c/d", "two"), (".tmp-x", "hidden")):
        write_record(tmp_path / depth, make_record(method))
    rows = load_records([tmp_path, tmp_path / "b"])
    assert [row.method for row in rows] == ["one", "two"]
    # A hidden folder that is named itself is meant.
    assert len(load_records([tmp_path / ".tmp-x"])) == 1


def test_a_record_file_can_be_named_itself(tmp_path):
    path = write_record(tmp_path, make_record("one"))
    assert [row.path for row in load_records([path])] == [path]


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"schema_version": SCHEMA_VERSION + 1}, "newer version"),
        ({"seed": "many"}, "seed"),
        ({"surprise": 1}, "surprise"),
        ({"schema_version": None}, "schema_version"),
    ],
)
def test_a_wrong_record_is_one_line_that_names_the_file(tmp_path, change, part):
    path = write_record(tmp_path, make_record("one"))
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(UserError) as caught:
        read_record(path)
    assert part in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "{}", "\x00"])
def test_what_is_no_record_is_one_line(tmp_path, text):
    path = write_record(tmp_path, make_record("one"))
    path.write_text(text)
    with pytest.raises(UserError, match="broken"):
        load_records([tmp_path])


def test_a_file_of_another_kind_is_not_to_be_deleted(tmp_path):
    path = tmp_path / "README.md"
    path.write_text("# mine")
    with pytest.raises(UserError, match=r"is no record.*name a record\.json") as caught:
        load_records([path])
    assert "delete" not in str(caught.value)


def test_no_record_and_no_folder_are_errors(tmp_path):
    with pytest.raises(UserError, match=r"no record\.json under"):
        load_records([tmp_path])
    with pytest.raises(UserError, match="there is no folder"):
        load_records([tmp_path / "none"])


def test_json_rows_have_the_promised_keys(tmp_path):
    record = make_record("alpha")
    path = write_record(tmp_path, record)
    row = row_of(record, path).to_json()
    assert row | {} == json.loads(json.dumps(row))
    identity = ("dataset", "task", "method", "seed", "preset", "axes")
    assert [row[key] for key in identity] == ["ml-100k", "next_item", "alpha", 0, "quick", {}]
    assert row["metrics"] == record.metrics
    assert row["intervals"]["recall@10"] == list(record.intervals["recall@10"])
    assert row["record"] == str(path)
    assert "na" not in row
    assert "error" not in row
    for reason in ("na", "error"):
        other = Row(dataset="d", task="t", method="m", seed=1, preset="p", **{reason: "why"})
        values = other.to_json()
        assert values[reason] == "why"
        assert set(values) == {*identity, reason}


def test_the_frame_is_tidy_and_leaves_unfinished_rows_out(tmp_path):
    record = make_record("alpha")
    rows = [
        Row(dataset="d", task="t", method="m", seed=1, preset="p", na="no"),
        row_of(record, tmp_path),
    ]
    frame = to_frame(rows)
    assert set(frame["metric"]) == set(record.metrics)
    assert set(frame["record"]) == {1}
    line = frame[frame["metric"] == "recall@10"].iloc[0]
    assert line["low"] <= line["value"] <= line["high"]


def test_what_may_not_be_compared_is_in_different_groups():
    base = make_record("alpha")
    group = comparison_group(base)
    assert comparison_group(make_record("beta", seed=3)) == group
    changes = [
        {"preset": "full"},
        {"dataset": base.dataset.model_copy(update={"target_hash": "other"})},
        {"task": base.task.model_copy(update={"version": "2"})},
        {"protocol": base.protocol.model_copy(update={"seen": "include"})},
        {"protocol": base.protocol.model_copy(update={"part": "validation"})},
    ]
    groups = {comparison_group(base.model_copy(update=change)) for change in changes}
    assert len(groups | {group}) == len(changes) + 1


def test_labels_of_variants_are_short_and_differ_where_variants_do():
    long = {f"section.setting_{number}": number for number in range(9)}
    records = [
        make_record("alpha"),
        make_record("alpha", method_changes={"width": 8}),
        make_record("alpha", method_changes=long),
        make_record("alpha", method_changes={**long, "section.setting_8": 9}),
        make_record("alpha", method_changes=long, tuned={"trials": 3}),
    ]
    labels = [variant_label(record) for record in records]
    assert labels[:2] == ["as is", "width=8"]
    assert len(set(labels)) == len(labels)
    assert max(map(len, labels)) <= 48
    assert labels[4].startswith("tuned, ")


@pytest.mark.parametrize(
    "text",
    [
        r'{"a": "\uD800"}',
        "[" * 100_000,
        '{"schema_version": ' + "[" * 100_000,
        '{"schema_version": 4, "a\\nb": 1}',
    ],
)
def test_what_breaks_a_parser_is_told_in_one_line(tmp_path, text):
    path = tmp_path / "record.json"
    path.write_text(text)
    with pytest.raises(UserError, match="is broken") as caught:
        read_record(path)
    assert "\n" not in str(caught.value)


def test_a_path_that_no_file_can_have(tmp_path):
    for path in (tmp_path / ("x" * 5000), tmp_path / "a\0b"):
        with pytest.raises(UserError, match="there is no folder"):
            list(find_records([path]))


def test_a_folder_in_a_record_s_place_is_told(tmp_path):
    (tmp_path / "cell" / "record.json").mkdir(parents=True)
    with pytest.raises(UserError, match=r"cannot read .*cell/record\.json: Is a directory"):
        load_records([tmp_path])
