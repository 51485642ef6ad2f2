"""Writing, pruning and finding checkpoints; whatever happens, the named files stay whole."""

from __future__ import annotations

import datetime
import enum
import errno
import logging
import os
import resource
import signal
import time
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from mmseg.config import Config
from mmseg.utils.checkpoint import (
    find_latest_checkpoint,
    point_latest,
    prune_checkpoints,
    read_checkpoint,
    save_checkpoint,
    to_plain,
)
from mmseg.utils.errors import UserError
from mmseg.utils.logger import get_root_logger


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    logger = get_root_logger()
    logger.addHandler(caplog.handler)
    yield caplog
    logger.removeHandler(caplog.handler)


def save(path: Path, iteration: int, age: float = 0) -> Path:
    """A checkpoint of ``iteration``, written ``age`` seconds ago."""
    save_checkpoint(
        {"state_dict": {"w": torch.full((100,), float(iteration))}, "meta": {"iter": iteration}}, path
    )
    os.utime(path, (time.time() - age,) * 2)
    return path


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


# to_plain


class Colour(enum.IntEnum):
    RED = 4


def test_what_is_saved_is_plain_for_every_pytorch(tmp_path: Path) -> None:
    model = nn.Linear(2, 2)
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    checkpoint = {
        "state_dict": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "meta": OrderedDict(
            CLASSES=("road", np.str_("car")),
            PALETTE=[[1, 2, 3]],
            config=Config(dict(model=dict(type="X"))),
            path=Path("a/b"),
            when=datetime.datetime(2024, 5, 6),
            colour=Colour.RED,
            score=np.float64(0.5),
            count=np.int32(3),
            rng=np.arange(3, dtype=np.uint32),
            words=np.array(["a", "b"]),
            frozen=frozenset({1}),
            shape=torch.Size((1, 2)),
        ),
    }
    save_checkpoint(checkpoint, tmp_path / "x.pth")
    saved = torch.load(tmp_path / "x.pth", weights_only=True)
    assert torch.equal(saved["state_dict"]["weight"], model.weight)
    nn.Linear(2, 2).load_state_dict(saved["state_dict"])
    torch.optim.AdamW(nn.Linear(2, 2).parameters()).load_state_dict(saved["optimizer"])
    meta = saved["meta"]
    assert meta.pop("config").startswith("model = ")
    assert meta.pop("rng").tolist() == [0, 1, 2]
    assert meta == {
        "CLASSES": ("road", "car"),
        "PALETTE": [[1, 2, 3]],
        "path": "a/b",
        "when": "2024-05-06 00:00:00",
        "colour": 4,
        "score": 0.5,
        "count": 3,
        "words": ["a", "b"],
        "frozen": {1},
        "shape": torch.Size((1, 2)),
    }
    assert type(meta["score"]) is float and type(meta["count"]) is int and type(meta["colour"]) is int


def test_what_cannot_be_plain_is_named_with_its_place() -> None:
    with pytest.raises(
        UserError, match=r"checkpoint.hooks.0.file is a _io.StringIO, which a checkpoint cannot"
    ):
        import io

        to_plain({"hooks": [{"file": io.StringIO()}]})
    with pytest.raises(UserError, match=r"checkpoint.a is an array of object"):
        to_plain({"a": np.array([None])})


def test_a_view_does_not_save_what_it_looks_at(tmp_path: Path) -> None:
    save_checkpoint({"w": torch.zeros(1_000_000)[:10]}, tmp_path / "x.pth")
    assert (tmp_path / "x.pth").stat().st_size < 10_000
    tied = torch.ones(5)
    plain = to_plain({"a": tied, "b": tied})
    assert plain["a"].data_ptr() == plain["b"].data_ptr()


# save_checkpoint and point_latest


def test_saving_makes_the_folder_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = save(tmp_path / "work" / "dir" / "iter_1.pth", 1)
    save(path, 2)
    assert names(path.parent) == ["iter_1.pth"]
    assert read_checkpoint(path)["meta"]["iter"] == 2


def test_a_full_disk_leaves_the_former_file(tmp_path: Path) -> None:
    path = save(tmp_path / "iter_1.pth", 1)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    previous = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(UserError) as caught:
            save_checkpoint({"w": torch.zeros(1_000_000)}, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, previous)
    assert f"cannot write the checkpoint {path}: File too large; free some space" in str(caught.value)
    assert names(tmp_path) == ["iter_1.pth"] and read_checkpoint(path)["meta"]["iter"] == 1


@pytest.mark.parametrize("when", ["while writing", "at the end", "while renaming"])
def test_any_failure_leaves_the_former_file(
    when: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save(tmp_path / "iter_1.pth", 1)

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def save_half(_: object, file: object) -> None:
        file.write(b"half")
        fail()

    where, what = {
        "while writing": ("torch.save", save_half),
        "at the end": ("os.fsync", fail),
        "while renaming": ("os.replace", fail),
    }[when]
    monkeypatch.setattr(where, what)
    with pytest.raises(UserError, match="No space left on device; free some space, lower"):
        save(path, 2)
    monkeypatch.undo()
    assert names(tmp_path) == ["iter_1.pth"] and read_checkpoint(path)["meta"]["iter"] == 1


def test_a_crash_of_ours_removes_the_temporary_file_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_: object, file: object) -> None:
        file.write(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr("torch.save", interrupt)
    with pytest.raises(KeyboardInterrupt):
        save(tmp_path / "iter_1.pth", 1)
    assert names(tmp_path) == []


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match="file/iter_1.pth: .*; give a --work-dir that can be written"):
        save_checkpoint({"w": torch.zeros(1)}, tmp_path / "file" / "iter_1.pth")


def test_temporary_files_of_dead_processes_are_removed(tmp_path: Path) -> None:
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    (tmp_path / f".iter_9.pth.{child}.tmp").write_text("half")
    (tmp_path / f".iter_9.pth.{os.getppid()}.tmp").write_text("of a process that runs")
    (tmp_path / ".notes.tmp").write_text("the user's own")
    save(tmp_path / "iter_1.pth", 1)
    assert names(tmp_path) == sorted([f".iter_9.pth.{os.getppid()}.tmp", ".notes.tmp", "iter_1.pth"])


@pytest.mark.parametrize("whose", ["this container, before", "another machine, long ago"])
def test_temporary_files_of_other_places_are_removed_when_they_are_old(whose: str, tmp_path: Path) -> None:
    from mmseg.utils import checkpoint_files as files

    host = files._HOST if whose.startswith("this") else "elsewhere"
    old, new = (tmp_path / f".iter_{i}.pth.{host}.{os.getpid()}.tmp" for i in (1, 2))
    for path in (old, new):
        path.write_bytes(b"half")
    before = files._STARTED - 60 if whose.startswith("this") else time.time() - 3 * 3600
    os.utime(old, (before, before))
    assert files.remove_stale(tmp_path) == [str(old)]
    assert names(tmp_path) == [new.name]
    assert files.remove_stale(tmp_path / "missing") == []


def test_latest_survives_what_it_was_linked_to(tmp_path: Path) -> None:
    path = save(tmp_path / "iter_1.pth", 1)
    latest = Path(point_latest(path))
    assert latest == tmp_path / "latest.pth"
    point_latest(path)  # again, to itself
    assert names(tmp_path) == ["iter_1.pth", "latest.pth"]
    path.unlink()
    assert read_checkpoint(latest)["meta"]["iter"] == 1
    assert point_latest(latest) == str(latest)
    save(latest, 5)  # a rolling latest
    assert read_checkpoint(latest)["meta"]["iter"] == 5


def test_writing_over_a_file_does_not_change_its_link(tmp_path: Path) -> None:
    path = save(tmp_path / "iter_1.pth", 1)
    latest = point_latest(path)
    save(path, 2)
    assert read_checkpoint(latest)["meta"]["iter"] == 1


def test_latest_is_a_copy_where_links_are_impossible(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr("os.link", refuse)
    path = save(tmp_path / "epoch_1.pth", 7)
    latest = point_latest(path)
    assert not os.path.samefile(path, latest)
    assert read_checkpoint(latest)["meta"]["iter"] == 7 and names(tmp_path) == ["epoch_1.pth", "latest.pth"]


def test_kill_9_at_any_moment_leaves_a_whole_latest(tmp_path: Path) -> None:
    save(tmp_path / "iter_0.pth", 0)
    point_latest(tmp_path / "iter_0.pth")
    rng = np.random.default_rng(0)
    seen = set()
    for _ in range(8):
        child = os.fork()
        if child == 0:
            start = int(read_checkpoint(tmp_path / "latest.pth")["meta"]["iter"])
            for i in range(start + 1, start + 10_000):
                weights = torch.full((300_000,), float(i))
                save_checkpoint({"w": weights, "meta": {"iter": i}}, tmp_path / f"iter_{i}.pth")
                point_latest(tmp_path / f"iter_{i}.pth")
                prune_checkpoints(tmp_path, "iter_", 2)
            os._exit(0)
        time.sleep(0.05 + 0.2 * rng.random())
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        checkpoint = read_checkpoint(tmp_path / "latest.pth")
        found = find_latest_checkpoint(tmp_path)
        assert read_checkpoint(found)["meta"]["iter"] >= checkpoint["meta"]["iter"]
        if "w" in checkpoint:
            assert (checkpoint["w"] == checkpoint["meta"]["iter"]).all()
        seen.add(checkpoint["meta"]["iter"])
    assert len(seen) > 3  # the runs got somewhere


# prune_checkpoints


def test_pruning_keeps_the_newest(tmp_path: Path) -> None:
    for i in (8, 9, 10, 11):
        save(tmp_path / f"iter_{i}.pth", i, age=100 - i)
    for other in ("epoch_1.pth", "best_mIoU_iter_8.pth", "latest.pth", "iter_8.txt", "iter_x.pth"):
        (tmp_path / other).write_text("x")
    deleted = prune_checkpoints(tmp_path, "iter_", 2)
    assert [Path(p).name for p in deleted] == ["iter_8.pth", "iter_9.pth"]
    left = {"iter_10.pth", "iter_11.pth", "epoch_1.pth", "best_mIoU_iter_8.pth", "latest.pth"}
    assert set(names(tmp_path)) == left | {"iter_8.txt", "iter_x.pth"}
    assert prune_checkpoints(tmp_path, "iter_", -1) == prune_checkpoints(tmp_path, "iter_", 0) == []


def test_pruning_never_deletes_what_was_just_written(tmp_path: Path) -> None:
    for i in (1000, 2000):  # of an older, longer run
        save(tmp_path / f"iter_{i}.pth", i, age=1000)
    save(tmp_path / "iter_10.pth", 10)
    prune_checkpoints(tmp_path, "iter_", 1, upto=10)
    assert names(tmp_path) == ["iter_10.pth", "iter_1000.pth", "iter_2000.pth"]
    prune_checkpoints(tmp_path, "iter_", 1)
    assert names(tmp_path) == ["iter_10.pth"]


# find_latest_checkpoint


def test_nothing_to_find(tmp_path: Path) -> None:
    assert find_latest_checkpoint(tmp_path) is None
    assert find_latest_checkpoint(tmp_path / "missing") is None
    (tmp_path / ".iter_5.pth.123.tmp").write_bytes(b"half")
    assert find_latest_checkpoint(tmp_path) is None


def test_latest_comes_first(tmp_path: Path) -> None:
    save(tmp_path / "iter_10.pth", 10, age=5)
    latest = point_latest(tmp_path / "iter_10.pth")
    assert find_latest_checkpoint(tmp_path) == latest


def test_a_run_killed_before_latest_was_moved_loses_nothing(tmp_path: Path) -> None:
    save(tmp_path / "iter_10.pth", 10, age=5)
    point_latest(tmp_path / "iter_10.pth")
    save(tmp_path / "iter_20.pth", 20)
    assert find_latest_checkpoint(tmp_path) == str(tmp_path / "iter_20.pth")


def test_files_of_an_older_longer_run_do_not_win(tmp_path: Path) -> None:
    save(tmp_path / "iter_9000.pth", 9000, age=1000)
    save(tmp_path / "latest.pth", 10)
    assert find_latest_checkpoint(tmp_path) == str(tmp_path / "latest.pth")


@pytest.mark.parametrize("damage", ["cut", "empty", "flipped", "link", "folder"])
def test_broken_files_are_skipped_and_named(
    damage: str, tmp_path: Path, log: pytest.LogCaptureFixture
) -> None:
    save(tmp_path / "iter_9.pth", 9, age=30)
    save(tmp_path / "iter_10.pth", 10, age=20)
    broken = [save(tmp_path / "iter_11.pth", 11, age=10), save(tmp_path / "latest.pth", 11)]
    for path in broken:
        if damage == "cut":
            cut(path)
        elif damage == "empty":
            path.write_bytes(b"")
        elif damage == "flipped":
            data = bytearray(path.read_bytes())
            position = data.index(torch.full((100,), 11.0).numpy().tobytes())
            data[position + 5] ^= 1
            path.write_bytes(data)
        else:
            path.unlink()
            path.symlink_to("gone.pth") if damage == "link" else path.mkdir()
    assert find_latest_checkpoint(tmp_path) == str(tmp_path / "iter_10.pth")
    warnings = [r.getMessage() for r in log.records if r.levelno == logging.WARNING]
    assert len(warnings) == 2
    assert all(f"skipped the broken checkpoint {path}: " in " ".join(warnings) for path in broken)


def test_iterations_decide_between_the_two_namings(tmp_path: Path) -> None:
    save(tmp_path / "epoch_12.pth", 1200)
    save(tmp_path / "iter_1000.pth", 1000)
    assert find_latest_checkpoint(tmp_path) == str(tmp_path / "epoch_12.pth")


def test_the_number_decides_not_the_alphabet(tmp_path: Path) -> None:
    for i in (900, 1000):
        save(tmp_path / f"iter_{i}.pth", i)
    torch.save({"w": torch.zeros(1)}, tmp_path / "iter_1100.pth")  # says no iteration
    assert find_latest_checkpoint(tmp_path) == str(tmp_path / "iter_1100.pth")


def test_the_best_file_is_the_last_resort(tmp_path: Path) -> None:
    save(tmp_path / "best_mIoU_iter_5.pth", 5, age=30)
    save(tmp_path / "best_mDice_iter_8.pth", 8, age=20)
    assert find_latest_checkpoint(tmp_path) == str(tmp_path / "best_mDice_iter_8.pth")
    cut(tmp_path / "best_mDice_iter_8.pth")
    cut(save(tmp_path / "latest.pth", 9))
    assert find_latest_checkpoint(tmp_path) == str(tmp_path / "best_mIoU_iter_5.pth")
    save(tmp_path / "iter_4.pth", 4)
    assert find_latest_checkpoint(tmp_path) == str(tmp_path / "iter_4.pth")


def test_a_pipe_is_skipped(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "iter_9.pth")
    os.mkfifo(tmp_path / "latest.pth")
    save(tmp_path / "iter_8.pth", 8)
    assert find_latest_checkpoint(tmp_path) == str(tmp_path / "iter_8.pth")
