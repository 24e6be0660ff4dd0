"""How many processors a container may really use."""

import math
import os
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")


def available_processors(cgroup: Path = _CGROUP) -> int:
    """Return the processors this process may use: the smaller of the cgroup's limit (v2, v1) and its affinity.

    `os.cpu_count()` sees the whole machine; an engine with one thread for each of its processors inside a small
    container is throttled to a crawl.
    """
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _quota(cgroup)
    return affinity if quota is None else max(1, min(affinity, math.ceil(quota)))


def _quota(cgroup: Path) -> float | None:
    try:
        if (cgroup / "cpu.max").is_file():
            limit, period = (cgroup / "cpu.max").read_text().split()
        else:
            limit = (cgroup / "cpu" / "cpu.cfs_quota_us").read_text().strip()
            period = (cgroup / "cpu" / "cpu.cfs_period_us").read_text().strip()
    except OSError:
        return None  # no cgroup, or none that this process may read: no limit to respect
    return None if limit in ("max", "-1") else int(limit) / int(period)
