"""Train and score a config on k splits of its training data: every image is scored once, by a model that has
not seen it. Prints a table of the folds with mean and standard deviation, and writes kfold.json.
"""

from __future__ import annotations

import argparse
import os

from mmseg.config import DictAction
from mmseg.utils.errors import run_tool


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", metavar="CONFIG", help="path of the config file")
    parser.add_argument("--folds", type=int, default=5, metavar="K", help="how many folds (default 5)")
    parser.add_argument("--seed", type=int, default=0, help="of the splits and of training (default 0)")
    parser.add_argument(
        "--only", metavar="LIST", help="train these folds alone, such as 2,3; the others another time"
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        help="continue what was stopped; folds that are finished are not trained again",
    )
    parser.add_argument(
        "--with-val", action="store_true", help="split the images of data.val too (KITTI: all 200 frames)"
    )
    parser.add_argument(
        "--splits-only", action="store_true", help="write the lists of names, and train nothing"
    )
    parser.add_argument("--work-dir", help="where all goes; default ./work_dirs/CONFIG_NAME_kfold")
    parser.add_argument("--device", help="such as cpu or cuda:1; default the best one at hand")
    parser.add_argument(
        "--launcher", choices=["none", "pytorch", "slurm", "mpi"], default="none", help="job launcher"
    )
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        action=DictAction,
        help='override config values: a.b=1 c.0.d="[1,2]" e="(1,2)"',
    )
    parser.add_argument("--local_rank", "--local-rank", type=int, default=0, help=argparse.SUPPRESS)
    args = parser.parse_args()
    os.environ.setdefault("LOCAL_RANK", str(args.local_rank))
    return args


def main() -> None:
    args = parse_args()
    # torch is imported only now, so that --help answers at once.
    from mmseg.apis.kfold import kfold_from_args

    kfold_from_args(args)


if __name__ == "__main__":
    run_tool(main)
