"""Texts that a model wrote elsewhere, judged as `review_generation` judges its own methods."""

from __future__ import annotations

import polars as pl

from benchmark.data.dataset import Dataset
from benchmark.data.division import Split
from benchmark.importing.checks import in_order, names
from benchmark.importing.judge import Judge
from benchmark.tasks.evaluation import Evaluation, examples_of
from benchmark.tasks.review_generation import ReviewGeneration, first_words


def judge_answers(
    task: ReviewGeneration,
    frame: pl.DataFrame,
    split: Split,
    dataset: Dataset,
    seen: str,
    part: str,
) -> Evaluation:
    """Scores texts, each ended after as many words as anybody's; see `importing.judge.Judge`.

    Raises:
        UserError: They are not one text for each user that is asked.
    """
    examples = examples_of(split, part, task.settings.users)
    external = dataset.users.external_ids
    frame = in_order(frame, [external[user - 1] for user in examples.users])
    texts = [first_words(text, task.settings.longest) for text in names(frame, "output")]
    return task.judge(texts, examples, split, dataset)


JUDGE = Judge(("output",), judge_answers)
