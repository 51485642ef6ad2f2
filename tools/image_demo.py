"""Segment an image, several, or a folder of them, and show or write the result."""

from __future__ import annotations

import argparse

from mmseg.utils.errors import run_tool


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("img", nargs="+", help="an image, several, or a folder of them")
    parser.add_argument("config", help="path of the config file")
    parser.add_argument("checkpoint", help="path or address of the checkpoint")
    parser.add_argument("--out-file", help="the picture; without it and --out-dir a window opens")
    parser.add_argument("--out-dir", help="folder of the pictures, for several images")
    parser.add_argument("--gray", action="store_true", help="write the label maps as well, to gray/ beside")
    parser.add_argument(
        "--legend", action="store_true", help="put the classes that are seen below the picture"
    )
    parser.add_argument("--device", help="such as cpu or cuda:1; default the best one at hand")
    parser.add_argument(
        "--palette",
        metavar="DATASET",
        help="colours of a data set, such as cityscapes; default the checkpoint's",
    )
    parser.add_argument("--opacity", type=float, default=0.5, help="of the classes, in (0, 1]; default 0.5")
    args = parser.parse_args()
    if not 0 < args.opacity <= 1:
        parser.error(f"--opacity must lie in (0, 1], not {args.opacity}")
    return args


def main() -> None:
    args = parse_args()
    # torch is imported only now, so that --help answers at once.
    from mmseg.apis.image_demo import image_demo_from_args

    image_demo_from_args(args)


if __name__ == "__main__":
    run_tool(main)
