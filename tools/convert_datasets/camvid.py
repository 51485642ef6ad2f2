"""Convert CamVid to the layout of the configs, in the 11 classes of SegNet.

SOURCE is one of
  * the official 701 frames: the folders (or one above both) or archives 701_StillsRaw_full and
    LabeledApproved_full, whose masks *_L.png show 32 classes in colour;
  * SegNet's copy: the folder with train, trainannot, val, valannot, test, testannot.
The official frames are divided as SegNet's: 367 for training, 101 for validation, 233 for testing. The split
is written to OUT_DIR/split.txt, which --split takes again.
"""

from __future__ import annotations

from pathlib import Path

from mmseg.conversion.command import add_output, make_parser, parse, report
from mmseg.utils.errors import UserError, run_tool


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument("source", type=Path, nargs="+", help="folders or archives")
    parser.add_argument(
        "--split", type=Path, metavar="FILE", help="one frame a line: `0001TP_006690 train` (or val, test)"
    )
    parser.add_argument(
        "--size",
        type=int,
        nargs=2,
        metavar=("W", "H"),
        default=(480, 360),
        help="frames of another size are scaled to it (default 480 360, as the configs have it)",
    )
    add_output(parser, default="data/camvid", fresh="img_dir and ann_dir")
    args = parse(parser)
    if min(args.size) < 1:
        raise UserError(
            f"--size must be a width and a height of at least 1, not {args.size[0]} {args.size[1]}"
        )
    # numpy and Pillow are imported only now, so that --help answers at once.
    from mmseg.conversion.camvid import convert_camvid

    counts = convert_camvid(
        args.source,
        args.out_dir,
        split_file=args.split,
        size=tuple(args.size),
        nproc=args.nproc,
        overwrite=args.overwrite,
    )
    stray = counts.pop("stray")
    if stray:
        print(f"note: {stray} pixels have a colour of no class; they are 255 (ignored)")
    report(counts, args.out_dir)


if __name__ == "__main__":
    run_tool(main)
