"""tools/preflight.py: a config that trains, and planted faults, each of which is a line of its own."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from mmseg.apis.preflight_run import duration
from tests.helpers_run import REPO, run_tool_here, tiny_config, tiny_model, write_config, write_dataset


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("data"))


@pytest.fixture
def preflight(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> Any:
    """``preflight(config, *arguments)`` gives the exit status and the lines (status, what, told)."""
    monkeypatch.chdir(tmp_path)
    for name in ("PORT", "MASTER_PORT", "WANDB_MODE", "WANDB_API_KEY", "NETRC"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))

    def call(config: dict[str, Any], *args: object) -> tuple[int, list[tuple[str, str, str]]]:
        path = write_config(tmp_path / "config.py", config)
        before = sorted(tmp_path.rglob("*"))
        with pytest.raises(SystemExit) as stopped:
            run_tool_here("preflight", path, "--device", "cpu", "--iters", 2, *args, monkeypatch=monkeypatch)
        assert sorted(tmp_path.rglob("*")) == before, "something was left behind"
        printed = capsys.readouterr().out
        found = [re.fullmatch(r"(OK|warning|fault) +(.+?)  +(.+)", text) for text in printed.splitlines()]
        return stopped.value.code, [line.groups() for line in found if line]

    return call


def told(lines: list[tuple[str, str, str]], status: str, what: str) -> str:
    """All that stands in the lines of this status and name."""
    return "\n".join(text for its, name, text in lines if its == status and name == what)


def test_a_config_that_trains(preflight: Any, data: Path) -> None:
    status, lines = preflight(tiny_config(data, max_iters=600))
    assert status == 0
    assert {its for its, _, _ in lines} <= {"OK", "warning"}
    assert "10 images, 10 of them read" in told(lines, "OK", "data.train")
    assert "2 x 1 GPU: 5 iterations per epoch" in told(lines, "OK", "batch")
    assert re.search(r"\d+\.\d\d GiB of the ", told(lines, "OK", "peak memory"))
    assert "600 iterations" in told(lines, "OK", "whole run")
    assert "at most 3 checkpoints of 1." in told(lines, "OK", "disk")


def damaged(data: Path, tmp_path: Path, mask: np.ndarray) -> Path:
    root = write_dataset(tmp_path / "damaged")
    cv2.imwrite(str(root / "ann_dir/train/000.png"), mask)
    return root


def test_a_wrong_mask(preflight: Any, data: Path, tmp_path: Path) -> None:
    root = damaged(data, tmp_path, np.full((48, 64), 77, np.uint8))
    status, lines = preflight(tiny_config(root))
    assert status == 1
    assert "000.png" in told(lines, "fault", "data.train") and "77" in told(lines, "fault", "data.train")


def test_too_few_images_for_the_gpus(preflight: Any, data: Path) -> None:
    status, lines = preflight(tiny_config(data), "--gpus", 8)
    assert status == 1
    assert "10 samples, fewer than one batch of 2 on each of 8" in told(lines, "fault", "batch")


def test_another_number_of_classes(preflight: Any, data: Path) -> None:
    status, lines = preflight(tiny_config(data, model=tiny_model(num_classes=19)))
    assert status == 1
    assert "num_classes is 19, but CustomDataset has 3 classes" in told(lines, "fault", "training")


@pytest.mark.parametrize("key", ["load_from", "resume_from"])
def test_a_checkpoint_of_another_model(preflight: Any, data: Path, tmp_path: Path, key: str) -> None:
    torch.save({"state_dict": {"w": torch.ones(3)}, "meta": {"iter": 1}, "optimizer": {"a": 1}}, "other.pth")
    status, lines = preflight(tiny_config(data, **{key: "other.pth"}))
    assert status == 1
    assert "is a checkpoint of another model" in told(lines, "fault", key)


def test_weights_that_are_not_there(preflight: Any, data: Path) -> None:
    model = tiny_model()
    model["backbone"]["init_cfg"] = dict(type="Pretrained", checkpoint="mit_b0.pth")
    del model["pretrained"]
    status, lines = preflight(tiny_config(data, model=model))
    assert status == 1
    assert "there is no checkpoint mit_b0.pth" in told(lines, "fault", "model.backbone.init_cfg.checkpoint")
    assert told(lines, "OK", "iteration"), "the rest is tried all the same"


def test_a_crop_larger_than_the_images(preflight: Any, data: Path) -> None:
    config = tiny_config(data)
    for step in config["data"]["train"]["pipeline"]:
        step.update(
            {"RandomCrop": {"crop_size": (128, 128)}, "Pad": {"size": (128, 128)}}.get(step["type"], {})
        )
    status, lines = preflight(config)
    assert status == 0
    assert "were smaller than the crop" in told(lines, "warning", "crop")


def test_one_image_and_batch_norm(preflight: Any, data: Path) -> None:
    config = tiny_config(data)
    config["data"]["samples_per_gpu"] = 1
    status, lines = preflight(config)
    assert status == 1
    assert "data.samples_per_gpu=1" in told(lines, "warning", "batch norm")
    assert "cannot train on one value per channel" in told(lines, "fault", "training")


def test_a_port_in_use(preflight: Any, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("", 0))
        taken.listen()
        port = taken.getsockname()[1]
        monkeypatch.setenv("PORT", str(port))
        status, lines = preflight(tiny_config(data), "--gpus", 2)
    assert status == 1
    assert re.search(rf"port {port}, .* in use.*PORT=\d+", told(lines, "fault", "port"))


def test_wandb_without_a_key(preflight: Any, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tiny_config(data, log_config=dict(interval=2, hooks=[dict(type="WandbLoggerHook")]))
    status, lines = preflight(config)
    assert status == 0 and "there is no key" in told(lines, "warning", "wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert "no key is needed" in told(preflight(config)[1], "OK", "wandb")


def test_a_full_disk(preflight: Any, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import shutil

    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**9, 10**9, 2 * 10**6))
    status, lines = preflight(tiny_config(data))
    assert status == 1 and "max_keep_ckpts" in told(lines, "fault", "disk")


def test_a_misspelt_key(preflight: Any, data: Path) -> None:
    config = tiny_config(data)
    config["data"]["sampels_per_gpu"] = config["data"].pop("samples_per_gpu")
    status, lines = preflight(config)
    assert status == 1 and "did you mean `samples_per_gpu`" in told(lines, "fault", "config")


def test_out_of_memory(preflight: Any, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mmseg.models.decode_heads import SegformerHead

    def full(*_: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 512 MiB.\nGPU 0 has")

    monkeypatch.setattr(SegformerHead, "forward", full)
    status, lines = preflight(tiny_config(data))
    assert status == 1
    assert "2 images of 32x32" in told(lines, "fault", "training")


@pytest.mark.parametrize("arguments", [["--gpus", "0"], ["--device", "tpu9"]])
def test_wrong_arguments(
    arguments: list[str], data: Path, tmp_path: Path, monkeypatch: Any, capsys: Any
) -> None:
    path = write_config(tmp_path / "config.py", tiny_config(data))
    with pytest.raises(SystemExit) as stopped:
        run_tool_here("preflight", path, *arguments, monkeypatch=monkeypatch)
    assert stopped.value.code == 2
    assert capsys.readouterr().err.startswith(f"error: {arguments[0]}")


def test_help_answers_without_torch() -> None:
    code = (
        "import runpy, sys; sys.argv = ['preflight.py', '--help']\n"
        "try: runpy.run_path('tools/preflight.py', run_name='__main__')\n"
        "except SystemExit: print('torch' in sys.modules)"
    )
    env = {**os.environ, "PYTHONPATH": str(REPO)}
    done = subprocess.run([sys.executable, "-c", code], cwd=REPO, capture_output=True, text=True, env=env)
    assert done.stdout.rstrip().endswith("False")


def test_durations() -> None:
    assert [duration(s) for s in (12.34, 307, 12000, 270000)] == [
        "12.3 s",
        "5 min 7 s",
        "3 h 20 min",
        "3 d 3 h",
    ]
