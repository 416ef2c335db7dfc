from concurrent.futures import Future

import pytest

from benchmark.errors import UserError
from benchmark.scaleout.roster import Roster


class Asked:
    """Workers that answer when they are told to; `Inspector` to a roster."""

    def __init__(self):
        self.answers, self.asked, self.refused = {}, [], {}

    def check_start(self, workers):
        pass

    def ask(self, address):
        self.asked.append(address)
        self.answers[address] = Future()
        return self.answers[address]

    def say(self, address, said="fine"):
        self.answers[address].set_result({address: said})

    def refusal(self, said):
        return self.refused.get(said, "")


class Days:
    """A roster with a clock of its own, looked at twice a second as a run does."""

    def __init__(self, *workers):
        self.now, self.notes, self.inspector = 0.0, [], Asked()
        self.seen = dict.fromkeys(workers, 0.0)
        self.roster = Roster(self.notes.append, lambda: self.now)

    def look(self):
        found = {name: {"last_seen": seen} for name, seen in self.seen.items()}
        return self.roster.look(found, self.inspector)

    def after(self, seconds, alive=()):
        for _ in range(int(2 * seconds)):
            self.now += 0.5
            self.seen |= dict.fromkeys(alive, self.now)
            present = self.look()
        return present


def names(present):
    return tuple("".join(sorted(own)) for own in present[:3])


def test_a_worker_that_does_not_answer_holds_up_nobody_for_long():
    days = Days("a", "b")
    assert names(days.look()) == ("", "ab", "")
    days.inspector.say("a")
    present = days.after(5, "ab")
    assert names(present) == ("a", "b", "")
    assert present.soon  # it may be refused yet
    present = days.after(10, "ab")
    assert names(present) == ("a", "b", "")
    assert not present.soon
    assert names(days.after(50, "ab")) == ("a", "", "b")
    assert days.notes == ["worker b has not answered for 60 s: it is given nothing until it does"]
    days.after(100, "ab")
    assert days.inspector.asked == ["a", "b"]
    days.inspector.say("b")
    assert names(days.after(1, "ab")) == ("ab", "", "")
    assert days.notes[1:] == ["worker b answers again"]


def test_workers_that_come_later_are_not_waited_for():
    days = Days("a")
    days.look()
    days.inspector.say("a")
    days.after(20, "a")
    days.seen["b"] = days.now
    present = days.look()
    assert names(present) == ("a", "b", "")
    assert not present.soon


def test_a_worker_without_a_sign_of_life_is_left_out_until_there_is_one():
    days = Days("a", "b")
    days.look()
    for name in "ab":
        days.inspector.say(name)
    assert names(days.after(30, "ab")) == ("ab", "", "")
    assert names(days.after(70, "a")) == ("a", "", "b")
    assert names(days.after(70)) == ("", "", "ab")  # all have answered once: they may come back
    assert names(days.after(1, "b")) == ("b", "", "a")
    assert [note.split()[1] for note in days.notes] == ["b", "a", "b"]


def test_where_no_worker_answers_that_is_an_error_of_one_line():
    days = Days(*"abcdefg")
    with pytest.raises(UserError) as error:
        days.after(61, "abcdefg")
    assert str(error.value) == (
        "no worker has answered in 60 s: start anew what hangs: a, b, c, d, e, and 2 more"
    )
    assert not days.notes


def test_who_was_stopped_himself_has_not_listened_meanwhile():
    days = Days("a")
    days.look()
    days.inspector.say("a")
    days.after(10, "a")
    days.now += 3600
    assert names(days.look()) == ("a", "", "")


def test_one_that_could_not_be_reached_is_asked_again():
    days = Days("a", "b")
    days.look()
    days.inspector.say("a")
    days.inspector.say("b", OSError("no way there"))
    assert names(days.after(20, "ab")) == ("a", "b", "")
    assert days.inspector.asked == ["a", "b"]
    days.after(20, "ab")
    assert days.inspector.asked == ["a", "b", "b"]
    assert names(days.after(21, "ab")) == ("a", "", "b")
    assert days.notes[0].startswith("worker b has not answered for 60 s (OSError: no way there): ")
    days.inspector.say("b")
    assert names(days.after(1, "ab")) == ("ab", "", "")


def test_one_that_is_refused_is_refused_to_whoever_looks():
    days = Days("a")
    days.inspector.refused["old"] = "has other code"
    for _ in range(2):
        days.look()
        days.inspector.say("a", "old")
        with pytest.raises(UserError, match="worker a has other code"):
            days.look()


def test_one_that_goes_is_forgotten_and_the_scheduler_is_not():
    days = Days("a", "b")
    days.look()
    asked = days.inspector.answers["a"]
    del days.seen["a"]
    assert names(days.look()) == ("", "b", "")
    assert asked.cancelled()
    days.inspector.answers["b"].set_exception(OSError("the scheduler is gone"))
    with pytest.raises(OSError, match="is gone"):
        days.look()
