"""Items and histories as a user of the library has them, and a tiny model around them."""

from __future__ import annotations

from typing import Any

from userllm import UserEncoderSettings, UserLLM, UserLLMSettings, build_catalog, infer_schema

ITEMS: dict[str, Any] = {
    "m1": {"title": "Alien", "genres": ["Horror", "Sci-Fi"], "year": 1979},
    "m2": {"title": "Aliens", "genres": ["Action", "Sci-Fi"], "year": 1986},
    "m3": {"title": "Heat", "genres": ["Crime"], "year": 1995},
    "m4": {"title": "Amélie", "genres": []},
    "m5": {"title": "Star Wars", "genres": ["Sci-Fi"], "year": 1977},
    "m6": "Star Trek",
}
HISTORIES: list[list[Any]] = [
    [{"item": "m1", "rating": 5, "timestamp": 10}, {"item": "m2", "rating": 4, "timestamp": 90}],
    ["m3", "m4", "m5"],
    [{"item": "m6", "rating": 10}, "m1", {"item": "m3", "rating": 5}],
    ["m2"],
]
ENCODER = UserEncoderSettings.model_validate(
    {
        "transformer": {"width": 8, "layers": 1, "heads": 2, "dropout": 0.1},
        "fit": {"history": 4, "batch_size": 4, "epochs": 2},
    }
)


def tiny_settings(**changes: Any) -> UserLLMSettings:
    fields: dict[str, Any] = {
        "fusion": {"heads": 2, "kind": changes.pop("kind", "cross_attention")},
        "align": {"steps": 2, "batch_size": 4},
        "tune": {"targets": 12, "windows": 2, "targets_per_window": 2},
        "lora_rank": 2,
        "query": "Next:",
    }
    return UserLLMSettings.model_validate(fields | changes)


def tiny_user_llm(llm: Any, encoder: Any = ENCODER, **changes: Any) -> UserLLM:
    schema = infer_schema(ITEMS, HISTORIES)
    catalog = build_catalog(ITEMS, schema)
    settings = tiny_settings(**changes)
    return UserLLM.build(
        llm.model, llm.tokenizer, schema, catalog=catalog, settings=settings, encoder=encoder
    )
