"""What primary tests are about, as the tables of methods and tasks say it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmark.config import read_preset
from benchmark.errors import UserError
from benchmark.evidence.family import Plan

if TYPE_CHECKING:
    from benchmark.tables import Tables


SINCE = "2026-11-29T01:11:21+00:00"
"""When these rules, who takes part and what a verdict needs, were last changed.

Whoever changed them may have known older records: a change of the rules is a change of this date.
"""


def plan_of(tables: Tables) -> Plan:
    """The plan of a study: its method, that method's variants, the first metric of each task.

    Variants are the methods that share the studied one's section of settings; all others are
    baselines.

    Args:
        tables: What can be named.

    Raises:
        UserError: No method is studied, or several are.
    """
    studied = [name for name, entry in tables.methods.items() if entry.studied]
    if len(studied) != 1:
        named = ", ".join(studied) or "none is"
        raise UserError(f"one method of the tables must be marked as studied ({named})")
    section = tables.section(studied[0])
    same = frozenset(name for name in tables.methods if tables.section(name) == section)
    return Plan(
        studied=studied[0],
        its_variants=same - {studied[0]},
        metrics={name: entry.primary for name, entry in tables.tasks.items() if entry.primary},
        baselines=frozenset(tables.methods) - same,
        presets=_budgets(tables),
        split_settings={
            name: tables.settings_model(name)().model_dump(mode="json") for name in tables.splits
        },
        since=SINCE,
    )


def _budgets(tables: Tables) -> tuple[str, ...]:
    """Presets without a warning, the largest first."""
    presets = {name: read_preset(name, tables) for name in tables.preset_names}
    meant = [name for name, preset in presets.items() if not preset.warning]
    return tuple(sorted(meant, key=lambda name: -presets[name].size))
