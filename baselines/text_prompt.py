"""The text prompt: the language model reads the last items as text and says the next title."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from baselines.text_prompt_config import TextPromptSettings
from benchmark.protocols import FitContext, TrainingData
from benchmark.types import Candidates, FitReport, HistoryBatch, Ranking, rank_scores
from userllm.compatibility import spoken_titles
from userllm.corpus import language_model
from userllm.decoding import catalogue_log_probs, choice_log_probs, chunks, read_prompt
from userllm.history_text import HistoryText, PackedTitles
from userllm.llm import LanguageModel
from userllm.trainable import all_parameters, trained_parameters, with_lora
from userllm.training import Stage, run_stage
from userllm.trie import TitleTrie, build_trie
from userllm.windows import endless_windows, targets_per_window

_LINE_TOKENS = 20
"""Tokens of a line, roughly: it only decides how many users are ranked at once."""


class TextPrompt:
    """Ranks by the exact likelihood of each title after the history as text.

    Training packs a window of `items + 1` titles into one text and scores every title but the
    first, under the same trie-masked loss and with as many targets as USER-LLM.
    """

    def __init__(self, settings: TextPromptSettings) -> None:
        self.settings = settings
        self.history_length = settings.items

    def fit(self, data: TrainingData, context: FitContext) -> FitReport:
        """See `benchmark.protocols.Method`."""
        settings = self.settings
        self._llm, stages = language_model(
            data.catalog,
            data.events,
            settings.language_model,
            name=context.llm,
            seed=context.seed,
            cache=context.cache,
            progress=context.progress,
            accelerator=context.accelerator,
            checkpoints=context.checkpoints,
        )
        titles = spoken_titles(data.catalog, self._llm)
        self._trie = build_trie(titles, self._llm.end_token)
        fields = data.schema.given.names[1:] if settings.fields is None else settings.fields
        self._text = HistoryText(
            data.catalog, data.schema, fields, self._llm, titles, settings.query
        )
        torch.manual_seed(context.seed)
        if settings.strategy == "lora":
            self._llm.requires_grad_(False)
            self._llm.model = with_lora(self._llm.model, settings.lora_rank)

        length = settings.items + 1
        windows, count = endless_windows(data.events, length, settings.windows, context.seed)
        size = min(settings.windows, count)
        a_step = size * settings.optimizer.accumulate
        per_step = a_step * targets_per_window(data.events, count)
        folder = context.checkpoints
        stage = Stage(
            name="tune",
            batches=self._packed(windows),
            steps=max(1, round(settings.targets / per_step)),
            steps_per_epoch=count / a_step,
            targets_per_step=per_step,
            optimizer=settings.optimizer,
            accelerator=context.accelerator,
            validate=lambda: context.validate(self)["recall@10"],
            looks=settings.looks,
            patience=settings.patience,
            checkpoint=None if folder is None else folder / "tune.pt",
            key=f"{context.seed} {settings.model_dump_json()} {context.validation}",
        )
        torch.manual_seed(context.seed)
        learner = _TitleLikelihood(self._llm, self._trie)
        tuning = run_stage(learner, stage, context.progress)
        return FitReport(
            (*stages, tuning), all_parameters(self._llm), trained_parameters(self._llm)
        )

    def _packed(self, windows: Iterator[HistoryBatch]) -> Iterator[PackedTitles]:
        for batch in windows:
            yield self._text.packed(batch, self._trie)

    @torch.inference_mode()
    def rank(self, histories: HistoryBatch, candidates: Candidates, k: int) -> Ranking:
        """See `benchmark.protocols.CandidateRanker`."""
        longest = _LINE_TOKENS * self.settings.items + self._trie.num_nodes
        scores = [self._score(histories.rows(part)) for part in chunks(len(histories), longest)]
        return rank_scores(torch.cat(scores), candidates, k, log_probs=True)

    def _score(self, histories: HistoryBatch) -> Tensor:
        query, prefix = torch.tensor(self._text.query), self._text.prefix(histories)
        prompt = read_prompt(self._llm, query, len(histories), prefix)
        trie = self._trie.to(self._llm.device)
        return catalogue_log_probs(self._llm, trie, prompt).cpu()

    def state(self) -> Mapping[str, Tensor]:
        """See `benchmark.protocols.Method`."""
        return self._llm.state_dict()


class _TitleLikelihood(nn.Module):
    """Mean negative log-likelihood of the titles of packed windows."""

    def __init__(self, llm: LanguageModel, trie: TitleTrie) -> None:
        super().__init__()
        self.llm = llm
        self.trie = trie

    def training_loss(self, batch: PackedTitles) -> Tensor:
        """Loss of one batch, nats a title."""
        states = self.llm.hidden_states(self.llm.embed_tokens(batch.tokens))
        picked = states[batch.choices.row, batch.choices.column]
        trie = self.trie.to(states.device)
        log_probs = choice_log_probs(self.llm, trie, picked, batch.choices.edge).sum()
        log_probs = log_probs + trie.log_share[batch.targets].sum()
        return -(log_probs / len(batch.targets)).float()
