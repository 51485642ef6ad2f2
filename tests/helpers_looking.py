"""A small trained run, frames and videos for the tests of the tools that show things."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from mmseg.models import build_segmentor
from tests.helpers_run import (
    CLASSES,
    PALETTE,
    run_tool_here,
    tiny_config,
    tiny_model,
    write_config,
    write_dataset,
)


def write_run(root: Path, **sections: Any) -> tuple[Path, Path]:
    """Write a data set, a config and a checkpoint below ``root``; returns the paths of the last two."""
    write_dataset(root)
    config = write_config(root / "tiny.py", tiny_config(root, **sections))
    torch.manual_seed(0)
    state = build_segmentor(tiny_model()).state_dict()
    torch.save({"state_dict": state, "meta": {"CLASSES": CLASSES, "PALETTE": PALETTE}}, root / "tiny.pth")
    return config, root / "tiny.pth"


def refusal(tool: str, *args: object, monkeypatch: Any, capsys: Any) -> str:
    """Call a tool that must exit with status 2 and one line; returns the line."""
    try:
        run_tool_here(tool, *args, monkeypatch=monkeypatch)
    except SystemExit as stopped:
        assert stopped.code == 2
    else:
        raise AssertionError(f"{tool} accepted {args}")
    lines = [line for line in capsys.readouterr().err.splitlines() if "error: " in line]
    assert len(lines) == 1, lines
    return lines[0]


def write_video(path: Path, number: int = 6, size: tuple[int, int] = (48, 64), fps: float = 10) -> Path:
    """Write a video whose frames rise in brightness; size is (h, w)."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), fps, size[::-1])
    for i in range(number):
        writer.write(np.full((*size, 3), 20 + i * 200 // number, np.uint8))
    writer.release()
    return path


def frames_in(path: Path) -> list[np.ndarray]:
    """The frames of a video, all read."""
    capture, frames = cv2.VideoCapture(str(path)), []
    while (frame := capture.read()[1]) is not None:
        frames.append(frame)
    capture.release()
    return frames
