"""A disk that does not take checkpoints, and a folder whose checkpoints are all broken."""

from __future__ import annotations

import errno
import os
import signal

import pytest

import tests.helpers_hooks  # noqa: F401  (registers the hook that sends signals)
from mmseg.engine.monitor import Monitor
from mmseg.engine.trainer import Trainer
from mmseg.utils import checkpoint_files
from mmseg.utils.checkpoint import read_checkpoint
from mmseg.utils.errors import UserError
from tests.helpers_log import Lines
from tests.helpers_run import run_tool_here, tiny_config, write_config, write_dataset
from tests.helpers_train import train


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("stripes"), train=4, val=2)


def fill_disk(monkeypatch, when):
    """Let every write for which ``when(number)`` holds fail, as on a full disk; numbers count from 1."""
    write, count = checkpoint_files._write, [0]

    def failing(plain, temporary):
        count[0] += 1
        if when(count[0]):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(plain, temporary)

    monkeypatch.setattr(checkpoint_files, "_write", failing)


def saving(root):
    return tiny_config(root, max_iters=4, checkpoint_config=dict(by_epoch=False, interval=1))


def test_a_disk_full_for_a_while(root, tmp_path, monkeypatch):
    lines = Lines()
    fill_disk(monkeypatch, lambda number: number in (2, 3))
    trainer = train(saving(root), tmp_path)
    assert trainer.iter == 4
    assert sorted(p.name for p in tmp_path.glob("*.pth")) == ["iter_1.pth", "iter_4.pth", "latest.pth"]
    failed = [line for line in lines.messages if line.startswith("CHECKPOINT NOT SAVED")]
    assert len(failed) == 2 and "2 times in a row" in failed[1] and "No space left" in failed[0]


def test_a_disk_full_to_the_end(root, tmp_path, monkeypatch):
    fill_disk(monkeypatch, lambda number: number > 2)
    with pytest.raises(
        UserError, match=r"the run is over, but its last 2 checkpoints were not saved.*iter_4"
    ):
        train(saving(root), tmp_path)
    assert read_checkpoint(str(tmp_path / "latest.pth"))["meta"]["iter"] == 2


def test_the_former_best_stays_where_the_new_one_fails(root, tmp_path, monkeypatch):
    config = tiny_config(root, max_iters=4, evaluation=dict(interval=2, save_best="loss"))
    monkeypatch.setattr(Monitor, "improves", lambda self, score, best: True)
    write = checkpoint_files._write

    def failing(plain, temporary):
        if "best_loss_iter_4" in str(temporary):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(plain, temporary)

    monkeypatch.setattr(checkpoint_files, "_write", failing)
    lines, trainers = Lines(), []
    run = Trainer.run
    monkeypatch.setattr(Trainer, "run", lambda self: (trainers.append(self), run(self)))
    train(config, tmp_path / "second", validate=True)  # its last save, latest.pth, is there
    assert [p.name for p in (tmp_path / "second").glob("best_*")] == ["best_loss_iter_2.pth"]
    assert any("which could not be saved" in line for line in lines.messages)
    assert trainers[0].best["file"] == "best_loss_iter_2.pth"  # and so do the next checkpoints say


def test_a_signal_on_a_full_disk_does_not_pretend_to_have_saved(root, tmp_path, monkeypatch):
    config = saving(root)
    config["custom_hooks"] = [dict(type="Signal", iteration=2, number=int(signal.SIGTERM))]
    fill_disk(monkeypatch, lambda number: number > 1)
    with pytest.raises(UserError, match="its last 1 checkpoints were not saved: .*latest.pth"):
        train(config, tmp_path)
    assert read_checkpoint(str(tmp_path / "latest.pth"))["meta"]["iter"] == 1


def test_auto_resume_does_not_start_anew_over_broken_files(root, tmp_path, monkeypatch, capsys):
    config = write_config(tmp_path / "config.py", saving(root))
    work_dir = tmp_path / "run"
    work_dir.mkdir()
    args = (config, "--work-dir", work_dir, "--auto-resume", "--no-validate", "--device", "cpu")
    for name in ("latest.pth", "iter_3.pth"):
        (work_dir / name).write_bytes(b"PK\x03\x04 cut short")
    with pytest.raises(SystemExit) as status:
        run_tool_here("train", *args[:-2], "--cfg-options", "device=cpu", monkeypatch=monkeypatch)
    err = capsys.readouterr().err
    assert status.value.code == 2
    assert "none of the 2 checkpoints" in err and "latest.pth, iter_3.pth" in err
    (log,) = work_dir.glob("*.log")
    assert log.read_text().count("skipped the broken checkpoint") == 2
    assert (work_dir / "iter_3.pth").read_bytes().startswith(b"PK")
    for path in work_dir.glob("*.pth"):
        path.unlink()
    (work_dir / f".latest.pth.{2**22 + 1}.tmp").write_bytes(b"half")  # of a process that is gone
    run_tool_here("train", *args[:-2], "--cfg-options", "device=cpu", monkeypatch=monkeypatch)
    assert read_checkpoint(str(work_dir / "latest.pth"))["meta"]["iter"] == 4
    assert not list(work_dir.glob(".*.tmp"))
