"""A search as optuna keeps it: the same again, resumed, and refused where it is another."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from benchmark.errors import UserError
from benchmark.tuning.space import Dimension, Space
from benchmark.tuning.study import Attempt, Study

SPACE = Space(
    {
        "rate": Dimension(low=1e-4, high=1e-1, log=True),
        "layers": Dimension(low=1, high=8),
        "kind": Dimension(choices=("a", "b", "c")),
    },
    {"rate": 0.01, "layers": 2, "kind": "a"},
)
FACTS = {"preset": "quick", "data": "f" * 64, "space": {"a": [1, 2]}}


def open_study(path, space=SPACE, facts=FACTS, seed=0):
    return Study(path / "one.journal", space, facts, seed)


def value_of(settings):
    return {"a": 0.0, "b": 0.2, "c": 0.1}[settings["kind"]] - 0.01 * settings["layers"]


def go_on(study, trials, fails=()):
    """Tries until there are so many trials."""
    while len(study.attempts()) < trials:
        suggestion = study.suggest()
        failed = suggestion.number in fails
        study.add(
            suggestion,
            Attempt(
                suggestion.number,
                "failed" if failed else "finished",
                None if failed else value_of(suggestion.settings),
                1.5,
                suggestion.settings,
                reason="it broke" if failed else "",
            ),
        )
    return study.attempts()


def test_the_first_trial_is_as_it_is_and_the_others_are_drawn_from_the_space(tmp_path):
    attempts = go_on(open_study(tmp_path), 14)
    assert [own.number for own in attempts] == list(range(14))
    assert attempts[0].settings == SPACE.as_is
    for own in attempts:
        assert all(SPACE.dimensions[name].holds(v) for name, v in own.settings.items())
    assert len({str(own.settings) for own in attempts}) > 10


def test_the_same_seed_tries_the_same_and_another_does_not(tmp_path):
    first, second, other = (tmp_path / name for name in ("first", "second", "other"))
    assert go_on(open_study(first), 13) == go_on(open_study(second), 13)
    assert go_on(open_study(other, seed=1), 13)[1:] != go_on(open_study(first), 13)[1:]


def test_a_search_that_is_opened_again_before_every_trial_tries_the_same(tmp_path):
    for trials in range(1, 15):
        resumed = go_on(open_study(tmp_path / "resumed"), trials, fails=(3, 12))
    assert resumed == go_on(open_study(tmp_path / "whole"), 14, fails=(3, 12))


def test_a_suggestion_that_came_to_nothing_is_made_again(tmp_path):
    study = open_study(tmp_path)
    go_on(study, 4)
    lost = study.suggest()
    assert open_study(tmp_path).suggest() == lost
    assert len(open_study(tmp_path).attempts()) == 4


def test_what_was_found_guides_what_is_tried(tmp_path):
    late = go_on(open_study(tmp_path), 40)[25:]
    assert sum(own.settings["kind"] == "b" for own in late) > len(late) / 2


def test_a_failed_trial_is_kept_with_its_reason_and_is_never_the_best(tmp_path):
    study = open_study(tmp_path)
    attempts = go_on(study, 3, fails=(0, 2))
    assert [own.state for own in attempts] == ["failed", "finished", "failed"]
    assert attempts[0].to_json()["reason"] == "it broke"
    assert "value" not in attempts[0].to_json()
    assert study.best() == attempts[1]
    assert open_study(tmp_path / "all").best() is None


def test_of_equal_values_the_earliest_is_the_best(tmp_path):
    study = open_study(tmp_path)
    for value in (0.1, 0.3, 0.3):
        suggestion = study.suggest()
        study.add(
            suggestion, Attempt(suggestion.number, "finished", value, 1.0, suggestion.settings)
        )
    assert study.best().number == 1


def test_settings_as_they_are_may_lie_outside_of_the_space(tmp_path):
    space = Space(SPACE.dimensions, {"rate": 3.0, "layers": 2, "kind": "z"})
    attempts = go_on(
        open_study(tmp_path, space),
        1,
        fails=(0,),
    )
    assert attempts[0].settings == space.as_is
    assert open_study(tmp_path, space).suggest().number == 1


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"preset": "full"}, "preset (quick, now full)"),
        ({"data": "e" * 64}, "data;"),
        ({"space": {"a": [1, 3]}}, "space;"),
        ({"preset": "full", "data": ""}, "preset (quick, now full), data"),
    ],
)
def test_a_search_that_was_begun_otherwise_says_what_differs(tmp_path, changed, said):
    go_on(open_study(tmp_path), 2)
    with pytest.raises(UserError) as caught:
        open_study(tmp_path, facts={**FACTS, **changed})
    assert said in str(caught.value)
    assert "--force" in str(caught.value)
    assert len(open_study(tmp_path).attempts()) == 2


@pytest.mark.parametrize("left", [1, 40, -1, -40])
def test_a_half_written_line_costs_the_trial_that_it_was_about(tmp_path, left):
    """Whether the first bytes of the line are there or all but the last ones."""
    whole = go_on(open_study(tmp_path / "whole"), 4)
    path = tmp_path / "one.journal"
    go_on(open_study(tmp_path), 2)
    two = path.read_bytes()
    go_on(open_study(tmp_path), 3)
    line = path.read_bytes()[len(two) :]
    path.write_bytes(two + line[:left])
    assert open_study(tmp_path).attempts() == whole[:2]
    assert go_on(open_study(tmp_path), 4) == whole
    assert open_study(tmp_path).attempts() == whole


@pytest.mark.parametrize("end", [b"\0" * 9, b"\0" * 9 + b"\n", b'{"op_code":\n'])
def test_a_last_line_that_is_no_json_is_cut(tmp_path, end):
    attempts = go_on(open_study(tmp_path), 2)
    path = tmp_path / "one.journal"
    path.write_bytes(path.read_bytes() + end)
    assert open_study(tmp_path).attempts() == attempts
    assert len(go_on(open_study(tmp_path), 3)) == 3


def test_a_journal_of_which_only_the_beginning_was_written_begins_anew(tmp_path):
    whole = go_on(open_study(tmp_path), 1)
    path = tmp_path / "one.journal"
    path.write_bytes(path.read_bytes()[:20])
    assert open_study(tmp_path).attempts() == []
    assert go_on(open_study(tmp_path), 1) == whole


def test_a_broken_journal_is_one_line(tmp_path):
    go_on(open_study(tmp_path), 1)
    path = tmp_path / "one.journal"
    path.write_text("no json\n" + path.read_text())
    with pytest.raises(UserError, match=r"is broken .*--force"):
        open_study(tmp_path)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"attempt"', '"atempt"'),
        ('"seconds"', '"secondnans"'),
        ('"seconds":1.5', '"seconds":"x"'),
        ('"op_code":4', '"op_code":99'),
        ('"intermediate_values":{}', '"intermediate_values":[]'),
        ('"state":"finished"', '"state":"else"'),
        ('"preset":"quick"', '"preset":3'),
    ],
)
def test_a_journal_that_makes_no_sense_is_told_in_one_line(tmp_path, old, new):
    go_on(open_study(tmp_path), 3)
    path = tmp_path / "one.journal"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(UserError, match=r"broken|begun with another") as caught:
        open_study(tmp_path).suggest()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("relative", [False, True])
def test_a_lock_that_a_killed_process_left_keeps_nobody_waiting(tmp_path, monkeypatch, relative):
    monkeypatch.chdir(tmp_path)
    path = Path("folder") if relative else tmp_path / "folder"
    path.mkdir()
    # As optuna's own lock does it: a link to the journal, which leads nowhere if that is relative.
    (path / "one.journal.lock").symlink_to(path / "one.journal")
    begun = time.monotonic()
    assert len(go_on(open_study(path), 2)) == 2
    assert time.monotonic() - begun < 25  # optuna's waits for 30 seconds, or for ever
