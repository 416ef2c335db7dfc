"""Writes the tables and figures of a document from the records behind them.

    python -m benchmark.records.readme_results README.md docs/results.md [--check]

A table stands between `<!-- results: FOLDER [FOLDER ...] -->` and `<!-- end of results -->`, and is
made of the records under the folders, which are relative to the document: of one folder a table
of methods and metrics, of several one of methods and folders. Among the folders `metrics=A,B`
chooses metrics, and `figure=PATH` also draws bars there. With `--check` nothing is written, and
what would change is said. Free of torch.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from benchmark.display.counting import counted
from benchmark.errors import UserError
from benchmark.records.provenance import versions_line
from benchmark.records.results import Row, RunRecord, asked, load_records, question
from benchmark.records.summary import latest_rows, summarise
from benchmark.reporting.language_model import language_models, named
from benchmark.system.durable import whole_file
from benchmark.tables import Tables, default_tables

_BLOCK = re.compile(
    r"(<!-- results: (?P<what>[^\n]+?) -->\n)(?P<body>.*?)(?=<!-- end of results -->)", re.DOTALL
)
_OPTION = re.compile(r"^(figure|metrics)=")
_READING = (
    "Means over users, averaged over seeds; in brackets 95% bootstrap intervals over users, which "
    "say nothing of another seed. Beside the first metric: its lowest and highest seed. Training: "
    "of one seed, all stages, shared ones in each row that uses them."
)


@dataclass(frozen=True)
class Cell:
    """Mean over seeds of a metric, its 95% interval over users, and what seeds reach.

    Training is a mean over seeds, in FLOPs (NaN = not measured): seconds say how busy it was.
    """

    value: float
    low: float
    high: float
    least: float
    most: float
    seeds: int
    training_flops: float

    def short(self) -> str:
        """The mean alone."""
        return f"{self.value:.3f}"

    def full(self) -> str:
        """The mean and its interval."""
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"

    def of_seeds(self) -> str:
        """The lowest and the highest seed."""
        return f"{self.least:.3f} to {self.most:.3f}" if self.seeds > 1 else "-"

    def teraflops(self) -> str:
        """Of training."""
        return "-" if math.isnan(self.training_flops) else f"{self.training_flops / 1e12:,.1f}"


Cells = dict[str, dict[str, Cell]]
"""Method → metric → what it reaches."""


def rewritten(document: Path, tables: Tables | None = None, *, figures: Path | None = None) -> str:
    """The text of a document with every table made anew.

    Args:
        document: Markdown.
        tables: Metrics of the tasks, in order; the project's own where None.
        figures: Folder that figures are drawn under, by their paths in the document; None = none.

    Raises:
        UserError: A folder holds no records, or records that were asked different things.
    """
    tables = tables or default_tables()
    text = document.read_text(encoding="utf-8")

    def made(match: re.Match[str]) -> str:
        words = match["what"].split()
        options = dict(word.split("=", 1) for word in words if _OPTION.match(word))
        folders = [document.parent / word for word in words if not _OPTION.match(word)]
        groups = [_rows(folder, tables) for folder in folders]
        if figures is not None and "figure" in options:
            _draw(groups[0], figures / options["figure"])
        measured = tables.tasks[groups[0][0].task].metrics
        metrics = options["metrics"].split(",") if "metrics" in options else measured
        lines = _one(groups[0], metrics) if len(groups) == 1 else _several(groups, metrics)
        return match[1] + "\n" + "\n".join(lines) + "\n\n"

    return _BLOCK.sub(made, text)


def _rows(folder: Path, tables: Tables) -> list[Row]:
    """Records of one question, in the order of the table of methods."""
    order = [*tables.methods]
    rows = latest_rows(load_records([folder]))
    rows.sort(key=lambda row: order.index(row.method) if row.method in order else len(order))
    if len({question(row.record) for row in rows if row.record}) > 1:
        raise UserError(f"the records under {folder} were asked different things")
    return rows


def _cells(rows: Sequence[Row]) -> Cells:
    found: Cells = {}
    for line in summarise(rows).to_dict("records"):
        label = str(line["label"]).replace("\n", ", ")
        found.setdefault(label, {})[str(line["metric"])] = Cell(
            *(line[own.name] for own in fields(Cell))
        )
    return found


def _one(rows: Sequence[Row], metrics: Sequence[str]) -> list[str]:
    """A line a method, a column a metric; from the fourth on without interval, for want of room."""
    cells = _cells(rows)
    wide = metrics[:3] if len(metrics) > 3 else metrics
    first, *others = metrics
    lines = _head(["method", first, f"{first} of seeds", *others, "seeds", "training, TFLOPs"])
    for label, own in cells.items():
        some = next(iter(own.values()))
        values = [
            "" if name not in own else own[name].full() if name in wide else own[name].short()
            for name in metrics
        ]
        values.insert(1, own[first].of_seeds() if first in own else "")
        values += [str(some.seeds), some.teraflops()]
        lines.append(f"| `{label}` | {' | '.join(values)} |")
    return [*lines, "", _READING, "", _provenance(rows)]


def _several(groups: Sequence[Sequence[Row]], metrics: Sequence[str]) -> list[str]:
    """A line a method, a column a folder with all metrics in it."""
    columns = [_cells(rows) for rows in groups]

    def show(own: Mapping[str, Cell]) -> str:
        return " / ".join(own[name].full() for name in metrics if name in own)

    lines = _head(["method", *(_name(rows) for rows in groups)])
    for label in dict.fromkeys(label for own in columns for label in own):
        values = [show(own[label]) if label in own else "" for own in columns]
        lines.append(f"| `{label}` | {' | '.join(values)} |")
    what = " / ".join(metrics)
    return [
        f"{what}, with 95% intervals over users:",
        "",
        *lines,
        "",
        *(f"- {_provenance(rows)}" for rows in groups),
    ]


def _head(names: Sequence[str]) -> list[str]:
    return [f"| {' | '.join(names)} |", "|---" * len(names) + "|"]


def _name(rows: Sequence[Row]) -> str:
    record = _first(rows)
    split = "" if record.protocol.split == "last" else f", {record.protocol.split}"
    return record.dataset.name + split


def _first(rows: Sequence[Row]) -> RunRecord:
    return next(row.record for row in rows if row.record is not None)


def _provenance(rows: Sequence[Row]) -> str:
    """One line: data, targets, protocol, budget, seeds, machine, code."""
    record = _first(rows)
    records = [row.record for row in rows if row.record]
    seeds = sorted({row.seed for row in rows})
    found = language_models(records)
    models = f"; {named(found)}" if found else ""
    protocol = record.protocol
    task = "".join(f", {name}={value}" for name, value in asked(record).items())
    seen = ""
    if record.task.name == "next_item":
        seen = f", seen items {'taken out' if protocol.seen == 'exclude' else 'left in'}"
    return (
        f"Data `{record.dataset.name}`, SHA-256 `{record.dataset.fingerprint[:12]}`, targets "
        f"`{record.dataset.target_hash[:12]}`; {record.task.name}{task}, split `{protocol.split}`, "
        f"{protocol.part} targets of {counted(record.examples, 'user')}{seen}; "
        f"preset `{record.preset}`, seed{'s' if len(seeds) > 1 else ''} "
        f"{', '.join(map(str, seeds))}; {versions_line(records)}{models}."
    )


def _draw(rows: Sequence[Row], path: Path) -> None:
    from benchmark.plotting.results import draw_bars, title_of
    from benchmark.plotting.style import save

    figure = draw_bars(summarise(rows), title_of(rows))
    for file in save(figure, path.with_suffix("")):
        if file.suffix != path.suffix:
            file.unlink()


def main(arguments: Sequence[str]) -> int:
    """Rewrites documents, or checks that nothing would change.

    Returns:
        Exit code: 0 well, 1 a document is behind its records, 2 wrong input.
    """
    check = "--check" in arguments
    names = [name for name in arguments if name != "--check"]
    if not names:
        print(
            "usage: python -m benchmark.records.readme_results DOCUMENT... [--check]",
            file=sys.stderr,
        )
        return 2
    return max(_update(Path(name), check) for name in names)


def _update(document: Path, check: bool) -> int:
    """The exit code of one document."""
    try:
        text = rewritten(document, figures=None if check else document.parent)
    except (UserError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if text == document.read_text(encoding="utf-8"):
        return 0
    if check:
        print(f"{document} is behind its records: run make readme-results", file=sys.stderr)
        return 1
    with whole_file(document) as fresh:
        fresh.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
