"""A publisher's server on this machine, which also misbehaves as servers do."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit


@dataclass
class FileServer:
    """What it serves and how, and what it was asked.

    Attributes:
        url: Its address.
        files: Content by path, `/ml.zip`.
        etag: Version of every file, "" = it does not say.
        ranges: Whether it gives parts of files.
        cuts: Bytes after which the next answers end; taken one after another.
        statuses: What the next answers are instead of files; taken one after another.
        content_type: Of every file.
        length: Whether it says how long a file is.
        hold: Cleared, answers wait in their middle until it is set.
        requests: Path and `Range` of what was asked, in order.
        hosts: Whom the requests were for: another host where it is used as a proxy.
    """

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    etag: str = '"1"'
    ranges: bool = True
    cuts: list[int] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    content_type: str = "application/zip"
    length: bool = True
    hold: threading.Event = field(default_factory=threading.Event)
    requests: list[tuple[str, str]] = field(default_factory=list)
    hosts: list[str] = field(default_factory=list)


@contextmanager
def serving() -> Iterator[FileServer]:
    """A server that runs until the end of the block."""
    state = FileServer()
    state.hold.set()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            asked = self.headers.get("Range", "")
            state.requests.append((parts.path, asked))
            state.hosts.append(parts.netloc or self.headers.get("Host", ""))
            if state.statuses:
                self.send_error(state.statuses.pop(0))
                return
            content = state.files.get(parts.path)
            if content is None:
                self.send_error(404)
                return
            begin = self._begin(asked)
            if begin and begin >= len(content):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(content)}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(206 if begin else 200)
            self.send_header("Content-Type", state.content_type)
            if begin:
                end = len(content) - 1
                self.send_header("Content-Range", f"bytes {begin}-{end}/{len(content)}")
            if state.length:
                self.send_header("Content-Length", str(len(content) - begin))
            if state.etag:
                self.send_header("ETag", state.etag)
            self.end_headers()
            rest = content[begin:]
            if state.cuts:
                rest = rest[: state.cuts.pop(0)]
            half = len(rest) // 2
            self.wfile.write(rest[:half])
            self.wfile.flush()
            state.hold.wait(30)
            self.wfile.write(rest[half:])

        def _begin(self, asked: str) -> int:
            same = self.headers.get("If-Range", state.etag) == state.etag
            if not (state.ranges and same and asked.startswith("bytes=")):
                return 0
            return int(asked.removeprefix("bytes=").partition("-")[0])

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            pass  # whoever asked has gone

    server = Server(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield state
    finally:
        state.hold.set()
        server.shutdown()
        server.server_close()
