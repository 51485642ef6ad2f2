"""Convert Cityscapes to what the configs expect: masks of train ids, and lists of the frames.

SOURCE is the folder with leftImg8bit and gtFine, in which *_gtFine_labelTrainIds.png are written beside the
annotations, and train.txt, val.txt and test.txt; or both archives, leftImg8bit_trainvaltest.zip and
gtFine_trainvaltest.zip, which are unpacked to --out-dir.
"""

from __future__ import annotations

from pathlib import Path

from mmseg.conversion.command import add_output, make_parser, parse, report
from mmseg.utils.errors import run_tool


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument("source", type=Path, nargs="+", help="the folder, or the archives")
    parser.add_argument("--gt-dir", default="gtFine", help="folder of the annotations (default gtFine)")
    add_output(parser, default=None, instead="SOURCE itself; data/cityscapes for archives")
    args = parse(parser)
    # numpy and Pillow are imported only now, so that --help answers at once.
    from mmseg.conversion.cityscapes import convert_cityscapes

    out_dir = args.out_dir
    if out_dir is None and not args.source[0].is_dir():
        out_dir = Path("data/cityscapes")
    counts = convert_cityscapes(args.source, out_dir, gt_dir=args.gt_dir, nproc=args.nproc)
    report(counts, out_dir or args.source[0])


if __name__ == "__main__":
    run_tool(main)
