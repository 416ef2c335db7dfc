"""All that is fuzzed."""

from __future__ import annotations

from tests.fuzz import file_targets, record_targets, typed_targets

TARGETS = (*file_targets.TARGETS, *record_targets.TARGETS, *typed_targets.TARGETS)
