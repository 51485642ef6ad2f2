"""Run the step at which a run diverged again: losses, the first value that is not finite, the largest ones.

CAPTURE is a divergence_iter_N.pth that tools/train.py wrote. Exit status 0: it diverges again; 1: it does
not; 2: it could not be run.
"""

from __future__ import annotations

import argparse
import sys

from mmseg.utils.errors import run_tool


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("capture", metavar="CAPTURE", help="divergence_iter_N.pth of a work dir")
    parser.add_argument("--device", help="such as cpu or cuda:1; default the best one there is")
    parser.add_argument("--config", help="config of the run, for a model of your own; default: the capture's")
    parser.add_argument(
        "--detect-anomaly", action="store_true", help="name the operation whose gradient is NaN (slow)"
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    # torch is imported only now, so that --help answers at once.
    from mmseg.apis.replay import replay_from_args

    if not replay_from_args(args):
        sys.exit(1)


if __name__ == "__main__":
    run_tool(main)
