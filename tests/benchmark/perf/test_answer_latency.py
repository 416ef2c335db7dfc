from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from baselines.text_prompt import TextPrompt
from baselines.text_prompt_config import TextPromptSettings
from benchmark.goals import NextItemGoal
from benchmark.perf import answer_latency
from benchmark.perf.answer_latency import AIM, K, compare
from benchmark.perf.answer_subjects import TEXT_PROMPT, USER_LLM, subjects, untrained_llm
from benchmark.types import Candidates
from userllm.config import QUERY
from userllm.history_text import HistoryText
from userllm.llm.corpus import item_title_tokens

TINY = {"width": 16, "heads": 4, "layers": 1, "vocabulary": 300}
LENGTHS = (2, 8)


@pytest.fixture(scope="module")
def llm(world_split):
    return untrained_llm(world_split.train, TINY)


def test_ratios_are_those_of_what_was_measured(world, monkeypatch, capsys):
    kept = []

    class Bench(answer_latency._Bench):
        def __init__(self, *given):
            super().__init__(*given)
            kept.append(self)

    monkeypatch.setattr(answer_latency, "_Bench", Bench)
    result = compare(world, LENGTHS, users=3, rounds=2, seconds=60, language_model=TINY)
    (bench,), details = kept, result.details
    asked = 6
    assert (details["users"], details["rounds"]) == (3, 2)
    assert tuple(details["lengths"]) == LENGTHS
    for length, measured in details["lengths"].items():
        methods = measured["methods"]
        assert list(methods) == [*USER_LLM, *TEXT_PROMPT]
        for part, seconds in (("question", bench.questions), ("answer", bench.answers)):
            for name, own in methods.items():
                assert len(seconds[length][name]) == own[part]["asked"] == asked
                assert own[part]["median_seconds"] == np.median(seconds[length][name])
                assert own[part]["p95_seconds"] >= own[part]["median_seconds"] > 0
            for pair, ratios in measured["text_prompt_over_user_llm"].items():
                text, user = pair.split("/")
                medians = [methods[name][part]["median_seconds"] for name in (text, user)]
                assert ratios[part]["of_medians"] == pytest.approx(medians[0] / medians[1])
                pairs = np.divide(seconds[length][text], seconds[length][user])
                assert ratios[part]["median_of_pairs"] == pytest.approx(np.median(pairs))
        assert methods["user_llm"]["user_vectors"] == length
        assert methods["user_llm_perceiver_16"]["user_vectors"] == 16
    ratios = details["lengths"][8]["text_prompt_over_user_llm"]["text_prompt/user_llm"]
    assert result.ratio == pytest.approx(ratios["answer"]["of_medians"])
    for part in ("question", "answer"):
        aim = details["aims"][f"{part}_at_8"]
        assert aim["measured"] == ratios[part]["median_of_pairs"]
        assert aim["met"] == (aim["measured"] > AIM)
    json.dumps(details)
    assert "aim above 10" in capsys.readouterr().err


def test_another_method_is_asked_first_each_turn():
    turns = [
        [name for name, _ in answer_latency._turned({"a": 1, "b": 2}, turn)] for turn in (0, 1)
    ]
    assert turns == [["a", "b"], ["b", "a"]]


def test_only_the_text_prompt_reads_more_of_longer_histories(world_split, llm):
    tokens = {}
    for length in LENGTHS:
        _, histories = next(world_split.validation.batches(4, length))
        tokens[length] = {
            name: own.tokens(histories)
            for name, own in subjects(world_split.train, llm, length).items()
        }
    for name in USER_LLM:
        assert tokens[2][name] == tokens[8][name]
    for name in TEXT_PROMPT:
        assert all(np.greater(tokens[8][name], tokens[2][name]))
    assert all(np.greater(tokens[8]["text_prompt"], tokens[8]["text_prompt_titles"]))


@torch.inference_mode()
def test_the_question_is_where_the_answer_begins_and_the_answer_that_of_the_method(
    world_split, llm
):
    examples, length = world_split.validation, 8
    _, histories = next(examples.batches(3, length))
    candidates = Candidates(len(world_split.train.catalog), examples.seen(slice(0, 3)))
    methods = subjects(world_split.train, llm, length)
    for own in methods.values():
        ranking = own.rank(histories, candidates, K)
        assert ranking.ids.shape == (3, K)
        assert ranking.log_probs
    # As `fit` makes it, without training.
    method, train = TextPrompt(TextPromptSettings(items=length)), world_split.train
    goal, fields = NextItemGoal(), train.schema.given.names[1:]
    method._llm, titles = llm, item_title_tokens(train.catalog, llm)
    method._text = HistoryText(train.catalog, train.schema, fields, llm, titles, QUERY)
    method._lesson(goal, titles, train, SimpleNamespace(seed=0))
    theirs = method.rank(histories, candidates, K)
    ours = methods["text_prompt"].rank(histories, candidates, K)
    assert torch.equal(ours.all_scores, theirs.all_scores)
    for name, prompt in (
        ("text_prompt", methods["text_prompt"].read(histories)),
        ("user_llm", methods["user_llm"].read(histories)[0]),
    ):
        counted = methods[name].tokens(histories)
        assert prompt.visible.sum(1).tolist() == counted
