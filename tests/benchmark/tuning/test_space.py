"""Search spaces: those of the project, what is left out of them, and what is refused."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from benchmark.config import Layers, read_preset
from benchmark.errors import UserError
from benchmark.settings import build, flatten, nest
from benchmark.tables import default_tables
from benchmark.tuning.space import Dimension, read_space, tunable
from tests.benchmark.tuning.learner import noisy_tables

PROJECT = default_tables()
CASES = [
    (name, task)
    for name in tunable(PROJECT)
    for task in PROJECT.tasks
    if PROJECT.tasks[task].needs in PROJECT.methods[name].capabilities
    and (PROJECT.section(name) != "recbole" or name == "recbole/GRU4Rec")  # one of many alike
]


def layers_of(preset="quick", **sets):
    return Layers(read_preset(preset, PROJECT).settings, {}, sets)


# The project's own.


@pytest.mark.parametrize("preset", PROJECT.preset_names)
@pytest.mark.parametrize(("method", "task"), CASES)
def test_a_search_begins_inside_its_space_whatever_the_preset(method, task, preset):
    space = read_space(method, task, layers_of(preset), PROJECT)
    assert space.known == space.as_is
    assert set(space.as_is) == set(space.dimensions)


def test_every_method_that_learns_is_searched_as_widely_as_user_llm():
    for task in PROJECT.tasks:
        owners = [name for name, own in CASES if own == task and PROJECT.section(name) == name]
        sizes = {
            name: len(read_space(name, task, layers_of(), PROJECT).dimensions) for name in owners
        }
        assert "user_llm" in sizes
        assert len(set(sizes.values())) == 1, sizes
    with_learning = {"sasrec", "bert4rec", "dual_encoder", "user_encoder", "text_prompt"}
    assert with_learning <= {name for name, task in CASES if task == "next_item"}


def test_spaces_search_no_budget():
    budgets = {"epochs", "targets", "steps", "examples", "looks", "patience", "max_tokens"}
    for path in PROJECT.spaces.glob("*.yaml"):
        for name in yaml.safe_load(path.read_text()):
            assert name.rpartition(".")[2] not in budgets


def test_what_a_row_fixes_is_not_searched():
    whole = read_space("text_prompt", "favorite_genre", layers_of(), PROJECT)
    without = read_space("no_history", "favorite_genre", layers_of(), PROJECT)
    assert {*whole.dimensions} - {*without.dimensions} == {"items"}


def test_what_a_set_fixes_is_not_searched():
    layers = layers_of(sasrec={"transformer": {"width": 32, "layers": 1}})
    space = read_space("sasrec", "next_item", layers, PROJECT)
    assert not {"transformer.width", "transformer.layers"} & {*space.dimensions}
    assert "transformer.dropout" in space.dimensions


def test_a_task_is_searched_by_what_it_reads():
    for task, name in (("next_item", "tune.windows"), ("review_generation", "tune.batch_size")):
        names = [*read_space("user_llm", task, layers_of(), PROJECT).dimensions]
        assert [own for own in names if own in ("tune.windows", "tune.batch_size")] == [name]


def test_options_of_recbole_can_be_searched_though_the_settings_do_not_know_them(tmp_path):
    file = tmp_path / "gru.yaml"
    file.write_text("options.embedding_size: [32, 64]\nfit.batch_size: [128, 256]")
    space = read_space("recbole/GRU4Rec", "next_item", layers_of(), PROJECT, file)
    assert space.as_is == {"fit.batch_size": 256}
    assert space.changes({"fit.batch_size": 256, "options.embedding_size": 64}) == {
        "options.embedding_size": 64
    }


# What is refused.


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nois: [1, 2]", ["nois", "did you mean 'noisy.noise'?"]),
        ("noise: [1, -2]", ["noisy.noise", "greater than or equal to 0", "-2"]),
        ("noise: {low: -1, high: 2}", ["noisy.noise", "-1"]),
        ("rate: {low: 0.1, high: 1.5}", ["noisy.rate", "1.5"]),
        ("fusion.kind: [deep, wide]", ["noisy.fusion.kind", "'wide'"]),
        ("epochs: [a, b]", ["noisy.epochs", "'a'"]),
        ("noise: {low: 2, high: 1}", ["noise", "low 2 must be below high 1"]),
        ("noise: {low: 2}", ["noise", "needs low and high"]),
        ("noise: {low: 0, high: 1, log: true}", ["noise", "low above 0"]),
        ("noise: {low: 0, high: 1, step: 0.3}", ["noise", "steps of 0.3"]),
        ("noise: {low: 0, high: 1, steps: 2}", ["noise", "steps"]),
        ("noise: {choices: [1, 2], low: 1}", ["noise", "choices stand alone"]),
        ("noise: [1]", ["noise", "two choices"]),
        ("noise: [1, 1]", ["noise", "each once"]),
        ("noise: 3", ["noise", "a list of values or {low: 1, high: 4}"]),
        ("noise: {choices: [1, 2], tasks: [nex]}", ["noise", "unknown task 'nex'"]),
        ("noise: {choices: [1, 2], tasks: [writing]}", ["nothing is left to search for noisy"]),
        ("noise: [1, 2", ["line", "not valid YAML"]),
        ("[1, 2]", ["settings with a range or values are needed"]),
        ("", ["settings with a range or values are needed"]),
    ],
)
def test_a_broken_space_names_its_file_and_its_field(tmp_path, text, said):
    tables = noisy_tables(tmp_path / "spaces")
    file = tmp_path / "mine.yaml"
    file.write_text(text)
    with pytest.raises(UserError) as caught:
        read_space("noisy", "next_item", Layers({}, {}, {}), tables, file)
    for part in ["mine.yaml", *said]:
        assert part in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_a_file_that_is_not_there_and_a_method_without_a_space(tmp_path):
    tables = noisy_tables(tmp_path / "spaces")
    with pytest.raises(UserError, match=r"cannot read the search space .*none\.yaml"):
        read_space("noisy", "next_item", Layers({}, {}, {}), tables, tmp_path / "none.yaml")
    with pytest.raises(UserError, match=r"alpha has no search space.*noisy, noisy_flat, other"):
        read_space("alpha", "next_item", Layers({}, {}, {}), tables)


# What is drawn.


@given(
    low=st.floats(1e-6, 1.0), factor=st.floats(1.001, 1e4), place=st.floats(0, 1), log=st.booleans()
)
def test_a_number_is_shortened_and_stays_inside(low, factor, place, log):
    dimension = Dimension(low=low, high=low * factor, log=log)
    drawn = low + place * (low * factor - low)
    written = dimension.written(min(drawn, low * factor))
    assert dimension.holds(written)
    assert written == pytest.approx(drawn, rel=1e-3)


def test_whole_numbers_and_choices_are_drawn_as_they_are_written():
    from optuna.distributions import (
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )

    assert Dimension(low=1, high=4).distribution() == IntDistribution(1, 4)
    assert Dimension(low=1, high=4.0).distribution() == FloatDistribution(1, 4)
    assert Dimension(low=0.0, high=0.5, step=0.1).distribution() == FloatDistribution(
        0, 0.5, step=0.1
    )
    choices = Dimension(choices=(1, 2.5, "a", None, False))
    assert choices.distribution() == CategoricalDistribution((1, 2.5, "a", None, False))
    assert not choices.holds(True)
    assert not choices.holds(0)


def test_what_a_file_says_of_a_space_can_be_read_as_one(tmp_path):
    space = read_space("user_llm", "next_item", layers_of(), PROJECT)
    file = tmp_path / "again.yaml"
    file.write_text(yaml.safe_dump(space.to_json()))
    assert read_space("user_llm", "next_item", layers_of(), PROJECT, file) == space


@given(st.dictionaries(st.sampled_from(["a.b", "a.c", "d", "e.f.g"]), st.integers()))
def test_nesting_undoes_flattening(flat):
    assert flatten(nest(flat)) == flat


def test_every_value_of_the_shipped_spaces_is_one_that_settings_take_together():
    """Values are checked one by one; those of one method must also go together."""
    for method, task in CASES:
        space = read_space(method, task, layers_of(), PROJECT)
        for at in (0, -1):
            chosen = {name: own.extremes[at] for name, own in space.dimensions.items()}
            section = PROJECT.section(method)
            plain = layers_of(**{section: nest(chosen)}).resolve(PROJECT, method)
            whole = flatten(plain.model_dump(mode="json"))
            assert {name: whole[name] for name in chosen} == chosen
            build(PROJECT.settings_model(section), nest(chosen), section)
