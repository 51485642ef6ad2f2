from __future__ import annotations

import functools
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
import torchvision
from torch.nn import functional as F

from mmseg.conversion.weights import listed, looks_like
from mmseg.conversion.weights_mit import convert_mit, mit_settings
from mmseg.conversion.weights_resnet import convert_resnet, resnet_settings
from mmseg.conversion.weights_swin import convert_swin, reorder_merging, swin_settings
from mmseg.models import build_backbone
from mmseg.models.backbones.swin_blocks import PatchMerging
from mmseg.utils.errors import UserError
from mmseg.utils.logger import get_root_logger
from tests.helpers_models import MIT, recorded_image, relative_distance
from tests.helpers_weights import recorded_weights

DATA = Path(__file__).parents[1] / "data" / "conversion"
B0 = {"type": "MixVisionTransformer", "embed_dims": 32, "num_layers": MIT["b0"][1], "num_heads": [1, 2, 5, 8]}
SWIN = {"type": "SwinTransformer"}


def original(name: str) -> dict[str, torch.Tensor]:
    """Weights with the names and shapes of a published file, filled as the recorded figures were."""
    return dict(_original(name))


@functools.cache
def _original(name: str) -> dict[str, torch.Tensor]:
    keys = json.loads(gzip.decompress((DATA / f"{name}_original.json.gz").read_bytes()))
    kinds = {key: torch.int64 if key.endswith("_index") else torch.float32 for key in keys}
    return recorded_weights({key: torch.zeros(shape, dtype=kinds[key]) for key, shape in keys.items()})


def small_timm_swin() -> torch.nn.Module:
    """A Swin of timm, filled, whose maps are all larger than its windows.

    Where a map is one window, the original (and timm) do not shift it; 0.25 does.
    """
    torch.manual_seed(0)
    model = timm.models.swin_transformer.SwinTransformer(
        img_size=128, embed_dim=8, depths=(2, 2, 2, 2), num_heads=(1, 2, 4, 8), window_size=2, num_classes=3
    ).eval()
    for name, parameter in model.named_parameters():
        torch.nn.init.normal_(parameter, mean=float("norm" in name and "weight" in name), std=0.3)
    return model


def in_original_layout(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """timm merges patches at the beginning of a stage, the original at the end of the one before."""
    weights = {}
    for key, value in model.state_dict().items():
        parts = key.split(".")
        if ".downsample." in key:
            parts[1] = str(int(parts[1]) - 1)
        weights[".".join(parts)] = value
    return weights


def test_mit_gives_the_features_of_the_original() -> None:
    backbone = build_backbone(B0).eval()
    backbone.load_state_dict(convert_mit(original("mit_b0")))  # every name, and no other
    recorded = np.load(DATA / "mit_b0_original.npz")
    with torch.no_grad():
        feats = backbone(recorded_image(64, 96))
    for i, feat in enumerate(feats):
        assert relative_distance(feat.flatten()[::3], recorded[f"f{i}"]) < 1e-4


def test_the_published_swin_has_a_place_for_every_key() -> None:
    weights = original("swin_t")
    weights["layers.0.blocks.1.attn_mask"] = torch.zeros(64, 49, 49)
    converted = convert_swin(weights)
    own = build_backbone(SWIN).state_dict()
    assert {k: v.shape for k, v in converted.items()} == {
        k: v.shape for k, v in own.items() if not k.startswith("norm")
    }
    assert swin_settings(converted).startswith(
        "SwinTransformer, embed_dims=96, depths=[2, 2, 6, 2], num_heads=[3, 6, 12, 24], window_size=7"
    )


def test_swin_gives_the_features_of_another_implementation() -> None:
    theirs, image = small_timm_swin(), torch.randn(2, 3, 128, 128)
    settings = {"embed_dims": 8, "depths": [2] * 4, "num_heads": [1, 2, 4, 8], "window_size": 2}
    backbone = build_backbone({**SWIN, **settings}).eval()
    backbone.load_state_dict(convert_swin(in_original_layout(theirs)), strict=False)
    with torch.no_grad():
        feats = backbone(image)
        maps = theirs.forward_intermediates(image, indices=4, intermediates_only=True)
    for feat, theirs_map in zip(feats, maps, strict=True):
        normed = F.layer_norm(theirs_map.permute(0, 2, 3, 1), theirs_map.shape[1:2]).permute(0, 3, 1, 2)
        torch.testing.assert_close(feat, normed, rtol=1e-3, atol=1e-3)


def test_merging_joins_neighbours_in_the_order_of_the_original() -> None:
    torch.manual_seed(0)
    merging, x = PatchMerging(6, 12, stride=2, norm_cfg={"type": "LN"}), torch.randn(2, 4, 8, 6)
    gain, bias, reduction = torch.randn(24), torch.randn(24), torch.randn(12, 24)
    joined = torch.cat([x[:, 0::2, 0::2], x[:, 1::2, 0::2], x[:, 0::2, 1::2], x[:, 1::2, 1::2]], -1)
    expected = F.linear(F.layer_norm(joined, (24,), gain, bias), reduction)
    merging.load_state_dict(
        {
            "norm.weight": reorder_merging(gain),
            "norm.bias": reorder_merging(bias),
            "reduction.weight": reorder_merging(reduction),
        }
    )
    torch.testing.assert_close(merging(x), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("depth", [18, 50])
def test_resnet_gives_the_features_of_torchvision(depth: int) -> None:
    torch.manual_seed(0)
    theirs, image = torchvision.models.get_model(f"resnet{depth}").eval(), torch.randn(1, 3, 64, 64)
    converted = convert_resnet(theirs.state_dict())
    backbone = build_backbone({"type": "ResNet", "depth": depth}).eval()
    backbone.load_state_dict(converted)
    for module in backbone.modules():
        if hasattr(module, "exact"):
            module.exact = True  # batch norm as torchvision computes it, not folded into the convolution
    names = {f"layer{i}": f"layer{i}" for i in range(1, 5)}
    taken = torchvision.models.feature_extraction.create_feature_extractor(theirs, names)
    with torch.no_grad():
        for ours, other in zip(backbone(image), taken(image).values(), strict=True):
            torch.testing.assert_close(ours, other, rtol=1e-4, atol=1e-5)
    assert resnet_settings(converted).startswith(f"ResNet, depth={depth} (")


def test_the_backbone_of_a_segmentor_is_taken() -> None:
    weights = original("mit_b0")
    whole = {f"backbone.{key}": value for key, value in weights.items()}
    whole["decode_head.linear_pred.weight"] = torch.zeros(19, 256, 1, 1)
    torch.testing.assert_close(convert_mit(whole), convert_mit(weights))
    assert "embed_dims=32, num_layers=[2, 2, 2, 2], num_heads=[1, 2, 5, 8]" in mit_settings(
        convert_mit(whole)
    )


def test_absolute_positions_of_a_segmentor_become_tokens() -> None:
    weights = original("swin_t")
    maps = torch.randn(1, 96, 5, 7)
    converted = convert_swin({**weights, "absolute_pos_embed": maps})
    assert torch.equal(converted["absolute_pos_embed"][0, 9], maps[0, :, 1, 2])
    assert "use_abs_pos_embed=True" in swin_settings(converted)


CONVERT = {"mit": convert_mit, "swin": convert_swin, "resnet": convert_resnet}


def test_the_source_is_left_alone() -> None:
    for name, convert in (("mit_b0", convert_mit), ("swin_t", convert_swin)):
        weights = original(name)
        before = {key: value.clone() for key, value in weights.items()}
        convert(weights)
        torch.testing.assert_close(weights, before, rtol=0, atol=0)


@pytest.mark.parametrize("kind", CONVERT)
@pytest.mark.parametrize(
    ("weights", "seems"),
    [
        (lambda: convert_mit(original("mit_b0")), "MixVisionTransformer in the layout of this toolbox"),
        (lambda: convert_swin(original("swin_t")), "SwinTransformer in the layout of this toolbox"),
        (lambda: small_timm_swin().state_dict(), "Swin of timm"),
        (
            {"layers.0.blocks.0.attn.logit_scale": 0, "layers.0.downsample.norm.bias": 0},
            "Swin V2; it is another architecture",
        ),
        ({"stem.0.weight": 0, "layer1.0.conv1.weight": 0}, "ResNetV1c or V1d; it is loaded as it is"),
        ({"conv1.0.weight": 0, "layer1.0.conv1.weight": 0}, "ResNet of timm with a deep stem"),
        ({"cls_token": 0, "pos_embed": 0}, "a Vision Transformer"),
        ({"encoder.patch_embeddings.0.proj.weight": 0}, "the transformers library"),
        ({"features.0.0.weight": 0}, "a model of torchvision that is no ResNet"),
        ({"stages.0.blocks.0.conv_dw.weight": 0, "stem.0.weight": 0}, "a ConvNeXt"),
        ({"a": 0, "b": 0, "c": 0, "d": 0, "e": 0}, "its keys are a, b, c, d and 1 more"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_another_family_is_named(kind: str, weights: dict | Callable[[], Any], seems: str) -> None:
    weights = weights() if callable(weights) else weights
    with pytest.raises(UserError, match="FILE is no checkpoint of ") as caught:
        CONVERT[kind](weights, "FILE")
    assert seems in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_families_are_told_from_each_other() -> None:
    sources = {
        "mit": original("mit_b0"),
        "swin": original("swin_t"),
        "resnet": torchvision.models.resnet18().state_dict(),
    }
    for kind, weights in sources.items():
        assert f"convert it with {kind}2mmseg.py" in looks_like(weights)
        for other in set(CONVERT) - {kind}:
            with pytest.raises(UserError, match=f"{kind}2mmseg.py"):
                CONVERT[other](weights)


@pytest.mark.parametrize(
    ("kind", "name", "key"),
    [
        ("mit", "mit_b0", "block2.1.attn.kv.weight"),
        ("mit", "mit_b0", "block1.0.attn.sr.bias"),
        ("mit", "mit_b0", "patch_embed3.norm.bias"),
        ("mit", "mit_b0", "norm4.weight"),
        ("swin", "swin_t", "layers.2.blocks.4.mlp.fc2.bias"),
        ("swin", "swin_t", "layers.1.downsample.reduction.weight"),
        ("swin", "swin_t", "layers.2.blocks.2.attn.relative_position_bias_table"),
    ],
)
def test_a_missing_key_is_named(kind: str, name: str, key: str) -> None:
    weights = original(name)
    del weights[key]
    with pytest.raises(UserError, match=f"no whole checkpoint .* lacks {key}; copy"):
        CONVERT[kind](weights)


def test_a_missing_block_and_a_missing_stage_are_named() -> None:
    weights = original("swin_t")
    without = {k: v for k, v in weights.items() if not k.startswith("layers.2.blocks.3.")}
    with pytest.raises(UserError, match=r"lacks layers\.2\.blocks\.3\.norm1\.weight.* and \d+ more"):
        convert_swin(without)
    resnet = torchvision.models.resnet18().state_dict()
    without = {k: v for k, v in resnet.items() if not k.startswith("layer4.")}
    with pytest.raises(UserError, match=r"lacks layer4\.0\.conv1\.weight"):
        convert_resnet(without)
    del resnet["bn1.running_var"]
    with pytest.raises(UserError, match=r"lacks bn1\.running_var"):
        convert_resnet(resnet)


@pytest.mark.parametrize(("kind", "name"), [("mit", "mit_b0"), ("swin", "swin_t")])
def test_an_unknown_key_is_named(kind: str, name: str) -> None:
    weights = {**original(name), "adapter.weight": torch.zeros(1)}
    with pytest.raises(UserError, match=r"does not have the keys adapter\.weight"):
        CONVERT[kind](weights)


@pytest.mark.parametrize("name", ["resnext50_32x4d", "wide_resnet50_2"])
def test_relatives_of_resnet_are_refused(name: str) -> None:
    with torch.device("meta"):
        weights = torchvision.models.get_model(name).state_dict()
    with pytest.raises(UserError, match="ResNeXt or a wide ResNet"):
        convert_resnet(weights)


def test_a_long_list_is_cut() -> None:
    assert listed(["a", "b"]) == "a, b"
    assert listed(list("abcdef")) == "a, b, c, d and 2 more"


@pytest.mark.parametrize(
    ("name", "config", "wrapped"), [("mit_b0", B0, False), ("mit_b0", B0, True), ("swin_t", SWIN, True)]
)
def test_init_cfg_converts_a_published_file_while_loading(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, config: dict, wrapped: bool
) -> None:
    weights, path = original(name), str(tmp_path / "published.pth")
    torch.save({"model": weights} if wrapped else weights, path)
    backbone = build_backbone({**config, "init_cfg": {"type": "Pretrained", "checkpoint": path}})
    logged: list[str] = []
    monkeypatch.setattr(get_root_logger(), "info", lambda message, *rest: logged.append(message))
    backbone.init_weights()
    assert any("of the original" in line and "converted while loading" in line for line in logged)
    converted = {"mit_b0": convert_mit, "swin_t": convert_swin}[name](weights)
    loaded = backbone.state_dict()
    for key, value in converted.items():
        assert torch.equal(loaded[key], value), key
