"""Pickles, and what holds some, that would leave a trace if anything read them."""

from __future__ import annotations

import io
import os
import pickle
from pathlib import Path

import numpy as np
import torch


class _Trap:
    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self):
        return os.mkdir, (str(self.trace),)


class Pickles:
    """A trace that must not come into being, and ways to bring it about.

    Args:
        folder: Where the trace would be left.
    """

    def __init__(self, folder: Path) -> None:
        self.trace = folder / "it-ran"

    @property
    def ran(self) -> bool:
        """Whether any of them was read."""
        return self.trace.exists()

    def plain(self, protocol: int = 2) -> bytes:
        """A pickle."""
        return pickle.dumps(_Trap(self.trace), protocol)

    def of_torch(self, *, legacy: bool = False) -> bytes:
        """A file as `torch.save` writes it, now or before 1.6."""
        out = io.BytesIO()
        torch.save({"a": _Trap(self.trace)}, out, _use_new_zipfile_serialization=not legacy)
        return out.getvalue()

    def array(self) -> bytes:
        """A `.npy` of objects."""
        objects = np.empty(2, dtype=object)
        objects[0] = _Trap(self.trace)
        out = io.BytesIO()
        np.save(out, objects, allow_pickle=True)
        return out.getvalue()
