"""What the page does in a browser."""

import pytest

from benchmark.reporting.page import make_page
from tests.benchmark.reporting.test_page import PNG, SVG
from tests.browser import CHROMIUM, Browser

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on PATH")

ROWS = (
    ("b10", ".213 [.189, .239]", "1,234", "better", "3m 20s"),
    ("b9", "missing", "98", "n/a", "43s"),
    ("a", ".086 [.069, .104]", "2,000,000", "Worse", "2h 05m"),
    ("Ç", "-.010", "7", "equivalent", "12ms"),
    ("c", "< .001", "1,235", "undecided", "n/a"),
)
MARKDOWN = (
    "# Next item\n\n## Results\n\n"
    "| method | recall@10 | users | verdict | time |\n|---|---|---:|---|---|\n"
    + "".join(f"| `{name}` | {' | '.join(rest)} |\n" for name, *rest in ROWS)
    + "\n![Bars](a.png)\n\n![Lines](b.svg)\n\n![Lost](lost.png)\n\n"
    "## Data\n\n| | |\n|---|---|\n| fingerprint | `" + "0123456789abcdef" * 4 + "` |\n\n"
    "A_very_long_word_" + "of_many_parts_" * 20 + "\n\n```sh\n" + "userllm-bench run " * 30
    + "\n```\n\n<script>document.title = 'changed'</script>\n"
)  # fmt: skip


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    running = Browser(tmp_path_factory.mktemp("profile"))
    yield running
    running.close()


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    (folder / "a.png").write_bytes(PNG)
    (folder / "b.svg").write_bytes(SVG)
    path = folder / "report.html"
    path.write_text(make_page(MARKDOWN, title="A <b>report</b>", folder=folder))
    return path


@pytest.fixture
def tab(browser, file):
    return browser.open(file)


def names(tab):
    return tab.run("[...document.querySelectorAll('table.sortable tbody tr')]"
                   ".map(row => row.cells[0].textContent)")  # fmt: skip


def click(tab, column):
    tab.run(f"document.querySelectorAll('.sortable th button')[{column}].click()")


def states(tab):
    return tab.run("[...document.querySelectorAll('.sortable thead th')]"
                   ".map(header => header.ariaSort)")  # fmt: skip


@pytest.mark.parametrize(
    ("column", "ascending", "descending"),
    [
        (0, ["a", "b9", "b10", "c", "Ç"], ["Ç", "c", "b10", "b9", "a"]),
        (1, ["Ç", "c", "a", "b10", "b9"], ["b10", "a", "c", "Ç", "b9"]),
        (2, ["Ç", "b9", "b10", "c", "a"], ["a", "c", "b10", "b9", "Ç"]),
        (3, ["b10", "Ç", "c", "a", "b9"], ["a", "c", "Ç", "b10", "b9"]),
        (4, ["Ç", "b9", "b10", "a", "c"], ["a", "b10", "b9", "Ç", "c"]),
    ],
)
def test_a_click_sorts_another_turns_round_and_a_third_restores(tab, column, ascending, descending):
    original = names(tab)
    for order, state in ((ascending, "ascending"), (descending, "descending"), (original, "none")):
        click(tab, column)
        assert names(tab) == order
        assert states(tab) == [state if place == column else "none" for place in range(5)]
    click(tab, column)
    click(tab, (column + 1) % 5)
    assert states(tab).count("none") == 4


def test_the_keyboard_sorts_and_is_told_what_happened(tab):
    tab.run("document.querySelector('.table').focus()")
    tab.press("Tab")
    tab.press("Tab")
    assert tab.run("document.activeElement.textContent") == "recall@10"
    tab.press("Enter")
    assert names(tab) == ["Ç", "c", "a", "b10", "b9"]
    said = "document.querySelector('[aria-live]').textContent"
    assert tab.run(said) == "Rows sorted by recall@10, ascending"
    tab.press(" ")
    assert tab.run(said) == "Rows sorted by recall@10, descending"
    assert tab.run("getComputedStyle(document.activeElement).outlineStyle") == "solid"


def test_the_page_loads_alone_and_without_complaint(tab, file):
    click(tab, 1)
    widths = tab.run("[...document.images].map(image => image.naturalWidth)")
    assert len(widths) == 2
    assert all(widths)
    assert tab.requests() == [file.as_uri()]
    assert tab.problems() == []
    assert tab.run("document.title") == "A <b>report</b>"


def test_what_a_page_must_not_ask_for_is_noticed(browser, file, tmp_path):
    path = tmp_path / "evil.html"
    outside = '<img src="https://example.org/x.png"></main>'
    path.write_text(file.read_text().replace("</main>", outside))
    tab = browser.open(path)
    assert any("Content Security Policy" in problem for problem in tab.problems())


@pytest.mark.parametrize("width", [320, 360, 768, 1200])
def test_nothing_but_a_table_scrolls_sideways(browser, file, width):
    tab = browser.open(file, width=width)
    assert tab.run("document.documentElement.scrollWidth <= window.innerWidth")
    assert tab.run("[...document.images].every(i => i.getBoundingClientRect().right <= innerWidth)")
    if width < 400:
        assert tab.run("(t => t.scrollWidth > t.clientWidth)(document.querySelector('.table'))")


def test_a_table_of_all_metrics_shows_its_last_column_on_a_desk(browser, tmp_path):
    wide = (
        "| method | `user_llm` is | recall@1 | recall@1 of seeds | recall@5 | recall@10 | ndcg@10 "
    )
    wide += "| mrr@10 | seeds |\n|" + "---|" * 9
    row = "\n| `user_llm_item_head` | ≈ | .033 [.024, .043] | .030 to .037 "
    wide += (row + "| .110 [.093, .128] " * 4 + "| 0, 1, 2 |") * 2
    path = tmp_path / "wide.html"
    path.write_text(make_page(f"# Wide\n\n## Results\n\n{wide}\n", title="Wide", folder=tmp_path))
    tab = browser.open(path, width=1200)
    assert tab.run("(t => t.scrollWidth <= t.clientWidth)(document.querySelector('.table'))")


def test_a_name_is_broken_at_an_underscore_on_a_phone(browser, tmp_path):
    rows = "| task | what is asked |\n|---|---|\n| review_generation | what a user writes of it |\n"
    path = tmp_path / "narrow.html"
    path.write_text(make_page(f"# Narrow\n\n{rows}\n", title="Narrow", folder=tmp_path))
    tab = browser.open(path, width=320)
    tab.run("document.querySelector('tbody th').style.maxWidth = '0'")
    lines = tab.run(
        "[...document.querySelector('tbody th').childNodes].filter(n => n.nodeType === 3).map(n => "
        "{ const r = document.createRange(); r.selectNodeContents(n); "
        "return r.getClientRects().length; })"
    )
    assert lines == [1, 1]


def test_the_contents_are_folded_on_a_phone_and_open_on_a_desk(browser, file):
    tab = browser.open(file, width=360)
    assert not tab.run("document.querySelector('nav details').open")
    tab.run("document.querySelector('nav summary').click()")
    assert tab.run("document.querySelector('nav a').checkVisibility()")
    tab.resize(1200, 900)
    assert tab.run("document.querySelector('nav details').open")


def test_paper_shows_the_report_alone(tab):
    shown = "document.querySelector('{}').checkVisibility()"
    assert tab.run(shown.format("nav"))
    tab.look(medium="print", scheme="dark")
    for gone in ("nav", ".skip", ".anchor", ".sortable button"):
        assert not tab.run(shown.format(gone)), gone
    assert tab.run("document.querySelector('.sortable th').innerText") == "method"
    style = "getComputedStyle(document.querySelector('{}')).{}"
    assert tab.run(style.format("thead", "display")) == "table-header-group"
    assert tab.run(style.format("figure", "breakInside")) == "avoid"
    assert tab.run(style.format(".table", "overflowX")) == "visible"
    assert tab.run(style.format("body", "backgroundColor")) == "rgb(255, 255, 255)"


def test_a_wide_table_fits_on_paper(browser, tmp_path):
    wide = "| " + " | ".join(f"metric_{n}" for n in range(14)) + " |\n|" + "---|" * 14
    wide += ("\n| `a_long_name_of_a_method` " + "| .213 [.189, .239] " * 13 + "|") * 3
    path = tmp_path / "wide.html"
    path.write_text(make_page(f"# Wide\n\n{wide}\n", title="Wide", folder=tmp_path))
    tab = browser.open(path, width=720)
    tab.look(medium="print")
    assert tab.run("document.querySelector('table').getBoundingClientRect().right <= innerWidth")


def test_readers_get_the_colours_and_the_rest_they_ask_for(tab):
    background = "getComputedStyle(document.body).backgroundColor"
    light = tab.run(background)
    tab.look(scheme="dark", motion="reduce")
    assert tab.run(background) != light
    assert tab.run("getComputedStyle(document.documentElement).scrollBehavior") == "auto"


def test_without_scripts_it_is_a_plain_page(browser, file):
    assert "<button" in browser.open(file).html()
    html = browser.open(file, scripts=False).html()
    assert "<button" not in html
    assert "<details open" in html
    assert "b10" in html
