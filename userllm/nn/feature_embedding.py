"""One embedding table a feature, combined to one vector an event."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class FeatureEmbedding(nn.Module):
    """Sum of the embeddings of an event's features.

    A multi-valued feature (`[B, L, V]`) adds the mean over its real values. Index 0 is padding or
    unknown; its row is zero and stays zero, so that it changes nothing.

    Args:
        cardinalities: Number of real values of each feature, padding not counted.
        width: `D`.
    """

    def __init__(self, cardinalities: Mapping[str, int], width: int) -> None:
        super().__init__()
        self.tables = nn.ModuleDict(
            {name: nn.Embedding(n + 1, width, padding_idx=0) for name, n in cardinalities.items()}
        )
        for place, table in enumerate(self.tables.values()):
            # What says the same of many items starts small, so that it does not drown the first
            # feature (the item) before it is known to be worth anything.
            std = width**-0.5 if place == 0 else 0.02
            nn.init.normal_(table.weight, std=std)  # type: ignore[arg-type]
            with torch.no_grad():
                table.weight[0].zero_()  # type: ignore[index]

    def weight(self, name: str) -> Tensor:
        """The table `[n + 1, D]` of a feature."""
        return self.tables[name].weight  # type: ignore[return-value]

    def forward(
        self, features: Mapping[str, Tensor], tables: Mapping[str, Tensor] | None = None
    ) -> Tensor:
        """Vectors `[B, L, D]` of features `[B, L]` or `[B, L, V]`; unknown features are ignored.

        Args:
            features: By name.
            tables: `[n + 1, D]` to take in place of a feature's own; row 0 must be zero.
        """
        given = tables or {}
        parts = []
        for name, table in self.tables.items():
            values = features[name]
            if name in given:
                vectors = F.embedding(values, given[name], padding_idx=0)
            else:
                vectors = table(values)
            if values.ndim == 3:
                count = (values > 0).sum(dim=-1, keepdim=True).clamp(min=1)
                vectors = vectors.sum(dim=-2) / count
            parts.append(vectors)
        return torch.stack(parts).sum(dim=0)
