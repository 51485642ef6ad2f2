from __future__ import annotations

import subprocess
import sys

import pytest

from mmseg.utils import allocator
from mmseg.utils.allocator import keep_memory

# How many pages a process takes from the system for arrays that it frees again and again.
FAULTS = """
import resource, sys
from mmseg.utils.allocator import keep_memory
kept = keep_memory("cpu")
import numpy as np
def fill(): np.empty(32 << 20, np.uint8).fill(1)
fill()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20): fill()
print(kept, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(**env: str) -> tuple[bool, int]:
    import os

    clean = {k: v for k, v in os.environ.items() if not k.startswith(("MALLOC_", "MMSEG_"))}
    run = subprocess.run(
        [sys.executable, "-c", FAULTS], env={**clean, **env}, capture_output=True, text=True, check=True
    )
    kept, count = run.stdout.split()
    return kept == "True", int(count)


def test_freed_memory_is_used_again() -> None:
    kept, count = faults()
    if kept:  # glibc
        assert count < 1000
    else:
        assert allocator._glibc() is None or allocator._another_allocator()


@pytest.mark.parametrize(
    "env",
    [
        {"MMSEG_KEEP_MEMORY": "0"},
        {"MALLOC_TOP_PAD_": "1000"},
        {"GLIBC_TUNABLES": "glibc.malloc.check=0"},
    ],
)
def test_the_users_own_settings_stay(env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(allocator, "_glibc", lambda: pytest.fail("it asked the C library"))
    assert not keep_memory("cpu")


@pytest.mark.parametrize("device", ["cuda", "cuda:1", "mps"])
def test_nothing_happens_for_another_device(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allocator, "_glibc", lambda: pytest.fail("it asked the C library"))
    assert not keep_memory(device)


def test_nothing_happens_without_glibc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allocator, "_has_own_settings", lambda: False)
    monkeypatch.setattr(allocator.sys, "platform", "darwin")
    assert not keep_memory("cpu")


@pytest.mark.parametrize(
    ("library", "found"),
    [("libjemalloc.so.2", True), ("libtcmalloc_minimal.so.4", True), ("libc.so.6", False)],
)
def test_sees_another_allocator(tmp_path: object, library: str, found: bool) -> None:
    maps = tmp_path / "maps"
    maps.write_text(f"7f00-7f01 r-xp 00000000 00:00 0 /usr/lib/{library}\n7f02-7f03 rw-p 0 00:00 0\n")
    assert allocator._another_allocator(str(maps)) is found
