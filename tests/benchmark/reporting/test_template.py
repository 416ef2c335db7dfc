import math
from dataclasses import dataclass, field

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from benchmark.display.visible import visible
from benchmark.errors import UserError
from benchmark.records.differences import Estimate
from benchmark.reporting.markdown import Markdown
from benchmark.reporting.template import render_template

WHERE = "REPORT.md"


@dataclass(frozen=True)
class ScoredRow:
    label: str
    metrics: dict[str, float] = field(default_factory=dict)
    estimate: Estimate | None = None

    @property
    def short(self) -> str:
        return self.label[:3]


ROWS = [
    ScoredRow("user_llm", {"recall@10": 0.25}, Estimate(0.25, 0.2, 0.3)),
    ScoredRow("popularity", {"recall@10": math.nan}),
]


def render(source: str, **context: object) -> str:
    return render_template(source, WHERE, {"rows": ROWS, "empty": [], "n": 943} | context)


def refusal(source: str, **context: object) -> str:
    with pytest.raises(UserError) as caught:
        render(source, **context)
    return str(caught.value)


def shown(markdown: str) -> str:
    """What a reader sees of a paragraph."""
    inline = MarkdownIt("commonmark", {"html": False}).enable("table").parse(markdown)[1]
    assert all(child.type in ("text", "softbreak") for child in inline.children or [])
    return "".join(child.content for child in inline.children or [])


def test_a_table_of_rows_keeps_its_lines():
    source = (
        "| method | recall@10 |\n|---|---|\n"
        "{% for row in rows %}\n"
        "| `{{ row.label }}` | {{ row.metrics['recall@10'] | number }} |\n"
        "{% endfor %}\n"
    )
    assert render(source) == (
        "| method | recall@10 |\n|---|---|\n| `user_llm` | .250 |\n| `popularity` | missing |\n"
    )


@pytest.mark.parametrize(
    ("source", "line", "said"),
    [
        ("a\n\n{{ rwos }}", 3, "'rwos' of a report; it has rows, empty, n (did you mean 'rows'?)"),
        ("a\n{{ rows[0].lable }}", 2, "'lable' of a scored row; it has label, metrics, estimate, "
         "short (did you mean 'label'?)"),
        ("{% for r in rows %}\n{{ r.label }}\n{{ r.metrcs }}\n{% endfor %}", 3, "'metrcs'"),
        ("a\n{{ rows[0].metrics['recall@5'] | number }}", 2, "'recall@5' of a mapping; it has "
         "recall@10"),
        ("{{ rows[1].estimate.value }}", 1, "of what is missing here"),
        ("a\n{{ rows | map(attribute='lable') | join }}", 2, "'lable' of a scored row"),
        ("{% macro one(row) %}\n{{ row.lable }}\n{% endmacro %}\n{{ one(rows[0]) }}", 2, "'lable'"),
        ("{{ n\n| thousands }}\n{{ n |\nnumbr }}", 4, "filter 'numbr': did you mean 'number'?"),
        ("x\n{% if n is oddd %}a{% endif %}", 2, "unknown test 'oddd': did you mean 'odd'?"),
        ("x\n{% for %}", 2, "xpected"),
        ("x\n{% for r in rows %}", 2, "nexpected end of template"),
        ("{{ rows[0].label }}\n{{ rows[0].label | number }}", 2, "needs a number, not the text"),
        ("x\n{{ rows[0].__class__ }}", 2, "not for templates"),
        ("x\n{{ ''.__class__ }}", 2, "not for templates"),
        ("x\n{{ rows.clear() }}", 2, "not for templates"),
        ("x\n{% include 'secret' %}", 2, "stands alone"),
        ("x\n{{ rows }}", 2, "a list cannot be written"),
        ("x\n{{ rows[0] }}", 2, "a scored row cannot be written"),
        ("{% for r in rows %}{{ loop.index }}{% endfor %}\n{{ r.label }}", 2, "'r' of a report"),
    ],
)  # fmt: skip
def test_what_a_template_cannot_have_is_an_error_with_its_line(source, line, said):
    text = refusal(source)
    assert text.startswith(f"{WHERE} line {line}: ")
    assert said in text


@pytest.mark.parametrize(
    "branch",
    [
        "{{ rwos }}",
        "{{ rows[0].lable }}",
        "{% for row in rows | sort(attribute='label') %}{{ row.lable }}{% endfor %}",
        "{% for row in rows if row.lable %}x{% endfor %}",
        "{% set best = rows | first %}{{ best.lable }}",
        "{% with best = rows[0] %}{{ best.lable }}{% endwith %}",
        "{{ rows | selectattr('lable') | list | length }}",
        "{{ n | thousnds }}",
    ],
)
def test_branches_that_are_not_taken_are_checked_too(branch):
    assert refusal("x\n{% if n < 0 %}\n" + branch + "\n{% endif %}").startswith(f"{WHERE} line 3: ")


def test_a_template_may_ask_for_a_key_before_it_uses_it():
    source = "{% if 'mrr' in r.metrics %}{{ r.metrics['mrr'] }}{{ r.metrics.mrr }}{% endif %}"
    assert render("{% for r in rows %}" + source + "-{% endfor %}") == "--"


def test_a_name_that_is_one_thing_or_another_is_checked_only_for_what_neither_has():
    choose = "{% if n %}{% set it = rows[0] %}{% else %}{% set it = other %}{% endif %}"
    other = Estimate(0.5, 0.4, 0.6)
    assert render(choose + "{{ it.label }}", other=other) == "user_llm"
    assert "'vlaue'" in refusal(choose + "{% if n < 0 %}{{ it.vlaue }}{% endif %}", other=other)


@pytest.mark.parametrize(
    "source",
    [
        "recall@10 on ml-100k with BM25, an H200 and top-10: SHA-256, Llama-3.2-1B, p95.",
        "`--margin 0.01` and ``2 `x` 3`` and `2.13.0+cpu`",
        "```sh\nrun --seeds 3\n```",
        "[a](figures/12.png) ![b](3.png) <https://doi.org/10.1145/2827872> https://x.y/12",
        "## 2. Data\n\n### 2.1. More\n\n1. first\n2. second",
        "{# 95% #}yes",
        "{{ rows[0].metrics['recall@10'] | number(4) }}{{ rows[:2] | length }}{{ 'a %.3f' % n }}",
        "{{ '{:.2f} of'.format(n) }} {{ 'many' if n > 100 else 'few' }} {{ '%.1f' | format(n) }}",
        "{% if n >= 10 %}a{% endif %}",
        "{% for two in rows | batch(2) %}{{ two | length }}{% endfor %}",
        "{{ rows[0].label | truncate(5) | replace('u2', 'x') }}",
        "{{ rows | selectattr('label', 'equalto', '1') | list | length }}",
    ],
)  # fmt: skip
def test_names_code_links_and_counters_may_have_digits(source):
    assert render(source)


@pytest.mark.parametrize(
    ("source", "stray"),
    [
        ("It finds 0.31 of them.", "0.31"),
        ("95% intervals", "95"),
        ("It is 2x faster", "2x"),
        ("(p<.001)", ".001"),
        ("recall=0.31", "0.31"),
        ("recall: 31", "31"),
        ("¾ of all", "¾"),
        ("&#51;1 users", "31"),
        ("| a |\n|---|\n| 12 |", "12"),
        ("[12 users](x.md)", "12"),
        ("![12 users](x.png)", "12"),
        ("## 31 users", "31"),
        ("> **7** users", "7"),
        ("{% raw %}7{% endraw %}", "7"),
        ("    0.31 of them", "0.31"),
        ("{{ n }}5", "5"),
        ("`0.31`", "0.31"),
        ("found `.31 [.2, .4]`", ".31 [.2, .4]"),
        ("```\n\n0.31\n```", "0.31"),
        ("{{ 0.31 }}", "0.31"),
        ("{{ n * 100 }}", "100"),
        ("{{ 0.3 + 0.01 }}", "0.3"),
        ("{{ '0.31' }}", "0.31"),
        ("{{ '0.' ~ '31' }}", "0"),
        ("{{ '0.31 of %d' % n }}", "0.31"),
        ("{{ '0.31 {}'.format(n) }}", "0.31"),
        ("{{ n if n < 0 else 31 }}", "31"),
        ("{{ none | default(31) }}", "31"),
        ("{{ rows | map(attribute='label') | join(' 31 ') }}", "31"),
        ("{{ rows | map('default', 31) | list | length }}", "31"),
        ("{{ rows | map(attribute='label') | map('replace', 'u', '31') | join }}", "31"),
        ("{{ '%d of' | format(31) }}", "31"),
        ("{{ rows | sum(attribute='metrics', start=31) }}", "31"),
        ("{{ 'abc' | length }}", "3"),
        ("{% set x = 31 %}{{ x }}", "31"),
        ("{% macro m(x) %}{{ x }}{% endmacro %}{{ m(31) }}", "31"),
        ("{% macro m(x=31) %}{{ x }}{% endmacro %}{{ m() }}", "31"),
        ("{% for x in [31] %}{{ x }}{% endfor %}", "31"),
        ("{% with x = 31 %}{{ x }}{% endwith %}", "31"),
    ],
)
def test_a_number_without_a_record_is_refused_with_its_line(source, stray):
    text = refusal("Words.\n\n" + source)
    assert stray in text
    assert "numbers come from fields alone" in text
    number = source.count("\n") and 5
    assert text.startswith(f"{WHERE} line {number or 3}: ")


def test_a_number_behind_loops_has_the_line_of_the_template():
    source = "{% for r in rows %}\nx\n{% if n %}\ny\n{% endif %}\n{% endfor %}\n\nand 12 more\n"
    assert refusal(source).startswith(f"{WHERE} line 8: '12'")


@example(text="\x9e0\x07")
@given(st.text(st.characters(exclude_characters="\x1b\x9b\x9d"), max_size=30))
def test_any_text_is_seen_as_it_is_and_does_nothing(text):
    rendered = render("x {{ text }} y", text=text)
    letters = "".join(letter for letter in shown(rendered)[2:-2] if letter.isalnum())
    # What a terminal would take as a command goes as a whole, letters and all.
    assert letters == "".join(letter for letter in visible(text) if letter.isalnum())
    assert "\n" not in rendered


@given(st.text(alphabet="|`*_[]()<>&!#-+=~.\\ 1a\n", max_size=12))
def test_markup_in_a_text_is_seen_and_breaks_no_table(text):
    markdown = render("| a | b |\n|---|---|\n| {{ text }} | `{{ text }}` |\n", text=text)
    html = MarkdownIt("commonmark", {"html": False}).enable("table").render(markdown)
    assert html.count("<td>") == 2
    assert not any(tag in html for tag in ("<em", "<strong", "<a ", "<img", "<h1"))
    paragraph = render("{{ text }}", text=text)
    assert not paragraph or shown(paragraph) == " ".join(text.split())


@pytest.mark.parametrize(
    ("source", "rendered"),
    [
        ("{{ text }}", "a b&lt;i&gt; \\| \\`c\\`"),
        ("`{{ text }}`", "`a b<i> | 'c'`"),
        ("```\n{{ text }}\n```", "```\na\nb<i> | `c`\n```"),
        ("[x]({{ text }})", "[x](a%20b%3Ci%3E%20%7C%20%60c%60)"),
        ("{% macro m(x) %}{{ x }}{% endmacro %}{{ m(text) }}", "a b&lt;i&gt; \\| \\`c\\`"),
        ("{{ text | upper }}", "A B&lt;I&gt; \\| \\`C\\`"),
        ("{{ text | cell }}", "a b&lt;i&gt; \\| \\`c\\`"),
        ("{{ ready }}", "**x**"),
        ("{{ ready | lower }}", "\\*\\*x\\*\\*"),
    ],
)
def test_a_text_is_escaped_once_for_the_place_it_stands_in(source, rendered):
    assert render(source, text="a\nb<i> | `c`", ready=Markdown("**x**")) == rendered


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("a\x1b[31mred\x1b[0m", "ared"),
        ("\x1b]0;title\x07x", "x"),
        ("\u202eevil\u2066", "evil"),
        ("a\u200fb\x00c\x9f", "abc"),
        ("Amélie \U0001f468\u200d\U0001f469", "Amélie \U0001f468\u200d\U0001f469"),
        ("half \ud800", "half \ufffd"),
        ("2001. A", "2001\\. A"),
        ("- a", "\\- a"),
        ("-3", "-3"),
    ],
)
def test_what_no_reader_sees_is_left_out(text, seen):
    assert render("{{ text }}", text=text) == seen


@pytest.mark.parametrize(
    ("value", "filters", "written"),
    [
        (0.123456, "number", ".123"),
        (-0.5, "number(1)", "-.5"),
        (0.25, "number(2, signed=true)", "+.25"),
        (-0.0001, "number(signed=true)", ".000"),
        (12.5, "number(1)", "12.5"),
        (0.4401, "percent", "44%"),
        (0.4401, "percent(1)", "44.0%"),
        (1234567, "thousands", "1,234,567"),
        (0.0123, "seconds", "12.3ms"),
        (3.21, "seconds", "3.2s"),
        (59.99, "seconds", "1m 00s"),
        (7500, "seconds", "2h 05m"),
        (0.0321, "p_value", ".032"),
        (0.0004, "p_value", "< .001"),
        (512, "bytes", "512 B"),
        (1610612736, "bytes", "1.5 GiB"),
        ((0.1234, 0.15), "interval", "[.123, .150]"),
        ((-0.1, 0.15), "interval(2, signed=true)", "[-.10, +.15]"),
    ],
)
def test_numbers_are_written_for_people(value, filters, written):
    assert render("{{ value | " + filters + " }}", value=value) == written


def test_an_estimate_has_an_interval_and_what_is_missing_says_so():
    assert render("{{ rows[0].estimate | interval }}") == "[.200, .300]"
    for name in ("number", "percent", "thousands", "seconds", "p_value", "bytes", "interval"):
        assert render("{{ none | " + name + " }}") == "missing"
    assert render("{{ value }} {{ value | number }}", value=math.nan) == "missing missing"
    assert render("{{ none }} {{ n > 1 }}") == "missing yes"


@pytest.mark.parametrize("name", ["number", "percent", "thousands", "seconds", "p_value", "bytes"])
def test_what_is_no_number_is_refused(name):
    for value in ("0.31", True, [1]):
        assert "needs a number" in refusal("{{ value | " + name + " }}", value=value)


def test_impossible_numbers_are_refused():
    assert "no p-value" in refusal("{{ value | p_value }}", value=1.5)
    assert "no duration" in refusal("{{ value | seconds }}", value=-1)
    assert "two numbers" in refusal("{{ value | interval }}", value=[1, 2, 3])
