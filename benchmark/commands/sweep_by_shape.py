"""`userllm-bench sweep --cost-only`: what answers would cost, by shapes alone."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.axes.sweep_axes import NumberAxis
from benchmark.axes.sweep_points import Point
from benchmark.config import Layers, RunConfig
from benchmark.cost.by_shape import CostRequest, CostRow, cost_rows
from benchmark.cost.facts import Cost
from benchmark.errors import UserError
from benchmark.plotting.sweep import About, draw_sweep
from benchmark.tables import Tables
from benchmark.variants import Variant

if TYPE_CHECKING:
    from benchmark.commands.sweep import Shapes


def count_by_shape(
    config: RunConfig,
    shapes: Shapes,
    axes: Sequence[NumberAxis],
    variants: Sequence[Variant],
    layers: Layers,
    tables: Tables,
) -> int:
    """Counts every place of a sweep, prints a table and draws its figures.

    Returns:
        0.

    Raises:
        UserError: See `benchmark.cost.by_shape.cost_rows`.
    """
    assert shapes.llm_config is not None
    rows: list[CostRow] = []
    names = [axis.name for axis in axes]
    for task in config.task:
        request = CostRequest(
            dataset=config.dataset,
            task=task,
            variants=variants,
            layers=layers,
            tables=tables,
            llm_config=shapes.llm_config,
            tokenizer=shapes.tokenizer,
        )
        own = cost_rows(request)
        rows += own
        figures = _draw(own, names, config.out)
        if not config.as_json:
            _print(own, names, figures)
    if config.as_json:
        print(json.dumps({"rows": [row.to_json() for row in rows]}, indent=2))
    return 0


def _draw(rows: Sequence[CostRow], axes: Sequence[str], out: Path) -> list[Path]:
    first = rows[0]
    measured = f"by shapes alone, the shape of {first.llm}; tokens by {first.tokenizer}"
    other = axes[1] if len(axes) > 1 else ""
    llm = first.llm.replace("/", "-").strip(".-")
    name = f"sweep-{'-'.join(axes)}-{first.dataset}-{first.task}-{llm}"
    about = About(first.task, first.dataset, (), measured, "", other, name)
    points = [Point(row.method, row.axes, row.cost or Cost(), na=row.na) for row in rows]
    try:
        return draw_sweep(points, axes[0], out / "plots" / "by_shape", about)
    except UserError as error:
        print(f"no figures: {error}", file=sys.stderr)
        return []


def _print(rows: Sequence[CostRow], axes: Sequence[str], figures: Sequence[Path]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from benchmark.commands.sweep_table import short, truncation
    from benchmark.commands.table import open_console, print_end

    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=0)
    table.add_column("method", overflow="fold")
    for name in axes:
        table.add_column(name, justify="right")
    for name in ("tokens", "encoder FLOPs", "FLOPs to read", "decode FLOPs", "KV-cache bytes"):
        table.add_column(name, justify="right")
    table.add_column("stored: FLOPs, bytes a user", justify="right")
    for row in rows:
        place = [f"{row.axes[name]:g}" for name in axes]
        if row.cost is None:
            table.add_row(row.method, *place, *["n/a"] * 5, "")
            continue
        cost, stored = row.cost, row.cost.billed.get("stored")
        table.add_row(
            f"{row.method}\n{row.variant}" if row.variant else row.method,
            *place,
            f"{cost.llm_input_tokens or 0:,.0f}",
            *map(short, (cost.encoder_flops, cost.prompt_flops, cost.decode_flops)),
            short(cost.kv_cache_bytes),
            "" if stored is None else f"{short(stored.flops)}, {short(stored.bytes_per_user)}",
        )
    console = open_console()
    first = rows[0]
    print(f"{first.task} on {first.dataset}, by shapes alone: {first.llm}")
    console.print(table)
    for line in dict.fromkeys(f"{row.method}: n/a: {row.na}" for row in rows if row.na):
        print(line)
    for row in rows:
        if row.cost is not None and row.cost.truncated_users:
            print(truncation(row.method, row.axes, row.cost))
    print(
        f"tokens by {first.tokenizer}; FLOPs of products and attention, multiply-add = 2, causal "
        "attention as half; numbers of the language model take 2 bytes"
    )
    print_end(console, [], figures, "")
