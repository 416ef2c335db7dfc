"""What is known of items beside their ids: a frozen vector of each one's text."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class TextTable(nn.Module):
    """A learnt projection of frozen vectors, one an item; row 0 is padding and zero.

    It also remembers which items training has met: only of those can an id say anything.

    Args:
        count: Number of items, padding not counted (`N`).
        text_width: Width of the frozen vectors.
        width: `D`.
    """

    vectors: Tensor
    met: Tensor

    def __init__(self, count: int, text_width: int, width: int) -> None:
        super().__init__()
        self.register_buffer("vectors", torch.zeros(count + 1, text_width))
        self.register_buffer("met", torch.zeros(count + 1, dtype=torch.bool))
        self.project = nn.Linear(text_width, width, bias=False)
        # Of vectors whose entries have variance one, rows as large as those of ids at first.
        nn.init.normal_(self.project.weight, std=(width * text_width) ** -0.5)

    @property
    def unmet(self) -> Tensor:
        """Items whose ids say nothing, `BoolTensor[N + 1]`; none before any are met."""
        return ~self.met & self.met.any()

    @property
    def text_width(self) -> int:
        """Width of the frozen vectors."""
        return self.vectors.shape[1]

    def forward(self) -> Tensor:
        """Vectors `[N + 1, D]` of all items."""
        projected: Tensor = self.project(self.vectors)
        return projected

    def hide(self, share: float) -> Tensor:
        """Draws items whose ids are not to be seen, `BoolTensor[N + 1]`."""
        return torch.rand(len(self.met), device=self.met.device) < share
