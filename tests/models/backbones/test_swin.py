from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from mmseg.models import build_backbone, build_segmentor
from mmseg.models.backbones.swin_attention import APART, attend, relative_position_index, shift_mask
from mmseg.models.backbones.swin_pretrained import resize_table
from mmseg.utils.errors import UserError
from tests.helpers_models import DATA, recorded_image, recorded_json, recorded_model, relative_distance
from tests.models.backbone_contract import BackboneContract

TINY: dict[str, Any] = {
    "type": "SwinTransformer",
    "embed_dims": 8,
    "depths": [2, 1, 2, 1],
    "num_heads": [1, 2, 4, 8],
    "window_size": 3,
    "mlp_ratio": 2,
    "drop_path_rate": 0.0,
}
SEGMENTOR = {
    "type": "EncoderDecoder",
    "backbone": {"type": "SwinTransformer", "drop_path_rate": 0.3},
    "decode_head": {
        "type": "SegformerHead",
        "in_channels": [96, 192, 384, 768],
        "in_index": [0, 1, 2, 3],
        "channels": 512,
        "num_classes": 19,
        "norm_cfg": {"type": "SyncBN", "requires_grad": True},
    },
}


class TestSwinTransformer(BackboneContract):
    config = TINY
    channels = (8, 16, 32, 64)
    strides = (4, 8, 16, 32)
    freezes = True


class TestAbsolutePositions(BackboneContract):
    config = {
        **TINY,
        "use_abs_pos_embed": True,
        "pretrain_img_size": [48, 64],
        "patch_norm": False,
        "qkv_bias": False,
        "window_size": 4,
        "out_indices": [1, 3],
    }
    channels = (16, 64)
    strides = (8, 32)
    freezes = True


def test_keys_and_shapes_are_those_of_0_25() -> None:
    with torch.device("meta"):
        model = build_segmentor(SEGMENTOR)
    own = [[key, list(value.shape)] for key, value in model.state_dict().items()]
    assert own == recorded_json("swin_keys.json.gz")  # in 0.25's order, too


def test_logits_are_those_of_0_25() -> None:
    model = recorded_model({**copy.deepcopy(SEGMENTOR), "exact": True})
    with torch.no_grad():
        logits = model.decode_head(model.extract_feat(recorded_image(128, 256)))
    recorded = np.load(DATA / "swin_logits.npz")["tiny"]
    assert relative_distance(logits.flatten()[::7][::3], recorded) < 1e-5


def test_initial_weights_spread_as_in_0_25() -> None:
    torch.manual_seed(0)
    model = build_segmentor(SEGMENTOR)
    model.init_weights()
    recorded = recorded_json("swin_initial_spread.json.gz")
    assert set(recorded) == {name for name, _ in model.named_parameters()}
    for name, parameter in model.named_parameters():
        mean, std, count = recorded[name]
        assert parameter.numel() == count
        if std == 0:
            assert (parameter == mean).all(), name
        elif count > 500:
            assert abs(parameter.std().item() - std) <= 0.15 * std, name
            assert abs(parameter.mean().item() - mean) <= 4 * std / count**0.5, name


@pytest.mark.parametrize(
    ("dims", "heads", "window", "millions"),  # of the classifier in table 1 of the paper
    [(96, 3, 7, 50), (128, 4, 12, 88), (192, 6, 12, 197)],
    ids=["small", "base", "large"],
)
def test_larger_variants_have_the_parameters_of_the_paper(
    dims: int, heads: int, window: int, millions: int
) -> None:
    settings = {"embed_dims": dims, "num_heads": [heads * 2**i for i in range(4)], "window_size": window}
    with torch.device("meta"):
        backbone = build_backbone({"type": "SwinTransformer", "depths": [2, 2, 18, 2], **settings})
        feats = backbone(torch.randn(1, 3, 64, 64))
    head = 1000 * (8 * dims + 1)
    count = head + sum(p.numel() for p in backbone.parameters())
    assert count / 1e6 == pytest.approx(millions, rel=0.01)
    assert [f.shape[1] for f in feats] == [dims * 2**i for i in range(4)]


@pytest.mark.parametrize("window", [1, 2, 3, 7])
def test_pairs_equally_far_apart_share_a_bias(window: int) -> None:
    index = relative_position_index(window)
    rows = {}
    for i in range(window**2):
        for j in range(window**2):
            apart = (i // window - j // window, i % window - j % window)
            assert rows.setdefault(apart, int(index[i, j])) == index[i, j]
    assert sorted(rows.values()) == list(range((2 * window - 1) ** 2))


def test_tokens_meet_across_windows_only_after_the_shift() -> None:
    """Tokens that were neighbours before the roll are together, those of opposite ends are apart."""
    height, width, window, shift = 6, 9, 3, 1
    mask = shift_mask((height, width), window, shift, torch.device("cpu"), torch.float32)
    rows = torch.arange(height).roll(-shift)
    columns = torch.arange(width).roll(-shift)
    for number, scores in enumerate(mask):
        top, left = (number // 3) * window, (number % 3) * window
        for i in range(window**2):
            for j in range(window**2):
                y = (rows[top + i // window], rows[top + j // window])
                x = (columns[left + i % window], columns[left + j % window])
                near = abs(y[0] - y[1]) < window and abs(x[0] - x[1]) < window
                assert scores[i, j] == (0 if near else APART)


def test_both_ways_to_attend_are_equal() -> None:
    torch.manual_seed(0)
    q, k, v = torch.randn(3, 2, 4, 9, 8, dtype=torch.float64)
    bias = torch.randn(1, 4, 9, 9, dtype=torch.float64)
    fused = attend(q, k, v, bias, dropout=0.0, scale=0.3)
    torch.testing.assert_close(attend(q, k, v, bias.requires_grad_(), dropout=0.0, scale=0.3), fused)


def test_masks_are_made_once_and_are_no_weights() -> None:
    backbone = build_backbone(TINY)
    with torch.inference_mode():
        backbone(torch.randn(1, 3, 64, 64))
    stage = backbone.stages[0]
    kept = dict(stage.masks._kept)
    assert len(kept) == 1
    backbone.train()(torch.randn(2, 3, 64, 64))[-1].sum().backward()  # masks of inference serve training
    assert all(mask is kept[key] for key, mask in stage.masks._kept.items())
    for side in range(20, 400, 12):
        stage.masks((side // 3 * 3, 12), 3, 1, torch.device("cpu"), torch.float32)
    assert len(stage.masks._kept) <= 8
    assert not any("mask" in key for key in backbone.state_dict())
    assert copy.deepcopy(backbone).stages[0].masks._kept == {}


@pytest.mark.slow
def test_compiled_forward_is_the_same() -> None:
    backbone, image = build_backbone(TINY).eval(), torch.randn(1, 3, 40, 64)
    compiled = torch.compile(backbone, backend="eager", fullgraph=True)
    with torch.no_grad():
        for ours, theirs in zip(backbone(image), compiled(image), strict=True):
            torch.testing.assert_close(theirs, ours)


def test_dropout_acts_in_training_only() -> None:
    noisy = {"drop_rate": 0.3, "attn_drop_rate": 0.3, "drop_path_rate": 0.3}
    backbone, image = build_backbone({**TINY, **noisy}), torch.randn(4, 3, 64, 64)
    backbone.init_weights()
    assert not torch.equal(backbone.train()(image)[-1], backbone(image)[-1])
    assert torch.equal(backbone.eval()(image)[-1], backbone(image)[-1])


def test_drop_path_rises_evenly_and_every_second_block_shifts() -> None:
    backbone = build_backbone({**TINY, "depths": [2, 1, 2, 1], "drop_path_rate": 0.5})
    blocks = [block for stage in backbone.stages for block in stage.blocks]
    assert [b.drop_path.drop_prob for b in blocks] == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4, 0.5])
    assert [b.attn.shift for b in blocks] == [0, 1, 0, 0, 1, 0]


def test_qk_scale_stands_in_place_of_the_usual_one() -> None:
    usual, own = build_backbone(TINY), build_backbone({**TINY, "qk_scale": 0.5})
    assert usual.stages[1].blocks[0].attn.w_msa.scale == pytest.approx(8**-0.5)
    assert own.stages[1].blocks[0].attn.w_msa.scale == 0.5


def test_a_stride_of_one_keeps_the_size() -> None:
    feats = build_backbone({**TINY, "strides": [4, 2, 1, 2]})(torch.randn(1, 3, 68, 64))
    assert [tuple(f.shape[2:]) for f in feats] == [(17, 16), (9, 8), (9, 8), (5, 4)]


def test_maps_are_views_of_the_tokens() -> None:
    feats = build_backbone(TINY)(torch.randn(2, 3, 64, 64))
    assert all(f.is_contiguous(memory_format=torch.channels_last) for f in feats)


def test_absolute_positions_follow_the_size_of_the_image() -> None:
    config = {**TINY, "use_abs_pos_embed": True, "pretrain_img_size": 32}
    torch.manual_seed(0)
    backbone, plain = build_backbone(config).eval(), build_backbone(TINY).eval()
    backbone.init_weights()
    places = backbone.absolute_pos_embed
    assert places.shape == (1, 64, 8)
    assert 0.01 < places.std() < 0.03
    plain.load_state_dict({k: v for k, v in backbone.state_dict().items() if k != "absolute_pos_embed"})
    # A constant embedding is that constant at every size: a shift of every token.
    with torch.no_grad():
        places.fill_(0.7)
        plain.patch_embed.norm.bias.add_(0.7)
        for size in ((32, 32), (64, 48)):
            image = torch.randn(1, 3, *size)
            torch.testing.assert_close(backbone(image)[0], plain(image)[0], rtol=1e-4, atol=1e-5)


class TestPretrained:
    def load(self, weights: dict, path: Path, **changes: Any) -> torch.nn.Module:
        torch.save(weights, path)
        torch.manual_seed(1)
        backbone = build_backbone({**TINY, **changes, "pretrained": str(path)})
        backbone.init_weights()
        return backbone

    def source(self, **changes: Any) -> torch.nn.Module:
        torch.manual_seed(0)
        backbone = build_backbone({**TINY, **changes})
        backbone.init_weights()
        for parameter in backbone.parameters():
            torch.nn.init.normal_(parameter)
        return backbone

    @pytest.mark.parametrize("key", ["state_dict", "model", None])
    @pytest.mark.parametrize("prefix", ["", "backbone.", "module.backbone."])
    def test_files_of_many_shapes_load(self, tmp_path: Path, key: str | None, prefix: str) -> None:
        weights = self.source().state_dict()
        named = {f"{prefix}{k}": v for k, v in weights.items()}
        if prefix:
            named["decode_head.conv_seg.bias"] = torch.zeros(5)
        loaded = self.load({key: named} if key else named, tmp_path / "swin.pth")
        torch.testing.assert_close(loaded.state_dict(), weights, rtol=0, atol=0)

    def test_position_biases_of_another_window_are_resized(self, tmp_path: Path) -> None:
        source = self.source(window_size=7)
        loaded = self.load(source.state_dict(), tmp_path / "swin.pth", window_size=5)
        theirs = source.stages[2].blocks[1].attn.w_msa.relative_position_bias_table
        ours = loaded.stages[2].blocks[1].attn.w_msa.relative_position_bias_table
        maps = theirs.detach().t().reshape(1, 4, 13, 13)
        expected = F.interpolate(maps, size=(9, 9), mode="bicubic").reshape(4, 81).t()
        torch.testing.assert_close(ours.detach(), expected)
        index = loaded.stages[0].blocks[0].attn.w_msa.relative_position_index
        assert torch.equal(index, relative_position_index(5))
        torch.testing.assert_close(loaded.stages[3].state_dict()["blocks.0.ffn.layers.1.weight"],
                                   source.stages[3].state_dict()["blocks.0.ffn.layers.1.weight"])  # fmt: skip

    def test_a_resized_table_keeps_its_type_and_the_side_of_the_image(self) -> None:
        table = torch.arange(13.0).repeat(13, 1).reshape(169, 1).half()  # it grows from left to right
        resized = resize_table(table, 23)
        assert resized.dtype == torch.float16
        grid = resized.reshape(23, 23).float()
        assert (grid.diff(dim=1) > 0).all()
        assert torch.equal(grid[0], grid[22])

    @pytest.mark.parametrize("four_dimensional", [False, True])
    def test_absolute_positions_of_another_size_are_resized(
        self, tmp_path: Path, four_dimensional: bool
    ) -> None:
        source = self.source(use_abs_pos_embed=True, pretrain_img_size=32)
        weights = source.state_dict()
        maps = weights["absolute_pos_embed"].transpose(1, 2).reshape(1, 8, 8, 8)
        if four_dimensional:
            weights["absolute_pos_embed"] = maps
        loaded = self.load(weights, tmp_path / "swin.pth", use_abs_pos_embed=True, pretrain_img_size=[64, 48])
        expected = F.interpolate(maps, size=(16, 12), mode="bicubic").flatten(2).transpose(1, 2)
        torch.testing.assert_close(loaded.absolute_pos_embed.detach(), expected)

    def test_what_the_file_lacks_has_a_proper_start(self, tmp_path: Path) -> None:
        weights = {k: v for k, v in self.source().state_dict().items() if not k.startswith("stages.3")}
        stage = self.load(weights, tmp_path / "swin.pth").stages[3]
        assert 0.015 < stage.blocks[0].attn.w_msa.qkv.weight.std() < 0.025


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_heads": [1, 2, 4]}, r"num_heads=\[1, 2, 4\].*4 stages of depths=\[2, 1, 2, 1\]"),
        ({"num_heads": [1, 2, 4, 7]}, r"64 channels of stage 3.*num_heads\[3\]=7"),
        ({"patch_size": 2}, r"strides\[0\]=4.*patch_size=2"),
        ({"window_size": 0}, "window_size=0"),
        ({"out_indices": [0, 4]}, r"out_indices=\[0, 4\].*0 to 3"),
        ({"frozen_stages": 5}, "frozen_stages=5.*4 stages"),
        ({"pretrain_img_size": [1, 2, 3], "use_abs_pos_embed": True}, r"pretrain_img_size=\[1, 2, 3\]"),
        ({"pretrained": "a.pth", "init_cfg": {"type": "Pretrained", "checkpoint": "b.pth"}}, "not both"),
    ],
)
def test_settings_that_do_not_fit_are_named(changes: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        build_backbone({**TINY, **changes})
