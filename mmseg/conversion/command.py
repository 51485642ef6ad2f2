"""The arguments that all command lines of ``tools/convert_datasets`` share."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from mmseg.utils.errors import UserError

MOST = 8  # processes by default


def make_parser(description: str | None) -> argparse.ArgumentParser:
    """Return a parser that shows ``description`` as it is written."""
    return argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )


def add_output(
    parser: argparse.ArgumentParser, default: str | None, instead: str = "", fresh: str = ""
) -> None:
    """Add ``--out-dir``, ``--nproc`` and, for folders that are made anew (``fresh``), ``--overwrite``.

    Args:
        parser: Gets the arguments.
        default: Of ``--out-dir``.
        instead: What the help says of a default that is None.
        fresh: The folders that ``--overwrite`` replaces, in words.
    """
    parser.add_argument(
        "-o",
        "--out-dir",
        "--out_dir",
        type=Path,
        default=default and Path(default),
        help=f"folder of the data set, the configs' data_root (default {default or instead})",
    )
    parser.add_argument(
        "--nproc", type=int, default=min(MOST, os.cpu_count() or 1), help="processes (default %(default)s)"
    )
    if fresh:
        parser.add_argument(
            "--overwrite", action="store_true", help=f"replace {fresh} of an earlier conversion"
        )


def parse(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Parse the command line.

    Raises:
        UserError: ``--nproc`` below 1.
    """
    args = parser.parse_args()
    if args.nproc < 1:
        raise UserError(f"--nproc must be at least 1, not {args.nproc}")
    return args


def report(counts: dict[str, int], out_dir: Path) -> None:
    """Print how many frames each split has."""
    shown = ", ".join(f"{count} {split}" for split, count in counts.items())
    print(f"{shown} frames in {os.path.abspath(out_dir)}")
