"""Asks a reopened run under every probe, and says what each costs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmark.display.progress import RunProgress
from benchmark.errors import unknown
from benchmark.probing.inputs import (
    Change,
    changed,
    drop_feature,
    empty_history,
    shuffle_order,
    swap_user,
)
from benchmark.probing.losses import Values, losses_of, user_values
from benchmark.probing.reopening import Reopened
from benchmark.probing.report import NLL, ProbeReport, ProbeRow
from benchmark.probing.retraining import fit_anew
from benchmark.protocols import FeatureReader, Muted
from benchmark.runs.failures import explain
from benchmark.system import host
from benchmark.system.wall_clock import CLOCK
from benchmark.tables import Tables
from benchmark.tasks.evaluation import Evaluation, examples_of

GATE = "gate_0"
_SAME = 1e-9
"""Means further apart than this are other numbers."""


@dataclass(frozen=True)
class Asking:
    """How to probe.

    Attributes:
        part: Which targets; the record's where None.
        seed: Of what the probes draw.
        only: Names of probes, or beginnings of names; all where None.
        training: Whether to run probes that fit a model.
        out: Folder of the cells of these models.
        command: What the user typed.
    """

    part: str | None
    seed: int
    only: Sequence[str] | None
    training: bool
    out: Path
    command: str


def probe(run_: Reopened, asking: Asking, tables: Tables, progress: RunProgress) -> ProbeReport:
    """Asks under every probe.

    Raises:
        UserError: `only` names no probe.
    """
    record, world = run_.record, run_.world
    part = asking.part or world.part
    inputs = _input_probes(run_, part, asking.seed)
    trained = tables.methods[record.method.name].probes
    names = _chosen([*inputs, GATE, *trained], asking.only)
    notes: list[str] = []
    if part == "test":
        notes.append(
            "this opened the test part: choose nothing by these numbers; --part validation asks "
            "the others"
        )

    progress.begin("unchanged")
    unchanged = _evaluate(run_, part, progress)
    progress.finish("done")
    base = user_values(unchanged.examples)
    means = dict(unchanged.metrics)
    if NLL in base:
        means[NLL] = float(base[NLL].mean())
    reproduced = None
    if part == record.protocol.part:
        now = {name: means.get(name, np.nan) for name in record.metrics}
        wrong = [n for n, v in record.metrics.items() if not abs(now[n] - v) <= _SAME]
        reproduced = not wrong
        notes += [
            f"unchanged, {name} is {now[name]} here and {record.metrics[name]} in the record: "
            "another machine, device, or number of threads?"
            for name in wrong
        ]

    rows = []
    for name in names:
        if name in inputs:
            rows.append(_ask(run_, part, name, *inputs[name], base, progress))
        elif name == GATE:
            rows.append(_ask_muted(run_, part, base, progress))
    wanted = [name for name in names if name in trained]
    if wanted and asking.training:
        config = run_.config.model_copy(
            update={"part": part, "out": asking.out, "keep_models": False}
        )
        settings = {name: trained[name] for name in wanted}
        rows += fit_anew(
            config, record.method.name, settings, base, tables, progress, asking.command
        )
        notes.append(
            "probes that fit a model (*) compare one fit with one: another seed may give another "
            "difference"
        )
    elif wanted:
        notes.append(f"left out by --no-training: {', '.join(wanted)}")

    return ProbeReport(
        record=str(run_.path),
        config_hash=record.config_hash,
        dataset=record.dataset.name,
        dataset_hash=record.dataset.fingerprint,
        task=record.task.name,
        method=record.method.name,
        seed=record.seed,
        preset=record.preset,
        part=part,
        seen=world.seen,
        examples=unchanged.examples.height,
        probe_seed=asking.seed,
        unchanged=means,
        reproduced=reproduced,
        notes=tuple(notes),
        rows=tuple(rows),
        host=host.describe_host(world.threads, world.accelerator),
        python=host.python_version(),
        versions=host.package_versions(),
        git=host.source_state(),
        created=CLOCK.now(),
        command=asking.command,
    )


def _input_probes(
    run_: Reopened, part: str, seed: int
) -> dict[str, tuple[str, Callable[[], Change]]]:
    """Probes that change what the method is asked: name → what is done, and how."""
    method = run_.method
    examples = examples_of(run_.cell.split, part)
    names = run_.cell.trained_on.schema.names
    if isinstance(method, FeatureReader):
        names = tuple(name for name in names if name in method.features_read)
    return {
        "swap_user": ("another user's history", lambda: swap_user(examples, seed)),
        "shuffle_order": ("the events in a random order", lambda: shuffle_order(seed)),
        "empty_history": ("no event at all", lambda: empty_history),
        **{
            f"drop_{name}": (
                f"{name} unknown at every event",
                lambda name=name: drop_feature(name),  # type: ignore[misc]
            )
            for name in names
        },
    }


def _chosen(known: Sequence[str], only: Sequence[str] | None) -> list[str]:
    """The probes asked for, in their own order; `drop` stands for all that begin with `drop_`."""
    if only is None:
        return list(known)
    found: set[str] = set()
    for asked in only:
        matches = {name for name in known if name == asked or name.startswith(f"{asked}_")}
        if not matches:
            raise unknown("probe", asked, known)
        found |= matches
    return [name for name in known if name in found]


def _evaluate(
    run_: Reopened, part: str, progress: RunProgress, change: Change | None = None
) -> Evaluation:
    world, split = run_.world, run_.cell.split
    if change is not None and part == "test":
        split = replace(split, test=changed(split.test, change))
    elif change is not None:
        split = replace(split, validation=changed(split.validation, change))
    name = run_.record.method.name
    return run_.task.evaluate(run_.method, split, world.dataset, world.seen, part, progress, name)


def _ask(
    run_: Reopened,
    part: str,
    name: str,
    about: str,
    make: Callable[[], Change],
    base: Values,
    progress: RunProgress,
) -> ProbeRow:
    try:
        change = make()
    except ValueError as reason:
        return ProbeRow(probe=name, about=about, na=str(reason))
    return _judged(name, about, base, progress, lambda: _evaluate(run_, part, progress, change))


def _ask_muted(run_: Reopened, part: str, base: Values, progress: RunProgress) -> ProbeRow:
    about, method = "the language model without the user's vectors", run_.method
    if not isinstance(method, Muted):
        reason = f"{run_.record.method.name} has no language model that reads a user"
        return ProbeRow(probe=GATE, about=about, na=reason)

    def muted() -> Evaluation:
        with method.muted():
            return _evaluate(run_, part, progress)

    return _judged(GATE, about, base, progress, muted)


def _judged(
    name: str,
    about: str,
    base: Values,
    progress: RunProgress,
    evaluate: Callable[[], Evaluation],
) -> ProbeRow:
    """The row of one probe; an error is its row's, and the others go on."""
    progress.begin(name)
    try:
        losses = losses_of(user_values(evaluate().examples), base)
    except Exception as error:
        progress.finish(f"failed: {explain(error)}")
        return ProbeRow(probe=name, about=about, error=explain(error))
    progress.finish("done")
    return ProbeRow(probe=name, about=about, metrics=losses)
