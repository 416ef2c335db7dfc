"""RecBole's sequential models under our training and evaluation; all of RecBole enters here.

Of RecBole only the model classes, their default settings and the `Interaction` that carries a
batch are used. What it does to the process on the way is contained: see `_Config` and `seeded`.
"""

from __future__ import annotations

import contextlib
import difflib
import functools
import importlib
import io
import random
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
import yaml
from recbole.config import Config
from recbole.data.interaction import Interaction
from recbole.data.transform import construct_transform
from torch import Tensor, nn

from baselines.config import RecBoleSettings
from baselines.pairs import Pairs, endless_pairs, histories_before, target_positions
from baselines.window_stage import Material, fit_in_one_stage
from benchmark.events import EventLog
from benchmark.protocols import USER_ENCODER, FitContext, TrainingData
from benchmark.schema import ITEM
from benchmark.types import Candidates, FitReport, HistoryBatch, Ranking, rank_scores
from userllm.training.dividing import EachRow

USER_FIELD, ITEM_FIELD, LENGTH_FIELD, SEQUENCE = "user_id", "item_id", "item_length", "item_id_list"


class _Config(Config):  # type: ignore[misc]
    """RecBole's settings without its side effects.

    RecBole's own class reads `sys.argv`, evaluates strings as Python, renames NumPy's types for
    the whole process, hides the accelerator through the environment and changes PyYAML's loader.
    """

    def compatibility_settings(self) -> None:
        """Leaves NumPy alone."""

    def _load_cmd_line(self) -> dict[str, Any]:
        return {}

    def _convert_config_dict(self, config_dict: dict[str, Any]) -> dict[str, Any]:
        return config_dict

    def _build_yaml_loader(self) -> type[yaml.SafeLoader]:
        before = yaml.FullLoader.__dict__.get("yaml_implicit_resolvers")
        resolvers = super()._build_yaml_loader().yaml_implicit_resolvers
        if before is None:
            del yaml.FullLoader.yaml_implicit_resolvers
        else:
            yaml.FullLoader.yaml_implicit_resolvers = before
        return type("_Loader", (yaml.SafeLoader,), {"yaml_implicit_resolvers": resolvers})

    def _init_device(self) -> None:
        self.final_config_dict.update(single_spec=True, local_rank=0)


class _Facts:
    """What a model asks RecBole's data set for: counts, and for one model all training pairs.

    Args:
        events: The training events.
        length: Most events of a history.
    """

    def __init__(self, events: EventLog, length: int) -> None:
        self.events = events
        self.length = length
        self.user_num = events.num_users + 1
        self.item_num = events.schema.num_items + 1
        self.field2seqlen = {SEQUENCE: length}

    def num(self, field: str) -> int:
        """Number of values of a field, padding counted."""
        return {USER_FIELD: self.user_num, ITEM_FIELD: self.item_num}[field]

    @functools.cached_property
    def inter_feat(self) -> Interaction:
        """Every training pair at once; FEARec looks up others with the same target."""
        positions = target_positions(self.events)
        fields = _fields(histories_before(self.events, positions, self.length))
        items = torch.from_numpy(self.events.items[positions].astype(np.int64))
        return Interaction({**fields, ITEM_FIELD: items})


def _fields(histories: HistoryBatch) -> dict[str, Tensor]:
    """RecBole's names for a batch of histories; an empty one counts as one padding event."""
    users = histories.users
    if users is None:
        users = torch.zeros(len(histories), dtype=torch.long, device=histories.mask.device)
    return {
        USER_FIELD: users,
        SEQUENCE: histories.features[ITEM],
        LENGTH_FIELD: histories.lengths.clamp(min=1),
    }


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seeds Python's and NumPy's global generators, which RecBole draws from, for a while."""
    python, numpy = random.getstate(), np.random.get_state()
    random.seed(seed)
    np.random.seed(seed)
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)


def model_class(name: str) -> type[nn.Module]:
    """RecBole's class of a sequential model.

    Raises:
        ValueError: There is no such model.
    """
    anomaly = torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled()
    models = importlib.import_module("recbole.model.sequential_recommender")
    # One of its files turns anomaly detection on for the whole process when it is imported.
    torch.autograd.set_detect_anomaly(*anomaly)
    found = getattr(models, name, None)
    if found is None:
        raise ValueError(f"RecBole has no sequential model {name!r}")
    return found


def settings_of(
    name: str,
    length: int,
    options: Mapping[str, Any],
    *,
    num_items: int,
    device: torch.device | str = "cpu",
) -> _Config:
    """RecBole's settings of a model.

    Args:
        name: RecBole's name of the model.
        length: Most events of a history.
        options: The model's own settings that differ from RecBole's defaults.
        num_items: `N`.
        device: Where the model will be trained.

    Raises:
        ValueError: The model has no setting of a name in `options`.
    """
    ours = {
        "MAX_ITEM_LIST_LENGTH": length,
        "train_neg_sample_args": None,
        "device": torch.device(device),
    }
    config = _Config(model_class(name), "events", config_dict={**options, **ours})
    for option in options:
        if option not in config.internal_config_dict:
            near = difflib.get_close_matches(option, config.internal_config_dict, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"RecBole's {name} has no setting {option!r}{hint}")
    rerank = "reranker_CAN_NUM"
    if rerank not in options and (config[rerank] or 0) > num_items:
        config[rerank] = num_items  # RecBole's default takes a catalogue of 100 items for granted
    return config


def build_model(config: _Config, facts: _Facts) -> nn.Module:
    """A model with fresh weights; what its constructor prints is dropped."""
    with contextlib.redirect_stdout(io.StringIO()):
        return model_class(config["model"])(config, facts)


def build_bert4rec(events: EventLog, length: int, options: Mapping[str, Any]) -> nn.Module:
    """RecBole's BERT4Rec, for whoever trains it in another way than `RecBoleMethod`.

    Args:
        events: Say how many items there are.
        length: Most events of a history.
        options: As in `settings_of`.
    """
    config = settings_of("BERT4Rec", length, options, num_items=events.schema.num_items)
    return build_model(config, _Facts(events, length))


class _Learner(EachRow, nn.Module):
    """A RecBole model that learns from pairs by its own `calculate_loss`."""

    model: Any

    def __init__(self, config: _Config, events: EventLog) -> None:
        super().__init__()
        # The transform is built first: it writes the names of its fields into the settings.
        self.transform = construct_transform(config)
        self.facts = _Facts(events, config["MAX_ITEM_LIST_LENGTH"])
        self.model = build_model(config, self.facts)

    def training_loss(self, batch: Pairs) -> Tensor:
        """The model's own loss; scalar."""
        interaction = Interaction(
            {
                **_fields(batch.histories),
                ITEM_FIELD: batch.targets,
                f"neg_{ITEM_FIELD}": batch.negatives,
            }
        )
        loss: Tensor | tuple[Tensor, ...]
        loss = self.model.calculate_loss(self.transform(self.facts, interaction))
        return torch.stack(loss).sum() if isinstance(loss, tuple) else loss


class RecBoleMethod:
    """Any sequential model of RecBole.

    Args:
        settings: Its settings.
    """

    def __init__(self, settings: RecBoleSettings) -> None:
        self.settings = settings
        self.history_length = settings.fit.history
        self.learner: _Learner | None = None

    def fit(self, data: TrainingData, context: FitContext) -> FitReport:
        """Learns from pairs of history and next item, each event but a user's first a target."""
        settings, fit = self.settings, self.settings.fit
        device = _device(context.accelerator)
        config = settings_of(
            settings.model,
            fit.history,
            settings.options,
            num_items=len(data.catalog),
            device=device,
        )
        with seeded(context.seed):
            torch.manual_seed(context.seed)
            self.learner = _Learner(config, data.events)
            batches, pairs = endless_pairs(data.events, fit.history, fit.batch_size, context.seed)
            size = min(fit.batch_size, pairs)
            material = Material(batches, pairs / size, size)
            report = fit_in_one_stage(
                self, self.learner, material, context, fit, settings.optimizer
            )
        # Some models remember the device they were built for: stay there.
        self.learner.to(device)
        return report

    def parts(self) -> Mapping[str, nn.Module]:
        """See `benchmark.protocols.Profiled`."""
        assert self.learner is not None, "fit first"
        return {USER_ENCODER: self.learner.model}

    def state(self) -> Mapping[str, Tensor]:
        """Every weight by name."""
        assert self.learner is not None, "fit first"
        return self.learner.state_dict()

    @torch.no_grad()
    def rank(self, histories: HistoryBatch, candidates: Candidates, k: int) -> Ranking:
        """Ranks the catalogue by the model's `full_sort_predict`."""
        assert self.learner is not None, "fit first"
        model = self.learner.model
        fields = _fields(histories.to(next(model.parameters()).device))
        # Some models take their full length for granted.
        lacking = self.history_length - fields[SEQUENCE].shape[1]
        fields[SEQUENCE] = F.pad(fields[SEQUENCE], (0, max(0, lacking)))
        # Two models compute a loss on the way to their scores, which do not depend on it.
        placeholder = torch.ones_like(fields[USER_FIELD])
        interaction = Interaction({**fields, ITEM_FIELD: placeholder})
        scores = model.full_sort_predict(interaction).view(len(histories), candidates.count + 1)
        return rank_scores(scores.float().cpu(), candidates, k)


def _device(accelerator: str) -> torch.device:
    if accelerator in ("gpu", "cuda") or (accelerator == "auto" and torch.cuda.is_available()):
        return torch.device("cuda")
    return torch.device("mps" if accelerator == "mps" else "cpu")
