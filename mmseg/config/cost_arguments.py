"""The arguments that the tools around a model's cost share; light, so that ``--help`` answers at once."""

from __future__ import annotations

import argparse

from mmseg.config.options import DictAction

DEFAULT_SHAPE = ("1024", "2048")


def cost_parser(description: str, max_depth: int | None = None) -> argparse.ArgumentParser:
    """A parser of ``CONFIG --shape H W --cfg-options ...``.

    Args:
        description: Of the tool.
        max_depth: Default of ``--max-depth``; None leaves the option out.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("config", help="path of the config file")
    parser.add_argument(
        "--shape",
        nargs="+",
        default=DEFAULT_SHAPE,
        metavar="N",
        help="height and width of the image, or one number for both (default 1024 2048)",
    )
    if max_depth is not None:
        parser.add_argument(
            "--max-depth", type=int, default=max_depth, help=f"levels of the table (default {max_depth})"
        )
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        action=DictAction,
        help='override config values: a.b=1 c.0.d="[1,2]" e="(1,2)"',
    )
    return parser
