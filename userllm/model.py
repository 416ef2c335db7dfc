"""USER-LLM: a user encoder, a projector and a fusion around a causal language model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmark.events import EventLog
from benchmark.schema import ITEM, FeatureSchema
from benchmark.types import Catalog, HistoryBatch, Progress, StageReport
from userllm import api, checkpoint
from userllm.compatibility import LONGEST_QUERY_TOKENS, spoken_titles
from userllm.config import UserEncoderSettings, UserLLMSettings
from userllm.decoding import (
    Layout,
    Prefix,
    Prior,
    Prompt,
    branch_states,
    catalogue_log_probs,
    read_prompt,
)
from userllm.decoding.trie import TitleTrie, build_trie
from userllm.encoder.event_encoder import Encoded, EventEncoder
from userllm.fusion import GATE_SPEED, CrossAttentionFusion, UserContext
from userllm.histories import Histories
from userllm.history_text import HistoryText
from userllm.llm.corpus import held_out_items
from userllm.llm.language_model import LanguageModel
from userllm.projector import EventProjector, Perceiver


class UserLLM(nn.Module):
    """A language model that reads user vectors and a fixed query, whatever the history's length.

    Args:
        encoder: The user encoder.
        llm: The language model.
        settings: Projector, fusion and query.
        catalog: The items that it may say; needed to rank, not to write.

    Raises:
        ValueError: The query has more than 32 tokens, or none.
    """

    def __init__(
        self,
        encoder: EventEncoder,
        llm: LanguageModel,
        settings: UserLLMSettings,
        catalog: Catalog | None = None,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.llm = llm
        self.settings = settings
        self.catalog = catalog
        self.schema = encoder.schema  # what events may name: whoever knows of more says so
        self.encoder_settings: UserEncoderSettings | None = None  # of the encoder that `fit` trains
        self.encoder_is_fresh = False  # made by `build`, and no `fit` came to its end since
        self.label_tries: dict[tuple[str, ...], TitleTrie] = {}  # of label names, as they are asked
        width, length = encoder.width, encoder.history
        heads, projector = settings.fusion.heads, settings.projector
        self.projector: EventProjector | Perceiver
        if projector.latents:
            self.projector = Perceiver(
                width, llm.width, projector.latents, projector.depth, heads, length
            )
        else:
            self.projector = EventProjector(width, llm.width)
        self.fusion: CrossAttentionFusion | None = None
        if settings.fusion.kind == "cross_attention":
            self.fusion = CrossAttentionFusion(
                llm, settings.fusion.every, heads, length, settings.fusion.feed_forward
            )
        query = llm.encode(settings.query, begin=True)
        if not 0 < len(query) <= LONGEST_QUERY_TOKENS:
            raise ValueError(
                f"the query has {len(query)} tokens; 1 to {LONGEST_QUERY_TOKENS} are allowed"
            )
        # At zero the trie says what the encoder says; the language model has to earn its share.
        self.volume = nn.Parameter(torch.zeros(())) if settings.encoder_prior else None
        self.item_head = nn.Linear(llm.width, width) if settings.loss == "item_head" else None
        self.register_buffer("query", torch.tensor(query), persistent=False)
        self.query: Tensor

    @classmethod
    def build(
        cls,
        model: Any,
        tokenizer: Any,
        schema: FeatureSchema,
        *,
        catalog: Catalog | None = None,
        settings: UserLLMSettings | Mapping[str, Any] | None = None,
        encoder: EventEncoder | UserEncoderSettings | Mapping[str, Any] | None = None,
        seed: int = 0,
    ) -> UserLLM:
        """A new model around a causal language model; see `userllm.api.build`."""
        return api.build(
            model,
            tokenizer,
            schema,
            catalog=catalog,
            settings=settings,
            encoder=encoder,
            seed=seed,
        )

    def fit(
        self,
        histories: Histories | EventLog,
        *,
        pretrain: bool | None = None,
        seed: int = 0,
        progress: Progress | None = None,
        accelerator: str | None = None,
        validate: Callable[[UserLLM], float] | None = None,
        checkpoints: str | Path | None = None,
    ) -> tuple[StageReport, ...]:
        """Trains on histories; see `userllm.api.fit`."""
        return api.fit(
            self,
            histories,
            pretrain=pretrain,
            seed=seed,
            progress=progress,
            accelerator=accelerator,
            validate=validate,
            checkpoints=checkpoints,
        )

    def embed(self, histories: Histories) -> Tensor:
        """The encoder's state after each history, `[B, D]`; zero for an empty one."""
        return api.embed(self, histories)

    def rank(
        self, histories: Histories, k: int = 10, exclude_seen: bool = True
    ) -> list[list[tuple[str, float]]]:
        """The best next items of each user; see `userllm.api.rank`."""
        return api.rank(self, histories, k, exclude_seen)

    def generate(
        self, histories: Histories, prompts: str | Sequence[str], **options: Any
    ) -> list[str]:
        """Text that continues a prompt, for each user; see `userllm.api.generate`."""
        return api.generate(self, histories, prompts, **options)

    def save_pretrained(self, folder: str | Path, *, llm_weights: bool = True) -> None:
        """Writes the model into a folder; see `userllm.checkpoint.save`."""
        checkpoint.save(self, folder, llm_weights=llm_weights)

    @classmethod
    def from_pretrained(
        cls,
        folder: str | Path,
        *,
        schema: FeatureSchema | None = None,
        llm: Any = None,
        encoder: EventEncoder | None = None,
    ) -> UserLLM:
        """Reads what `save_pretrained` wrote; see `userllm.checkpoint.load`."""
        return checkpoint.load(folder, schema=schema, llm=llm, encoder=encoder)

    @property
    def trie(self) -> TitleTrie:
        """The catalogue's titles, where the language model is.

        Raises:
            ValueError: The model was built without a catalogue.
            UserError: A title cannot be said.
        """
        return self._trie.to(self.llm.device)

    @cached_property
    def _trie(self) -> TitleTrie:
        # Whoever asks first may do so in inference mode, and training after that.
        with torch.inference_mode(False):
            return build_trie(self.titles, self.llm.end_token)

    @cached_property
    def titles(self) -> list[list[int]]:
        """Tokens of each item's title, item 1 first; errors as of `trie`."""
        if self.catalog is None:
            raise ValueError("without a catalogue there is nothing to rank")
        return spoken_titles(self.catalog, self.llm)

    @cached_property
    def title_tokens(self) -> Tensor:
        """Tokens of each title, `LongTensor[N + 1, T]`, filled up with -1 at the end."""
        with torch.inference_mode(False):
            titles = [torch.tensor(title) for title in ([-1], *self.titles)]
            return nn.utils.rnn.pad_sequence(titles, batch_first=True, padding_value=-1)

    @cached_property
    def held_out(self) -> Tensor | None:
        """Items whose text no training may say, `BoolTensor[N + 1]`; None where all may be."""
        if self.catalog is None or not self.settings.held_out:
            return None
        with torch.inference_mode(False):
            return torch.from_numpy(held_out_items(self.catalog, self.settings.held_out))

    @property
    def _depth(self) -> int:
        """Tokens of a title that ranking reads at most."""
        if self.catalog is None or self.item_head is not None:
            return 0
        return int(self._trie.depth.max())

    def bridge(self) -> list[nn.Module]:
        """Projector, fusion and item head: all that is neither encoder nor language model."""
        parts = (self.projector, self.fusion, self.item_head)
        return [part for part in parts if part is not None]

    def context(self, states: Tensor, mask: Tensor, positions: Tensor) -> UserContext:
        """What the language model may read of each user's history up to some positions.

        Args:
            states: Encoder states `[B, L, D]`.
            mask: `BoolTensor[B, L]`, True = real event.
            positions: `LongTensor[B, P]` the latest event each view sees.
        """
        places = torch.arange(states.shape[1], device=states.device)
        distance = positions.unsqueeze(2) - places
        context: UserContext = self.projector(states, (distance >= 0) & mask.unsqueeze(1), distance)
        return context

    def prior(self, trie: TitleTrie, states: Tensor) -> Prior | None:
        """The encoder's own distribution after states `[V, D]`, where the settings ask for it."""
        if self.volume is None:
            return None
        mass = trie.edge_log_mass(self.encoder.item_log_probs(states))
        return Prior(mass, GATE_SPEED * self.volume)

    def leads(self, histories: HistoryBatch, latest: Tensor) -> Tensor:
        """The text before a title: the fixed query, behind the most recent items where asked for.

        Args:
            histories: `B` users.
            latest: `LongTensor[B, P]` place of the latest event that each view knows.

        Returns:
            `LongTensor[G]`, or `LongTensor[B, P, G]` filled up with -1 at the front.
        """
        if not self.settings.recent_as_text:
            return self.query
        leads = self._text.leads(histories, latest, self.settings.recent_as_text)
        return leads.to(self.llm.device)

    @property
    def columns_read(self) -> tuple[str, ...]:
        """Columns of a batch that an answer follows from: the encoder's, and those written."""
        text = (ITEM, *self._fields) if self.settings.recent_as_text else ()
        return tuple(dict.fromkeys((*self.encoder.columns_read, *text)))

    @property
    def _fields(self) -> tuple[str, ...]:
        """Features written behind a recent item."""
        chosen = self.settings.recent_fields
        return self.schema.given.names[1:] if chosen is None else chosen

    @cached_property
    def _text(self) -> HistoryText:
        if self.catalog is None:
            raise ValueError("without a catalogue no item can be written as text")
        unsaid = None if self.held_out is None else self.held_out.numpy()
        query = self.settings.query
        return HistoryText(
            self.catalog, self.schema, self._fields, self.llm, self.titles, query, unsaid
        )

    def item_log_probs(self, states: Tensor) -> Tensor:
        """Log-probabilities `[M, N + 1]` of the items by the item head, after states `[M, E]`.

        The head maps into the encoder's space, where the item table stands.
        """
        if self.item_head is None:
            raise ValueError("only a model with loss=item_head has an item head")
        return self.encoder.item_log_probs(self.item_head(states.to(self.item_head.weight.dtype)))

    def read_histories(self, histories: HistoryBatch) -> tuple[UserContext, Encoded]:
        """What the language model may read of whole histories: `B` users with one view each."""
        encoded = self.encoder.encode(histories.to(self.llm.device))
        context = self.context(encoded.states, encoded.mask, encoded.latest.unsqueeze(1))
        return context, encoded

    def ask(self, histories: HistoryBatch) -> tuple[Prompt, Encoded]:
        """Reads all that stands before a title: the user's vectors and the lead."""
        context, encoded = self.read_histories(histories)
        lead = self.leads(histories, (histories.lengths - 1).unsqueeze(1))
        return self.prompt(context, lead if lead.ndim == 1 else lead[:, 0]), encoded

    def catalogue_log_probs(self, trie: TitleTrie | None, histories: HistoryBatch) -> Tensor:
        """Exact log-probability `[B, N + 1]` of every item as the next one.

        Without a trie it is the catalogue's own, where one is needed.
        """
        prompt, encoded = self.ask(histories)
        if self.item_head is not None:
            return self.item_log_probs(prompt.state)
        trie = self.trie if trie is None else trie
        prior = self.prior(trie, encoded.at_latest())
        return catalogue_log_probs(self.llm, trie, prompt, prior)

    def prompt(
        self, context: UserContext, lead: Tensor | None = None, depth: int | None = None
    ) -> Prompt:
        """What titles continue: the user's vectors and behind them a lead, `[G]` or `[B, G]`.

        The lead is the query where absent; `depth` is how many tokens are read behind it at most,
        where they are not those of titles.

        Raises:
            UserError: The language model has too few positions for it and the longest title.
        """
        lead = self.query if lead is None else lead
        users = len(context.vectors)
        prefix = _soft_prompt(context) if self.fusion is None else None
        begin = 0 if prefix is None else prefix.next_position.max()
        depth = self._depth if depth is None else depth
        self.llm.check_positions(int(begin + (lead >= 0).sum(dim=-1).max()) + depth)
        if self.fusion is None:
            return read_prompt(self.llm, lead, users, prefix)
        fusion = self.fusion

        def attend(some: Tensor) -> AbstractContextManager[None]:
            return fusion.attend(self.llm, context.of(some))

        return read_prompt(self.llm, lead, users, attend=attend)

    def read(self, context: UserContext, layout: Layout) -> Tensor:
        """Last hidden states `[B, T, E]` of a layout, the users attached.

        Raises:
            UserError: The language model has too few positions for it.
        """
        prefix = _soft_prompt(context) if self.fusion is None else None
        begin = 0 if prefix is None else prefix.next_position.gather(1, layout.view)
        self.llm.check_positions(int((begin + layout.offset).max()) + 1)
        if self.fusion is None:
            return branch_states(self.llm, layout, prefix)
        with self.fusion.attend(self.llm, context, layout.view):
            return branch_states(self.llm, layout)


def _soft_prompt(context: UserContext) -> Prefix:
    """User vectors as a prefix: each sees the ones before it that some view of its sees too."""
    length = context.vectors.shape[1]
    places = torch.arange(length, device=context.mask.device)
    causal = places.unsqueeze(1) >= places.unsqueeze(0)
    if context.latents:
        # Latents of one view know nothing of another's; each view counts its own from zero.
        together = (context.mask.unsqueeze(3) & context.mask.unsqueeze(2)).any(dim=1)
        keep, positions = together & causal, places % context.latents
    else:
        keep, positions = causal.expand(len(context.mask), -1, -1), places
    return Prefix(context.vectors, keep, context.mask, positions.expand(len(context.mask), -1))
