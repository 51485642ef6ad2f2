"""The messages that most people meet, through tools/train.py: one line, status 2."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.helpers_run import REPO, run_tool_here, tiny_config, tiny_model, write_config, write_dataset


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("data"))


def resized_only(config: dict[str, Any]) -> None:
    """A pipeline of images of several sizes: no crop reaches them, and nothing pads."""
    steps = config["data"]["train"]["pipeline"]
    config["data"]["train"]["pipeline"] = [
        {**step, "crop_size": (128, 128)} if step["type"] == "RandomCrop" else step
        for step in steps
        if step["type"] != "Pad"
    ]


def one_image(config: dict[str, Any]) -> None:
    config["data"]["samples_per_gpu"] = 1


def pooled(config: dict[str, Any]) -> None:
    one_image(config)
    head = config["model"]["decode_head"]
    for key in ("in_channels", "in_index"):
        head[key] = head[key][-1]
    head["type"] = "PSPHead"


def other_classes(config: dict[str, Any]) -> None:
    config["model"] = tiny_model(num_classes=19)


def too_large_a_batch(config: dict[str, Any]) -> None:
    config["data"]["samples_per_gpu"] = 11


def misspelt(config: dict[str, Any]) -> None:
    config["data"]["sampels_per_gpu"] = config["data"].pop("samples_per_gpu")


def another_model(config: dict[str, Any]) -> None:
    torch.save({"state_dict": {"w": torch.ones(3)}}, "other.pth")
    config["load_from"] = "other.pth"


@pytest.mark.parametrize(
    ("mistake", "words"),
    [
        (resized_only, ["the samples of one batch differ in the size of", "Pad"]),
        (one_image, ["batch normalisation cannot train on one value", "data.samples_per_gpu to 2"]),
        (pooled, ["averages a whole map to one value", "data.samples_per_gpu to 2"]),
        (other_classes, ["num_classes is 19, but CustomDataset has 3 classes", "num_classes=3"]),
        (too_large_a_batch, ["the data set has 10 samples, fewer than one batch of 11"]),
        (misspelt, ["sampels_per_gpu", "did you mean `samples_per_gpu`"]),
        (another_model, ["other.pth is a checkpoint of another model"]),
    ],
)
def test_one_line_and_status_2(
    mistake: Any, words: list[str], data: Path, tmp_path: Path, monkeypatch: Any, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    config = tiny_config(data)
    mistake(config)
    path = write_config(tmp_path / "config.py", config)
    with pytest.raises(SystemExit) as stopped:
        run_tool_here("train", path, "--work-dir", tmp_path / "run", "--seed", 0, monkeypatch=monkeypatch)
    assert stopped.value.code == 2
    err = capsys.readouterr().err
    (line,) = [text for text in err.splitlines() if text.startswith("error: ")]
    assert all(word in line for word in words), line
    assert "Traceback" not in err


def test_a_port_in_use(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("", 0))
        taken.listen()
        port = taken.getsockname()[1]
        env = {**os.environ, "PORT": str(port), "PYTHON": sys.executable}
        command = ["bash", "tools/dist_train.sh", str(tmp_path / "config.py"), "2"]
        done = subprocess.run(command, cwd=REPO, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    (line,) = [text for text in done.stderr.splitlines() if text.startswith("error: ")]
    assert f":{port} (is its port in use?)" in line and "set PORT to a free one" in line
    assert "Traceback" not in done.stderr
