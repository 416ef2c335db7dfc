"""What `show` says for items, and of users' histories, where the data set is there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from benchmark.errors import UserError
from benchmark.settings import build

if TYPE_CHECKING:
    from benchmark.data.dataset import Dataset
    from benchmark.data.division import Split
    from benchmark.records.results import RunRecord
    from benchmark.tables import Tables

TASK = "next_item"
_LAST = 5
"""Events of a history that are shown."""
_ITEMS = ("target", "ranked")
"""Columns of examples that hold items."""


@dataclass(frozen=True)
class Items:
    """What is known of the items that some examples name.

    Attributes:
        titles: External id → what the catalogue calls an item; ids that say no more are left out.
        histories: User → the end of the history, and how many events it has.
        missing: Why nothing is known, "" where something is.
    """

    titles: Mapping[str, str] = field(default_factory=dict)
    histories: Mapping[str, tuple[Sequence[str], int]] = field(default_factory=dict)
    missing: str = ""

    def named(self, item: str) -> str:
        """An item for people: its title with its id, or the id alone."""
        return f"{self.titles[item]} [{item}]" if item in self.titles else item

    def in_words(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """The columns of an example, items by their titles, the end of the history in front."""
        own = dict(row)
        for name in _ITEMS if self.titles else ():
            value = own.get(name)
            if isinstance(value, list):
                own[name] = "; ".join(self.named(item) for item in value)
            elif value is not None:
                own[name] = self.named(value)
        last, events = self.histories.get(str(row["user"]), ((), 0))
        if not last:
            return own
        told = "; ".join(map(self.named, last))
        if events > len(last):
            told = f"… {told} (the last {len(last)} of {events:,})"
        return {"history": told, **own}


def items_of(record: RunRecord, users: Sequence[str], tables: Tables) -> Items:
    """Titles of all items and the histories of some users, as a record's task asked about them.

    Args:
        record: Of the run that is shown.
        users: External ids.
        tables: What can be named.
    """
    if record.task.name != TASK:
        return Items()
    try:
        dataset, split = _opened(record, tables)
    except UserError as error:
        return Items(missing=f"items by their ids: {error}")
    ids, texts = dataset.catalog.items.external_ids, dataset.catalog.texts
    titles = {own: texts[n] for n, own in enumerate(ids, start=1) if texts[n] not in ("", own)}
    part = split.test if record.protocol.part == "test" else split.validation
    known = {dataset.users.to_external(int(user)): n for n, user in enumerate(part.users)}
    histories = {}
    for user in users:
        if user in known:
            start, stop = int(part.starts[known[user]]), int(part.stops[known[user]])
            last = part.log.items[max(start, stop - _LAST) : stop]
            histories[user] = ([ids[int(item) - 1] for item in last], stop - start)
    missing = "" if histories else "no histories: these examples name no users of the data set"
    return Items(titles, histories, missing)


def _opened(record: RunRecord, tables: Tables) -> tuple[Dataset, Split]:
    """The data set of a record, divided as it was then.

    Raises:
        UserError: It is not here, or is another one now.
    """
    from benchmark.data.opening import load_dataset

    name, way = record.dataset.name, record.protocol.split
    dataset = load_dataset(name, tables.dataset(name))
    if dataset.fingerprint != record.dataset.fingerprint:
        raise UserError(f"the data set {name} here is another one than that of the run")
    settings = build(tables.settings_model(way), record.protocol.split_settings, way)
    divide = cast("Callable[..., Split]", tables.splits[way].load())
    split = divide(dataset, settings=settings)
    if split.target_hash != record.dataset.target_hash:
        raise UserError(f"split {way} of {name} has other targets now than those of the run")
    return dataset, split
