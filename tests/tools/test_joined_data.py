"""Training on mosaics of joined data sets, scored one by one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.helpers_run import run_tool_here, tiny_config, write_config, write_dataset


def test_mosaics_of_two_data_sets_train_and_each_is_scored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    roots = [write_dataset(tmp_path / name, train=4, val=2) for name in "ab"]
    config = tiny_config(roots[0], max_iters=3)
    data = config["data"]
    load, rest = data["train"]["pipeline"][:2], data["train"]["pipeline"][2:]
    both = [{**data["train"], "data_root": str(root), "pipeline": load} for root in roots]
    mosaic = dict(type="RandomMosaic", prob=0.5, img_scale=(48, 64))
    data["train"] = dict(type="MultiImageMixDataset", dataset=both, pipeline=[mosaic, *rest])
    data["val"] = [{**data["val"], "data_root": str(root)} for root in roots]
    config["evaluation"] = dict(interval=3, metric="mIoU", save_best="1_mIoU")
    path, work = write_config(tmp_path / "joined.py", config), tmp_path / "work"
    run_tool_here("train", path, "--work-dir", work, "--seed", 0, monkeypatch=monkeypatch)
    records = [json.loads(text) for text in next(work.glob("*.log.json")).read_text().splitlines()]
    (scores,) = [record for record in records if record.get("mode") == "val"]
    assert {"mIoU", "0_mIoU", "1_mIoU", "0_IoU.left", "1_IoU.right"} <= set(scores)
    assert scores["aAcc"] == pytest.approx((scores["0_aAcc"] + scores["1_aAcc"]) / 2, abs=2e-2)
    assert (work / "best_1_mIoU_iter_3.pth").is_file()
