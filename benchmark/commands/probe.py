"""`userllm-bench probe`."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.display.counting import counted
from benchmark.errors import UserError, unknown
from benchmark.tables import Tables, default_tables

if TYPE_CHECKING:
    from rich.table import Table

    from benchmark.probing.report import ProbeReport, ProbeRow

PARTS = ("test", "validation")


@dataclass(frozen=True)
class Options:
    """What was typed.

    Attributes:
        run: Folder of a finished cell, or its record.
        only: Names of probes, comma-separated; None = all.
        part: Targets; None = the run's.
        seed: Of what the probes draw.
        training: Whether to run probes that fit a model.
        llm: The language model of the run, where it was a local folder.
        out: Folder of the models that probes fit.
        threads: Threads; None = the run's.
        as_json: Print the report as JSON.
    """

    run: Path
    only: str | None
    part: str | None
    seed: int
    training: bool
    llm: str | None
    out: Path
    threads: int | None
    as_json: bool


def probe_command(options: Options, tables: Tables | None, arguments: Sequence[str]) -> int:
    """Probes a finished run, writes `probe.json` and a figure beside its record, prints a table.

    Returns:
        1 where a probe failed, else 0.
    """
    tables = tables or default_tables()
    if options.part is not None and options.part not in PARTS:
        raise unknown("value of --part", options.part, PARTS)
    only = None
    if options.only is not None:
        only = [name.strip() for name in options.only.split(",") if name.strip()]
        if not only:
            raise UserError("--only: the list is empty")
    from benchmark.display.progress import open_progress, quiet_libraries
    from benchmark.probing.figure import draw_probe
    from benchmark.probing.report import write_report

    progress = open_progress()
    try:
        with quiet_libraries():
            from benchmark.probing.probe import Asking, probe
            from benchmark.probing.reopening import reopen

            reopened = reopen(
                options.run, tables, progress, llm=options.llm, threads=options.threads
            )
            command = shlex.join(["userllm-bench", *arguments])
            asking = Asking(
                options.part, options.seed, only, options.training, options.out, command
            )
            report = probe(reopened, asking, tables, progress)
    finally:
        progress.close()
    folder = reopened.path.parent
    files = [write_report(report, folder), *draw_probe(report, folder)]
    if options.as_json:
        print(report.model_dump_json(indent=2))
        for note in report.notes:
            print(f"note: {note}", file=sys.stderr)
    else:
        _print(report, files)
    return 1 if any(row.error for row in report.rows) else 0


def _print(report: ProbeReport, files: Sequence[Path]) -> None:
    from benchmark.commands.table import open_console
    from benchmark.probing.report import METRIC, NLL

    console = open_console()
    seen = "taken out" if report.seen == "exclude" else "left in"
    print(
        f"{report.method} on {report.task}, {report.dataset}: {report.part} targets of "
        f"{counted(report.examples, 'user')}, seen items {seen}, preset {report.preset}, "
        f"seed {report.seed}"
    )
    table = _table(("probe", METRIC, "lost", NLL, "gained"))
    own = [report.unchanged.get(name) for name in (METRIC, NLL)]
    first, second = ("" if value is None else f"{value:.3f}" for value in own)
    table.add_row("unchanged", first, "", second, "")
    for row in report.rows:
        table.add_row(*_cells(row, (METRIC, NLL)))
    console.print(table)
    print(
        "lost, gained: against unchanged, with the 95% bootstrap interval, paired by user; "
        "*: fitted anew"
    )
    measured = [row for row in report.rows if row.perplexity]
    if measured:
        columns = list(dict.fromkeys(name for row in measured for name in row.perplexity))
        table = _table(("perplexity", *(name.replace("_", " ") for name in columns)))
        for row in measured:
            values = [row.perplexity.get(name) for name in columns]
            table.add_row(
                row.probe.removeprefix("perplexity_"),
                *(
                    "" if v is None else f"{v.value:.2f}\n{v.low:.2f} to {v.high:.2f}"
                    for v in values
                ),
            )
        console.print(table)
        print(
            "perplexity a token of item texts that no training said, before and after alignment "
            "and tuning; below: 95% bootstrap interval over texts"
        )
    for row in report.rows:
        if row.na or row.error:
            print(f"{row.probe}: {'n/a' if row.na else 'error'}: {row.na or row.error}")
    for note in report.notes:
        print(f"note: {note}")
    print("files:", *(f"  {path}" for path in files), sep="\n")


def _table(columns: Sequence[str]) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=0)
    first, *others = columns
    table.add_column(first, overflow="fold")
    for name in others:
        table.add_column(name, justify="right")
    return table


def _cells(row: ProbeRow, metrics: Sequence[str]) -> list[str]:
    cells = [f"{row.probe}{' *' if row.trained else ''}\n  {row.about}"]
    for name in metrics:
        loss = row.metrics.get(name)
        if loss is None:
            reason = "n/a" if row.na else "error" if row.error else ""
            cells += [reason, ""]
        else:
            cells.append(f"{loss.value:.3f}")
            cells.append(f"{loss.worse_by:+.3f}\n{loss.low:+.3f} to {loss.high:+.3f}")
    return cells
