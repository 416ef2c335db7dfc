import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from benchmark.config import chosen_methods, read_config, read_layers, read_preset
from benchmark.errors import UserError
from benchmark.records.identity import llm_identity, stable_hash
from benchmark.settings import build, describe_fields, flatten, merge, parse_assignment, parse_yaml
from benchmark.tables import default_tables, why_unavailable
from tests.fakes import FakeSettings, make_tables

TABLES = make_tables()
BASE = {"task": "next_item", "dataset": "world"}


def resolve(name="alpha", file=None, sets=(), tables=TABLES, **options):
    options = {**BASE, "methods": name, "set": list(sets), **options}
    config = read_config(file, options, tables)
    return read_layers(config, tables).resolve(tables, name)


@pytest.fixture
def presets(tmp_path):
    def write(**files):
        folder = tmp_path / "presets"
        folder.mkdir(exist_ok=True)
        for name, settings in {"quick": {}, **files}.items():
            text = yaml.safe_dump({"description": "d", "settings": settings})
            (folder / f"{name}.yaml").write_text(text)
        return make_tables(folder)

    return write


def test_later_layers_win_and_rows_win_over_all(presets, tmp_path):
    tables = presets(
        quick={"beta": {"epochs": 3, "rate": 0.3, "name": "preset", "fusion": {"every": 5}}}
    )
    file = tmp_path / "run.yaml"
    file.write_text("beta: {rate: 0.4, name: file}\n")
    sets = ["beta.name=set"]
    settings = resolve("beta", file, sets, tables)
    assert (settings.epochs, settings.rate, settings.name) == (3, 0.4, "set")
    assert (settings.fusion.every, settings.fusion.kind) == (5, "deep")
    row = resolve("beta_deep", file, [*sets, "beta_deep.epochs=9"], tables)
    assert (row.epochs, row.name, row.fusion.kind) == (9, "set", "flat")
    assert row.fusion.every == 5


def test_options_win_over_the_file(tmp_path):
    file = tmp_path / "run.yaml"
    file.write_text("task: next_item\ndataset: world\nseeds: [3, 4]\nmethods: alpha\nforce: true\n")
    config = read_config(file, {"seeds": "5"}, TABLES)
    assert (config.seeds, config.methods, config.force) == ((5,), ("alpha",), True)


def test_lists_are_split_stripped_and_hold_each_entry_once():
    config = read_config(None, {**BASE, "methods": "beta, alpha,beta", "seeds": "1,0,1"}, TABLES)
    assert (config.methods, config.seeds) == (("beta", "alpha"), (1, 0))


def test_without_methods_the_default_ones_run():
    assert chosen_methods(read_config(None, BASE, TABLES), TABLES) == ("alpha", "beta")


@pytest.mark.parametrize(
    ("value", "expected"),
    [("rate=1e-2", 0.01), ("epochs=4", 4.0), ("flag=true", True), ("names=[a, b]", ("a", "b"))],
)
def test_values_of_set_are_yaml(value, expected):
    settings = resolve(sets=[f"alpha.{value}"])
    assert getattr(settings, value.partition("=")[0]) == expected


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        ({"methods": "beta", "llm": "a/b"}, ["--llm", "no method of this run", "alpha"]),
        ({"task": "next_itm"}, ["unknown task 'next_itm'", "did you mean 'next_item'?"]),
        ({"dataset": "word"}, ["unknown data set 'word'", "'world'"]),
        ({"methods": "alfa"}, ["unknown method 'alfa'", "'alpha'"]),
        (
            {"methods": "alfa", "devices": 2, "distributed": "fsdp"},
            ["unknown method 'alfa'", "did you mean 'alpha'?"],
        ),
        ({"methods": "alfa", "llm": "a/b"}, ["unknown method 'alfa'", "did you mean 'alpha'?"]),
        ({"preset": "quik"}, ["unknown preset 'quik'", "'quick'", "full, quick, smoke"]),
        ({"split": "lst"}, ["unknown split 'lst'", "'last'"]),
        ({"seen": "no"}, ["--seen", "'auto', 'exclude' or 'include'", "'no'"]),
        ({"part": "train"}, ["--part", "'test' or 'validation'"]),
        ({"seeds": "0,x"}, ["--seeds", "'x' is no seed"]),
        ({"seeds": "-1"}, ["--seeds", "'-1' is no seed"]),
        ({"seeds": "1" * 5000}, ["--seeds", "is no seed"]),
        ({"seeds": str(2**32)}, ["--seeds", "too large"]),
        ({"seeds": ""}, ["--seeds", "empty"]),
        ({"methods": " , "}, ["--methods", "empty"]),
        ({"threads": 0}, ["--threads", "greater than or equal to 1"]),
        (
            {"methods": "writer"},
            ["'writer'", "next_item needs one to rank items", "can write texts"],
        ),
        ({"sets": ["alpha.epohs=1"]}, ["'alpha.epohs'", "did you mean 'alpha.epochs'?"]),
        ({"sets": ["alpha.fusion.evry=1"]}, ["did you mean 'alpha.fusion.every'?"]),
        ({"sets": ["alpha.epochs=-1"]}, ["alpha.epochs", "greater than 0", "-1"]),
        ({"sets": ["alpha.epochs=true"]}, ["alpha.epochs", "number", "True"]),
        ({"sets": ["alpha.epochs=many"]}, ["alpha.epochs", "number", "'many'"]),
        ({"sets": ["alpha.flag=1"]}, ["alpha.flag", "boolean"]),
        ({"sets": ["alpha.fusion=3"]}, ["alpha.fusion", "got 3"]),
        ({"sets": ["alpha.fusion.kind=odd"]}, ["alpha.fusion.kind", "'deep' or 'flat'", "'odd'"]),
        ({"sets": ["alfa.epochs=1"]}, ["unknown method, task or split 'alfa'", "'alpha'"]),
        ({"sets": ["beta.epochs=1"]}, ["beta is not part of this run", "alpha"]),
        ({"sets": ["alpha=1"]}, ["write <name>.<field>=value"]),
        ({"sets": ["alpha.epochs"]}, ["write <name>.<field>=value"]),
        ({"sets": ["alpha.names=[a"]}, ["not valid YAML"]),
    ],
)
def test_wrong_options_say_what_would_be_right(options, parts):
    with pytest.raises(UserError) as caught:
        resolve(options.pop("methods", "alpha"), **options)
    message = str(caught.value)
    assert "\n" not in message
    for part in parts:
        assert part in message


def test_a_set_that_the_row_fixes_is_an_error():
    with pytest.raises(UserError, match=r"beta_deep fixes fusion\.kind"):
        resolve("beta_deep", sets=["beta.fusion.kind=deep"])


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("task: next_item\nsedes: 1\n", "did you mean 'seeds'?"),
        ("task: next_item\nalpha: {epohs: 1}\n", "did you mean 'alpha.epochs'?"),
        # A section that this run does not use is checked all the same.
        ("task: next_item\nmethods: alpha\nbeta: {epohs: 1}\n", "did you mean 'beta.epochs'?"),
        ("task: [next_item\n", "not valid YAML"),
        ("task: next_item\ntask: next_item\n", "'task' stands twice"),
        ("- task\n", "keys with values"),
        ("dataset: world\n", "which task?"),
        ("task: next_item\nseeds: one\n", "'one' is no seed"),
    ],
)
def test_a_wrong_file_is_one_line(tmp_path, text, part):
    file = tmp_path / "run.yaml"
    file.write_text(text)
    with pytest.raises(UserError) as caught:
        read_config(file, {}, TABLES)
    assert part in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_an_error(tmp_path):
    with pytest.raises(UserError, match="there is no configuration file"):
        read_config(tmp_path / "none.yaml", {}, TABLES)


def test_settings_are_described_with_the_defaults_that_count():
    lines = {name: (default, text) for name, default, text in describe_fields(FakeSettings)}
    assert lines["fusion.every"] == ("3", "how often")
    assert lines["epochs"] == ("2", "passes")
    assert lines["fusion.kind"] == ('"deep"', "deep | flat: how")
    assert lines["names"] == ("null", "texts")


def test_shipped_presets_name_known_settings_only():
    tables = default_tables()
    assert tables.preset_names == ["full", "quick", "smoke"]
    for name in tables.preset_names:
        preset = read_preset(name, tables)
        assert preset.description
        for section, values in preset.settings.items():
            build(tables.settings_model(section), values, f"preset {name}: {section}")
    assert "mean nothing" in read_preset("smoke", tables).warning


def test_a_missing_module_makes_unavailable():
    assert why_unavailable(TABLES.datasets["world"]) == ""
    assert "no_such_module" in why_unavailable(TABLES.datasets["gone"])
    assert why_unavailable(TABLES.methods["broken"]) == "it needs a thing: get it"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=5), JSON, max_size=4))
def test_the_hash_does_not_depend_on_order(facts):
    assert stable_hash(facts) == stable_hash(dict(reversed(facts.items())))
    assert stable_hash(facts) != stable_hash({**facts, "one more": 1})


def test_the_hash_is_stable_over_versions():
    assert stable_hash({"a": 1}) == (
        "015abd7f5cc57a2dd94b7590f04ad8084273905ee33ec5cebeae62276a97f862"
    )


@given(JSON.filter(lambda v: isinstance(v, dict)))
def test_merging_with_itself_or_nothing_changes_nothing(values):
    assert merge(values, values) == merge(values) == merge({}, values)


def test_flat_names_lead_back():
    flat = flatten({"a": {"b": 1, "c": {"d": 2}}, "e": 3})
    assert flat == {"a.b": 1, "a.c.d": 2, "e": 3}
    nested = merge(*(parse_assignment(f"x.{name}={value}")[1] for name, value in flat.items()))
    assert nested == {"a": {"b": 1, "c": {"d": 2}}, "e": 3}


def test_yaml_reads_exponents_as_numbers():
    assert parse_yaml("[1e-3, 2E+4, 1.5e2, e3, 1e]", "x") == [1e-3, 2e4, 150.0, "e3", "1e"]


def test_a_language_model_is_known_by_content(tmp_path):
    assert llm_identity(None) is None
    assert llm_identity("org/model") == {"name": "org/model"}
    with pytest.raises(UserError, match="no such folder"):
        llm_identity(str(tmp_path / "none"))
    with pytest.raises(UserError, match=r"no config\.json"):
        llm_identity(str(tmp_path))
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(UserError, match="no weights"):
        llm_identity(str(tmp_path))
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(b"one")
    first = llm_identity(str(tmp_path))
    weights.write_bytes(b"two")
    second = llm_identity(str(tmp_path))
    assert first["sha256"] != second["sha256"]


@pytest.mark.parametrize("options", [{"task": "next_item"}, {"methods": "popularity"}])
def test_one_fit_for_several_tasks_needs_both(options):
    options = {"task": "next_item,favorite_genre", "multi_task": True, **options}
    with pytest.raises(UserError, match="several tasks and a method"):
        read_config(None, options, default_tables())


@pytest.mark.parametrize("preset", ["smoke", "quick"])
def test_a_cap_on_targets_cuts_nothing_of_ml_100k(preset):
    """Its published rows are made by passes alone; the cap is there for larger data."""
    a_pass = 105_000  # targets of ml-100k in training, with what windows add by estimate
    config = read_config(None, {"task": "next_item", "preset": preset}, default_tables())
    layers = read_layers(config, default_tables())
    for name in ("sasrec", "user_encoder", "bert4rec", "dual_encoder"):
        fit = layers.resolve(default_tables(), name).fit
        assert fit.targets >= fit.epochs * a_pass * (0.5 if name == "bert4rec" else 1)


def precisions_of(settings):
    found = {}
    for name, value in flatten(settings.model_dump()).items():
        if name.rpartition(".")[2] == "precision":
            found[name] = value
    return found


@pytest.mark.parametrize("method", ["sasrec", "user_llm", "text_prompt", "recbole/GRU4Rec"])
def test_precision_is_that_of_every_optimizer_of_the_run(method):
    tables = default_tables()
    own = {"task": "next_item", "methods": method, "dataset": "ml-100k"}

    def found(name=method, sets=(), **options):
        config = read_config(None, {**own, "set": list(sets), **options}, tables)
        return precisions_of(read_layers(config, tables).resolve(tables, name))

    assert set(found().values()) == {"auto"}
    assert set(found(precision="bf16").values()) == {"bf16"}
    assert found(precision="bf16").keys() == found().keys()
    if method == "user_llm":
        assert set(found("user_encoder", precision="fp32").values()) == {"fp32"}
    if method == "sasrec":
        chosen = found(sets=["sasrec.optimizer.precision=fp32"], precision="bf16")
        assert chosen.pop("optimizer.precision") == "fp32"
        assert set(chosen.values()) == {"bf16"}
        config = read_config(None, {**own, "precision": "bf16"}, tables)
        changes = read_layers(config, tables).changes(tables, "sasrec")
        assert changes["optimizer.precision"] == "bf16"


def test_a_precision_for_nobody_and_weights_that_cannot_be_divided_are_refused():
    tables = default_tables()
    own = {"task": "next_item", "methods": "popularity", "dataset": "ml-100k"}
    config = read_config(None, {**own, "precision": "bf16"}, tables)
    with pytest.raises(UserError, match="no method of this run has an optimizer"):
        read_layers(config, tables)
    with pytest.raises(UserError, match=r"popularity trains none; these do: .*user_llm"):
        read_config(None, {**own, "distributed": "fsdp", "devices": 2}, tables)
    with pytest.raises(UserError, match="add --devices"):
        read_config(None, {**own, "methods": "user_llm", "distributed": "fsdp"}, tables)
    everything = {**own, "methods": None, "distributed": "fsdp", "devices": 2}
    assert read_config(None, everything, tables).distributed == "fsdp"
