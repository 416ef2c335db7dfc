"""Cells on two real workers of one thread; the cluster is started once for all of these."""

import io
import os
import re
import signal
import threading
import time
from dataclasses import replace

import pytest

from benchmark.config import read_config
from benchmark.data.store.seal import DataChangedError
from benchmark.errors import RunError, UserError
from benchmark.records.identity import llm_identity, stable_hash
from benchmark.runs import planning
from benchmark.runs.runner import run
from benchmark.scaleout import cluster, placing, roster, work
from benchmark.scaleout.crew import crew_of
from benchmark.scaleout.demands import Demands
from benchmark.scaleout.messages import Opening
from benchmark.scaleout.scale import Scale
from benchmark.variants import Variant
from tests.fakes import Silent, make_tables
from tests.world import small_world

TABLES = make_tables()
RETRIES = 1
TIMES = ("created", "fit", "evaluation_seconds", "peak_memory_bytes", "cost")


@pytest.fixture(scope="module")
def crew(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("USERLLM_BENCH_HOME", str(tmp_path_factory.mktemp("home")))
        patch.setenv("OMP_NUM_THREADS", "1")
        with crew_of(Scale(workers=2, retries=RETRIES), TABLES, io.StringIO()) as crew:
            crew.start(2, 1, "cpu")
            yield crew


@pytest.fixture
def bench(crew, tmp_path):
    """Runs the fakes on the crew, or in this process; every fit leaves a line in `fits`."""

    def start(methods="alpha", sets=(), settling=None, variants=None, **options):
        log = [f"{name}.log={tmp_path / 'fits'}" for name in methods.split(",")]
        options = {
            "task": "next_item",
            "dataset": "world",
            "methods": methods,
            "out": tmp_path / "out",
            "set": [*log, *sets],
            "threads": 1,
            **options,
        }
        config = read_config(None, options, TABLES)
        settle = crew.settle if settling is None else settling
        return run(config, TABLES, Silent(), "the command", variants, settle)

    def fits():
        file = tmp_path / "fits"
        return len(file.read_text().splitlines()) if file.exists() else 0

    def lines(begun):
        return crew.view._stream.getvalue()[begun:]

    start.fits, start.lines, start.crew = fits, lines, crew
    start.begun = len(crew.view._stream.getvalue())
    return start


def changed(crew, **changes):
    """Another command's crew on the same cluster, reached by its address."""
    address = crew._client.scheduler.address
    return crew_of(replace(Scale(scheduler=address), **changes), TABLES, io.StringIO())


def numbers(rows):
    return [
        (row.task, row.seed, row.method, row.axes, row.error, row.na)
        + ((row.record.model_dump(exclude=set(TIMES)), row.path) if row.record else ())
        for row in rows
    ]


def test_rows_equal_those_of_one_process(bench, tmp_path):
    from benchmark.runs.runner import settle_in_turn

    variants = [
        Variant("alpha", {"alpha": {"epochs": epochs}}, {"epochs": epochs}) for epochs in (1, 2, 3)
    ]
    asked = {"seeds": "1,0", "variants": variants}
    there = bench("alpha", **asked)
    here = bench("alpha", **asked, settling=settle_in_turn, force=True)
    assert numbers(there) == numbers(here)
    assert [(row.seed, row.axes["epochs"]) for row in there] == [
        (1, 1), (1, 2), (1, 3), (0, 1), (0, 2), (0, 3),
    ]  # fmt: skip
    assert [row.record.fit.stages for row in there] == [row.record.fit.stages for row in here]


def test_finished_cells_need_no_worker(bench):
    first = bench("alpha,beta")
    assert bench("alpha,beta", settling=crew_that_must_not_start().settle) == first
    assert bench.fits() == 2


def crew_that_must_not_start():
    from benchmark.scaleout.crew import Crew

    return Crew(Scale(scheduler="tcp://127.0.0.1:1"), TABLES, io.StringIO())


def test_progress_names_every_cell(bench):
    bench("alpha,beta", seeds="0,1")
    text = bench.lines(bench.begun)
    for title in ("alpha seed 0", "alpha seed 1", "beta seed 0", "beta seed 1"):
        own = [line for line in text.splitlines() if line.startswith(title)]
        assert own[0] == title
        assert f"{title}: count" in own
        assert any("loss 2.500, validation" in line for line in own)
        assert own[-1].startswith(f"{title}: done in")


def test_the_dashboard_is_named(crew):
    assert "Dask dashboard: http://127.0.0.1:" in crew.view._stream.getvalue()


@pytest.mark.parametrize(
    ("fail", "reason"),
    [
        ("nan", "the loss of stage count is nan"),
        ("exit", "SystemExit: 3"),
        ("crash", "RuntimeError: it broke on two lines"),
    ],
)
def test_a_cell_that_fails_by_itself_is_a_row_and_not_run_again(bench, fail, reason):
    rows = bench("alpha,beta", [f"alpha.fail={fail}"])
    assert rows[0].error == reason
    assert "Traceback" in rows[0].log.read_text()
    assert rows[1].record is not None
    assert bench.fits() == 2


def test_a_full_disk_stops_what_has_not_begun(bench):
    rows = bench("alpha,beta", ["alpha.fail=disk"], seeds="0,1,2,3,4,5")
    assert any("disk is full" in row.error for row in rows if row.method == "alpha")
    assert rows[-1].record is not None or rows[-1].error.startswith("not run: the disk is full")
    assert any(row.error.startswith("not run: the disk is full") for row in rows)


def test_wrong_input_is_the_users_error_and_of_an_axis_its_rows(bench, monkeypatch):
    with pytest.raises(UserError, match="greater than 0"):
        bench("alpha", ["alpha.epochs=-1"])
    (row,) = bench(variants=[Variant("alpha", {"alpha": {"epochs": -1}}, {"epochs": -1})])
    assert "greater than 0" in row.error


def test_a_cell_that_hangs_is_given_up_and_the_others_go_on(bench):
    with changed(bench.crew, cell_seconds=15) as crew:
        rows = bench("alpha,beta", ["alpha.wait=3600"], settling=crew.settle)
    assert rows[0].error == "not done after 15s (--cell-seconds): given up"
    assert rows[1].record is not None


def test_a_cell_whose_worker_dies_runs_again_until_that_is_enough(bench, tmp_path):
    once = tmp_path / "fits of what dies once"
    waits = ["alpha.wait=0.5", "beta_deep.wait=0.5"]  # what a worker says reaches the caller
    sets = [*waits, "alpha.fail=die", "beta_deep.fail=die once", f"beta_deep.log={once}"]
    rows = bench("alpha,beta,beta_deep", sets)
    assert rows[0].error.startswith(f"its worker died {RETRIES + 1} times, the last was ")
    assert rows[1].record is not None
    assert rows[2].record is not None
    assert bench.fits() == (RETRIES + 1) + 1
    assert once.read_text() == "fit\nfit\n"


@pytest.fixture
def stop(crew):
    """Stops some of the workers' processes; on again at the end, or when that takes too long."""
    stopped = []

    def go_on():
        while stopped:
            os.kill(stopped.pop(), signal.SIGCONT)

    timer = threading.Timer(240, go_on)

    def stop(count):
        for pid in list(crew._client.run(os.getpid).values())[:count]:
            os.kill(pid, signal.SIGSTOP)
            stopped.append(pid)
        timer.start()
        return stopped

    yield stop
    timer.cancel()
    go_on()
    crew._client.run(os.getpid)  # they answer again


def test_a_worker_that_hangs_from_the_beginning_holds_up_nobody(bench, stop, monkeypatch):
    monkeypatch.setattr(roster, "TOGETHER_SECONDS", 1)
    stopped = stop(1)
    with changed(bench.crew) as crew:
        rows = bench("alpha", seeds="0,1", settling=crew.settle)
    assert stopped  # still
    assert all(row.record is not None for row in rows)


def test_a_cell_that_a_hung_worker_never_took_goes_to_another(bench, stop, monkeypatch):
    with changed(bench.crew) as crew:
        bench("alpha", seeds="0,1", settling=crew.settle)
        stopped = stop(1)
        monkeypatch.setattr(roster, "SILENT_SECONDS", 5)
        monkeypatch.setattr(placing, "_IN_LINE_SECONDS", 1)
        rows = bench("alpha", seeds="2,3", settling=crew.settle)
        said = crew.view._stream.getvalue()
    assert stopped
    assert all(row.record is not None for row in rows)
    assert re.search(r"worker tcp://\S+ has not answered for 5 s: it is given nothing", said)


def test_where_all_workers_hang_that_is_one_line(bench, stop, monkeypatch):
    monkeypatch.setattr(roster, "SILENT_SECONDS", 2)
    stop(2)
    with (
        changed(bench.crew) as crew,
        pytest.raises(UserError, match=r"no worker has answered in 2 s: .*: tcp://\S+, tcp://\S+$"),
    ):
        bench(settling=crew.settle)
    assert bench.fits() == 0


def test_what_no_worker_can_hold_does_not_wait(bench):
    demands = Demands.read(["alpha.GPU=1"])
    with changed(bench.crew, demands=demands) as crew:
        rows = bench("alpha,beta", settling=crew.settle)
    assert rows[0].error.startswith(
        "no worker can hold it: it asks for threads=1, GPU=1, and the most that one has is "
        "threads=1, memory="
    )
    assert rows[1].record is not None


def test_something_asked_for_no_method_is_refused():
    scale = Scale(workers=1, demands=Demands.read(["alhpa.GPU=1"]))
    with (
        pytest.raises(UserError, match="unknown method 'alhpa': did you mean 'alpha'"),
        crew_of(scale, TABLES, io.StringIO()),
    ):
        pass


def test_workers_with_another_version_are_refused(bench, monkeypatch):
    monkeypatch.setattr("benchmark.system.host.__version__", "0.0.1")
    with (
        changed(bench.crew) as crew,
        pytest.raises(UserError, match=r"worker tcp://\S+ has userllm-bench \S+, here it is 0.0.1"),
    ):
        bench(settling=crew.settle)
    assert bench.fits() == 0


def test_workers_with_other_data_are_refused(bench, monkeypatch):
    def other(*arguments):
        world = planning.open_world(*arguments)
        return replace(world, dataset=replace(world.dataset, fingerprint="abc"))

    monkeypatch.setattr("benchmark.runs.runner.open_world", other)
    with (
        changed(bench.crew) as crew,
        pytest.raises(UserError, match=r"worker tcp://\S+ has the data .*, here it is abc:"),
    ):
        bench(settling=crew.settle)
    assert bench.fits() == 0


def test_a_language_model_that_changed_in_place_is_read_anew(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    config = read_config(
        None,
        {"task": "next_item", "dataset": "world", "llm": str(folder), "threads": 1},
        TABLES,
    )
    opened = []
    for weights in (b"old", b"new"):
        (folder / "model.safetensors").write_bytes(weights)
        facts = llm_identity(str(folder))
        opening = Opening(
            config=config.model_dump_json(by_alias=True),
            tables=TABLES.made_by,
            command="",
            fingerprint=small_world().fingerprint,
            llm=stable_hash(facts),
        )
        opened.append(work._opened(opening).world.llm_facts == facts)
    assert opened == [True, True]
    (folder / "model.safetensors").write_bytes(b"of one machine alone")
    other = opening.model_copy(update={"llm": "other"})
    with pytest.raises(work._OtherError, match="has another language model at"):
        work._opened(other)


def test_data_that_change_under_a_run_are_its_rows_and_no_workers_fault(bench, monkeypatch):
    class Changed:
        def check(self):
            raise DataChangedError("the data set changed on the disk")

    def other(*arguments):
        world = planning.open_world(*arguments)
        return replace(world, dataset=replace(world.dataset, fingerprint="abc"), seal=Changed())

    monkeypatch.setattr("benchmark.runs.runner.open_world", other)
    for refusal in (None, lambda inspector, said: ""):  # found by the look, and by the cell
        if refusal is not None:
            monkeypatch.setattr("benchmark.scaleout.inspection.Inspector.refusal", refusal)
        with changed(bench.crew) as crew:
            rows = bench(settling=crew.settle, seeds="0,1,2")
        assert all("the data set changed on the disk" in row.error for row in rows)
        assert rows[-1].error.startswith("not run: ")
    assert bench.fits() == 0


def test_workers_that_do_not_see_the_results_are_refused(bench, monkeypatch, tmp_path):
    from benchmark.scaleout import inspection

    monkeypatch.setattr(inspection, "_mark_of", lambda folder: tmp_path / "on another machine")
    with (
        changed(bench.crew) as crew,
        pytest.raises(UserError, match=r"does not see the folder .*out: --out"),
    ):
        bench(settling=crew.settle)


def test_a_folder_of_results_has_one_mark(tmp_path):
    from benchmark.scaleout.inspection import _mark_of

    marks = {_mark_of(tmp_path / name) for name in ("a", "a", "b")}
    assert [mark.exists() for mark in marks] == [True, True]
    assert len({mark.name for mark in marks}) == 2


def test_workers_that_die_while_they_start_are_one_line(monkeypatch):
    def die(**options):
        raise RuntimeError("Nanny failed to start.") from OSError("the process was killed")

    monkeypatch.setattr("distributed.SpecCluster", die)
    with (
        crew_of(Scale(workers=2), TABLES, io.StringIO()) as crew,
        pytest.raises(RunError, match=r"2 workers did not start \(.*killed\): the same command"),
    ):
        crew.start(2, 1, "cpu")


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:1", "tls://127.0.0.1:1"])
def test_a_scheduler_that_does_not_answer_is_one_line(monkeypatch, address):
    monkeypatch.setattr(cluster, "_ANSWER_SECONDS", 1)
    begun = time.monotonic()
    with (
        pytest.raises(UserError, match=f"--scheduler {address} does not answer") as error,
        crew_of(Scale(scheduler=address), TABLES, io.StringIO()),
    ):
        pass
    assert "\n" not in str(error.value)
    assert "TLS" in str(error.value)
    assert time.monotonic() - begun < 30


def test_an_interrupt_leaves_nothing_running_on_workers_that_stay(bench, tmp_path):
    crew = bench.crew

    def interrupted(cells, world, config, progress):
        with changed(crew) as other:
            hear = other._deliver

            def interrupt(event):
                hear(event)
                if event[1]["what"] == "stage":
                    os.kill(os.getpid(), signal.SIGINT)

            other._client.subscribe_topic(other.topic, interrupt)
            return other.settle(cells, world, config, progress)

    with pytest.raises(KeyboardInterrupt):
        bench("alpha", ["alpha.wait=3600"], settling=interrupted)
    (row,) = bench("alpha", ["alpha.wait=0"])  # of other settings, on the same workers
    assert row.record is not None
