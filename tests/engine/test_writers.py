"""Text, CSV and tensorboard: what is on the disk after a run, and after a resumed one."""

from __future__ import annotations

import csv
import io
import json
import logging
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from mmseg.engine.writers import (
    WRITERS,
    CsvWriter,
    Examples,
    TensorboardWriter,
    TextWriter,
    TolerantWriter,
    Writer,
    build_writers,
    curves,
)
from mmseg.engine.writers.base import per_class_scores
from mmseg.engine.writers.csv_files import read_rows
from mmseg.engine.writers.examples import LONGEST_SIDE, shrunk, spaced_indices
from mmseg.utils.errors import UserError
from mmseg.utils.logger import get_root_logger
from tests.helpers_run import run_tool_here, tiny_config, write_config, write_dataset
from tests.helpers_writers import CLASSES, evaluation, example, run_info, train_record, val_record


@pytest.fixture
def warnings():
    """The toolbox's warnings, as they are logged."""
    lines: list[str] = []

    class Collect(logging.Handler):
        def emit(self, record):
            lines.append(record.getMessage())

    handler = Collect(logging.WARNING)
    get_root_logger().addHandler(handler)
    yield lines
    get_root_logger().removeHandler(handler)


# ---------------------------------------------------------------- what all of them share


def test_the_text_writer_is_always_there_and_first():
    kinds = [
        type(w) for w in build_writers(dict(hooks=[dict(type="CsvLoggerHook"), dict(type="TextLoggerHook")]))
    ]
    assert kinds == [TextWriter, CsvWriter]
    assert [type(w) for w in build_writers(None)] == [TextWriter]


@pytest.mark.parametrize(
    ("hook", "message"),
    [
        (dict(type="WandLoggerHook"), "did you mean `WandbLoggerHook`"),
        (dict(type="MMSegWandbHook", num_eval_image=3), "did you mean `num_eval_images`"),
        (dict(type="CsvLoggerHook", outdir="x"), "did you mean `out_dir`"),
    ],
)
def test_a_slip_in_a_hook_is_named(hook, message):
    with pytest.raises(UserError, match=message):
        build_writers(dict(hooks=[hook]))


def test_curves_are_named_as_in_025():
    assert curves(train_record(4, flag=True, note="x")) == {
        "train/time": 0.5,
        "train/data_time": 0.1,
        "train/memory": 7,
        "train/loss": 0.25,
        "learning_rate": 0.025,
    }


def test_the_per_class_table_has_a_row_for_each_class():
    columns, rows = per_class_scores(evaluation().scores, CLASSES)
    assert columns == ["class", "IoU", "Acc"]
    assert rows == [["road", 0.5, 0.25], ["car.red", None, None]]


def test_an_interval_of_its_own_leaves_out_training_records_only():
    writer = Writer()
    writer.interval = 20
    due = [i for i in range(10, 101, 10) if writer.is_due(train_record(i))]
    assert due == [20, 40, 60, 80, 100]
    assert writer.is_due(val_record(30))
    by_epoch = {**train_record(110), "by_epoch": True, "inner_iter": 60}
    assert writer.is_due(by_epoch) and not writer.is_due({**by_epoch, "inner_iter": 50})
    writer.interval = 30
    assert writer.is_due(train_record(100)), "the last iteration is always taken"


def test_a_failing_writer_says_so_once_and_falls_silent(warnings):
    class Broken(TolerantWriter):
        label = "the broken writer"
        remedy = "mend it"
        calls = 0

        def _write(self, record):
            self.calls += 1
            raise OSError(28, "No space left on device")

    writer = Broken(num_eval_images=3)
    writer.start({})
    for i in (1, 2, 3):
        writer.write(train_record(i))
        writer.evaluation(train_record(i), evaluation(), [])
        writer.checkpoint("x.pth", {})
    writer.close()
    assert writer.calls == 1 and writer.num_eval_images == 0
    assert warnings == [
        "the broken writer failed and is off for this run; training goes on: "
        "[Errno 28] No space left on device (mend it)"
    ]


# ---------------------------------------------------------------- text


def test_text_lines_follow_their_own_interval(tmp_path):
    writer = TextWriter(interval=4, out_suffix=".log", keep_local=True)
    writer.start(run_info(tmp_path))
    for i in range(2, 9, 2):
        writer.write(train_record(i))
    writer.write(val_record(6))
    lines = [json.loads(s) for s in (tmp_path / "20260102_030405.log.json").read_text().splitlines()]
    assert [(r["mode"], r["iter"]) for r in lines[1:]] == [("train", 4), ("train", 8), ("val", 6)]


# ---------------------------------------------------------------- CSV


def rows_of(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_csv_files_read_back(tmp_path):
    writer = CsvWriter()
    writer.start(run_info(tmp_path))
    writer.write(train_record(10))
    writer.write(val_record(10))
    writer.write(train_record(30))
    writer.close()
    train, val = rows_of(tmp_path / "train.csv"), rows_of(tmp_path / "val.csv")
    assert [r["iter"] for r in train] == ["10", "30"]
    assert float(train[1]["loss"]) == 1.0 / 30, "full precision"
    assert float(val[0]["IoU.road"]) == 0.5 and val[0]["IoU.car.red"] == "nan"
    assert not {"eta", "mode", "by_epoch"} & set(train[0])


def test_a_new_csv_column_stands_at_the_right_and_is_empty_before(tmp_path):
    writer = CsvWriter()
    writer.start(run_info(tmp_path))
    writer.write(train_record(1))
    writer.write(train_record(2, **{'odd, "name"': 0.5}))
    writer.write(train_record(3))
    columns, rows = read_rows(str(tmp_path / "train.csv"))
    assert columns[-1] == 'odd, "name"' and columns[:3] == ["iter", "epoch", "lr"]
    assert [r['odd, "name"'] for r in rows] == ["", "0.5", ""]
    assert [r["loss"] for r in rows] == ["1.0", "0.5", str(1 / 3)]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["train.csv"]


def test_a_resumed_csv_goes_on_where_the_checkpoint_was(tmp_path):
    writer = CsvWriter()
    writer.start(run_info(tmp_path))
    for i in (1, 2, 3):
        writer.write(train_record(i))
    with open(tmp_path / "train.csv", "a") as file:
        file.write("4,1,0.0")  # the process was killed here
    again = CsvWriter()
    again.start(run_info(tmp_path, iteration=2))
    again.write(train_record(3, loss=7.0))
    again.write(train_record(4, grad_norm=0.5))
    rows = rows_of(tmp_path / "train.csv")
    assert [r["iter"] for r in rows] == ["1", "2", "3", "4"]
    assert [r["loss"] for r in rows] == ["1.0", "0.5", "7.0", "0.25"]
    assert [r["grad_norm"] for r in rows] == ["", "", "", "0.5"]


def test_a_run_that_starts_anew_keeps_the_csv_of_the_former(tmp_path):
    for loss in (1.0, 2.0):
        writer = CsvWriter(out_dir=str(tmp_path / "tables"))
        writer.start(run_info(tmp_path))
        writer.write(train_record(1, loss=loss))
    folder = tmp_path / "tables"
    assert [r["loss"] for r in rows_of(folder / "train.csv")] == ["2.0"]
    assert [r["loss"] for r in rows_of(folder / "train_before_20260102_030405.csv")] == ["1.0"]


def test_a_csv_that_cannot_be_written_stops_nothing(tmp_path, warnings):
    (tmp_path / "file").write_text("no folder")
    writer = CsvWriter(out_dir=str(tmp_path / "file"))
    writer.start(run_info(tmp_path))
    writer.write(train_record(1))
    assert len(warnings) == 1 and warnings[0].startswith("the CSV log failed")


# ---------------------------------------------------------------- tensorboard


def events(folder):
    accumulator = EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 0, "tensors": 0})
    accumulator.Reload()
    return accumulator


def test_tensorboard_reads_curves_table_images_and_config(tmp_path):
    writer = TensorboardWriter()
    writer.start(run_info(tmp_path))
    writer.write(train_record(1))
    writer.write(train_record(2))
    for step in (1, 2):
        writer.write(val_record(step))
        writer.evaluation(val_record(step), evaluation(), [example("a.png"), example("b.png")])
    writer.close()
    read = events(tmp_path / "tf_logs")
    assert [(e.step, e.value) for e in read.Scalars("train/loss")] == [(1, 1.0), (2, 0.5)]
    assert [e.step for e in read.Scalars("learning_rate")] == [1, 2, 1, 2]
    assert [e.value for e in read.Scalars("val/IoU.road")] == [0.5, 0.5]
    assert "val/IoU.car.red" not in read.Tags()["scalars"], "NaN is no point of a curve"
    assert sorted(read.Tags()["images"]) == ["val/a.png", "val/b.png"]
    image = read.Images("val/a.png")
    assert [(e.step, e.width, e.height) for e in image] == [(1, 8, 12), (2, 8, 12)]
    text = {k: read.Tensors(k)[0].tensor_proto.string_val[0].decode() for k in read.Tags()["tensors"]}
    assert "max_iters = 4" in text["config/text_summary"]
    assert "| road | 0.5000 | 0.2500 |" in text["val/per_class/text_summary"]


def test_a_tensorboard_picture_has_the_palette_and_shows_ignored_pixels(tmp_path):
    writer = TensorboardWriter(log_dir=str(tmp_path / "logs"))
    writer.start(run_info(tmp_path))
    writer.evaluation(val_record(1), evaluation(), [example()])
    writer.close()
    data = events(tmp_path / "logs").Images("val/a.png")[0].encoded_image_string
    picture = np.asarray(Image.open(io.BytesIO(data)))
    scene = np.array([200, 20, 10])  # RGB
    assert np.abs(picture[3, 3] - (scene + [255, 0, 0]) / 2).max() <= 1, "prediction: class 1 above"
    assert np.abs(picture[9, 3] - (scene + [128, 64, 128]) / 2).max() <= 1, "truth: class 0 below"
    assert (picture[6, 3] == scene).all(), "ignored: the image itself"


def test_a_resumed_tensorboard_log_hides_what_is_written_again(tmp_path):
    first = TensorboardWriter()
    first.start(run_info(tmp_path))
    for i in (1, 2, 3):
        first.write(train_record(i, loss=1.0))
    second = TensorboardWriter()
    second.start(run_info(tmp_path, iteration=2))
    for i in (3, 4):
        second.write(train_record(i, loss=2.0))
    second.close()
    points = [(e.step, e.value) for e in events(tmp_path / "tf_logs").Scalars("train/loss")]
    assert points == [(1, 1.0), (2, 1.0), (3, 2.0), (4, 2.0)]


def test_without_tensorboard_training_goes_on(tmp_path, monkeypatch, warnings):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    writer = TensorboardWriter()
    writer.start(run_info(tmp_path))
    writer.write(train_record(1))
    writer.close()
    assert len(warnings) == 1 and warnings[0].startswith("tensorboard failed and is off")


# ---------------------------------------------------------------- example images


@given(st.integers(0, 500), st.integers(0, 120))
def test_example_indices_are_spread_evenly(length, number):
    chosen = spaced_indices(length, number)
    assert len(chosen) == min(length, number) == len(set(chosen))
    assert chosen == sorted(chosen) and all(0 <= i < length for i in chosen)
    if len(chosen) > 1:
        gaps = np.diff(chosen)
        assert chosen[0] == 0 and chosen[-1] == length - 1 and gaps.max() - gaps.min() <= 1


def test_large_pictures_shrink_and_small_ones_do_not():
    assert shrunk(np.zeros((1024, 2048, 3), np.uint8), 3).shape == (512, LONGEST_SIDE, 3)
    small = np.zeros((7, LONGEST_SIDE), np.uint8)
    assert shrunk(small, 0) is small


class Validation:
    """Five images whose masks hold their index."""

    def __len__(self):
        return 5

    def __getitem__(self, index):
        view = np.zeros((5, 4, 6), np.float32)
        view[:, :, 3:] = 2.0
        return {"img": [view]}

    def get_gt_seg_map_by_idx(self, index):
        return np.full((4, 6), index, np.uint8)


class Wants(Writer):
    def __init__(self, number):
        self.num_eval_images, self.seen = number, []

    def evaluation(self, record, result, examples):
        self.seen.append(examples)


def test_each_writer_gets_the_images_that_it_wants():
    many, few, none = Wants(3), Wants(1), Wants(0)
    examples = Examples(Validation(), [many, few, none])
    for _ in range(2):
        for index in range(5):
            examples.sink(index, np.full((4, 6), 9 - index, np.int64), {"ori_filename": f"{index}.tif"})
        examples.report([many, few, none], {}, evaluation())
    assert [[e.name for e in seen] for seen in many.seen] == [["0.tif", "2.tif", "4.tif"]] * 2
    assert [(int(e.truth[0, 0]), int(e.prediction[0, 0])) for e in many.seen[0]] == [(0, 9), (2, 7), (4, 5)]
    assert [[e.name for e in seen] for seen in few.seen] == [["0.tif"]] * 2
    assert none.seen == [[], []]
    image = many.seen[0][0].image  # from the sample: there is no file to read
    assert image.shape == (4, 6, 3) and image.dtype == np.uint8
    assert image[0, 0].tolist() == [0, 0, 0] and image[0, 5].tolist() == [255, 255, 255]


def test_nothing_is_kept_where_no_writer_wants_images():
    assert Examples(Validation(), [Wants(0)]).sink is None
    assert Examples(None, [Wants(3)]).sink is None


def test_a_picture_that_fails_is_one_line_and_no_end_of_the_run(warnings):
    writer = Wants(2)
    examples = Examples(Validation(), [writer])
    for _ in range(2):
        examples.sink(0, np.zeros((4, 6), np.int64), {})
        examples.dataset.get_gt_seg_map_by_idx = None
        examples.report([writer], {}, evaluation())
    assert writer.seen == [[], []]
    assert len(warnings) == 1 and "no example images" in warnings[0]


# ---------------------------------------------------------------- a whole run


def test_a_run_and_its_resume_leave_whole_logs(tmp_path, monkeypatch):
    root = write_dataset(tmp_path / "data", train=4, val=3)
    hooks = [dict(type="CsvLoggerHook"), dict(type="TensorboardLoggerHook")]
    sections = dict(
        log_config=dict(interval=1, hooks=hooks), evaluation=dict(interval=2, save_best="mIoU"), seed=1
    )
    short = write_config(tmp_path / "short.py", tiny_config(root, max_iters=2, **sections))
    whole = write_config(tmp_path / "whole.py", tiny_config(root, max_iters=4, **sections))
    work = tmp_path / "work"
    run_tool_here("train", short, "--work-dir", work, monkeypatch=monkeypatch)
    run_tool_here("train", whole, "--work-dir", work, "--auto-resume", monkeypatch=monkeypatch)
    assert [r["iter"] for r in rows_of(work / "train.csv")] == ["1", "2", "3", "4"]
    val = rows_of(work / "val.csv")
    assert [r["iter"] for r in val] == ["2", "4"] and 0 <= float(val[0]["mIoU"]) <= 1
    read = events(work / "tf_logs")
    assert [e.step for e in read.Scalars("val/mIoU")] == [2, 4]
    images = read.Tags()["images"]
    assert images == ["val/000.png", "val/001.png", "val/002.png"] and len(read.Images(images[0])) == 2


def test_the_historic_names_are_known():
    assert {"TextLoggerHook", "WandbLoggerHook", "MMSegWandbHook", "TensorboardLoggerHook"} <= set(
        WRITERS.module_dict
    )
