from __future__ import annotations

from typing import Any

import pytest

from mmseg.datasets.cache import settings
from mmseg.datasets.cache.settings import Settings, limit_for, read_settings, size_text
from mmseg.utils.errors import UserError

GB = 2**30


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        (False, None),
        (True, Settings(None, "shared")),
        ("4GB", Settings(4 * GB)),
        ("1.5 gib", Settings(int(1.5 * GB))),
        ("500MB", Settings(500 * 2**20)),
        ("64k", Settings(65536)),
        (1000, Settings(1000)),
        (2e9, Settings(2_000_000_000)),
        (dict(limit="1TB", where="ram"), Settings(2**40, "ram")),
        (dict(where="/some/folder"), Settings(None, "/some/folder")),
        (dict(), Settings()),
    ],
)
def test_values(value: Any, expected: Settings | None) -> None:
    assert read_settings(value) == expected


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("much", "`cache` takes True, or a limit such as '4GB'.*not 'much'"),
        ("0GB", "not '0GB'"),
        (0, "not 0"),
        (-4, "not -4"),
        ([1], r"not \[1\]"),
        (dict(limit="4 bananas"), "not '4 bananas'"),
        (dict(limits="4GB"), "`cache` has no `limits`; did you mean `limit`"),
        (dict(where="shard"), "'shared', 'ram' or a folder .*not 'shard'; did you mean `shared`"),
        (dict(where=None), "not None"),
    ],
)
def test_mistakes(value: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_settings(value)


def test_sizes() -> None:
    texts = [size_text(size) for size in (4 * GB, 1.26 * GB, 12 * 2**20, 600, 3 * 2**40, 900 * GB)]
    assert texts == ["4.0 GB", "1.3 GB", "12.0 MB", "0.6 kB", "3.0 TB", "900 GB"]


def test_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "free_memory", lambda: 10 * GB)
    assert limit_for(Settings(), needed=2 * GB) == (2 * GB, None)
    assert limit_for(Settings(), needed=80 * GB) == (5 * GB, None)
    assert limit_for(Settings(), needed=None) == (5 * GB, None)
    assert limit_for(Settings(8 * GB), needed=80 * GB) == (8 * GB, None)
    assert limit_for(Settings(64 * GB), needed=3 * GB) == (64 * GB, None)  # it will not take so much
    for needed in (80 * GB, None):
        limit, warning = limit_for(Settings(64 * GB), needed)
        assert limit == 9 * GB
        assert (
            warning
            == "`cache` asks for 64.0 GB, but only 10.0 GB of memory are free; it takes 9.0 GB at most"
        )
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert limit_for(Settings(where="shared"), needed=None)[0] == 5 * GB
    assert limit_for(Settings(where="ram"), needed=None)[0] == 5 * GB // 4


def test_a_container_may_use_less(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {
        "/sys/fs/cgroup/memory.max": "4000000",
        "/sys/fs/cgroup/memory.current": "3500000",
        "/sys/fs/cgroup/memory.stat": "anon 5\ninactive_file 100000\n",
        "/proc/meminfo": "MemTotal: 90000 kB\nMemAvailable:   80000 kB\n",
    }

    class Files(type(tmp_path)):  # type: ignore[misc]
        def read_text(self, *args: Any, **kwargs: Any) -> str:
            if str(self) in files:
                return files[str(self)]
            raise FileNotFoundError(str(self))

    monkeypatch.setattr(settings, "Path", Files)
    assert settings.free_memory() == 600_000
    files["/sys/fs/cgroup/memory.max"] = "max"
    assert settings.free_memory() == 80_000 * 1024
    files.clear()
    assert settings.free_memory() > 2**20
