"""Fetches one file over HTTP in as many goes as it takes.

What has come stays beside the file's final place as `NAME.part`, with `NAME.part.json` saying of
which version of which URL it is a part; so a later go asks only for the rest. A server that has
another version by then, or that gives no parts, gives the whole file again.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark import __version__
from benchmark.errors import RunError
from benchmark.whole_numbers import whole_number

if TYPE_CHECKING:
    import requests

TIMEOUT_SECONDS = (15.0, 60.0)
"""Until a connection stands, and between two pieces."""
GOES = 4
"""That may fail one after another without bringing anything."""
PAUSE_SECONDS = 1.0
"""After the first of them; each further pause is twice as long."""
_PIECE_BYTES = 1 << 20
_OK, _PARTIAL, _BEYOND, _BUSY, _SERVER_ERROR = 200, 206, 416, 429, 500


class RefusedError(Exception):
    """The server answers, but not with the file.

    Args:
        status: HTTP status.
        text: What it answers.
    """

    def __init__(self, status: int, text: str = "") -> None:
        super().__init__(text or f"HTTP status {status}")
        self.status = status

    @property
    def passing(self) -> bool:
        """Whether it may be better in a moment."""
        return self.status == _BUSY or self.status >= _SERVER_ERROR


class CutError(Exception):
    """The connection ended before the file did."""


class Fetcher:
    """Fetches a file: what pooch calls a downloader.

    Args:
        place: Where the file will be in the end.
        arrived: Told after each piece how many bytes are there, and of how many (None: unknown).
    """

    def __init__(self, place: Path, arrived: Callable[[int, int | None], None]) -> None:
        self.part = place.with_name(place.name + ".part")
        self.note = place.with_name(place.name + ".part.json")
        self.arrived = arrived

    def __call__(self, url: str, output_file: str, pooch: object) -> None:
        """Fetches the file.

        Raises:
            RefusedError: The server does not give it.
            requests.RequestException: It cannot be reached, or the connection keeps failing.
            RunError: There is no room for it.
        """
        import requests

        failed, before = 0, self._have()
        with requests.Session() as session:
            session.headers["User-Agent"] = f"userllm-bench/{__version__}"
            while True:
                try:
                    self._go(session, url)
                    break
                except (CutError, RefusedError, requests.RequestException) as error:
                    have = self._have()
                    failed = 1 if have > before else failed + 1
                    before = have
                    if failed >= GOES or not _worth_another(error):
                        raise
                time.sleep(PAUSE_SECONDS * 2 ** (failed - 1))
        os.replace(self.part, output_file)
        self.note.unlink(missing_ok=True)

    def _go(self, session: requests.Session, url: str) -> None:
        """One request for what is missing."""
        import urllib3

        have, known = self._have(), self._read_note(url)
        # The file is wanted as it lies there, not as a browser would show it.
        headers = {"Accept-Encoding": "identity"}
        if have and known is not None:
            headers["Range"] = f"bytes={have}-"
            if known["version"]:
                headers["If-Range"] = known["version"]
        with session.get(url, headers=headers, stream=True, timeout=TIMEOUT_SECONDS) as response:
            status, total = response.status_code, _total_bytes(response)
            if status == _BEYOND and have and total == have:
                return
            if status == _BEYOND or (status == _PARTIAL and not _continues(response, have)):
                self.part.unlink(missing_ok=True)
                raise CutError("the server has another version of it by now")
            if status not in (_OK, _PARTIAL):
                raise RefusedError(status)
            if response.headers.get("Content-Type", "").startswith("text/html"):
                raise RefusedError(status, "a web page instead of the file")
            if status == _OK:
                have = 0
            self._check_room(total, have)
            self.note.write_text(
                json.dumps({"url": url, "version": _version(response), "bytes": total})
            )
            with open(self.part, "ab" if have else "wb") as out:
                self.arrived(have, total)
                try:
                    for piece in response.raw.stream(_PIECE_BYTES, decode_content=False):
                        out.write(piece)
                        have += len(piece)
                        self.arrived(have, total)
                except urllib3.exceptions.HTTPError as error:
                    raise CutError("the connection was cut") from error
        if total is not None and have != total:
            raise CutError(f"{have:,} of {total:,} bytes came")

    def _have(self) -> int:
        return self.part.stat().st_size if self.part.is_file() else 0

    def _read_note(self, url: str) -> dict[str, Any] | None:
        """What is known of the part, None where it may be of anything."""
        try:
            note = json.loads(self.note.read_text())
            return note if note["url"] == url and "version" in note else None
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def _check_room(self, total: int | None, have: int) -> None:
        free = shutil.disk_usage(self.part.parent).free
        if total is not None and free < total - have:
            raise RunError(
                f"the disk is full: {self.part.parent} has room for {free:,} bytes, and"
                f" {total - have:,} more are to come"
            )


def _worth_another(error: Exception) -> bool:
    """Whether another go may work; who cannot be reached at all now will not be in a second."""
    import requests

    if isinstance(error, RefusedError):
        return error.passing
    return isinstance(error, CutError | requests.ReadTimeout) or (
        isinstance(error, requests.ConnectionError) and _was_there(error)
    )


def _was_there(error: requests.ConnectionError) -> bool:
    """Whether there was a connection, which then ended without an answer."""
    import requests
    import urllib3

    if isinstance(error, requests.exceptions.ProxyError | requests.exceptions.SSLError):
        return False
    return bool(error.args) and isinstance(error.args[0], urllib3.exceptions.ProtocolError)


def _total_bytes(response: requests.Response) -> int | None:
    """Size of the whole file."""
    if response.status_code in (_PARTIAL, _BEYOND):
        total = response.headers.get("Content-Range", "").rpartition("/")[2]
    else:
        total = response.headers.get("Content-Length", "")
    return whole_number(total)


def _continues(response: requests.Response, have: int) -> bool:
    return response.headers.get("Content-Range", "").startswith(f"bytes {have}-")


def _version(response: requests.Response) -> str:
    """What the server must still have for the rest to fit, "" where it does not say."""
    etag = response.headers.get("ETag", "")
    return etag if etag and not etag.startswith("W/") else response.headers.get("Last-Modified", "")
