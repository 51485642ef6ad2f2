"""Convert KITTI's semantic benchmark to the layout of the configs.

SOURCE is data_semantics.zip from the benchmark's page, or the folder it unpacks to (training/image_2,
training/semantic). Label ids become train ids. A quarter of the frames, 50 of 200, is for validation: those
that --split names, or those that follow from --seed. The split is written to OUT_DIR/split.txt, which --split
takes again.
"""

from __future__ import annotations

from pathlib import Path

from mmseg.conversion.command import add_output, make_parser, parse, report
from mmseg.utils.errors import run_tool


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument("source", type=Path, help="data_semantics.zip, or the folder it unpacks to")
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument(
        "--split",
        type=Path,
        metavar="FILE",
        help="one frame a line: `000000_10 train` or `000001_10 val`; or the validation frames alone",
    )
    choice.add_argument("--seed", type=int, default=0, help="of the split without --split (default 0)")
    out_dir = "data/kitti-seg-competition/seg_data_processed"
    add_output(parser, default=out_dir, fresh="img_dir and ann_dir")
    args = parse(parser)
    # numpy and Pillow are imported only now, so that --help answers at once.
    from mmseg.conversion.kitti import convert_kitti

    counts = convert_kitti(
        args.source,
        args.out_dir,
        split_file=args.split,
        seed=args.seed,
        nproc=args.nproc,
        overwrite=args.overwrite,
    )
    report(counts, args.out_dir)


if __name__ == "__main__":
    run_tool(main)
