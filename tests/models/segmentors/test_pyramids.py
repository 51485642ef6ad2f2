"""Models with a neck, and with heads on several maps, from image to losses and label maps."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from mmseg.models import build_segmentor, revert_sync_batchnorm
from tests.helpers_models import fcn_head, metas, tiny_segformer

NORM = {"type": "SyncBN", "requires_grad": True}
ALL_MAPS = {"in_index": [0, 1, 2, 3], "channels": 16, "num_classes": 5, "norm_cfg": NORM}
OHEM = {"type": "OHEMPixelSampler", "thresh": 0.7, "min_kept": 500}
SEMANTIC_FPN = {
    "neck": {"type": "FPN", "in_channels": [8, 16, 32, 64], "out_channels": 12, "num_outs": 4},
    "decode_head": {
        "type": "FPNHead",
        "in_channels": [12, 12, 12, 12],
        "feature_strides": [4, 8, 16, 32],
        **ALL_MAPS,
    },
}
UPERNET = {
    "decode_head": {"type": "UPerHead", "in_channels": [8, 16, 32, 64], **ALL_MAPS, "sampler": OHEM},
    "auxiliary_head": [
        fcn_head(in_index=2, in_channels=32, num_classes=5, sampler=OHEM),
        fcn_head(type="DepthwiseSeparableFCNHead", in_index=1, in_channels=16, num_classes=5),
        fcn_head(type="PSPHead", in_index=-1, in_channels=64, num_classes=5) | {"pool_scales": [1, 2]},
    ],
}
for _key in ("num_convs", "concat_input"):  # a PSPHead has none
    del UPERNET["auxiliary_head"][2][_key]
ODD = (65, 99)


def model_of(changes: dict[str, Any]) -> nn.Module:
    torch.manual_seed(0)
    model = build_segmentor(tiny_segformer(**changes))
    model.init_weights()
    return revert_sync_batchnorm(model)


@pytest.mark.parametrize("changes", [SEMANTIC_FPN, UPERNET], ids=["semantic_fpn", "upernet"])
def test_trains_and_predicts_at_odd_sizes(changes: dict[str, Any]) -> None:
    model = model_of(changes).train()
    image = torch.randn(2, 3, *ODD)
    image[:, :, :, :40] += 2
    label = torch.full((2, 1, *ODD), 3)
    label[..., :40] = 1
    label[:, :, :4] = 255
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    for _ in range(25):
        losses = model(image, metas(image), gt_semantic_seg=label)
        loss, _ = model.parse_losses(losses)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    prefixes = [f"aux_{i}" for i in range(len(changes.get("auxiliary_head", [])))]
    assert set(losses) == {f"{p}.{n}" for p in ["decode", *prefixes] for n in ("loss_ce", "acc_seg")}
    assert all(p.grad is not None for p in model.parameters())
    logits = model.eval().encode_decode(image)
    assert logits.shape == (2, 5, *ODD)
    guess = model(image, metas(image), return_loss=False)
    known = (label[0, 0] != 255).numpy()
    assert (guess[0] == label[0, 0].numpy())[known].mean() > 0.9


def test_the_neck_has_its_keys_and_its_initial_weights() -> None:
    model = model_of(SEMANTIC_FPN)
    assert model.with_neck
    tops = list(dict.fromkeys(key.split(".")[0] for key in model.state_dict()))
    assert tops == ["backbone", "neck", "decode_head"]
    weight = model.neck.fpn_convs[0].conv.weight
    bound = (6 / (2 * 12 * 9)) ** 0.5
    assert 0.9 * bound < weight.abs().max().item() <= bound
    maps = model.extract_feat(torch.randn(1, 3, *ODD))
    assert [tuple(x.shape) for x in maps] == [(1, 12, 17, 25), (1, 12, 9, 13), (1, 12, 5, 7), (1, 12, 3, 4)]
