"""`python -m benchmark` is `userllm-bench`."""

import sys

from benchmark.start import main

sys.exit(main())
