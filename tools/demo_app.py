"""Serve a page on this machine to try a model: drop an image, see what it sees."""

from __future__ import annotations

import argparse

from mmseg.config import DictAction
from mmseg.utils.errors import run_tool


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", help="path of the config file")
    parser.add_argument("checkpoint", help="path of the checkpoint file")
    parser.add_argument("--port", type=int, default=7860, help="default 7860; 0 takes any that is free")
    parser.add_argument(
        "--host", default="127.0.0.1", help="default 127.0.0.1, this machine only; 0.0.0.0 opens it to others"
    )
    parser.add_argument("--device", help="such as cpu or cuda:1; default the best one at hand")
    parser.add_argument("--examples", metavar="DIR", help="folder of images that the page offers")
    parser.add_argument(
        "--max-megapixels", type=float, default=16.0, metavar="N", help="largest image (default 16)"
    )
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        action=DictAction,
        help='override config values: a.b=1 c.0.d="[1,2]" e="(1,2)"',
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    # torch is imported only now, so that --help answers at once.
    from mmseg.apis.demo_page import demo_from_args

    demo_from_args(args)


if __name__ == "__main__":
    run_tool(main)
