"""The text prompt: the language model reads the last events as text and says what is asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from baselines.prompt_labels import LabelLikelihood, history_rows, prompted_labels, score_rows
from baselines.prompt_rows import PromptRows
from baselines.prompt_texts import TextLessons, TextLikelihood
from baselines.prompt_writing import write
from baselines.text_prompt_config import TextPromptSettings
from benchmark.errors import UserError
from benchmark.goals import Decoding, Goal, LabelGoal, NextItemGoal, TextGoal
from benchmark.protocols import LLM, FitContext, TrainingData
from benchmark.types import (
    IDS,
    Candidates,
    Catalog,
    FitReport,
    HistoryBatch,
    Progress,
    PromptTokens,
    Ranking,
    rank_scores,
)
from userllm.compatibility import spoken_titles
from userllm.decoding import choice_log_probs
from userllm.decoding.trie import TitleTrie, build_trie
from userllm.encoder.windows import endless_windows, targets_per_window
from userllm.goals.label_goal import label_trie
from userllm.history_text import HistoryText, PackedTitles
from userllm.llm.corpus import item_title_tokens, language_model
from userllm.llm.language_model import LanguageModel
from userllm.trainable import all_parameters, trained_parameters, with_lora
from userllm.training.loop import Stage, run_stage


class TextPrompt:
    """Answers by what the language model finds likely after the history as text.

    Next item: training packs a window of `items + 1` titles into one text and scores every title
    but the first, under the same trie-masked loss and with as many targets as USER-LLM; ranking is
    by the exact likelihood of each title. Labels are ranked in the same way, over a trie of their
    names. For a text, the reviews of the history stand below its lines, and the prompt behind them.
    """

    def __init__(self, settings: TextPromptSettings) -> None:
        self.settings = settings
        self.history_length = settings.items

    def fit(self, data: TrainingData, context: FitContext) -> FitReport:
        """See `benchmark.protocols.Method`.

        Raises:
            UserError: There are several goals, or one that needs a history where there is none.
        """
        settings = self.settings
        if len(context.goals) != 1:
            raise UserError("text_prompt is fitted for one task at a time")
        (goal,) = context.goals
        if isinstance(goal, NextItemGoal) and not settings.items:
            raise UserError("text_prompt.items=0 cannot rank next items: at least 1 is needed")
        shared, _ = context.for_sharing(data)
        self._llm, stages = language_model(
            shared.catalog,
            shared.events,
            settings.language_model,
            name=context.llm,
            seed=context.seed,
            cache=context.cache,
            progress=context.progress,
            accelerator=context.accelerator,
            checkpoints=context.checkpoints,
        )
        fields = data.schema.given.names[1:] if settings.fields is None else settings.fields
        titles = self._titles(data.catalog, goal, context.progress)
        self._text = HistoryText(
            data.catalog, data.schema, fields, self._llm, titles, settings.query
        )
        learner, lesson = self._lesson(goal, titles, data, context)
        torch.manual_seed(context.seed)
        if settings.strategy == "lora":
            self._llm.requires_grad_(False)
            self._llm.model = with_lora(self._llm.model, settings.lora_rank)
        folder = context.checkpoints
        stage = Stage(
            name="tune",
            batches=lesson.batches,
            steps=max(1, round(lesson.targets / lesson.per_step)),
            steps_per_epoch=lesson.steps_per_epoch,
            targets_per_step=lesson.per_step,
            optimizer=settings.optimizer,
            accelerator=context.accelerator,
            validate=lambda: context.validate(self)[context.watch],
            looks=settings.looks,
            patience=settings.patience,
            checkpoint=None if folder is None else folder / "tune.pt",
            key=f"{context.seed} {settings.model_dump_json()} {context.validation}",
        )
        torch.manual_seed(context.seed)
        tuning = run_stage(learner, stage, context.progress)
        return FitReport(
            (*stages, tuning), all_parameters(self._llm), trained_parameters(self._llm)
        )

    def _titles(self, catalog: Catalog, goal: Goal, progress: Progress) -> list[list[int]]:
        """Tokens of each item's title; none where that is an id, which says nothing."""
        if isinstance(goal, NextItemGoal):
            return spoken_titles(catalog, self._llm, progress)
        if catalog.text_source == IDS:
            return [[] for _ in range(len(catalog))]
        return item_title_tokens(catalog, self._llm)

    def _lesson(
        self, goal: Goal, titles: list[list[int]], data: TrainingData, context: FitContext
    ) -> tuple[nn.Module, _Lesson]:
        """What learns, and from what."""
        settings, seed, llm = self.settings, context.seed, self._llm
        if isinstance(goal, NextItemGoal):
            self._trie = build_trie(titles, llm.end_token)
            behind = len(self._text.query) + int(self._trie.depth.max())
            self._rows = self._prompt_rows(behind, longest=None)
            length = settings.items + 1  # the first title has no target
            size = max(1, round(settings.batch_targets / settings.items))
            windows, count = endless_windows(data.events, length, size, seed)
            a_step = min(size, count) * settings.optimizer.accumulate
            per_step = a_step * targets_per_window(data.events, count)
            lesson = _Lesson(self._packed(windows), settings.targets, per_step, count / a_step)
            return _TitleLikelihood(llm, self._trie), lesson
        count, accumulate = len(goal.starts), settings.optimizer.accumulate
        if isinstance(goal, LabelGoal):
            trie, query = label_trie(goal.labels, llm), llm.encode(goal.query)
            self._rows = self._prompt_rows(len(query) + trie.item_inputs.shape[1] + 1)
            self._labels = LabelLikelihood(llm, trie, query)
            size = min(settings.batch_size, count)
            labels = prompted_labels(data.events, goal, self._rows, size, seed)
            a_step = size * accumulate
            return self._labels, _Lesson(labels, settings.examples, a_step, count / a_step)
        self._rows = self._prompt_rows(goal.longest + 1, goal.field)
        texts = TextLessons(
            llm,
            data.events,
            goal,
            self._rows,
            batch_size=settings.batch_size,
            together=settings.together,
            seed=seed,
        )
        per_step = texts.examples * accumulate
        lesson = _Lesson(texts.batches(), settings.examples, per_step, count / per_step)
        return TextLikelihood(llm), lesson

    def _prompt_rows(self, behind: int, field: str = "", *, longest: int | None = 0) -> PromptRows:
        """What writes histories; as long as the settings say, or as there are positions (None)."""
        settings = self.settings
        return PromptRows(
            self._text,
            self._llm,
            items=settings.items,
            longest=settings.longest if longest == 0 else longest,
            behind=behind,
            field=field,
            review_tokens=settings.review_tokens,
        )

    def _packed(self, windows: Iterator[HistoryBatch]) -> Iterator[PackedTitles]:
        for batch in windows:
            packed = self._text.packed(batch, self._trie, self._rows.longest)
            if len(packed.targets):  # no two titles of a window may fit
                yield packed

    @torch.inference_mode()
    def rank(self, histories: HistoryBatch, candidates: Candidates, k: int) -> Ranking:
        """See `benchmark.protocols.CandidateRanker`."""
        query, rows = torch.tensor(self._text.query), history_rows(self._rows, histories)
        scores = score_rows(self._llm, self._trie, query, rows)
        return rank_scores(scores, candidates, k, log_probs=True)

    @torch.inference_mode()
    def rank_labels(self, histories: HistoryBatch, goal: LabelGoal) -> Tensor:
        """See `benchmark.protocols.LabelRanker`."""
        return self._labels.rank(history_rows(self._rows, histories))

    @torch.inference_mode()
    def generate(
        self, histories: HistoryBatch, prompts: list[str], items: Tensor, decoding: Decoding
    ) -> list[str]:
        """See `benchmark.protocols.TextGenerator`."""
        rows = self._rows.rows(histories, [self._llm.encode(prompt) for prompt in prompts])
        return write(self._llm, rows, decoding)

    def parts(self) -> Mapping[str, nn.Module]:
        """See `benchmark.protocols.Profiled`."""
        reads: nn.Module = self._llm.model.base_model
        return {LLM: reads}

    @property
    def tokenizer(self) -> Any:
        """See `benchmark.protocols.PromptReader`."""
        return self._llm.tokenizer

    def prompt_tokens(
        self, histories: HistoryBatch, goal: Goal, prompts: Sequence[str] = ()
    ) -> PromptTokens:
        """See `benchmark.protocols.PromptReader`."""
        if isinstance(goal, TextGoal):
            return self._rows.counted(histories, [self._llm.encode(own) for own in prompts])
        query = self._text.query if isinstance(goal, NextItemGoal) else self._labels.query
        counted = self._rows.counted(histories, [[]] * len(histories))
        return PromptTokens([count + len(query) for count in counted.tokens], counted.dropped)

    def state(self) -> Mapping[str, Tensor]:
        """See `benchmark.protocols.Method`."""
        return self._llm.state_dict()


@dataclass(frozen=True)
class _Lesson:
    """Training batches of a goal, and how many.

    Attributes:
        batches: For ever.
        targets: Supervised targets in all.
        per_step: Targets of an optimizer step, on average.
        steps_per_epoch: Steps of a pass over the examples.
    """

    batches: Iterator[Any]
    targets: int
    per_step: float
    steps_per_epoch: float


class _TitleLikelihood(nn.Module):
    """Mean negative log-likelihood of the titles of packed windows."""

    def __init__(self, llm: LanguageModel, trie: TitleTrie) -> None:
        super().__init__()
        self.llm = llm
        self.trie = trie

    def drawn(self, batch: PackedTitles) -> PackedTitles:
        """See `userllm.training.dividing.Divisible`."""
        return batch

    def targets(self, batch: PackedTitles) -> int:
        """See `userllm.training.dividing.Divisible`."""
        return len(batch.targets)

    def training_loss(self, batch: PackedTitles) -> Tensor:
        """Loss of one batch, nats a title."""
        states = self.llm.hidden_states(self.llm.embed_tokens(batch.tokens))
        picked = states[batch.choices.row, batch.choices.column]
        trie = self.trie.to(states.device)
        log_probs = choice_log_probs(self.llm, trie, picked, batch.choices.edge).sum()
        log_probs = log_probs + trie.log_share[batch.targets].sum()
        return -(log_probs / len(batch.targets)).float()
