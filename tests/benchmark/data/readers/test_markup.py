import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.data.readers.labels import with_frequent_labels
from benchmark.data.readers.markup import LONGEST_TITLE, clean, clean_titles


def cleaned(text: str | None) -> str | None:
    return clean(pl.Series([text], dtype=pl.String))[0]


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        (None, None),
        ("", None),
        (" \n\t ", None),
        ("as it stands", "as it stands"),
        ("1/4&#34; plugs", '1/4" plugs'),
        ("1/4&amp;#34; plugs", '1/4" plugs'),
        ("one<br />two<BR>three", "one two three"),
        ("&lt;b&gt;bold&lt;/b&gt;", "bold"),
        ("I <3 it, 5 < 6 and 7 > 2", "I <3 it, 5 < 6 and 7 > 2"),
        ("two\r\n\r\nlines and\xa0a tab\t.", "two lines and a tab ."),
        ("AT&T & J&R; Music", "AT&T & J&R Music"),
        ("<script>var a = 1;</script>said", "said"),
        ("<style type='x'>p {}</style><!-- no --> said", "said"),
        ("[[VIDEOID:mo3ABC]]see [[ASIN:B000123456 the pedal]]", "see the pedal"),
        ("<div></div>&nbsp;", None),
        ("\x00a\u200bb\ufeff", "ab"),
        ("&#xD800;", "\ufffd"),
        ("&amp;lt;i&amp;gt;twice&amp;lt;/i&amp;gt;", "twice"),
    ],
)
def test_texts(text, plain):
    assert cleaned(text) == plain


@given(st.text(alphabet=st.sampled_from("<>&;#/ab[]! \n\"'=-x12"), max_size=60))
@settings(max_examples=200, deadline=None)
def test_any_text_ends_on_one_line_without_blanks_around(text):
    plain = cleaned(text)
    assert plain is None or (plain == " ".join(plain.split()) and plain)


def test_texts_without_marks_are_left_alone_and_rows_stay_in_place():
    texts = pl.Series(["a", "&lt;", None, "b", "c <br> d"])
    assert clean(texts).to_list() == ["a", "<", None, "b", "c d"]
    assert clean(pl.Series([], dtype=pl.String)).to_list() == []


def test_titles_that_are_pieces_of_a_page():
    debris = [
        "var aPageStart = (new Date()).getTime();\nvar ue_t0=ue_t0||+new Date();",
        '<span class="a-size-medium">Shampoo</span>',
        "a" * (LONGEST_TITLE + 1),
        ".a-box-inner{background-color:#fff}",
        "(function(f) {var _np=(window.P",
    ]
    titles = ["Rock &amp; Roll", "The <i>Best</i> of", "Set {of 2}", None, "", "a" * LONGEST_TITLE]
    found, count = clean_titles(pl.Series([*debris, *titles], dtype=pl.String))
    assert count == len(debris)
    assert found.to_list() == [
        *[None] * len(debris),
        "Rock & Roll",
        "The Best of",
        "Set {of 2}",
        None,
        None,
        "a" * LONGEST_TITLE,
    ]


def test_the_most_frequent_labels_are_kept():
    lists = [["b", "a", "b", ""], None, [], ["c", "a"], ["c", None], ["d"]]
    catalog, feature = with_frequent_labels(pl.DataFrame({"kinds": lists}), "kinds", 2)
    assert feature is not None
    assert feature.labels == ("a", "c")
    assert feature.width == 2
    assert catalog["kinds"].to_list() == [["a"], None, None, ["c", "a"], ["c"], None]


def test_without_any_label_there_is_no_feature():
    lists = pl.Series("kinds", [None, []], dtype=pl.List(pl.String))
    catalog, feature = with_frequent_labels(
        pl.DataFrame([lists, pl.Series("item", [1, 2])]), "kinds", 2
    )
    assert feature is None
    assert catalog.columns == ["item"]
