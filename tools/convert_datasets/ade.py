"""Unpack ADE20K (scene parsing challenge 2016, 150 classes) and check every pair of image and mask.

SOURCE is ADEChallengeData2016.zip, or the folder it unpacks to. Its layout and its labels (0 other, 1 to 150)
are those of the configs already; a folder that is where it belongs is checked and left as it is.
"""

from __future__ import annotations

from pathlib import Path

from mmseg.conversion.command import add_output, make_parser, parse, report
from mmseg.utils.errors import run_tool


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument("source", type=Path, help="ADEChallengeData2016.zip, or the folder it unpacks to")
    add_output(parser, default="data/ade/ADEChallengeData2016", fresh="images and annotations")
    args = parse(parser)
    # numpy and Pillow are imported only now, so that --help answers at once.
    from mmseg.conversion.ade import convert_ade

    counts = convert_ade(args.source, args.out_dir, nproc=args.nproc, overwrite=args.overwrite)
    report(counts, args.out_dir)


if __name__ == "__main__":
    run_tool(main)
