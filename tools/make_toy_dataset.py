"""Draw a small labelled data set of street scenes, in the layout of the KITTI configs.

OUT/img_dir/{train,val}/NNNNNN_10.png are the pictures, OUT/ann_dir/{train,val}/NNNNNN_10.png the train ids of
Cityscapes' 19 classes, 255 where there is none. The same seed gives the same pixels on every machine.
"""

from __future__ import annotations

import argparse
import os
from typing import Any

from mmseg.utils.errors import UserError, run_tool


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", nargs="?", default="data/toy", help="folder to make (default data/toy)")
    parser.add_argument("--num-train", type=int, help="scenes to train on (default 200)")
    parser.add_argument("--num-val", type=int, help="held-out scenes (default 50)")
    parser.add_argument("--seed", type=int, help="what the scenes follow from (default 0)")
    parser.add_argument(
        "--size", type=int, nargs=2, metavar=("W", "H"), help="of a picture in pixels (default 416 128)"
    )
    parser.add_argument("--nproc", type=int, help="processes that draw (default: one per core, at most 8)")
    parser.add_argument(
        "--force", action="store_true", help="replace img_dir and ann_dir of an OUT that holds other things"
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    if args.nproc is not None and args.nproc < 1:
        raise UserError(f"--nproc must be at least 1, not {args.nproc}")
    # The drawing brings numpy and torch along; imported only now, so that --help answers at once.
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from mmseg.datasets.toy_scenes.generate import make_toy_dataset

    given: dict[str, Any] = {k: getattr(args, k) for k in ("num_train", "num_val", "seed", "size")}
    given = {k: tuple(v) if k == "size" else v for k, v in given.items() if v is not None}
    nproc = args.nproc or min(8, os.cpu_count() or 1)
    columns = (TextColumn("drawing scenes"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=None)
        drawn = make_toy_dataset(
            args.out,
            **given,
            nproc=nproc,
            force=args.force,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    where = os.path.abspath(args.out)
    counts = ", ".join(f"{len(os.listdir(os.path.join(where, 'img_dir', s)))} {s}" for s in ("train", "val"))
    print(f"{'drew' if drawn else 'already there:'} {counts} scenes in {where}")


if __name__ == "__main__":
    run_tool(main)
