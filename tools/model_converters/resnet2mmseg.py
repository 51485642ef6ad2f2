"""Convert a ResNet of torchvision (resnet18 to resnet152) for ResNet.

torchvision's stem is one 7x7 convolution: the weights do not fit ResNetV1c and ResNetV1d, whose stem is three
convolutions of 3x3; open-mmlab://resnet50_v1c and the like are for these.
"""

from __future__ import annotations

from mmseg.conversion.weights_command import convert_file, parse
from mmseg.utils.errors import run_tool


def main() -> None:
    args = parse(__doc__)
    convert_file("resnet", args.src, args.dst, force=args.force)


if __name__ == "__main__":
    run_tool(main)
