"""Where the project keeps what several runs share."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs


def home() -> Path:
    """`$USERLLM_BENCH_HOME`, or the user's cache folder."""
    given = os.environ.get("USERLLM_BENCH_HOME")
    return Path(given).expanduser() if given else platformdirs.user_cache_path("userllm-bench")


def datasets_folder() -> Path:
    """Prepared data sets, one folder each, by name."""
    return home() / "datasets"


def downloads_folder() -> Path:
    """Files as their publishers made them, one folder a data set."""
    return home() / "downloads"


def stages_folder() -> Path:
    """Training stages that several methods or runs share, keyed by content."""
    return home() / "stages"
