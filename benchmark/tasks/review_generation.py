"""Review generation: given what a user did and wrote, an item and its rating, write the review.

Rules that hold for every row:

- A target is a user's last event with a review (validation: the last but one); the history is all
  that stands before it, reviews included, also events without one.
- All methods get the same prompt, `<item text> | <rating> stars | Review:`, of what is known.
- The reference is the whole review, also where it is longer than a text may become.
- A text is scored by ROUGE F1 (see `benchmark.metrics.text`); an empty one scores 0.
- Group `new`: users whose reference stands word for word in no training review (white space
  aside). Of the others, knowing the training reviews by heart is enough.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import polars as pl
import torch

from benchmark.data.dataset import Dataset
from benchmark.data.division import Need, Split
from benchmark.data.histories import Examples
from benchmark.errors import RunError, UserError
from benchmark.goals import Decoding, TextGoal
from benchmark.metrics.text import ROUGE, rouge
from benchmark.protocols import TextGenerator, TrainingData
from benchmark.runs.asking import Asking
from benchmark.tasks.averages import averaged
from benchmark.tasks.circumstances import circumstances
from benchmark.tasks.config import ReviewGenerationSettings
from benchmark.tasks.evaluation import Evaluation, examples_of, heard
from benchmark.tasks.review_generation_numbers import NEW, NUMBERS, VERBATIM
from benchmark.tasks.review_prompts import Prompts, tells_itself
from benchmark.tasks.sharing import as_of_all, own_share, texts_from_all
from benchmark.types import HistoryBatch, Progress

TIE_RULE = (
    "ROUGE F1 by rouge-score, use_stemmer=False; 'new' = the reference stands word for word in no "
    "training review"
)
TOKENS_A_WORD = 2
"""How many tokens a language model may take for each word that a text may have: whoever writes, a
text ends after the same number of words."""


class ReviewGeneration:
    """The task `review_generation`.

    Args:
        settings: See `ReviewGenerationSettings`.
    """

    name = "review_generation"
    version = NUMBERS.version
    tie_rule = TIE_RULE
    watch = "rougeL"
    metrics = ROUGE

    def __init__(self, settings: ReviewGenerationSettings) -> None:
        self.settings = settings
        self.need = Need(field=settings.field)

    def unfit(self, dataset: Dataset) -> str:
        """Why the task cannot be asked on a data set, "" where it can."""
        field = self.settings.field
        written = dataset.events.written
        if field in written and written[field].lengths.any():
            return ""
        others = [name for name, texts in written.items() if texts.lengths.any()]
        hint = f"; review_generation.field={others[0]} would work" if others else ""
        return f"no event of {dataset.name} has a {field} that its user wrote{hint}"

    def goal(self, train: TrainingData) -> TextGoal:
        """What methods are fitted for: all training reviews but those that open a history.

        Where no other user wrote twice, these are examples too, with nothing before them.

        Raises:
            UserError: No training event has a review.
        """
        settings, log = self.settings, train.events
        has_text = log.written[settings.field].lengths > 0
        stops = np.flatnonzero(has_text)
        if not len(stops):
            raise UserError(
                f"no training event of {train.name} has a {settings.field}: there is nothing to "
                "learn writing from"
            )
        starts = log.indptr[np.searchsorted(log.indptr, stops, side="right") - 1]
        later = stops > starts
        if later.any():
            starts, stops = starts[later], stops[later]
        untold = tells_itself(train.catalog, log)[stops]
        return TextGoal(
            task=self.name,
            field=settings.field,
            starts=starts,
            stops=stops,
            prompts=Prompts(train.catalog, log, stops, settings.field, untold),
            references=log.written[settings.field].take(stops),
            longest=TOKENS_A_WORD * settings.longest,
        )

    def validator(self, split: Split, seen: str) -> Callable[[TextGenerator], Mapping[str, float]]:
        """A function that has validation examples written and returns the means of the metrics.

        The same users are asked on every call, and texts are always the likeliest ones, so that a
        look tells about the model rather than about what was drawn.

        Args:
            split: Where the examples come from.
            seen: Says nothing here.
        """
        count = self.settings.validation_users
        examples = split.validation.sample(count, seed=0) if count else split.validation
        prompts = self.prompts(split, examples)
        references = self.references(examples)
        decoding = Decoding(longest=TOKENS_A_WORD * self.settings.longest)

        def validate(method: TextGenerator) -> Mapping[str, float]:
            texts = self._ask(method, examples, prompts, decoding)
            return {name: float(x.mean()) for name, x in rouge(references, texts).items()}

        return validate

    def evaluate(
        self,
        method: TextGenerator,
        split: Split,
        dataset: Dataset,
        seen: str,
        part: str = "test",
        progress: Progress | None = None,
        name: str = "",
    ) -> Evaluation:
        """Has a review written for every user of a part of the split.

        Args:
            method: A fitted method.
            split: Where the examples come from.
            dataset: Where external ids come from.
            seen: Says nothing here.
            part: `test` or `validation`.
            progress: Told how far it is.
            name: The method's name, for errors.
        """
        examples = examples_of(split, part, self.settings.users)
        on_batch = heard(progress, part, len(examples))
        prompts = self.prompts(split, examples)
        begin = time.perf_counter()
        texts = self._ask(method, examples, prompts, self._decoding(), name, on_batch)
        return self.judge(texts, examples, split, dataset, time.perf_counter() - begin)

    def judge(
        self,
        texts: Sequence[str],
        examples: Examples,
        split: Split,
        dataset: Dataset,
        seconds: float = 0.0,
    ) -> Evaluation:
        """Scores texts, whoever wrote them.

        Args:
            texts: One an example; see `first_words`.
            examples: What was asked, in the same order.
            split: Where the examples come from.
            dataset: Where external ids come from.
            seconds: How long writing took.
        """
        prompts, references = self.prompts(split, examples), self.references(examples)
        values = rouge(references, texts)
        verbatim = stand_in(references, split.train.events.written[self.settings.field])
        groups = {**examples.groups, NEW: ~verbatim}
        metrics, intervals = averaged(values, groups, self.settings)
        users, items = dataset.users, dataset.catalog.items
        table = pl.DataFrame(
            {
                "user": [users.to_external(int(user)) for user in examples.users],
                "item": [items.to_external(int(item)) for item in examples.targets],
                "prompt": list(prompts),
                "reference": references,
                "output": texts,
                VERBATIM: verbatim,
                **values,
                **examples.groups,
            }
        )
        about = circumstances(examples, split.train)
        table = pl.concat([table, about], how="horizontal")
        return Evaluation(table, metrics, intervals, seconds)

    def asking(self, split: Split, seen: str, part: str) -> Asking:
        """How methods are asked; see `benchmark.runs.asking`."""
        examples = examples_of(split, part, self.settings.users)
        prompts = self.prompts(split, examples)
        none = np.zeros(0, dtype=np.int64)
        longest = TOKENS_A_WORD * self.settings.longest
        goal = TextGoal(self.name, self.settings.field, none, none, [], [], longest)

        def told(rows: np.ndarray) -> list[str]:
            return [prompts[int(row)] for row in rows]

        def answer(method: TextGenerator, histories: HistoryBatch, rows: np.ndarray) -> object:
            items = torch.from_numpy(examples.targets[rows].astype(np.int64))
            with torch.no_grad():
                return method.generate(histories, told(rows), items, self._decoding())

        return Asking(examples, goal, answer, told, written=True)

    def _decoding(self) -> Decoding:
        settings = self.settings
        return Decoding(
            longest=TOKENS_A_WORD * settings.longest,
            sample=settings.decoding == "sample",
            temperature=settings.temperature,
            top_p=settings.top_p,
            seed=settings.seed,
        )

    def prompts(self, split: Split, examples: Examples) -> Prompts:
        """What is told of each target: the item and its rating."""
        return Prompts(split.train.catalog, examples.log, examples.stops, self.settings.field)

    def references(self, examples: Examples) -> list[str]:
        """What people wrote at each target."""
        return list(examples.log.written[self.settings.field].take(examples.stops))

    def _ask(
        self,
        method: TextGenerator,
        examples: Examples,
        prompts: Prompts,
        decoding: Decoding,
        name: str = "",
        on_batch: Callable[[int], None] | None = None,
    ) -> list[str]:
        """One text an example, without white space around it.

        Raises:
            RunError: The method answered with something else.
        """
        name = name or type(method).__name__
        size, length = self.settings.batch_size, method.history_length
        # Whole batches stay together: what a batch draws depends on where it begins.
        share, before = own_share(examples, size)

        def written() -> list[str]:
            texts: list[str] = []
            with torch.no_grad():
                for rows, histories in share.batches(size, length, written=True):
                    items = torch.from_numpy(share.targets[rows].astype(np.int64))
                    begin, end = before + rows.start, before + rows.stop
                    # Users of different batches must not draw the same random numbers.
                    drawn = replace(decoding, seed=decoding.seed * 1_000_003 + begin)
                    told = list(prompts[begin:end])
                    answer = method.generate(histories, told, items, drawn)
                    if len(answer) != len(histories) or not all(isinstance(a, str) for a in answer):
                        raise RunError(f"{name}: it did not write one text for each user")
                    texts += [first_words(text, self.settings.longest) for text in answer]
                    if on_batch is not None:
                        on_batch(as_of_all(rows.stop, share, examples))
            return texts

        texts = texts_from_all(written)
        if not texts:
            raise RunError("there is no example to write for")
        return texts


def first_words(text: str, most: int) -> str:
    """A text without white space around it, and no longer than some words."""
    words = text.split()
    return " ".join(words[:most]) if len(words) > most else text.strip()


def stand_in(references: Sequence[str], texts: Iterable[str]) -> np.ndarray:
    """Which references stand word for word among some texts, `BoolArray[n]`.

    Args:
        references: `n` texts.
        texts: Read once: there may be millions.
    """
    bare = [" ".join(text.split()) for text in references]
    wanted = set(bare)
    met = {own for text in texts if (own := " ".join(text.split())) in wanted}
    return np.array([text in met for text in bare], dtype=bool)
