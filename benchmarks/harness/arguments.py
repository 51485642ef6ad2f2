"""The arguments that every benchmark script has."""

from __future__ import annotations

import argparse
import os

from benchmarks.harness.machine import cores


def bench_parser(description: str | None, *, rounds: int = 7) -> argparse.ArgumentParser:
    """Return a parser with ``--rounds``, ``--threads``, ``--quick`` and ``--out``.

    Args:
        description: The script's docstring; its first paragraph is shown.
        rounds: Default of ``--rounds``.
    """
    parser = argparse.ArgumentParser(description=(description or "").partition("\n\n")[0])
    parser.add_argument("--rounds", type=int, default=rounds, help=f"alternating rounds (default {rounds})")
    parser.add_argument(
        "--threads", type=int, default=cores(), help="threads of torch and OpenCV (default: all cores)"
    )
    parser.add_argument("--quick", action="store_true", help="smallest sizes, one round: to try it out")
    parser.add_argument("--out", help="file for the JSON line (default work_dirs/benchmarks.jsonl)")
    return parser


def apply(args: argparse.Namespace) -> argparse.Namespace:
    """Set the threads that ``args`` asks for, and one round for ``--quick``; returns ``args``.

    Raises:
        UserError: a number below 1.
    """
    from mmseg.utils.errors import UserError

    for name in ("rounds", "threads"):
        if getattr(args, name) < 1:
            raise UserError(f"--{name} is {getattr(args, name)}; it must be 1 or more")
    if args.quick:
        args.rounds = 1
    os.environ["OMP_NUM_THREADS"] = str(args.threads)  # for the processes that are started
    import cv2
    import torch

    torch.set_num_threads(args.threads)
    cv2.setNumThreads(args.threads)
    return args
