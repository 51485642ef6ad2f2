"""A tiny data set, config and checkpoint for the notebook bridge, and a kernel to show things in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from mmseg.config import Config
from mmseg.models import build_segmentor
from tests.helpers_run import CLASSES, PALETTE, tiny_config, write_config, write_dataset

EVALUATES = dict(interval=6, metric="mIoU", save_best="mIoU")
SIZE = (64, 96)  # (h, w): half of it still has pixels for every stage


def write_project(root: Path, **sections: Any) -> Path:
    """Write a data set and a config for it below ``root``; returns the config's path."""
    config = tiny_config(write_dataset(root / "scenes", size=SIZE), **sections)
    for split in ("val", "test"):
        config["data"][split]["pipeline"][1]["img_scale"] = SIZE[::-1]
    return write_config(root / "tiny.py", config)


def write_checkpoint(config: Path, path: Path) -> Path:
    """Keep random weights for ``config`` as ``path``."""
    torch.manual_seed(0)
    model = build_segmentor(Config.fromfile(config).model)
    model.init_weights()
    meta = {"CLASSES": list(CLASSES), "PALETTE": PALETTE}
    torch.save({"meta": meta, "state_dict": model.state_dict()}, path)
    return path


class Shown:
    """Stands for ``IPython.display`` and keeps what is displayed."""

    def __init__(self) -> None:
        self.things: list[Any] = []

    def display(self, thing: Any) -> None:
        self.things.append(thing)

    def __getattr__(self, kind: str) -> Any:
        return lambda *args, **kwargs: (kind, args, kwargs)
