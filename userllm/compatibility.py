"""Whether settings, catalogue and language model fit together, found before anything is trained."""

from __future__ import annotations

import warnings

from benchmark.errors import UserError
from benchmark.types import Catalog, Progress
from userllm.config import UserLLMSettings
from userllm.llm.corpus import item_title_tokens
from userllm.llm.language_model import LanguageModel

LONGEST_QUERY_TOKENS = 32


def check_shape(
    settings: UserLLMSettings, name: str, layers: int, width: int, layer_width: int
) -> None:
    """Refuses a fusion or projector that a language model has no room for.

    Args:
        settings: Of the model.
        name: What the language model is called.
        layers: Its decoder layers.
        width: Of its token embeddings (`E`).
        layer_width: Of what passes between its layers.

    Raises:
        UserError: It names the setting and the values that are possible.
    """
    fusion = settings.fusion
    if fusion.kind == "cross_attention" and fusion.every > layers:
        raise UserError(
            f"user_llm.fusion.every={fusion.every}, but {name} has {layers} decoder layers: "
            f"1 to {layers} are possible"
        )
    widths = [layer_width] if fusion.kind == "cross_attention" else []
    widths += [width] if settings.projector.latents else []
    for each in widths:
        if each % fusion.heads:
            raise UserError(
                f"user_llm.fusion.heads={fusion.heads} must divide {each}, the width of {name}"
            )


def check_query(query: str, tokens: int) -> None:
    """Refuses a query of too many tokens, or none.

    Raises:
        UserError: It has.
    """
    if not 0 < tokens <= LONGEST_QUERY_TOKENS:
        raise UserError(
            f"user_llm.query={query!r} has {tokens} tokens; 1 to {LONGEST_QUERY_TOKENS} are allowed"
        )


def spoken_titles(
    catalog: Catalog, llm: LanguageModel, progress: Progress | None = None
) -> list[list[int]]:
    """Tokens of each item's title, item 1 first, all of which can be said and told from their end.

    Args:
        catalog: The items.
        llm: What is to say them.
        progress: Hears of titles that the tokenizer knows in part; None = a `UserWarning` says so.

    Raises:
        UserError: A title has no tokens, or holds the token that closes titles; it names the item.
            Two titles differ in nothing but what the tokenizer does not know.
    """
    titles, end = item_title_tokens(catalog, llm), llm.end_token
    for item, title in enumerate(titles, start=1):
        if title and end not in title:
            continue
        named = f"item {catalog.items.to_external(item)!r}"
        if not title:
            raise UserError(f"{named} has an empty title: every item needs one to be said by")
        raise UserError(
            f"the title {catalog.texts[item]!r} of {named} holds "
            f"{llm.tokenizer.decode([end])!r}, which ends a text: take it out of the title"
        )
    if told := _unknown_parts(catalog, llm, titles):
        if progress is None:
            warnings.warn(told, stacklevel=2)
        else:
            progress.note(told)
    return titles


def _unknown_parts(catalog: Catalog, llm: LanguageModel, titles: list[list[int]]) -> str:
    """One line about titles of which the tokenizer knows a part; "" where it knows all.

    Raises:
        UserError: Two of them differ in nothing else.
    """
    unknown = getattr(llm.tokenizer, "unk_token_id", None)
    held = [item for item, title in enumerate(titles, start=1) if unknown in title]
    if not held:
        return ""
    said: dict[tuple[int, ...], str] = {}
    for item in held:
        text = catalog.texts[item]
        first = said.setdefault(tuple(titles[item - 1]), text)
        # Some tokenizers also take letters of either case, or any blanks, for the same.
        if first.casefold().split() != text.casefold().split():
            raise UserError(
                f"the tokenizer of {llm.identity} cannot tell the titles {first!r} and {text!r} "
                "apart: it does not know what they differ in; take another language model"
            )
    return (
        f"the tokenizer of {llm.identity} does not know all of {len(held)} of {len(titles)} "
        f"titles, first {catalog.texts[held[0]]!r}: {llm.tokenizer.unk_token!r} stands for the rest"
    )
