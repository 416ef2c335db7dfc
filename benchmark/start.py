"""The program's first lines: whoever stops it while it still imports is answered too."""

from __future__ import annotations

from benchmark.system.stopping import say_stopped, stoppable


def main() -> int:
    """Runs the command that `sys.argv` names; see `benchmark.cli.main`."""
    try:
        with stoppable():
            from benchmark.cli import main as command_line

            return command_line()
    except KeyboardInterrupt:
        return say_stopped()
