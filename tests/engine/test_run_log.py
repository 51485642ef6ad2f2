"""Reading the logs of runs, this toolbox's and MMSegmentation 0.25's."""

from __future__ import annotations

import json
import math

import pytest

from mmseg.engine.run_log import keys_of, read_run_log, seconds_per_iteration, series
from mmseg.utils.errors import UserError


def write_lines(path, *records, end="\n"):
    path.write_text("\n".join(r if isinstance(r, str) else json.dumps(r) for r in records) + end)
    return path


def own(iteration, mode="train", **numbers):
    return {
        "epoch": 1,
        "iter": iteration,
        "inner_iter": iteration,
        "iters_per_epoch": 9,
        "mode": mode,
        **numbers,
    }


def old(iteration, mode="train", epoch=1, **numbers):
    return {"mode": mode, "epoch": epoch, "iter": iteration, "lr": 0.01, **numbers}


def iters(log, mode="train"):
    return [record["iter"] for record in log[mode]]


def test_own_log_and_a_line_that_was_cut(tmp_path):
    lines = [{"seed": 0}, own(50, loss=2.0), own(100, loss=1.0), own(100, "val", mIoU=0.5), '{"mode": "tr']
    log = read_run_log(str(write_lines(tmp_path / "1.log.json", *lines, end="")))
    assert iters(log) == [50, 100] and iters(log, "val") == [100]
    assert read_run_log(str(tmp_path)) == log


def test_parts_of_a_resumed_run(tmp_path):
    write_lines(
        tmp_path / "1.log.json", *(own(i, loss=9.0) for i in (1, 2, 3, 4)), own(2, "val"), own(4, "val")
    )
    write_lines(tmp_path / "2.log.json", own(3, loss=1.0), own(4, loss=1.0), own(5, loss=1.0))
    log = read_run_log(str(tmp_path))
    assert [(r["iter"], r["loss"]) for r in log["train"]] == [(1, 9), (2, 9), (3, 1), (4, 1), (5, 1)]
    assert iters(log, "val") == [2]


def test_a_run_that_began_anew_in_the_same_folder(tmp_path):
    write_lines(tmp_path / "1.log.json", own(5, loss=9.0), own(10, loss=9.0), own(10, "val"))
    write_lines(tmp_path / "2.log.json", own(5, loss=1.0))
    log = read_run_log(str(tmp_path))
    assert [r["loss"] for r in log["train"]] == [1.0] and "val" not in log


def test_iterations_of_025_with_the_count_of_batches_in_evaluations(tmp_path):
    lines = [{"env_info": ""}, old(50, loss=2.0), old(100, loss=1.0), old(63, "val", mIoU=0.3)]
    lines += [old(150, epoch=2, loss=1.0), old(200, epoch=2, loss=1.0), old(63, "val", epoch=2, mIoU=0.4)]
    log = read_run_log(str(write_lines(tmp_path / "1.log.json", *lines)))
    assert iters(log) == [50, 100, 150, 200] and iters(log, "val") == [100, 200]


def epochs():
    lines = []
    for epoch in (1, 2, 3):
        lines += [old(50, epoch=epoch, loss=4 / epoch), old(100, epoch=epoch, loss=3 / epoch)]
        lines.append(old(63, "val", epoch=epoch, mIoU=epoch / 10))
    return lines


def test_epochs_of_025_are_counted_on(tmp_path):
    log = read_run_log(str(write_lines(tmp_path / "1.log.json", *epochs())))
    assert iters(log) == [50, 100, 150, 200, 250, 300] and iters(log, "val") == [100, 200, 300]


def test_the_text_log_beside_has_the_length_of_an_epoch(tmp_path):
    write_lines(tmp_path / "1.log", "2021 - mmseg - INFO - Epoch [1][50/120]\tlr: 1e-2, loss: 2.0")
    log = read_run_log(str(write_lines(tmp_path / "1.log.json", *epochs())))
    assert iters(log) == [50, 100, 170, 220, 290, 340] and iters(log, "val") == [120, 240, 360]


def test_tables(tmp_path):
    (tmp_path / "train.csv").write_text("iter,epoch,lr,loss,grad_norm\n5,1,0.1,2.5,\n10,1,0.1,1.5,3\n15,1,0")
    (tmp_path / "val.csv").write_text("iter,epoch,mIoU\n10,1,0.25\n")
    log = read_run_log(str(tmp_path))
    assert iters(log) == [5, 10] and log["val"][0]["mIoU"] == 0.25 and "grad_norm" not in log["train"][0]
    assert read_run_log(str(tmp_path / "train.csv")) == read_run_log(str(tmp_path / "val.csv")) == log


def test_what_is_no_log(tmp_path):
    with pytest.raises(UserError, match="does not exist; give the work dir"):
        read_run_log(str(tmp_path / "missing"))
    assert read_run_log(str(tmp_path)) == {}
    (tmp_path / "picture.json").write_bytes(bytes(range(256)))
    with pytest.raises(UserError, match="holds no record of a run; give a"):
        read_run_log(str(tmp_path / "picture.json"))
    write_lines(tmp_path / "1.log", "2026 - mmseg - INFO")
    write_lines(tmp_path / "1.log.json", own(1, loss=1.0))
    with pytest.raises(UserError, match=r"1\.log holds no record of a run; give .*1\.log\.json"):
        read_run_log(str(tmp_path / "1.log"))


def test_series(tmp_path):
    lines = [own(1, loss=2.0, lr=0.1), own(2, loss=None, lr=0.1), own(2, "val", loss=1.5, mIoU=0.3, lr=0.1)]
    log = read_run_log(str(write_lines(tmp_path / "1.log.json", *lines)))
    both = series(log, "loss")
    assert both["val"] == ([2], [1.5]) and both["train"][0] == [1, 2] and math.isnan(both["train"][1][1])
    assert set(series(log, "val/loss")) == {"val"} and set(series(log, "lr")) == {"train"}
    assert series(log, "mIoU") == {"val": ([2], [0.3])} and series(log, "nothing") == {}
    assert keys_of(log) == ["loss", "lr", "mIoU"]


def test_time_of_an_iteration():
    train = [own(i, time=t, data_time=0.1) for i, t in ((1, 30.0), (2, 1.0), (3, 2.0))]
    assert seconds_per_iteration({"train": train}) == pytest.approx((1.5, 0.1))
    assert seconds_per_iteration({"train": train[:1]})[0] == 30
    assert all(map(math.isnan, seconds_per_iteration({"val": []})))
