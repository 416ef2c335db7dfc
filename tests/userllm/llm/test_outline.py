"""Language models without weights: all that come along, and every family."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
import torch

from benchmark.cost.llm_shapes import read_llm_config, shape_names
from benchmark.cost.memory import KeptBytes
from benchmark.cost.traced import traced_flops
from benchmark.errors import UserError
from benchmark.outlines import Work
from tests.userllm.families.checkpoints import FAMILIES, WINDOW, WINDOWED
from userllm.fusion import CrossAttentionFusion
from userllm.llm.from_shape import outline_llm, outline_tokenizer
from userllm.llm.outline import LlmOutline

PARAMETERS = {
    "llama-3.2-1b": 1_235_814_400, "gemma-3-1b": 999_885_952, "gemma-2-2b": 2_614_341_888,
    "qwen3-0.6b": 596_049_920, "gpt2": 124_439_808, "pythia-160m": 162_322_944,
}  # fmt: skip
"""As published."""


def flops(work: Work, causal: float = 0.5) -> float:
    return work.times * traced_flops(work.module, work.inputs, work.repeats, causal)


def family(name: str, **changes: Any) -> LlmOutline:
    import transformers

    prefix, settings = FAMILIES[name]
    config = getattr(transformers, f"{prefix}Config")(
        **{
            "vocab_size": 300,
            "pad_token_id": 0,
            "max_position_embeddings": 128,
            **settings,
            **changes,
        }
    )
    return outline_llm(config.to_dict(), None, name)


@pytest.fixture(scope="module")
def shipped() -> dict[str, LlmOutline]:
    return {n: outline_llm(read_llm_config(n).config, None, n) for n in shape_names()}


def test_every_shape_that_comes_along_has_as_many_parameters_as_published(
    shipped: dict[str, LlmOutline],
) -> None:
    assert set(shipped) == set(PARAMETERS)
    for name, llm in shipped.items():
        assert sum(weight.numel() for weight in llm.model.parameters()) == PARAMETERS[name], name
        assert {weight.device.type for weight in llm.parameters()} == {"meta"}


def test_reading_a_token_takes_every_matrix_of_the_layers(shipped: dict[str, LlmOutline]) -> None:
    for name, llm in shipped.items():
        weights = [own for own in llm.layers().parameters() if own.ndim == 2]
        matrices = sum(weight.numel() for weight in weights)
        assert flops(llm.work(1)) == pytest.approx(2 * matrices, rel=0.01), name


@pytest.mark.parametrize("name", ["gpt2", "opt_projected", "smollm3", "gemma3"])
def test_one_layer_of_each_kind_stands_for_all(name: str) -> None:
    changes: dict[str, Any] = {"n_layer" if name == "gpt2" else "num_hidden_layers": 4}
    changes |= {key: 2 * own for key, own in FAMILIES[name][1].items() if isinstance(own, list)}
    llm = family(name, **changes)
    with torch.device("meta"):
        fusion = CrossAttentionFusion(llm, 2, 2, 10)
    short = llm.work_with_user(9, fusion, 7, behind=2)
    whole = replace(llm._distinct(fusion.places), llm=llm, layers=(1,) * 4, fused=fusion.places)
    llm._shortened[fusion.places] = whole
    assert flops(short) == flops(llm.work_with_user(9, fusion, 7, behind=2))
    assert len(short.module.llm.layers()) < 4


@pytest.mark.parametrize("name", WINDOWED)
def test_a_layer_sees_no_more_than_its_window(name: str) -> None:
    llm, width = family(name), 4
    windows = [own.window for own in llm.seen]
    assert WINDOW in windows
    cfg = llm.model.config
    head = getattr(cfg, "head_dim", None) or cfg.hidden_size // cfg.num_attention_heads
    pair = 2 * 2 * cfg.num_attention_heads * head
    base = flops(llm.work(1)) - pair * 0.5 * len(windows)
    for tokens, behind in ((1, 50), (width + 16, 2)):
        pairs = 0.0
        for window in windows:
            limit = window or 10**9
            seen = [min(behind + place + 0.5, limit) for place in range(tokens)]
            pairs += sum(seen)
        assert flops(llm.work(tokens, behind=behind)) == pytest.approx(
            tokens * base + pair * pairs, rel=1e-6
        )


def test_keys_and_values_of_a_window_do_not_grow() -> None:
    llm = family("gemma2")
    per_layer = 2 * 2 * 1 * 8  # bytes, key and value, one head of 8
    assert [llm.kv_bytes(n) for n in (1, WINDOW, 100)] == [
        per_layer * 2, per_layer * 2 * WINDOW, per_layer * (WINDOW + 100)
    ]  # fmt: skip


@pytest.mark.parametrize("name", [name for name in FAMILIES if name not in WINDOWED])
def test_keys_and_values_take_what_a_real_cache_takes(name: str) -> None:
    from transformers import AutoModelForCausalLM

    llm = family(name)
    config = llm.model.config.__class__(**llm.model.config.to_dict())
    config._attn_implementation = "sdpa"
    model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16).eval()
    kept = KeptBytes()
    with torch.no_grad(), kept.watching(model):
        model(input_ids=torch.ones(1, 11, dtype=torch.long), use_cache=True)
    assert kept.last == llm.kv_bytes(11)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"model_type": "t5", "architectures": ["T5ForConditionalGeneration"]}, "is not a causal"),
        ({"model_type": "bert", "architectures": ["BertForMaskedLM"]}, "is not a causal"),
        ({"model_type": "bert", "num_hidden_layers": 2}, "bert is not a causal"),
        ({"model_type": "vit"}, "vit is not a causal"),
        ({"model_type": "nothing-like-it"}, "no model of the kind 'nothing-like-it'"),
        ({"model_type": "llama", "num_attention_heads": "many"}, "no llama follows from it"),
        ({"model_type": "mixtral", "num_hidden_layers": 2}, "experts of mixtral"),
        ({"model_type": "bloom", "n_layer": 2}, "the attention of bloom cannot be counted"),
        ({"model_type": "mamba", "num_hidden_layers": 2}, "unsupported kind"),
    ],
)
def test_what_is_no_causal_model_of_known_cost_is_refused_in_one_line(
    config: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message) as error:
        outline_llm(config, None, "some.json")
    assert "\n" not in str(error.value)


def test_a_tokenizer_is_read_from_a_file_or_a_folder(tmp_path, llm) -> None:
    llm.tokenizer.save_pretrained(tmp_path)
    for path in (tmp_path, tmp_path / "tokenizer.json"):
        read = outline_tokenizer(path)
        own = read.encode(" Star Trek: x", add_special_tokens=False)
        assert own == llm.tokenizer.encode(" Star Trek: x", add_special_tokens=False)
    (tmp_path / "broken.json").write_text("{}")
    for path in (tmp_path / "broken.json", tmp_path / "none", tmp_path.parent):
        with pytest.raises(UserError, match="--tokenizer"):
            outline_tokenizer(path)


def test_a_tokenizer_of_another_model_is_told_so(llm) -> None:
    small = {"model_type": "llama", "vocab_size": 50, "num_hidden_layers": 1}
    outline = outline_llm(json.loads(json.dumps(small)), llm.tokenizer, "small")
    with pytest.raises(UserError, match="small has 50 tokens, what counts them more"):
        outline.encode("Star Trek")
