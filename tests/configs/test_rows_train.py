"""Every row of the results table learns: a few steps of its own optimizer lower its own loss."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from mmseg.config import Config
from mmseg.engine import build_optimizer
from mmseg.models import build_segmentor
from mmseg.models.layers.drop import DropPath
from mmseg.models.layers.norm import revert_sync_batchnorm
from tests.configs.test_readme import FOLDER, ROWS, link_of

STEPS = 6
QUICK = "SegFormer B0"
CONFIGS = {link_of(row[1]): row[0] for row in ROWS if "CWD" not in row[0]}  # distillation has its own tests


def still(model: nn.Module) -> nn.Module:
    """Training mode without chance, so that losses can be compared."""
    model = revert_sync_batchnorm(model).train()
    for module in model.modules():
        if isinstance(module, nn.Dropout | nn.Dropout2d):
            module.p = 0.0
        elif isinstance(module, DropPath):
            module.drop_prob = 0.0
    return model


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, marks=[] if name.startswith(QUICK) else [pytest.mark.slow])
        for path, name in CONFIGS.items()
    ],
)
def test_loss_falls(path: str) -> None:
    torch.manual_seed(0)
    config = Config.fromfile(FOLDER / path)
    config.model.pretrained = config.model.backbone.init_cfg = None
    model = build_segmentor(config.model)
    model.init_weights()
    still(model)
    optimizer = build_optimizer(model, config.optimizer)
    images = torch.randn(2, 3, 128, 192)
    labels = torch.zeros(2, 1, 128, 192, dtype=torch.int64)
    labels[:, :, 48:] = 8
    labels[:, :, 80:, :64] = 13
    metas = [dict(img_shape=(128, 192, 3), ori_shape=(128, 192, 3), pad_shape=(128, 192, 3))] * 2
    losses = []
    for _ in range(STEPS):
        optimizer.zero_grad()
        out = model.train_step(dict(img=images, img_metas=metas, gt_semantic_seg=labels), optimizer)
        out["loss"].backward()
        optimizer.step()
        losses.append(float(out["loss"].detach()))
    assert losses[-1] < losses[0], losses
