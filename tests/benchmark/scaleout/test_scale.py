import pytest

from benchmark.config import read_config
from benchmark.errors import UserError
from benchmark.scaleout.demands import Demands, described, holds
from benchmark.scaleout.scale import Scale, read_scale
from tests.fakes import make_tables

TABLES = make_tables()


def config(**options):
    return read_config(None, {"task": "next_item", "dataset": "world", **options}, TABLES)


def test_nothing_asked_is_this_process():
    scale = read_scale(None, None, None, None, None)
    assert not scale.asked
    assert scale.over(config()) == config()


def test_a_time_limit_alone_takes_one_process_that_can_be_ended():
    scale = read_scale(None, None, 1, 60.0, None)
    assert scale.asked
    assert scale.local_workers == 1
    assert scale.retries == 1


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ((2, "tcp://a:1", None, None, None), "give one of the two"),
        ((None, "10.0.0.5:8786", None, None, None), "is no address"),
        ((None, "tcp://10.0.0.5", None, None, None), "is no address"),
        ((None, "http://10.0.0.5:80", None, None, None), "is no address"),
        ((None, "tcp://10.0.0.5:²", None, None, None), "is no address"),
        ((None, "tcp://10.0.0.5:65536", None, None, None), "is no address"),
        ((None, None, 3, None, None), "--retries is about workers"),
        ((None, None, None, None, ["GPU=1"]), "--resources is about workers"),
        ((1, None, None, 0.0, None), "--cell-seconds 0"),
        ((1, None, None, float("nan"), None), "--cell-seconds nan"),
        ((1, None, None, None, ["GPU"]), "--resources GPU: write"),
        ((1, None, None, None, ["GPU=-1"]), "--resources GPU=-1: write"),
        ((1, None, None, None, ["=1"]), "--resources =1: write"),
    ],
)
def test_what_does_not_go_together_is_refused(asked, said):
    with pytest.raises(UserError, match=said):
        read_scale(*asked)


@pytest.mark.parametrize("address", ["tcp://[::1]:8786", "tls://host.example:8786"])
def test_addresses_as_dask_prints_them(address):
    assert read_scale(None, address, None, None, None).scheduler == address


def test_threads_of_a_cell_do_not_depend_on_the_number_of_workers(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert {Scale(workers=n).over(config()).threads for n in (1, 2, 16)} == {1}
    assert Scale(cell_seconds=9.0).over(config()).threads == 1
    assert Scale(workers=2).over(config(threads=3)).threads == 3
    assert Scale(scheduler="tcp://a:1").over(config()).threads is None
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert {Scale(workers=n).over(config()).threads for n in (1, 16)} == {2}


@pytest.mark.parametrize("several", [{"devices": 2}, {"num_nodes": 2}])
@pytest.mark.parametrize("scale", [Scale(workers=2), Scale(scheduler="tcp://a:1")])
def test_workers_and_several_devices_exclude_each_other(scale, several):
    with pytest.raises(UserError, match=r"--devices .*--workers"):
        scale.over(config(**several))
    assert Scale().over(config(**several)) == config(**several)


def test_a_cell_asks_by_itself_only_for_what_workers_name():
    demands = Demands.read(["memory=16e9", "user_llm.memory=40e9", "user_llm.GPU=2", "sasrec.x=0"])
    assert demands.of("sasrec", 4, "cpu", []) == {"memory": 16e9}
    assert demands.of("sasrec", 4, "gpu", ["threads", "GPU"]) == {
        "threads": 4, "GPU": 1, "memory": 16e9,
    }  # fmt: skip
    assert demands.of("user_llm", 4, "cpu", ["threads"]) == {
        "threads": 4, "memory": 40e9, "GPU": 2,
    }  # fmt: skip
    assert Demands.read(["threads=0"]).of("sasrec", 4, "cpu", ["threads"]) == {}


def test_a_worker_holds_what_it_has():
    assert holds({}, {})
    assert holds({"threads": 4}, {"threads": 4})
    assert not holds({"threads": 4}, {"threads": 4, "GPU": 1})
    assert described({"threads": 4.0, "memory": 16e9}) == "threads=4, memory=1.6e+10"
    assert described({}) == "none"
