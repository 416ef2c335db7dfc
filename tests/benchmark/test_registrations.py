from __future__ import annotations

import pytest

from benchmark.config import read_config
from benchmark.errors import UserError
from benchmark.registrations import METHODS
from benchmark.tables import default_tables


def test_a_model_that_cannot_rank_is_refused_with_its_reason() -> None:
    options = {"task": ["next_item"], "methods": ["recbole/DIN"]}
    with pytest.raises(UserError, match=r"can do none of the tasks .* full_sort_predict"):
        read_config(None, options, default_tables())


def test_a_model_that_works_can_rank_and_one_that_does_not_says_why() -> None:
    models = [METHODS[name] for name in METHODS if name.startswith("recbole/")]
    assert any(model.capabilities for model in models)
    assert all(bool(model.capabilities) != bool(model.unavailable) for model in models)
