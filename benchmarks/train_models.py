"""The contestants of ``bench_train.py``: our models and the peers that come nearest to each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
NUM_CLASSES = 19
IGNORED = 255


@dataclass(frozen=True)
class Row:
    """A row of the results table.

    Attributes:
        config: Under ``configs/``.
        mark: How many times as fast as the nearest peer a step should be on a CPU in float32.
        channels_last: The config switch of that name: what our convolutional models are trained with.
        peers: Name of the peer → name of the function of ``PEERS`` and its arguments. The first is the
            nearest; the mark is against the fastest of those in ``nearest``.
        nearest: Names of the peers that are of our architecture, or as near to it as they can be set.
        divisor: Both sides of an image must divide by it.
        cpu_batch: Images per step on a CPU where four would take too long for a bare call.
    """

    config: str
    mark: float | None = None
    channels_last: bool = True
    peers: tuple[tuple[str, str, dict[str, Any]], ...] = ()
    nearest: tuple[str, ...] = ()
    divisor: int = 1
    cpu_batch: int = 4


def _segformer(size: str) -> dict[str, Any]:
    peers = (
        ("transformers", "transformers_segformer", {"size": size}),
        ("smp", "smp", {"kind": "Segformer", "encoder_name": f"mit_{size}"}),
    )
    config = {"b0": "10k", "b2": "20k", "b5": "20k"}[size]
    return {
        "config": f"segformer/segformer_mit-{size}_kitti_368x368_{config}.py",
        "channels_last": False,
        "peers": peers,
        "nearest": ("transformers", "smp"),
    }


def _deeplab(depth: int, kitti: str) -> dict[str, Any]:
    common = {"kind": "DeepLabV3Plus", "encoder_output_stride": 8, "decoder_atrous_rates": (12, 24, 36)}
    common["decoder_channels"] = 128 if depth == 18 else 512
    return {
        "config": f"deeplabv3plus/deeplabv3plus_r{depth}-d8_kitti_368x368_{kitti}.py",
        # The stem of three 3x3 convolutions is that of timm's ResNet-D, the one of 7x7 torchvision's.
        "peers": (
            (f"smp, resnet{depth}d", "smp", {**common, "encoder_name": f"tu-resnet{depth}d"}),
            (f"smp, resnet{depth}", "smp", {**common, "encoder_name": f"resnet{depth}"}),
        ),
        "nearest": (f"smp, resnet{depth}d",),
    }


def _pspnet(depth: int) -> dict[str, Any]:
    common = {"kind": "PSPNet", "encoder_depth": 5, "upsampling": 8}
    common["psp_out_channels"] = 128 if depth == 18 else 512
    return {
        "config": f"pspnet/pspnet_r{depth}-d8_kitti_368x368_20k.py",
        "peers": (
            (
                f"smp, resnet{depth}d",
                "smp",
                {**common, "encoder_name": f"tu-resnet{depth}d", "output_stride": 8},
            ),
            (f"smp, resnet{depth}", "smp", {**common, "encoder_name": f"resnet{depth}", "dilated": 8}),
        ),
        "nearest": (f"smp, resnet{depth}d",),
    }


# Five levels of our widths; the encoder's last level has 512 channels where ours has 1024.
_UNET = {"kind": "Unet", "encoder_depth": 5, "decoder_channels": (1024, 512, 256, 128, 64)}

ROWS: dict[str, Row] = {
    "baseline": Row("basicNet/basicnet_kitti_512x375_180e.py"),
    "unet": Row(
        "unet/fcn_unet_s5-d16_kitti_368x368_160k.py",
        mark=1.1,
        peers=(("smp, vgg13_bn", "smp", {**_UNET, "encoder_name": "vgg13_bn"}),),
        nearest=("smp, vgg13_bn",),
        divisor=16,
        cpu_batch=1,
    ),
    "deeplabv3plus-r18": Row(**_deeplab(18, "80k"), mark=1.1),
    "deeplabv3plus-r50": Row(**_deeplab(50, "40k")),
    "deeplabv3plus-r101": Row(**_deeplab(101, "40k")),
    "swin-t": Row("segformer/segformer_swin-t_kitti_368x368_10k.py", channels_last=False),
    "segformer-b0": Row(**_segformer("b0"), mark=1.4),
    "segformer-b2": Row(**_segformer("b2")),
    "segformer-b5": Row(**_segformer("b5")),
    "pspnet-r18": Row(**_pspnet(18), mark=1.1),
    "pspnet-r101": Row(**_pspnet(101)),
}
MARKED = tuple(name for name, row in ROWS.items() if row.mark)


def ours(row: str, auxiliary: bool = False, exact: bool = False) -> Any:
    """Our segmentor of ``row`` with random weights and plain cross entropy, as the peers have it."""
    from mmseg.config import Config
    from mmseg.models import build_segmentor

    model = Config.fromfile(str(ROOT / "configs" / ROWS[row].config)).model
    if not auxiliary:
        model.pop("auxiliary_head", None)
    heads = [model["decode_head"], model.get("auxiliary_head") or {}]
    for head in [h for part in heads for h in (part if isinstance(part, list) else [part])]:
        head.pop("sampler", None)
        if head:
            head["loss_decode"] = {"type": "CrossEntropyLoss", "avg_non_ignore": True}
    model["pretrained"] = None
    return build_segmentor({**model, "exact": exact})


def transformers_segformer(size: str) -> Any:
    """SegFormer with the settings of the paper's table 6; B0's are the library's defaults."""
    import transformers

    wide = {"hidden_sizes": [64, 128, 320, 512], "decoder_hidden_size": 768}
    settings = {
        "b0": {},
        "b2": {**wide, "depths": [3, 4, 6, 3]},
        "b5": {**wide, "depths": [3, 6, 40, 3]},
    }[size]
    config = transformers.SegformerConfig(num_labels=NUM_CLASSES, **settings)
    return transformers.SegformerForSemanticSegmentation(config)


def smp(kind: str, dilated: int | None = None, **kwargs: Any) -> Any:
    """A model of segmentation-models-pytorch with random weights."""
    import segmentation_models_pytorch

    model = getattr(segmentation_models_pytorch, kind)(encoder_weights=None, classes=NUM_CLASSES, **kwargs)
    if dilated:
        model.encoder.make_dilated(dilated)
    return model


PEERS: dict[str, Callable[..., Any]] = {"transformers_segformer": transformers_segformer, "smp": smp}


def loss_of(contestant: str) -> Callable[[Any, Any, Any], Any]:
    """How the loss of a contestant's model comes from images (N, 3, H, W) and labels (N, H, W)."""
    from torch.nn import functional as F

    if contestant == "ours":
        return lambda model, image, label: model.train_step(
            {"img": image, "img_metas": [{}] * len(image), "gt_semantic_seg": label[:, None]}
        )["loss"]
    if contestant == "transformers_segformer":
        return lambda model, image, label: model(pixel_values=image, labels=label).loss
    return lambda model, image, label: F.cross_entropy(model(image).float(), label, ignore_index=IGNORED)
