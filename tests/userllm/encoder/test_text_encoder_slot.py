"""Item text through the harness: as a method, in the encoder slot, saved and read again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from benchmark.cli import main
from tests.userllm.own_rows import HISTORIES, tiny_user_llm
from userllm import UserEncoderSettings, UserLLM
from userllm.encoder.user_encoder import UserEncoder

READS = UserEncoderSettings.model_validate(
    {
        "transformer": {"width": 8, "layers": 1, "heads": 2, "dropout": 0.1},
        "fit": {"history": 4, "batch_size": 4, "epochs": 2},
        "item_text": True,
        "text": {"components": 5},
    }
)


def test_cold_items_through_the_command_line(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("USERLLM_BENCH_HOME", str(tmp_path / "home"))
    arguments = [
        "run", "--task", "next_item", "--dataset", "synthetic", "--split", "cold_items",
        "--methods", "user_encoder,user_llm", "--preset", "smoke", "--out", str(tmp_path / "out"),
        "--set", "user_encoder.item_text=true",
        "--set", "user_encoder.text.language_model.epochs=1",
    ]  # fmt: skip
    assert main(arguments) == 0
    records = [json.loads(path.read_text()) for path in (tmp_path / "out").glob("*/*.json")]
    stages = {
        record["method"]["name"]: [stage["name"] for stage in record["fit"]["stages"]]
        for record in records
    }
    assert stages["user_encoder"] == ["language_model", "item_text", "encoder"]
    assert stages["user_llm"][:3] == ["language_model", "item_text", "encoder"]
    assert all("recall@10/cold" in str(record) for record in records)


def test_the_library_builds_fits_saves_and_reads_it(llm, tmp_path: Path) -> None:
    model = tiny_user_llm(llm, encoder=READS)
    assert isinstance(model.encoder, UserEncoder)
    text = model.encoder.text
    assert text is not None
    assert text.vectors.shape[1] == 5
    assert text.vectors[1:].any(dim=1).all()
    model.fit(HISTORIES)
    assert text.met.sum() == 6
    before = model.rank(HISTORIES, k=6)
    model.save_pretrained(tmp_path / "saved")
    loaded = UserLLM.from_pretrained(tmp_path / "saved")
    assert loaded.rank(HISTORIES, k=6) == before
    assert loaded.encoder_settings == READS
    for name, value in model.encoder.state_dict().items():
        assert torch.equal(value, loaded.encoder.state_dict()[name]), name


LOSSES = {"trie": {"encoder_targets": 0.5}, "item_head": {}, "token": {"decoding": "free"}}


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_can_be_tuned_with_items_nobody_has_met(llm, loss: str) -> None:
    model = tiny_user_llm(llm, encoder=READS, loss=loss, **LOSSES[loss])
    model.fit([[event for event in history if event != "m4"] for history in HISTORIES])
    assert isinstance(model.encoder, UserEncoder)
    assert not model.encoder.embedding.weight("item")[4].any()
    assert all(weight.isfinite().all() for weight in model.parameters())
