from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from benchmark.errors import UserError
from userllm.llm.masks import layer_windows


def config(**fields: Any) -> Any:
    return SimpleNamespace(model_type="some", **fields)


def test_windows_are_found_in_the_configuration() -> None:
    both = ["full_attention", "sliding_attention"]
    assert layer_windows(config()) == {}
    assert layer_windows(config(sliding_window=4)) == {"": 4}
    assert layer_windows(config(sliding_window=4, layer_types=["full_attention"])) == {}
    found = layer_windows(config(sliding_window=4, layer_types=both))
    assert found == {"full_attention": None, "sliding_attention": 4}


@pytest.mark.parametrize(
    "fields",
    [
        {"layer_types": ["full_attention", "linear_attention"]},
        {"layer_types": ["chunked_attention"], "sliding_window": None},
        {"attention_layers": ["global", "local"]},
    ],
)
def test_layers_that_no_tree_can_be_read_with_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="some has layers of an unsupported kind"):
        layer_windows(config(**fields))
