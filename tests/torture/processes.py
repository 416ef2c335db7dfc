"""Processes of a session, as Linux lists them."""

from __future__ import annotations

from pathlib import Path


def members(session: int) -> list[tuple[int, str]]:
    """Number and command of each process that a session's leader and its children began."""
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdecimal():
            continue
        try:
            # The name in the second field may hold blanks and brackets.
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            command = (
                (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            )
        except OSError:
            continue
        if int(fields[3]) == session and fields[0] != "Z":
            found.append((int(folder.name), command.strip()))
    return found
