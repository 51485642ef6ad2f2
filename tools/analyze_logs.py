"""Draw the curves of one run or several, and print what each reached."""

from __future__ import annotations

import argparse

from mmseg.utils.errors import run_tool


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "json_logs",
        nargs="+",
        metavar="LOG",
        help="work dir of a run, its *.log.json (also MMSegmentation 0.25's) or its train.csv",
    )
    parser.add_argument(
        "--keys", nargs="+", metavar="KEY", help="such as mIoU decode.loss_ce val/loss; default loss mIoU lr"
    )
    parser.add_argument("--out", help="the chart: .png, .pdf or .svg; without it only the table is printed")
    parser.add_argument("--legend", nargs="+", metavar="NAME", help="what the runs are called, one for each")
    parser.add_argument("--title", help="title of the chart")
    parser.add_argument(
        "--smooth",
        type=float,
        default=0.0,
        metavar="W",
        help="moving average of training curves, 0 to below 1",
    )
    parser.add_argument("--style", help="accepted; there is one style")
    parser.add_argument("--backend", help="accepted; charts are drawn without a display")
    args = parser.parse_args()
    if not 0 <= args.smooth < 1:
        parser.error(f"--smooth must lie in [0, 1), not {args.smooth}")
    return args


def main() -> None:
    args = parse_args()
    from mmseg.apis.analyze_logs import analyze_from_args

    analyze_from_args(args)


if __name__ == "__main__":
    run_tool(main)
