import pytest

from benchmark.errors import UserError, nearest, unknown
from benchmark.registry import Entry, Registry, load


def test_an_entry_is_imported_on_use():
    registry: Registry[Entry] = Registry("method")
    registry.add("broken", Entry("no.such.module:thing", "not imported before use"))
    registry.add("join", Entry("posixpath:join", "joins"))
    assert registry["join"].load()("a", "b") == "a/b"
    assert list(registry) == ["broken", "join"]
    assert len(registry) == 2
    assert "join" in registry
    with pytest.raises(ModuleNotFoundError):
        registry["broken"].load()


def test_a_name_can_be_taken_once():
    registry: Registry[Entry] = Registry("method")
    registry.add("a", Entry("os:sep", ""))
    with pytest.raises(ValueError, match="method 'a' is registered twice"):
        registry.add("a", Entry("os:sep", ""))


def test_an_unknown_name_brings_the_nearest():
    registry: Registry[Entry] = Registry("method")
    registry.add("popularity", Entry("os:sep", ""))
    registry.add("sasrec", Entry("os:sep", ""))
    with pytest.raises(UserError, match="unknown method 'sasrek': did you mean 'sasrec'"):
        registry["sasrek"]
    assert "did you mean" not in str(unknown("method", "xyz", ["popularity"]))
    assert "valid: popularity" in str(unknown("method", "xyz", ["popularity"]))
    assert "\n" not in str(unknown("method", "xyz", ["popularity"]))


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("sasrec.optimizer.lr", "sasrec.optimizer.learning_rate"),
        ("sasrec.lr", "sasrec.optimizer.learning_rate"),
        ("sasrec.optimizer.learningrate", "sasrec.optimizer.learning_rate"),
        ("sasrec.learning_rate", "sasrec.optimizer.learning_rate"),
        ("sasrek.optimizer.clip", "sasrec.optimizer.clip"),
        ("sasrec.optimizer.momentum", ""),
        ("sasrec.optimizer.q", ""),
        ("", ""),
    ],
)
def test_the_nearest_is_like_what_is_wrong(name, near):
    valid = [f"sasrec.optimizer.{last}" for last in ("clip", "learning_rate", "weight_decay")]
    assert nearest(name, valid) == (f"did you mean {near!r}?" if near else "")


def test_load_takes_module_and_attribute():
    assert load("posixpath:sep") == "/"
