"""Commands under "What is missing" can be typed as they stand."""

from __future__ import annotations

import shlex

import pytest

from benchmark.config import chosen_methods, read_config, read_layers
from benchmark.evidence.plan import plan_of
from benchmark.records import results
from benchmark.reporting.claims_config import read_study
from benchmark.reporting.contests import contests_of
from benchmark.reporting.facts_missing import Known, missing_of
from benchmark.reporting.facts_seeds import FEW_USERS, missing_seeds
from benchmark.reporting.reading import read_rows
from benchmark.tables import default_tables
from tests.benchmark.reporting.runs import write_comparison, write_run
from tests.records import make_record

TABLES = default_tables()
PLAN = plan_of(TABLES)


def contests(folder):
    rows, _ = read_rows([folder])
    return contests_of(rows, PLAN, TABLES)


def missing(folder):
    return missing_of(Known(contests(folder), (), ()), PLAN, read_study(), TABLES)


def parsed(command):
    """What `run` makes of a command, its names checked."""
    words = iter(shlex.split(command)[2:])
    options: dict[str, object] = {"set": []}
    for word in words:
        if word == "--multi-task":
            options["multi_task"] = True
        elif word == "--set":
            options["set"].append(next(words))
        else:
            options[word.removeprefix("--")] = next(words)
    config = read_config(None, options, TABLES)
    return config, read_layers(config, TABLES)


def test_commands_can_be_read_and_name_data_that_are_there(tmp_path) -> None:
    write_comparison(tmp_path)
    found = missing(tmp_path)
    commands = [part for own in found for part in own.command.split(" && ")]
    assert not any("*" in command for command in commands)
    runs = [command for command in commands if command.startswith("userllm-bench run ")]
    assert len(runs) > 5
    for command in runs:
        parsed(command)
    amazon = next(own for own in found if "Amazon" in own.what).command
    assert amazon.startswith("userllm-bench data download amazon-2014/Musical_Instruments && ")


def test_a_command_asks_what_the_comparison_asked(tmp_path) -> None:
    record = make_record("x")
    changes = {
        "preset": "full",
        "llm": {"name": "org/model"},
        "protocol": record.protocol.model_copy(
            update={
                "split": "global_time", "seen": "include",
                "split_settings": {**PLAN.split_settings["global_time"], "test_share": 0.8},
            }
        ),
        "task": record.task.model_copy(update={"changes": {"users": 100}}),
    }  # fmt: skip
    write_run(tmp_path, "user_llm", 0.4, **changes, method_changes={"strategy": "lora"})
    (contest,) = contests(tmp_path)
    lacking = next(own for own in missing(tmp_path) if own.where == contest.title)
    (seeds,) = missing_seeds([contest], PLAN)
    for own in (lacking, seeds):
        config, layers = parsed(own.command)
        assert (config.preset, config.split, config.seen) == ("full", "global_time", "include")
        assert config.llm == "org/model"
        assert layers.changes(TABLES, "next_item") == {"users": 100}
        assert layers.changes(TABLES, "global_time") == {"test_share": 0.8}
    config, layers = parsed(seeds.command)
    assert (config.methods, config.seeds) == (("user_llm",), (0, 1, 2, 3, 4))
    assert layers.changes(TABLES, "user_llm") == {"strategy": "lora"}
    assert "user_llm" not in chosen_methods(parsed(lacking.command)[0], TABLES)


@pytest.mark.parametrize(("users", "seeds", "told"), [
    (FEW_USERS - 1, 4, "5 seeds of popularity, sasrec, user_llm (there: 4)"),
    (FEW_USERS - 1, 5, ""),
    (FEW_USERS, 1, "2 seeds of popularity, sasrec, user_llm (there: 1)"),
    (FEW_USERS, 2, ""),
])  # fmt: skip
def test_small_data_need_five_seeds_and_others_two(tmp_path, users, seeds, told) -> None:
    dataset = results.DatasetFacts(
        name="ml-100k", fingerprint="f", target_hash="t", facts={"users": users}
    )
    write_comparison(tmp_path, tuple(range(seeds)), dataset=dataset)
    assert [own.what for own in missing_seeds(contests(tmp_path), PLAN)] == ([told] if told else [])


def test_trials_and_imported_rows_lack_no_seed(tmp_path) -> None:
    write_comparison(tmp_path / "a", (0,), preset="smoke")
    write_run(tmp_path / "b", "theirs", 0.4, imported={"name": "a"})
    assert list(missing_seeds(contests(tmp_path), PLAN)) == []


def test_settings_of_a_method_that_differ_are_commands_of_their_own(tmp_path) -> None:
    encoder = results.Component(name="user_encoder")
    for number, changes in enumerate(({"strategy": "lora"}, {"user_encoder.auxiliary": 0.5})):
        write_run(
            tmp_path, "user_llm", 0.4, method_changes=changes, encoder=encoder,
            config_hash=f"{number}" * 64,
        )  # fmt: skip
    protocol = make_record("x").protocol.model_copy(
        update={"fitted_for": ("next_item", "favorite_genre")}
    )
    write_run(tmp_path, "user_llm", 0.4, protocol=protocol, config_hash="d" * 64)
    found = [parsed(own.command) for own in missing_seeds(contests(tmp_path), PLAN)]
    sets = [set(config.assignments) for config, _ in found]
    assert {"user_llm.strategy=lora"} in sets
    assert {"user_encoder.auxiliary=0.5"} in sets
    (both,) = (config for config, _ in found if config.multi_task)
    assert both.task == ("next_item", "favorite_genre")
