"""Commands that ask again what records were asked, as they can be typed. Free of torch."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from benchmark.config import RunConfig
from benchmark.evidence.contestants import Contestant
from benchmark.evidence.family import Plan
from benchmark.records.results import asked
from benchmark.reporting.contests import Contest


def run(*, sets: Sequence[str] = (), multi_task: bool = False, **options: str) -> str:
    """A `userllm-bench run` with those options that are not the default.

    Args:
        sets: Assignments of `--set`.
        multi_task: Whether one fit serves all tasks.
        options: By name; "" = not given. The task is `next_item` where none is.
    """
    given = {"task": "next_item", **options}
    parts = ["userllm-bench", "run"]
    for name, value in given.items():
        if value and value != _default(name):
            parts += [f"--{name.replace('_', '-')}", value]
    parts += ["--multi-task"] if multi_task else []
    for assignment in sets:
        parts += ["--set", assignment]
    return shlex.join(parts)


def again(
    contest: Contest,
    plan: Plan,
    methods: Sequence[str],
    *,
    tasks: Sequence[str] = (),
    multi_task: bool = False,
    llm: str = "",
    seeds: str = "",
    sets: Sequence[str] = (),
    devices: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """The command that asks what a contest asks.

    What `--seen` was is stated, as a record does not say whether it was the default.

    Args:
        contest: Its question, budget and seen items are asked again.
        plan: Says what splits do where nobody changed it.
        methods: Of whom.
        tasks: With which other tasks of the same run.
        multi_task: Whether one fit serves all tasks.
        llm: With which language model; "" = the embedded one.
        seeds: With which seeds, comma-separated; "" = the default.
        sets: What somebody set of the methods.
        devices: Options that say on what they are trained.
    """
    record = contest.record
    split = record.protocol.split
    usual = plan.split_settings.get(split, {})
    changed = {
        name: value
        for name, value in record.protocol.split_settings.items()
        if value != usual.get(name)
    }
    return run(
        task=",".join(dict.fromkeys([record.task.name, *tasks])),
        dataset=record.dataset.name,
        split=split,
        preset=record.preset,
        methods=",".join(methods),
        seen=record.protocol.seen,
        llm=llm,
        seeds=seeds,
        multi_task=multi_task,
        **devices,
        sets=[
            *(assignment(f"{record.task.name}.{name}", own) for name, own in asked(record).items()),
            *(assignment(f"{split}.{name}", own) for name, own in changed.items()),
            *sets,
        ],
    )


def assignment(name: str, value: object) -> str:
    """What `--set` reads back as the value: JSON is YAML, but a plain text is not quoted."""
    return f"{name}={value if isinstance(value, str) else json.dumps(value)}"


def language_model_option(contestants: Sequence[Contestant]) -> str:
    """What `--llm` was, where all that had it had the same; "" = the embedded one."""
    named = {own.records[0].llm["name"] for own in contestants if own.records[0].llm}
    return named.pop() if len(named) == 1 else ""


def _default(name: str) -> str:
    value = RunConfig.model_fields[name].default
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
