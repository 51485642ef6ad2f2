"""Show what the network sees: samples after their transforms, on contact sheets."""

from __future__ import annotations

import argparse

from mmseg.config import DictAction
from mmseg.utils.errors import run_tool


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", help="path of the config file")
    parser.add_argument("--split", default="train", help="train, val or test (default train)")
    parser.add_argument("--number", type=int, default=12, metavar="N", help="samples (default 12)")
    parser.add_argument(
        "--images", nargs="+", metavar="NAME", help="these samples: part of a name, or an index"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the run (default 0)")
    parser.add_argument("--epoch", type=int, default=0, help="whose samples are shown, from 0 (default 0)")
    parser.add_argument(
        "--repeat", type=int, default=1, metavar="N", help="each sample in N epochs (default 1)"
    )
    parser.add_argument(
        "--panes",
        nargs="+",
        default=["image", "overlay"],
        choices=["origin", "image", "truth", "overlay"],
        help="the pictures of each sample (default image overlay)",
    )
    parser.add_argument(
        "--show-origin", action="store_true", help="the file, before the transforms, beside them"
    )
    parser.add_argument("--skip-type", nargs="+", metavar="TYPE", help="leave out these transforms")
    parser.add_argument("--output-dir", help="where the sheets go; default ./work_dirs/CONFIG_NAME/browse")
    parser.add_argument("--opacity", type=float, default=0.5, help="of the classes, in (0, 1]; default 0.5")
    parser.add_argument("--columns", type=int, help="samples in a row; default as many as fit")
    parser.add_argument("--pane-width", type=int, default=240, help="of one picture, in pixels (default 240)")
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        action=DictAction,
        help='override config values: a.b=1 c.0.d="[1,2]" e="(1,2)"',
    )
    args = parser.parse_args()
    if not 0 < args.opacity <= 1:
        parser.error(f"--opacity must lie in (0, 1], not {args.opacity}")
    for option, least in (("number", 1), ("repeat", 1), ("epoch", 0), ("seed", 0), ("pane_width", 32)):
        if getattr(args, option) < least:
            parser.error(f"--{option.replace('_', '-')} must be at least {least}")
    if args.columns is not None and args.columns < 1:
        parser.error("--columns must be at least 1")
    return args


def main() -> None:
    args = parse_args()
    # torch is imported only now, so that --help answers at once.
    from mmseg.apis.browse import browse_from_args

    browse_from_args(args)


if __name__ == "__main__":
    run_tool(main)
