"""Segment a video or a folder of frames, and write it with the classes over it."""

from __future__ import annotations

import argparse

from mmseg.utils.errors import run_tool


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("video", help="a video, or a folder of frames")
    parser.add_argument("config", help="path of the config file")
    parser.add_argument("checkpoint", help="path or address of the checkpoint")
    parser.add_argument(
        "--output-file", help="the video: .mp4 .avi .mov .mkv .webm; without an ending a folder"
    )
    parser.add_argument("--output-fourcc", metavar="CODEC", help="such as mp4v; default the best there is")
    parser.add_argument(
        "--output-fps", type=float, default=-1, help="frames a second; default the source's, or 25"
    )
    parser.add_argument("--output-height", type=int, default=-1, help="of the pictures; default the source's")
    parser.add_argument("--output-width", type=int, default=-1, help="of the pictures; default the source's")
    parser.add_argument(
        "--side-by-side",
        nargs="?",
        const="right",
        choices=["right", "below"],
        help="the frame itself, and the picture to its right (or below)",
    )
    parser.add_argument("--gray-dir", help="receives the label map of each frame")
    parser.add_argument("--batch-size", type=int, default=4, help="frames at once (default 4)")
    parser.add_argument("--max-frames", type=int, metavar="N", help="only the first N frames")
    parser.add_argument("--device", help="such as cpu or cuda:1; default the best one at hand")
    parser.add_argument(
        "--palette",
        metavar="DATASET",
        help="colours of a data set, such as cityscapes; default the checkpoint's",
    )
    parser.add_argument("--opacity", type=float, default=0.5, help="of the classes, in (0, 1]; default 0.5")
    parser.add_argument("--show", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--show-wait-time", type=float, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if not 0 < args.opacity <= 1:
        parser.error(f"--opacity must lie in (0, 1], not {args.opacity}")
    if args.batch_size < 1 or (args.max_frames is not None and args.max_frames < 1):
        parser.error("--batch-size and --max-frames must be at least 1")
    return args


def main() -> None:
    args = parse_args()
    # torch is imported only now, so that --help answers at once.
    from mmseg.apis.video import video_demo_from_args

    video_demo_from_args(args)


if __name__ == "__main__":
    run_tool(main)
