"""Train a segmentor from a config file."""

from __future__ import annotations

import argparse
import os

from mmseg.config import DictAction
from mmseg.utils.errors import run_tool


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Train a segmentor from a config file")
    parser.add_argument("config", help="path of the config file")
    parser.add_argument("--work-dir", help="where checkpoints and logs go; default ./work_dirs/CONFIG_NAME")
    parser.add_argument("--load-from", help="checkpoint whose weights to start from")
    parser.add_argument("--resume-from", help="checkpoint of a run to continue")
    parser.add_argument(
        "--auto-resume", action="store_true", help="continue from the newest checkpoint in the work dir"
    )
    parser.add_argument("--no-validate", action="store_true", help="train without evaluating")
    device = parser.add_mutually_exclusive_group()
    device.add_argument(
        "--gpus", type=int, help="deprecated; one process drives one GPU, use tools/dist_train.sh"
    )
    device.add_argument(
        "--gpu-ids", type=int, nargs="+", help="deprecated; the first id is used, see --gpu-id"
    )
    device.add_argument("--gpu-id", type=int, default=0, help="GPU to use without a launcher (default 0)")
    parser.add_argument("--seed", type=int, help="random seed; default: one is drawn and logged")
    parser.add_argument(
        "--diff_seed", "--diff-seed", action="store_true", help="add the rank to the seed of each process"
    )
    parser.add_argument("--deterministic", action="store_true", help="repeatable cuDNN kernels")
    parser.add_argument("--options", nargs="+", action=DictAction, help="deprecated name of --cfg-options")
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        action=DictAction,
        help='override config values: a.b=1 c.0.d="[1,2]" e="(1,2)"',
    )
    parser.add_argument(
        "--launcher", choices=["none", "pytorch", "slurm", "mpi"], default="none", help="job launcher"
    )
    parser.add_argument("--local_rank", "--local-rank", type=int, default=0, help=argparse.SUPPRESS)
    args = parser.parse_args()
    os.environ.setdefault("LOCAL_RANK", str(args.local_rank))
    if args.options and args.cfg_options:
        parser.error("--options is the old name of --cfg-options; give only --cfg-options")
    args.cfg_options = args.cfg_options or args.options
    return args


def main() -> None:
    args = parse_args()
    # torch is imported only now, so that --help answers at once.
    from mmseg.apis.train import train_from_args

    train_from_args(args)


if __name__ == "__main__":
    run_tool(main)
