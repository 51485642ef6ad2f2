"""The arguments that the exporting tools share; light, so that ``--help`` answers at once."""

from __future__ import annotations

import argparse

from mmseg.config.options import DictAction

TOLERANCE = 1e-4


def export_parser(description: str, output_file: str) -> argparse.ArgumentParser:
    """A parser of ``CONFIG --checkpoint CKPT --output-file F --shape H W ...``.

    Args:
        description: Of the tool.
        output_file: Default of ``--output-file``.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("config", help="path of the config file")
    parser.add_argument("--checkpoint", help="checkpoint to export; without it the weights are random")
    parser.add_argument("--output-file", default=output_file, help=f"file to write (default {output_file})")
    parser.add_argument(
        "--shape",
        nargs="+",
        metavar="N",
        help="height and width to check with, or one number for both; default: the test pipeline's size",
    )
    sizes = parser.add_mutually_exclusive_group()
    sizes.add_argument(
        "--dynamic-export",
        action="store_true",
        help="accepted: the graph takes batches of any number and images of any size unless --fixed-shape",
    )
    sizes.add_argument(
        "--fixed-shape", action="store_true", help="a graph for one image of --shape and nothing else"
    )
    parser.add_argument(
        "--with-preprocessing",
        action="store_true",
        help="build the normalisation in: the input is the BGR image (N, H, W, C) as uint8",
    )
    parser.add_argument(
        "--argmax", action="store_true", help="label maps (N, H, W) in place of logits (N, classes, H, W)"
    )
    parser.add_argument("--input-img", help="check with this image, resized, instead of with random ones")
    parser.add_argument(
        "--tolerance",
        type=float,
        default=TOLERANCE,
        help="largest difference from PyTorch, relative to the largest logit if that is above 1 "
        f"(default {TOLERANCE:g}); beyond it nothing is written and the exit status is 1",
    )
    parser.add_argument("--verify", action="store_true", help="accepted: the file is always checked")
    parser.add_argument("--show", action="store_true", help="print the graph")
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        action=DictAction,
        help='override config values: a.b=1 c.0.d="[1,2]" e="(1,2)"',
    )
    return parser
