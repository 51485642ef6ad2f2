from __future__ import annotations

import subprocess
import sys

import pytest
import timm
import torch
from torch import nn

from mmseg.models import build_backbone
from mmseg.utils.errors import UserError
from tests.models.backbone_contract import BackboneContract

RESNET = {"type": "TIMMBackbone", "model_name": "resnet10t", "pretrained": False}
SWIN = {
    "type": "TIMMBackbone",
    "model_name": "swin_tiny_patch4_window7_224",
    "pretrained": False,
    "embed_dim": 12,
    "depths": [1, 2, 1, 1],
    "num_heads": [1, 2, 2, 4],
    "drop_path_rate": 0.0,
}
VIT = {
    "type": "TIMMBackbone",
    "model_name": "vit_tiny_patch16_224",
    "pretrained": False,
    "embed_dim": 24,
    "depth": 3,
    "num_heads": 2,
    "out_indices": [1, 2],
}


class TestConvolutions(BackboneContract):
    config = {**RESNET, "out_indices": [1, 4]}
    channels = (64, 512)
    strides = (4, 32)
    checkpoints = False


class TestWindows(BackboneContract):
    config = SWIN
    channels = (12, 24, 48, 96)
    strides = (4, 8, 16, 32)
    checkpoints = False


class TestPatches(BackboneContract):
    config = VIT
    channels = (24, 24)
    strides = (16, 16)
    checkpoints = False


def build(**config: object) -> nn.Module:
    torch.manual_seed(0)
    return build_backbone({"type": "TIMMBackbone", "pretrained": False, **config}).eval()


def filled(model: nn.Module) -> dict[str, torch.Tensor]:
    """A state dict of ``model`` that no initialisation draws."""
    weights = {}
    for number, (name, value) in enumerate(model.state_dict().items()):
        noise = torch.randn(value.shape, generator=torch.Generator().manual_seed(number))
        weights[name] = noise * 0.02 + 0.5 if value.is_floating_point() else value
    return weights


def test_keys_stand_under_timm_model_as_in_0_25() -> None:
    backbone = build(model_name="resnet10t")
    plain = timm.create_model("resnet10t", num_classes=0)
    assert list(backbone.state_dict()) == [f"timm_model.{key}" for key in plain.state_dict()]
    assert backbone.out_channels == [64, 64, 128, 256, 512]


@pytest.mark.parametrize("config", [SWIN, VIT, {**RESNET, "output_stride": 8}])
@torch.no_grad()
def test_maps_are_those_of_timm_in_channels_first_order(config: dict) -> None:
    args = {k: v for k, v in config.items() if k not in ("type", "pretrained")}
    theirs = timm.create_model(**args, features_only=True).eval()
    backbone = build(**{k: v for k, v in config.items() if k != "type"})
    backbone.timm_model.load_state_dict(theirs.state_dict())
    image = torch.randn(1, 3, 224, 224)
    for ours, expected in zip(backbone(image), theirs(image), strict=True):
        expected = expected.permute(0, 3, 1, 2) if expected.shape[1] != ours.shape[1] else expected
        torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-5)


def test_norm_layer_may_be_a_name_of_norm_cfg() -> None:
    synced = build(model_name="resnet10t", norm_layer="SyncBN")
    assert isinstance(synced.timm_model.bn1, nn.SyncBatchNorm)
    assert isinstance(build(model_name="resnet10t", norm_layer="IN").timm_model.bn1, nn.InstanceNorm2d)


@torch.no_grad()
def test_without_features_only_there_is_one_map() -> None:
    backbone = build(model_name="resnet10t", features_only=False, in_channels=4)
    (last,) = backbone(torch.randn(1, 4, 64, 96))
    assert list(last.shape[1:]) == [512, 2, 3] and backbone.out_channels == [512]
    assert not [key for key in backbone.state_dict() if "fc" in key]
    tokens = build(**{**VIT, "out_indices": None, "features_only": False, "img_size": 64})
    with pytest.raises(UserError, match="tokens, not a map"):
        tokens(torch.randn(1, 3, 64, 64))


@torch.no_grad()
def test_images_are_padded_for_a_model_that_needs_it() -> None:
    backbone = build(model_name="dla46x_c", out_indices=[2, 5])
    image = torch.randn(1, 3, 70, 97)
    maps = backbone(image)
    assert [tuple(m.shape[2:]) for m in maps] == [(18, 25), (3, 4)]
    padded = backbone(torch.nn.functional.pad(image, (0, 128 - 97, 0, 96 - 70)))
    torch.testing.assert_close(maps[0], padded[0][..., :18, :25])
    torch.testing.assert_close(maps[1], padded[1][..., :3, :4])


@torch.no_grad()
def test_img_size_is_handed_over_and_other_sizes_work_where_they_can() -> None:
    backbone = build(**{**VIT, "img_size": [64, 96]})
    assert list(backbone.timm_model.model.pos_embed.shape) == [1, 1 + 4 * 6, 24]
    assert [tuple(m.shape[2:]) for m in backbone(torch.randn(1, 3, 80, 64))] == [(5, 4), (5, 4)]


@torch.no_grad()
def test_a_size_that_the_model_cannot_take_is_named() -> None:
    backbone = build(model_name="convit_tiny", img_size=64, embed_dim=16)
    assert backbone(torch.randn(1, 3, 64, 64))[0].shape[2:] == (4, 4)
    with pytest.raises(UserError, match=r"convit_tiny takes no image of 64x96 .*img_size=\(64, 96\)"):
        backbone(torch.randn(1, 3, 64, 96))


def test_asking_for_sizes_leaves_no_trace() -> None:
    backbone = build(**RESNET).train()
    before = {name: value.clone() for name, value in backbone.named_buffers()}
    state = torch.get_rng_state()
    assert backbone._multiple(70, 97) == 1
    assert torch.equal(torch.get_rng_state(), state)
    for name, value in backbone.named_buffers():
        assert torch.equal(value, before[name]), name


def test_operators_are_counted_once() -> None:
    from fvcore.nn import FlopCountAnalysis

    image, totals = torch.randn(1, 3, 64, 96), []
    for model in (build(**RESNET), timm.create_model("resnet10t", features_only=True).eval()):
        analysis = FlopCountAnalysis(model, image).unsupported_ops_warnings(False)
        totals.append(analysis.uncalled_modules_warnings(False).total())
    assert totals[0] == totals[1] > 0


@pytest.mark.slow
@torch.no_grad()
def test_a_compiled_model_pads_as_well() -> None:
    backbone = build(model_name="dla46x_c", out_indices=[2, 5])
    compiled, image = torch.compile(backbone, backend="aot_eager"), torch.randn(1, 3, 70, 97)
    torch.testing.assert_close(compiled(image), backbone(image))


@pytest.mark.slow
def test_importing_models_imports_neither_timm_nor_the_compiler() -> None:
    code = "import sys, mmseg.models; print({'timm', 'torch._dynamo'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_building_never_asks_for_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []
    create_model = timm.create_model

    def spy(*args: object, **kwargs: object) -> nn.Module:
        asked.append(bool(kwargs.get("pretrained")))
        return create_model(*args, **{**kwargs, "pretrained": False})

    monkeypatch.setattr(timm, "create_model", spy)
    backbone = build_backbone({"type": "TIMMBackbone", "model_name": "resnet10t", "out_indices": [4]})
    assert asked == [False]
    backbone.init_weights()
    assert asked == [False, True]


def test_weights_that_cannot_be_fetched_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise OSError("no route to the host\nat all")

    monkeypatch.setattr(timm.models._builder, "load_pretrained", fail)
    backbone = build_backbone({"type": "TIMMBackbone", "model_name": "resnet10t"})
    with pytest.raises(UserError, match="of resnet10t .OSError: no route to the host.; .*checkpoint_path"):
        backbone.init_weights()
    name = next(m for m in timm.list_models("resnet*") if not timm.get_pretrained_cfg(m).has_weights)
    with torch.device("meta"):
        unpublished = build_backbone({"type": "TIMMBackbone", "model_name": name})
    with pytest.raises(UserError, match=f"no weights for {name}.*pretrained=False"):
        unpublished.init_weights()


@pytest.mark.parametrize("wrapped", [True, False])
def test_checkpoint_path_is_read_by_init_weights(tmp_path: object, wrapped: bool) -> None:
    """A classifier's file of timm: its names differ from those of the maps, its classifier is dropped."""
    args = {k: v for k, v in SWIN.items() if k not in ("type", "pretrained")}
    whole = timm.create_model(**args, num_classes=7)
    weights = filled(whole)
    path = str(tmp_path / "swin.pth")
    torch.save({"state_dict": weights} if wrapped else weights, path)
    backbone = build(**SWIN, checkpoint_path=path)
    backbone.init_weights()
    own = backbone.timm_model.state_dict()
    assert torch.equal(own["patch_embed.proj.weight"], weights["patch_embed.proj.weight"])
    key = "layers.1.blocks.1.mlp.fc1.weight"
    assert torch.equal(own["layers_1.blocks.1.mlp.fc1.weight"], weights[key])


def test_checkpoint_path_adapts_input_channels_and_image_size(tmp_path: object) -> None:
    args = {k: v for k, v in VIT.items() if k not in ("type", "pretrained", "out_indices")}
    path = str(tmp_path / "vit.pth")
    torch.save(filled(timm.create_model(**args)), path)
    backbone = build(**{**VIT, "img_size": 64, "in_channels": 1, "checkpoint_path": path})
    backbone.init_weights()
    inner = backbone.timm_model.model
    assert inner.pos_embed.shape[1] == 1 + 16 and inner.patch_embed.proj.weight.shape[1] == 1
    assert abs(inner.pos_embed.mean().item() - 0.5) < 0.05  # drawn around 0 otherwise


def test_checkpoint_path_takes_what_the_backbone_itself_saved(tmp_path: object) -> None:
    source = build(**RESNET)
    weights = {f"backbone.{key}": value + 1 for key, value in source.state_dict().items()}
    path = str(tmp_path / "own.pth")
    torch.save(weights, path)
    backbone = build(**RESNET, checkpoint_path=path)
    backbone.init_weights()
    torch.testing.assert_close(backbone.timm_model.bn1.bias, source.timm_model.bn1.bias + 1)


def test_a_file_of_another_model_is_refused(tmp_path: object) -> None:
    path = str(tmp_path / "other.pth")
    torch.save({"head.weight": torch.ones(3, 3)}, path)
    with pytest.raises(UserError, match=r"other\.pth holds no weights of timm's resnet10t.*head\.weight"):
        build(**RESNET, checkpoint_path=path).init_weights()


def test_a_string_for_pretrained_is_a_checkpoint_of_this_toolbox(tmp_path: object) -> None:
    source = build(**RESNET)
    path = str(tmp_path / "own.pth")
    torch.save({"state_dict": source.state_dict()}, path)
    backbone = build_backbone({**RESNET, "pretrained": path})
    backbone.init_weights()
    torch.testing.assert_close(backbone.state_dict(), source.state_dict(), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_name": "resnet81"}, "no model 'resnet81'; did you mean.*resnet"),
        ({"model_name": "resnet18.a1_in2k"}, "no weights 'a1_in2k' of resnet18 .it has: .*a1_in1k"),
        ({"model_name": "hf-hub:timm/resnet18"}, "read from the network"),
        ({"out_indices": [0, 9]}, "cannot build resnet10t so: IndexError"),
        ({"drop_path": 0.1}, "no argument `drop_path`; did you mean `drop_path_rate`"),
        ({"pretrained": "a.pth", "init_cfg": {"type": "Pretrained", "checkpoint": "b.pth"}}, "not both"),
    ],
)
def test_settings_that_timm_refuses_are_named(changes: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        build_backbone({**RESNET, **changes})
