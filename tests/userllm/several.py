"""What `test_several` has one process do, or each of two: prints nothing, leaves a file each."""

from __future__ import annotations

import itertools
import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmark.data.splits import split_last
from benchmark.errors import RunError
from benchmark.system import ranks
from benchmark.system.ranks import Spread
from benchmark.tasks.config import NextItemSettings
from benchmark.tasks.next_item import NextItem
from benchmark.tasks.sharing import from_all, own_rows, texts_from_all
from tests.tiny_model import make_catalog, make_histories
from tests.world import FixedScores, hashed_scores, small_world
from userllm.config import OptimizerSettings, TransformerSettings, UserLLMSettings
from userllm.encoder.user_encoder import UserEncoder
from userllm.model import UserLLM
from userllm.stages import Tuning
from userllm.training.loop import Stage, run_stage

Result = dict[str, Any]


class Heard:
    """Keeps the running losses and what is noted."""

    def __init__(self) -> None:
        self.losses: list[float | None] = []
        self.notes: list[str] = []

    def stage(self, name: str, total_epochs: float | None = None) -> None: ...

    def update(self, epoch: float, loss: float | None = None, value: float | None = None) -> None:
        self.losses.append(loss)

    def note(self, text: str) -> None:
        self.notes.append(text)


class Numbered(nn.Module):
    """Learns from rows that carry a number, and remembers whom it met."""

    def __init__(self, stop_at: int = -1) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Linear(3, 6), nn.Tanh(), nn.Linear(6, 1))
        self.met: list[int] = []
        self.stop_at = stop_at

    def drawn(self, batch: Tensor) -> Tensor:
        self.stop_at -= 1
        if self.stop_at == -1:
            raise KeyboardInterrupt
        return torch.cat([batch, torch.rand(len(batch), 1)], dim=1)

    def targets(self, batch: Tensor) -> int:
        return int((batch[:, 1] > -1).sum())  # not every row is a target

    def training_loss(self, batch: Tensor) -> Tensor:
        batch = batch if batch.shape[1] == 5 else self.drawn(batch)
        if self.targets(batch):
            self.met += batch[:, 0].int().tolist()
        features, real = batch[:, 1:4], (batch[:, 1] > -1)
        error = (self.body(features)[:, 0] - features.sum(1) - batch[:, 4]).square()
        return error[real].sum() / real.sum().clamp(min=1)


def numbered(out: Path, stop_at: int = -1) -> Result:
    """Batches of 5 rows, two a step, with looks; `stop_at` is the batch at which it stops."""
    learner, heard = Numbered(stop_at), Heard()
    generator = torch.Generator().manual_seed(3)
    rows = torch.cat([torch.arange(100.0)[:, None], torch.randn(100, 3, generator=generator)], 1)
    stage = Stage(
        name="numbered",
        batches=iter(rows.split(5)),
        steps=9,
        steps_per_epoch=9,
        targets_per_step=10,
        optimizer=OptimizerSettings(learning_rate=0.05, accumulate=2),
        validate=lambda: -(float(learner.body[2].bias.detach()) ** 2),
        looks=3,
        checkpoint=out / "numbered.pt",
    )
    torch.manual_seed(1)
    interrupted = False
    try:
        report = run_stage(learner, stage, heard)
    except KeyboardInterrupt:
        interrupted = True
    return {
        "interrupted": interrupted,
        "losses": heard.losses,
        "notes": heard.notes,
        "met": learner.met,
        "curve": [] if interrupted else [point.value for point in report.curve],
        "weights": [w.flatten().tolist() for w in learner.state_dict().values()],
    }


def language_model() -> Any:
    """The tiny one of the fixtures, without pytest."""
    from tests import tiny_model

    return tiny_model.llm.__wrapped__()  # type: ignore[attr-defined]


def tuned(out: Path, name: str) -> Result:
    """USER-LLM on windows of the tiny catalogue, with a look and the best weights put back."""
    from tests import tiny_model

    schema = tiny_model.schema.__wrapped__()  # type: ignore[attr-defined]
    torch.manual_seed(2)
    encoder = UserEncoder(schema, TransformerSettings(width=16, heads=2, dropout=0.0), 6).eval()
    settings = UserLLMSettings.model_validate({"fusion": {"heads": 2}, "lora_rank": 2})
    torch.manual_seed(5)
    model = UserLLM(encoder, language_model(), settings, make_catalog())
    heard, windows = Heard(), [make_histories([6, 3, 5, 2, 4], seed=n) for n in range(8)]
    looks = iter([1.0, 3.0, 2.0, 0.0])

    def look() -> float:
        # More questions in one process than in the other.
        for _ in range(1 + ranks.spread().rank):
            with torch.no_grad():
                model.read_histories(make_histories([3, 4]))
                model.llm.model(input_ids=torch.tensor([[1, 2, 3]]))
        return next(looks)

    losses = []
    for part in range(2):  # two stages around the same model, as alignment and tuning are
        stage = Stage(
            name=f"tune{part}",
            batches=itertools.cycle(windows),
            steps=4,
            steps_per_epoch=4,
            targets_per_step=8,
            optimizer=OptimizerSettings(learning_rate=1e-2, accumulate=2),
            validate=look if part else None,
            looks=4,
            checkpoint=out / f"{name}{part}.pt",
            save_every_seconds=0,
        )
        torch.manual_seed(1)
        run_stage(Tuning(model, 3), stage, heard)
        losses += heard.losses
    weights = model.state_dict().values()
    return {"losses": losses, "norms": [float(w.double().norm()) for w in weights if w.ndim]}


def asked() -> Result:
    """Every test user of the small world, 80 but for those left out, in batches of 7."""
    split = split_last(small_world())
    users = split.test.only(np.arange(53))
    task = NextItem(NextItemSettings(batch_size=7, bootstrap_samples=100))
    met: list[int] = []

    def scores(histories: Any) -> Tensor:
        met.extend(histories.features["item"].sum(dim=1).tolist())
        return hashed_scores(histories)

    evaluation = task.judge(
        task._ask(FixedScores(scores), users, "exclude"), users, split, small_world()
    )
    return {
        "questions": len(met),
        "users": evaluation.examples["user"].to_list(),
        "ranked": evaluation.examples["ranked"].to_list(),
        "metrics": evaluation.metrics,
    }


TEXTS = ["", "七人の侍", "a b", "x" * 400, "ü", "", "end"]


def written() -> Result:
    """Texts of seven users, three of whom stay together; and what fails in one process alone."""
    rows = own_rows(len(TEXTS), 3)

    def fail() -> dict[str, np.ndarray]:
        if ranks.spread().rank == ranks.spread().size - 1:
            raise ValueError("no answer")
        return {"answers": np.zeros(2)}

    try:
        from_all(fail)
        failure = ""
    except (RunError, ValueError) as error:
        failure = f"{type(error).__name__}: {error}"
    own = TEXTS[rows.start : rows.stop]
    return {"own": own, "texts": texts_from_all(lambda: own), "failure": failure}


def main(out: Path) -> None:
    """Does all of it and writes `<rank>.json`."""
    torch.set_num_threads(1)
    size, rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
    own = out / str(size)
    own.mkdir(parents=True, exist_ok=True)
    port = int(os.environ.get("MASTER_PORT", "0"))
    ranks.join(Spread(rank, size, rank, size), port=port)
    whole = out / f"whole{size}"
    results = {
        "whole": numbered(whole),
        "broken": numbered(own, stop_at=7),
        "resumed": numbered(own),
        "asked": asked(),
        "written": written(),
        "tuned": tuned(own, "ddp"),
    }
    if size > 1:
        ranks.join(Spread(rank, size, rank, size, "fsdp"))
        results["sharded"] = tuned(own, "fsdp")
    (own / f"{rank}.json").write_text(json.dumps(results))
    ranks.agreed(None)
    ranks.leave()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
