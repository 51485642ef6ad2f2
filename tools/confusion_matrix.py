"""Draw which classes are taken for which others, from a checkpoint or from stored predictions."""

from __future__ import annotations

import argparse

from mmseg.config import DictAction
from mmseg.utils.errors import run_tool


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", help="path of the config file; data.test is compared with")
    parser.add_argument(
        "prediction",
        metavar="CHECKPOINT_OR_RESULTS",
        help="a checkpoint, which is evaluated, or the .pkl or .npz file of tools/test.py --out",
    )
    parser.add_argument(
        "save_dir", help="receives confusion_matrix.png, .csv (%% of the truth) and _pixels.csv"
    )
    parser.add_argument("--title", help="of the chart; default has the mIoU")
    parser.add_argument(
        "--color-theme", default="Blues", metavar="NAME", help="a colour map of matplotlib's (default Blues)"
    )
    parser.add_argument("--show", action="store_true", help="open a window with the chart as well")
    parser.add_argument("--device", help="such as cpu or cuda:1; default the best one at hand")
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
    from mmseg.apis.confusion import confusion_from_args

    confusion_from_args(args)


if __name__ == "__main__":
    run_tool(main)
