"""What a run consists of: the world that its cells share, and the cells."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, cast

from pydantic import BaseModel

from benchmark.cost.config import CostSettings
from benchmark.data.dataset import Dataset
from benchmark.data.division import Need, Split
from benchmark.data.store.seal import Seal
from benchmark.goals import Goal
from benchmark.protocols import Method, TrainingData
from benchmark.records import results
from benchmark.runs.asking import Asking
from benchmark.runs.encoder_slot import ChosenEncoder
from benchmark.tasks.evaluation import Evaluation
from benchmark.types import Progress
from benchmark.variants import Variant


class Task(Protocol):
    """What the runner asks of a task."""

    name: str
    version: str
    tie_rule: str
    watch: str
    """Which of the values of `validator` decides between checkpoints."""
    need: Need
    """What a target is."""

    @property
    def settings(self) -> BaseModel:
        """What it was built from."""
        ...

    def unfit(self, dataset: Dataset) -> str:
        """Why it cannot be asked on a data set, "" where it can."""
        ...

    def goal(self, train: TrainingData) -> Goal:
        """What methods are fitted for, with examples from training events alone."""
        ...

    def validator(self, split: Split, seen: str) -> Callable[[Any], Mapping[str, float]]:
        """Values on the validation examples, for early stopping."""
        ...

    def asking(self, split: Split, seen: str, part: str) -> Asking:
        """How methods are asked, so that they can be asked again."""
        ...

    def evaluate(
        self,
        method: Any,
        split: Split,
        dataset: Dataset,
        seen: str,
        part: str,
        progress: Progress,
        name: str,
    ) -> Evaluation:
        """Scores every example of a part."""
        ...


@dataclass(frozen=True)
class World:
    """What all cells of a run share.

    Attributes:
        dataset: The data.
        splits: How each task divides it; tasks that it does not suit are missing.
        unfit: Why these do not suit it, by task.
        shared: The earliest of the tasks' cuts, with the next item as target: what stages learn
            from that serve several tasks; None where the task is `next_item` alone.
        tasks: The run's tasks, those that do not suit the data left out.
        goals: What a method is fitted for, by task, on the task's own cut.
        shared_goals: The same on the earliest of the cuts, where one fit is to serve all.
        next_item: What validates the stages that several tasks share.
        multi_task: Whether one fit serves all of them.
        split_name: The split's name.
        split_settings: What it was made with.
        seen: `exclude` or `include`.
        part: `test` or `validation`.
        preset: Name of the preset.
        llm: Language model as the user named it, None = embedded.
        llm_facts: See `identity.llm_identity`.
        cache: Folder of shared stages.
        threads: Threads of a cell.
        command: What the user typed.
        accelerator: Lightning's name of the device, `cpu` or `gpu`.
        keep_models: Whether fitted models stay beside their records.
        cost: What is measured of an answer's cost.
        several: How training is spread, see `ranks.Spread.facts`; nothing on one device.
        seal: Tells whether the data set is still what was opened; None where it cannot change.
    """

    dataset: Dataset
    splits: Mapping[str, Split]
    unfit: Mapping[str, str]
    shared: Split | None
    tasks: Mapping[str, Task]
    goals: Mapping[str, Goal]
    shared_goals: Mapping[str, Goal]
    next_item: Task
    split_name: str
    split_settings: Mapping[str, Any]
    seen: str
    part: str
    preset: str
    llm: str | None
    llm_facts: dict[str, str] | None
    cache: Path
    threads: int
    command: str
    accelerator: str = "cpu"
    keep_models: bool = True
    multi_task: bool = False
    cost: CostSettings = field(default_factory=CostSettings)
    several: Mapping[str, Any] = field(default_factory=dict)
    seal: Seal | None = None

    def title_of(self, cell: Cell) -> str:
        """What a cell is called among the others: with its task, where there are several."""
        return f"{cell.task_name}: {cell.title}" if len(self.tasks) > 1 else cell.title

    def check_data(self) -> None:
        """Looks whether the data are still what this says of them.

        Raises:
            DataChangedError: They are not.
        """
        if self.seal is not None:
            self.seal.check()


@dataclass(frozen=True)
class Cell:
    """One method on one task with one seed, its settings resolved.

    Attributes:
        task: Builds the task.
        method: Builds the method, from its settings or from others that are given; imports it,
            which may take seconds.
        task_name: Name of the task.
        method_name: Name of the method.
        method_settings: What the method is built from.
        task_settings: What the task is built from.
        changes: What the user set of the method, dotted name → value.
        task_changes: What the user set of the task.
        seed: Seed of everything random.
        uses_llm: Whether the method reads the world's language model.
        config_hash: SHA-256 of all that can change the numbers.
        folder: Where record and examples go.
        axes: What it is called in an ablation, axis → value.
        encoder: What the harness builds and hands to the method; None where it takes none.
        split: How the task divides the data.
        trained_on: What the method is fitted on: training of its split, or what several tasks
            share.
        serves_all: Whether its fit serves all tasks of the run.
        shares: Whether stages of it serve other tasks of the run too.
        in_stages: Whether it trains by stages alone, so that it can be rehearsed.
        outliner: What makes its outline, `module:attribute`; "" = nothing.
        tuned: See `RunRecord.tuned`.
        variant: What it was resolved from, so that another process can resolve it again; None of
            answers that were not run here.
    """

    task: Callable[[], Task]
    method: Callable[..., Method]
    task_name: str
    method_name: str
    task_settings: BaseModel
    method_settings: BaseModel
    changes: dict[str, Any]
    task_changes: dict[str, Any]
    seed: int
    uses_llm: bool
    config_hash: str
    folder: Path
    split: Split
    trained_on: TrainingData
    axes: Mapping[str, Any] = field(default_factory=dict)
    encoder: ChosenEncoder | None = None
    serves_all: bool = False
    shares: bool = False
    in_stages: bool = False
    outliner: str = ""
    tuned: Mapping[str, Any] | None = None
    variant: Variant | None = None

    @property
    def title(self) -> str:
        """How progress calls it."""
        axes = "".join(f" {axis}={value}" for axis, value in self.axes.items())
        return f"{self.method_name}{axes} seed {self.seed}"

    @property
    def record(self) -> Path:
        """The record; it exists exactly where the cell is finished."""
        return self.folder / results.RECORD


def build(target: object, settings: BaseModel) -> Any:
    """Builds a method or task from its settings."""
    return cast("Callable[[BaseModel], Any]", target)(settings)
