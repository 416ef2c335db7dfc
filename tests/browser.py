"""Chromium without a window, spoken to over a pipe: what a page shows, says and asks for."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium")
_FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-quic",
    "--no-first-run", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--disable-extensions", "--host-resolver-rules=MAP * ~NOTFOUND",
    "--remote-debugging-pipe",
)  # fmt: skip
_SECONDS = 30.0


class Browser:
    """A running Chromium.

    Args:
        profile: An empty folder of its own.
    """

    def __init__(self, profile: Path) -> None:
        theirs_in, self._out = _pipe()
        self._in, theirs_out = _pipe()

        def hand_over() -> None:
            # Chromium reads commands from 3 and writes answers to 4.
            os.dup2(theirs_in, 3)
            os.dup2(theirs_out, 4)

        self._process = subprocess.Popen(
            [str(CHROMIUM), *_FLAGS, f"--user-data-dir={profile}"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=hand_over,
            pass_fds=(3, 4),
            env=os.environ | {"HOME": str(profile)},
        )
        os.close(theirs_in)
        os.close(theirs_out)
        self._rest = b""
        self._number = 0
        self.events: list[dict[str, Any]] = []

    def open(
        self, page: Path, *, width: int = 1200, height: int = 900, scripts: bool = True
    ) -> Tab:
        """Opens a file in a new tab and waits until it is loaded."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        answer = self.call("Target.attachToTarget", targetId=target, flatten=True)
        tab = Tab(self, answer["sessionId"])
        for domain in ("Page", "Runtime", "Network", "Log"):
            tab.call(f"{domain}.enable")
        tab.resize(width, height)
        tab.call("Emulation.setScriptExecutionDisabled", value=not scripts)
        tab.call("Page.setLifecycleEventsEnabled", enabled=True)
        loader = tab.call("Page.navigate", url=page.as_uri())["loaderId"]
        self.wait_for_load(tab.session, loader)
        return tab

    def call(self, method: str, session: str | None = None, **params: Any) -> dict[str, Any]:
        """Gives a command and waits for its answer."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": params}
        if session is not None:
            message["sessionId"] = session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + _SECONDS
        while True:
            answer = self._next(deadline)
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise AssertionError(f"{method}: {answer['error']}")
                result: dict[str, Any] = answer["result"]
                return result

    def wait_for_load(self, session: str, loader: str) -> None:
        """Waits until a navigation has loaded all there is to it."""
        deadline = time.monotonic() + _SECONDS
        loaded = {"loaderId": loader, "name": "load"}
        while not any(
            event.get("sessionId") == session
            and event["method"] == "Page.lifecycleEvent"
            and loaded.items() <= event["params"].items()
            for event in self.events
        ):
            self._next(deadline)

    def _next(self, deadline: float) -> dict[str, Any]:
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._in], [], [], max(0.0, deadline - time.monotonic()))
            part = os.read(self._in, 1 << 20) if ready else b""
            if not part:
                raise AssertionError("Chromium says nothing")
            self._rest += part
        raw, _, self._rest = self._rest.partition(b"\0")
        message: dict[str, Any] = json.loads(raw)
        if "method" in message:
            self.events.append(message)
        return message

    def close(self) -> None:
        """Ends it."""
        os.close(self._out)
        os.close(self._in)
        self._process.terminate()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class Tab:
    """One page that is open."""

    def __init__(self, browser: Browser, session: str) -> None:
        self.browser = browser
        self.session = session

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Gives a command to this page."""
        return self.browser.call(method, self.session, **params)

    def run(self, script: str) -> Any:
        """The value of an expression of JavaScript, as JSON has it."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True,
                           awaitPromise=True)  # fmt: skip
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def html(self) -> str:
        """The page as it is now."""
        root = self.call("DOM.getDocument", depth=0)["root"]["nodeId"]
        html: str = self.call("DOM.getOuterHTML", nodeId=root)["outerHTML"]
        return html

    def press(self, key: str) -> None:
        """A key on the keyboard: `Enter`, `Tab` or ` `."""
        code, text = {"Enter": (13, "\r"), "Tab": (9, ""), " ": (32, " ")}[key]
        own = {"key": key, "windowsVirtualKeyCode": code}
        kind = "keyDown" if text else "rawKeyDown"
        self.call("Input.dispatchKeyEvent", type=kind, text=text, **own)
        self.call("Input.dispatchKeyEvent", type="keyUp", **own)

    def resize(self, width: int, height: int) -> None:
        """The size of the window in CSS pixels; below 600 it is a phone."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height,
                  deviceScaleFactor=1, mobile=width < 600)  # fmt: skip

    def look(self, medium: str = "screen", scheme: str = "light", motion: str = "no-preference",
             ) -> None:  # fmt: skip
        """What the page is shown on and what its reader prefers."""
        features = [
            {"name": "prefers-color-scheme", "value": scheme},
            {"name": "prefers-reduced-motion", "value": motion},
        ]
        self.call("Emulation.setEmulatedMedia", media=medium, features=features)

    def picture(self, path: Path) -> None:
        """A PNG of the whole page."""
        answer = self.call("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(answer["data"]))

    def problems(self) -> list[str]:
        """Errors and warnings that the page caused."""
        found = []
        for event in self._own():
            params = event["params"]
            if event["method"] == "Runtime.exceptionThrown":
                found.append(str(params["exceptionDetails"]))
            elif event["method"] == "Log.entryAdded":
                found.append(params["entry"]["text"])
            elif event["method"] == "Runtime.consoleAPICalled":
                found.append(str(params["args"]))
        return found

    def requests(self) -> list[str]:
        """Addresses that the page asked for, beside those that hold their data."""
        urls = [
            event["params"]["request"]["url"]
            for event in self._own()
            if event["method"] == "Network.requestWillBeSent"
        ]
        return [url for url in urls if not url.startswith("data:")]

    def _own(self) -> list[dict[str, Any]]:
        return [event for event in self.browser.events if event.get("sessionId") == self.session]


def _pipe() -> tuple[int, int]:
    """A pipe whose ends are above the numbers that Chromium wants for its own."""
    ends = os.pipe()
    high = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in ends]
    for end in ends:
        os.close(end)
    return high[0], high[1]
