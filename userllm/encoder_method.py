"""USER-LLM's encoder as a method of the harness, and for its encoder slot."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from benchmark.errors import UserError
from benchmark.goals import LabelGoal
from benchmark.protocols import USER_ENCODER, BuiltEncoder, FitContext, TrainingData
from benchmark.types import Candidates, FitReport, HistoryBatch, Ranking, rank_scores
from userllm.config import UserEncoderSettings
from userllm.encoder.event_encoder import EventEncoder
from userllm.encoder.item_text import item_vectors
from userllm.encoder.pretraining import new_encoder, pretrained_encoder
from userllm.goals.label_fit import finish_fit
from userllm.goals.label_head import LabelHead, LabelModel
from userllm.training.loop import training_device

_WEIGHTS, _HEAD = "encoder.safetensors", "label_head.safetensors"


class EncoderRanker:
    """Ranks by the encoder's own distribution over items."""

    def __init__(self, encoder: EventEncoder) -> None:
        self.encoder = encoder
        self.history_length = encoder.history

    @torch.inference_mode()
    def rank(self, histories: HistoryBatch, candidates: Candidates, k: int) -> Ranking:
        """See `benchmark.protocols.CandidateRanker`."""
        histories = histories.to(next(self.encoder.parameters()).device)
        scores = self.encoder.item_log_probs(self.encoder.embed(histories))
        return rank_scores(scores.cpu(), candidates, k, log_probs=True)


def build_encoder(
    data: TrainingData, settings: UserEncoderSettings, context: FitContext, pretrained: bool = True
) -> BuiltEncoder:
    """The autoregressive encoder for the encoder slot; see `benchmark.protocols.EncoderBuilder`."""
    text, stages = item_vectors(
        data.catalog,
        data.events,
        settings,
        name=context.llm,
        seed=context.seed,
        cache=context.cache,
        progress=context.progress,
        accelerator=context.accelerator,
        checkpoints=context.checkpoints,
    )
    if not pretrained:
        return BuiltEncoder(new_encoder(data.events, settings, context.seed, text), stages)
    encoder, report = pretrained_encoder(
        data.events,
        settings,
        seed=context.seed,
        fingerprint=f"{data.fingerprint}/{context.validation}",
        cache=context.cache,
        progress=context.progress,
        validate=lambda encoder: context.validate(EncoderRanker(encoder))[context.watch],
        accelerator=context.accelerator,
        checkpoints=context.checkpoints,
        text=text,
    )
    return BuiltEncoder(encoder, (*stages, report))


class UserEncoderMethod:
    """USER-LLM's user encoder alone: what the language model has to add to.

    For labels it is pretrained as ever, on what all tasks share, and gets a linear head.
    """

    def __init__(self, settings: UserEncoderSettings) -> None:
        self.settings = settings
        self.history_length = settings.fit.history
        self._labels: LabelModel | None = None

    def fit(self, data: TrainingData, context: FitContext) -> FitReport:
        """See `benchmark.protocols.Method`."""
        general = context.for_sharing(data)
        built = build_encoder(general[0], self.settings, general[1])
        assert isinstance(built.module, EventEncoder)
        self._encoder = built.module
        self._labels, report = finish_fit(
            self._encoder, built.stages, self.settings.label, data, context
        )
        return report

    def rank(self, histories: HistoryBatch, candidates: Candidates, k: int) -> Ranking:
        """See `benchmark.protocols.CandidateRanker`."""
        return EncoderRanker(self._encoder).rank(histories, candidates, k)

    def rank_labels(self, histories: HistoryBatch, goal: LabelGoal) -> Tensor:
        """See `benchmark.protocols.LabelRanker`; the scores are log-probabilities, nats."""
        assert self._labels is not None, "fit for labels first"
        return self._labels.rank_labels(histories, goal)

    def parts(self) -> Mapping[str, nn.Module]:
        """See `benchmark.protocols.Profiled`."""
        return {USER_ENCODER: self._encoder}

    def state(self) -> Mapping[str, Tensor]:
        """See `benchmark.protocols.Method`."""
        return (self._labels or self._encoder).state_dict()

    @property
    def features_read(self) -> tuple[str, ...]:
        """See `benchmark.protocols.FeatureReader`."""
        return self._encoder.columns_read

    def save(self, folder: Path) -> None:
        """See `benchmark.protocols.Saveable`."""
        save_file(self._encoder.state_dict(), folder / _WEIGHTS)
        if self._labels is not None:
            save_file(self._labels.head.state_dict(), folder / _HEAD)

    def restore(self, folder: Path, data: TrainingData, context: FitContext) -> None:
        """See `benchmark.protocols.Saveable`."""
        device = training_device(context.accelerator)
        built = build_encoder(data, self.settings, context, pretrained=False)
        assert isinstance(built.module, EventEncoder)
        self._encoder = built.module.to(device).eval()
        try:
            self._encoder.load_state_dict(load_file(folder / _WEIGHTS))
            if (folder / _HEAD).exists():
                weights = load_file(folder / _HEAD)
                head = LabelHead(self._encoder.width, torch.ones(len(weights["linear.bias"])))
                head.load_state_dict(weights)
                self._labels = LabelModel(self._encoder, head).to(device).eval()
        except (OSError, SafetensorError, RuntimeError, KeyError) as error:
            reason = str(error).splitlines()[0]
            raise UserError(f"{folder} holds no such user encoder ({reason})") from None
