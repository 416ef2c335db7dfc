from __future__ import annotations

import json

import pytest
import torch

from benchmark.perf.exact_ranking import measure
from benchmark.perf.movie_titles import movie_titles
from benchmark.perf.ranking_subjects import Subject, made_up_subject
from benchmark.perf.work_meter import metered
from tests.tiny_model import LENGTH, TITLES, make_histories
from tests.userllm.decoding.test_decoding import build
from userllm.decoding import read_prompt

TINY = {
    "titles": 120,
    "pairs": 64,
    "language_model": {"width": 16, "heads": 2, "layers": 1, "vocabulary": 400, "epochs": 1},
}


def test_titles_are_the_same_for_a_seed_and_share_beginnings():
    titles = movie_titles(400, 0)
    assert titles == movie_titles(400, 0)
    assert len(titles) == 400
    assert titles != movie_titles(400, 1)
    assert len({title[:6] for title in titles}) < 350


def check_costs(result, trie):
    assert result["exhaustive"]["positions"] == trie.total_positions
    assert result["exact"]["positions_through_model"] >= trie.num_nodes - 1
    assert result["top_k"]["positions"] <= trie.num_nodes
    for mode in ("exact", "top_k", "beam"):
        less = result[mode]["times_less_than_exhaustive"]
        assert less["positions"] > 1
        assert less["flops"] > 1
    json.dumps(result)


@pytest.mark.filterwarnings("ignore")
def test_all_modes_on_a_small_made_up_catalogue(tmp_path):
    subject = made_up_subject(TINY, users=3, cache=tmp_path)
    result = measure(subject, positions_at_once=500)
    assert result["agreement"]["exact_from_exhaustive_at_most"] < 1e-4
    assert result["agreement"]["top_k_from_exact_at_most"] < 1e-4
    check_costs(result, subject.trie)


def test_all_modes_with_a_user_in_cross_attention(encoder, llm, trie):
    model = build(encoder, llm, "cross_attention")
    histories = make_histories([LENGTH, 2, 4])

    def ask(some):
        return model.ask(histories.rows(some))[0], None

    exclude = torch.zeros(3, len(TITLES) + 1, dtype=torch.bool)
    titles = [llm.encode(f" {title}") for title in TITLES]
    subject = Subject(llm, model.fusion, trie, titles, 3, ask, exclude, {})
    result = measure(subject, positions_at_once=100)
    assert result["agreement"]["exact_from_exhaustive_at_most"] < 1e-4
    assert result["agreement"]["top_k_from_exact_at_most"] < 1e-4
    check_costs(result, trie)


def test_the_meter_counts_a_plain_reading_in_closed_form(llm):
    width, layers = 16, 3
    matrices = sum(
        weight.numel() for layer in llm.layers() for weight in layer.parameters() if weight.ndim > 1
    )
    with torch.inference_mode(), metered(llm) as work:
        read_prompt(llm, torch.tensor([5, 9, 30, 7]), 2)
    visible = 2 * (1 + 2 + 3 + 4)
    assert (work.positions, work.passes) == (8, 1)
    assert work.flops == 8 * 2 * matrices + visible * 4 * width * layers
    assert "hidden_states" not in vars(llm)
