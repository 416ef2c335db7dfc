"""USER-LLM on one's own histories: build, fit, rank, write. `UserLLM`'s methods lead here.

Wherever histories are taken they are a `HistoryBatch`, or a list of lists of events as
`userllm.histories` describes. Histories longer than the encoder reads are cut to the latest.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from benchmark.errors import UserError
from benchmark.events import EventLog
from benchmark.schema import FeatureSchema
from benchmark.system.durable import why_unwritable
from benchmark.types import (
    IDS,
    Candidates,
    Catalog,
    HistoryBatch,
    Progress,
    StageReport,
)
from userllm.arguments import check_kind, folder_of, settings_of, shown, whole_number
from userllm.config import UserEncoderSettings, UserLLMSettings
from userllm.decoding import chunks
from userllm.encoder.event_encoder import EventEncoder
from userllm.encoder.user_encoder import UserEncoder
from userllm.histories import (
    Histories,
    build_log,
    check_batch,
    latest_events,
    read_batch,
    seen_items,
)
from userllm.llm.corpus import shuffled_titles
from userllm.llm.language_model import LanguageModel
from userllm.llm.loading import wrap_language_model
from userllm.progress import Silent
from userllm.seeding import seeded
from userllm.training.modes import evaluating

if TYPE_CHECKING:
    from userllm.fitting import Fitting
    from userllm.model import UserLLM


def build(
    model: Any,
    tokenizer: Any,
    schema: FeatureSchema,
    *,
    catalog: Catalog | None = None,
    settings: UserLLMSettings | Mapping[str, Any] | None = None,
    encoder: EventEncoder | UserEncoderSettings | Mapping[str, Any] | None = None,
    seed: int = 0,
) -> UserLLM:
    """A new model around a causal language model.

    All of it is where the language model is. The language model keeps the dtype of its weights;
    encoder, projector and fusion have 32 bits.
    Under `strategy=full` 16-bit weights are trained in 16 bits, where small steps are lost: give
    `model.float()` there. The other strategies train no weight of the language model.

    Args:
        model: A Hugging Face causal model, or the hub name or path of one, which is loaded in 32
            bits.
        tokenizer: Its tokenizer, or the name or path of it; None where the model is a name or path
            that has it.
        schema: The features of an event.
        catalog: The items that it may say; needed to train and to rank, not to write.
        settings: Projector, fusion, training, or a mapping of those that are to differ from the
            defaults.
        encoder: An encoder, or the settings (again perhaps as a mapping) of a new one that `fit`
            pretrains; needed where `settings.encoder` names another than the autoregressive one.
        seed: Seed of new weights, and of `settings.shuffle_titles`; torch's own generator stays
            where it is.

    Raises:
        UserError: An argument is none of its kind, the parts do not fit together, a title cannot
            be said, or the model is no causal language model.
    """
    from userllm.model import UserLLM  # it imports this file

    settings = settings_of(UserLLMSettings, "settings", settings)
    planned = None
    if not isinstance(encoder, EventEncoder):
        planned = settings_of(UserEncoderSettings, "encoder", encoder)
    check_kind("schema", schema, FeatureSchema, "infer_schema(items, histories)")
    if catalog is not None:
        check_kind("catalog", catalog, Catalog, "build_catalog(items, schema)")
    seed = whole_number("seed", seed, least=0)
    if catalog is not None and len(catalog) != schema.num_items:
        raise UserError(f"a catalogue of {len(catalog)} items, a schema of {schema.num_items}")
    if settings.encoder != "user_encoder" and not isinstance(encoder, EventEncoder):
        raise UserError(
            f"encoder={settings.encoder!r} in the settings is not built here: give encoder=, or "
            "leave the setting at 'user_encoder'"
        )
    if catalog is not None and settings.shuffle_titles:
        catalog = shuffled_titles(catalog, seed)
    llm = wrap_language_model(model, tokenizer)
    with seeded(seed, llm.device):
        if not isinstance(encoder, EventEncoder):
            assert planned is not None
            text = _item_text(llm, catalog, schema, planned)
            encoder = UserEncoder.planned(schema, planned, text)
        _check_known(encoder, schema)
        try:
            built = UserLLM(encoder, llm, settings, catalog)
        except ValueError as error:
            raise UserError(str(error)) from error
    built.to(llm.device)  # the new parts were drawn on the processor
    built.schema, built.encoder_settings = schema, planned
    built.encoder_is_fresh = planned is not None
    if catalog is not None and catalog.text_source != IDS:
        _ = built.titles  # one that cannot be said is found here
    return built.eval()


def _item_text(
    llm: LanguageModel, catalog: Catalog | None, schema: FeatureSchema, planned: UserEncoderSettings
) -> Tensor | None:
    """Vectors of items' text, where the encoder is to read it."""
    if not planned.item_text:
        return None
    if catalog is None:
        raise UserError("item_text=true: give the catalogue, whose texts are to be read")
    from userllm.encoder.item_text import (
        embed_items,  # it imports checkpoint, which needs this file
    )

    return embed_items(llm, catalog, schema, planned)


def fit(
    model: UserLLM,
    histories: Histories | EventLog,
    *,
    pretrain: bool | None = None,
    seed: int = 0,
    progress: Progress | None = None,
    accelerator: str | None = None,
    validate: Callable[[UserLLM], float] | None = None,
    checkpoints: str | Path | None = None,
) -> tuple[StageReport, ...]:
    """Pretrains the encoder, aligns and tunes, as the model's settings say.

    Args:
        model: With a catalogue.
        histories: What to learn from; every event but a user's first is a target.
        pretrain: Whether to train the encoder to predict the next event first; None = where it is
            as `build` made it and `settings.pretrained` asks for it. What a fit has trained, also
            before it was saved, is not pretrained again unless this is True.
        seed: Seed of all that is random here; torch's own generator stays where it is.
        progress: Where to say how far it is; None = nowhere, `Printed()` = stderr.
        accelerator: Lightning's name of the device, `"gpu"` or `"cpu"` for example: the model moves
            there and stays. None = where it is.
        validate: Value to maximise, looked at as often as `settings.tune.looks` says while tuning;
            the weights of its best look stay.
        checkpoints: Folder for unfinished stages, of this fit alone: where it was interrupted,
            the same call goes on from there. A fit that comes to its end removes what it kept.

    Returns:
        What each stage took.

    Raises:
        UserError: No catalogue, nothing to learn from, no settings to pretrain by, an argument
            that is none of its kind, or a loss that became NaN or infinite.
    """
    from userllm import fitting  # it imports the model, which imports this file

    _need_catalog(model)
    seed = whole_number("seed", seed, least=0)
    if pretrain is not None:
        check_kind("pretrain", pretrain, bool, "True, False or None")
    if progress is not None:
        check_kind(
            "progress",
            None if isinstance(progress, type) else progress,
            Progress,
            "an object such as Printed()",
        )
    if validate is not None and not callable(validate):
        raise UserError(f"validate={shown(validate)}: a function of the model is needed")
    if isinstance(histories, HistoryBatch):
        raise UserError("to learn from, histories must be lists of events or an EventLog")
    log = histories
    if not isinstance(log, EventLog):
        log = build_log(log, model.schema, model.catalog)
    _check_known(model.encoder, log.schema)
    if log.lengths.max(initial=0) < 2:
        raise UserError("no history has two events, so there is nothing to learn from")
    progress = progress or Silent()
    stages = []
    if pretrain is None:
        pretrain = model.settings.pretrained and model.encoder_is_fresh
    folder = None if checkpoints is None else folder_of("checkpoints", checkpoints)
    if folder is not None and folder.exists() and not folder.is_dir():
        raise UserError(f"checkpoints: {folder} is no folder")
    if folder is not None and (reason := why_unwritable(folder)):
        raise UserError(f"checkpoints: {folder} cannot be written: {reason}")
    told = fitting.Fitting(
        seed,
        progress,
        validate=None if validate is None else lambda: _value(validate(model)),
        accelerator=_accelerator(model, accelerator),
        checkpoints=folder,
        key=_key(model, log, validate is not None, pretrain),
    )
    try:
        with seeded(seed, model.llm.device):  # LoRA matrices are drawn before any stage seeds
            if pretrain:
                stages.append(_pretrain(model, log, told))
            stages += fitting.fit(model, log, told)
    except FloatingPointError as error:
        raise UserError(str(error)) from error
    model.encoder_is_fresh = False
    for stage in stages:
        if (kept := told.checkpoint(stage.name)) is not None:
            kept.unlink(missing_ok=True)
    return tuple(stages)


def _accelerator(model: UserLLM, given: str | None) -> str:
    """Where to train, as Lightning names it: where the model is unless something else is given."""
    from userllm.training.loop import training_device  # it loads Lightning

    if given is None:
        return str(model.llm.device)
    check_kind("accelerator", given, str, "'cpu', 'gpu' or another name of Lightning's")
    try:
        torch.zeros(0, device=training_device(given))
    except Exception as error:  # Lightning and torch raise several kinds; each means "not here".
        reason = " ".join(str(error).split())
        raise UserError(f"accelerator={given!r} cannot be used here ({reason})") from error
    return given


def _value(found: Any) -> float:
    """What a validation found."""
    try:
        value = float(found)
    except (TypeError, ValueError):
        value = math.nan
    if math.isnan(value):  # no look would ever be better or worse
        raise UserError(f"validate gave {found!r}: a number is needed")
    return value


def _pretrain(model: UserLLM, log: EventLog, told: Fitting) -> StageReport:
    """Trains the encoder that `build` made to predict the next event."""
    from userllm.encoder.pretraining import (
        pretrain,  # it loads Lightning, which asking does without
    )

    encoder, planned = model.encoder, model.encoder_settings
    if planned is None or not isinstance(encoder, UserEncoder):
        raise UserError("pretrain: only an encoder that UserLLM.build made is pretrained here")
    encoder.requires_grad_(True)
    return pretrain(
        encoder,
        log,
        planned,
        seed=told.seed,
        progress=told.progress,
        accelerator=told.accelerator,
        checkpoint=told.checkpoint("encoder"),
        key=f"{told.key} {told.seed} {planned.model_dump_json()}",
    )


def _key(model: UserLLM, log: EventLog, *facts: object) -> str:
    """Changes with what a checkpoint of `fit` depends on and the settings do not say."""
    digest = hashlib.sha256(f"{facts} {model.llm.identity} {model.schema.fingerprint()}".encode())
    catalog = _need_catalog(model)
    digest.update(repr(catalog.texts if catalog.text_source == IDS else model.titles).encode())
    for column in (log.indptr, *(log.columns[name] for name in sorted(log.columns))):
        digest.update(np.ascontiguousarray(column).tobytes())
    return digest.hexdigest()


def embed(model: UserLLM, histories: Histories) -> Tensor:
    """The encoder's state after each history, `[B, D]`; zero for an empty one."""
    batch = _read(model, histories)[1]
    with evaluating(model), torch.no_grad():
        if not len(batch):
            return model.encoder.embed(batch)
        parts = chunks(len(batch), batch.mask.shape[1])
        return torch.cat([model.encoder.embed(batch.rows(part)) for part in parts])


def rank(
    model: UserLLM, histories: Histories, k: int = 10, exclude_seen: bool = True
) -> list[list[tuple[str, float]]]:
    """The best next items of each user, best first.

    Args:
        model: With a catalogue.
        histories: Of `B` users.
        k: How many items at most.
        exclude_seen: Leave out what the whole history holds.

    Returns:
        For each user, external ids and log-probabilities in nats: over the whole catalogue, or
        under `decoding=free` of the texts that named the items among all texts. Fewer than `k`
        where fewer items are left or the decoding names no more.

    Raises:
        UserError: No catalogue, `k` below 1, or histories that cannot be read.
    """
    from userllm.decoding import ranking  # it imports the model, which imports this file

    catalog = _need_catalog(model)
    k = whole_number("k", k, least=1)
    whole, batch = _read(model, histories)
    answer = []
    with evaluating(model):
        for part in ranking.user_chunks(model, len(batch)):
            excluded = seen_items(whole.rows(part), len(catalog)) if exclude_seen else None
            some = Candidates(len(catalog), excluded)
            found = ranking.rank_at_once(model, batch.rows(part), some, k)
            for ids, scores in zip(found.ids.tolist(), found.scores.tolist(), strict=True):
                pairs = zip(ids, scores, strict=True)
                answer.append([(catalog.items.to_external(i), s) for i, s in pairs if i])
    return answer


def generate(
    model: UserLLM, histories: Histories, prompts: str | Sequence[str], **options: Any
) -> list[str]:
    """Text that continues a prompt, for each user.

    Args:
        model: With or without a catalogue.
        histories: Of `B` users.
        prompts: `B` texts, or one for all users.
        options: See `userllm.generation.generate`, for example `max_new_tokens`, `num_beams`.

    Raises:
        UserError: Not one prompt for each user, or an option that does not exist or is no good.
    """
    from userllm import generation

    batch = _read(model, histories)[1]
    check_kind("prompts", prompts, Iterable, "a text, or a list of them,")
    prompts = [prompts] * len(batch) if isinstance(prompts, str) else list(prompts)
    for prompt in prompts:
        check_kind("a prompt", prompt, str, "a text")
    if len(prompts) != len(batch):
        raise UserError(f"{len(prompts)} prompts for {len(batch)} users; one for each is needed")
    if not prompts:
        return []
    with evaluating(model), torch.inference_mode():
        context, _ = model.read_histories(batch)
        return generation.generate(model, context, prompts, **options)


def _read(model: UserLLM, histories: Histories) -> tuple[HistoryBatch, HistoryBatch]:
    """Whole histories, and as much of them as the encoder reads, where the model is."""
    whole = read_batch(histories, model.schema, model.catalog)
    check_batch(whole, model.schema, model.columns_read)
    whole = whole.to(model.llm.device)
    return whole, latest_events(whole, model.encoder.history)


def _need_catalog(model: UserLLM) -> Catalog:
    if model.catalog is None:
        raise UserError("without a catalogue there is nothing to say: give one to UserLLM.build")
    return model.catalog


def _check_known(encoder: EventEncoder, schema: FeatureSchema) -> None:
    """Every feature that the encoder reads must be one of a schema, and the same."""
    for feature in encoder.schema:
        if schema[feature.name] != feature:
            raise UserError(f"feature {feature.name!r} of the encoder is not that of the schema")
