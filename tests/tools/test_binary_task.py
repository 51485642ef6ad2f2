"""Masks of 0 and 255 train with one line of config; without it, that line is the remedy."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from mmseg.apis import init_segmentor
from mmseg.apis.setup import prepare_config
from tests.helpers_run import run_tool_here, tiny_config, tiny_model, write_config, write_dataset


def binary_config(root: Path, **sections: Any) -> dict[str, Any]:
    """A config of two classes with an auxiliary head, for masks of 0 and 255."""
    write_dataset(root, train=6, val=3)
    for path in (root / "ann_dir").rglob("*.png"):
        mask = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        cv2.imwrite(str(path), (mask == 1).astype(np.uint8) * 255)
    model = tiny_model(num_classes=2)
    model["auxiliary_head"] = dict(
        type="FCNHead", in_channels=32, in_index=2, channels=8, num_convs=1, concat_input=False, num_classes=2
    )
    config = tiny_config(root, max_iters=4, model=model, **sections)
    for split in ("train", "val", "test"):
        config["data"][split].update(classes=("road", "crack"), palette=[[0, 0, 0], [255, 0, 0]])
    config["data"]["train"] = dict(type="RepeatDataset", times=2, dataset=config["data"]["train"])
    config["evaluation"] = dict(interval=4, metric="mIoU", save_best="IoU.crack")
    return config


def train(path: Path, work: Path, monkeypatch: pytest.MonkeyPatch, *more: str) -> None:
    run_tool_here("train", path, "--work-dir", work, "--seed", 0, *more, monkeypatch=monkeypatch)


def test_one_line_trains_and_evaluates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_config(tmp_path / "binary.py", binary_config(tmp_path / "data"))
    with pytest.raises(SystemExit) as stop:
        train(path, tmp_path / "refused", monkeypatch)
    assert stop.value.code == 2
    message = capsys.readouterr().err.splitlines()[-1]
    line = re.search(r"add the line (.*?) to the config", message)[1]
    assert line == "task = 'binary'"

    path.write_text(f"{path.read_text()}\n{line}\n")
    work = tmp_path / "work"
    train(path, work, monkeypatch)
    checkpoint = torch.load(work / "latest.pth", weights_only=True)
    assert checkpoint["state_dict"]["decode_head.conv_seg.weight"].shape[0] == 1
    assert checkpoint["state_dict"]["auxiliary_head.conv_seg.weight"].shape[0] == 1
    assert checkpoint["meta"]["CLASSES"] == ["road", "crack"]
    assert list(work.glob("best_IoU.crack_iter_4.pth"))
    records = [json.loads(text) for text in next(work.glob("*.log.json")).read_text().splitlines()]
    (scored,) = [record for record in records if record.get("mode") == "val"]
    assert 0 < scored["IoU.crack"] <= 1 or 0 < scored["IoU.road"] <= 1
    assert scored["mIoU"] == pytest.approx((scored["IoU.crack"] + scored["IoU.road"]) / 2, abs=1e-3)

    weights = work / "latest.pth"
    run_tool_here("test", path, weights, "--work-dir", work, "--eval", "mIoU", monkeypatch=monkeypatch)
    (tested,) = [json.loads(p.read_text())["metric"] for p in work.glob("eval_single_scale_*.json")]
    assert tested["IoU.crack"] == pytest.approx(scored["IoU.crack"], abs=1e-4)


def test_the_switch_sets_every_part_and_contradictions_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_config(tmp_path / "binary.py", binary_config(tmp_path / "data", task="binary"))
    cfg = prepare_config(str(path))
    assert cfg.data.train.dataset.task == cfg.data.val.task == cfg.data.test.task == "binary"
    model = init_segmentor(cfg, device="cpu")
    assert (model.decode_head.threshold, model.auxiliary_head.out_channels) == (0.5, 1)
    for option, message in (
        ("model.decode_head.num_classes=19", "num_classes=19; set num_classes=2"),
        ("model.auxiliary_head.out_channels=2", "out_channels=2; leave `out_channels` out"),
        ("model.decode_head.ignore_index=254", "model.decode_head.ignore_index is 254"),
        ("data.train.dataset.reduce_zero_label=True", "reduce_zero_label=True as ignored"),
        ("model.decode_head.threshold=2", "`threshold` is a probability"),
        ("task=multi", "`task` is 'binary' or left out"),
    ):
        with pytest.raises(SystemExit) as stop:
            train(path, tmp_path / "work", monkeypatch, "--cfg-options", option)
        assert stop.value.code == 2
        assert message in capsys.readouterr().err.splitlines()[-1]


def test_a_data_set_without_classes_names_the_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = binary_config(tmp_path / "data")
    config["evaluation"] = dict(interval=4, metric="mIoU", save_best="IoU.foreground")
    for data in (config["data"]["train"]["dataset"], config["data"]["val"], config["data"]["test"]):
        del data["classes"], data["palette"]
    path = write_config(tmp_path / "binary.py", config)
    with pytest.raises(SystemExit):
        train(path, tmp_path / "refused", monkeypatch, "--no-validate")
    assert "has no classes" in (message := capsys.readouterr().err.splitlines()[-1])
    assert "the line task = 'binary'" in message
    path.write_text(path.read_text() + "\ntask = 'binary'\n")
    train(path, tmp_path / "work", monkeypatch)
    checkpoint = torch.load(tmp_path / "work/latest.pth", weights_only=True)
    assert checkpoint["meta"]["CLASSES"] == ["background", "foreground"]
