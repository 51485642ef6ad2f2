"""A small student and its teacher, whose weights lie in a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from mmseg.models import build_segmentor
from tests.helpers_models import fcn_head, tiny_segformer


def student_config(**changes: Any) -> dict[str, Any]:
    """The student of these tests: 5 classes, with an auxiliary head."""
    aux = fcn_head(num_classes=5, in_channels=32, channels=8)
    return tiny_segformer(auxiliary_head=aux, test_cfg={"mode": "whole"}, **changes)


def teacher_config(**changes: Any) -> dict[str, Any]:
    """A wider teacher."""
    config = tiny_segformer(test_cfg={"mode": "whole"}, **changes)
    config["backbone"] = {**config["backbone"], "embed_dims": 16}
    config["decode_head"] = {**config["decode_head"], "in_channels": [16, 32, 64, 128], "channels": 24}
    return config


def saved_teacher(folder: Path, config: dict[str, Any] | None = None) -> dict[str, Any]:
    """The ``teacher`` section for a teacher whose weights are drawn and written to ``folder``."""
    config = config or teacher_config()
    with torch.random.fork_rng():
        torch.manual_seed(11)
        model = build_segmentor(config)
        for parameter in model.decode_head.conv_seg.parameters():
            torch.nn.init.normal_(parameter, std=0.5)  # a teacher that is sure of something
    path = folder / "teacher.pth"
    torch.save({"state_dict": model.state_dict()}, path)
    return {"cfg": config, "checkpoint": str(path)}


def distiller_config(folder: Path, *pairs: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """A whole ``model`` section."""
    config = {"type": "ChannelWiseDistiller", "student": {"cfg": student_config()}, **changes}
    if "teacher" not in config:
        config["teacher"] = saved_teacher(folder)
    if pairs:
        config["distillation"] = list(pairs)
    return config
