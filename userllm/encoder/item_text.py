"""Items' text as vectors: what a language model makes of each item's line, frozen."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from benchmark.errors import UserError
from benchmark.events import EventLog
from benchmark.schema import ITEM, FeatureSchema
from benchmark.types import IDS, Catalog, Progress, StageReport
from userllm.checkpoint import weights_digest
from userllm.config import UserEncoderSettings
from userllm.encoder.user_encoder import features_read
from userllm.llm.corpus import item_lines, language_model
from userllm.llm.language_model import LanguageModel
from userllm.training.cache import cached_stage, stage_key
from userllm.training.loop import training_device
from userllm.training.modes import evaluating

LONGEST_TOKENS = 128
"""Most tokens of a line that are read; a title and its genres have few."""

_BATCH = 64
_VECTORS = "vectors.safetensors"


def item_vectors(
    catalog: Catalog,
    log: EventLog,
    settings: UserEncoderSettings,
    *,
    name: str | None,
    seed: int,
    cache: Path,
    progress: Progress,
    accelerator: str = "cpu",
    checkpoints: Path | None = None,
) -> tuple[Tensor | None, tuple[StageReport, ...]]:
    """Vectors of all items' text for the user encoder, made once, and the stages that it took.

    Args:
        catalog: The items.
        log: Training events, which the embedded language model learns from too.
        settings: The encoder's; where they do not ask for text, nothing is loaded.
        name: Hub name or local path of a language model; None = the embedded one.
        seed: Seed of the embedded model.
        cache: Folder of shared stages.
        progress: Where to say how far it is.
        accelerator: Lightning's name of the device.
        checkpoints: Folder for checkpoints of unfinished stages; None = keep none.

    Returns:
        `[N + 1, E]` on the processor, or None.

    Raises:
        UserError: The items have no text, or the language model cannot be had.
    """
    if not settings.item_text:
        return None, ()
    lines = text_lines(catalog, log.schema, settings)
    llm, stages = language_model(
        catalog,
        log,
        settings.text.language_model,
        name=name,
        seed=seed,
        cache=cache,
        progress=progress,
        accelerator=accelerator,
        checkpoints=checkpoints,
    )
    device = training_device(accelerator)
    llm.to(device)
    components = settings.text.components
    key = stage_key(
        "item-text",
        llm=weights_digest(llm.model.state_dict()),
        tokens=_digest(str(llm.encode(line)) for line in lines),
        components=components,
        device=device.type,
    )

    def build(folder: Path) -> StageReport:
        progress.stage("item_text")
        begun = time.perf_counter()
        save_file({"vectors": embed_lines(llm, lines, components)}, folder / _VECTORS)
        return StageReport("item_text", time.perf_counter() - begun)

    folder, report = cached_stage(cache, key, build, progress.note)
    return load_file(folder / _VECTORS)["vectors"], (*stages, report)


def text_lines(catalog: Catalog, schema: FeatureSchema, settings: UserEncoderSettings) -> list[str]:
    """What there is to read of each item, item 1 first: its text, and the features in words.

    Features that the encoder does not read are not in it; an item that nobody has given a text
    may have an empty line.

    Raises:
        UserError: The catalogue holds nothing but ids.
    """
    if catalog.text_source == IDS:
        raise UserError(
            "user_encoder.item_text=true: the items have no text to read, only ids; leave it off"
        )
    return item_lines(catalog, _no_events(features_read(schema, settings)))


def _no_events(schema: FeatureSchema) -> EventLog:
    nothing = np.zeros(0, dtype=np.int64)
    return EventLog(schema, np.zeros(1, dtype=np.int64), {ITEM: nothing}, {}, nothing)


def embed_items(
    llm: LanguageModel, catalog: Catalog, schema: FeatureSchema, settings: UserEncoderSettings
) -> Tensor:
    """As `item_vectors`, by a language model that is at hand; nothing is kept.

    Raises:
        UserError: The items have no text.
    """
    return embed_lines(llm, text_lines(catalog, schema, settings), settings.text.components)


@torch.inference_mode()
def embed_lines(llm: LanguageModel, lines: Sequence[str], components: int) -> Tensor:
    """Vectors `[M + 1, E]` of `M` lines, row 0 and those of empty lines zero.

    A line's vector is the mean of the model's last states over the line's tokens, and beside it
    the mean of their input embeddings: a state says what may come next, and of a small model's
    alone which word it was is hard to read. Of each half the mean over all lines is taken away,
    which all share and which would drown what tells them apart, and it is scaled by one number so
    that an entry's variance is one on average.

    Args:
        llm: Reads.
        lines: What is read, each cut to `LONGEST_TOKENS`.
        components: Wider vectors are cut to so many principal components.
    """
    texts = [torch.tensor(llm.encode(f" {line}", begin=True)[:LONGEST_TOKENS]) for line in lines]
    begins = int(llm.tokenizer.bos_token_id is not None)
    # Of like length together; where nothing is said there is nothing to read.
    order = [n for n in sorted(range(len(texts)), key=lambda n: len(texts[n])) if lines[n]]
    means = []
    with evaluating(llm):
        for start in range(0, len(order), _BATCH):
            means.append(_means(llm, [texts[n] for n in order[start : start + _BATCH]], begins))
    halves = [_comparable(torch.cat(half)) for half in zip(*means, strict=True)]
    found = _principal(torch.cat(halves, dim=1), components).float()
    vectors = torch.zeros(len(lines) + 1, found.shape[1])
    vectors[torch.tensor(order) + 1] = found
    return vectors


def _means(llm: LanguageModel, rows: list[Tensor], begins: int) -> tuple[Tensor, Tensor]:
    """Mean state and mean input embedding of each row of tokens, `[B, E]` each, on the processor.

    Args:
        llm: Reads.
        rows: `B` rows.
        begins: Tokens at the beginning of each row that are read and not counted.
    """
    tokens = nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=-1).to(llm.device)
    real = tokens >= 0
    words = llm.embed_tokens(tokens.clamp(min=0))
    states = llm.hidden_states(words, real)
    counted = (real & (torch.arange(tokens.shape[1], device=llm.device) >= begins)).unsqueeze(2)
    of_states, of_words = (
        ((part * counted).sum(1) / counted.sum(1)).double().cpu() for part in (states, words)
    )
    return of_states, of_words


def _comparable(vectors: Tensor) -> Tensor:
    """Vectors `[M, E]` without their mean, with entries of variance one on average."""
    centred = vectors - vectors.mean(dim=0)
    return centred / centred.square().mean().sqrt().clamp_min(1e-12)


def _principal(vectors: Tensor, components: int) -> Tensor:
    """Vectors `[M, E]` cut to their first principal components, where they are wider."""
    if components >= vectors.shape[1]:
        return vectors
    _, axes = torch.linalg.eigh(vectors.T @ vectors)  # ascending
    axes = axes.flip(1)[:, :components]
    # An axis has no sign of its own; without this one it would be chance.
    axes = axes * axes.gather(0, axes.abs().argmax(dim=0, keepdim=True)).sign()
    return _comparable(vectors @ axes)


def _digest(parts: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
