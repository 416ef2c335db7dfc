"""Free text about users: Hugging Face's own `generate`, with each user attached to its prompt."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from benchmark.errors import UserError
from userllm.arguments import shown, whole_number
from userllm.fusion import UserContext
from userllm.llm.language_model import LanguageModel
from userllm.seeding import seeded
from userllm.training.modes import by_options_alone, evaluating

if TYPE_CHECKING:
    from userllm.model import UserLLM

MAX_NEW_TOKENS = 64
"""How long a text may become where no option says otherwise."""

_OURS = {
    "num_return_sequences": "there is one text for each prompt",
    "return_dict_in_generate": "the result is text",
}
_COUNTS = ("max_new_tokens", "max_length", "num_beams")


def generate(
    model: UserLLM,
    context: UserContext,
    prompts: Sequence[str],
    *,
    seed: int | None = None,
    **options: Any,
) -> list[str]:
    """Text that continues a prompt for each user.

    Args:
        model: The model that reads the users.
        context: Of the `B` users, with one view each.
        prompts: `B` texts.
        seed: Of sampling; None draws from torch's global generator.
        options: Any field of Hugging Face's `GenerationConfig`, as `max_new_tokens` (64 where
            absent), `do_sample`, `temperature`, `num_beams`, `use_cache`, `stop_strings` (a text
            ends with the one that ends it).

    Returns:
        The new text alone, `B` of them.

    Raises:
        UserError: An unknown option or a bad value; not one prompt for each user; an empty prompt;
            more tokens than the model has positions.
    """
    _check(options)
    users = len(context.vectors)
    if len(prompts) != users:
        raise UserError(f"{len(prompts)} prompts for {users} users; one for each is needed")
    llm = model.llm
    rows = [llm.encode(prompt, begin=True) for prompt in prompts]
    if not all(rows):
        raise UserError("a prompt is empty, and the tokenizer has no token to begin a text with")
    return [
        llm.tokenizer.decode(row, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        for row in continue_tokens(model, context, rows, seed=seed, **options)
    ]


def continue_tokens(
    model: UserLLM,
    context: UserContext,
    rows: Sequence[Sequence[int]],
    *,
    seed: int | None = None,
    **options: Any,
) -> Tensor:
    """New tokens behind the tokens of each user, `LongTensor[B, T]`; see `generate`.

    Args:
        model: The model that reads the users.
        context: Of the `B` users, with one view each.
        rows: `B` beginnings, at least one token each.
        seed: Of sampling.
        options: As in `generate`.
    """
    written, begin = _written(model, context, rows, seed, options)
    tokens: Tensor = written.sequences[:, begin:]
    return tokens


def likeliest_texts(
    model: UserLLM,
    context: UserContext,
    rows: Sequence[Sequence[int]],
    *,
    beams: int,
    longest: int,
) -> tuple[Tensor, Tensor]:
    """What a beam search without constraint writes behind the tokens of each user, likeliest first.

    Args:
        model: The model that reads the users.
        context: Of the `B` users, with one view each.
        rows: `B` beginnings, at least one token each.
        beams: `n`.
        longest: Most tokens of a text, the end counted.

    Returns:
        Texts `LongTensor[B, n, T]`, of no meaning behind the token that ends them, and their
        log-probabilities `FloatTensor[B, n]` (the end's, where it comes, among them; nats).
    """
    options = {
        "num_beams": beams,
        "num_return_sequences": beams,
        "do_sample": False,
        "max_new_tokens": longest,
        "length_penalty": 0.0,  # the likelihood itself, not its mean over tokens
        "eos_token_id": model.llm.end_token,
        "output_scores": True,
    }
    with by_options_alone(model.llm):
        written, begin = _written(model, context, rows, None, options)
    tokens = written.sequences[:, begin:]
    if beams > 1:
        log_probs = written.sequences_scores
    else:  # a beam of one has no scores of its own
        each = torch.stack(written.scores, dim=1).log_softmax(dim=2)
        each = each.gather(2, tokens.unsqueeze(2)).squeeze(2)
        ends = (tokens == model.llm.end_token).long()
        behind = ends.cumsum(dim=1) > ends
        log_probs = each.masked_fill(behind, 0.0).sum(dim=1)
    shape = len(rows), beams
    return tokens.view(*shape, -1), log_probs.view(shape)


def _written(
    model: UserLLM,
    context: UserContext,
    rows: Sequence[Sequence[int]],
    seed: int | None,
    options: dict[str, Any],
) -> tuple[Any, int]:
    """What Hugging Face's `generate` returns, and where the new tokens begin."""
    llm = model.llm
    batch = _left_padded(llm, rows, context if model.fusion is None else None)
    options = {name: value for name, value in options.items() if value is not None}
    if "max_length" not in options:
        options.setdefault("max_new_tokens", MAX_NEW_TOKENS)
    _check_length(llm, batch.tokens.shape[1], options)
    options.setdefault("pad_token_id", _pad_token(llm))
    if llm.model.generation_config.eos_token_id is None:
        options.setdefault("eos_token_id", llm.end_token)
    with ExitStack() as stack:
        stack.enter_context(evaluating(llm.model))
        if seed is not None:
            stack.enter_context(seeded(whole_number("seed", seed, least=0), batch.tokens.device))
        if model.fusion is not None:
            stack.enter_context(model.fusion.attend(llm, context))
        else:
            stack.enter_context(_prefixed(llm, batch.vectors))
        try:
            written = llm.model.generate(
                input_ids=batch.tokens,
                attention_mask=batch.mask.long(),
                return_dict_in_generate=True,
                tokenizer=llm.tokenizer,  # `stop_strings` are read by it
                **options,
            )
        except (ValueError, TypeError) as error:  # Of options that only fit other models.
            raise UserError(f"generation options: {str(error).splitlines()[0]}") from error
    return written, batch.tokens.shape[1]


@dataclass(frozen=True)
class _Batch:
    """What stands before the new text, padded on the left without a hole.

    Attributes:
        tokens: `LongTensor[B, W]`; where a user vector stands, the first token of the prompt.
        mask: `BoolTensor[B, W]`, False = padding.
        vectors: `FloatTensor[B, W, E]` input embeddings.
    """

    tokens: Tensor
    mask: Tensor
    vectors: Tensor


def _left_padded(
    llm: LanguageModel, rows: Sequence[Sequence[int]], context: UserContext | None
) -> _Batch:
    device = llm.device
    prefixes = [
        torch.empty(0, llm.width, device=device)
        if context is None
        else context.vectors[user, context.mask[user, 0]]
        for user in range(len(rows))
    ]
    width = max(len(row) + len(prefix) for row, prefix in zip(rows, prefixes, strict=True))
    tokens = torch.full((len(rows), width), _pad_token(llm), device=device)
    mask = torch.zeros(len(rows), width, dtype=torch.bool, device=device)
    for user, (row, prefix) in enumerate(zip(rows, prefixes, strict=True)):
        begin = width - len(row) - len(prefix)
        # Repetition penalties look at tokens: a vector stands there as one the prompt has anyway.
        stand_in = [row[0]] * len(prefix)
        tokens[user, begin:] = torch.tensor([*stand_in, *row], device=device)
        mask[user, begin:] = True
    with torch.no_grad():
        vectors = llm.embed_tokens(tokens)
        for user, (row, prefix) in enumerate(zip(rows, prefixes, strict=True)):
            begin = width - len(row) - len(prefix)
            vectors[user, begin : width - len(row)] = prefix.to(vectors.dtype)
    return _Batch(tokens, mask, vectors)


@contextmanager
def _prefixed(llm: LanguageModel, vectors: Tensor) -> Iterator[None]:
    """While this is open, the first `W` tokens of row r read as `vectors[r // n]` `[B, W, E]`.

    Unlike the `inputs_embeds` of `generate`, this also works without a cache.
    """

    def replace(
        module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        tokens, past = kwargs["input_ids"], kwargs.get("past_key_values")
        begin = 0 if past is None else int(past.get_seq_length())
        known = vectors[:, begin : begin + tokens.shape[1]]
        known = known.repeat_interleave(len(tokens) // len(vectors), dim=0)
        read = torch.cat([known, llm.embed_tokens(tokens[:, known.shape[1] :])], dim=1)
        return args, {**kwargs, "input_ids": None, "inputs_embeds": read}

    handle = llm.model.register_forward_pre_hook(replace, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


def _pad_token(llm: LanguageModel) -> int:
    """What fills rows up; it is masked, so any token does."""
    pad = llm.tokenizer.pad_token_id
    return llm.end_token if pad is None else int(pad)


def _check(options: dict[str, Any]) -> None:
    from transformers import GenerationConfig

    known = GenerationConfig().to_dict()
    for name in options:
        if name in _OURS:
            raise UserError(f"generation option {name} is not to be set: {_OURS[name]}")
        if name not in known:
            close = difflib.get_close_matches(name, known, 1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise UserError(f"unknown generation option {name!r}{hint}")
        if name in _COUNTS and options[name] is not None:
            whole_number(f"generation option {name}", options[name], least=1)
    stops = options.get("stop_strings")
    texts = [stops] if isinstance(stops, str) else stops
    told = isinstance(texts, (list, tuple)) and all(isinstance(each, str) for each in texts)
    if stops is not None and not (told and texts and all(texts)):
        wanted = "a text, or a list of them, is needed"
        raise UserError(f"generation option stop_strings={shown(stops)}: {wanted}")
    try:
        GenerationConfig(**options)
    except (ValueError, TypeError) as error:
        raise UserError(f"generation options: {str(error).strip().splitlines()[0]}") from error


def _check_length(llm: LanguageModel, prompt_tokens: int, options: dict[str, Any]) -> None:
    places = llm.places
    new = options.get("max_new_tokens")
    needed = prompt_tokens + new if new is not None else options["max_length"]
    if places is not None and needed > places:
        raise UserError(
            f"{prompt_tokens} tokens of prompt and user, and up to {needed - prompt_tokens} new "
            f"ones, but {llm.identity} has {places} positions: lower max_new_tokens"
        )
