"""An action whose process dies at a certain step of it, as by `kill -9`. Unix only."""

from __future__ import annotations

import os
import resource
import signal
import sys
from collections.abc import Callable, Iterator

_STEPS = ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir")


def deaths(action: Callable[[], object], half_bytes: int = 40) -> Iterator[str]:
    """Runs an action again and again, killed before each step that changes files, then whole.

    Files that it has opened for writing also get half of what they should, in runs of their own.

    Args:
        action: Writes files; runs in a forked process, the last time too.
        half_bytes: How much a file has when its process dies within it.

    Yields:
        Where it died, "" in the end; what it left is to be looked at then.
    """
    step = 1
    while _dies(action, step, None):
        yield f"before step {step}"
        if _dies(action, step, half_bytes):
            yield f"half-written, or before step {step}"
        step += 1
    yield ""


def _dies(action: Callable[[], object], at: int, most_bytes: int | None) -> bool:
    pid = os.fork()
    if not pid:
        code = 1
        try:
            done = 0

            def hear(event: str, arguments: tuple[object, ...]) -> None:
                nonlocal done
                reads = event == "open" and arguments[1] in ("r", "rb", None)
                if event in _STEPS and not reads and not str(arguments[0]).startswith("/dev"):
                    done += 1
                    if done == at:
                        os.kill(os.getpid(), signal.SIGKILL)

            sys.addaudithook(hear)
            if most_bytes is not None:  # the system kills who writes more
                signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
                resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes))
            action()
            code = 0
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            os._exit(code)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert status in (0, -signal.SIGKILL, -signal.SIGXFSZ), status
    return status != 0
