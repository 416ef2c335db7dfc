"""`userllm-bench report`."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmark.commands.plot import DEFAULT_RUNS
from benchmark.errors import UserError
from benchmark.tables import Tables, default_tables

TEMPLATE = Path(__file__).parents[2] / "REPORT_TEMPLATE.md"
"""The project's own, which an editable install has beside the package."""
MARKDOWN, PAGE = "REPORT.md", "report.html"


@dataclass(frozen=True)
class Options:
    """What was asked for.

    Attributes:
        runs: Folders; the default output of `run` where empty.
        template: What words the report; the project's own where None.
        out: Where the report goes; `report` in the first folder where None.
        margin: Differences within it count as none; None = the default.
        as_json: Print all facts on stdout.
    """

    runs: tuple[Path, ...]
    template: Path | None
    out: Path | None
    margin: float | None
    as_json: bool


def report_command(options: Options, tables: Tables | None) -> None:
    """Writes a report on all records under some folders.

    Args:
        options: What was asked for.
        tables: What can be named; the project's own where None.

    Raises:
        UserError: No records, a broken template, or a folder that cannot be written to.
    """
    from benchmark.evidence.comparisons import MARGIN, check_margin

    margin = check_margin(MARGIN if options.margin is None else options.margin)
    folders = list(options.runs) or [DEFAULT_RUNS]
    source, where = _template(options.template)
    first = folders[0] if folders[0].is_dir() else folders[0].parent
    from benchmark.reporting.facts import make_report
    from benchmark.reporting.figures import FOLDER, with_figures
    from benchmark.reporting.writing import facts_as_json, page_title, write_files

    report = make_report(folders, tables or default_tables(), margin)
    from benchmark.reporting.page import make_page
    from benchmark.reporting.template import render_template

    # A mistake in the template is told before minutes are spent on figures.
    if not render_template(source, where, vars(report)).strip():
        raise UserError(f"{where} makes an empty report: start from a copy of {TEMPLATE.name}")
    with TemporaryDirectory() as scratch:
        drawn = with_figures(report, Path(scratch) / FOLDER)
        markdown = render_template(source, where, vars(drawn))
        page = make_page(markdown, title=page_title(drawn), folder=Path(scratch))
        out = options.out or first / "report"
        files = write_files(out, Path(scratch), {MARKDOWN: markdown, PAGE: page})
    for own in report.left_out:
        print(f"left out: {own.what}: {own.why}", file=sys.stderr)
    for file in files:
        print(file, file=sys.stderr if options.as_json else sys.stdout)
    if options.as_json:
        print(json.dumps(facts_as_json(drawn), indent=2))


def _template(path: Path | None) -> tuple[str, str]:
    """The text of a template, and what errors call it."""
    chosen = path or TEMPLATE
    try:
        return chosen.read_text(encoding="utf-8"), str(path or chosen.name)
    except FileNotFoundError:
        if path is None:
            raise UserError(
                f"the project's {TEMPLATE.name} is not beside the installed package: give one "
                "with --template, or install from a checkout (pip install -e .)"
            ) from None
        raise UserError(f"--template {path}: there is no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"--template {chosen} cannot be read: {error}") from None
