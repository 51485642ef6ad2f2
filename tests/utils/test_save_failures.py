"""A disk that is full for a while costs a checkpoint, not the run."""

from __future__ import annotations

import errno
import logging
import os
import socket
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from mmseg.utils.checkpoint import find_latest_checkpoint, point_latest, read_checkpoint, save_checkpoint
from mmseg.utils.errors import UserError
from mmseg.utils.save_failures import SaveFailures


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, logger="saving")
    return caplog


def save(folder: Path, i: int) -> None:
    path = folder / f"iter_{i}.pth"
    save_checkpoint({"w": torch.full((100,), float(i)), "meta": {"iter": i}}, path)
    point_latest(path)


def test_a_full_disk_is_survived_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log: pytest.LogCaptureFixture
) -> None:
    failures = SaveFailures(logging.getLogger("saving"))
    assert failures.attempt(lambda: save(tmp_path, 1))

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr("os.fsync", full)
        assert not failures.attempt(lambda: save(tmp_path, 2))
        assert not failures.attempt(lambda: save(tmp_path, 3))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["iter_1.pth", "latest.pth"]
    assert read_checkpoint(tmp_path / "latest.pth")["meta"]["iter"] == 1
    errors = [r.getMessage() for r in log.records if r.levelno == logging.ERROR]
    assert len(errors) == 2 and "(2 times in a row)" in errors[1]
    assert all("No space left on device; free some space" in e and "the run goes on" in e for e in errors)
    with pytest.raises(UserError, match="last 2 checkpoints were not saved: .*No space left.*auto-resume"):
        failures.finish()
    assert failures.attempt(lambda: save(tmp_path, 4))
    failures.finish()
    assert find_latest_checkpoint(tmp_path).endswith("latest.pth")
    assert read_checkpoint(tmp_path / "latest.pth")["meta"]["iter"] == 4
    assert "checkpoints can be written again, after 2" in log.text


def test_what_no_disk_can_hold_ends_the_run(tmp_path: Path) -> None:
    failures = SaveFailures(logging.getLogger("saving"))
    with pytest.raises(UserError, match="which a checkpoint cannot hold"):
        failures.attempt(lambda: save_checkpoint({"meta": {"x": object()}}, tmp_path / "x.pth"))
    failures.finish()
    assert failures.in_a_row == 0 and list(tmp_path.iterdir()) == []


def _rank(rank: int, port: int, folder: Path) -> None:
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    failures = SaveFailures(logging.getLogger("saving"))
    (folder / "a file").touch()

    def write() -> None:
        assert dist.get_rank() == 0
        save_checkpoint({"w": torch.zeros(1)}, folder / "a file" / "x.pth")

    assert not failures.attempt(write) and failures.in_a_row == 1
    with pytest.raises(UserError, match="x.pth"):
        failures.finish()
    assert failures.attempt(lambda: save(folder, 1))
    failures.finish()
    dist.destroy_process_group()


@pytest.mark.slow
def test_all_ranks_know_what_became_of_a_checkpoint(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    mp.spawn(_rank, args=(port, tmp_path), nprocs=2)
    assert (tmp_path / "iter_1.pth").exists()
