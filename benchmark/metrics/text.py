"""How much of a reference a text says: ROUGE, by Google's `rouge-score`.

The package's own tokenizer is used, without its stemmer (`use_stemmer=False`): lower case, split
at everything but `a-z` and `0-9`. So words must agree in their whole form, and a text in another
script has no words: as reference or as answer it scores 0. Nothing is downloaded for it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

ROUGE = ("rouge1", "rouge2", "rougeL")
"""F1 of words, of pairs of neighbouring words, and of the longest common subsequence of words."""


def rouge(references: Sequence[str], texts: Sequence[str]) -> dict[str, np.ndarray]:
    """ROUGE F1 of every text.

    >>> rouge(["a fine, fine film"], ["A fine film!"])["rouge1"].round(3).tolist()
    [0.857]

    Args:
        references: `n` texts that people wrote.
        texts: `n` texts to compare with them; an empty one scores 0.

    Returns:
        `[n]` values in 0..1 by name, in the order of `ROUGE`.

    Raises:
        ValueError: Not one text a reference.
    """
    from rouge_score.rouge_scorer import RougeScorer  # imports nltk, which takes a second

    scorer = RougeScorer(list(ROUGE), use_stemmer=False)
    pairs = zip(references, texts, strict=True)
    scores = [scorer.score(reference, text) for reference, text in pairs]
    return {
        name: np.array([score[name].fmeasure for score in scores], dtype=np.float64)
        for name in ROUGE
    }
