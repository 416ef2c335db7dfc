"""Readers of data sets, and what they stand on: archives, delimited text, JSON lines."""

from __future__ import annotations

import gzip
import io
import random
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import polars as pl

from benchmark.data.files.archives import Opened, open_member
from benchmark.data.files.lines import read_delimited, read_json_lines
from benchmark.data.made_up.layouts import write_layout
from benchmark.data.made_up.synthetic import SyntheticSettings
from benchmark.data.raw import PrepareSettings, Raw
from benchmark.data.readers.own import OwnSettings
from benchmark.datasets import DATASETS
from tests.fuzz.mutating import mutate
from tests.fuzz.target import Target
from tests.publishers import as_dataset

_WORLD = SyntheticSettings(users=8, items=10, events=(3, 6), genres=3, titled=True)
_TOKENS = (
    b"\n", b"\r\n", b"\r", b",", b'"', b'""', b"::", b"|", b"\t", b"\xef\xbb\xbf", b"\xff\xfe",
    b"\x00", b"1e5", b"-1", b"99999999999999999999", b"nan", b"null", b"{}", b"[]", b'{"a":1}',
    b"\\ud800", b"\\u0000", b"True", b"b'x'", b"(1,)", b"5.0", b"2024-13-45", b"0",
)  # fmt: skip
_ARCHIVE_TOKENS = (
    b"PK\x01\x02", b"PK\x03\x04", b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07", b"\x1f\x8b\x08",
    b"\xff" * 4, b"\xff" * 8, b"\x00" * 4, b"../", b"ustar", b"\x01\x00\x10\x00", b"\x63\x00",
)  # fmt: skip


class FileSession:
    """A file among others that is changed, read, and put back.

    Args:
        seeds: Valid contents by the file that they belong in.
        read: Reads what lies there.
        tokens: Words of the format.
    """

    def __init__(
        self,
        seeds: Sequence[tuple[Path, bytes]],
        read: Callable[[], object],
        tokens: Sequence[bytes] = _TOKENS,
    ) -> None:
        self.seeds, self.read, self.tokens = seeds, read, tokens
        self.path, self.whole = seeds[0]

    def inputs(self, rng: random.Random) -> Iterator[bytes]:
        """See `Session`."""
        while True:
            self.path, self.whole = rng.choice(self.seeds)
            yield mutate(self.whole, rng, self.tokens)

    def call(self, given: bytes) -> None:
        """See `Session`."""
        self.path.write_bytes(given)
        try:
            self.read()
        finally:
            self.path.write_bytes(self.whole)


def reader(layout: str, weight: float) -> Target:
    """The reader of a family of data sets, up to the data set that is made of what it reads."""

    def opened(folder: Path) -> FileSession:
        source = folder / "source"
        path = write_layout(layout, source, _WORLD, quirks=True)
        name = layout if layout.startswith("ml-") else f"{layout.partition('/')[0]}/Synthetic"
        entry = DATASETS[name if layout.startswith("ml-") else f"{name.partition('/')[0]}/*"]
        settings = (
            OwnSettings(broken=0.5) if name.startswith("own/") else PrepareSettings(broken=0.5)
        )
        place = path if path.is_file() and name.startswith("own/") else source

        def read() -> None:
            raw: Raw = entry.load()(name, place, settings)
            as_dataset(raw)

        files = [file for file in sorted(source.rglob("*")) if file.is_file()]
        for file in files:  # what is packed would only ever be found to be damaged
            content = file.read_bytes()
            if content.startswith(b"\x1f\x8b"):
                file.write_bytes(gzip.decompress(content))
        return FileSession([(file, file.read_bytes()) for file in files], read)

    return Target(f"reader of {layout}", weight, opened)


def own_formats(kind: str, weight: float) -> Target:
    """Files of one's own in another format than CSV."""

    def opened(folder: Path) -> FileSession:
        table = pl.read_csv(write_layout("own", folder / "made", _WORLD, quirks=True))
        (folder / "columns.yaml").write_bytes((folder / "made" / "columns.yaml").read_bytes())
        path = folder / f"interactions.{kind}"
        if kind == "parquet":
            table.write_parquet(path)
        else:
            table.write_ndjson(path)
        read = DATASETS["own/*"].load()
        settings = OwnSettings(broken=0.5)
        seeds = [(path, path.read_bytes())]
        return FileSession(seeds, lambda: as_dataset(read("own/shop", path, settings)))

    return Target(f"reader of own {kind}", weight, opened)


def _archives(folder: Path) -> FileSession:
    text = b"userId,movieId\n" + b"".join(b"%d,%d\n" % (n, n * n) for n in range(200))

    def zipped(method: int, **files: bytes) -> bytes:
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", method) as archive:
            for name, content in files.items():
                archive.writestr(name, content)
        return out.getvalue()

    files = {"ml/ratings.csv": text, "ml/README": b"read me", "ml/deep/ratings.csv.gz": text}
    packed = [
        *(zipped(method, **files) for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)),
        zipped(zipfile.ZIP_BZIP2, **{"ratings.csv": text}),
        zipped(zipfile.ZIP_LZMA, **{"ratings.csv": text}),
        zipped(zipfile.ZIP_DEFLATED, **{"ratings.csv.gz": gzip.compress(text, mtime=0)}),
        gzip.compress(text, mtime=0),
        gzip.compress(zipped(zipfile.ZIP_STORED, **files), mtime=0),
    ]
    source = folder / "source"
    source.mkdir()
    place = source / "x.zip"

    def read() -> None:
        for where in (source, place):
            with open_member(where, "ratings.csv", "*") as found:
                found.path.read_bytes()

    return FileSession([(place, content) for content in packed], read, _ARCHIVE_TOKENS)


def _delimited(folder: Path) -> FileSession:
    rows = "".join(f'{n},"item ""{n}"", blue",{n / 2},{n}\n' for n in range(30))
    texts = [
        ("a.csv", "user,name,rating,time\n" + rows),
        ("b.csv", 'user,name,rating,time\r\n"1","two\nlines",3.5,4\r\n'),
        ("c.dat", "".join(f"{n}::{n * 3}::{n / 2}::{n}\n" for n in range(30))),
        ("d.tsv", "".join(f"{n}\tname {n}\t4.5\t{n}\n" for n in range(30))),
    ]
    columns = {"user": pl.UInt32, "name": pl.String, "rating": pl.Float32, "time": pl.Int64}
    separators = {"a.csv": ",", "b.csv": ",", "c.dat": "::", "d.tsv": "\t"}
    session: FileSession

    def read() -> None:
        name = session.path.name
        own = dict(columns) if name != "c.dat" else {**columns, "name": pl.Int32}
        overflow = "name" if name == "d.tsv" else ""
        read_delimited(
            Opened(name, session.path), separators[name], own,
            header=name.endswith(".csv"), broken=0.5, overflow=overflow,
        )  # fmt: skip

    session = FileSession([(folder / name, text.encode()) for name, text in texts], read)
    return session


def _json_lines(folder: Path) -> FileSession:
    lines = "".join(
        f'{{"user": "u{n}", "stars": {n % 5}, "price": "{n / 3:.2f}", "kinds": ["a", "b{n}"], '
        f'"more": {{"x": [1, null]}}}}\n'
        for n in range(30)
    )
    schema = {
        "user": pl.String,
        "stars": pl.Int64,
        "price": pl.Float64,
        "kinds": pl.List(pl.String),
    }
    path = folder / "a.jsonl"
    return FileSession(
        [(path, lines.encode())], lambda: read_json_lines(Opened("a", path), schema, broken=0.5)
    )


TARGETS = (
    *(reader(name, 2) for name in ("ml-latest-small", "ml-1m", "ml-10m", "ml-32m")),
    *(reader(name, 2) for name in ("amazon-2014", "amazon-2018", "amazon-2023", "google-local")),
    reader("own", 2),
    own_formats("jsonl", 2),
    own_formats("parquet", 3),
    Target("archives", 15, _archives),
    Target("delimited text", 12, _delimited),
    Target("JSON lines", 12, _json_lines),
)
