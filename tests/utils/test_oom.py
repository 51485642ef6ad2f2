"""Memory at its end, in the real loop, evaluator and inference: one line, with what to lower."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mmseg.apis.inference import inference_segmentor, init_segmentor
from mmseg.config import Config
from mmseg.models.backbones import MixVisionTransformer
from mmseg.utils.explained import explain
from mmseg.utils.oom import kind_of
from tests.helpers_run import run_tool_here, tiny_config, write_config, write_dataset

CUDA = torch.OutOfMemoryError(
    "CUDA out of memory. Tried to allocate 512.00 MiB.\nOf the allocated memory ..."
)
CPU = RuntimeError(
    "[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: you tried ..."
)
KILLED = RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed.")
SHARED = RuntimeError(
    "DataLoader worker (pid 7) is killed by signal: Bus error. It is possible that dataloader's workers are"
    " out of shared memory. Please try to raise your shared memory limit."
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("data"))


def fail_with(error: Exception, monkeypatch: pytest.MonkeyPatch, training: bool) -> None:
    """Let the backbone raise ``error``, in training or outside of it."""
    forward = MixVisionTransformer.forward

    def full(self: Any, x: Any) -> Any:
        if self.training == training:
            raise type(error)(*error.args)  # a new one: its traceback is what is read
        return forward(self, x)

    monkeypatch.setattr(MixVisionTransformer, "forward", full)


@pytest.mark.parametrize("error", [CUDA, CPU, MemoryError()], ids=["cuda", "cpu", "python"])
def test_training(error: Exception, data: Path, tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    fail_with(error, monkeypatch, training=True)
    path = write_config(tmp_path / "config.py", tiny_config(data))
    with pytest.raises(SystemExit) as stopped:
        run_tool_here("train", path, "--work-dir", tmp_path / "run", monkeypatch=monkeypatch)
    assert stopped.value.code == 2
    (line,) = [text for text in capsys.readouterr().err.splitlines() if text.startswith("error")]
    assert "out of memory in training with a batch of 2 images of 32x32" in line
    assert line.index("data.samples_per_gpu") < line.index("crop_size") < line.index("with_cp=True")


def test_the_evaluation_in_training(data: Path, tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    fail_with(CUDA, monkeypatch, training=False)
    path = write_config(tmp_path / "config.py", tiny_config(data, max_iters=1))
    with pytest.raises(SystemExit) as stopped:
        run_tool_here("train", path, "--work-dir", tmp_path / "run", monkeypatch=monkeypatch)
    assert stopped.value.code == 2
    assert "out of memory in testing with a batch of 1 image of 48x64" in capsys.readouterr().err


def test_testing(data: Path, tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    path = write_config(tmp_path / "config.py", tiny_config(data))
    model = init_segmentor(Config(tiny_config(data)), device="cpu")
    torch.save({"state_dict": model.state_dict(), "meta": {}}, tmp_path / "w.pth")
    fail_with(CUDA, monkeypatch, training=False)
    with pytest.raises(SystemExit) as stopped:
        run_tool_here(
            "test",
            path,
            tmp_path / "w.pth",
            "--eval",
            "mIoU",
            "--work-dir",
            tmp_path,
            monkeypatch=monkeypatch,
        )
    assert stopped.value.code == 2
    err = capsys.readouterr().err
    assert "out of memory in testing with a batch of 1 image of 48x64" in err and "mode='slide'" in err
    assert "Traceback" not in err


def test_inference(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = init_segmentor(Config(tiny_config(data)), device="cpu")
    fail_with(CUDA, monkeypatch, training=False)
    with pytest.raises(torch.OutOfMemoryError) as caught:
        inference_segmentor(model, np.zeros((48, 64, 3), np.uint8))
    told = explain(caught.value)
    assert told is not None and "in inference with a batch of 1 image of 48x64" in told


def test_a_gpu_tells_how_full_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    gib = 2**30
    answers = {
        "is_available": True,
        "current_device": 0,
        "mem_get_info": (gib // 4, 24 * gib),
        "max_memory_allocated": 12 * gib,
        "memory_reserved": 13 * gib,
        "get_device_name": "Card",
    }
    for name, value in answers.items():
        monkeypatch.setattr(torch.cuda, name, lambda *_, value=value: value)
    told = explain(CUDA)
    assert told is not None
    assert "at most 12.0 GiB of the 24.0 GiB of cuda:0 (Card), and 10.8 GiB are held outside of it" in told


def test_workers_of_the_loader() -> None:
    assert "lower data.workers_per_gpu" in (explain(KILLED) or "")
    assert "--shm-size" in (explain(SHARED) or "")


@pytest.mark.parametrize("error", [RuntimeError("size mismatch"), ValueError("no"), KeyError("x")])
def test_other_errors_are_left_alone(error: Exception) -> None:
    assert kind_of(error) is None and explain(error) is None


def test_batch_norm_of_one_value() -> None:
    norm = torch.nn.BatchNorm2d(4)
    with pytest.raises(ValueError, match="more than 1 value") as caught:
        norm(torch.zeros(1, 4, 1, 1))
    told = explain(caught.value) or ""
    assert "[1, 4, 1, 1]" in told and "data.samples_per_gpu to 2" in told and "\n" not in told
