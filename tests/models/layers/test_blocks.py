from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from mmseg.models.layers import (
    DropPath,
    PatchEmbed,
    drop_path,
    drop_path_rates,
    map_to_tokens,
    resize,
    tokens_to_map,
)
from mmseg.models.layers.resize import resize_unless_same


def test_drop_path_drops_whole_samples_and_keeps_the_mean() -> None:
    x = torch.ones(4000, 2, 3)
    out = drop_path(x, 0.25, training=True)
    per_sample = out.flatten(1)
    assert (per_sample == per_sample[:, :1]).all()
    assert sorted(set(per_sample[:, 0].tolist())) == pytest.approx([0, 4 / 3])
    assert out.mean().item() == pytest.approx(1, abs=0.05)


def test_drop_path_does_nothing_in_evaluation_or_at_rate_0() -> None:
    x = torch.randn(3, 4)
    assert DropPath(0.5).eval()(x) is x
    assert DropPath(0.0).train()(x) is x


def test_drop_path_rates() -> None:
    assert drop_path_rates(0.3, 4) == pytest.approx([0, 0.1, 0.2, 0.3])
    assert drop_path_rates(0.3, 1) == [0]


def test_tokens_and_map_share_memory() -> None:
    tokens = torch.randn(2, 12, 5)
    image = tokens_to_map(tokens, (3, 4))
    assert image.shape == (2, 5, 3, 4)
    assert image.data_ptr() == tokens.data_ptr() == map_to_tokens(image).data_ptr()
    assert torch.equal(image[1, :, 2, 1], tokens[1, 9])
    assert torch.equal(map_to_tokens(image), tokens)


def test_patch_embed() -> None:
    embed = PatchEmbed(3, 8, kernel_size=7, stride=4, padding=3, norm_cfg={"type": "LN"})
    tokens, hw = embed(torch.randn(2, 3, 33, 64))
    assert hw == (9, 16)
    assert tokens.shape == (2, 144, 8)
    assert tokens.is_contiguous()
    assert sorted(embed.state_dict()) == ["norm.bias", "norm.weight", "projection.bias", "projection.weight"]
    assert PatchEmbed(3, 8, 4, 4).norm is None


@pytest.mark.parametrize("mode", ["nearest", "bilinear", "bicubic"])
def test_resize_to_a_size_and_by_a_factor(mode: str) -> None:
    x = torch.randn(1, 2, 4, 6)
    expected = F.interpolate(x, (8, 12), mode=mode)
    assert torch.equal(resize(x, size=[8, 12], mode=mode, align_corners=False), expected)
    assert torch.equal(resize(x, scale_factor=2, mode=mode, align_corners=False), expected)


@pytest.mark.parametrize("align_corners", [False, True])
def test_resizing_to_the_same_size_changes_nothing(align_corners: bool) -> None:
    x = torch.randn(1, 2, 5, 7)
    assert torch.equal(resize(x, (5, 7), mode="bilinear", align_corners=align_corners), x)
    assert resize_unless_same(x, (5, 7), "bilinear", align_corners) is x
