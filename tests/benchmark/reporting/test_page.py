import base64
import re
from html.parser import HTMLParser
from importlib import resources

import pytest

from benchmark.reporting.cell_values import is_missing, sort_value
from benchmark.reporting.page import make_page

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="4" height="4"><path d="M0 0h4v4z"/></svg>'
TABLE = (
    "| method | recall@10 | verdict |\n|---|---|:---:|\n"
    "| `a` | .213 [.189, .239] | better |\n| `b` | missing | n/a |\n"
)


class Tree(HTMLParser):
    """Elements with their attributes, and texts by the element they stand in."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[tuple[str, ...], str]] = []
        self.open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in ("meta", "link", "img", "br", "hr", "input", "wbr"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, f"{tag} closes something else"

    def handle_data(self, data):
        self.texts.append((tuple(self.open), data))

    def all(self, tag, **attributes):
        return [
            own for name, own in self.elements
            if name == tag and all(own.get(key) == value for key, value in attributes.items())
        ]  # fmt: skip

    def text(self, tag):
        return [data for inside, data in self.texts if tag in inside]


@pytest.fixture
def page(tmp_path):
    def make(markdown: str, title: str = "A report") -> Tree:
        tree = Tree(make_page(markdown, title=title, folder=tmp_path))
        assert not tree.open
        return tree

    return make


def test_sections_are_named_once_each_and_listed(page):
    tree = page("# T\n\n## Results\n\n### Results\n\n## Été `x`\n\n## Contents\n\n## ???\n")
    links = [own["href"] for own in tree.all("a") if own.get("class") is None]
    assert links == ["#results", "#été-x", "#contents-2", "#section"]
    names = [own["id"] for _, own in tree.elements if "id" in own]
    assert len(set(names)) == len(names)
    assert "".join(tree.text("nav")).split() == [
        "Contents", "Results", "Été", "x", "Contents", "???"
    ]  # fmt: skip


def test_every_link_inside_the_page_leads_somewhere(page):
    tree = page("## A\n\n## B\n\n" + TABLE)
    names = {own["id"] for _, own in tree.elements if "id" in own}
    inside = {own["href"] for own in tree.all("a") if str(own["href"]).startswith("#")}
    assert inside
    assert {link.removeprefix("#") for link in inside} <= names


def test_a_table_has_headers_a_name_and_values_to_sort_by(page):
    tree = page("## Results\n\n" + TABLE + "\nagain\n\n" + TABLE)
    regions = tree.all("div", role="region", tabindex="0")
    captions = tree.all("caption")
    assert [own["aria-labelledby"] for own in regions] == [own["id"] for own in captions]
    assert tree.text("caption") == ["Results", "Results, table 2"]
    assert len(tree.all("th", scope="col")) == 6
    assert len(tree.all("th", scope="row")) == 4
    assert len(tree.all("table", **{"class": "sortable"})) == 2
    assert [own["data-value"] for own in tree.all("td") if "data-value" in own] == ["0.213"] * 2
    assert len([own for own in tree.all("td") if "data-missing" in own]) == 4
    assert len(tree.all("td", **{"class": "center"})) == 4
    assert not [own for _, own in tree.elements if "style" in own]


def test_a_cell_of_numbers_is_broken_before_its_interval_alone(page):
    cells = page(TABLE).text("td")
    assert ".213 [.189,\u00a0.239]" in cells
    assert "better" in cells


@pytest.mark.parametrize(
    ("cell", "parts"),
    [
        ("review_generation", ["review_", "generation"]),
        ("`text_prompt_titles`", ["text_", "prompt_", "titles"]),
        ("a user_encoder", ["a user_encoder"]),
        ("--methods sasrec,user_encoder", ["--methods sasrec,", "user_", "encoder"]),
    ],
)
def test_a_long_word_of_a_table_is_broken_at_its_joints_alone(page, cell, parts):
    tree = page(f"| task | n |\n|---|---|\n| {cell} | 1 |\n")
    assert tree.text("th")[2:] == parts
    assert len(tree.all("wbr")) == len(parts) - 1


def test_a_table_of_facts_has_no_empty_head(page):
    tree = page("| | |\n|---|---|\n| users | 943 |\n| source | x |\n")
    assert not tree.all("thead")
    assert tree.all("table")[0]["class"] == "facts"
    assert len(tree.all("th", scope="row")) == 2
    assert tree.text("caption") == ["Table"]


def test_a_column_of_numbers_and_words_is_text(page):
    tree = page("| a | b |\n|---|---|\n| x | 12 |\n| y | twelve |\n")
    assert not [own for own in tree.all("td") if "data-value" in own]


def test_figures_are_in_the_page_with_their_words(page, tmp_path):
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "a b.png").write_bytes(PNG)
    (tmp_path / "c.svg").write_bytes(SVG)
    tree = page(
        "![Bars | of *recall*](figures/a%20b.png)\nWhat to `see`.\n\n"
        '![Second](c.svg "Its title")\n\n![Third](c.svg)\n\nInside ![small](c.svg) a text.\n'
    )
    images = tree.all("img")
    assert [own["alt"] for own in images] == ["Bars | of recall", "Second", "Third", "small"]
    kinds = [str(own["src"]).partition(",")[0] for own in images]
    assert kinds == ["data:image/png;base64", *["data:image/svg+xml;base64"] * 3]
    assert base64.b64decode(str(images[0]["src"]).partition(",")[2]) == PNG
    assert "".join(tree.text("figcaption")) == "What to see.Its titleThird"
    assert len(tree.all("figure")) == 3


@pytest.mark.parametrize(
    "source",
    ["lost.png", "notes.txt", "https://example.org/a.png", "//example.org/a.png", "/etc/passwd",
     "file%00name.png", "."],
)  # fmt: skip
def test_what_is_no_picture_beside_the_report_is_said_to_be_missing(page, tmp_path, source):
    (tmp_path / "notes.txt").write_text("secret")
    tree = page(f"![Bars]({source})\n")
    assert not tree.all("img")
    assert "".join(tree.text("figure")).strip() == "Bars (figure missing)"
    assert "secret" not in "".join(tree.text("main"))


@pytest.mark.parametrize(
    "evil",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "[click](javascript:alert(1))",
        "[click](JaVaScRiPt:alert(1))",
        "[click](data:text/html;base64,PHNjcmlwdD4=)",
        "![x](javascript:alert(1))",
        '![x" onerror="alert(1)](lost.png)',
        '[x](https://example.org "a\\" onclick=\\"b")',
        "</style><script>x</script>",
        "<!-- --><svg onload=alert(1)>",
        "`</code><script>`",
        "| <b onclick=x> | b |\n|---|---|\n| </table><script>x</script> | b |",
        "## <script>x</script> &quot;onclick=x",
        "```<script>\n</code></pre><script>x</script>\n```",
    ],
)
def test_what_data_bring_along_is_inert(page, evil):
    plain = page("words")
    tree = page(f"# T\n\n{evil}\n", title=f"{evil} </title>")
    assert len(tree.all("script")) == len(plain.all("script")) == 1
    assert "".join(tree.text("script")) == "".join(plain.text("script"))
    for tag, attributes in tree.elements:
        assert tag not in ("svg", "b", "iframe", "object")
        assert not [name for name in attributes if name.startswith("on")]
        for name in ("href", "src"):
            address = str(attributes.get(name) or "").lower()
            assert not address.startswith(("javascript:", "vbscript:", "data:text"))
    assert tree.text("title") == [f"{evil} </title>"]


def test_the_policy_lets_in_what_the_page_holds_and_nothing_else(page):
    tree = page("# T\n")
    (policy,) = [own["content"] for own in tree.all("meta")
                 if own.get("http-equiv") == "Content-Security-Policy"]  # fmt: skip
    rules = dict(rule.strip().split(" ", 1) for rule in str(policy).split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["img-src"] == "data:"
    assert re.fullmatch(r"'sha256-[\w+/]+='", rules["script-src"])
    assert re.fullmatch(r"'sha256-[\w+/]+='", rules["style-src"])


def test_the_page_names_its_language_and_asks_nobody_for_anything(tmp_path):
    html = make_page("# T\n\n[a](https://example.org/x)\n", title="T", folder=tmp_path)
    tree = Tree(html)
    assert tree.all("html")[0]["lang"] == "en"
    assert tree.all("main")[0]["id"] == "report"
    assert tree.all("a")[0]["href"] == "#report"
    assert not re.search(r"url\(|@import|@font-face|fetch\(|XMLHttp|import\(", html)
    assert tree.all("a", href="https://example.org/x", rel="noopener noreferrer")
    loaded = [own.get("src") or own.get("href") for tag, own in tree.elements if tag != "a"]
    assert {str(address) for address in loaded if address} == {"data:,"}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (".123 [.110, .140]", 0.123), ("0.016 (0.008 to 0.024)", 0.016), ("1,234", 1234),
        ("12 %", 12), ("44%", 44), ("-.033", -0.033), ("+.012", 0.012), ("\u22121.5", -1.5),
        ("1e-05", 1e-5), ("3m 20s", 200), ("12ms", 0.012), ("2h 05m", 7500), ("3.2s", 3.2),
        ("512 B", 512), ("1.5 GiB", 1.5 * 2**30), (".31 ± .02", 0.31), (".05 *", 0.05), ("0", 0),
        (".213 [.189, .239] ▼", 0.213), ("▲ +.012", 0.012), ("≈ .5", 0.5), ("-.02 ?", -0.02),
        ("▲", None), ("?", None), ("1:2", None),
        ("", None), ("better", None), ("5 of 10", None), ("1.2.3", None), ("e5", None),
        ("ml-100k", None), ("2026-01-01", None),
    ],
)  # fmt: skip
def test_a_cell_is_worth_the_number_it_begins_with(text, value):
    assert sort_value(text) == (value if value is None else pytest.approx(value))


def test_bounds_are_beyond_their_numbers():
    assert sort_value("< .001") < sort_value(".001") < sort_value("> .001")
    assert all(map(is_missing, ("missing", "n/a", "N/A", " ", "–")))
    assert not is_missing("0")


def _luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
              for part in parts]  # fmt: skip
    return sum(part * share for part, share in zip(linear, (0.2126, 0.7152, 0.0722), strict=True))


def test_colours_can_be_read_by_day_and_by_night():
    css = resources.files("benchmark.reporting").joinpath("page.css").read_text()
    themes = [dict(re.findall(r"--(\w+): (#[0-9a-f]{6});", block))
              for block in re.findall(r":root \{(.*?)\}", css, re.DOTALL)]  # fmt: skip
    assert len(themes) == 2
    for theme in themes:
        for ink in ("ink", "muted", "link"):
            for ground in ("paper", "shade"):
                light, dark = sorted((_luminance(theme[ink]), _luminance(theme[ground])))[::-1]
                assert (light + 0.05) / (dark + 0.05) >= 4.5, (ink, ground)
