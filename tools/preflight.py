"""Try a config out before hours are spent on it.

Reads a sample of the data, looks for the weights, wandb's key, the port and the disk, trains a few real
iterations and evaluates a few images; says the peak memory, the time of an iteration and of the whole run,
the disk it needs, and every fault. Nothing is written to the work dir. The exit status is 0, 1 where training
would fail, 2 for a wrong argument.
"""

from __future__ import annotations

import argparse
import sys

from mmseg.config import DictAction
from mmseg.utils.errors import run_tool


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config", help="path of the config file")
    parser.add_argument("--device", help="cpu, cuda:0, ...; by default the best there is")
    parser.add_argument("--gpus", type=int, default=1, help="how many the run will have (default 1)")
    parser.add_argument("--iters", type=int, default=20, help="training iterations to measure (default 20)")
    parser.add_argument("--sample", type=int, default=40, help="images of each split to read (default 40)")
    parser.add_argument(
        "--work-dir", help="of the run, whose disk is looked at; default ./work_dirs/CONFIG_NAME"
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
    from mmseg.apis.preflight import preflight_from_args

    sys.exit(preflight_from_args(args))


if __name__ == "__main__":
    run_tool(main)
