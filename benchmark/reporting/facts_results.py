"""What contestants reach, with intervals, and which tests say how they differ. Free of torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmark.axes.sweep_points import mean_cost
from benchmark.cost.facts import Cost
from benchmark.evidence.comparisons import BETTER, EQUIVALENT, UNDECIDED, WORSE
from benchmark.evidence.contestants import Contestant
from benchmark.evidence.family import Plan, Primary
from benchmark.metrics.significance import bootstrap_interval
from benchmark.records.differences import Estimate, stated
from benchmark.records.results import RunRecord
from benchmark.reporting.contests import Contest
from benchmark.reporting.language_model import LanguageModel, language_models

MARKS: Mapping[str, str] = {BETTER: "▲", WORSE: "▼", EQUIVALENT: "≈", UNDECIDED: "?"}
"""How a verdict on the first of two looks in a table."""


@dataclass(frozen=True)
class Measured:
    """One metric of one contestant.

    Attributes:
        metric: Its name.
        value: Mean over users, averaged over seeds.
        low: Lower end of the 95% interval over users.
        high: Upper end.
        seeds: What each seed reaches, by seed.
        mark: Of the primary test of the studied method against this contestant; "" = no such test.
    """

    metric: str
    value: float
    low: float
    high: float
    seeds: tuple[float, ...] = ()
    mark: str = ""

    @property
    def least(self) -> float:
        """The lowest of all seeds."""
        return min(self.seeds)

    @property
    def most(self) -> float:
        """The highest of all seeds."""
        return max(self.seeds)


@dataclass(frozen=True)
class Result:
    """A line of a table of results.

    Attributes:
        label: The contestant.
        method: Its method.
        studied: Whether the study is about it.
        seeds: Which have finished.
        language_models: Behind it.
        measured: By metric; a metric that it lacks is missing.
        untested: Why it is compared with nobody, "" where it is.
        imported: Whether its answers came from a model that was not run here.
        records: Behind it, one a seed.
        cost: Of training and answers, mean over seeds.
    """

    label: str
    method: str
    studied: bool
    seeds: tuple[int, ...]
    language_models: tuple[LanguageModel, ...]
    measured: dict[str, Measured]
    untested: str
    imported: bool
    records: tuple[RunRecord, ...]
    cost: Cost


@dataclass(frozen=True)
class Results:
    """A table of results.

    Attributes:
        metrics: The columns, the first metric first.
        first: The metric that the tests are about; "" where the plan names none.
        rows: Best first on it.
        groups: Metrics of groups of users, where there are.
        one_seed: Whether nobody has more than one seed.
    """

    metrics: tuple[str, ...]
    first: str
    rows: tuple[Result, ...]
    groups: tuple[str, ...]
    one_seed: bool


def results_of(contest: Contest, plan: Plan, primary: Sequence[Primary]) -> Results:
    """The table of a contest.

    Args:
        contest: Who was asked.
        plan: Says the first metric.
        primary: All primary tests; those of this contest mark its lines.
    """
    marks = {
        test.comparison.second: MARKS[test.comparison.verdict]
        for test in primary
        if test.group is contest.tested and test.comparison.first == contest.studied
    }
    named_metrics = contest.group.metrics()
    first = plan.metrics.get(contest.record.task.name, "")
    metrics = [first] if first in named_metrics else []
    metrics += [metric for metric in named_metrics if metric != first]
    rows = [
        _result(own, first, marks.get(own.label, ""), contest) for own in contest.group.contestants
    ]
    by = metrics[0] if metrics else ""
    rows.sort(key=lambda row: -row.measured[by].value if by in row.measured else float("inf"))
    groups = dict.fromkeys(
        name for own in rows for name in own.measured if "/" in name and name.startswith(by)
    )
    return Results(
        metrics=tuple(metrics),
        first=first if first in metrics else "",
        rows=tuple(rows),
        groups=tuple(groups),
        one_seed=all(len(row.seeds) == 1 for row in rows),
    )


def _result(own: Contestant, first: str, mark: str, contest: Contest) -> Result:
    known = [name for name in own.records[0].metrics if all(name in r.metrics for r in own.records)]
    measured = {}
    for metric in known:
        estimate = _estimate(own, metric, own.label not in contest.untested)
        measured[metric] = Measured(
            metric, estimate.value, estimate.low, estimate.high, own.of_seeds(metric),
            mark if metric == first else "",
        )  # fmt: skip
    return Result(
        label=own.label,
        method=own.method,
        studied=own.label == contest.studied,
        seeds=own.seeds,
        language_models=language_models(own.records),
        measured=measured,
        untested=contest.untested.get(own.label, ""),
        imported=own.imported,
        records=own.records,
        cost=mean_cost([record.cost for record in own.records]),
    )


def _estimate(own: Contestant, metric: str, usable: bool) -> Estimate:
    """Of one seed what its record says; of several the bootstrap of each user's mean.

    Where examples are of no use, or have no value for each user, it is the mean of the records.
    """
    values = own.per_user(metric) if usable and len(own.rows) > 1 else None
    if values is None:
        return stated(own.records, metric)
    return Estimate(float(values.mean()), *bootstrap_interval(values))
