import io
import threading
import time
from types import SimpleNamespace

import pytest
from pydantic import BaseModel

from benchmark.records.results import Row
from benchmark.scaleout.flight import Flight
from benchmark.scaleout.order import next_of, stages_of
from benchmark.scaleout.placing import Placing
from benchmark.scaleout.relay import Relay
from benchmark.scaleout.roster import Present
from benchmark.scaleout.view import View
from benchmark.system.locking import heard, locked


class Settings(BaseModel):
    epochs: int = 1


def cell(method="sasrec", settings=None, encoder=None, seed=0, uses_llm=False):
    return SimpleNamespace(
        method_name=method,
        method_settings=settings or Settings(),
        encoder=encoder,
        seed=seed,
        uses_llm=uses_llm,
    )


def flight(token, demand=(), stages=()):
    row = Row(dataset="d", task="t", method="m", seed=0, preset="quick")
    return Flight(row, cell(), dict(demand), frozenset(stages), token)


def named(workers):
    return {name: {"resources": own} for name, own in workers.items()}


def placing(workers, clock=lambda: 0.0):
    found = Placing(lambda: Present(named(workers)), clock)
    found.look()
    return found


def test_what_an_encoder_is_trained_for_is_shared_with_it():
    alone = stages_of(cell("user_encoder", Settings(epochs=3)))
    slot = SimpleNamespace(name="user_encoder", settings=Settings(epochs=3))
    assert alone < stages_of(cell("user_llm", encoder=slot))
    assert not alone & stages_of(cell("user_llm", encoder=slot, seed=1))
    other = SimpleNamespace(name="user_encoder", settings=Settings(epochs=4))
    assert not alone & stages_of(cell("user_llm", encoder=other))
    assert stages_of(cell("a", uses_llm=True)) & stages_of(cell("b", uses_llm=True))


def test_a_cell_whose_stages_nobody_makes_goes_first():
    waiting = [frozenset("ab"), frozenset("bc"), frozenset("cd")]
    assert next_of(waiting, [], ()) == 0
    assert next_of(waiting, [frozenset("a")], ()) == 1
    assert next_of(waiting, [frozenset("b")], ()) == 2
    assert next_of(waiting, [frozenset("b")], "b") == 0
    assert next_of(waiting, [frozenset("bd")], ()) == 0  # all would wait: the first does


def test_no_more_cells_are_out_than_workers_hold():
    board = placing({"a": {"GPU": 1.0}, "b": {}})
    first, second, third = flight("1", {"GPU": 1.0}), flight("2", {"GPU": 1.0}), flight("3")
    assert board.next([first, second, third], [], ()) is first
    assert board.next([second, third], [first], ()) is third
    assert board.next([second], [first, third], ()) is None
    assert board.next([second], [third], ()) is second
    assert placing({}).next([third], [], ()) is None


def test_what_no_worker_ever_held_is_hopeless_at_once():
    board = placing({"a": {"threads": 2.0}, "b": {"GPU": 1.0}})
    assert not board.hopeless(flight("1", {"threads": 2.0}))
    assert board.hopeless(flight("2", {"threads": 4.0})) == (
        "no worker can hold it: it asks for threads=4, and the most that one has is threads=2, "
        "GPU=1"
    )


def test_workers_that_are_gone_may_come_back_for_a_while():
    now, workers = [0.0], {"a": {"GPU": 1.0}, "b": {}}
    board = placing(workers, lambda: now[0])
    own = flight("1", {"GPU": 1.0})
    assert not board.hopeless(own)
    del workers["a"]
    now[0] = 50.0
    board.look()
    assert not board.hopeless(own)
    now[0] = 61.0
    assert board.hopeless(own)


def test_a_cluster_without_workers_is_given_some_time():
    now = [0.0]
    board = placing({}, lambda: now[0])
    assert not board.hopeless(flight("1"))
    now[0] = 61.0
    assert board.hopeless(flight("1")) == "there is no worker, and in 60 s none came"


def test_workers_that_do_not_answer_are_given_nothing_and_hold_up_nothing():
    now, gpu = [100.0], {"GPU": 1.0}
    present = [Present(named({"a": {}}), awaited=named({"b": gpu}), soon=True)]
    board = Placing(lambda: present[0], lambda: now[0])
    board.look()
    first, second = flight("1"), flight("2", gpu)
    assert board.named == {"GPU"}
    assert board.next([first], [], ()) is None  # the other may be refused yet
    present[0] = Present(named({"a": {}}), awaited=named({"b": gpu}))
    now[0] += 1
    board.look()
    assert board.next([first, second], [], ()) is first
    assert board.bound == {"a"}
    assert board.next([second], [first], ()) is None
    assert not board.hopeless(second)  # what it needs is asked
    present[0] = Present(named({"a": {}}), silent=named({"b": gpu}))
    now[0] += 59
    board.look()
    assert not board.hopeless(second)  # it may answer again
    first.worker = "b"  # it hangs there: others go on
    assert board.lives(first)
    assert board.next([flight("3")], [first], ()) is not None
    now[0] += 2
    assert board.hopeless(second).startswith("no worker can hold it: it asks for GPU=1")
    present[0] = Present({}, silent=named({"a": {}, "b": gpu}))
    now[0] += 1
    board.look()
    now[0] += 61
    assert board.hopeless(flight("4")) == "there is no worker that answers, and in 60 s none came"


def test_a_cell_that_nobody_takes_is_stuck_where_somebody_is_silent_or_it_is_bound():
    now = [100.0]
    present = [Present(named({"a": {}, "b": {}}))]
    board = Placing(lambda: present[0], lambda: now[0])
    board.look()
    free, bound, begun = flight("1"), flight("2"), flight("3")
    bound.bound, begun.worker = frozenset("a"), "b"
    for own in (free, bound, begun):
        own.handed = 95.0
    assert board.bound is None
    assert not any(map(board.stuck, (free, bound, begun)))  # it is a moment ago
    now[0] += 6
    assert list(map(board.stuck, (free, bound, begun))) == [False, True, False]
    present[0] = Present(named({"a": {}}), silent=named({"b": {}}))
    board.look()
    assert list(map(board.stuck, (free, bound, begun))) == [True, False, False]
    present[0] = Present(named({"c": {}}))
    now[0] += 1
    board.look()
    assert list(map(board.stuck, (free, bound, begun))) == [False, True, False]


def test_a_relay_sends_few_updates_and_none_is_lost():
    sent, now = [], [0.0]
    relay = Relay(sent.append, "t", clock=lambda: now[0])
    relay.stage("tune", 3)
    for step in range(100):
        now[0] = step / 100
        relay.update(step / 100, loss=float(step))
    relay.update(1.0, value=0.5)
    relay.finish("done")
    updates = [message["values"] for message in sent if message["what"] == "update"]
    assert updates == [{"loss": 0.0, "epoch": 0.0}, {"loss": 99.0, "epoch": 1.0, "value": 0.5}]
    assert relay.said == "done"
    assert {message["token"] for message in sent} == {"t"}


def test_a_cell_has_its_time_from_when_its_world_is_open():
    own = flight("1")
    own.begun = 5.0
    assert not own.late(10.0, 100.0)
    assert own.late(10.0, 605.5)
    assert own.hear("begin", 100.0)
    assert not own.late(10.0, 110.0)
    assert own.late(10.0, 110.5)


def test_what_a_cell_waits_for_others_is_not_of_its_time():
    own = flight("1")
    own.hear("begin", 0.0)
    own.hear("waits", 4.0)
    assert not own.late(10.0, 1000.0)
    own.hear("goes on", 54.0)
    assert not own.late(10.0, 60.0)
    assert own.late(10.0, 60.5)
    assert not own.hear("stage", 61.0)


def test_a_worker_tells_of_every_lock_that_its_cell_waits_for(tmp_path):
    sent, said = [], []
    relay = Relay(sent.append, "t")

    def wait():
        with heard(relay.waits), locked(tmp_path, "stage", said.append, "waiting"):
            said.append("mine")

    with locked(tmp_path, "stage", said.append, "waiting"):
        other = threading.Thread(target=wait)
        other.start()
        while not sent:
            time.sleep(0.01)
    other.join()
    assert [message["what"] for message in sent] == ["waits", "goes on"]
    assert said == ["waiting", "mine"]


def test_lines_of_several_cells_stand_apart():
    stream = io.StringIO()
    view = View(stream)
    view.begin("1", "alpha seed 0")
    view.begin("2", "beta seed 0")
    for token in ("1", "2"):
        view.tell(token, {"what": "stage", "values": {"name": "tune", "total_epochs": 2.0}})
    values = {"epoch": 1.0, "loss": 2.0, "value": None}
    view.tell("2", {"what": "update", "values": values})
    view.finish("1", "done in 3s")
    view.finish("2", "failed: a reason")
    view.tell("2", {"what": "note", "values": {"text": "too late"}})
    assert stream.getvalue().splitlines() == [
        "alpha seed 0", "beta seed 0", "alpha seed 0: tune", "beta seed 0: tune",
        "alpha seed 0: done in 3s", "beta seed 0: tune ends after 0s: epoch 1/2, loss 2.000",
        "beta seed 0: failed: a reason",
    ]  # fmt: skip


@pytest.mark.parametrize("given", ["2,0", "GPU-a, GPU-b"])
def test_gpus_are_those_that_somebody_left_visible(monkeypatch, given):
    from benchmark.scaleout.cluster import visible_gpus

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", given)
    assert visible_gpus() == given.replace(" ", "").split(",")
