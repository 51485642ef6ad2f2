"""Downloads from a server of this machine into a cache of the test's own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mmseg.utils import http_file
from mmseg.utils.downloads import cache_dir, local_file
from mmseg.utils.errors import UserError
from tests.conftest import ROOT
from tests.helpers_server import Server, checkpoint_bytes, hashed_name, serving

CONTENT = checkpoint_bytes()
NAME = hashed_name(CONTENT)
PLAIN = "latest.pth"  # says nothing of its content


def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep downloads and torch's own cache below ``tmp_path``, and try again without waiting."""
    monkeypatch.setenv("MMSEG_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(http_file, "WAITS_S", (0.0, 0.0, 0.0))


@contextmanager
def serving_checkpoint() -> Iterator[Server]:
    """A server that gives the checkpoint under both names."""
    with serving(files={f"/{NAME}": CONTENT, f"/{PLAIN}": CONTENT}) as server:
        yield server


def files_in_cache() -> dict[str, bytes]:
    """Everything in the cache but locks, by name."""
    return {p.name: p.read_bytes() for p in cache_dir().rglob("*") if p.is_file() and p.suffix != ".lock"}


def refusal(url: str) -> str:
    """The one line that ``url`` is refused with; nothing whole may be in the cache afterwards."""
    with pytest.raises(UserError) as caught:
        local_file(url)
    message = str(caught.value)
    assert "\n" not in message and message
    assert not [name for name in files_in_cache() if not name.endswith((".part", ".part.json"))]
    return message


FETCH = "import sys; from mmseg.utils.downloads import local_file; print(local_file(sys.argv[1]))"


def child_environment(**more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **more}
