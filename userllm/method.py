"""USER-LLM as a method of the harness."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmark.errors import UserError
from benchmark.events import EventLog
from benchmark.goals import Decoding, Goal, LabelGoal
from benchmark.protocols import (
    LLM,
    PROJECTOR,
    USER_ENCODER,
    FitContext,
    TrainingData,
)
from benchmark.types import (
    IDS,
    Candidates,
    Catalog,
    FitReport,
    HistoryBatch,
    PromptTokens,
    Ranking,
    StageReport,
    TextScores,
)
from userllm.compatibility import LONGEST_QUERY_TOKENS, check_query, check_shape, spoken_titles
from userllm.config import UserLLMSettings
from userllm.decoding import ranking
from userllm.encoder.event_encoder import EventEncoder
from userllm.fitting import Fitting, fit
from userllm.goals.answers import label_log_probs, lead_tokens, write
from userllm.goals.label_goal import label_trie
from userllm.llm.corpus import (
    corpus,
    held_out_items,
    item_lines,
    language_model,
    shuffled_titles,
)
from userllm.llm.embedded import train_tokenizer
from userllm.llm.language_model import LanguageModel
from userllm.llm.loading import outline_language_model
from userllm.model import UserLLM
from userllm.muting import muted
from userllm.perplexity import with_and_without_user
from userllm.trainable import all_parameters, trained_parameters
from userllm.training.loop import training_device


class UserLLMMethod:
    """USER-LLM: says the next item's title or a label, each exactly over a trie, or writes."""

    def __init__(self, settings: UserLLMSettings) -> None:
        self.settings = settings
        self.history_length = 1  # the encoder's, once it is there

    def fit(self, data: TrainingData, context: FitContext) -> FitReport:
        """See `benchmark.protocols.Method`."""
        built = context.encoder
        assert built is not None, "the harness passes the encoder in"
        encoder = built.module
        assert isinstance(encoder, EventEncoder)
        self.history_length = encoder.history
        catalog, held_out = self._said(data, context)
        if held_out is not None and getattr(encoder, "text", None) is not None:
            raise UserError(
                "user_llm.held_out measures text that nothing has read, and user_encoder.item_text "
                "reads all of it: leave one of them off"
            )
        lines = []
        if held_out is not None:
            lines = [
                line for line in compress(item_lines(catalog, data.events), held_out[1:]) if line
            ]
        llm, stages = self._language_model(data, context)
        torch.manual_seed(context.seed)
        try:
            self._model = UserLLM(encoder, llm, self.settings, catalog)
        except ValueError as error:
            raise UserError(str(error)) from error
        self._model.to(training_device(context.accelerator))
        self._model.schema = data.schema
        texts = self._texts(lines, data.events, "before")
        fitting = Fitting(
            context.seed,
            context.progress,
            validate=lambda: context.validate(self)[context.watch],
            accelerator=context.accelerator,
            checkpoints=context.checkpoints,
            key=f"{data.fingerprint} {context.validation}",
            cache=None if context.shared is None else context.cache,
        )
        tuned = fit(self._model, data.events, fitting, context.goals)
        stages = (*built.stages, *stages, *tuned)
        size, trained = all_parameters(self._model), trained_parameters(self._model)
        texts |= self._texts(lines, data.events, "after")
        return FitReport(stages, size, trained, texts=texts)

    def _language_model(
        self, data: TrainingData, context: FitContext
    ) -> tuple[LanguageModel, tuple[StageReport, ...]]:
        """The language model: where other tasks use it too, it knows what all may know."""
        data, context = context.for_sharing(data)
        catalog, held_out = self._said(data, context)
        return language_model(
            catalog,
            data.events,
            self.settings.language_model,
            name=context.llm,
            seed=context.seed,
            cache=context.cache,
            progress=context.progress,
            accelerator=context.accelerator,
            checkpoints=context.checkpoints,
            held_out=held_out,
        )

    def _texts(self, lines: list[str], events: EventLog, when: str) -> dict[str, TextScores]:
        """What the model makes of held-out lines; nothing where none are held out."""
        return with_and_without_user(self._model, lines, events, when) if lines else {}

    def _said(self, data: TrainingData, context: FitContext) -> tuple[Catalog, np.ndarray | None]:
        """The catalogue as it is said, and which items' text no training may say."""
        settings, catalog = self.settings, data.catalog
        if settings.shuffle_titles:
            catalog = shuffled_titles(catalog, context.seed)
        held_out = held_out_items(catalog, settings.held_out) if settings.held_out else None
        return catalog, held_out

    def check(self, data: TrainingData, context: FitContext) -> None:
        """See `benchmark.protocols.Checked`."""
        settings = self.settings
        data.schema.subset(settings.recent_fields or ())  # names what is none
        catalog, held_out = self._said(data, context)
        if context.llm is not None:
            llm = outline_language_model(context.llm)
            name = context.llm
            check_shape(settings, name, len(llm.layers()), llm.width, llm.layer_width)
            check_query(settings.query, len(llm.encode(settings.query, begin=True)))
            if catalog.text_source != IDS:
                spoken_titles(catalog, llm, context.progress)
            for goal in context.goals:
                if isinstance(goal, LabelGoal):
                    label_trie(goal.labels, llm)
            return
        size = settings.language_model
        name = "user_llm.language_model"
        check_shape(settings, name, size.layers, size.width, size.width)
        # No token is shorter than a byte, so only a long query asks for the tokens themselves.
        if not 0 < len(settings.query.encode()) < LONGEST_QUERY_TOKENS:
            tokenizer = train_tokenizer(corpus(catalog, data.events, held_out), size.vocabulary)
            query = tokenizer.encode(settings.query, add_special_tokens=False)
            check_query(settings.query, 1 + len(query))

    def rank(self, histories: HistoryBatch, candidates: Candidates, k: int) -> Ranking:
        """See `benchmark.protocols.CandidateRanker`."""
        return ranking.rank(self._model, histories, candidates, k)

    def rank_labels(self, histories: HistoryBatch, goal: LabelGoal) -> Tensor:
        """See `benchmark.protocols.LabelRanker`; the scores are log-probabilities, nats."""
        return label_log_probs(self._model, histories, goal.query, goal.labels)

    def generate(
        self, histories: HistoryBatch, prompts: list[str], items: Tensor, decoding: Decoding
    ) -> list[str]:
        """See `benchmark.protocols.TextGenerator`; the prompt says all that is told of the item."""
        return write(self._model, histories, prompts, decoding)

    def parts(self) -> Mapping[str, nn.Module]:
        """See `benchmark.protocols.Profiled`."""
        model = self._model
        reads: nn.Module = model.llm.model.base_model
        return {USER_ENCODER: model.encoder, PROJECTOR: model.projector, LLM: reads}

    @property
    def tokenizer(self) -> Any:
        """See `benchmark.protocols.PromptReader`."""
        return self._model.llm.tokenizer

    def prompt_tokens(
        self, histories: HistoryBatch, goal: Goal, prompts: Sequence[str] = ()
    ) -> PromptTokens:
        """See `benchmark.protocols.PromptReader`; the user's vectors are no tokens."""
        return PromptTokens(
            lead_tokens(self._model, histories, goal, prompts), [0] * len(histories)
        )

    def state(self) -> Mapping[str, Tensor]:
        """See `benchmark.protocols.Method`."""
        return self._model.state_dict()

    @property
    def features_read(self) -> tuple[str, ...]:
        """See `benchmark.protocols.FeatureReader`."""
        return self._model.columns_read

    def muted(self) -> AbstractContextManager[None]:
        """See `benchmark.protocols.Muted`."""
        return muted(self._model)

    def save(self, folder: Path) -> None:
        """See `benchmark.protocols.Saveable`."""
        # Weights of somebody else's that no training changed stay where they are.
        trained = self.settings.strategy == "full"
        own = trained or self._model.llm.identity.startswith("embedded:")
        self._model.save_pretrained(folder, llm_weights=own)

    def restore(self, folder: Path, data: TrainingData, context: FitContext) -> None:
        """See `benchmark.protocols.Saveable`."""
        given = context.llm if self.settings.strategy != "full" else None
        built = None if context.encoder is None else context.encoder.module
        assert built is None or isinstance(built, EventEncoder)
        self._model = UserLLM.from_pretrained(folder, llm=given, encoder=built)
        self._model.to(training_device(context.accelerator))
        self.history_length = self._model.encoder.history
