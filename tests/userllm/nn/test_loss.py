from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from userllm.nn.loss import catalogue_cross_entropy, catalogue_log_probs


def _problem(*, bias: bool):
    generator = torch.Generator().manual_seed(0)
    states = torch.randn(23, 8, generator=generator, dtype=torch.float64)
    table = torch.randn(12, 8, generator=generator, dtype=torch.float64)
    offset = torch.randn(12, generator=generator, dtype=torch.float64) if bias else None
    targets = torch.randint(1, 12, (23,), generator=generator)
    learnt = [t.requires_grad_() for t in (states, table, offset) if t is not None]
    return states, table, offset, targets, learnt


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("rows", [1, 7, 23, 100])
def test_loss_and_gradients_are_those_of_plain_cross_entropy(bias, rows):
    states, table, offset, targets, learnt = _problem(bias=bias)
    ours = catalogue_cross_entropy(states, table, targets, bias=offset, rows=rows)
    logits = states @ table[1:].T + (offset[1:] if bias else 0)
    plain = F.cross_entropy(logits, targets - 1)
    torch.testing.assert_close(ours, plain)
    # A factor behind the loss must reach the gradients.
    for mine, theirs in zip(
        torch.autograd.grad(3 * ours, learnt), torch.autograd.grad(3 * plain, learnt), strict=True
    ):
        torch.testing.assert_close(mine, theirs)


def test_padding_has_no_part_in_it():
    states, table, offset, targets, learnt = _problem(bias=True)
    loss = catalogue_cross_entropy(states, table, targets, bias=offset)
    _, of_table, of_bias = torch.autograd.grad(loss, learnt)
    assert (of_table[0] == 0).all()
    assert of_bias[0] == 0
    with torch.no_grad():
        table[0] += 100
        assert catalogue_cross_entropy(states, table, targets, bias=offset) == loss


def test_no_state_no_loss():
    _, table, _, _, _ = _problem(bias=False)
    none = torch.zeros(0, dtype=torch.long)
    assert catalogue_cross_entropy(table[:0], table, none) == 0


def test_nan_is_not_hidden():
    states, table, _, targets, _ = _problem(bias=False)
    with torch.no_grad():
        states[3, 0] = torch.nan
    assert torch.isnan(catalogue_cross_entropy(states, table, targets))


def test_log_probs_agree_with_the_loss():
    states, table, offset, targets, _ = _problem(bias=True)
    log_probs = catalogue_log_probs(states, table, offset)
    loss = catalogue_cross_entropy(states, table, targets, bias=offset)
    torch.testing.assert_close(-log_probs[torch.arange(23), targets].mean(), loss)
    assert (log_probs[:, 0] == -torch.inf).all()
