from __future__ import annotations

from dataclasses import replace

import pytest

from benchmark.entries import MethodEntry, TaskEntry
from benchmark.errors import UserError
from benchmark.evidence.plan import plan_of
from benchmark.registry import Registry
from benchmark.tables import default_tables


def _tables(studied: tuple[str, ...]):
    methods: Registry[MethodEntry] = Registry("method")
    for name, section in (("ours", ""), ("ours_small", "ours"), ("theirs", ""), ("other", "")):
        methods.add(name, MethodEntry("a:b", "", section=section, studied=name in studied))
    tasks: Registry[TaskEntry] = Registry("task")
    tasks.add("asked", TaskEntry("a:b", "", metrics=("one", "two"), primary="two"))
    tasks.add("aside", TaskEntry("a:b", "", metrics=("one",)))
    return replace(default_tables(), methods=methods, tasks=tasks)


def test_the_plan_follows_from_the_tables() -> None:
    plan = plan_of(_tables(("ours",)))
    assert (plan.studied, plan.its_variants) == ("ours", {"ours_small"})
    assert plan.metrics == {"asked": "two"}
    assert plan.baselines == {"theirs", "other"}


@pytest.mark.parametrize("studied", [(), ("ours", "theirs")])
def test_exactly_one_method_is_studied(studied) -> None:
    with pytest.raises(UserError, match="one method"):
        plan_of(_tables(studied))


def test_every_first_metric_is_one_that_its_task_measures() -> None:
    tables = default_tables()
    metrics = plan_of(tables).metrics
    assert set(metrics) == set(tables.tasks)
    assert all(metric in tables.tasks[task].metrics for task, metric in metrics.items())
    assert plan_of(tables).its_variants


def test_budgets_are_those_without_a_warning_the_largest_first(tmp_path) -> None:
    assert plan_of(default_tables()).presets == ("full", "quick")
    for name, said in (("a", "size: 1"), ("b", "size: 3"), ("c", "size: 9\nwarning: a trial")):
        (tmp_path / f"{name}.yaml").write_text(f"description: one\n{said}\n")
    assert plan_of(replace(default_tables(), presets=tmp_path)).presets == ("b", "a")


def test_what_splits_do_untouched_is_known() -> None:
    settings = plan_of(default_tables()).split_settings
    assert set(settings) == set(default_tables().splits)
    assert any(settings.values())
