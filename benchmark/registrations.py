"""The tables: every split, task, method, encoder and metric, by name; data sets in `datasets`.

Nothing heavy is imported here: an entry is a string that is imported when it is first used.
"""

from __future__ import annotations

from collections.abc import Mapping

from benchmark.datasets import INSTALL_RECBOLE
from benchmark.entries import (
    LABELS,
    RANKER,
    WRITER,
    EncoderEntry,
    MethodEntry,
    SplitEntry,
    TaskEntry,
)
from benchmark.registry import Entry, Registry, load

SPLITS: Registry[SplitEntry] = Registry("split")
TASKS: Registry[TaskEntry] = Registry("task")
METHODS: Registry[MethodEntry] = Registry("method")
ENCODERS: Registry[EncoderEntry] = Registry("encoder")
METRICS: Registry[Entry] = Registry("metric")

for _name, _settings, _summary in (
    ("last", "SplitSettings", "a user's last event is the test target, the one before validation"),
    ("global_time", "GlobalTimeSettings", "training before a date, targets are the first after it"),
    ("cold_items", "ColdItemsSettings", "as last, with items that no training and no history has"),
):
    SPLITS.add(
        _name,
        SplitEntry(
            f"benchmark.data.splits:split_{_name}",
            _summary,
            settings=f"benchmark.data.splits_config:{_settings}",
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

_RANKING_METRICS = tuple(METRICS)
for _name, _summary in {
    "macro_f1": "mean over labels of F1, users with tied labels left out",
    "rouge1": "F1 of the words of the reference and of the text",
    "rouge2": "F1 of their pairs of neighbouring words",
    "rougeL": "F1 of their longest common subsequence of words",
}.items():
    _module = "classification:macro_f1" if _name == "macro_f1" else "text:ROUGE"
    METRICS.add(_name, Entry(f"benchmark.metrics.{_module}", _summary))

TASKS.add(
    "next_item",
    TaskEntry(
        "benchmark.tasks.next_item:NextItem",
        "which item of the whole catalogue comes next",
        settings="benchmark.tasks.config:NextItemSettings",
        needs=RANKER,
        metrics=_RANKING_METRICS,
        numbers="benchmark.tasks.next_item_numbers:NUMBERS",
        primary="recall@1",
        answers="benchmark.importing.next_item:JUDGE",
    ),
)
TASKS.add(
    "favorite_genre",
    TaskEntry(
        "benchmark.tasks.favorite_genre:FavoriteGenre",
        "which genre or category a user meets most",
        settings="benchmark.tasks.config:FavoriteGenreSettings",
        needs=LABELS,
        metrics=("recall@1", "recall@5", "macro_f1"),
        numbers="benchmark.tasks.favorite_genre_numbers:NUMBERS",
        primary="recall@1",
        answers="benchmark.importing.favorite_genre:JUDGE",
    ),
)
TASKS.add(
    "review_generation",
    TaskEntry(
        "benchmark.tasks.review_generation:ReviewGeneration",
        "what a user writes of an item, item and rating given",
        settings="benchmark.tasks.config:ReviewGenerationSettings",
        needs=WRITER,
        metrics=("rouge1", "rouge2", "rougeL"),
        numbers="benchmark.tasks.review_generation_numbers:NUMBERS",
        primary="rougeL",
        answers="benchmark.importing.review_generation:JUDGE",
    ),
)

_HISTORY = "fit.history"
"""Setting that says how long a history is read, of most methods."""

METHODS.add(
    "popularity",
    MethodEntry(
        "baselines.popularity:Popularity",
        "the most frequent items, the same for everybody",
        settings="baselines.config:PopularitySettings",
        capabilities=(RANKER, LABELS),
        in_default=True,
    ),
)
METHODS.add(
    "sasrec",
    MethodEntry(
        "baselines.sasrec:SasRec",
        "causal transformer over item ids",
        settings="baselines.config:SasRecSettings",
        capabilities=(RANKER, LABELS),
        in_default=True,
        shares=True,
        length=_HISTORY,
        in_stages=True,
    ),
)
METHODS.add(
    "user_encoder",
    MethodEntry(
        "userllm.encoder_method:UserEncoderMethod",
        "USER-LLM's user encoder, ranking alone",
        settings="userllm.config:UserEncoderSettings",
        capabilities=(RANKER, LABELS),
        in_default=True,
        llm_setting="item_text",
        shares=True,
        length=_HISTORY,
        in_stages=True,
    ),
)
METHODS.add(
    "bert4rec",
    MethodEntry(
        "baselines.bert4rec:Bert4Rec",
        "RecBole's BERT4Rec module, trained on windows",
        settings="baselines.config:Bert4RecSettings",
        capabilities=(RANKER, LABELS),
        requires=("recbole",),
        install=INSTALL_RECBOLE,
        in_default=True,
        shares=True,
        length=_HISTORY,
        in_stages=True,
    ),
)
METHODS.add(
    "dual_encoder",
    MethodEntry(
        "baselines.dual_encoder:DualEncoder",
        "user tower and item tower, in-batch softmax",
        settings="baselines.config:DualEncoderSettings",
        capabilities=(RANKER, LABELS),
        in_default=True,
        shares=True,
        length=_HISTORY,
        in_stages=True,
    ),
)
METHODS.add(
    "genre_counter",
    MethodEntry(
        "baselines.genre_counter:GenreCounter",
        "the labels that stand most often in the history itself",
        settings="baselines.config:GenreCounterSettings",
        capabilities=(LABELS,),
        baseline_for=(LABELS,),
    ),
)
METHODS.add(
    "text_prompt",
    MethodEntry(
        "baselines.text_prompt:TextPrompt",
        "the last items as text into the language model",
        settings="baselines.text_prompt_config:TextPromptSettings",
        capabilities=(RANKER, LABELS, WRITER),
        in_default=True,
        uses_llm=True,
        shares=True,
        says_items=True,
        outline="baselines.prompt_outline:outline",
        length="items",
        in_stages=True,
    ),
)
METHODS.add(
    "no_history",
    MethodEntry(
        "baselines.text_prompt:TextPrompt",
        "text_prompt without a history: what the question alone tells",
        settings="baselines.text_prompt_config:TextPromptSettings",
        section="text_prompt",
        overrides={"items": 0},
        capabilities=(LABELS, WRITER),
        baseline_for=(LABELS, WRITER),
        uses_llm=True,
        shares=True,
        in_stages=True,
    ),
)
METHODS.add(
    "text_prompt_titles",
    MethodEntry(
        "baselines.text_prompt:TextPrompt",
        "text_prompt that reads titles alone: the compact prompt",
        settings="baselines.text_prompt_config:TextPromptSettings",
        section="text_prompt",
        overrides={"fields": []},
        capabilities=(RANKER, LABELS, WRITER),
        uses_llm=True,
        shares=True,
        says_items=True,
        outline="baselines.prompt_outline:outline",
        length="items",
        in_stages=True,
    ),
)
for _name, _attribute, _summary in (
    ("common_sentence", "CommonSentence", "the item's most common review sentence"),
    ("previous_review", "PreviousReview", "the user's latest review once more"),
):
    METHODS.add(
        _name,
        MethodEntry(
            f"baselines.{_name}:{_attribute}",
            _summary,
            settings=f"baselines.review_config:{_attribute}Settings",
            capabilities=(WRITER,),
            baseline_for=(WRITER,),
        ),
    )

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
        capabilities=(RANKER, LABELS, WRITER),
        in_default=True,
        uses_llm=True,
        uses_encoder=True,
        shares=True,
        says_items=True,
        multi_task=True,
        outline="userllm.outline:outline",
        studied=True,
        in_stages=True,
    ),
)
_VARIANTS: dict[str, tuple[str, Mapping[str, object]]] = {
    "user_llm_prior": (
        "user_llm with the encoder's own distribution added at each node (not in the study)",
        {"encoder_prior": True, "loss": "trie"},
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
            shares=True,
            says_items=_overrides.get("loss") != "item_head",
            outline="userllm.outline:outline",
            in_stages=True,
        ),
    )

ENCODERS.add(
    "user_encoder",
    EncoderEntry(
        "userllm.encoder_method:build_encoder",
        "autoregressive transformer over any features of an event",
        settings="userllm.config:UserEncoderSettings",
        length=_HISTORY,
    ),
)
ENCODERS.add(
    "dual_encoder",
    EncoderEntry(
        "baselines.dual_encoder:build_encoder",
        "the user tower of the dual encoder",
        settings="baselines.config:DualEncoderSettings",
        length=_HISTORY,
    ),
)
ENCODERS.add(
    "bert4rec",
    EncoderEntry(
        "baselines.bert4rec:build_encoder",
        "BERT4Rec, which reads a history in both directions",
        settings="baselines.config:Bert4RecSettings",
        length=_HISTORY,
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
            length=_HISTORY,
            requires=("recbole",),
            install=INSTALL_RECBOLE,
            unavailable=_reason,
            in_stages=True,
        ),
    )
