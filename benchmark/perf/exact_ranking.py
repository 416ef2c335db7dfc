"""Ranking a whole catalogue by the likelihood of titles: each title alone, or over their trie.

`exhaustive` scores every title by itself, in padded batches of like length behind keys and values
of what stands before them, which are computed once; `exact` reads the nodes of the trie; `top_k`
is the best-first search and `beam` the ordinary constrained beam, both over the same trie. All use
the same model, the same users and the same threads, and seconds count everything from the users'
histories to the answer. `positions` are those from whose state a token is decided: for
`exhaustive` each title's tokens and what closes it, for the others the nodes of the trie, the root
counted. `positions_through_model` adds padding and positions read again, and leaves out what is
read once for all titles of a user. The number of positions a search reads depends on how peaked
the distribution is, `exact`'s on the catalogue alone.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from benchmark.perf.comparison import Comparison
from benchmark.perf.exhaustive import exhaustive
from benchmark.perf.ranking_subjects import LARGE, Subject, made_up_subject, trained_subject
from benchmark.perf.work_meter import metered
from benchmark.registry import load
from benchmark.system.home import stages_folder
from benchmark.system.host import peak_memory_bytes, reset_peak_memory

K = 10
"""Cut-off of the searches."""

WIDTH = 10
"""Beams of the beam."""

POSITIONS_AT_ONCE = 4096
"""Positions in a pass, of all modes."""


def exact_ranking(threads: int) -> Comparison:
    """The comparison on MovieLens-100K and on a made-up catalogue of the size of ml-20m's."""
    torch.set_num_threads(threads)
    small = measure(trained_subject("ml-100k", users=64, preset="quick"))
    large = measure(made_up_subject(LARGE, users=8, cache=stages_folder()))
    return Comparison(
        ours=small["exact"]["seconds"],
        theirs=small["exhaustive"]["seconds"],
        unit="seconds",
        details={
            "question": "seconds a user to rank ml-100k's whole catalogue: exact and exhaustive",
            "counted": " ".join((__doc__ or "").split("\n\n")[1].split()),
            "threads": threads,
            "k": K,
            "beam_width": WIDTH,
            "positions_at_once": POSITIONS_AT_ONCE,
            "ml-100k": small,
            "made_up": large,
        },
    )


@torch.inference_mode()
def measure(subject: Subject, *, positions_at_once: int = POSITIONS_AT_ONCE) -> dict[str, Any]:
    """Costs a user of every mode, how they compare, and how well the answers agree."""
    trie, users = subject.trie, subject.users
    exact, steps = _exact(subject, positions_at_once), _searches(subject)

    def alone(some: slice) -> Tensor:
        asked = [subject.ask(slice(i, i + 1)) for i in range(some.start, some.stop)]
        prompts, priors = zip(*asked, strict=True)
        return exhaustive(
            subject.llm,
            trie,
            subject.titles,
            prompts,
            priors,
            positions_at_once=positions_at_once,
        )

    answers: dict[str, Any] = {}
    costs: dict[str, dict[str, Any]] = {}
    for name, rank in {"exhaustive": alone, "exact": exact, **steps}.items():
        _say(f"{name}, {users} users, {trie.num_items} titles")
        searches = name in steps
        # Every user costs the same where all titles are scored, so the work of one is counted.
        counted = users if searches else 1
        with metered(subject.llm, subject.fusion) as work:
            rank(slice(0, counted))
        with metered(subject.llm, subject.fusion) as asking:
            subject.ask(slice(0, counted))
        reset_peak_memory()
        begin = time.perf_counter()
        answers[name] = rank(slice(0, users))
        seconds = (time.perf_counter() - begin) / users
        costs[name] = {
            "seconds": seconds,
            "flops": (work.flops - asking.flops) / counted,
            "positions_through_model": (work.positions - asking.positions) / counted,
            "passes": work.passes,
            "peak_memory_bytes": peak_memory_bytes(),
        }
        if searches:
            costs[name]["positions"] = float(answers[name].positions.float().mean())
            costs[name]["most_positions"] = int(answers[name].positions.max())
    costs["exhaustive"]["positions"] = trie.total_positions
    costs["exact"]["positions"] = trie.num_nodes
    for name in ("exact", *steps):
        costs[name]["times_less_than_exhaustive"] = {
            key: costs["exhaustive"][key] / costs[name][key]
            for key in ("positions", "positions_through_model", "flops", "seconds")
            if costs[name][key]  # a catalogue that branches at the root alone is not read at all
        }
    return {
        **subject.facts,
        "users": users,
        "catalogue": _statistics(subject),
        **costs,
        "agreement": _agreement(subject, answers),
    }


def _exact(subject: Subject, positions_at_once: int) -> Callable[[slice], Tensor]:
    score: Any = load("userllm.decoding:catalogue_log_probs")
    at_once = max(1, positions_at_once // subject.trie.num_nodes)

    def exact(some: slice) -> Tensor:
        parts = []
        for begin in range(some.start, some.stop, at_once):
            prompt, prior = subject.ask(slice(begin, min(some.stop, begin + at_once)))
            parts.append(
                score(subject.llm, subject.trie, prompt, prior, positions_at_once=positions_at_once)
            )
        return torch.cat(parts)

    return exact


def _searches(subject: Subject) -> dict[str, Callable[[slice], Any]]:
    best_first: Any = load("userllm.decoding:top_k")
    beam_search: Any = load("userllm.decoding:beam_search")

    def top_k(some: slice) -> Any:
        prompt, prior = subject.ask(some)
        return best_first(subject.llm, subject.trie, prompt, K, subject.exclude[some], prior)

    def beam(some: slice) -> Any:
        prompt, prior = subject.ask(some)
        left = subject.exclude[some]
        return beam_search(subject.llm, subject.trie, prompt, K, left, prior, width=WIDTH)

    return {"top_k": top_k, "beam": beam}


def _statistics(subject: Subject) -> dict[str, int]:
    trie = subject.trie
    return {
        "titles": trie.num_items,
        "different_titles": len({tuple(title) for title in subject.titles}),
        "tokens_closing_ones_counted": trie.total_positions,
        "trie_nodes_read": trie.num_nodes,
        "branching_nodes": len(trie.edge_node.unique()),
        "choices": len(trie.edge_token),
        "choices_at_the_root": int(trie.edge_start[1]),
        "deepest_node": int(trie.depth.max()),
    }


def _agreement(subject: Subject, answers: Mapping[str, Any]) -> dict[str, float]:
    exact, alone = answers["exact"], answers["exhaustive"]
    log_probs = exact[:, 1:].double()
    left = exact.masked_fill(subject.exclude, -torch.inf)
    best = left.topk(K).values
    kept = (answers["beam"].ids.unsqueeze(2) == left.topk(K).indices.unsqueeze(1)).any(2)
    return {
        "exact_from_exhaustive_at_most": float((exact - alone)[:, 1:].abs().max()),
        "top_k_from_exact_at_most": float((answers["top_k"].log_probs - best).abs().max()),
        "share_of_the_first_k_that_beam_finds": float(kept.float().mean()),
        "mean_entropy_nats": float(-(log_probs.exp() * log_probs).sum(1).mean()),
        "mean_probability_of_the_best": float(best[:, 0].exp().mean()),
        "mean_probability_of_the_kth": float(best[:, -1].exp().mean()),
    }


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
