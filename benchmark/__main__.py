"""`python -m benchmark` is `userllm-bench`."""

import sys

from benchmark.cli import main

sys.exit(main())
