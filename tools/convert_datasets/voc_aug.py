"""Enlarge Pascal VOC 2012 by the masks of SBD: SegmentationClassAug, and the lists aug.txt and trainaug.txt.

DEVKIT is VOCdevkit (or its VOC2012), in which they are written, or VOCtrainval_11-May-2012.tar, which is
unpacked to --out-dir. AUG is the folder of SBD with dataset/cls/*.mat, or benchmark.tgz. Reading .mat files
needs scipy: pip install -e ".[voc]".
"""

from __future__ import annotations

from pathlib import Path

from mmseg.conversion.command import add_output, make_parser, parse
from mmseg.utils.errors import run_tool


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument("devkit", type=Path, help="VOCdevkit, VOC2012, or the official .tar")
    parser.add_argument("aug", type=Path, help="folder of SBD, or benchmark.tgz")
    add_output(parser, default=None, instead="VOC2012 itself; data/VOCdevkit/VOC2012 for an archive")
    args = parse(parser)
    # numpy and Pillow are imported only now, so that --help answers at once.
    from mmseg.conversion.voc_aug import convert_voc_aug, shortfall

    out_dir = args.out_dir
    if out_dir is None and args.devkit.is_file():
        out_dir = Path("data/VOCdevkit/VOC2012")
    counts = convert_voc_aug(args.devkit, args.aug, out_dir, nproc=args.nproc)
    for line in shortfall(counts):
        print(line)
    print(", ".join(f"{count} in {name}.txt" for name, count in counts.items()))


if __name__ == "__main__":
    run_tool(main)
