"""The tables: every data set, split, task, method, encoder and metric, by name.

Nothing heavy is imported here: an entry is a string that is imported when it is first used.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from benchmark.registry import Entry, Registry, load


@dataclass(frozen=True)
class TaskEntry(Entry):
    """A task.

    Attributes:
        settings: `module:Model` of its settings, free of torch.
        needs: Name of the capability that a method must have.
        metrics: What it measures, in the order of a table's columns.
    """

    settings: str = ""
    needs: str = ""
    metrics: tuple[str, ...] = ()


@dataclass(frozen=True)
class MethodEntry(Entry):
    """A method.

    Attributes:
        settings: `module:Model` of its settings, free of torch.
        section: Name under which several rows share settings; the method's own where empty.
        overrides: Settings that make this row what it is; nobody can change them.
        capabilities: Names of the capabilities it has.
        in_default: Part of a run that names no methods.
        probes: Settings with which `probe` fits the method anew to learn something, by name.
        uses_llm: Whether `--llm` changes what it does.
        uses_encoder: Whether it takes a user encoder that the harness builds. Its settings name
            an entry of `ENCODERS` (`encoder`) and say whether it is trained (`pretrained`).
    """

    settings: str = ""
    section: str = ""
    overrides: Mapping[str, object] = field(default_factory=dict)
    capabilities: tuple[str, ...] = ()
    in_default: bool = False
    probes: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    uses_llm: bool = False
    uses_encoder: bool = False


@dataclass(frozen=True)
class EncoderEntry(Entry):
    """What can stand in the encoder slot; the target is a `benchmark.protocols.EncoderBuilder`.

    Attributes:
        settings: `module:Model` of its settings, free of torch. They are given under the entry's
            name, which a method that is the same model alone shares.
    """

    settings: str = ""


DATASETS: Registry[Entry] = Registry("data set")
SPLITS: Registry[Entry] = Registry("split")
TASKS: Registry[TaskEntry] = Registry("task")
METHODS: Registry[MethodEntry] = Registry("method")
ENCODERS: Registry[EncoderEntry] = Registry("encoder")
METRICS: Registry[Entry] = Registry("metric")

RANKER = "CandidateRanker"
INSTALL_RECBOLE = "pip install --no-deps recbole==1.2.1"

DATASETS.add(
    "ml-100k",
    Entry(
        "benchmark.data.movielens:load_ml_100k",
        "MovieLens-100K, as the recbole package carries it",
        requires=("recbole",),
        install=INSTALL_RECBOLE,
    ),
)
DATASETS.add(
    "synthetic",
    Entry("benchmark.data.synthetic:load_synthetic", "a made-up world with a planted preference"),
)

SPLITS.add(
    "last",
    Entry(
        "benchmark.data.splits:split_last",
        "a user's last event is the test target, the one before it validation",
    ),
)

for _name, _summary in {
    "recall@1": "share of users whose target is ranked first",
    "recall@5": "share of users whose target is among the first 5",
    "recall@10": "share of users whose target is among the first 10",
    "ndcg@10": "1 / log2(1 + rank) of the target, 0 beyond rank 10",
    "mrr@10": "1 / rank of the target, 0 beyond rank 10",
}.items():
    METRICS.add(_name, Entry("benchmark.metrics.ranking:NEXT_ITEM_METRICS", _summary))

TASKS.add(
    "next_item",
    TaskEntry(
        "benchmark.tasks.next_item:NextItem",
        "which item of the whole catalogue comes next",
        settings="benchmark.tasks.config:NextItemSettings",
        needs=RANKER,
        metrics=tuple(METRICS),
    ),
)

_BASELINES = {
    "popularity": ("Popularity", "the most frequent items, the same for everybody"),
    "sasrec": ("SasRec", "causal transformer over item ids"),
    "bert4rec": ("Bert4Rec", "RecBole's BERT4Rec module, trained on windows"),
    "dual_encoder": ("DualEncoder", "user tower and item tower, in-batch softmax"),
    "text_prompt": ("TextPrompt", "the last items as text into the language model"),
}
_SETTINGS = {"text_prompt": "text_prompt_config"}
"""Files of settings other than `baselines.config`."""


def _baseline(name: str) -> None:
    attribute, summary = _BASELINES[name]
    METHODS.add(
        name,
        MethodEntry(
            f"baselines.{name}:{attribute}",
            summary,
            settings=f"baselines.{_SETTINGS.get(name, 'config')}:{attribute}Settings",
            capabilities=(RANKER,),
            requires=("recbole",) if name == "bert4rec" else (),
            install=INSTALL_RECBOLE,
            in_default=True,
            uses_llm=name == "text_prompt",
        ),
    )


_baseline("popularity")
_baseline("sasrec")
METHODS.add(
    "user_encoder",
    MethodEntry(
        "userllm.method:UserEncoderMethod",
        "USER-LLM's user encoder, ranking alone",
        settings="userllm.config:UserEncoderSettings",
        capabilities=(RANKER,),
        in_default=True,
    ),
)
_baseline("bert4rec")
_baseline("dual_encoder")
_baseline("text_prompt")

_PROBES: dict[str, dict[str, object]] = {
    "shuffle_titles": {"shuffle_titles": True},
    **{
        f"perplexity_{strategy}": {"strategy": strategy, "held_out": 0.1}
        for strategy in ("full", "lora", "enc", "proj")
    },
}

METHODS.add(
    "user_llm",
    MethodEntry(
        "userllm.method:UserLLMMethod",
        "user embeddings cross-attended by a language model that says the title",
        settings="userllm.config:UserLLMSettings",
        probes=_PROBES,
        capabilities=(RANKER,),
        in_default=True,
        uses_llm=True,
        uses_encoder=True,
    ),
)
_VARIANTS: dict[str, tuple[str, Mapping[str, object]]] = {
    "user_llm_prior": (
        "user_llm with the encoder's own distribution added at each node (not in the study)",
        {"encoder_prior": True},
    ),
    "user_llm_item_head": (
        "user_llm with an item softmax on the language model's last state",
        {"loss": "item_head"},
    ),
    "user_llm_free": (
        "user_llm as the study decodes: plain tokens, a free beam, answers matched to titles",
        {"loss": "token", "decoding": "free"},
    ),
}
for _name, (_summary, _overrides) in _VARIANTS.items():
    METHODS.add(
        _name,
        MethodEntry(
            "userllm.method:UserLLMMethod",
            _summary,
            settings="userllm.config:UserLLMSettings",
            probes=_PROBES,
            section="user_llm",
            overrides=_overrides,
            capabilities=(RANKER,),
            uses_llm=True,
            uses_encoder=True,
        ),
    )

ENCODERS.add(
    "user_encoder",
    EncoderEntry(
        "userllm.method:build_encoder",
        "autoregressive transformer over any features of an event",
        settings="userllm.config:UserEncoderSettings",
    ),
)
ENCODERS.add(
    "dual_encoder",
    EncoderEntry(
        "baselines.dual_encoder:build_encoder",
        "the user tower of the dual encoder",
        settings="baselines.config:DualEncoderSettings",
    ),
)
ENCODERS.add(
    "bert4rec",
    EncoderEntry(
        "baselines.bert4rec:build_encoder",
        "BERT4Rec, which reads a history in both directions",
        settings="baselines.config:Bert4RecSettings",
        requires=("recbole",),
        install=INSTALL_RECBOLE,
    ),
)


def _recbole_models() -> dict[str, str]:
    models = load("baselines.recbole_models:MODELS")
    assert isinstance(models, dict)
    return models


for _name, _reason in _recbole_models().items():
    METHODS.add(
        f"recbole/{_name}",
        MethodEntry(
            "baselines.recbole_bridge:RecBoleMethod",
            f"RecBole's {_name}",
            settings="baselines.config:RecBoleSettings",
            section="recbole",
            overrides={"model": _name},
            capabilities=() if _reason else (RANKER,),
            requires=("recbole",),
            install=INSTALL_RECBOLE,
            unavailable=_reason,
        ),
    )
