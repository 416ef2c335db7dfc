"""The embedded language model: a small Llama, built here and trained on the data set's own text."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmark.types import Progress, StageReport
from userllm.config import QUERY, LanguageModelSettings
from userllm.goals.examples import endless_rows
from userllm.llm.language_model import LanguageModel
from userllm.llm.loading import load_language_model
from userllm.nn.loss import full_precision
from userllm.training.cache import cached_stage, stage_key
from userllm.training.loop import Stage, device_facts, run_stage

_BEGIN, _END, _PAD = "<s>", "</s>", "<pad>"
_LONGEST_TOKENS = 128


def embedded_language_model(
    texts: Sequence[str],
    settings: LanguageModelSettings,
    *,
    written: Sequence[str] = (),
    seed: int,
    cache: Path,
    progress: Progress,
    accelerator: str = "cpu",
    checkpoints: Path | None = None,
) -> tuple[LanguageModel, StageReport]:
    """Trains tokenizer and model on texts, or takes them from the cache.

    Args:
        texts: One line each; what the model may know. Never text of a validation or test target.
        settings: Size and training.
        written: Further lines; of these a pass holds as many as `settings.max_tokens` leaves
            room for.
        seed: Seed of weights and order.
        cache: Folder of shared stages.
        progress: Where to say how far it is.
        accelerator: Lightning's name of the device.
        checkpoints: Folder for checkpoints of unfinished stages; None = keep none.
    """
    lines = [*texts, *written]
    content = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    key = stage_key(
        "llm",
        texts=[content, len(texts)],
        settings=settings.model_dump(),
        seed=seed,
        **device_facts(settings.optimizer, accelerator),
    )

    def build(folder: Path) -> StageReport:
        tokenizer = train_tokenizer(lines, settings.vocabulary)
        model = new_model(tokenizer, settings, seed)
        stage = replace(
            _stage(tokenizer, texts, written, settings, seed),
            accelerator=accelerator,
            checkpoint=None if checkpoints is None else checkpoints / "language_model.pt",
            key=key,
        )
        report = run_stage(_NextToken(model), stage, progress)
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        return report

    folder, report = cached_stage(cache, key, build, progress.note)
    llm = load_language_model(str(folder))
    llm.identity = f"embedded:{key}"
    return llm, report


def train_tokenizer(texts: Sequence[str], vocabulary: int) -> Any:
    """A byte-level BPE tokenizer, so that any text can be written."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[_PAD, _BEGIN, _END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    # Titles are said after a space, so the tokens are learnt with one.
    tokenizer.train_from_iterator((f" {text}" for text in texts), trainer)
    # The query stands before every title: one token keeps it cheap.
    tokenizer.add_tokens([QUERY])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=_BEGIN, eos_token=_END, pad_token=_PAD
    )


def new_model(tokenizer: Any, settings: LanguageModelSettings, seed: int) -> Any:
    """The model as it is before its first step, from a seed."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=settings.width,
        intermediate_size=4 * settings.width,
        num_hidden_layers=settings.layers,
        num_attention_heads=settings.heads,
        num_key_value_heads=settings.heads,
        max_position_embeddings=32_768,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return LlamaForCausalLM(config)


class _NextToken(nn.Module):
    """Plain next-token cross-entropy."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def training_loss(self, tokens: Tensor) -> Tensor:
        """Loss of lines `[B, T]`, filled up with -1."""
        inputs, targets = tokens[:, :-1].clamp(min=0), tokens[:, 1:]
        logits = self.model(input_ids=inputs, use_cache=False).logits
        flat = full_precision(logits.flatten(0, 1))
        return F.cross_entropy(flat, targets.flatten(), ignore_index=-1)

    def drawn(self, tokens: Tensor) -> Tensor:
        """See `userllm.training.dividing.Divisible`."""
        return tokens

    def targets(self, tokens: Tensor) -> int:
        """See `userllm.training.dividing.Divisible`."""
        return int((tokens[:, 1:] >= 0).sum())


def _stage(
    tokenizer: Any,
    texts: Sequence[str],
    written: Sequence[str],
    settings: LanguageModelSettings,
    seed: int,
) -> Stage:
    lines = _encoded(tokenizer, [*texts, *written])
    shown = _lines_of_a_pass(lines, len(texts), settings.max_tokens)
    per_epoch = -(-shown // settings.batch_size) / settings.optimizer.accumulate

    def batches() -> Iterator[Tensor]:
        rng = np.random.default_rng(seed)
        passes = _passes(len(lines), len(texts), shown, seed)
        while True:
            chosen = next(passes)
            order = chosen[rng.permutation(shown)]
            groups = [
                order[begin : begin + settings.batch_size]
                for begin in range(0, len(order), settings.batch_size)
            ]
            if written:  # of very different lengths, unlike titles: most of a batch were filler
                groups = _by_length(order, [len(line) for line in lines], settings.batch_size, rng)
            for group in groups:
                rows = [lines[i] for i in group]
                yield nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=-1)

    return Stage(
        name="language_model",
        batches=batches(),
        steps=max(1, round(settings.epochs * per_epoch)),
        steps_per_epoch=per_epoch,
        targets_per_step=0,
        optimizer=settings.optimizer,
    )


def _by_length(
    order: np.ndarray, lengths: Sequence[int], size: int, rng: np.random.Generator
) -> list[np.ndarray]:
    """Batches of lines of about the same length, in random order.

    Args:
        order: `[n]` lines, shuffled, which settles who stands beside whom among equals.
        lengths: Tokens of every line.
        size: Lines in a batch.
        rng: Source of the batches' order.
    """
    ordered = order[np.argsort([lengths[i] for i in order], kind="stable")]
    batches = [ordered[begin : begin + size] for begin in range(0, len(ordered), size)]
    return [batches[place] for place in rng.permutation(len(batches))]


def _encoded(tokenizer: Any, texts: Sequence[str]) -> list[Tensor]:
    """Each line behind the token that begins it, and before the one that ends it unless it is cut.

    A text that breaks off has not ended: the model would learn to stop at that length.
    """
    spaced = [f" {text}" for text in texts]
    rows = tokenizer(spaced, add_special_tokens=False)["input_ids"] if spaced else []
    begin, end = tokenizer.bos_token_id, tokenizer.eos_token_id
    return [torch.tensor([begin, *row, end][: _LONGEST_TOKENS + 2]) for row in rows]


def _lines_of_a_pass(lines: Sequence[Tensor], always: int, most_tokens: int) -> int:
    """How many lines a pass holds: all up to `always`, and others in what room they leave.

    However much stands in those, a quarter of the room is for the others.
    """
    lengths = np.array([len(line) for line in lines])
    own, others = int(lengths[:always].sum()), lengths[always:]
    room = max(most_tokens - own, most_tokens // 4)
    if not len(others) or others.sum() <= room:
        return len(lines)
    return always + max(1, int(room / others.mean()))


def _passes(lines: int, always: int, shown: int, seed: int) -> Iterator[np.ndarray]:
    """Which lines each pass holds, ascending: the first `always`, and others in turn."""
    if shown == lines:
        while True:
            yield np.arange(lines)
    turns = endless_rows(lines - always, shown - always, seed)
    while True:
        yield np.concatenate([np.arange(always), always + np.sort(next(turns))])
