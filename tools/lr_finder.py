"""Find a learning rate: train a few steps while it rises, and see where the loss falls fastest."""

from __future__ import annotations

import argparse

from mmseg.config import DictAction
from mmseg.utils.errors import run_tool


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", help="path of the config file")
    parser.add_argument("--min-lr", type=float, default=1e-7, help="where the sweep begins (default 1e-7)")
    parser.add_argument("--max-lr", type=float, default=1.0, help="where it ends at the latest (default 1)")
    parser.add_argument("--iters", type=int, default=100, help="optimizer steps (default 100)")
    parser.add_argument("--work-dir", help="where lr_finder.png and .csv go; default ./work_dirs/CONFIG_NAME")
    parser.add_argument("--load-from", help="checkpoint whose weights to start from")
    parser.add_argument("--seed", type=int, help="random seed; default: the config's, or one is drawn")
    parser.add_argument("--gpu-id", type=int, default=0, help="GPU to use (default 0)")
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
    from mmseg.apis.lr_finder import find_lr_from_args

    find_lr_from_args(args)


if __name__ == "__main__":
    run_tool(main)
