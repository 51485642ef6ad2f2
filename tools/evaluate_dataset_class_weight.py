"""Class weights of a data set, from how many pixels of its masks each class has.

Rare classes weigh more, and the weights sum to the number of classes. Prints a list to paste into a config;
writes class_weight.json, for class_weight='FILE' of a loss, and a bar chart of the class distribution.
"""

from __future__ import annotations

import argparse

from mmseg.config import DictAction
from mmseg.utils.errors import run_tool


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config", help="path of the config file")
    parser.add_argument(
        "--split", choices=["train", "val", "test"], default="train", help="whose masks (default train)"
    )
    parser.add_argument(
        "--method",
        choices=["log", "effective"],
        default="log",
        help="log: 1 / log(1 + pixels); effective: by the effective number of samples (Cui et al. 2019)",
    )
    parser.add_argument(
        "--beta", type=float, help="of --method effective, 0 to below 1 (default (N - 1) / N, N all pixels)"
    )
    parser.add_argument("--work-dir", help="where the files go; default ./work_dirs/CONFIG_NAME")
    parser.add_argument("--jobs", type=int, help="threads that read (default: one per processor)")
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
    from mmseg.apis.class_weights import weights_from_args

    weights_from_args(args)


if __name__ == "__main__":
    run_tool(main)
