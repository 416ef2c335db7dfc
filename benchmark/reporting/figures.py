"""Draws the figures of a report, from its facts alone. Free of torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.display.counting import counted
from benchmark.display.visible import file_name
from benchmark.plotting.ablation import draw_ablation
from benchmark.plotting.report import Dot, draw_results
from benchmark.plotting.results import draw_time, shown_metrics, title_of
from benchmark.plotting.style import save
from benchmark.plotting.sweep import draw_sweep
from benchmark.plotting.sweep_lines import About
from benchmark.records.differences import Estimate
from benchmark.records.provenance import differences_in_code
from benchmark.records.results import Row
from benchmark.records.summary import learning_curves
from benchmark.reporting.figure import Figure
from benchmark.reporting.language_model import named
from benchmark.reporting.reading import records_of

if TYPE_CHECKING:
    import pandas as pd

    from benchmark.reporting.facts import Report
    from benchmark.reporting.facts_ablation import Ablation
    from benchmark.reporting.facts_section import Section
    from benchmark.reporting.facts_sweeps import Sweep

FOLDER = "figures"


def with_figures(report: Report, folder: Path) -> Report:
    """The report with its figures drawn.

    Args:
        report: All facts.
        folder: Where the files go; the report will find them in `FOLDER` beside itself.
    """
    taken: set[str] = set()
    sections = [
        replace(own, figures=tuple(_of_section(own, folder, taken))) for own in report.sections
    ]
    return replace(
        report,
        sections=tuple(sections),
        sweeps=tuple(replace(own, figures=_of_sweep(own, folder, taken)) for own in report.sweeps),
        ablations=tuple(
            replace(own, figures=_of_ablation(own, folder, taken)) for own in report.ablations
        ),
    )


def _of_section(section: Section, folder: Path, taken: set[str]) -> Iterator[Figure]:
    results = section.results
    if not results.metrics:
        return
    metric = results.metrics[0]
    name = _free("-".join(section.title.split(", ")), taken)
    about = f"{section.title}; {counted(section.users, 'user')}; {section.language_model}"
    dots = [
        Dot(row.label, Estimate(own.value, own.low, own.high), own.seeds, row.studied)
        for row in results.rows
        if (own := row.measured.get(metric)) is not None
    ]
    below = about.removeprefix(f"{section.task} on {section.dataset}, ")
    title = f"{metric} of {section.task} on {section.dataset}"
    figure = draw_results(dots, metric, title, below)
    yield _saved(save(figure, folder / f"{name}-results"), f"{metric}: {about}")
    rows = [row for own in section.contest.group.contestants for row in own.rows]
    summary = _summary(section)
    if len(dots) > 1 and shown_metrics(summary):
        figure = draw_time(summary, _curves(rows), title_of(rows))
        words = f"quality against seconds of training: {about}"
        yield _saved(save(figure, folder / f"{name}-time"), words)


def _summary(section: Section) -> pd.DataFrame:
    """The lines that `benchmark.records.summary.summarise` would make, of what is known already."""
    import pandas as pd

    order = [own.label for own in section.contest.group.contestants]
    lines = [
        {
            "label": row.label,
            "metric": own.metric,
            "value": own.value,
            "low": own.low,
            "high": own.high,
            "seeds": len(row.seeds),
            "users": section.users,
            "training_seconds": sum(r.fit.seconds for r in row.records) / len(row.records),
        }
        for row in sorted(section.results.rows, key=lambda row: order.index(row.label))
        for own in row.measured.values()
    ]
    return pd.DataFrame(lines)


def _curves(rows: Sequence[Row]) -> pd.DataFrame:
    """What validation said while training, by the labels of contestants."""
    curves = learning_curves(rows)
    curves["label"] = [
        f"{name} ({variant})" if variant else name
        for name, _, variant in (label.partition("\n") for label in curves["label"])
    ]
    return curves


def _of_sweep(sweep: Sweep, folder: Path, taken: set[str]) -> tuple[Figure, ...]:
    model = named(sweep.language_models)
    metrics = [sweep.metric] if sweep.metric else []
    known = dict.fromkeys(name for point in sweep.points for name in point.metrics)
    metrics += [name for name in known if name.startswith("recall@") and "/" not in name][-1:]
    records = records_of(sweep.rows)
    about = About(
        task=sweep.task,
        dataset=sweep.dataset,
        metrics=tuple(dict.fromkeys(metrics)),
        measured=f"{sweep.title.partition(f'{sweep.task} on {sweep.dataset}, ')[2]}; {model}",
        note="; ".join(filter(None, [differences_in_code(records), *sweep.cautions])),
        other=sweep.axes[1] if len(sweep.axes) > 1 else "",
        name=_free(f"sweep-{sweep.title}", taken),
    )
    files = draw_sweep(sweep.points, sweep.axes[0], folder, about)
    kinds = [file for file in files if file.suffix == ".png"]
    return tuple(
        _saved([file], f"{file.stem.rpartition('-')[2]}, {sweep.title}; {model}") for file in kinds
    )


def _of_ablation(ablation: Ablation, folder: Path, taken: set[str]) -> tuple[Figure, ...]:
    order: dict[str, list[str]] = {axis: [] for axis in ablation.axes}
    for outcome in ablation.outcomes:
        for axis, value in outcome.axes.items():
            if value not in order[axis]:
                order[axis].append(value)
    model = named(ablation.language_models)
    own = folder / _free(f"ablation-{ablation.title}", taken)
    files = draw_ablation(ablation.outcomes, order, ablation.metric, own, {"language model": model})
    moved = [file.replace(own.with_name(f"{own.name}{file.suffix}")) for file in files]
    own.rmdir()
    return (_saved(moved, f"{ablation.title}; {model}"),)


def _saved(files: Sequence[Path], words: str) -> Figure:
    (image,) = (file for file in files if file.suffix == ".png")
    return Figure(f"{FOLDER}/{image.name}", words)


def _free(text: str, taken: set[str]) -> str:
    """A file's name for a text, with a number where it is taken."""
    base = file_name(text).strip("-")
    name, number = base, 1
    while name in taken:
        number += 1
        name = f"{base}-{number}"
    taken.add(name)
    return name
