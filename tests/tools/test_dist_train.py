"""tools/dist_train.sh on two CPU processes: equal gradients, equal scores."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import torch

from tests.helpers_run import run_tool_here, tiny_config, tiny_model, write_config, write_dataset

REPO = Path(__file__).parent.parent.parent


def shell(script: str, *args: object) -> subprocess.CompletedProcess:
    """Run ``tools/SCRIPT`` with a port of its own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    env = {**os.environ, "PYTHON": sys.executable, "PORT": str(port), "OMP_NUM_THREADS": "1"}
    command = ["bash", str(REPO / "tools" / script), *map(str, args)]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=300, cwd=REPO)


def one_step_config(root, batch):
    """One SGD step at rate 1 from given weights, so that the weights tell the gradients."""
    model = tiny_model(dropout_ratio=0.0)
    model["backbone"]["drop_path_rate"] = 0.0
    config = tiny_config(
        root,
        max_iters=1,
        model=model,
        optimizer=dict(type="SGD", lr=1.0),
        lr_config=dict(policy="fixed"),
        custom_imports=dict(imports=["tests.helpers_hooks"], allow_failed_imports=False),
        custom_hooks=[dict(type="FreezeNorm")],
        seed=1,
    )
    config["data"]["samples_per_gpu"] = batch
    return config


def test_two_ranks_step_and_score_like_one(tmp_path, monkeypatch, capsys):
    root = write_dataset(tmp_path / "data", train=4, val=3)
    alone = write_config(tmp_path / "alone.py", one_step_config(root, batch=4))
    joined = write_config(tmp_path / "joined.py", one_step_config(root, batch=2))
    run_tool_here("train", alone, "--work-dir", tmp_path / "alone", monkeypatch=monkeypatch)
    done = shell("dist_train.sh", joined, 2, "--work-dir", tmp_path / "joined")
    assert done.returncode == 0, done.stderr[-2000:]
    ours = torch.load(tmp_path / "joined" / "latest.pth", weights_only=True)["state_dict"]
    theirs = torch.load(tmp_path / "alone" / "latest.pth", weights_only=True)["state_dict"]
    for name, value in theirs.items():
        assert torch.allclose(ours[name].float(), value.float(), atol=1e-5), name

    one, two = tmp_path / "one", tmp_path / "two"
    checkpoint = tmp_path / "joined" / "latest.pth"
    run_tool_here("test", joined, checkpoint, "--eval", "mIoU", "--work-dir", one, monkeypatch=monkeypatch)
    done = shell(
        "dist_test.sh",
        joined,
        checkpoint,
        2,
        "--eval",
        "mIoU",
        "--work-dir",
        two,
        "--show-dir",
        two / "shown",
    )
    assert done.returncode == 0, done.stderr[-2000:]
    scores = [json.loads(next(d.glob("eval_single_scale_*.json")).read_text())["metric"] for d in (one, two)]
    assert scores[0] == scores[1]
    assert len(list((two / "shown" / "gray").glob("*.png"))) == 3


def test_a_mistake_has_no_traceback_and_status_2(tmp_path):
    root = write_dataset(tmp_path / "data", train=1, val=1)
    config = write_config(tmp_path / "c.py", tiny_config(root))
    done = shell(
        "dist_train.sh", config, 2, "--work-dir", tmp_path, "--cfg-options", "data.train.img_dir=nope"
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert str(root / "nope") in done.stderr


def test_usage():
    done = shell("dist_train.sh", "only_a_config.py")
    assert done.returncode == 2
    assert "usage: bash tools/dist_train.sh CONFIG GPUS" in done.stderr
