"""Write one HTML page about a run, or about several and how they compare; it opens without a network."""

from __future__ import annotations

import argparse

from mmseg.config import DictAction
from mmseg.utils.errors import run_tool


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "runs",
        nargs="+",
        metavar="RUN_OR_RESULTS",
        help="work dir of tools/train.py; or report_data.npz, eval_*.json, label maps of tools/test.py --out",
    )
    parser.add_argument("--out", help="the page; default report.html in the folder of the first run")
    parser.add_argument("--title", help="title of the page; default the names of the runs")
    parser.add_argument("--names", nargs="+", metavar="NAME", help="what the runs are called, one for each")
    parser.add_argument("--config", help="config file, instead of the one in the run's folder")
    parser.add_argument("--checkpoint", help="checkpoint, instead of the best or latest in the run's folder")
    parser.add_argument(
        "--no-evaluate", action="store_true", help="take what is there; no pass over the test set"
    )
    parser.add_argument(
        "--evaluate-again", action="store_true", help="evaluate although there are fitting results"
    )
    parser.add_argument(
        "--images", type=int, default=6, metavar="N", help="show the N worst and N best images (default 6)"
    )
    parser.add_argument("--rounds", type=int, default=2000, help="resamples of the bootstrap (default 2000)")
    parser.add_argument(
        "--shape", nargs="+", metavar="N", help="H W to count FLOPs at; default the size of the test"
    )
    parser.add_argument("--max-mb", type=float, default=10.0, help="largest size of the page (default 10)")
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
    from mmseg.apis.report import report_from_args

    report_from_args(args)


if __name__ == "__main__":
    run_tool(main)
