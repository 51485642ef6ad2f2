"""Segmentors to export: those of the results table, and tiny ones of the same kinds."""

from __future__ import annotations

from typing import Any

from torch import nn

from mmseg.apis import init_segmentor
from mmseg.config import Config
from tests.helpers_run import CLASSES, NORM, PALETTE, tiny_model
from tests.helpers_weights import recorded_weights

# The configs of the results table, and the sizes at which its costs were measured.
TABLE = {
    "SegFormer-B0": ("segformer/segformer_mit-b0_kitti_368x368_10k.py", (375, 1242)),
    "DeepLabV3+ R18": ("deeplabv3plus/deeplabv3plus_r18-d8_kitti_368x368_80k.py", (375, 1242)),
    "PSPNet R18": ("pspnet/pspnet_r18-d8_kitti_368x368_20k.py", (375, 1242)),
    "UNet": ("unet/fcn_unet_s5-d16_kitti_368x368_160k.py", (368, 1248)),
    "Swin-T + SegFormer": ("segformer/segformer_swin-t_kitti_368x368_10k.py", (375, 1242)),
    "Baseline": ("basicNet/basicnet_kitti_512x375_180e.py", (375, 1242)),
}
BN = dict(type="BN")


def head(kind: str, in_channels: Any, in_index: Any, **own: Any) -> dict[str, Any]:
    return dict(
        type=kind,
        in_channels=in_channels,
        in_index=in_index,
        channels=8,
        num_classes=3,
        norm_cfg=BN,
        **own,
    )


def tiny_resnet() -> dict[str, Any]:
    return dict(
        type="ResNetV1c",
        depth=18,
        base_channels=8,
        stem_channels=8,
        dilations=(1, 1, 2, 4),
        strides=(1, 2, 1, 1),
        norm_cfg=BN,
    )


def tiny(name: str) -> dict[str, Any]:
    """The ``model`` section of a small segmentor of three classes."""
    model = dict(type="EncoderDecoder", test_cfg=dict(mode="whole"))
    if name == "SegFormer":
        return tiny_model()
    if name == "DeepLabV3+":
        own = dict(dilations=(1, 2, 3), c1_in_channels=8, c1_channels=4)
        heads = head("DepthwiseSeparableASPPHead", 64, 3, **own)
        return dict(model, backbone=tiny_resnet(), decode_head=heads)
    if name == "PSPNet":
        heads = head("PSPHead", 64, 3, pool_scales=(1, 2, 3, 6))
        return dict(model, backbone=tiny_resnet(), decode_head=heads)
    if name == "UNet":
        backbone = dict(type="UNet", base_channels=4, num_stages=3, strides=(1,) * 3, norm_cfg=BN)
        backbone.update(enc_num_convs=(1,) * 3, dec_num_convs=(1,) * 2, downsamples=(True,) * 2)
        backbone.update(enc_dilations=(1,) * 3, dec_dilations=(1,) * 2)
        return dict(model, backbone=backbone, decode_head=head("FCNHead", 4, 2, num_convs=1))
    if name == "Swin":
        backbone = dict(type="SwinTransformer", embed_dims=8, depths=(2, 1), num_heads=(1, 2))
        backbone.update(strides=(4, 2), out_indices=(0, 1), window_size=4, mlp_ratio=2)
        return dict(model, backbone=backbone, decode_head=head("SegformerHead", [8, 16], [0, 1]))
    if name == "Baseline":
        backbone = dict(type="BasicSegNet", n_class=3)
        return dict(model, backbone=backbone, decode_head=head("BasicDecoder", 3, 0, input_size=(48, 64)))
    strided = dict(tiny_resnet(), dilations=(1, 1, 1, 1), strides=(1, 2, 2, 2))
    widths = [8, 16, 32, 64]
    if name == "UPerNet":
        return dict(model, backbone=strided, decode_head=head("UPerHead", widths, [0, 1, 2, 3]))
    if name == "FPN":
        neck = dict(type="FPN", in_channels=widths, out_channels=8, num_outs=4)
        heads = head("FPNHead", [8] * 4, [0, 1, 2, 3], feature_strides=[4, 8, 16, 32])
        return dict(model, backbone=strided, neck=neck, decode_head=heads)
    if name == "timm":
        backbone = dict(type="TIMMBackbone", model_name="resnet10t", pretrained=False, out_indices=(1, 2))
        return dict(model, backbone=backbone, decode_head=head("FCNHead", 128, 1, num_convs=1))
    raise KeyError(name)


def config_of(model: dict[str, Any]) -> Config:
    """A config with ``model`` and a test pipeline, of no data."""
    views = [dict(type="Resize", keep_ratio=True), dict(type="RandomFlip"), dict(type="Normalize", **NORM)]
    steps = [*views, dict(type="ImageToTensor", keys=["img"]), dict(type="Collect", keys=["img"])]
    pipeline = [
        dict(type="LoadImageFromFile"),
        dict(type="MultiScaleFlipAug", img_scale=(96, 80), flip=False, transforms=steps),
    ]
    test = dict(type="CustomDataset", classes=CLASSES, palette=PALETTE, pipeline=pipeline)
    return Config(dict(model=model, data=dict(test=test)))


def with_weights(config: Config | str) -> nn.Module:
    """The segmentor of a config on the CPU, with weights and running statistics drawn by their names."""
    model = init_segmentor(config, device="cpu")
    model.load_state_dict(recorded_weights(model.state_dict()))
    return model
