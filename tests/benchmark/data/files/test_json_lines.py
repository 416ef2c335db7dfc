"""JSON lines: what is read, what is told of broken lines, and that nothing else comes out."""

import json
from unittest.mock import patch

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.data.files import json_objects, plain_text
from benchmark.data.files.archives import Opened
from benchmark.data.files.broken import Check
from benchmark.data.files.lines import read_json_lines
from benchmark.errors import UserError

SCHEMA = {"s": pl.String, "i": pl.Int64, "f": pl.Float64, "l": pl.List(pl.String)}
THERE = Check("i", lambda value: value.is_not_null(), "is missing")


@pytest.fixture
def read(tmp_path):
    def reader(data, schema=SCHEMA, *, broken=0.0, checks=()):
        path = tmp_path / "file"
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
        frame, counts = read_json_lines(
            Opened("file.json.gz", path), schema, broken=broken, checks=checks
        )
        assert frame.schema == pl.Schema(schema)
        return frame.rows(), counts

    return reader


@pytest.mark.parametrize(
    "data",
    [
        '{"s":"a","i":1}\n{"s":"b","i":2}\n',
        '{"s":"a","i":1}\n{"s":"b","i":2}',
        '{"s":"a","i":1}\r\n{"s":"b","i":2}\r\n',
        '\ufeff{"s":"a","i":1}\n\n  \n{"s":"b","i":2}\n\n',
        '{"i":1,"name":"kept out","s":"a","x":{"y":[1]}}\n{"l":null,"s":"b","i":2}\n',
        '{"s":"a","i":"1"}\n{"s":"b","i":2.0}\n',
        '{"s":"a","i":1}\n{"s":"b","i":2}\n'.encode("utf-16"),
    ],
)
def test_the_same_rows_however_they_are_written(read, data):
    assert read(data) == ([("a", 1, None, None), ("b", 2, None, None)], {})


@pytest.mark.parametrize(
    ("line", "row"),
    [
        ("{}", (None, None, None, None)),
        ('{"f": 3}', (None, None, 3.0, None)),
        ('{"f": "4.5"}', (None, None, 4.5, None)),
        ('{"s": 5}', ("5", None, None, None)),
        ('{"s": 5.0}', ("5", None, None, None)),
        ('{"s": 5.0, "i": "1"}', ("5", 1, None, None)),
        ('{"s": [1, "a"]}', ('[1, "a"]', None, None, None)),
        ('{"l": ["a", "b"]}', (None, None, None, ["a", "b"])),
        ('{"l": ["a", 1, null]}', (None, None, None, ["a", "1", None])),
        ('{"l": "a"}', (None, None, None, ["a"])),
        ('{"l": []}', (None, None, None, [])),
        ('{"s": "\\ud83d\\ude00 \\u00e9"}', ("😀 é", None, None, None)),
        ('{"s": "\\ud83d alone"}', ("? alone", None, None, None)),
        ('{"s": "a\\nb\\u2028c"}', ("a\nb\u2028c", None, None, None)),
    ],
)
def test_values(read, line, row):
    other = ("b", 2, None, None)
    assert read(f'{line}\n{{"s":"b","i":2}}\n') == ([row, other], {})


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("null", "is no JSON object"),
        ("[1]", "is no JSON object"),
        ('"text"', "is no JSON object"),
        ("{} {}", "is no JSON"),
        ('{"s": "a"', "is no JSON"),
        ('{"s": "a"},', "is no JSON"),
        ("{'s': 'a', 'i': 1}", "is no JSON"),
        ('{"f": NaN, "i": 1}', "NaN is no number"),
        ('{"i": "soon"}', "'i' 'soon' is no number"),
        ('{"i": 1.5}', "'i' 1.5 is no number"),
        ('{"i": true}', "'i' True is no number"),
        ('{"i": [1]}', r"'i' \[1\] is no number"),
        ('{"i": 9223372036854775808}', "is no number"),
        ('{"i": 1' + "0" * 5000 + "}", "is no "),
        ('{"i": 1, "f": 1e999}', "'f' inf is no number"),
        (b'{"s": "\xe9", "i": 1}', "is not UTF-8"),
        ("[" * 100_000, "is no JSON"),
        ('{"x":' * 100_000, "is no JSON"),
        ('{"s": "no number"}', "'i' is missing"),
        ('{"s": "x", "i": null}', "'i' is missing"),
    ],
)
def test_a_broken_line_is_told_counted_and_skipped(read, line, reason, caplog):
    line = line if isinstance(line, bytes) else line.encode()
    good = b'{"s":"a","i":1}\n' * 5
    rows, counts = read(good + line + b"\n" + good, broken=0.1, checks=[THERE])
    assert rows == [("a", 1, None, None)] * 10
    assert counts == {"broken lines": 1}
    assert "file.json.gz: 1 broken lines were skipped; line 6: " in caplog.text
    with pytest.raises(UserError, match=r"1 of 11 lines are broken.*line 6: .*" + reason) as error:
        read(good + line + b"\n" + good, broken=0.05, checks=[THERE])
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 500


def test_a_file_of_something_else_is_given_up_early(read):
    with pytest.raises(UserError, match="or more of 20,001 lines are broken"):
        read("userId,movieId,rating\n" * 20_000, broken=0.01)


@pytest.mark.parametrize("data", ["", "\n \n", "\ufeff"])
def test_an_empty_file(read, data):
    with pytest.raises(UserError, match=r"file\.json\.gz is empty"):
        read(data)


@pytest.mark.parametrize("size", [1, 20, 100])
def test_blocks_change_nothing(read, size, monkeypatch):
    data = "\n".join(f'{{"i": {n}}}' if n != 50 else "{" for n in range(100))
    whole = read(data, broken=0.1)
    assert len(whole[0]) == 99
    monkeypatch.setattr(plain_text, "BLOCK_BYTES", size)
    assert read(data, broken=0.1) == whole


def test_a_line_without_end_is_not_read_into_memory(read, monkeypatch):
    monkeypatch.setattr(plain_text, "BLOCK_BYTES", 100)
    monkeypatch.setattr(plain_text, "LINE_BYTES", 1000)
    long = json.dumps({"s": "x" * 5000})
    assert read(f'{{"i":1}}\n{long}\n{{"i":2}}', broken=0.5) == (
        [(None, 1, None, None), (None, 2, None, None)],
        {"broken lines": 1},
    )


# --------------------------------------------------------------------------- drawn inputs

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
ROW = st.fixed_dictionaries(
    {},
    optional={
        "s": TEXT | st.none(),
        "i": st.integers(-(2**63), 2**63 - 1) | st.none(),
        "f": st.floats(allow_nan=False, allow_infinity=False) | st.none(),
        "l": st.lists(TEXT) | st.none(),
        "else": TEXT | st.integers() | st.dictionaries(TEXT, TEXT),
    },
)


@settings(max_examples=40, deadline=None)
@given(rows=st.lists(ROW, min_size=1, max_size=8), ascii_only=st.booleans())
def test_well_formed_rows_come_back(tmp_path_factory, rows, ascii_only):
    path = tmp_path_factory.mktemp("rows") / "file"
    lines = [json.dumps(row, ensure_ascii=ascii_only) for row in rows]
    path.write_bytes("".join(f"{line}\n" for line in lines).encode())
    frame, counts = read_json_lines(Opened("f", path), SCHEMA, broken=0.0)
    assert frame.rows() == [tuple(row.get(name) for name in SCHEMA) for row in rows]
    assert counts == {}


PLAIN = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters='"\\'), max_size=3
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | PLAIN
    | st.sampled_from(["1", "2.5", "1e3", "-0"]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from([*SCHEMA, "x"]), inner, max_size=4),
    max_leaves=6,
)  # fmt: skip
FLOATS = st.floats(-1e6, 1e6)
VALUES = st.fixed_dictionaries(
    {}, optional={**dict.fromkeys("sifx", JSON | FLOATS), "l": JSON | FLOATS | st.lists(FLOATS)}
)
"""What is deeper inside is written as each way likes; only debris has that where text is."""
PIECES = st.sampled_from(
    [b"{", b"}", b'"s":', b'"i":', b'"l":', b"1", b'"a"', b",", b"[", b"]", b"null", b"NaN",
     b"\n", b"\n", b" ", b"\\", b"\xe9", b"\\ud83d", b'"', b"\0", b"\xff\xfe", b"{}", b"1e400"]
)  # fmt: skip


@settings(max_examples=80, deadline=None)
@given(
    data=st.one_of(
        st.binary(max_size=200),
        st.lists(PIECES, max_size=40).map(lambda parts: b"".join(parts)),
        st.lists(JSON, max_size=6).map(lambda rows: "\n".join(map(json.dumps, rows)).encode()),
    ),
    broken=st.sampled_from([0.0, 0.5, 1.0]),
    block=st.sampled_from([3, 20, 10_000]),
)
def test_arbitrary_bytes_raise_nothing_but_user_errors(tmp_path_factory, data, broken, block):
    path = tmp_path_factory.mktemp("bytes") / "file"
    path.write_bytes(data)
    with patch.object(plain_text, "BLOCK_BYTES", block):
        try:
            frame, _ = read_json_lines(Opened("f", path), SCHEMA, broken=broken, checks=[THERE])
        except UserError as error:
            message = str(error)
        else:
            message = ""
            assert len(frame)
            assert frame.schema == pl.Schema(SCHEMA)
    assert "\n" not in message


@settings(max_examples=80, deadline=None)
@given(
    rows=st.lists(VALUES, max_size=3),
    ascii_only=st.booleans(),
)
def test_the_quick_way_reads_what_the_slow_one_reads(tmp_path_factory, rows, ascii_only):
    path = tmp_path_factory.mktemp("bytes") / "file"
    lines = [json.dumps(row, ensure_ascii=ascii_only) for row in ({"i": 1}, *rows)]
    path.write_bytes("\n".join(lines).encode("utf-8", errors="replace"))

    def outcome():
        frame, counts = read_json_lines(Opened("f", path), SCHEMA, broken=1.0)
        return frame.rows(), counts

    quick = outcome()
    with patch.object(json_objects, "_all_at_once", lambda *_: None):
        assert quick == outcome()
