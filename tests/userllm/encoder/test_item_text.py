"""Items' text as vectors, and what the user encoder makes of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from benchmark.data.division import Split
from benchmark.errors import UserError
from benchmark.events import EventLog
from benchmark.schema import ITEM, FeatureSchema
from benchmark.types import IDS, SUMMARIES, Catalog
from tests.tiny_model import LENGTH, TITLES, WIDTH, make_histories
from tests.userllm.own_rows import tiny_settings
from tests.userllm.training.test_training import Quiet
from userllm.config import TransformerSettings, UserEncoderSettings
from userllm.encoder.item_text import embed_lines, item_vectors, text_lines
from userllm.encoder.objectives import NextEventObjective
from userllm.encoder.pretraining import new_encoder, pretrain, pretrained_encoder
from userllm.encoder.user_encoder import UserEncoder
from userllm.llm.language_model import LanguageModel
from userllm.model import UserLLM

E = 8
SETTINGS = UserEncoderSettings.model_validate(
    {
        "features": [],
        "transformer": {"width": 16, "layers": 1, "dropout": 0.0},
        "fit": {"history": 8, "epochs": 1, "looks": 0},
        "item_text": True,
        "text": {"language_model": {"width": 16, "layers": 1, "vocabulary": 300, "epochs": 1}},
    }
)


@pytest.fixture
def reader(schema: FeatureSchema) -> UserEncoder:
    """An encoder that reads text, and has met items 1 to 6."""
    torch.manual_seed(3)
    size = TransformerSettings(width=WIDTH, layers=2, heads=2, dropout=0.0)
    encoder = UserEncoder(schema, size, LENGTH, E).eval()
    assert encoder.text is not None
    encoder.text.vectors[1:] = torch.randn(len(TITLES), E)
    encoder.meet(torch.arange(1, 7).numpy())
    return encoder


def ids(encoder: UserEncoder) -> Tensor:
    return encoder.embedding.weight(ITEM)


def made(split: Split, cache: Path, settings: UserEncoderSettings = SETTINGS) -> Tensor:
    train = split.train
    vectors, _ = item_vectors(
        train.catalog, train.events, settings, name=None, seed=0, cache=cache, progress=Quiet()
    )
    assert vectors is not None
    return vectors


# The vectors.


def test_a_vector_follows_from_its_line_alone_but_for_mean_and_size(llm: LanguageModel) -> None:
    """The order of lines and what they are padded to change nothing."""
    vectors = embed_lines(llm, TITLES, 1000)
    assert vectors.shape == (len(TITLES) + 1, 2 * llm.width)
    assert not vectors[0].any()
    torch.testing.assert_close(vectors[1], vectors[3])  # the same title
    assert not torch.allclose(vectors[1], vectors[2])
    torch.testing.assert_close(embed_lines(llm, TITLES[::-1], 1000)[1:], vectors[1:].flip(0))
    torch.testing.assert_close(vectors[1:].mean(0), torch.zeros(2 * llm.width), atol=1e-5, rtol=0)
    for half in vectors[1:].chunk(2, dim=1):
        assert half.square().mean().item() == pytest.approx(1)


def test_both_what_is_said_and_what_it_means_is_in_a_vector(llm: LanguageModel) -> None:
    """Words in another order are the same words, but not the same states."""
    vectors = embed_lines(llm, ["aaaa b", "aaaa b b", "b aaaa", "A"], 1000)
    states, words = vectors.chunk(2, dim=1)
    llm_tokens = [sorted(llm.encode(f" {line}")) for line in ("aaaa b", "b aaaa")]
    assert llm_tokens[0] == llm_tokens[1]
    torch.testing.assert_close(words[1], words[3])
    assert not torch.allclose(states[1], states[3], atol=1e-2)


def test_wide_vectors_keep_what_tells_them_apart(llm: LanguageModel) -> None:
    """Inner products are the best that so few directions can give, up to one factor."""
    cut = embed_lines(llm, TITLES, 4)
    assert cut.shape == (len(TITLES) + 1, 4)
    assert not cut[0].any()
    found, whole = cut[1:].double(), embed_lines(llm, TITLES, 1000)[1:].double()
    left, values, _ = torch.linalg.svd(whole)
    best = (left[:, :4] * values[:4] ** 2) @ left[:, :4].T
    torch.testing.assert_close(found @ found.T / found.square().sum(), best / best.trace())
    assert found.square().mean().item() == pytest.approx(1)


def test_an_empty_line_has_no_vector_and_no_say_in_the_others(llm: LanguageModel) -> None:
    with_gap = embed_lines(llm, [TITLES[0], "", *TITLES[1:]], 1000)
    assert not with_gap[2].any()
    rest = torch.cat([with_gap[:2], with_gap[3:]])
    torch.testing.assert_close(rest, embed_lines(llm, TITLES, 1000))


def test_a_line_says_what_the_encoder_reads(world_split: Split) -> None:
    catalog, schema = world_split.train.catalog, world_split.train.schema
    bare = text_lines(catalog, schema, SETTINGS)
    assert bare == list(catalog.texts[1:])
    lines = text_lines(catalog, schema, SETTINGS.model_copy(update={"features": ("genres",)}))
    assert all(line.startswith(f"{text} | ") for line, text in zip(lines, bare, strict=True))


def test_an_id_is_no_text(world_split: Split) -> None:
    catalog, schema = world_split.train.catalog, world_split.train.schema
    with pytest.raises(UserError, match=r"item_text=true: the items have no text"):
        text_lines(replace(catalog, text_source=IDS), schema, SETTINGS)
    texts = ("", catalog.items.external_ids[0], *catalog.texts[2:])
    partly = Catalog(catalog.items, texts, catalog.columns, SUMMARIES)
    assert text_lines(partly, schema, SETTINGS) == ["", *catalog.texts[2:]]


def test_vectors_are_made_once_and_only_where_they_are_asked_for(
    world_split: Split, tmp_path: Path
) -> None:
    train = world_split.train

    def ask(settings: UserEncoderSettings) -> tuple[Tensor | None, list[tuple[str, bool]]]:
        vectors, stages = item_vectors(
            train.catalog,
            train.events,
            settings,
            name=None,
            seed=0,
            cache=tmp_path,
            progress=Quiet(),
        )
        return vectors, [(stage.name, stage.reused) for stage in stages]

    off = SETTINGS.model_copy(update={"item_text": False})
    assert ask(off) == (None, [])
    assert not list(tmp_path.iterdir())
    vectors, stages = ask(SETTINGS)
    assert stages == [("language_model", False), ("item_text", False)]
    again, stages = ask(SETTINGS)
    assert stages == [("language_model", True), ("item_text", True)]
    assert vectors is not None
    assert again is not None
    assert torch.equal(vectors, again)
    other, stages = ask(SETTINGS.model_copy(update={"features": ("genres",)}))
    assert stages == [("language_model", True), ("item_text", False)]
    assert other is not None
    assert not torch.equal(vectors, other)


# The encoder.


def test_without_text_the_encoder_is_what_it_was(schema: FeatureSchema) -> None:
    size = TransformerSettings(width=WIDTH, layers=2, heads=2, dropout=0.0)
    torch.manual_seed(2)
    plain = UserEncoder(schema, size, LENGTH)
    torch.manual_seed(2)
    reading = UserEncoder(schema, size, LENGTH, E)  # its vectors are zero yet
    assert not [name for name in plain.state_dict() if "text" in name]
    batch = make_histories([6, 3])
    torch.testing.assert_close(plain.embed(batch), reading.embed(batch))
    before = plain.item_table.clone()
    plain.meet(torch.tensor([1]).numpy())
    assert torch.equal(plain.item_table, before)


def test_text_speaks_in_histories_and_among_what_is_ranked(reader: UserEncoder) -> None:
    assert reader.text is not None
    batch = make_histories([6])
    item = int(batch.features[ITEM][0, 3])
    state, table = reader.embed(batch), reader.item_table
    reader.text.vectors[item] += 1
    assert not torch.allclose(reader.embed(batch), state)
    changed = (reader.item_table != table).any(dim=1)
    assert changed.nonzero().flatten().tolist() == [item]
    assert not table[0].any()


def test_what_was_never_met_has_its_text_alone(reader: UserEncoder) -> None:
    assert reader.text is not None
    assert not ids(reader)[7:].any()
    assert ids(reader)[1:7].any(dim=1).all()
    torch.testing.assert_close(reader.item_table[7:], reader.text()[7:])


def test_training_leaves_what_was_never_met_alone(reader: UserEncoder) -> None:
    """Neither its id's row nor its bias learns anything, and its text is not pushed down."""
    assert reader.text is not None
    objective = NextEventObjective(reader, 0.5, id_dropout=0.3).train()
    batch = make_histories([6, 4])
    batch.features[ITEM].clamp_(max=6)
    reader.text.vectors[7:].zero_()
    reader.text.vectors[7:, 0] = 1.0  # a direction of their own
    reader.text.vectors[1:7, 0] = 0.0
    before = reader.text.project.weight.detach().clone()
    optimizer = torch.optim.AdamW(objective.parameters(), lr=0.01, weight_decay=0.0)
    for _ in range(5):
        optimizer.zero_grad()
        objective.training_loss(batch).backward()
        optimizer.step()
    assert not ids(reader)[7:].any()
    assert not reader.item_bias[7:].any()
    after = reader.text.project.weight
    assert torch.equal(after[:, 0], before[:, 0])
    assert not torch.allclose(after[:, 1:], before[:, 1:])


def test_the_loss_is_that_of_a_catalogue_without_the_unmet(reader: UserEncoder) -> None:
    objective = NextEventObjective(reader, 0.0)
    states = torch.randn(3, WIDTH)
    items = torch.tensor([1, 4, 6])
    loss = objective.feature_losses(states, {ITEM: items})[ITEM]
    logits = states @ reader.item_table[1:7].T + reader.item_bias[1:7]
    expected = torch.nn.functional.cross_entropy(logits, items - 1)
    torch.testing.assert_close(loss, expected)


def test_a_hidden_id_is_hidden_everywhere(reader: UserEncoder) -> None:
    hidden = torch.zeros(len(TITLES) + 1, dtype=torch.bool)
    hidden[2] = True
    with torch.no_grad():
        reader.item_bias.fill_(1.0)
    table, bias = reader.items(hidden)
    batch = make_histories([6])
    batch.features[ITEM][0, 2] = 2
    state = reader(batch, table)
    with torch.no_grad():
        ids(reader)[2] += 5
    again, _ = reader.items(hidden)
    assert torch.equal(table, again)
    assert bias[2] == 0
    assert bias[3] == 1
    assert torch.equal(reader(batch, again), state)
    assert not torch.allclose(reader(batch), state)


def test_id_dropout_hides_the_share_that_was_asked_for(reader: UserEncoder) -> None:
    torch.manual_seed(0)
    objective = NextEventObjective(reader, 0.5, id_dropout=0.4)
    text = reader.text
    assert text is not None
    bare = text()[1:7]
    shown = torch.stack([(objective.items()[0][1:7] == bare).all(dim=1) for _ in range(400)])
    assert shown.float().mean().item() == pytest.approx(0.4, abs=0.05)
    never = NextEventObjective(reader, 0.5, id_dropout=0.0)
    assert not (never.items()[0][1:7] == bare).all(dim=1).any()


def test_vectors_and_settings_must_belong_together(world_split: Split) -> None:
    log = world_split.train.events
    vectors = torch.zeros(log.schema.num_items + 1, 4)
    with pytest.raises(ValueError, match="item_text=true"):
        new_encoder(log, SETTINGS, 0)
    with pytest.raises(ValueError, match="item_text=true"):
        new_encoder(log, UserEncoderSettings(), 0, vectors)


def test_a_pretrained_encoder_comes_back_whole(world_split: Split, tmp_path: Path) -> None:
    log = first_half_of_items(world_split.train.events)
    vectors = made(world_split, tmp_path)

    def ask(text: Tensor) -> tuple[UserEncoder, bool]:
        encoder, report = pretrained_encoder(
            log,
            SETTINGS,
            seed=0,
            fingerprint="half",
            cache=tmp_path,
            progress=Quiet(),
            text=text,
        )
        return encoder, report.reused

    first, reused = ask(vectors)
    again, found = ask(vectors)
    assert (reused, found) == (False, True)
    assert first.state_dict().keys() == again.state_dict().keys()
    for name, value in first.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
    assert first.text is not None
    assert torch.equal(first.text.vectors, vectors)
    assert first.text.met.sum() == len(set(log.items.tolist()))
    assert not ask(vectors + 1)[1]  # other vectors are another encoder


def first_half_of_items(log: EventLog) -> EventLog:
    return log.only(log.items <= log.schema.num_items // 2)


def test_more_training_events_make_more_items_known(world_split: Split) -> None:
    log = world_split.train.events
    vectors = torch.randn(log.schema.num_items + 1, 4)
    encoder = new_encoder(first_half_of_items(log), SETTINGS, 0, vectors)
    half = log.schema.num_items // 2
    assert not ids(encoder)[half + 1 :].any()
    text = SETTINGS.text.model_copy(update={"id_dropout": 0.0})
    settings = SETTINGS.model_copy(update={"text": text})
    pretrain(encoder, log, settings, seed=0, progress=Quiet())
    assert ids(encoder)[1:].any(dim=1).sum() == len(set(log.items.tolist()))


def test_a_saved_model_reads_text_as_before(
    reader: UserEncoder, llm: LanguageModel, tmp_path: Path
) -> None:
    batch = make_histories([6, 2])
    model = UserLLM(reader, llm, tiny_settings()).eval()
    model.save_pretrained(tmp_path / "saved")
    loaded = UserLLM.from_pretrained(tmp_path / "saved").encoder
    assert isinstance(loaded, UserEncoder)
    assert loaded.text is not None
    assert torch.equal(loaded.text.met, torch.arange(len(TITLES) + 1).clamp(max=7) % 7 > 0)
    assert torch.equal(loaded.embed(batch), reader.embed(batch))
    assert torch.equal(loaded.item_table, reader.item_table)
