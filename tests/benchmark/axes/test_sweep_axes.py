"""Axes of a sweep: which there are, what they set, and what is refused."""

from __future__ import annotations

import pytest

from benchmark.axes.sweep_axes import SEQ_LEN, NumberAxis, expand, length_setting, read_axes
from benchmark.config import Layers, read_config, read_layers
from benchmark.errors import UserError
from benchmark.tables import default_tables

METHODS = ("user_llm", "text_prompt", "text_prompt_titles", "sasrec", "popularity")


def layers_of(*sets: str, methods: tuple[str, ...] = METHODS) -> Layers:
    options = {"task": "next_item", "methods": list(methods), "set": list(sets)}
    tables = default_tables()
    return read_layers(read_config(None, options, tables), tables)


def axes_of(names: list[str], values: list[str], *sets: str) -> tuple[NumberAxis, ...]:
    return read_axes(names, values, METHODS, default_tables(), layers_of(*sets))


@pytest.mark.parametrize(
    ("method", "setting"),
    [
        ("user_llm", "user_encoder.fit.history"),
        ("text_prompt", "text_prompt.items"),
        ("text_prompt_titles", "text_prompt.items"),
        ("sasrec", "sasrec.fit.history"),
        ("popularity", ""),
    ],
)
def test_the_length_of_a_history_is_each_methods_own_setting(method: str, setting: str) -> None:
    assert length_setting(method, default_tables(), layers_of()) == setting


def test_with_another_encoder_the_length_is_that_encoders() -> None:
    layers = layers_of("user_llm.encoder=dual_encoder")
    assert length_setting("user_llm", default_tables(), layers) == "dual_encoder.fit.history"


def test_every_method_stands_at_every_place() -> None:
    axes = axes_of([SEQ_LEN, "user_llm.projector.latents"], ["5,20", "0,4,16"])
    variants = expand(axes, METHODS, default_tables(), layers_of())
    assert len(variants) == 2 * 3 * len(METHODS)
    assert {tuple(v.axes.items()) for v in variants} == {
        ((SEQ_LEN, length), ("user_llm.projector.latents", latents))
        for length in (5, 20)
        for latents in (0, 4, 16)
    }
    for variant in variants:
        length = variant.axes[SEQ_LEN]
        if variant.method == "user_llm":
            assert variant.settings == {
                "user_encoder": {"fit": {"history": length, "batch_size": 3200 // length}},
                "user_llm": {"projector": {"latents": variant.axes["user_llm.projector.latents"]}},
            }
        if variant.method == "text_prompt":
            assert variant.settings == {"text_prompt": {"items": length}}
        if variant.method == "popularity":
            assert variant.settings == {}


@pytest.mark.parametrize(("length", "windows"), [(50, 64), (200, 16), (10, 320), (9000, 1)])
def test_a_batch_holds_as_many_events_at_every_length(length: int, windows: int) -> None:
    layers = layers_of("sasrec.fit.batch_size=64", "sasrec.fit.history=50")
    axis = NumberAxis(SEQ_LEN, (length,))
    settings = axis.settings("sasrec", length, default_tables(), layers)
    assert settings == {"sasrec": {"fit": {"history": length, "batch_size": windows}}}


def test_a_row_that_fixes_a_setting_is_not_moved_by_its_axis() -> None:
    axis = NumberAxis("text_prompt.items", (5,))
    tables, layers = default_tables(), layers_of(methods=("text_prompt",))
    assert axis.settings("text_prompt", 5, tables, layers)
    assert not axis.settings("no_history", 5, tables, layers)


@pytest.mark.parametrize(
    ("names", "values", "said"),
    [
        ([], [], "which axis"),
        ([SEQ_LEN], [], "given 0 times for 1 axis: each needs its own"),
        ([SEQ_LEN, SEQ_LEN], ["1", "2"], "given twice"),
        (["seq_length"], ["5"], SEQ_LEN),
        (["user_llm.projector.latent"], ["5"], "user_llm.projector.latents"),
        (["user_llm.tune"], ["5"], "a setting of the sweep's methods that is a number"),
        (["user_llm.strategy"], ["5"], "is no number.*ablate --axis strategy varies it"),
        (["user_llm.fusion.kind"], ["5"], "is no number.*ablate --axis fusion varies it"),
        (["user_llm.query"], ["5"], "is no number, and a sweep varies numbers"),
        (["recbole.fit.epochs"], ["5"], "unknown axis"),
        ([SEQ_LEN], ["0"], "1 or more"),
        ([SEQ_LEN], ["2.5"], "1 or more"),
        ([SEQ_LEN], ["five"], "no number"),
        ([SEQ_LEN], [" , "], "empty"),
        ([SEQ_LEN, "user_llm.beams", "user_llm.fusion.every"], ["1", "2", "3"], "2 times at most"),
    ],
)
def test_what_is_no_axis_is_one_line(names: list[str], values: list[str], said: str) -> None:
    with pytest.raises(UserError, match=said) as caught:
        axes_of(names, values)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_values_out_of_range_are_found_before_anything_runs() -> None:
    axes = axes_of(["user_encoder.transformer.heads"], ["3"])
    with pytest.raises(UserError, match="heads=3 must divide"):
        expand(axes, METHODS, default_tables(), layers_of())
