"""What a language model makes of text that no training has shown it, with and without a user."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmark.events import EventLog
from benchmark.types import HistoryBatch, TextScores
from userllm.llm.language_model import LanguageModel
from userllm.model import UserLLM

LONGEST_LINE_TOKENS = 128
_LINES_AT_ONCE = 64


def with_and_without_user(
    model: UserLLM, lines: list[str], events: EventLog, when: str
) -> dict[str, TextScores]:
    """Scores of some lines, read alone and read with a user attached.

    Both read the same tokens from the same beginning, so that they differ by the user alone, and
    neither reads the query: it would ask for a title, and the answer to that is a recommendation.
    Plain text is what the language model could say before, so what it loses there is the price.
    Tuning shows a user before the query only; with a user, text is plain in a place that no
    training has shown.

    Args:
        model: Fitted or not; left in evaluation mode.
        lines: Text. Line n gets the history of user n, and of user n - U where there are `U`.
        events: Training events of these users.
        when: Goes into the names, for example `before`.
    """
    users = np.flatnonzero(events.lengths > 0)
    users = users[np.arange(len(lines)) % len(users)]
    starts, stops = events.indptr[users], events.indptr[users + 1]
    histories = events.gather(starts, stops, model.encoder.history)
    return {
        f"{when}_without_user": text_scores(model, lines),
        f"{when}_with_user": text_scores(model, lines, histories),
    }


@torch.no_grad()
def text_scores(
    model: UserLLM, lines: list[str], histories: HistoryBatch | None = None
) -> TextScores:
    """Plain next-token likelihood of lines under the whole vocabulary.

    A line is read as in the training of the embedded model: after the beginning-of-text token and
    a space, to at most 128 tokens. Where the tokenizer has no such token, the line's first token
    is read and not scored.

    Args:
        model: The model; left in evaluation mode.
        lines: `n` texts.
        histories: `n` histories, one for each line; None = no user.
    """
    model.eval()
    parts = []
    for begin in range(0, len(lines), _LINES_AT_ONCE):
        rows = slice(begin, begin + _LINES_AT_ONCE)
        tokens = _tokens(model.llm, lines[rows])
        some = None if histories is None else histories.rows(rows).to(model.llm.device)
        parts.append(_line_nll(model, tokens, some))
    counts = [max(0, len(row) - 1) for row in (_encode(model.llm, line) for line in lines)]
    return TextScores(torch.cat(parts).double().cpu().numpy(), np.array(counts))


def _encode(llm: LanguageModel, line: str) -> list[int]:
    return llm.encode(f" {line}", begin=True)[: LONGEST_LINE_TOKENS + 1]


def _tokens(llm: LanguageModel, lines: list[str]) -> Tensor:
    """Tokens `[B, T]`, filled up with -1."""
    rows = [torch.tensor(_encode(llm, line), dtype=torch.long) for line in lines]
    filled = nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=-1)
    return filled.to(llm.device)


def _line_nll(model: UserLLM, tokens: Tensor, histories: HistoryBatch | None) -> Tensor:
    """Summed negative log-likelihood of each line, `[B]`."""
    llm = model.llm
    read, said = tokens[:, :-1], tokens[:, 1:]
    vectors, mask = llm.embed_tokens(read.clamp(min=0)), read >= 0
    if histories is None:
        states = llm.hidden_states(vectors, mask)
    else:
        context, _ = model.read_histories(histories)
        if model.fusion is not None:
            with model.fusion.attend(llm, context):
                states = llm.hidden_states(vectors, mask)
        else:
            # Vectors that are not visible lie between: the mask leaves them out, also of positions.
            vectors = torch.cat([context.vectors.to(vectors.dtype), vectors], dim=1)
            mask = torch.cat([context.mask[:, 0], mask], dim=1)
            states = llm.hidden_states(vectors, mask)[:, -read.shape[1] :]
    logits = llm.logits(states.flatten(0, 1))
    loss = F.cross_entropy(logits, said.flatten(), ignore_index=-1, reduction="none")
    return loss.view_as(said).sum(dim=1)
