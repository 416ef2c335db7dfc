"""Kills a command again and again: `python -m tests.torture [COMMAND] [-- OPTION...]`.

What follows `--` is given to the command, for example `--workers 2`. The command's table must be
that of an unbroken one, and nothing may be left behind.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path

_SHARED = ["--dataset", "synthetic", "--preset", "smoke", "--threads", "1"]
_TINY = [
    "--set", "sasrec.transformer.width=16", "--set", "sasrec.transformer.layers=1",
    "--set", "sasrec.fit.targets=20000",
]  # fmt: skip
COMMANDS = {
    "run": ["run", "--task", "next_item",
            "--methods", "popularity,sasrec,user_encoder,user_llm,text_prompt",
            "--seeds", "0,1", *_SHARED],
    "ablate": ["ablate", "--axis", "fusion", *_SHARED],
    "sweep": ["sweep", "--axis", "seq_len", "--values", "4,8", "--methods", "sasrec", *_SHARED],
    "tune": ["tune", "--method", "sasrec", "--trials", "5", "--seconds", "100000", *_SHARED],
    "tiny": ["run", "--task", "next_item", "--methods", "popularity,sasrec",
             "--seeds", "0,1", *_SHARED, *_TINY],
    "least": ["run", "--task", "next_item", "--methods", "popularity", *_SHARED],
}  # fmt: skip
"""What can be killed; `tiny` and `least` are what the test suite kills."""


def main(asked: list[str]) -> int:
    """Runs a campaign and says what came of it."""
    usage = "python -m tests.torture [COMMAND] [options] [-- OPTION...]"
    parser = argparse.ArgumentParser(usage=usage, description=__doc__)
    parser.add_argument("command", nargs="?", choices=COMMANDS, default="run")
    parser.add_argument("--kills", type=int, default=200, help="how often a process is killed")
    parser.add_argument("--seed", type=int, default=0, help="of when and how is killed")
    parser.add_argument("--lives", type=int, default=25, help="kills from a run's start to its end")
    parser.add_argument(
        "--start-seconds", type=float, default=15.0, help="what imports take, about: kills within"
    )
    parser.add_argument("--save-every", type=float, default=0.1, help="seconds from save to save")
    parser.add_argument(
        "--signals", default="KILL", help="comma-separated, for example INT,TERM,HUP"
    )
    parser.add_argument("--children", action="store_true", help="kill child processes too")
    parser.add_argument("--folder", type=Path, default=Path("results/torture"))
    # argparse takes nothing behind "--" once an option has followed the command.
    end = asked.index("--") if "--" in asked else len(asked)
    given, options = parser.parse_args(asked[:end]), asked[end + 1 :]
    os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1"}
    from tests.torture.campaign import Campaign
    from tests.torture.warm import warm_up

    warm_up(given.save_every)
    campaign = Campaign(
        [*COMMANDS[given.command], *options],
        given.folder,
        given.kills,
        given.seed,
        given.lives,
        given.start_seconds,
        signals=[signal.Signals[f"SIG{name}"] for name in given.signals.split(",")],
        children=given.children,
    )
    tally = campaign.run()
    for name, count in sorted(tally.phases.items(), key=lambda item: (-item[1], item[0])):
        print(f"{count:5}  {name}")
    print(
        f"{tally.kills} kills in {tally.seconds:.0f} s; {tally.rounds} runs came to their end (one "
        f"that nobody kills takes {tally.unbroken_seconds:.0f} s); {len(tally.problems)} problems"
    )
    for problem in tally.problems:
        print(problem)
    return 1 if tally.problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
