"""Lists of labels that a model ranked elsewhere, judged as `favorite_genre` judges its methods."""

from __future__ import annotations

import json

import polars as pl

from benchmark.data.dataset import Dataset
from benchmark.data.division import Split
from benchmark.importing.checks import in_order, ranked, refuse
from benchmark.importing.judge import Asked, Judge
from benchmark.metrics.label_recall import CUTS
from benchmark.tasks.evaluation import Evaluation, examples_of
from benchmark.tasks.favorite_genre import FavoriteGenre
from benchmark.tasks.label_counts import label_names


def ask(task: FavoriteGenre, split: Split, dataset: Dataset, part: str) -> Asked:
    """Which label a user meets most; several are right where they are tied."""
    question = task.question(examples_of(split, part, task.settings.users), split.train)
    names = pl.Series(label_names(split.train), dtype=pl.String)
    right = [names.filter(pl.Series(row)).to_list() for row in question.right]
    facts = {"candidates": str(len(names)), "labels": json.dumps(names.to_list())}
    targets = {"right": pl.Series(right, dtype=pl.List(pl.String))}
    return Asked(question.examples, {}, targets, facts, task.settings.window)


def judge_answers(
    task: FavoriteGenre, frame: pl.DataFrame, split: Split, dataset: Dataset, seen: str, part: str
) -> Evaluation:
    """Scores lists of labels; see `benchmark.importing.judge.Judge`.

    Where lists are of several lengths, all are cut to the shortest: no metric looks that far.

    Raises:
        UserError: They are not one ranking of labels for each user that is asked.
    """
    everybody = examples_of(split, part, task.settings.users)
    question = task.question(everybody, split.train)
    frame = in_order(frame, ask(task, split, dataset, part).users(dataset))
    labels = label_names(split.train)
    places = ranked(frame, "ranked", labels, "label")
    lengths = (places > 0).sum(axis=1)
    most = min(CUTS[-1], len(labels))
    refuse(frame, lengths < most, f"a list has fewer than {most} labels")
    order = places[:, : lengths.min()] - 1
    return task.judge(order, question, split, dataset, len(everybody))


JUDGE = Judge(("ranked",), ask, judge_answers)
