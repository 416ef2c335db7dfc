"""`python -m tests.fuzz`: gives everything that reads what others wrote nearly valid inputs."""

from __future__ import annotations

import argparse
import hashlib
import logging
import sys
import time
from pathlib import Path

from tests.fuzz.target import Report, fuzz
from tests.fuzz.targets import TARGETS


def main() -> int:
    """Runs what was asked for; 1 where something crashed."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=100_000, help="over all targets together")
    parser.add_argument("--seed", type=int, default=0, help="other inputs")
    parser.add_argument("--only", default="", help="targets whose name has this in it")
    parser.add_argument("--out", type=Path, help="folder for inputs that crashed something")
    asked = parser.parse_args()
    if asked.out is not None:
        asked.out.mkdir(parents=True, exist_ok=True)
    chosen = [target for target in TARGETS if asked.only in target.name]
    whole = sum(target.weight for target in chosen)
    logging.disable(logging.WARNING)  # readers name each broken line
    begun = time.perf_counter()
    reports = {}
    for target in chosen:
        last = None if asked.out is None else asked.out.resolve() / "last"
        report = fuzz(target, round(asked.inputs * target.weight / whole), asked.seed, last)
        reports[target.name] = report
        print(
            f"{target.name}: {report.inputs:,} inputs, {report.refused:,} refused, "
            f"{sum(report.crashes.values())} crashes in {len(report.crashes)} places, "
            f"{report.seconds:.0f} s, the slowest {report.slowest:.1f} s",
            flush=True,
        )
        _tell(target.name, report, asked.out)
    inputs = sum(report.inputs for report in reports.values())
    places = sum(len(report.crashes) for report in reports.values())
    print(f"{inputs:,} inputs in {time.perf_counter() - begun:.0f} s: {places} places that crash")
    return 1 if places else 0


def _tell(name: str, report: Report, out: Path | None) -> None:
    for key, count in report.crashes.items():
        print(f"  {count} times {key}", flush=True)
        if out is not None:
            digest = hashlib.sha256(report.first[key]).hexdigest()[:8]
            place = out / f"{name.replace(' ', '-').replace('/', '-')}-{digest}"
            place.write_bytes(report.first[key])
            place.with_suffix(".txt").write_text(report.traces[key], errors="replace")


if __name__ == "__main__":
    sys.exit(main())
