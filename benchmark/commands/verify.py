"""`userllm-bench verify`: do published numbers follow from the answers beside them?"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from benchmark.display.counting import counted
from benchmark.records.verification import NO_EXAMPLES, OK, Verdict, verify
from benchmark.tables import Tables, default_tables

_SHOWN = 4
"""Problems of a record that its line has; `--json` has all."""


def verify_command(
    folders: Sequence[Path], allow_missing: bool, as_json: bool, tables: Tables | None
) -> int:
    """Checks records and prints one line each.

    Returns:
        1 where a number differs or a record cannot be checked, else 0.
    """
    verdicts = []
    for verdict in verify(folders, tables or default_tables()):
        verdicts.append(verdict)
        if not as_json:
            print(_line(verdict), flush=True)
    counts = Counter(verdict.status for verdict in verdicts)
    good = counts[OK] + (counts[NO_EXAMPLES] if allow_missing else 0)
    if as_json:
        print(json.dumps({"records": [verdict.to_json() for verdict in verdicts]}, indent=2))
    else:
        told = ", ".join(f"{count} {status}" for status, count in sorted(counts.items()))
        print(f"{counted(len(verdicts), 'record')}: {told}")
    return 0 if good == len(verdicts) else 1


def _line(verdict: Verdict) -> str:
    line = f"{verdict.status}: {verdict.path}"
    if verdict.status == OK:
        line += f": {counted(verdict.numbers, 'number')} of {counted(verdict.users, 'user')}"
    if verdict.problems:
        more = len(verdict.problems) - _SHOWN
        rest = f"; and {more} more" if more > 0 else ""
        named = [own.removeprefix(f"{verdict.path} ") for own in verdict.problems[:_SHOWN]]
        line += f": {'; '.join(named)}{rest}"
    return line + (f" ({'; '.join(verdict.notes)})" if verdict.notes else "")
