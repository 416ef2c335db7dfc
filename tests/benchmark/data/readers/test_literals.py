import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.data.files.archives import Opened
from benchmark.data.readers.literals import LONGEST_LINE, parse, read_literal_lines

PIECES = st.lists(
    st.one_of(
        st.sampled_from(["{", "}", "[", "]", "'asin': 'B1'", ", ", "'", '"', "\\", "-", "(", "x"]),
        st.text(max_size=5),
    ),
    max_size=20,
)


@given(PIECES)
@settings(max_examples=200, deadline=None)
def test_no_line_of_literals_gets_out_of_hand(tmp_path_factory, pieces):
    path = tmp_path_factory.mktemp("literals") / "meta_Toys.json"
    line = "".join(pieces).replace("\n", " ").replace("\r", " ")
    path.write_bytes(f"{line}\n{{'asin': 'B1'}}\n".encode(errors="replace"))
    opened = Opened(path.name, path)
    rows, counts, _ = read_literal_lines(opened, lambda record: record.get("asin"), broken=1)
    assert rows[-1] == "B1"
    assert len(rows) + counts.get("broken lines", 0) == 2 - (not line.strip())


@pytest.mark.parametrize(
    "text", ["[" * 100_000, "-" * 100_000 + "1", "9" * 100_000, "1" + "+1" * 10**5]
)
def test_deep_literals_are_errors_and_not_crashes(text):
    with pytest.raises((MemoryError, RecursionError, SyntaxError, ValueError)):
        parse(text)


def test_a_line_that_is_too_long_is_one_broken_line(tmp_path):
    path = tmp_path / "meta_Toys.json"
    path.write_bytes(b"{'asin': '" + b"x" * (2 * LONGEST_LINE) + b"'}\n{'asin': 'B1'}")
    opened = Opened(path.name, path)
    rows, counts, _ = read_literal_lines(opened, lambda record: record.get("asin"), broken=1)
    assert (rows, counts) == (["B1"], {"broken lines": 1})


def test_json_and_lines_that_need_not_be_read(tmp_path):
    path = tmp_path / "meta_Toys.json"
    path.write_text("{\"asin\": \"B1\", \"price\": null}\n\n{'asin': 'B2'}\n{'asin': 'B3'}\n")
    opened = Opened(path.name, path)
    found = read_literal_lines(
        opened, lambda record: record.get("asin"), broken=0, skip=lambda line: "B2" in line
    )
    assert found == (["B1", "B3"], {}, 1)
