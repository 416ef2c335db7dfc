"""What a sweep found, as a table on the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.commands.table import open_console, print_end, print_reasons, title
from benchmark.plotting.sweep import About
from benchmark.records.provenance import differences_in_code

if TYPE_CHECKING:
    from benchmark.axes.sweep_points import Point
    from benchmark.cost.facts import Cost
    from benchmark.records.results import Row

_UNITS = ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def about(
    rows: Sequence[Row], metrics: Sequence[str], axes: Sequence[str], cautions: Sequence[str] = ()
) -> About:
    """What a figure of some rows of one task says of them.

    Args:
        rows: Of one task.
        metrics: What is drawn.
        axes: What was varied, the first along the figure.
        cautions: See `benchmark.axes.sweep_steps.cautions`.
    """
    record = next((row.record for row in rows if row.record), None)
    first = rows[0]
    seeds = sorted({row.seed for row in rows})
    measured = f"preset {first.preset}, seed{'s' if len(seeds) > 1 else ''} " + ", ".join(
        map(str, seeds)
    )
    if record is not None:
        host = record.host
        count = host.get("threads")
        threads = f"{count} thread{'' if count == 1 else 's'} of {host.get('cpu')}"
        # The figures' own titles begin with what was asked of which data.
        said = title(rows).removeprefix(f"{first.task} on {first.dataset}: ")
        measured = f"{said}, {measured.partition(', ')[2]}, {threads}"
    note = "; ".join(
        filter(None, [differences_in_code(row.record for row in rows if row.record), *cautions])
    )
    other = axes[1] if len(axes) > 1 else ""
    parts = ["sweep", *axes, first.dataset, first.task, first.preset]
    if record is not None:
        protocol = record.protocol
        parts += [protocol.part, *([protocol.split] if protocol.split != "last" else [])]
    return About(first.task, first.dataset, tuple(metrics), measured, note, other, "-".join(parts))


def print_sweep(
    points: Sequence[Point],
    rows: Sequence[Row],
    axes: Sequence[str],
    metrics: Sequence[str],
    figures: Sequence[Path],
    warning: str,
    cautions: Sequence[str] = (),
) -> None:
    """Prints a line a method and place, what else differs, and where records and figures are."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=0)
    table.add_column("method", overflow="fold")
    for name in axes:
        table.add_column(name, justify="right")
    for name in (*metrics, "tokens", "FLOPs to read", "FLOPs in all", "latency", "train FLOPs"):
        table.add_column(name, justify="right")
    for point in points:
        table.add_row(*_cells(point, axes, metrics))
    console = open_console()
    print(title(rows))
    console.print(table)
    print_reasons(rows)
    print(
        "metrics with 95% bootstrap intervals over users; tokens: mean that the language model "
        "reads; FLOPs of one answer (multiply-add = 2), train FLOPs of every stage"
    )
    truncated = [point for point in points if point.cost.truncated_users]
    for point in truncated:
        print(truncation(point.method, point.axes, point.cost))
    for line in cautions:
        print(line)
    code = differences_in_code(row.record for row in rows if row.record)
    if code:
        print(code)
    print_end(console, rows, figures, warning)


def truncation(method: str, axes: Mapping[str, float], cost: Cost) -> str:
    """That histories were cut for want of positions, and how much."""
    place = ", ".join(f"{name}={value:g}" for name, value in axes.items())
    lost = cost.dropped_events / cost.truncated_users
    return (
        f"{method} at {place}: {cost.truncated_users:.0%} of users lost {lost:,.1f} events each on "
        "average, the oldest, for want of positions"
    )


def _cells(point: Point, axes: Sequence[str], metrics: Sequence[str]) -> list[str]:
    cells = [point.method, *(f"{point.axes[name]:g}" for name in axes)]
    if point.na:
        failed = any(row.error for row in point.rows)
        return [*cells, *["error" if failed else "n/a"] * len(metrics), "", "", "", "", ""]
    for name in metrics:
        found = point.metrics.get(name)
        cells.append(
            "" if found is None else f"{found.value:.3f} [{found.low:.3f}, {found.high:.3f}]"
        )
    cost = point.cost
    tokens = "no LLM" if cost.llm_input_tokens is None else f"{cost.llm_input_tokens:,.0f}"
    latency = "" if cost.latency_seconds is None else f"{1e3 * cost.latency_seconds:.1f} ms"
    return [
        *cells,
        tokens,
        short(cost.prompt_flops),
        short(cost.answer_flops),
        latency,
        short(cost.training_flops),
    ]


def short(number: float | None) -> str:
    """A number with three digits and a unit prefix, "" for none."""
    if number is None:
        return ""
    for size, unit in _UNITS:
        if number >= size:
            return f"{number / size:.3g} {unit}"
    return f"{number:.3g}"
