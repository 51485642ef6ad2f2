"""Segment the frames of a video, or of a folder, in batches."""

from __future__ import annotations

import os
import time
from argparse import Namespace
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import cv2
import numpy as np
import torch
from torch import nn

from mmseg.apis.image_demo import load_model
from mmseg.apis.inference import inference_pipeline
from mmseg.core.evaluation import get_palette
from mmseg.engine.prefetch import to_device
from mmseg.engine.progress import ProgressBar
from mmseg.utils.errors import UserError
from mmseg.visualization import label_map_image, overlay
from mmseg.visualization.layout import beside
from mmseg.visualization.video_files import FALLBACK_FPS, FolderOutput, frames_of, open_output, open_source

Frame = tuple[str, np.ndarray]


def video_demo_from_args(args: Namespace) -> int:
    """Run ``tools/video_demo.py``; returns the number of frames that were written.

    Raises:
        UserError: a mistake in the arguments, the config, the checkpoint or the video.
    """
    if args.show:
        raise UserError("--show: a video is written, not shown; give --output-file and open that")
    if not args.output_file:
        raise UserError("give --output-file: a video such as out.mp4, or a folder of frames")
    source = open_source(args.video, args.max_frames)
    if os.path.exists(args.output_file) and os.path.samefile(args.output_file, args.video):
        raise UserError(
            f"{args.output_file} is the source itself and would be overwritten; give another output"
        )
    fps = args.output_fps if args.output_fps > 0 else source.fps or FALLBACK_FPS
    output = open_output(args.output_file, fps, args.output_fourcc)
    gray = FolderOutput(args.gray_dir) if args.gray_dir else None
    palette = None if args.palette is None else get_palette(args.palette)
    model = load_model(args.config, args.checkpoint, args.device)
    palette = model.PALETTE if palette is None else palette
    number, start = 0, time.perf_counter()
    frames = frames_of(source, args.max_frames)
    with output, gray or _Nothing(), ProgressBar("video", source.count) as bar:
        for name, frame, label in segment_frames(model, frames, args.batch_size):
            picture = overlay(frame, label, palette, args.opacity)
            if args.side_by_side:
                # As large as the video should be is each of the two.
                picture, frame = (resized(p, args.output_width, args.output_height) for p in (picture, frame))
                picture = beside([frame, picture], gap=0, below=args.side_by_side == "below")
            else:
                picture = resized(picture, args.output_width, args.output_height)
            output.write(name, picture)
            if gray is not None:
                gray.write(name, label_map_image(label))
            number += 1
            bar.total = max(bar.total, number)
            bar.advance(note=f"{number / (time.perf_counter() - start):.1f} frames/s")
    seconds = time.perf_counter() - start
    codec = f" ({output.codec}, {fps:g} frames/s)" if hasattr(output, "codec") else ""
    frames_are = "1 frame is" if number == 1 else f"{number} frames are"
    print(f"{frames_are} in {args.output_file}{codec}; {number / seconds:.1f} a second were segmented")
    return number


class _Nothing:
    """A context that does nothing."""

    def __enter__(self) -> None: ...

    def __exit__(self, *about: Any) -> None: ...


def segment_frames(
    model: nn.Module, frames: Iterable[Frame], batch_size: int = 1
) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Yield each frame with its label map (H, W), in order.

    While the model works on a batch, another thread reads and prepares the next one.

    Args:
        model: From ``init_segmentor``.
        frames: Names and BGR uint8 images (H, W, 3), of any sizes.
        batch_size: Frames that go through the model at once, as long as they are of one size.
    """
    pipeline = inference_pipeline(model.cfg)
    device = next(model.parameters()).device
    for batch in _one_ahead(_batches(pipeline, frames, batch_size)):
        samples = [sample for _, _, sample in batch]
        number = len(samples[0]["img"])
        views = [torch.stack([s["img"][k] for s in samples]) for k in range(number)]
        metas = [[s["img_metas"][k] for s in samples] for k in range(number)]
        with torch.inference_mode():
            labels = model(img=to_device(views, device), img_metas=metas, return_loss=False)
        for (name, frame, _), label in zip(batch, labels, strict=True):
            yield name, frame, label


def _batches(
    pipeline: Any, frames: Iterable[Frame], batch_size: int
) -> Iterator[list[tuple[str, np.ndarray, dict[str, Any]]]]:
    """Prepare frames and join those that follow each other and have one size."""
    batch: list[tuple[str, np.ndarray, dict[str, Any]]] = []
    for name, frame in frames:
        sample = pipeline({"img": frame, "img_prefix": None})
        shapes = [view.shape for view in sample["img"]]
        if batch and (len(batch) == batch_size or shapes != [v.shape for v in batch[0][2]["img"]]):
            yield batch
            batch = []
        batch.append((name, frame, sample))
    if batch:
        yield batch


def _one_ahead(items: Iterator[Any]) -> Iterator[Any]:
    """Give the items of an iterator; the next one is made in a thread meanwhile."""
    end = object()
    with ThreadPoolExecutor(max_workers=1) as thread:
        future = thread.submit(next, items, end)
        while (item := future.result()) is not end:
            future = thread.submit(next, items, end)
            yield item


def resized(picture: np.ndarray, width: int = -1, height: int = -1) -> np.ndarray:
    """Scale a picture to ``width`` x ``height``; a side that is not above 0 follows from the other."""
    h, w = picture.shape[:2]
    if width <= 0 and height <= 0:
        return picture
    size = (
        width if width > 0 else max(1, round(w * height / h)),
        height if height > 0 else max(1, round(h * width / w)),
    )
    if size == (w, h):
        return picture
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA if size[0] < w else cv2.INTER_LINEAR)
