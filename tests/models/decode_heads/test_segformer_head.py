from __future__ import annotations

import pytest
import torch

from mmseg.models import build_head
from mmseg.utils.errors import UserError
from tests.models.head_contract import HeadContract

CONFIG = {
    "type": "SegformerHead",
    "in_channels": [4, 6, 8, 10],
    "in_index": [0, 1, 2, 3],
    "channels": 12,
    "norm_cfg": {"type": "SyncBN"},
}
SHAPES = ((4, 23, 31), (6, 12, 16), (8, 6, 8), (10, 3, 4))


class TestSegformerHead(HeadContract):
    config = CONFIG
    feats = SHAPES
    out_size = (23, 31)


class TestTwoMapsAndNoNorm(HeadContract):
    config = {
        "type": "SegformerHead",
        "in_channels": [8, 4],
        "in_index": [2, 0],
        "channels": 16,
        "act_cfg": {"type": "GELU"},
        "exact": True,
    }
    feats = SHAPES
    out_size = (6, 8)


@pytest.mark.parametrize("mode", ["bilinear", "nearest", "bicubic"])
@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("norm_cfg", [{"type": "BN"}, None])
def test_both_sequences_give_the_same_logits_and_gradients(
    mode: str, align_corners: bool, norm_cfg: dict | None
) -> None:
    torch.manual_seed(0)
    config = {**CONFIG, "norm_cfg": norm_cfg, "interpolate_mode": mode, "align_corners": align_corners}
    head = build_head({**config, "num_classes": 5, "dropout_ratio": 0.0}).double()
    head.init_weights()
    for bias in [m.bias for m in head.modules() if getattr(m, "bias", None) is not None]:
        torch.nn.init.normal_(bias)
    feats = [torch.randn(2, *shape, dtype=torch.float64, requires_grad=True) for shape in SHAPES]
    weights = torch.randn(2, 5, 23, 31, dtype=torch.float64)
    outcomes = []
    for exact in (False, True):
        head.exact = exact
        logits = head(feats)
        wanted = [*head.parameters(), *feats]
        outcomes.append([logits, *torch.autograd.grad((logits * weights).sum(), wanted)])
    for fast, exact in zip(*outcomes, strict=True):
        torch.testing.assert_close(fast, exact, rtol=1e-9, atol=1e-9)


def test_both_sequences_keep_the_same_statistics() -> None:
    torch.manual_seed(0)
    heads = [build_head({**CONFIG, "num_classes": 5, "exact": exact}).train() for exact in (False, True)]
    heads[1].load_state_dict(heads[0].state_dict())
    feats = [torch.randn(2, *shape) for shape in SHAPES]
    for head in heads:
        head(feats)
    fast, exact = (head.state_dict() for head in heads)
    assert list(fast) == list(exact)
    torch.testing.assert_close(fast, exact)
    assert fast["fusion_conv.bn.running_mean"].abs().max() > 0


def test_half_of_the_channels_drop_in_training() -> None:
    head = build_head({**CONFIG, "num_classes": 5, "dropout_ratio": 0.5, "channels": 400})
    dropped = head.train().dropout(torch.ones(1, 400, 2, 2))
    assert 0.4 < (dropped.flatten(2).sum(2) == 0).float().mean().item() < 0.6


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"in_index": [0, 1, 2]}, "lists of the same length"),
        ({"in_channels": 4, "in_index": 0}, "lists of the same length"),
        ({"input_transform": "resize_concat"}, "multiple_select"),
        ({"interpolate_mode": "linear"}, "bilinear"),
    ],
)
def test_settings_that_do_not_fit_are_named(changes: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        build_head({**CONFIG, "num_classes": 5, **changes})
