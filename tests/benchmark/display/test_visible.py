"""Text that somebody else wrote: what is shown of it, on terminals, in tables and in figures."""

from __future__ import annotations

import io
import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure
from rich.table import Table

from benchmark.display.consoles import open_console
from benchmark.display.progress import PlainProgress, TerminalProgress
from benchmark.display.terminal import LONGEST_LINE, Harmless, behind
from benchmark.display.visible import LINE, bounded, file_name, visible
from benchmark.plotting.style import save
from benchmark.reporting.markdown import Place, escape


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


HOSTILE = st.text(
    st.one_of(
        st.characters(),
        st.sampled_from("\x1b\x9b\x9d\x90\x07\x9c\\[];0m\u202e\u2066\u200b\ufeff\r\n\x00$`|<>&"),
    ),
    max_size=60,
)


def controls(text: str) -> set[str]:
    return {letter for letter in text if unicodedata.category(letter) in ("Cc", "Cs")}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x9b2Jred", "red"),
        ("\x1b]52;c;c2VjcmV0\x07copied", "copied"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x9d0;title\x9crest", "rest"),
        ("\x1bP1;2|37\x1b\\sixel", "sixel"),
        ("\x1b_program\x1b\\rest", "rest"),
        ("\x1b]8;;never ended", "8;;never ended"),
        ("\x1b", ""),
        ("\x1b\u200b[31mred", "[31mred"),
        ("be\x07ll\x08", "bell"),
        ("a\r\nb\rc\u2028d\x85e", "a b c d e"),
        ("\u202egnp.exe\u2066x\u2069", "gnp.exex"),
        ("in\u200bvis\ufeffi\u00adble\U000e0041", "invisible"),
        ("half \ud800", "half \ufffd"),
        ("ناز\u200cنین 👩\u200d💻", "ناز\u200cنین 👩\u200d💻"),
        ("\x00", ""),
        ("  a \t b ", "a b"),
    ],
)
def test_what_is_shown(text: str, shown: str) -> None:
    assert visible(text) == shown


@given(HOSTILE)
def test_nothing_that_acts_is_left(text: str) -> None:
    shown = visible(text)
    assert controls(shown) == set()
    assert visible(shown) == shown
    assert "\n" not in bounded(text)
    kept = visible(text, keep_lines=True)
    assert controls(kept) <= {"\n", "\t"}
    kept.encode()


@given(st.text(st.characters(categories=("L", "N", "P", "S", "Zs")), max_size=40))
def test_what_can_be_read_stays(text: str) -> None:
    assert set(visible(text)) - {" ", "\ufffd"} <= set(text)
    letters = "".join(letter for letter in text if unicodedata.category(letter)[0] == "N")
    assert "".join(own for own in visible(text) if unicodedata.category(own)[0] == "N") == letters


@pytest.mark.parametrize("text", ["\x1b]", "\x9d", "\x1b[0;", "\x1b]8;;x", "\x1bP\x9c", "\u202e "])
def test_a_million_characters_take_no_time(text: str) -> None:
    before = time.process_time()
    visible(text * (1_000_000 // len(text)))
    assert time.process_time() - before < 10


def test_what_is_too_long_says_how_long_it_was() -> None:
    assert bounded("x" * LINE) == "x" * LINE
    assert bounded("x" * 3_000_000) == f"{'x' * LINE}… (3,000,000 characters)"
    assert len(bounded("\x1b[31m" * 10**6)) < 100


@given(st.text(max_size=300))
def test_a_file_name_leads_nowhere(text: str) -> None:
    name = file_name(text)
    assert "/" not in name
    assert "\0" not in name
    assert len(name.encode()) <= 160


def test_long_file_names_that_differ_stay_different() -> None:
    assert file_name("x" * 500 + "a") != file_name("x" * 500 + "b")


# ------------------------------------------------------------------------------- where it goes


def test_a_stream_passes_on_what_can_be_seen() -> None:
    stream = io.StringIO()
    out = Harmless(stream)
    print("a\x1b[31mb", "\x9b1m", "c\u202ed\td", file=out)
    out.writelines(["\x1b]0;x\x07", "end\n"])
    assert stream.getvalue() == "ab  cd\td\nend\n"
    assert behind(Harmless(out)) is stream


def test_a_stream_that_lacks_characters_gets_escapes() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    print("é → \ud800", file=Harmless(stream))
    stream.flush()
    assert raw.getvalue() == b"\\xe9 \\u2192 \\ufffd\n"


def test_lines_are_cut_on_a_terminal_alone() -> None:
    text = "x" * (2 * LONGEST_LINE)
    terminal, file = Terminal(), io.StringIO()
    Harmless(terminal).write(f"{text}\nshort\n")
    Harmless(file).write(f"{text}\n")
    cut, short = terminal.getvalue().splitlines()
    assert len(cut) < LONGEST_LINE + 40
    assert short == "short"
    assert file.getvalue() == f"{text}\n"


@given(HOSTILE)
def test_tables_hold_cells_as_they_are(text: str) -> None:
    terminal = Terminal()
    console = open_console(terminal, width=80, color_system=None, force_terminal=False)
    table = Table("name")
    table.add_row(text)
    table.add_row("[bold]not markup[/bold] [/] :smile:")
    console.print(table)
    console.print(text)
    assert controls(terminal.getvalue()) <= {"\n"}
    assert "[bold]not markup[/bold] [/] :smile:" in terminal.getvalue()


def test_a_console_keeps_its_own_colours() -> None:
    terminal = Terminal()
    console = open_console(terminal, width=80, color_system="standard", force_terminal=True)
    console.print("a\x1b[35mb", style="bold")
    assert terminal.getvalue() == "\x1b[1mab\x1b[0m\n"


def test_progress_shows_titles_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    title = "[red]x[/red] [/] \x1b]0;t\x07\u202e :smile:"
    terminal, file = Terminal(), io.StringIO()
    for progress in (TerminalProgress(terminal), PlainProgress(file)):
        progress.begin(title)
        progress.stage(title, 3)
        progress.note(title + "long " * 10_000)
        progress.close()
    for written in (terminal.getvalue(), file.getvalue()):
        assert "[red]x[/red] [/] :smile:" in " ".join(written.split())
        assert "\x1b]" not in written
        assert "\u202e" not in written
        assert len(written) < 20_000


@pytest.mark.parametrize(
    "text",
    ["$\\frac{$", "$x$", "\\$5 and $6", "$", "a\x00b\ud800", "\u202e", "x" * 10**5, "\n" * 99],
    ids=["no formula", "formula", "escaped", "half", "control", "bidi", "long", "high"],
)
def test_figures_draw_any_text(tmp_path, text: str) -> None:
    figure = Figure(figsize=(3, 2), layout="constrained")
    axes = figure.subplots()
    axes.barh([0, 1], [1, 2], label=text)
    axes.set_yticks([0, 1], [text, f"{text}2"])
    axes.set_xlabel(text)
    axes.annotate(text, (0, 0))
    figure.suptitle(text)
    figure.legend()
    assert [file.stat().st_size > 1000 for file in save(figure, tmp_path / "x")] == [True, True]
    again = save(figure, tmp_path / "x")
    assert len(again) == 2


@pytest.mark.parametrize(
    "link", ["javascript:alert(1)", "JaVaScRiPt:x", "data:text/html,x", "vbscript:"]
)
def test_what_is_no_address_is_no_link(link: str) -> None:
    assert ":" not in escape(link, Place.TARGET)
    assert escape("https://a.b/c?d=e#f", Place.TARGET) == "https://a.b/c?d=e#f"
