"""What a row of each table says beside where its target lies. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from benchmark.registry import Entry

RANKER = "CandidateRanker"
LABELS = "LabelRanker"
WRITER = "TextGenerator"
_IN_WORDS = {RANKER: "rank items", LABELS: "rank labels", WRITER: "write texts"}
"""What a method with a capability can do, as a user says it."""


def ability(capability: str) -> str:
    """What a method with a capability can do, for messages: `rank items`."""
    return _IN_WORDS.get(capability, f"do what {capability} asks for")


@dataclass(frozen=True)
class DatasetEntry(Entry):
    """A data set, or a family of them whose names end in what the publisher calls a part.

    The target of an embedded one is a function that loads it; of others it is a
    `benchmark.data.raw.Reader`, and they are prepared once from the publisher's files.

    Attributes:
        embedded: Whether it can be loaded without being prepared.
        part: What stands for `*` in a family's name, e.g. `category`; "" where it is no family.
        urls: Where the publisher keeps its files, with `{part}` for the part; all are needed.
        checksums: `md5:...` or `sha256:...` of each URL, "" where the publisher gives none.
        licence: Under which terms the data may be used.
        citation: Whom to cite.
    """

    embedded: bool = False
    part: str = ""
    urls: tuple[str, ...] = ()
    checksums: tuple[str, ...] = ()
    licence: str = ""
    citation: str = ""


@dataclass(frozen=True)
class SplitEntry(Entry):
    """A way to take validation and test targets away.

    Attributes:
        settings: `module:Model` of its settings, free of torch.
    """

    settings: str = ""


@dataclass(frozen=True)
class TaskEntry(Entry):
    """A task.

    Attributes:
        settings: `module:Model` of its settings, free of torch.
        needs: Name of the capability that a method must have.
        metrics: What it measures, in the order of a table's columns.
        numbers: `module:attribute` of its `benchmark.tasks.numbers.Numbers`, free of torch.
        primary: The metric that primary tests are about; "" = none.
        answers: `module:attribute` of its `benchmark.importing.judge.Judge`, for answers of models
            that were not run here.
    """

    settings: str = ""
    needs: str = ""
    metrics: tuple[str, ...] = ()
    numbers: str = ""
    primary: str = ""
    answers: str = ""


@dataclass(frozen=True)
class MethodEntry(Entry):
    """A method.

    Attributes:
        settings: `module:Model` of its settings, free of torch.
        section: Name under which several rows share settings; the method's own where empty.
        overrides: Settings that make this row what it is; nobody can change them.
        capabilities: Names of the capabilities it has.
        in_default: Part of a run that names no methods.
        baseline_for: Capabilities; part of such a run too where a task needs one of them.
        probes: Settings with which `probe` fits the method anew to learn something, by name.
        uses_llm: Whether `--llm` changes what it does.
        llm_setting: Name of a setting that makes it use the language model; "" = none does.
        uses_encoder: Whether it takes a user encoder that the harness builds. Its settings name
            an entry of `ENCODERS` (`encoder`) and say whether it is trained (`pretrained`).
        says_items: Whether it ranks items by saying their text.
        shares: Whether stages of it serve other tasks of a run too (`FitContext.for_sharing`).
        multi_task: Whether one fit of it can serve several tasks (`--multi-task`).
        outline: Target of a `benchmark.outlines.Outliner`; "" = its cost follows from no shape.
        length: The setting that says how long a history it reads, dotted; "" = none, or that of
            its encoder where it takes one.
        studied: Whether the study is about it: it is what baselines are compared with.
        in_stages: Whether it trains by `userllm.training.loop.run_stage` alone, so that a dry run
            can rehearse it.
    """

    settings: str = ""
    section: str = ""
    overrides: Mapping[str, object] = field(default_factory=dict)
    capabilities: tuple[str, ...] = ()
    in_default: bool = False
    baseline_for: tuple[str, ...] = ()
    probes: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    uses_llm: bool = False
    llm_setting: str = ""
    uses_encoder: bool = False
    says_items: bool = False
    shares: bool = False
    multi_task: bool = False
    outline: str = ""
    length: str = ""
    studied: bool = False
    in_stages: bool = False


@dataclass(frozen=True)
class EncoderEntry(Entry):
    """What can stand in the encoder slot; the target is a `benchmark.protocols.EncoderBuilder`.

    Attributes:
        settings: `module:Model` of its settings, free of torch. They are given under the entry's
            name, which a method that is the same model alone shares.
        length: The setting that says how long a history it reads, dotted.
    """

    settings: str = ""
    length: str = ""
