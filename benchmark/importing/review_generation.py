"""Texts that a model wrote elsewhere, judged as `review_generation` judges its own methods."""

from __future__ import annotations

import polars as pl

from benchmark.data.dataset import Dataset
from benchmark.data.division import Split
from benchmark.importing.checks import in_order, names
from benchmark.importing.judge import Asked, Judge
from benchmark.tasks.evaluation import Evaluation, examples_of
from benchmark.tasks.review_generation import ReviewGeneration, first_words


def ask(task: ReviewGeneration, split: Split, dataset: Dataset, part: str) -> Asked:
    """What a user writes of an item, which is told with the rating."""
    examples = examples_of(split, part, task.settings.users)
    items = pl.Series(list(dataset.catalog.items.external_ids), dtype=pl.String)
    given = {
        "item": items.gather(examples.targets - 1),
        "prompt": pl.Series(list(task.prompts(split, examples)), dtype=pl.String),
    }
    references = pl.Series(task.references(examples), dtype=pl.String)
    facts = {"words": str(task.settings.longest)}
    return Asked(examples, given, {"reference": references}, facts)


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
    asked = ask(task, split, dataset, part)
    frame = in_order(frame, asked.users(dataset))
    texts = [first_words(text, task.settings.longest) for text in names(frame, "output")]
    return task.judge(texts, asked.examples, split, dataset)


JUDGE = Judge(("output",), ask, judge_answers)
