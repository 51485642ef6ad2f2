"""Test a checkpoint: scores, overlays, label maps."""

from __future__ import annotations

import argparse
import os

from mmseg.config import DictAction
from mmseg.utils.errors import run_tool


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Test a checkpoint: scores, overlays, label maps")
    parser.add_argument("config", help="path of the config file")
    parser.add_argument("checkpoint", help="path of the checkpoint file")
    parser.add_argument("--work-dir", help="where the scores go; default ./work_dirs/CONFIG_NAME")
    parser.add_argument("--aug-test", action="store_true", help="six scales and flips")
    parser.add_argument("--out", help="write the label maps to this .pkl or .npz file")
    parser.add_argument(
        "--format-only", action="store_true", help="write label maps as a benchmark server wants them"
    )
    parser.add_argument("--eval", nargs="+", metavar="METRIC", help="mIoU mDice mFscore cityscapes")
    parser.add_argument("--show", action="store_true", help="open a window per image")
    parser.add_argument("--show-dir", help="write overlays here, and label maps to its gray/")
    parser.add_argument(
        "--gpu-collect", action="store_true", help="accepted; results travel over the process group"
    )
    parser.add_argument("--gpu-id", type=int, default=0, help="GPU to use without a launcher (default 0)")
    parser.add_argument("--tmpdir", help="accepted; results travel over the process group")
    parser.add_argument("--options", nargs="+", action=DictAction, help="deprecated name of --cfg-options")
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        action=DictAction,
        help='override config values: a.b=1 c.0.d="[1,2]" e="(1,2)"',
    )
    parser.add_argument(
        "--eval-options", nargs="+", action=DictAction, help="options of the formatting: key=value"
    )
    parser.add_argument(
        "--launcher", choices=["none", "pytorch", "slurm", "mpi"], default="none", help="job launcher"
    )
    parser.add_argument("--opacity", type=float, default=0.5, help="of the overlays, in (0, 1]; default 0.5")
    parser.add_argument(
        "--receipt",
        choices=["full", "names", "none"],
        default="full",
        help="what the score file keeps for tools/verify.py: also a hash of each file (full), or their names",
    )
    parser.add_argument("--local_rank", "--local-rank", type=int, default=0, help=argparse.SUPPRESS)
    args = parser.parse_args()
    os.environ.setdefault("LOCAL_RANK", str(args.local_rank))
    if args.options and args.cfg_options:
        parser.error("--options is the old name of --cfg-options; give only --cfg-options")
    args.cfg_options = args.cfg_options or args.options
    if not 0 < args.opacity <= 1:
        parser.error(f"--opacity must lie in (0, 1], not {args.opacity}")
    return args


def main() -> None:
    args = parse_args()
    # torch is imported only now, so that --help answers at once.
    from mmseg.apis.test import test_from_args

    test_from_args(args)


if __name__ == "__main__":
    run_tool(main)
