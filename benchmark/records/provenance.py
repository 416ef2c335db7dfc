"""What made the rows that are compared: they may come from different code. Free of torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from benchmark.records.results import RunRecord

PACKAGE = "userllm-bench"
"""What records call this package among their versions."""
_OF_HOST = ("threads", "accelerator", "devices", "distributed", "micro_batches", "cpu")
"""What numbers can depend on, beside the code, in the last digits."""
_UNSAID = {"devices": "1", "distributed": "none", "micro_batches": "1"}
"""What is so where a record does not say it."""


def differences_in_code(records: Iterable[RunRecord]) -> str:
    """One line about commits, versions, threads and devices that not all records share, or ""."""
    facts: dict[str, list[str]] = {}
    described = [_facts(record) for record in records]
    for name in dict.fromkeys(name for own in described for name in own):
        absent = _UNSAID.get(name, "absent")
        facts[name] = list(dict.fromkeys(own.get(name, absent) for own in described))
    code, host = (
        "; ".join(
            f"{name} {', '.join(values)}"
            for name, values in facts.items()
            if len(values) > 1 and (name in _OF_HOST) == of_host
        )
        for of_host in (False, True)
    )
    told = [f"by different code: {code}"] if code else []
    told += [f"on different devices or threads: {host}"] if host else []
    return f"rows were made {'; and '.join(told)}" if told else ""


def version_of(record: RunRecord) -> str:
    """Version of the package that made a record, "" = unknown."""
    return record.versions.get(PACKAGE, "")


def versions_line(records: Iterable[RunRecord]) -> str:
    """One line about machine and code, every value that occurs: `AMD EPYC, 2 threads; ...`."""
    told: dict[str, None] = {}
    commits: dict[str, None] = {}
    for record in records:
        host = record.host
        threads = int(host.get("threads", 0))
        count = f", {threads} thread{'' if threads == 1 else 's'}" if threads else ""
        told[f"{host.get('cpu', 'unknown machine')}{count}"] = None
        told[f"torch {record.versions.get('torch', 'unknown')}"] = None
        commits[f"`{str((record.git or {}).get('commit', 'unknown'))[:7]}`"] = None
    return f"{'; '.join(told)}; code {', '.join(commits)}"


def _facts(record: RunRecord) -> Mapping[str, str]:
    git = record.git or {}
    commit = str(git.get("commit", "unknown"))[:8]
    return {
        "commit": f"{commit} (changed)" if git.get("dirty") else commit,
        "python": record.python.rpartition(" ")[2],
        **record.versions,
        **{name: str(record.host[name]) for name in _OF_HOST if name in record.host},
    }
