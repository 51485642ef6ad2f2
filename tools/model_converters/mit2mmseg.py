"""Convert a MiT of the original SegFormer release (mit_b0.pth to mit_b5.pth) for MixVisionTransformer.

Reading such a file by init_cfg or pretrained converts it as well; this writes the outcome to a file.
"""

from __future__ import annotations

from mmseg.conversion.weights_command import convert_file, parse
from mmseg.utils.errors import run_tool


def main() -> None:
    args = parse(__doc__)
    convert_file("mit", args.src, args.dst, force=args.force)


if __name__ == "__main__":
    run_tool(main)
