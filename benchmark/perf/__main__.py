"""`python -m benchmark.perf [NAME...]`: measures and writes one JSON a name."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmark.display.progress import quiet_libraries
from benchmark.errors import RunError, UserError, unknown
from benchmark.perf.comparison import Comparison, write
from benchmark.registry import load
from benchmark.system.cores import default_threads

COMPARISONS = {
    "answer_latency": "benchmark.perf.answer_latency:answer_latency",
    "bert4rec_time_to_quality": "benchmark.perf.bert4rec:time_to_quality",
    "exact_ranking": "benchmark.perf.exact_ranking:exact_ranking",
    "prepare": "benchmark.perf.prepare:prepare_speed",
    "scale": "benchmark.perf.scale:scale",
    "tuning_step": "benchmark.perf.tuning_step:tuning_step",
    "worker_sweep": "benchmark.perf.worker_sweep:worker_sweep",
}
"""Name -> function of the number of threads."""
FIGURES = {"scale": "benchmark.perf.scale_figure:draw"}
"""Name -> function of the JSON's path that draws beside it."""


def main() -> int:
    """Runs the comparisons named on the command line, all without a name."""
    parser = argparse.ArgumentParser(prog="python -m benchmark.perf", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(COMPARISONS))
    parser.add_argument("--out", type=Path, default=Path("results/perf"), help="folder of the JSON")
    parser.add_argument("--threads", type=int, help="of both sides")
    arguments = parser.parse_args()
    try:
        threads = default_threads() if arguments.threads is None else arguments.threads
        for name in arguments.names:
            if name not in COMPARISONS:
                raise unknown("comparison", name, COMPARISONS)
        for name in arguments.names or COMPARISONS:
            compare = load(COMPARISONS[name])
            assert callable(compare)
            with quiet_libraries():
                result = compare(threads)
            assert isinstance(result, Comparison)
            path = write(name, result, arguments.out, threads)
            if name in FIGURES:
                draw = load(FIGURES[name])
                assert callable(draw)
                draw(path)
            print(f"{name}: {result.ratio:.3g} times as fast; {path}")
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except (RunError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
