"""Histories as text: one line an event, packed for training and for ranking."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import compress
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmark.schema import ITEM, FeatureKind, FeatureSchema
from benchmark.types import Catalog, HistoryBatch
from userllm.decoding import Choices
from userllm.decoding.trie import TitleTrie
from userllm.llm.corpus import SEPARATOR
from userllm.llm.language_model import LanguageModel


@dataclass(frozen=True)
class _Line:
    """Tokens of one event: its title, and what stands behind the title up to the line's end."""

    title: list[int]
    rest: list[int]


@dataclass(frozen=True)
class PackedTitles:
    """Windows as one text each, with a target at every title but the first.

    Attributes:
        tokens: `LongTensor[B, T]`, padded with 0 on the right.
        choices: The decisions to score; their `owner` counts the targets.
        targets: `LongTensor[M]` items of the targets, those of a row together.
        owners: `LongTensor[M]` the row of each target, ascending.
    """

    tokens: Tensor
    choices: Choices
    targets: Tensor
    owners: Tensor

    def __len__(self) -> int:
        return len(self.tokens)

    def some(self, index: slice) -> PackedTitles:
        """Some of the windows."""
        begin, end, _ = index.indices(len(self))
        first, last = torch.searchsorted(self.owners, torch.tensor([begin, end]).to(self.owners))
        own = self.choices
        kept = (own.row >= begin) & (own.row < end)
        choices = Choices(
            own.row[kept] - begin, own.column[kept], own.edge[kept], own.owner[kept] - first
        )
        targets = slice(int(first), int(last))
        return PackedTitles(
            self.tokens[index], choices, self.targets[targets], self.owners[targets] - begin
        )

    def to(self, device: torch.device) -> PackedTitles:
        """The same batch on another device."""
        moved = Choices(*(part.to(device) for part in vars(self.choices).values()))
        targets, owners = self.targets.to(device), self.owners.to(device)
        return PackedTitles(self.tokens.to(device), moved, targets, owners)


class HistoryText:
    """Writes events as lines `<query> <title> | <field> | <field>`.

    Args:
        catalog: The items.
        schema: Meaning of the features.
        fields: Names of the features written behind the title.
        llm: Gives the tokens.
        titles: Tokens of each title, item 1 first.
        query: Text before each title.
        unsaid: `[N + 1]`, True = an item of which no lead says anything; None = none.
    """

    def __init__(
        self,
        catalog: Catalog,
        schema: FeatureSchema,
        fields: Sequence[str],
        llm: LanguageModel,
        titles: list[list[int]],
        query: str,
        unsaid: np.ndarray | None = None,
    ) -> None:
        self.fields = [schema[name] for name in fields]
        self.begin = llm.encode("", begin=True)
        self.query = llm.encode(query)
        self._llm = llm
        self._texts = catalog.texts
        self._titles = [[], *titles]  # an item that is unknown has no title
        self._unsaid = unsaid
        self._lines: dict[tuple[object, ...], _Line] = {}

    def lines(self, histories: HistoryBatch) -> list[list[_Line]]:
        """The lines of each history, oldest first."""
        columns = [histories.features[name].tolist() for name in (ITEM, *self._names)]
        lengths = histories.lengths.tolist()
        return [
            [self._line([column[row][place] for column in columns]) for place in range(length)]
            for row, length in enumerate(lengths)
        ]

    @property
    def _names(self) -> list[str]:
        return [feature.name for feature in self.fields]

    def _line(self, values: list[Any]) -> _Line:
        key = tuple(tuple(v) if isinstance(v, list) else v for v in values)
        if key not in self._lines:
            parts = []
            for feature, value in zip(self.fields, values[1:], strict=True):
                indices = value if isinstance(value, list) else [value]
                words = [feature.labels[i - 1] if feature.labels else str(i) for i in indices if i]
                if feature.of_item and feature.kind is FeatureKind.CATEGORY:
                    words = [word for word in words if word not in self._texts[values[0]]]
                if words:
                    parts.append(SEPARATOR + ", ".join(words))
            rest = self._llm.encode("".join(parts) + "\n")
            self._lines[key] = _Line(self._titles[values[0]], rest)
        return self._lines[key]

    def packed(
        self, histories: HistoryBatch, trie: TitleTrie, longest: int | None = None
    ) -> PackedTitles:
        """Packs windows for training; see `PackedTitles`.

        Args:
            histories: The windows.
            trie: The catalogue.
            longest: Most tokens of a row; the oldest events that do not fit are left out.
        """
        rows: list[Tensor] = []
        choices: list[tuple[int, int, int, int]] = []
        targets: list[int] = []
        owners: list[int] = []
        items = histories.features[ITEM].tolist()
        for row, lines in enumerate(self.lines(histories)):
            tokens = list(self.begin)
            first = self._first_that_fits(lines, longest)
            for place, line in enumerate(lines[first:]):
                tokens += self.query
                if place:
                    item = items[row][first + place]
                    start = len(tokens) - 1
                    for step, edge in enumerate(trie.item_choices[item].tolist()):
                        if edge >= 0:
                            choices.append((row, start + step, edge, len(targets)))
                    targets.append(item)
                    owners.append(row)
                tokens += line.title + line.rest
            rows.append(torch.tensor(tokens))
        packed = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
        columns = torch.tensor(choices, dtype=torch.long).reshape(-1, 4).T
        found = (torch.tensor(own, dtype=torch.long) for own in (targets, owners))
        return PackedTitles(packed, Choices(*columns), *found)

    def _first_that_fits(self, lines: Sequence[_Line], longest: int | None) -> int:
        """Place of the first of the latest lines that fit into so many tokens together."""
        if longest is None:
            return 0
        left, first = longest - len(self.begin), len(lines)
        for line in reversed(lines):
            left -= len(self.query) + len(line.title) + len(line.rest)
            if left < 0:
                break
            first -= 1
        return first

    def leads(self, histories: HistoryBatch, latest: Tensor, count: int) -> Tensor:
        """The most recent items as text and the query behind them, for some views.

        Args:
            histories: `B` users.
            latest: `LongTensor[B, P]` place of the latest event that each view knows; below 0
                where it knows none.
            count: Most items written; of items that are not to be said, earlier ones take the
                place.

        Returns:
            `LongTensor[B, P, G]` tokens, filled up with -1 at the front.
        """
        rows = []
        said = torch.ones_like(histories.mask)
        if self._unsaid is not None:
            unsaid = torch.from_numpy(self._unsaid).to(said.device)
            said = ~unsaid[histories.features[ITEM]]
        parts = zip(self.lines(histories), said.tolist(), latest.tolist(), strict=True)
        for lines, written, places in parts:
            for place in places:
                tokens = list(self.begin)
                known = list(compress(lines[: place + 1], written))
                for line in known[-count:]:
                    tokens += [*self.query, *line.title, *line.rest]
                rows.append(torch.tensor([*tokens, *self.query]).flip(0))
        filled = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=-1)
        return filled.flip(1).view(*latest.shape, -1)
