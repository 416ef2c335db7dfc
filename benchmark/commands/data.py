"""`userllm-bench data`: make data sets ready, and say what is in them."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from benchmark.data.store.ready import download_folder, how_to_prepare, sizes
from benchmark.entries import DatasetEntry
from benchmark.errors import UserError
from benchmark.tables import Tables, default_tables, why_unavailable

if TYPE_CHECKING:
    from benchmark.data.raw import PrepareSettings
    from benchmark.data.store.prepare import Prepared

OWN = "own/"


@dataclass(frozen=True)
class PrepareOptions:
    """What `data prepare` was told.

    Attributes:
        source: `--from`; None takes what was downloaded.
        given: Settings of preparation by name; None = not given.
        columns: The file that maps the columns of the user's own files.
        force: Prepare again what has not changed.
    """

    source: Path | None = None
    given: Mapping[str, Any] = field(default_factory=dict)
    columns: Path | None = None
    force: bool = False


def prepare_command(name: str, options: PrepareOptions, tables: Tables | None) -> None:
    """Prepares a data set and prints what it holds.

    Raises:
        UserError: There is no such data set, or nothing to prepare it from.
    """
    entry = (tables or default_tables()).dataset(name)
    _print_prepared(_prepare(name, entry, options))


def _prepare(name: str, entry: DatasetEntry, options: PrepareOptions) -> Prepared:
    _check_entry(name, entry)
    if entry.embedded:
        raise UserError(f"data set {name!r} needs no preparation: it is ready as it stands")
    source = options.source or _downloaded(name, entry)
    if not source.exists():
        raise UserError(f"--from: there is no file or folder {str(source)!r}")
    settings = _settings(name, options)
    from benchmark.data.store.prepare import prepare

    return prepare(name, entry, source, settings, force=options.force)


def _check_entry(name: str, entry: DatasetEntry) -> None:
    reason = why_unavailable(entry)
    if reason:
        raise UserError(f"data set {name!r} is not available: {reason}")


def _downloaded(name: str, entry: DatasetEntry) -> Path:
    from benchmark.data.store.download import downloaded, remotes

    found = downloaded(name, entry)
    if found is not None:
        return found
    where = "--from is missing"
    if entry.urls:
        folder, files = download_folder(name), [remote.place for remote in remotes(name, entry)]
        missing = [file.name for file in files if not file.is_file()]
        where = f"{folder} lacks {', '.join(missing)}"
        if len(missing) < len(files):
            where += f", and --from {folder} takes what is there"
    raise UserError(
        f"what is data set {name!r} to be made of? {where}: {how_to_prepare(name, entry)}"
    )


def _settings(name: str, options: PrepareOptions) -> PrepareSettings:
    from pydantic import ValidationError

    from benchmark.data.raw import PrepareSettings

    given = {key: value for key, value in options.given.items() if value is not None}
    model: type[PrepareSettings] = PrepareSettings
    if name.startswith(OWN):
        from benchmark.data.readers.own import OwnSettings

        model = OwnSettings
        if options.columns is not None:
            if not options.columns.is_file():
                raise UserError(f"--columns: there is no file {str(options.columns)!r}")
            given["columns"] = options.columns
    elif options.columns is not None:
        raise UserError(f"--columns describes files of one's own ({OWN}NAME), not {name!r}")
    try:
        return model.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        option = "--" + str(first["loc"][0]).replace("_", "-")
        raise UserError(f"{option} {first['input']}: {first['msg']}") from error


def _print_prepared(prepared: Prepared) -> None:
    manifest = prepared.manifest
    print(f"{manifest.name}: {sizes(manifest.facts)}")
    skipped = [f"{count:,} {reason}" for reason, count in manifest.counts.items() if count]
    print(f"skipped or changed: {', '.join(skipped) or 'nothing'}")
    for note in manifest.notes:
        print(f"note: {note}")
    print(f"lies in {prepared.folder}")
    if prepared.skipped:
        print("nothing had changed, so it was left as it is; --force prepares it anew")


def download_command(
    name: str, accepted: bool, prepare: bool, force: bool, tables: Tables | None
) -> None:
    """Downloads a data set's files and, where asked to, prepares it.

    Raises:
        UserError: There is no such data set or file, or its licence was not acknowledged.
        RunError: The files could not be fetched.
    """
    entry = (tables or default_tables()).dataset(name)
    _check_entry(name, entry)
    from benchmark.data.store.download import download, remotes

    files = remotes(name, entry)
    _acknowledge(name, entry, accepted)
    with _Bar() as bar:
        source = download(name, entry, bar.say, bar.arrived, force=force)
    for remote in files:
        print(f"{remote.place} ({remote.place.stat().st_size:,} bytes)")
    if prepare:
        _print_prepared(_prepare(name, entry, PrepareOptions(source)))


def _acknowledge(name: str, entry: DatasetEntry, accepted: bool) -> None:
    """Shows the terms; they are agreed to by option or, on a terminal, by answer."""
    print(f"licence of {name}: {entry.licence}", file=sys.stderr)
    if entry.citation:
        print(f"cite: {entry.citation}", file=sys.stderr)
    if accepted:
        return
    answerable = sys.stdin is not None and sys.stdin.isatty()
    if not answerable or not typer.confirm("Do you keep to these terms?", err=True):
        raise UserError(
            f"the licence of {name} was not accepted, so nothing was downloaded;"
            " --accept-licence accepts it"
        )


class _Bar:
    """Says how far a download is: a bar on a terminal, lines elsewhere."""

    def __enter__(self) -> _Bar:
        self._progress: Any = None
        self._tasks: dict[str, Any] = {}
        if sys.stderr.isatty():
            from rich.markup import escape
            from rich.progress import DownloadColumn, Progress, TransferSpeedColumn

            from benchmark.display.consoles import open_console

            console = open_console(sys.stderr)
            columns = (*Progress.get_default_columns(), DownloadColumn(), TransferSpeedColumn())
            self._progress = Progress(*columns, console=console)
            self._escape = escape
            self._progress.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._progress is not None:
            self._progress.stop()

    def say(self, text: str) -> None:
        """Says a line."""
        print(text, file=sys.stderr, flush=True)

    def arrived(self, file: str, have: int, total: int | None) -> None:
        """Moves the bar of a file."""
        if self._progress is None:
            return
        if file not in self._tasks:
            self._tasks[file] = self._progress.add_task(self._escape(file), total=total)
        self._progress.update(self._tasks[file], completed=have, total=total)


def info_command(name: str, as_json: bool, tables: Tables | None) -> None:
    """Prints statistics, dates, repeats, coverage, hashes, licence and citation of a data set.

    Raises:
        UserError: There is no such data set, or it is not ready.
    """
    entry = (tables or default_tables()).dataset(name)
    _check_entry(name, entry)
    from benchmark.data.opening import load_dataset
    from benchmark.data.store.info import describe_dataset, lines
    from benchmark.data.store.store import read_manifest

    dataset = load_dataset(name, entry)
    found = describe_dataset(dataset, None if entry.embedded else read_manifest(name))
    if as_json:
        print(json.dumps(found, indent=2))
        return
    table = lines(found)
    width = max(len(heading) for heading, _ in table)
    for heading, text in table:
        print(f"{heading:{width}}  {text}")
