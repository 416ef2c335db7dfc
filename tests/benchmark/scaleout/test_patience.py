from benchmark.scaleout.patience import ended, overdue
from tests.benchmark.scaleout.test_placing import flight


def out(token, stages, begun=0.0, opened=True):
    own = flight(token, stages=stages)
    own.begun, own.open = begun, opened
    return own


def late(flying, now, made=""):
    return [own.token for own in overdue(flying, made, 10.0, now)]


def test_a_cell_has_its_time_from_when_its_world_is_open():
    flying = [out("a", "x"), out("b", "y", begun=5.0), out("c", "z", opened=False)]
    assert late(flying, 10.0) == []
    assert late(flying, 10.5) == ["a"]
    assert late(flying, 15.5) == ["a", "b"]
    assert late(flying, 600.5) == ["a", "b", "c"]


def test_who_waits_for_a_stage_has_its_time_once_that_is_made():
    maker, waiter, other = out("a", "xy"), out("b", "yz"), out("c", "z")
    flying = [maker, waiter, other]
    assert late(flying, 11.0) == ["a"]  # the third waits for the second
    assert late(flying, 11.0, made="yz") == ["a", "b", "c"]
    ended(maker, flying[1:], "", 9.0)
    assert (waiter.begun, other.begun) == (9.0, 0.0)
    assert late(flying[1:], 18.0, made="xy") == []
    assert late(flying[1:], 19.5, made="xy") == ["b"]


def test_the_end_of_a_cell_gives_no_time_to_cells_whose_stages_were_made_before():
    waiter = out("b", "y")
    ended(out("a", "xy"), [waiter], "y", 9.0)
    assert waiter.begun == 0.0
