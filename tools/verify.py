"""Check a score by its receipt: compare weights, config and files with it, then evaluate again.

RECEIPT is an eval_*.json of tools/test.py. Exit status 0: the score holds; 1: it does not, and the lines say
what changed; 2: it could not be checked.
"""

from __future__ import annotations

import argparse
import sys

from mmseg.utils.errors import run_tool


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("receipt", metavar="RECEIPT", help="eval_*.json that tools/test.py wrote")
    parser.add_argument(
        "checkpoint", metavar="CHECKPOINT", nargs="?", help="default: the one that the receipt names"
    )
    parser.add_argument("--config", help="config file; default the one that the receipt names")
    parser.add_argument("--data-root", help="where the data of data.test lies now, if it was moved")
    parser.add_argument("--device", help="such as cpu or cuda:1; default one of the receipt's kind")
    parser.add_argument(
        "--hashes-only", action="store_true", help="compare weights, config and files; evaluate nothing"
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    # torch is imported only now, so that --help answers at once.
    from mmseg.apis.verify import verify_from_args

    if not verify_from_args(args):
        sys.exit(1)


if __name__ == "__main__":
    run_tool(main)
