"""Hostile titles, ids and names, from a file of one's own to terminal, figures and report."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest

from benchmark.cli import main
from benchmark.records.results import RECORD

ACTS = (
    '<script>alert(1)</script>"><img src=x onerror=alert(2)> [l](javascript:alert(3)) `|** \n# x\n'
    "\x1b[2J\x1b]52;c;aGk=\x07\x1b]8;;http://x\x1b\\\x9b31m\x90q\x9c\x00\x07\x7f"
    "\u202e\u2066\u200b\ufeff $\\frac{$ $\\nothing$ [bold]x[/bold] [/] :smile: {{ 7*7 }}"
)
LONG = f"{ACTS}{'long ' * 4000}"
UNSEEN = re.compile("[\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff]")
RUN = ("run", "--task", "next_item", "--dataset", "own/evil", "--methods", "popularity")


class _Page(HTMLParser):
    """What would act on a page: its scripts, handlers and links."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.handlers: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.handlers += [name for name, _ in attrs if name.startswith("on")]
        self.links += [value or "" for name, value in attrs if name in ("href", "src")]


def harmless(text: str) -> bool:
    """Whether a terminal would only show a text."""
    controls = (letter for letter in text if unicodedata.category(letter) == "Cc")
    return set(controls) <= {"\n", "\t"} and not UNSEEN.search(text)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a prepared hostile data set, and runs of two methods, one called so."""
    folder = tmp_path_factory.mktemp("hostile")
    rows = [
        {
            "user": f"u{user}{ACTS}",
            "item": f"i{(user * place) % 7}{ACTS}",
            "title": f"{(user * place) % 7} {LONG if (user * place) % 7 == 3 else ACTS}",
            "kind": f"k{ACTS}",
        }
        for user in range(12)
        for place in range(1, 6)
    ]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "evil.jsonl").write_text(lines)
    (folder / "columns.yaml").write_text(
        "user: user\nitem: item\ntitle: title\nfeatures: {kind: category}\n"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("USERLLM_BENCH_HOME", str(folder / "home"))
        patch.chdir(folder)
        assert main(["data", "prepare", "own/evil", "--from", "evil.jsonl"]) == 0
        assert main([*RUN, "--preset", "smoke", "--threads", "1", "--out", "runs"]) == 0
        (path,) = (folder / "runs").glob(f"*/{RECORD}")
        _spoil(path)
        yield folder


def _spoil(path: Path) -> None:
    """Every text of a record that commands do not look things up by gets hostile."""
    record = json.loads(path.read_text())
    hostile = ACTS.replace("\0", "")
    for part, names in {
        "dataset": ("name", "licence", "citation", "source", "item_text"),
        "protocol": ("leak", "split_description"),
        "method": ("name",),
    }.items():
        for name in names:
            record[part][name] += hostile
    record["method"]["changes"] = {f"a{hostile}": LONG}
    record["fit"]["notes"] = [LONG, hostile]
    record["budget"] = {"text": LONG}
    record["host"] = {"cpu": hostile, "threads": 1}
    record["llm"] = {"name": hostile}
    record["command"] = hostile
    beside = path.parents[2] / "more" / "spoiled"
    beside.mkdir(parents=True)
    (beside / "examples.parquet").write_bytes(path.with_name("examples.parquet").read_bytes())
    for folder, method in ((path.parent, record["method"]["name"]), (beside, f"other{hostile}")):
        record["method"]["name"] = method
        (folder / RECORD).write_text(json.dumps(record))


@pytest.mark.parametrize(
    "command",
    [
        "data info own/evil",
        "show runs --examples 3",
        "compare runs more",
        "verify runs more",
        "publish runs --out published --allow-own",
        "plot runs more --out figures --json",
        "list datasets",
    ],
)
def test_a_terminal_shows_it_and_nothing_else(
    place: Path, capfd: pytest.CaptureFixture[str], command: str
) -> None:
    code = main(command.split())
    out, err = capfd.readouterr()
    assert code in (0, 1)
    assert out
    assert "Traceback" not in err
    assert harmless(out)
    assert harmless(err)
    assert max(map(len, out.splitlines())) < 15_000 or "--json" in command


def test_what_is_shown_is_still_there(place: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "runs", "--examples", "8"]) == 0
    out, _ = capfd.readouterr()
    told = " ".join(out.split())
    assert "<script>alert(1)</script>" in told
    assert "[bold]x[/bold] [/] :smile:" in told
    assert "$\\frac{$" in told


def test_errors_name_it_in_one_line(place: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for words in (("compare", "runs", LONG), ("show", "runs", "--only", ACTS), (ACTS,), ("-\x1b",)):
        assert main(list(words)) == 2
        _, err = capfd.readouterr()
        assert harmless(err)
        assert len(err.splitlines()) == 1
        assert len(err) < 2200


def test_the_report(place: Path, capfd: pytest.CaptureFixture[str]) -> None:
    template = place / "template.md"
    template.write_text(
        "# {{ question.studied }}\n\n{% for section in sections %}\n## {{ section.title }}\n\n"
        "{{ section.dataset }} [link]({{ section.dataset }}) `{{ section.dataset }}`\n\n"
        "| method | |\n|---|---|\n{% for row in section.results.rows %}\n"
        "| {{ row.label }} | `{{ row.label }}` |\n{% endfor %}\n\n"
        "{% for figure in section.figures %}![{{ figure.words }}]({{ figure.path }})\n"
        "{% endfor %}\n{% endfor %}\n"
    )
    for words in ((), ("--template", str(template))):
        assert main(["report", "runs", "more", "--out", str(place / "report"), *words]) == 0
        out, err = capfd.readouterr()
        assert harmless(out)
        assert harmless(err)
        page = _Page()
        text = (place / "report" / "report.html").read_text()
        page.feed(text)
        assert harmless(re.sub("<style>.*?</style>|<script>.*?</script>", "", text, flags=re.S))
        assert page.tags.count("script") == 1  # the page's own, known to its policy by its hash
        assert page.handlers == []
        assert all(link.startswith(("#", "data:", "own/")) for link in page.links), page.links
        assert "&lt;script&gt;" in text
        markdown = (place / "report" / "REPORT.md").read_text()
        assert harmless(markdown)
        prose = re.sub(r"```.*?```|(?<!\\)`[^`\n]*`", "", markdown, flags=re.S)
        assert "&lt;script&gt;" in prose
        assert "<script" not in prose
        assert not re.search(r"(?<!\\)\]\(javascript:", prose)
