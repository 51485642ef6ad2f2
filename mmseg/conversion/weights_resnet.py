"""ResNets of torchvision (He et al., 2016): 18, 34, 50, 101 and 152."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

from mmseg.conversion.weights import RESNET_NAME, Layout, Weights, last_number, take_apart
from mmseg.utils.errors import UserError

_NORM = ("weight", "bias", "running_mean", "running_var")
# blocks of the stages -> depth with blocks of two convolutions, and with bottlenecks
_DEPTHS = {
    (2, 2, 2, 2): (18, None),
    (3, 4, 6, 3): (34, 50),
    (3, 4, 23, 3): (None, 101),
    (3, 8, 36, 3): (None, 152),
}


def convert_resnet(weights: Mapping[str, Tensor], source: str = "the checkpoint") -> Weights:
    """Map torchvision's weights to those of ``ResNet``, whose names are the same; the classifier is left out.

    They fit ``ResNet`` only: ``ResNetV1c`` and ``ResNetV1d`` begin with three 3x3 convolutions, torchvision's
    models with one of 7x7.

    Args:
        weights: Of a classifier, or of a segmentor whose backbone is taken.
        source: Where they come from, for messages.

    Raises:
        UserError: not a whole ResNet of torchvision, or a ResNeXt or wide ResNet.
    """
    kept, _ = take_apart(weights, RESNET, source)
    stem, first = kept["conv1.weight"], kept["layer1.0.conv1.weight"]
    if stem.shape[-1] != 7 or first.shape[0] != stem.shape[0]:
        raise UserError(
            f"{source} is no checkpoint of {RESNET.name}: its stem is {stem.shape[-1]}x{stem.shape[-1]}"
            f" and its first block has {first.shape[0]} channels, not 7x7 and {stem.shape[0]};"
            " it looks like a ResNeXt or a wide ResNet; take it with TIMMBackbone"
        )
    return dict(kept)


def resnet_name(key: str) -> str | None:
    """Our name of a key of torchvision, which is the same; None for a key that its ResNets do not have."""
    norm = r"(weight|bias|running_mean|running_var|num_batches_tracked)"
    inside = rf"conv[123]\.weight|bn[123]\.{norm}|downsample\.0\.weight|downsample\.1\.{norm}"
    return key if re.fullmatch(rf"conv1\.weight|bn1\.{norm}|layer[1-4]\.\d+\.({inside})", key) else None


def resnet_settings(converted: Mapping[str, Tensor]) -> str:
    """The arguments of ``ResNet`` that the converted weights fit, as they stand in a config."""
    blocks = tuple(last_number(rf"layer{i}\.(\d+)\.", converted) for i in range(1, 5))
    depth = _DEPTHS.get(blocks, (None, None))["layer1.0.conv3.weight" in converted]
    stem = "its stem is one 7x7 convolution, so it does not fit ResNetV1c and ResNetV1d"
    return f"ResNet, depth={depth if depth else f'unknown, with {list(blocks)} blocks'} ({stem})"


RESNET = Layout(
    name=RESNET_NAME,
    required=(
        "conv1.weight",
        *(f"bn1.{part}" for part in _NORM),
        *(f"layer{i}.0.conv1.weight" for i in range(1, 5)),
    ),
    block=r"(?P<stage>layer\d\.)(?P<index>\d+)\.(?P<part>.+)",
    parts=tuple(part for i in (1, 2) for part in (f"conv{i}.weight", *(f"bn{i}.{name}" for name in _NORM))),
    alone=r"downsample\.",
    dropped=r"fc\.(weight|bias)",
    rename=resnet_name,
    convert=convert_resnet,
)
