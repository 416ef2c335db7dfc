from __future__ import annotations

import socket

import numpy as np
import pytest

from benchmark.metrics.text import ROUGE, rouge


def test_values_are_the_fractions_that_one_works_out_by_hand() -> None:
    # Words of the reference: the cat sat on the mat. Of the text: the cat on a mat.
    # Shared words: the, cat, on, mat = 4 of 6 and 4 of 5; shared pairs: (the, cat) of 5 and 4;
    # longest common subsequence: the cat on mat = 4.
    found = rouge(["The cat sat on the mat."], ["the cat, on a mat"])
    assert found["rouge1"][0] == pytest.approx(2 * (4 / 6) * (4 / 5) / (4 / 6 + 4 / 5))
    assert found["rouge2"][0] == pytest.approx(2 * (1 / 5) * (1 / 4) / (1 / 5 + 1 / 4))
    assert found["rougeL"][0] == pytest.approx(2 * (4 / 6) * (4 / 5) / (4 / 6 + 4 / 5))


def test_order_counts_for_pairs_and_subsequences_alone() -> None:
    found = rouge(["a b c d"], ["d c b a"])
    assert [found[name][0] for name in ROUGE] == [1.0, 0.0, 0.25]


def test_no_stemmer_is_used() -> None:
    assert rouge(["running"], ["runs"])["rouge1"][0] == 0.0


def test_the_same_text_scores_one_and_nothing_scores_zero() -> None:
    text = "A good mystery, and I like it calm."
    found = rouge([text, text, "", "七人の侍"], [text, "", text, "七人の侍"])
    for name in ROUGE:
        np.testing.assert_array_equal(found[name], [1.0, 0.0, 0.0, 0.0])


def test_there_is_one_text_a_reference() -> None:
    with pytest.raises(ValueError, match="zip"):
        rouge(["a", "b"], ["a"])


def test_nothing_is_downloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    import nltk

    def refuse(*args: object, **options: object) -> None:
        raise AssertionError("somebody reaches for the net")

    monkeypatch.setattr(nltk, "download", refuse)
    monkeypatch.setattr(nltk.data, "load", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    assert rouge(["One sentence. And one more!"], ["one sentence"])["rouge1"][0] > 0
