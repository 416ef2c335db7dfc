"""What an answer takes as histories grow: the text prompt beside USER-LLM.

All methods ask the same users for the next item, over the same embedded language model at its
default size and the same catalogue, with random weights, on which speed does not depend. `question`
is reading all that stands before the first title, from a user's history on: the lines as text, or
encoder, projector and the fixed query. `answer` is the whole answer as the methods give it: the
question, the exact likelihood of every title over the trie, and the best k of them without what the
user has met. Tokens of a line are remembered from before, as the methods do it, so the text prompt
does not pay for its tokenizer. Of each method there is one a length, whose encoder or prompt reads
just as many events. Users are asked in turn, one at a time, in rounds, until the time is over; each
is asked at every length, by all methods one directly after the other, in changing order: these are
the pairs. A ratio is the text prompt's seconds over USER-LLM's, `median_of_pairs` and its quartiles
over pairs, `of_medians` from the medians.
"""

from __future__ import annotations

import os
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch

from benchmark.data.dataset import Dataset
from benchmark.data.histories import Examples
from benchmark.datasets import DATASETS
from benchmark.perf.answer_subjects import (
    SEED,
    TEXT_PROMPT,
    USER_LLM,
    Subject,
    subjects,
    untrained_llm,
)
from benchmark.perf.comparison import Comparison
from benchmark.registrations import SPLITS
from benchmark.types import Candidates, HistoryBatch

LENGTHS = (10, 25, 50, 100, 200)
"""Events of a history."""

AIM = 10.0
"""Times USER-LLM's latency that the text prompt's is to have at the greatest length, more than."""

USERS = 20
ROUNDS = 10
SECONDS = 110.0
"""After which no other user is asked; the first is, whatever it takes."""

K = 10

PARTS = ("question", "answer")

Seconds = dict[str, list[float]]
"""Of a method, question by question."""


def answer_latency(threads: int) -> Comparison:
    """The comparison on MovieLens-100K."""
    torch.set_num_threads(threads)
    dataset = DATASETS["ml-100k"].load()()  # type: ignore[operator]
    return compare(dataset, LENGTHS)


@torch.inference_mode()
def compare(
    dataset: Dataset,
    lengths: Sequence[int],
    *,
    users: int = USERS,
    rounds: int = ROUNDS,
    seconds: float = SECONDS,
    language_model: Mapping[str, Any] | None = None,
) -> Comparison:
    """Seconds of all methods at some lengths, side by side.

    Args:
        dataset: Where users and titles come from.
        lengths: Events of a history, ascending.
        users: How many users with at least the greatest length before their validation target.
        rounds: How often each is asked at most.
        seconds: After which nobody else is asked.
        language_model: Settings that are not the default.
    """
    load_before = os.getloadavg()
    split = SPLITS["last"].load()(dataset)  # type: ignore[operator]
    long = split.validation.stops - split.validation.starts >= lengths[-1]
    asked: Examples = split.validation.only(long).sample(users, SEED)
    with torch.inference_mode(False):
        llm = untrained_llm(split.train, language_model or {})
        at = {length: subjects(split.train, llm, length) for length in lengths}
    histories = {length: next(asked.batches(len(asked), length))[1] for length in lengths}
    # Writing the prompts of all users also makes the text prompt remember the tokens of each line.
    tokens = {
        length: {name: own.tokens(histories[length]) for name, own in methods.items()}
        for length, methods in at.items()
    }
    bench = _Bench(asked, at, histories)
    count = bench.ask_all(rounds, seconds)
    measured: dict[int, Any] = {
        length: {
            "methods": {
                name: {
                    "llm_tokens": float(np.mean(tokens[length][name])),
                    "llm_tokens_max": max(tokens[length][name]),
                    "user_vectors": own.user_vectors,
                    "question": _summary(bench.questions[length][name]),
                    "answer": _summary(bench.answers[length][name]),
                }
                for name, own in methods.items()
            },
            "text_prompt_over_user_llm": {
                f"{text}/{user}": {
                    "question": _ratio(bench.questions[length], text, user),
                    "answer": _ratio(bench.answers[length], text, user),
                }
                for text in TEXT_PROMPT
                for user in USER_LLM
            },
        }
        for length, methods in at.items()
    }
    greatest = lengths[-1]
    final = measured[greatest]["text_prompt_over_user_llm"]["text_prompt/user_llm"]
    aims = {
        f"{part}_at_{greatest}": {
            "aim": AIM,
            "measured": final[part]["median_of_pairs"],
            "met": final[part]["median_of_pairs"] > AIM,
        }
        for part in PARTS
    }
    _say_table(measured, aims)
    ours, theirs = (bench.answers[greatest][name] for name in ("user_llm", "text_prompt"))
    return Comparison(
        ours=float(np.median(ours)),
        theirs=float(np.median(theirs)),
        unit="seconds",
        details={
            "question": f"seconds of an answer to one user with {greatest} events: USER-LLM and "
            "the text prompt",
            "counted": " ".join((__doc__ or "").split("\n\n")[1].split()),
            "threads": torch.get_num_threads(),
            "dataset": dataset.name,
            "dataset_fingerprint": dataset.fingerprint,
            "target_hash": split.target_hash,
            "part": "validation",
            "seen": "exclude",
            "users": len(asked),
            "rounds": count / len(asked),
            "k": K,
            "seed": SEED,
            "settings": {
                "language_model": dict(language_model or {}),
                "user_encoder": "fit.history=length",
                **{name: dict(own) for name, own in USER_LLM.items()},
                **{name: {"items": "length", **own} for name, own in TEXT_PROMPT.items()},
            },
            "aims": aims,
            "lengths": measured,
            "load_average_before": load_before,
            "load_average_after": os.getloadavg(),
        },
    )


class _Bench:
    """Asks all methods in turn and keeps what each question took.

    Args:
        asked: The users.
        at: Length -> name -> method.
        histories: Length -> histories of the users.
    """

    def __init__(
        self,
        asked: Examples,
        at: Mapping[int, Mapping[str, Subject]],
        histories: Mapping[int, HistoryBatch],
    ) -> None:
        self.at = at
        self.histories = histories
        self.exclude = asked.seen(slice(0, len(asked)))
        self.questions: dict[int, Seconds] = {length: defaultdict(list) for length in at}
        self.answers: dict[int, Seconds] = {length: defaultdict(list) for length in at}

    def ask_all(self, rounds: int, seconds: float) -> int:
        """Asks users in turn, one at a time; how many were asked."""
        users = len(self.exclude)
        self._ask(0, 0, keep=False)  # warms up
        end = time.perf_counter() + seconds
        for number in range(rounds * users):
            if number and time.perf_counter() > end:
                return number
            if number % users == 0:
                _say(f"round {number // users + 1}, {users} users")
            self._ask(number % users, number)
        return rounds * users

    def _ask(self, user: int, turn: int, keep: bool = True) -> None:
        exclude = self.exclude[user : user + 1]
        candidates = Candidates(exclude.shape[1] - 1, exclude)
        for length, methods in self.at.items():
            one = self.histories[length].rows(slice(user, user + 1))
            for name, own in _turned(methods, turn):
                question = _seconds(partial(own.read, one))
                answer = _seconds(partial(own.rank, one, candidates, K))
                if keep:
                    self.questions[length][name].append(question)
                    self.answers[length][name].append(answer)


def _turned(methods: Mapping[str, Subject], turn: int) -> list[tuple[str, Subject]]:
    """The methods, another one first each turn."""
    pairs, first = list(methods.items()), turn % len(methods)
    return [*pairs[first:], *pairs[:first]]


def _seconds(ask: Callable[[], object]) -> float:
    begin = time.perf_counter()
    ask()
    return time.perf_counter() - begin


def _summary(seconds: Sequence[float]) -> dict[str, float]:
    return {
        "median_seconds": float(np.median(seconds)),
        "p95_seconds": float(np.percentile(seconds, 95)),
        "asked": len(seconds),
    }


def _ratio(seconds: Seconds, text: str, user: str) -> dict[str, Any]:
    pairs = np.array(seconds[text]) / np.array(seconds[user])
    return {
        "median_of_pairs": float(np.median(pairs)),
        "quartiles_of_pairs": np.percentile(pairs, [25, 75]).tolist(),
        "of_medians": float(np.median(seconds[text]) / np.median(seconds[user])),
    }


def _say_table(measured: Mapping[int, Any], aims: Mapping[str, Any]) -> None:
    """Milliseconds as median/95th percentile, then ratios as medians of pairs."""
    _say(f"{'events':>6} {'method':<22} {'tokens':>7} {'question ms':>15} {'answer ms':>15}")
    for length, own in measured.items():
        for name, facts in own["methods"].items():
            parts = " ".join(f"{_milliseconds(facts[part]):>15}" for part in PARTS)
            _say(f"{length:>6} {name:<22} {facts['llm_tokens']:>7.0f} {parts}")
    _say(f"{'events':>6} {'seconds over seconds':<42} {'question':>9} {'answer':>9}")
    for length, own in measured.items():
        for pair, ratios in own["text_prompt_over_user_llm"].items():
            parts = " ".join(f"{ratios[part]['median_of_pairs']:>9.2f}" for part in PARTS)
            _say(f"{length:>6} {pair:<42} {parts}")
    for name, aim in aims.items():
        met = "reached" if aim["met"] else "not reached"
        _say(f"{name}: aim above {aim['aim']:g}, {met}: {aim['measured']:.2f}")


def _milliseconds(seconds: Mapping[str, float]) -> str:
    return f"{1e3 * seconds['median_seconds']:.1f}/{1e3 * seconds['p95_seconds']:.1f}"


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
