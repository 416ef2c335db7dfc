"""Fetches a data set's files from their publisher.

pooch checks and puts in place, `benchmark.data.store.fetching` transfers; proxies are those of the
environment (`http_proxy`, `https_proxy`, `no_proxy`).
"""

from __future__ import annotations

import errno
import logging
import posixpath
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from benchmark.data.store.fetching import CutError, Fetcher, RefusedError
from benchmark.data.store.ready import download_folder
from benchmark.entries import DatasetEntry
from benchmark.errors import RunError, UserError
from benchmark.system import home
from benchmark.system.locking import locked

_NOT_FOUND, _GONE = 404, 410
Arrived = Callable[[str, int, int | None], None]


@dataclass(frozen=True)
class Remote:
    """A publisher's file.

    Attributes:
        url: Where it is.
        place: Where it belongs here.
        checksum: `md5:...` or `sha256:...`, "" where the publisher gives none.
    """

    url: str
    place: Path
    checksum: str


def remotes(name: str, entry: DatasetEntry) -> tuple[Remote, ...]:
    """The files that a data set is made of.

    Raises:
        UserError: It is not to be downloaded.
    """
    if entry.embedded:
        raise UserError(f"data set {name!r} needs no download: it is ready as it stands")
    if not entry.urls:
        raise UserError(
            f"data set {name!r} is nowhere to be downloaded:"
            f" `userllm-bench data prepare {name} --from PATH` reads it from files of yours"
        )
    part = name.partition("/")[2]
    sums = [*entry.checksums, *[""] * len(entry.urls)]
    found = []
    for url, checksum in zip(entry.urls, sums, strict=False):
        whole = url.replace("{part}", part)
        file = posixpath.basename(unquote(urlsplit(whole).path))
        found.append(Remote(whole, download_folder(name) / file, checksum))
    return tuple(found)


def downloaded(name: str, entry: DatasetEntry) -> Path | None:
    """What `data prepare` reads where all files are there: the file, or the folder of several."""
    if not entry.urls:
        return None
    places = [remote.place for remote in remotes(name, entry)]
    if not all(place.is_file() for place in places):
        return None
    return places[0] if len(places) == 1 else places[0].parent


def download(
    name: str,
    entry: DatasetEntry,
    say: Callable[[str], None],
    arrived: Arrived = lambda name, have, total: None,
    *,
    force: bool = False,
) -> Path:
    """Fetches what is not there yet; a transfer that was cut goes on where it ended.

    Args:
        name: The data set.
        entry: Its entry.
        say: Told what happens, a line each.
        arrived: Told how far a file is: its name, bytes, and of how many (None: unknown).
        force: Fetch again what is there.

    Returns:
        What to prepare the data set from.

    Raises:
        UserError: There is nothing to fetch under this name.
        RunError: A file could not be fetched; says which, and where to put it by hand.
    """
    files = remotes(name, entry)
    folder = download_folder(name)
    waiting = f"another process is downloading {name}; waiting for it"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with locked(home.downloads_folder(), quote(name, safe=""), say, waiting):
            for remote in files:
                if force:
                    remote.place.unlink(missing_ok=True)
                _fetch(name, entry, remote, say, arrived)
    except OSError as error:
        raise _no_room(error, folder) from error
    done = downloaded(name, entry)
    assert done is not None
    return done


def _fetch(
    name: str,
    entry: DatasetEntry,
    remote: Remote,
    say: Callable[[str], None],
    arrived: Arrived,
) -> None:
    import pooch
    import requests

    pooch.get_logger().setLevel(logging.ERROR)
    file = remote.place.name
    if not remote.place.is_file():
        say(f"downloading {remote.url}")
    try:
        pooch.retrieve(
            remote.url,
            known_hash=remote.checksum or None,
            fname=file,
            path=remote.place.parent,
            downloader=Fetcher(remote.place, lambda have, total: arrived(file, have, total)),
        )
    except RefusedError as error:
        raise _refused(name, entry, remote, error) from error
    except (CutError, requests.RequestException) as error:
        raise RunError(f"{_why(error)} {remote.url}: {_by_hand(name, entry, remote)}") from error
    except ValueError as error:  # pooch: the checksum differs, and what came is deleted
        raise RunError(
            f"what came from {remote.url} is not the file its publisher announced"
            f" ({remote.checksum}); it was deleted. If another try brings the same,"
            f" {_by_hand(name, entry, remote)}"
        ) from error


def _why(error: Exception) -> str:
    import requests

    # In words of ours: those of the library name the proxy, with its password.
    if isinstance(error, CutError):
        return f"the download broke off ({error}; what came is kept and the same command goes on):"
    reasons: tuple[tuple[type[Exception], str], ...] = (
        (requests.exceptions.ProxyError, "the proxy does not lead to"),
        (requests.exceptions.SSLError, "no trusted connection to"),
        (requests.exceptions.Timeout, "no answer in time from"),
        (requests.exceptions.ConnectionError, "cannot reach"),
    )
    return next((text for kind, text in reasons if isinstance(error, kind)), "cannot download")


def _by_hand(name: str, entry: DatasetEntry, remote: Remote) -> str:
    """How to do without us; names what else is missing, so that one way is enough."""
    others = "".join(
        f", likewise {other.url} at {other.place}"
        for other in remotes(name, entry)
        if other != remote and not other.place.is_file()
    )
    return (
        f"fetch it by hand, put it at {remote.place}{others}, and run"
        f" `userllm-bench data prepare {name}`"
    )


def _refused(
    name: str, entry: DatasetEntry, remote: Remote, refused: RefusedError
) -> UserError | RunError:
    if refused.status in (_NOT_FOUND, _GONE) and entry.part:
        part = name.partition("/")[2]
        return UserError(
            f"there is no {remote.url} ({refused}): is {part!r} a {entry.part} as the"
            f" publisher writes it? If you have the files, put them into {remote.place.parent}"
            f" or run `userllm-bench data prepare {name} --from PATH`"
        )
    return RunError(
        f"the server does not give {remote.url} ({refused}): {_by_hand(name, entry, remote)}"
    )


def _no_room(error: OSError, folder: Path) -> RunError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return RunError(
            f"the disk is full: {folder} has no room for the rest; what came is kept, and the same"
            " command goes on once there is"
        )
    return RunError(f"{folder} cannot be written: {error.strerror or error}")
