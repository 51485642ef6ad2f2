"""What a config says about a cache, and how much memory there is for it."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmseg.utils.errors import UserError, near_matches

WHERE = ("shared", "ram")
_UNITS = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}
_SHARE = 0.5  # of what is free, where no limit is given
_MOST = 0.9  # of what is free, whatever is asked for: the training needs some itself


@dataclass(frozen=True)
class Settings:
    """What ``data.train.cache`` asks for.

    Attributes:
        limit: Bytes; None means a share of what is free.
        where: 'shared' (one for all processes of the machine), 'ram' (each rank its own), or a folder.
    """

    limit: int | None = None
    where: str = "shared"


def read_settings(value: Any) -> Settings | None:
    """Return what ``value`` asks for, or None for no cache.

    Args:
        value: True, a limit (bytes, or a text such as '4GB'), or a dictionary with ``limit`` and ``where``;
            None and False mean no cache.

    Raises:
        UserError: it is something else.
    """
    if value is None or value is False:
        return None
    if not isinstance(value, Mapping):
        return Settings(limit=_limit(value))
    for key in value:
        if key not in ("limit", "where"):
            raise UserError(
                f"`cache` has no `{key}`{near_matches(key, ('limit', 'where'))} (it has: limit, where)"
            )
    where = value.get("where", "shared")
    if not isinstance(where, str) or (where not in WHERE and os.sep not in where):
        raise UserError(
            f"`cache.where` is 'shared', 'ram' or a folder (with a {os.sep}), not {where!r}"
            f"{near_matches(str(where), WHERE)}"
        )
    return Settings(limit=_limit(value.get("limit")), where=where)


def _limit(value: Any) -> int | None:
    if value is None or value is True:
        return None
    if isinstance(value, int | float) and not isinstance(value, bool) and value >= 1:
        return int(value)
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?\s*", str(value), flags=re.IGNORECASE)
    if not isinstance(value, str) or match is None or float(match[1]) <= 0:
        raise UserError(
            f"`cache` takes True, or a limit such as '4GB' or '500MB', or dict(limit=..., where=...), "
            f"not {value!r}"
        )
    return int(float(match[1]) * _UNITS[match[2].lower()])


def size_text(size: float) -> str:
    """Bytes as people say them: '4.0 GB' (of 2**30), '12 MB'."""
    for unit, name in ((2**40, "TB"), (2**30, "GB"), (2**20, "MB")):
        if size >= unit:
            number = size / unit
            return f"{number:.1f} {name}" if number < 100 else f"{number:.0f} {name}"
    return f"{size / 2**10:.1f} kB"


def limit_for(settings: Settings, needed: int | None) -> tuple[int, str | None]:
    """Return how many bytes a cache may take, and a warning where that is less than asked for.

    Args:
        settings: What is asked for.
        needed: What the whole data set takes, as far as that is known.
    """
    in_memory = settings.where in WHERE
    free = free_memory() if in_memory else shutil.disk_usage(settings.where).free
    what = "of memory" if in_memory else f"in {settings.where}"
    if settings.where == "ram":  # each rank of this machine has one
        free //= max(1, int(os.environ.get("LOCAL_WORLD_SIZE", "1")))
    if settings.limit is None:
        share = int(free * _SHARE)
        return (share if needed is None else min(share, needed)), None
    most = int(free * _MOST)
    if min(settings.limit, settings.limit if needed is None else needed) <= most:
        return settings.limit, None
    return most, (
        f"`cache` asks for {size_text(settings.limit)}, but only {size_text(free)} {what} are free; "
        f"it takes {size_text(most)} at most"
    )


def free_memory() -> int:
    """Bytes of memory that can still be used, in a container those that it may still use."""
    free = _available()
    for folder, most, used, statistics in (
        ("/sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"),
        ("/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ):
        try:
            limit = int(Path(folder, most).read_text())
            taken = int(Path(folder, used).read_text())
            lines = Path(folder, "memory.stat").read_text().splitlines()
        except (OSError, ValueError):  # no such limit
            continue
        reclaimable = sum(int(line.split()[1]) for line in lines if line.split()[0] == statistics)
        free = min(free, limit - taken + reclaimable)
    return max(0, free)


def _available() -> int:
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    # Elsewhere the system says how much there is, not how much is free.
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 4
