"""Two processes of one group compute what one process does."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.processes import run_two
from tests.userllm import several

STEPS, ROWS = 9, 5


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("alone")
    several.main(folder)
    return json.loads((folder / "1" / "0.json").read_text())


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("both")
    run_two("tests.userllm.several", str(folder))
    assert {path.name for path in (folder / "2").iterdir()} == {
        "0.json", "1.json", "numbered.pt",
        *(f"{kind}{part}.pt" for kind in ("ddp", "fsdp") for part in range(2)),
    }  # fmt: skip
    return [json.loads((folder / "2" / f"{rank}.json").read_text()) for rank in range(2)]


def close(found: Any, right: Any, within: float = 1e-4) -> None:
    for own, other in zip(found, right, strict=True):
        assert own == pytest.approx(other, rel=within, abs=1e-6)


def test_losses_looks_and_weights_are_those_of_one_process(alone, both) -> None:
    for own in both:
        close(own["whole"]["losses"], alone["whole"]["losses"])
        close(own["whole"]["curve"], alone["whole"]["curve"])
        close(own["whole"]["weights"], alone["whole"]["weights"])
    assert len(set(alone["whole"]["losses"])) == STEPS


def test_each_row_is_met_once(alone, both) -> None:
    met = [own["whole"]["met"] for own in both]
    assert sorted(met[0] + met[1]) == sorted(alone["whole"]["met"]) == list(range(90))
    assert [len(own) for own in met] == [2 * 2 * STEPS, 3 * 2 * STEPS]


def test_what_was_interrupted_goes_on_in_both(alone, both) -> None:
    for own in (alone, *both):
        assert own["broken"]["interrupted"]
        assert not own["resumed"]["interrupted"]
        assert own["resumed"]["notes"] == ["numbered goes on from step 3 of 9"]
        losses = own["broken"]["losses"] + own["resumed"]["losses"]
        close(losses, alone["whole"]["losses"])
        close(own["resumed"]["weights"], alone["whole"]["weights"])


@pytest.mark.parametrize("kind", ["tuned", "sharded"])
def test_a_language_model_learns_the_same(kind: str, alone, both) -> None:
    for name in ("losses", "norms"):
        close(both[0][kind][name], both[1][kind][name], within=1e-6)
        close(both[0][kind][name], alone["tuned"][name], within=1e-3)
        assert len(set(both[0][kind][name])) > 1


def test_users_are_asked_once_and_answers_put_together(alone, both) -> None:
    assert alone["asked"]["questions"] == 53
    assert sorted(own["asked"]["questions"] for own in both) == [26, 27]
    for own in both:
        assert own["asked"]["users"] == alone["asked"]["users"]
        assert own["asked"]["ranked"] == alone["asked"]["ranked"]
        assert own["asked"]["metrics"] == alone["asked"]["metrics"]
    assert len(set(alone["asked"]["users"])) == 53


def test_texts_are_put_together_and_a_failure_of_one_is_told_to_all(alone, both) -> None:
    assert alone["written"]["texts"] == several.TEXTS
    assert [own["written"]["own"] for own in both] == [several.TEXTS[:3], several.TEXTS[3:]]
    assert all(own["written"]["texts"] == several.TEXTS for own in both)
    told = [own["written"]["failure"] for own in (alone, *both)]
    assert told == ["ValueError: no answer", "RunError: ValueError: no answer", told[0]]
