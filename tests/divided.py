"""Whether the parts of a batch have the gradient of the whole, for any learner."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from benchmark.system.ranks import Spread
from userllm.training.dividing import Divider, Part, rows_of


def gradient(learner: nn.Module) -> dict[str, Tensor]:
    """Gradients of the weights that have one, which are then forgotten."""
    found = {n: p.grad.clone() for n, p in learner.named_parameters() if p.grad is not None}
    learner.zero_grad(set_to_none=True)
    return found


def assert_parts_make_the_whole(learner: Any, batch: Any, most: int) -> None:
    """Compares a batch with itself in 3 parts, and in more parts than it has rows."""
    torch.manual_seed(7)
    whole = learner.training_loss(batch)
    whole.backward()
    right = gradient(learner)
    assert right
    after = torch.get_rng_state()
    for parts in (3, most):
        torch.manual_seed(7)
        divider = Divider(learner, Spread(micro_batches=parts), "test")
        values = []
        for number in range(parts):
            loss, value = divider.loss(Part(batch, number), 0)
            (loss / parts).backward()
            values.append(value)
        assert values[:-1] == [None] * (parts - 1)
        assert values[-1] == pytest.approx(float(whole.detach()), rel=1e-5)
        found = gradient(learner)
        assert found.keys() == right.keys()
        for name, own in right.items():
            torch.testing.assert_close(found[name], own, rtol=1e-3, atol=2e-6)
        # What the next batch draws is what it would have drawn.
        assert torch.equal(torch.get_rng_state(), after)


def assert_each_row_once(learner: Any, batch: Any, parts: int) -> None:
    """Parts of a batch hold each of its targets once."""
    whole = learner.drawn(batch)
    cuts = [len(whole) * n // parts for n in range(parts + 1)]
    counts = [
        learner.targets(rows_of(whole, slice(begin, end)))
        for begin, end in itertools.pairwise(cuts)
        if end > begin
    ]
    assert sum(counts) == learner.targets(whole)
