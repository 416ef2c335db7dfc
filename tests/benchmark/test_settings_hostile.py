"""YAML and templates that are made to fill memory or to break a parser, as a fuzzer found them."""

from __future__ import annotations

import time

import pytest

from benchmark.config import read_config
from benchmark.errors import UserError
from benchmark.reporting.template import render_template
from benchmark.settings import parse_yaml
from tests.fakes import make_tables

BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
MERGED = "a: &a {x: 1, y: 2}\n" + "".join(
    f"{name}: &{name} {{<<: [{', '.join([f'*{before}'] * 10)}]}}\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (BOMB, "too many values"),
        (MERGED, "too many values"),
        ("a: &a [1, *a]", "too many values"),
        ("&a {? *a : 1}", "too many values"),
        ("a: " + "[" * 100_000, "more than 50 levels deep"),
        ("- " * 100_000, "more than 50 levels deep"),
        ('{"a":' * 100_000, "more than 50 levels deep"),
        ("a: 2001-99-99", "month must be"),
        ("!!timestamp a: 1", "a value cannot be read"),
        ("!!int b: 1", "invalid literal"),
        ("!!map a", "cannot be read"),
        ("a: !!set [1]", "not valid YAML"),
        ("? [a]\n: 1", "not valid YAML"),
        ("? {a: 1}\n: 1", "not valid YAML"),
        ("a: 0b_", "invalid literal"),
        ("a: !!binary é", "not valid YAML"),
        ("a: " + "9" * 5000, "not valid YAML"),
        ("a: 1\n---\nb: 2", "not valid YAML"),
        ("a: \x00", "not valid YAML"),
        ("a: !!python/name:os.system", "not valid YAML"),
    ],
)
def test_it_is_refused_in_one_line_and_at_once(text: str, problem: str) -> None:
    before = time.process_time()
    with pytest.raises(UserError, match=problem) as caught:
        parse_yaml(text, "file")
    assert time.process_time() - before < 10
    assert str(caught.value).startswith("file")
    assert "\n" not in str(caught.value)


def test_aliases_of_a_few_values_are_read() -> None:
    text = "a: &a {x: [1, 2]}\nb: *a\nc: {<<: *a, y: 3}\n"
    both = {"x": [1, 2]}
    assert parse_yaml(text, "file") == {"a": both, "b": both, "c": {**both, "y": 3}}


@pytest.mark.parametrize("key", ["task", "methods", "seeds"])
@pytest.mark.parametrize("value", ["[[a]]", "[{a: 1}]"])
def test_lists_of_lists_are_no_names(tmp_path, key: str, value: str) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("".join({"task": "task: next_item\n", key: f"{key}: {value}\n"}.values()))
    with pytest.raises(UserError, match=f"--{key}: names or numbers are needed"):
        read_config(path, {"dataset": "world"}, make_tables())


@pytest.mark.parametrize("text", ["{{ " + "(" * 100_000, "{{ " + "-" * 100_000 + "a }}"])
def test_an_expression_of_a_template_without_end(text: str) -> None:
    with pytest.raises(UserError, match="template"):
        render_template(text, "template", {"a": 1})
