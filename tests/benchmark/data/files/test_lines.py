"""Delimited text: what is read, what is told of broken lines, and that nothing else comes out."""

import csv
import io
import logging
from unittest.mock import patch

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.data.files import delimited, plain_text
from benchmark.data.files.archives import Opened
from benchmark.data.files.broken import Check
from benchmark.data.files.lines import read_delimited
from benchmark.errors import UserError

COLUMNS = {"user": pl.UInt32, "title": pl.String, "rating": pl.Float64}
NUMBERS = {"user": pl.UInt32, "item": pl.UInt32, "rating": pl.Float32, "time": pl.Int64}


@pytest.fixture
def read(tmp_path):
    def reader(data, separator=",", columns=COLUMNS, *, header=False, broken=0.0, **options):
        path = tmp_path / "file"
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
        opened = Opened("file.csv", path)
        frame, counts = read_delimited(
            opened, separator, columns, header=header, broken=broken, **options
        )
        assert frame.schema == pl.Schema(columns)
        return frame.rows(), counts

    return reader


@pytest.mark.parametrize(
    "data",
    [
        "1,a,2\n3,b,4.5\n",
        "1,a,2\n3,b,4.5",
        "1,a,2\r\n3,b,4.5\r\n",
        "1,a,2\r3,b,4.5\r",
        "\n1,a,2\n\n   \n3,b,4.5\n\n",
        "\ufeff1,a,2\n3,b,4.5\n",
        '"1","a","2"\n3,b,4.5\n',
        " 1,a,2 \n3,b,\t4.5\n",
        "1.0,a,2.0\n3.,b,45e-1\n",
        "+01,a,02\n3,b,4.50\n",
        "1,a,2\n3,b,4.5\n".encode("utf-16"),
        "1,a,2\n3,b,4.5\n".encode("utf-16-le"),
        "1,a,2\n3,b,4.5\n".encode("utf-16-be"),
        "1,a,2\r\n3,b,4.5\r\n".encode("utf-32"),
    ],
)
def test_the_same_rows_however_they_are_written(read, data):
    assert read(data) == ([(1, "a", 2.0), (3, "b", 4.5)], {})


@pytest.mark.parametrize(
    ("line", "title"),
    [
        ('1,"a, b",2', "a, b"),
        ('1,"say ""a""",2', 'say "a"'),
        ('1,a "b" c,2', 'a "b" c'),
        ('1,7" nail,2', '7" nail'),
        ('1,"a" b,2', "a b"),
        ("1,,2", None),
        ('1,"",2', None),
        ("1,déjà ☃,2", "déjà ☃"),
    ],
)
def test_titles(read, line, title):
    assert read(f"{line}\n5,b,3\n") == ([(1, title, 2.0), (5, "b", 3.0)], {})


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("x,a,2", "'user' 'x' is no whole number"),
        ("-1,a,2", "'user' '-1' is no whole number"),
        ("1.5,a,2", "'user' '1.5' is no whole number"),
        ("4294967296,a,2", "'user' '4294967296' is no whole number in range"),
        ("1_0,a,2", "'user' '1_0' is no whole number"),
        ("١,a,2", "is no whole number"),
        (",a,2", "'user' '' is no whole number"),
        ("1,a,nan", "'rating' 'nan' is no number"),
        ("1,a,-inf", "'rating' '-inf' is no number"),
        ("1,a,1e999", "'rating' '1e999' is no number"),
        ("1,a,", "'rating' '' is no number"),
        ("1,a,0x10", "'rating' '0x10' is no number"),
        ("1,a", "3 fields are expected, not 2"),
        ("1,a,2,3", "3 fields are expected, not 4"),
        ("1;a;2", "3 fields are expected, not 1"),
        ('1,"a,2', "a quote is not closed"),
        ("1,bad,2", "'title' 'bad' is not to be"),
    ],
)
def test_a_broken_line_is_told_counted_and_skipped(read, line, reason, caplog):
    good = "1,a,2\n" * 5
    checks = (Check("title", lambda title: title != "bad", "is not to be"),)
    for multiline in (False, True):
        options = {"multiline": multiline, "checks": checks}
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            rows, counts = read(f"{good}{line}\n{good}", broken=0.1, **options)
        assert rows == [(1, "a", 2.0)] * 10
        assert counts == {"broken lines": 1}
        assert "file.csv: 1 broken lines were skipped; line 6: " in caplog.text
        assert reason in caplog.text
        with pytest.raises(UserError, match=r"file\.csv: 1 of 11 lines are broken") as error:
            read(f"{good}{line}\n{good}", broken=0.05, **options)
        assert "line 6: " in str(error.value)
        assert reason in str(error.value)
        assert "\n" not in str(error.value)


def test_the_first_broken_lines_are_named_and_not_all(read):
    data = "1,a,2\n" + "x,a,2\n" * 50
    with pytest.raises(UserError) as error:
        read(data, broken=0.9)
    assert str(error.value).count("line ") == 3
    assert "50 of 51 lines are broken, more than a share of 0.9 (setting `broken`)" in str(
        error.value
    )


def test_a_file_of_something_else_is_given_up_early(read):
    with pytest.raises(UserError, match="or more of 20,001 lines are broken"):
        read("what is this\n" * 20_000, broken=0.01)


def test_when_all_may_be_broken_something_must_still_be_left(read):
    with pytest.raises(UserError, match="2 of 2 lines are broken"):
        read("x,a,2\ny,b,3\n", broken=1.0)


@pytest.mark.parametrize("data", ["", "\n", " \n\t\n", "\ufeff", "\r\n"])
@pytest.mark.parametrize("header", [False, True])
def test_an_empty_file(read, data, header):
    with pytest.raises(UserError, match=r"file\.csv is empty"):
        read(data, header=header)


def test_a_header_alone(read):
    with pytest.raises(UserError, match=r"file\.csv is empty"):
        read("user,title,rating\n", header=True)


@pytest.mark.parametrize(
    "data",
    [
        "user,title,rating\n1,a,2\n",
        "\ufeffuser,title,rating\r\n1,a,2\r\n",
        "\n\nUSER, Title ,rating\n1,a,2",
        '"user","title","rating"\n1,a,2\n',
        "rating,user,title\n2,1,a\n",
        "x,rating,y,user,title,z\nq,2,q,1,a,q\n",
        "x,x,rating,user,title,\n,,2,1,a,\n",
        "user,title,rating\n1,a,2\n".encode("utf-16"),
    ],
)
def test_columns_are_found_by_name(read, data):
    assert read(data, header=True) == ([(1, "a", 2.0)], {})


def test_line_numbers_count_the_header_and_blank_lines(read):
    with pytest.raises(UserError, match="line 5: 'user' 'x' is no whole number"):
        read("\nuser,title,rating\n\n1,a,2\nx,a,2\n", header=True)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("1,a,2", r"'user' \(is the header missing\?\)"),
        ("user;title;rating", r"and is 'user;title;rating': 'user'"),
        ("user,title", r"must name the columns user, title, rating, .*'rating'"),
        ("user,user,title,rating", r"'user' \(names it twice\)"),
        ("\0\x01\x02", "is the header missing"),
    ],
)
def test_a_header_that_is_none(read, line, reason):
    with pytest.raises(UserError, match=reason) as error:
        read(f"{line}\n1,a,2\n", header=True)
    assert "\n" not in str(error.value)


def test_records_of_several_lines(read):
    data = '1,"a\nb, ""c""\n\nd",2\n3,e,4\n'
    assert read(data) == ([(1, 'a\nb, "c"\n\nd', 2.0), (3, "e", 4.0)], {})
    broken = data + "x,f,5\n"
    rows, counts = read(broken, broken=0.5)
    assert rows == [(1, 'a\nb, "c"\n\nd', 2.0), (3, "e", 4.0)]
    assert counts == {"broken lines": 1}
    with pytest.raises(UserError, match="line 6: 'user' 'x'"):
        read(broken)


def test_an_open_quote_swallows_no_more_than_its_line(read):
    rows = [f"{n},t{n},1" for n in range(40)]
    rows[7], rows[31] = '7,"t7,1', '31,"t31,1'
    for multiline in (False, True):
        found, counts = read("\n".join(rows), broken=0.1, multiline=multiline)
        assert len(found) == 38
        assert counts == {"broken lines": 2}


def test_lines_in_latin_1_are_counted_where_utf_8_was_to_be(read):
    data = "1,é,2\n".encode("latin-1") + "3,é,4\n".encode()
    rows = [(1, "é", 2.0), (3, "é", 4.0)]
    assert read(data) == (rows, {"lines not in UTF-8, read as Latin-1": 1})
    assert read(data, encoding="latin-1") == (rows, {})


def test_other_encodings(read):
    assert read("1,я,2\n".encode("cp1251"), encoding="cp1251")[0] == [(1, "я", 2.0)]
    with pytest.raises(UserError, match=r"file\.csv: unknown encoding 'utf-9'"):
        read("1,a,2\n", encoding="utf-9")
    for name in ("base64", "rot13", "", "\0", "idna", "undefined"):
        with pytest.raises(UserError, match="encoding"):
            read("1,a,2\n1,é,2\n", encoding=name)
    with pytest.raises(UserError, match="is not in the encoding utf-16"):
        read("1,a,2\n".encode("utf-16")[:-1])


def test_separators_of_several_characters(read):
    rows = [(1, "a", 2.0), (3, 'b: "c', 4.5)]
    assert read('1::a::2\n3::b: "c::4.5\n', "::") == (rows, {})
    with pytest.raises(UserError, match="3 fields are expected, not 4"):
        read("1::a::b::2\n", "::")
    found, counts = read("1::a::b::2\n3::::c::::4\n", "::", overflow="title")
    assert found == [(1, "a::b", 2.0), (3, "::c::", 4.0)]
    assert counts == {"lines with separators inside a field": 2}
    numbers = {"a": pl.Int64, "b": pl.Int64}
    assert read("1::2\n", "::", numbers) == ([(1, 2)], {})
    for line in ("1:x:2", "1::2:", "1:2", "1:::2"):
        with pytest.raises(UserError, match="line 2"):
            read(f"1::2\n{line}\n", "::", numbers)


@pytest.mark.parametrize("separator", ["", "\n", '"', "a\n"])
def test_what_cannot_separate(read, separator):
    with pytest.raises(UserError, match="cannot separate"):
        read("1,a,2\n", separator)


@pytest.mark.parametrize("size", [1, 7, 64, 1000])
def test_blocks_change_nothing(read, size, monkeypatch):
    lines = [f'{n},"a\n{n}",2' if n % 10 == 3 else f"{n},t{n},2" for n in range(100)]
    lines[50] = "x,y,2"
    data = "\r\n".join(lines)
    whole = read(data, broken=0.1)
    assert len(whole[0]) == 99
    monkeypatch.setattr(plain_text, "BLOCK_BYTES", size)
    if size >= 64:  # a record that is longer than a block may be torn
        assert read(data, broken=0.1) == whole
    single = "".join(f"{n},t{n},2\n" for n in range(100))
    assert len(read(single)[0]) == 100


@pytest.mark.parametrize("header", [False, True])
def test_a_line_without_end_is_not_read_into_memory(read, header, monkeypatch):
    monkeypatch.setattr(plain_text, "BLOCK_BYTES", 100)
    monkeypatch.setattr(plain_text, "LINE_BYTES", 1000)
    names = "user,title,rating\n" if header else ""
    data = f"{names}1,a,2\n1,{'x' * 5000},2\n3,b,4\n"
    rows, counts = read(data, header=header, broken=0.5)
    assert rows == [(1, "a", 2.0), (3, "b", 4.0)]
    assert counts == {"broken lines": 1}
    with pytest.raises(UserError, match="longer than"):
        read(data, header=header)
    with pytest.raises(UserError):
        read("x" * 5000, header=header)


# --------------------------------------------------------------------------- drawn inputs

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r\ufeff"))
"""Texts that a file can give back; a lone carriage return is a line break to some."""


@settings(max_examples=40, deadline=None)
@given(
    rows=st.lists(
        st.tuples(
            st.integers(0, 2**32 - 1),
            TEXTS.map(lambda text: text or None),
            st.floats(allow_nan=False, allow_infinity=False, width=32),
        ),
        min_size=1,
    ),
    end=st.sampled_from(["\n", "\r\n"]),
    header=st.booleans(),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
)
def test_well_formed_rows_come_back(tmp_path_factory, rows, end, header, encoding):
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator=end)
    writer.writerows([list(COLUMNS)] * header + rows)
    path = tmp_path_factory.mktemp("rows") / "file"
    path.write_bytes(out.getvalue().encode(encoding))
    frame, counts = read_delimited(
        Opened("f", path), ",", COLUMNS, header=header, encoding="utf-8", broken=0.0
    )
    # Within quotes, too, a line feed is a line feed.
    assert frame.rows() == rows
    assert counts == {}


PIECES = st.sampled_from(
    [b"1", b"2.5", b"a", b",", b",", b",", b"\n", b"\n", b'"', b'""', b"::", b":", b" ", b"\r",
     b"\xe9", b"\xc3\xa9", b"nan", b"-", b"1e3", b"\0", b"\xef\xbb\xbf", b"\xff\xfe", b"\t"]
)  # fmt: skip
BYTES = st.one_of(
    st.binary(max_size=200), st.lists(PIECES, max_size=60).map(lambda parts: b"".join(parts))
)


@settings(max_examples=80, deadline=None)
@given(
    data=BYTES,
    separator=st.sampled_from([",", "::", "\t"]),
    columns=st.sampled_from([COLUMNS, NUMBERS, {"title": pl.String}]),
    header=st.booleans(),
    multiline=st.booleans(),
    broken=st.sampled_from([0.0, 0.5, 1.0]),
    block=st.sampled_from([3, 20, 10_000]),
)
def test_arbitrary_bytes_raise_nothing_but_user_errors(
    tmp_path_factory, data, separator, columns, header, multiline, broken, block
):
    path = tmp_path_factory.mktemp("bytes") / "file"
    path.write_bytes((",".join(columns).encode() + b"\n" if header else b"") + data)
    with patch.object(plain_text, "BLOCK_BYTES", block):
        try:
            frame, _ = read_delimited(
                Opened("f", path),
                separator,
                columns,
                header=header,
                broken=broken,
                multiline=multiline,
                checks=(Check(next(iter(columns)), pl.Expr.is_not_null, "is missing"),),
            )
        except UserError as error:
            message = str(error)
        else:
            message = ""
            assert len(frame)
            assert frame.schema == pl.Schema(columns)
    assert "\n" not in message


@settings(max_examples=80, deadline=None)
@given(
    data=st.lists(PIECES, max_size=60).map(lambda parts: b"".join(parts)),
    separator=st.sampled_from([",", "::"]),
    columns=st.sampled_from([COLUMNS, NUMBERS]),
    multiline=st.booleans(),
)
def test_the_quick_ways_read_what_the_slow_one_reads(
    tmp_path_factory, data, separator, columns, multiline
):
    path = tmp_path_factory.mktemp("bytes") / "file"
    path.write_bytes(b"1,a,2\n" * 3 + data)

    def outcome():
        try:
            frame, counts = read_delimited(
                Opened("f", path), separator, columns, header=False, broken=1.0,
                multiline=multiline,
            )  # fmt: skip
        except UserError as error:
            return str(error)
        return frame.rows(), counts

    quick = outcome()
    with patch.object(delimited, "all_at_once", lambda *_: None):
        slower = outcome()
        with patch.object(delimited, "_line_by_line", _nothing_is_easy):
            slowest = outcome()
    assert quick == slower == slowest


@pytest.mark.parametrize("size", [8, 1 << 20])
def test_rows_become_something_else_a_few_at_a_time(read, monkeypatch, size):
    monkeypatch.setattr(plain_text, "BLOCK_BYTES", size)
    counted = lambda own: own.with_columns(rating=pl.lit(float(len(own))))  # noqa: E731
    rows, counts = read("1,a,2\n2,b\n3,c,4\n4,d,5\n", broken=0.5, each=counted)
    assert [row[:2] for row in rows] == [(1, "a"), (3, "c"), (4, "d")]
    assert counts == {"broken lines": 1}
    assert all(row[2] < 3 for row in rows) == (size < 20)


def _nothing_is_easy(lines, layout):
    schema = {delimited._LINE: pl.Int64, **layout.columns}
    return pl.DataFrame(schema=schema), range(len(lines))
