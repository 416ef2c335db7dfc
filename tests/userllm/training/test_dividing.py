from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor, nn

from benchmark.errors import UserError
from benchmark.goals import NextItemGoal
from benchmark.schema import FeatureSchema
from benchmark.system import ranks
from benchmark.system.ranks import Spread
from tests.divided import assert_each_row_once, assert_parts_make_the_whole
from tests.tiny_model import TITLES, make_catalog, make_histories
from tests.userllm.goal_world import label_goal, make_log, text_goal
from tests.userllm.training.test_training import Quiet, stage
from userllm.config import OptimizerSettings, UserLLMSettings
from userllm.encoder.objectives import NextEventObjective
from userllm.encoder.user_encoder import UserEncoder
from userllm.goals.feeds import feed_of, together
from userllm.goals.label_examples import LabelExamples, tied_shares
from userllm.goals.label_head import LabelHead, LabelModel
from userllm.llm.embedded import _NextToken
from userllm.llm.language_model import LanguageModel
from userllm.model import UserLLM
from userllm.stages import Alignment, Tuning
from userllm.training.dividing import Divider, Part
from userllm.training.loop import run_stage

LENGTHS = [6, 2, 4, 1, 6, 3, 5]  # a window of one event has no target


def make_model(encoder: UserEncoder, llm: LanguageModel) -> UserLLM:
    torch.manual_seed(5)
    tune = {"batch_size": 7, "windows": 7, "targets_per_window": 3}
    settings = UserLLMSettings.model_validate({"fusion": {"heads": 2}, "tune": tune})
    return UserLLM(encoder, llm, settings, make_catalog())


def test_every_feature_of_the_encoder_counts_as_in_the_whole(encoder: UserEncoder) -> None:
    learner, batch = NextEventObjective(encoder, 0.3), make_histories(LENGTHS)
    assert_parts_make_the_whole(learner, batch, 9)
    assert_each_row_once(learner, batch, 3)


def test_items_are_hidden_alike_in_all_parts(schema: FeatureSchema, encoder: UserEncoder) -> None:
    reader = UserEncoder(schema, encoder.settings, encoder.history, 8).eval()
    assert reader.text is not None
    reader.text.vectors[1:] = torch.randn(len(TITLES), 8)
    reader.meet(torch.arange(1, len(TITLES) + 1).numpy())
    learner = NextEventObjective(reader, 0.3, id_dropout=0.5)
    assert_parts_make_the_whole(learner, make_histories(LENGTHS), 9)


@pytest.mark.parametrize("held_out", [False, True])
def test_positions_of_tuning_are_picked_once(
    held_out: bool, encoder: UserEncoder, llm: LanguageModel
) -> None:
    left_out = torch.arange(len(TITLES) + 1) % 3 == 0 if held_out else None
    learner, batch = Tuning(make_model(encoder, llm), 3, held_out=left_out), make_histories(LENGTHS)
    assert_parts_make_the_whole(learner, batch, 9)


def test_noise_of_alignment_is_drawn_once(encoder: UserEncoder, llm: LanguageModel) -> None:
    shown = torch.tensor([[3, 1], [5, 2], [7, 3], [9, 4], [11, 5]])
    assert_parts_make_the_whole(Alignment(make_model(encoder, llm), 0.2), shown, 7)


def test_labels_texts_and_several_goals(
    encoder: UserEncoder, llm: LanguageModel, schema: FeatureSchema
) -> None:
    model, log = make_model(encoder, llm), make_log(schema)
    goals = [NextItemGoal(), label_goal(log), text_goal(log)]
    feed = together([feed_of(goal, model, log, 0) for goal in goals])
    met = set()
    for portion in itertools.islice(feed.batches, 6):
        if portion.goal not in met:
            assert_parts_make_the_whole(feed.learner, portion, 9)
        met.add(portion.goal)
    assert met == {0, 1, 2}


def test_lines_of_the_language_model_count_by_their_tokens(llm: LanguageModel) -> None:
    rows = [torch.tensor(llm.encode(title, begin=True)) for title in TITLES[:7]]
    lines = nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=-1)
    assert_parts_make_the_whole(_NextToken(llm.model), lines, 9)


def test_a_label_head(encoder: UserEncoder) -> None:
    shares = tied_shares((torch.rand(7, 3) < 0.7).numpy() | (torch.arange(3) == 1).numpy())
    head = LabelHead(encoder.width, shares.mean(dim=0))
    with torch.no_grad():
        head.linear.weight.normal_()
    assert_parts_make_the_whole(head, LabelExamples(torch.randn(7, encoder.width), shares), 9)
    examples = LabelExamples(make_histories(LENGTHS), shares)
    assert_parts_make_the_whole(LabelModel(encoder, head), examples, 9)


class Seen(nn.Module):
    """Remembers the rows it learnt from, and what dropout left of them."""

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Linear(3, 4), nn.Dropout(dropout), nn.Linear(4, 1))
        self.rows: list[Tensor] = []

    def drawn(self, batch: Tensor) -> Tensor:
        return batch

    def targets(self, batch: Tensor) -> int:
        return len(batch)

    def training_loss(self, batch: Tensor) -> Tensor:
        self.rows.append(batch)
        return (self.body(batch) - batch.sum(1, keepdim=True)).square().mean()


def trained(micro_batches: int, dropout: float = 0.0, accumulate: int = 1) -> tuple[Seen, list]:
    learner, losses = Seen(dropout), []

    class Heard(Quiet):
        def update(self, epoch: float, loss=None, value=None) -> None:
            losses.append(loss)

    generator = torch.Generator().manual_seed(3)
    data = [torch.randn(5, 3, generator=generator) for _ in range(12)]
    optimizer = OptimizerSettings(learning_rate=0.1, accumulate=accumulate)
    ranks.join(Spread(micro_batches=micro_batches))
    try:
        torch.manual_seed(1)
        run_stage(learner, stage(batches=iter(data), steps=6, optimizer=optimizer), Heard())
    finally:
        ranks.leave()
    return learner, losses


@pytest.mark.parametrize("accumulate", [1, 2])
def test_micro_batches_are_the_same_steps_and_see_each_row_once(accumulate: int) -> None:
    (whole, expected), (parts, losses) = (trained(n, accumulate=accumulate) for n in (1, 2))
    assert losses == pytest.approx(expected, rel=1e-5)
    for name, weight in whole.state_dict().items():
        torch.testing.assert_close(parts.state_dict()[name], weight, rtol=1e-4, atol=1e-6)
    assert [len(rows) for rows in parts.rows] == [2, 3] * 6 * accumulate
    assert torch.equal(torch.cat(parts.rows), torch.cat(whole.rows))


def test_dropout_of_parts_is_their_own_and_follows_from_the_step() -> None:
    learner = Seen(0.5).train()
    ones, divider = torch.ones(4, 3), Divider(learner, Spread(micro_batches=2), "stage")

    def losses(step: int) -> list[float]:
        return [float(divider.loss(Part(ones, n), step)[0]) for n in range(2)]

    first = [losses(step) for step in range(6)]
    assert any(one != other for one, other in first)
    assert len({tuple(own) for own in first}) > 1
    assert losses(0) == first[0]


def test_what_cannot_be_divided_is_refused() -> None:
    class Undivided(nn.Linear):
        def training_loss(self, batch: Tensor) -> Tensor:
            return batch.mean()

    with pytest.raises(UserError, match="Undivided cannot be trained on several devices"):
        Divider(Undivided(1, 1), Spread(micro_batches=2), "")
    learner = Seen()
    learner.body.append(nn.BatchNorm1d(1))
    with pytest.raises(UserError, match="normalises over whole batches"):
        Divider(learner, Spread(micro_batches=2), "")
