"""USER-LLM and its encoder as methods of the harness: the one file that speaks its protocols."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from benchmark.errors import UserError
from benchmark.protocols import FitContext, TrainingData
from benchmark.types import Candidates, FitReport, HistoryBatch, Ranking, StageReport, rank_scores
from userllm.config import UserEncoderSettings, UserLLMSettings
from userllm.corpus import item_title_tokens, language_model
from userllm.decoding import chunks
from userllm.model import UserLLM
from userllm.pretraining import pretrained_encoder
from userllm.stages import Alignment, Tuning, endless_items
from userllm.trainable import all_parameters, apply_strategy, trained_parameters
from userllm.training import Stage, run_stage
from userllm.trie import build_trie
from userllm.user_encoder import UserEncoder
from userllm.windows import endless_windows, picked_per_window

_WATCHED = "recall@10"


class EncoderRanker:
    """Ranks by the encoder's own distribution over items."""

    def __init__(self, encoder: UserEncoder) -> None:
        self.encoder = encoder
        self.history_length = encoder.history

    @torch.inference_mode()
    def rank(self, histories: HistoryBatch, candidates: Candidates, k: int) -> Ranking:
        """See `benchmark.protocols.CandidateRanker`."""
        scores = self.encoder.item_log_probs(self.encoder.embed(histories))
        return rank_scores(scores, candidates, k, log_probs=True)


def _encoder(
    data: TrainingData, settings: UserEncoderSettings, context: FitContext
) -> tuple[UserEncoder, StageReport]:
    return pretrained_encoder(
        data.events,
        settings,
        seed=context.seed,
        fingerprint=f"{data.fingerprint}/{context.validation}",
        cache=context.cache,
        progress=context.progress,
        validate=lambda encoder: context.validate(EncoderRanker(encoder))[_WATCHED],
        accelerator=context.accelerator,
    )


class UserEncoderMethod:
    """USER-LLM's user encoder alone: what the language model has to add to."""

    def __init__(self, settings: UserEncoderSettings) -> None:
        self.settings = settings
        self.history_length = settings.fit.history

    def fit(self, data: TrainingData, context: FitContext) -> FitReport:
        """See `benchmark.protocols.Method`."""
        self._encoder, report = _encoder(data, self.settings, context)
        size = all_parameters(self._encoder)
        return FitReport((report,), size, size)

    def rank(self, histories: HistoryBatch, candidates: Candidates, k: int) -> Ranking:
        """See `benchmark.protocols.CandidateRanker`."""
        return EncoderRanker(self._encoder).rank(histories, candidates, k)

    def state(self) -> Mapping[str, Tensor]:
        """See `benchmark.protocols.Method`."""
        return self._encoder.state_dict()


class UserLLMMethod:
    """USER-LLM: says the title of the next item, ranked exactly over the catalogue's trie."""

    def __init__(self, settings: UserLLMSettings) -> None:
        self.settings = settings
        self.history_length = settings.encoder.fit.history

    def fit(self, data: TrainingData, context: FitContext) -> FitReport:
        """See `benchmark.protocols.Method`."""
        self._check(context)
        encoder, pretraining = _encoder(data, self.settings.encoder, context)
        llm, stages = language_model(
            data.catalog,
            data.events,
            self.settings.language_model,
            name=context.llm,
            seed=context.seed,
            cache=context.cache,
            progress=context.progress,
            accelerator=context.accelerator,
        )
        torch.manual_seed(context.seed)
        self._model = UserLLM(encoder, llm, self.settings)
        self._trie = build_trie(item_title_tokens(data.catalog, llm), llm.end_token)
        stages = (pretraining, *stages)
        if self.settings.align.steps:
            stages = (*stages, self._align(data, context))
        apply_strategy(
            self.settings.strategy,
            llm,
            encoder,
            self._model.bridge(),
            self.settings.lora_rank,
        )
        trained = trained_parameters(self._model)
        stages = (*stages, self._tune(data, context))
        return FitReport(stages, all_parameters(self._model), trained)

    def _check(self, context: FitContext) -> None:
        """Finds before anything is trained what does not fit together."""
        llm = self.settings.language_model
        fusion = self.settings.fusion
        if context.llm is not None or fusion.kind != "cross_attention":
            return
        if fusion.every > llm.layers:
            raise UserError(
                f"user_llm.fusion.every={fusion.every}, but user_llm.language_model.layers="
                f"{llm.layers}: 1 to {llm.layers} are possible"
            )
        if llm.width % fusion.heads:
            raise UserError(
                f"user_llm.fusion.heads={fusion.heads} must divide "
                f"user_llm.language_model.width={llm.width}"
            )

    def _align(self, data: TrainingData, context: FitContext) -> StageReport:
        settings = self.settings.align
        # Only what says titles learns here: the encoder's item table is the fixed side.
        apply_strategy(
            "full" if self.settings.strategy == "full" else "proj",
            self._model.llm,
            self._model.encoder,
            self._model.bridge(),
            self.settings.lora_rank,
        )
        self._model.encoder.requires_grad_(False)
        size = min(settings.batch_size, len(data.catalog))
        stage = Stage(
            name="align",
            batches=endless_items(len(data.catalog), size, context.seed),
            steps=settings.steps,
            steps_per_epoch=len(data.catalog) / size,
            targets_per_step=0,
            optimizer=settings.optimizer,
            accelerator=context.accelerator,
        )
        torch.manual_seed(context.seed)
        return run_stage(Alignment(self._model, self._trie, settings), stage, context.progress)

    def _tune(self, data: TrainingData, context: FitContext) -> StageReport:
        settings = self.settings.tune
        length = self.settings.encoder.fit.history + 1
        batches, windows = endless_windows(data.events, length, settings.windows, context.seed)
        size = min(settings.windows, windows)
        per_step = size * picked_per_window(data.events, length, settings.targets_per_window)
        stage = Stage(
            name="tune",
            batches=batches,
            steps=max(1, round(settings.targets / per_step)),
            steps_per_epoch=windows / size,
            targets_per_step=per_step,
            optimizer=settings.optimizer,
            accelerator=context.accelerator,
            validate=lambda: context.validate(self)[_WATCHED],
            looks=settings.looks,
            patience=settings.patience,
        )
        torch.manual_seed(context.seed)
        tuning = Tuning(
            self._model, self._trie, settings.targets_per_window, self.settings.encoder_targets
        )
        return run_stage(tuning, stage, context.progress)

    @torch.inference_mode()
    def rank(self, histories: HistoryBatch, candidates: Candidates, k: int) -> Ranking:
        """See `benchmark.protocols.CandidateRanker`."""
        scores = [
            self._model.catalogue_log_probs(self._trie, histories.rows(part))
            for part in chunks(len(histories), self._trie.num_nodes)
        ]
        return rank_scores(torch.cat(scores), candidates, k, log_probs=True)

    def state(self) -> Mapping[str, Tensor]:
        """See `benchmark.protocols.Method`."""
        return self._model.state_dict()
