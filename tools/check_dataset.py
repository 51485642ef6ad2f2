"""Examine the data sets of a config before training on them: every image and mask is read once.

Prints what is wrong, worst first, each with its file, value, count and remedy, and what the splits hold.
Writes to the work dir dataset_report.json, class_distribution.png, dataset_patch.py (a config on top of yours
with class weights, crop size, ignore_index and label map) and a cache, so that only files that changed are
read the next time. The exit status is 0, 1 where training or testing would fail, 2 for a wrong argument.
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
    parser.add_argument(
        "--split",
        nargs="+",
        choices=["train", "val", "test"],
        default=["train", "val", "test"],
        help="the data sets to read (default: all that the config has)",
    )
    parser.add_argument("--work-dir", help="where the files go; default ./work_dirs/CONFIG_NAME")
    parser.add_argument("--jobs", type=int, help="threads that read (default: one per processor)")
    parser.add_argument("--show", type=int, default=10, help="files to name of each kind (default 10)")
    parser.add_argument("--no-cache", action="store_true", help="read every file again, and keep nothing")
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
    from mmseg.apis.check_dataset import check_from_args

    sys.exit(check_from_args(args))


if __name__ == "__main__":
    run_tool(main)
