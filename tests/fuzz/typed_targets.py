"""What somebody types or writes by hand: arguments, configurations, spaces, templates."""

from __future__ import annotations

import contextlib
import io
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn
from unittest import mock

from benchmark.cli import main
from benchmark.config import Layers, read_config, read_layers
from benchmark.errors import UserError
from benchmark.reporting.template import render_template
from benchmark.settings import parse_assignment
from benchmark.tuning.applied import check_tuned
from benchmark.tuning.space import read_space
from benchmark.tuning.tuned import read_tuned
from tests.fakes import make_tables
from tests.fuzz.file_targets import FileSession
from tests.fuzz.mutating import mutate, mutate_words
from tests.fuzz.target import Target
from tests.judged import keep

_YAML = (
    b": ", b"- ", b"&a ", b"*a", b"<<: *a\n", b"? ", b"!!python/object/apply:os.system ['x']",
    b"!!binary ", b"!!set ", b"!!omap ", b"!!int ", b"!!timestamp ", b"2001-99-99", b"0b_",
    b"0x_", b"1:99", b"---\n", b"...\n", b"%YAML 1.1\n", b"|\n", b">\n", b"~", b".nan", b".inf",
    b"{", b"}", b"[", b"]", b"'", b'"', b"\t", b"1e5", b"@", b"`", b"=", b"<<", b"null", b"-1",
)  # fmt: skip
_RUN = """\
task: [next_item, writing]
dataset: world
methods: [alpha, beta]
seeds: [0, 1]
preset: smoke
threads: 2
set: [alpha.rate=1e-2]
out: results
alpha: {epochs: 3, fusion: {every: 2, kind: flat}, names: [a, b]}
beta:
  rate: 0.5
  flag: true
next_item: {bootstrap_samples: 100}
"""
_TUNING = """\
tuning:
  alpha:
    {dataset: world, task: next_item, split: last, split_settings: {}, target_hash: t,
     preset: quick, seen: auto, settings: {rate: 0.1}, seconds: 3, space: {rate: [1, 2]},
     history: [{number: 0}]}
"""
_SPACE = (
    "rate: {low: 3e-4, high: 6e-3, log: true}\nepochs: {low: 1, high: 3}\nflag: [true, false]\n"
)
_TEMPLATE = """\
# {{ title }}

{% for row in rows if row.value > 0 %}
| `{{ row.name }}` | {{ row.value | round }} |
{% else %}
nothing
{% endfor %}
{% macro twice(x) %}{{ x }} and {{ x }}{% endmacro %}
{{ twice(title) | upper }} [{{ title }}](#{{ title }})
"""
_JINJA = (
    b"{{", b"}}", b"{%", b"%}", b"{#", b"| safe", b".__class__", b"`", b"```\n", b"|", b"loop",
    b"range(10**9)", b"rows", b" * 99999", b"['x']", b"\n\n", b"[", b"](", b"**", b"title",
)  # fmt: skip
_WORDS = (
    "run", "ablate", "sweep", "compare", "verify", "tune", "publish", "report", "list", "plot",
    "probe", "show", "import", "data", "info", "prepare", "export", "--task", "next_item",
    "--methods", "broken", "--seeds", "0,1", "--set", "alpha.rate=1e-2", "--config", "--preset",
    "smoke", "--json", "--out", "out", "--threads", "1", "-1", "--split", "last", "--part",
    "validation", "--seen", "include", "--axis", "--values", "--a", "--b", "--examples", "--only",
    "--force", "--llm", "--help", "--version", "--", "-", "--accelerator", "--multi-task", "runs",
    "--limit", "--trials", "--from", "--columns", "--template", "--name", "--target-hash", "=",
    "world", "gone", "alpha", "family/One", "--dataset", "settings", "methods", "datasets",
    "--workers", "--scheduler", "tcp://127.0.0.1:1", "tls://:", "--devices", "--num-nodes", "fsdp",
    "--distributed", "--micro-batches", "--precision", "bf16", "--retries", "--cell-seconds", "nan",
    "--resources", "GPU=1", "alpha.threads=2", "--dry-run", "1e999", "99999999999999999999", "0",
)  # fmt: skip
_COMMANDS = (
    "run --task next_item --dataset world --methods broken --threads 1 --seeds 0,1 --json",
    "run --task next_item --dataset world --methods broken --set broken.rate=1e-2 --out out",
    "run --config run.yaml --dataset gone",
    "run --task next_item --dataset world --methods broken --workers 2 --cell-seconds 9",
    "run --task next_item --dataset world --methods broken --distributed fsdp --devices 2",
    "run --task next_item --dataset world --methods alpha --dry-run --micro-batches 2 --json",
    "tune --method none --scheduler tcp://127.0.0.1:1 --resources alpha.GPU=1 --dataset world",
    "ablate --axis none --values 1,2 --task next_item --dataset world",
    "sweep --axis seq_len --values 10,none --task next_item --dataset world",
    "compare runs none --a alpha --b beta --margin 0.01",
    "verify runs --allow-missing --json",
    "tune --method none --trials 3 --task next_item --dataset world",
    "publish none --out out --allow-own",
    "report none --template none.md --margin .01",
    "list methods",
    "list settings alpha",
    "list datasets",
    "plot none --out figures --json",
    "probe none --only x --seed 1 --no-training",
    "show runs --examples 2 --seed 1 --only tied",
    "import answers.parquet --name x --task next_item --target-hash 00 --dataset world",
    "data info world --json",
    "data prepare own/shop --from none.csv --columns columns.yaml --broken 0.5 --k-core 2",
    "data export gone --task next_item --out out",
)


def _configuration(folder: Path) -> FileSession:
    path, tables = folder / "run.yaml", make_tables()

    def read() -> None:
        config = read_config(path, {}, tables)
        layers = read_layers(config, tables)
        check_tuned(config, layers, tables)

    return FileSession([(path, (_RUN + more).encode()) for more in ("", _TUNING)], read, _YAML)


def _found_settings(folder: Path) -> FileSession:
    path, tables = folder / "tuned.yaml", make_tables()
    space = folder / "space.yaml"
    session: FileSession

    def read() -> None:
        if session.path == path:
            read_tuned(path)
        else:
            read_space("alpha", "next_item", Layers({}, {}, {}), tables, space)

    session = FileSession([(path, _TUNING.encode()), (space, _SPACE.encode())], read, _YAML)
    return session


class _Assignments:
    """`--set` alone, of which there are many per second."""

    def inputs(self, rng: random.Random) -> Iterator[bytes]:
        """See `Session`."""
        while True:
            yield mutate(b"alpha.fusion.every={a: [1, 2e-3], b: x}", rng, _YAML)

    def call(self, given: bytes) -> None:
        """See `Session`."""
        parse_assignment(given.decode("utf-8", "surrogateescape"))


class _Template:
    """The template of a report over a small context."""

    def inputs(self, rng: random.Random) -> Iterator[bytes]:
        """See `Session`."""
        while True:
            yield mutate(_TEMPLATE.encode(), rng, _JINJA)

    def call(self, given: bytes) -> None:
        """See `Session`."""
        rows = [{"name": "a|b", "value": 1.5}, {"name": "<b>", "value": -1.0}]
        context = {"title": "some *text*", "rows": rows}
        render_template(given.decode("utf-8", "replace"), "template", context)


class _CommandLine:
    """Whole commands, in a folder that holds a run, over fake tables.

    Words that would lead out of the folder are left out, and no process is begun.
    """

    def __init__(self, folder: Path) -> None:
        os.environ["USERLLM_BENCH_HOME"] = str(folder / "home")
        keep(folder / "runs" / "a", "next_item")
        (folder / "run.yaml").write_text(_RUN)
        self.tables = make_tables()

    def inputs(self, rng: random.Random) -> Iterator[bytes]:
        """See `Session`."""
        while True:
            words = mutate_words(rng.choice(_COMMANDS).split(), rng, _WORDS)
            kept = [word for word in words if not word.startswith(("/", "~")) and ".." not in word]
            if "download" not in kept:
                yield "\0".join(word.replace("\0", "") for word in kept).encode("utf-8", "replace")

    def call(self, given: bytes) -> None:
        """See `Session`."""
        said, complaints = io.StringIO(), io.StringIO()
        with (
            mock.patch("benchmark.scaleout.crew.connected", _no_process),
            mock.patch("benchmark.system.launching.run_together", _no_process),
            contextlib.redirect_stdout(said),
            contextlib.redirect_stderr(complaints),
        ):
            code = main(given.decode("utf-8", "surrogateescape").split("\0"), self.tables)
        if code == 2 and not said.getvalue().startswith("Usage"):
            raise UserError(complaints.getvalue().rstrip("\n"))
        assert code in (0, 1, 2), code


def _no_process(*given: object) -> NoReturn:
    raise UserError("no process is begun here")


TARGETS = (
    Target("configuration", 12, _configuration),
    Target("tuned settings and spaces", 5, _found_settings),
    Target("assignments", 5, lambda folder: _Assignments()),
    Target("template", 3, lambda folder: _Template()),
    Target("command line", 5, _CommandLine),
)
