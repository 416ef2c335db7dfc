"""What was fixed before looking, as the tables of methods and tasks say it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmark.errors import UserError
from benchmark.evidence.family import Plan

if TYPE_CHECKING:
    from benchmark.tables import Tables


def plan_of(tables: Tables) -> Plan:
    """The plan of a study: its method, that method's variants, the first metric of each task.

    Variants are the methods that share the studied one's section of settings.

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
    return Plan(
        studied=studied[0],
        its_variants=frozenset(
            name
            for name in tables.methods
            if name != studied[0] and tables.section(name) == section
        ),
        metrics={name: entry.primary for name, entry in tables.tasks.items() if entry.primary},
    )
