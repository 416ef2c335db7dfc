"""Which row of a folder stands on one side of a comparison."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmark.errors import UserError, unknown
from benchmark.evidence.contestants import Contestant, contestants_of
from benchmark.records.results import Row, question, variant_label
from benchmark.records.summary import latest_rows
from benchmark.reporting.reading import read_rows

_AS_IS = "as is"


@dataclass(frozen=True)
class Side:
    """What a folder holds of what was asked for.

    Attributes:
        rows: By what it was asked, one contestant each; the first of several where it is unclear.
        unclear: By what was asked why it is not clear which contestant is meant.
    """

    rows: Mapping[str, Contestant]
    unclear: Mapping[str, str]


def side_of(folder: Path, asked_for: str | None, option: str) -> Side:
    """One side.

    Args:
        folder: Holds records.
        asked_for: A method, or one with its settings as in `user_llm (loss=token)`; of several
            settings the plain name means those that nobody changed.
        option: That says so.

    Raises:
        UserError: There are no records, or none of what was asked for.
    """
    found_rows, left_out = read_rows([folder])
    for lost in left_out:
        print(f"left out: {lost.what}: {lost.why}", file=sys.stderr)
    rows = [row for row in latest_rows(found_rows) if row.record is not None]
    methods = list(dict.fromkeys(row.method for row in rows))
    if asked_for is not None:
        method, _, _ = asked_for.partition(" (")
        if method not in methods:
            raise unknown(f"method in {folder}", method, methods)
        rows = [row for row in rows if row.method == method]
    by_question: dict[str, list[Row]] = {}
    for row in rows:
        if row.record is not None:
            by_question.setdefault(question(row.record), []).append(row)
    chosen, unclear = {}, {}
    for asked, members in by_question.items():
        own = _meant(contestants_of(members), asked_for)
        if not own:
            continue
        chosen[asked] = own[0]
        presets = list(dict.fromkeys(row.preset for row in members))
        if asked_for is None and len(methods) > 1:
            unclear[asked] = f"{folder} holds {', '.join(methods)}: name one by {option}"
        elif len(presets) > 1:
            unclear[asked] = (
                f"{folder} holds {own[0].method} under several budgets ({', '.join(presets)}): "
                "name a folder of one"
            )
        elif len(own) > 1:
            labels = "; ".join(contestant.label for contestant in own)
            unclear[asked] = (
                f"{folder} holds several settings of one method: {labels}; name one by {option}"
            )
    if not chosen:
        has = dict.fromkeys(_with_settings(own) for own in contestants_of(rows))
        raise UserError(
            f"{folder} holds no {asked_for}, but {'; '.join(has)}: name one by {option}"
        )
    return Side(chosen, unclear)


def _meant(found: Sequence[Contestant], asked_for: str | None) -> Sequence[Contestant]:
    """The contestant that was named with its settings, else the one as it is, else all."""
    if asked_for not in (None, found[0].method):
        return [own for own in found if _with_settings(own) == asked_for]
    usual = [own for own in found if variant_label(own.records[0]) == _AS_IS]
    return usual if usual and asked_for is not None else found


def _with_settings(own: Contestant) -> str:
    return f"{own.method} ({variant_label(own.records[0])})"
