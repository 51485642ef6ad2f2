"""Segment images from the command line: one, several, or a folder of them."""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from mmseg.apis.inference import inference_segmentor, init_segmentor, show_result_pyplot
from mmseg.config import Config, check_config
from mmseg.core.evaluation import get_palette
from mmseg.engine.progress import ProgressBar
from mmseg.utils.distributed import named_device
from mmseg.utils.errors import UserError
from mmseg.visualization import label_map_image, overlay, save_image
from mmseg.visualization.contact_sheet import class_legend, draw_legend, share
from mmseg.visualization.layout import PAPER, put
from mmseg.visualization.overlay import Palette

IMAGES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".ppm")


def image_demo_from_args(args: Namespace) -> list[str]:
    """Run ``tools/image_demo.py``; returns the pictures that were written.

    Raises:
        UserError: a mistake in the arguments, the config, the checkpoint or an image.
    """
    files = image_files(args.img)
    targets = target_files(files, args.img, args.out_file, args.out_dir)
    if targets is None:
        if args.gray or args.legend:
            raise UserError(
                "--gray and --legend belong to pictures that are written; give --out-file or --out-dir"
            )
        check_display("give --out-file or --out-dir")
    palette = None if args.palette is None else get_palette(args.palette)
    model = load_model(args.config, args.checkpoint, args.device)
    palette = model.PALETTE if palette is None else palette
    with ProgressBar("segment", len(files), enabled=len(files) > 1) as bar:
        for i, file in enumerate(files):
            image = read_image(file)
            (label,) = inference_segmentor(model, file)
            if targets is None:
                show_result_pyplot(model, image, [label], palette=palette, opacity=args.opacity, title=file)
            else:
                _write(targets[i], image, label, model, palette, args)
            if len(files) == 1:
                print("\n".join(class_shares(label, model.CLASSES)))
            bar.advance()
    if targets is not None:
        where = targets[0] if len(targets) == 1 else f"{len(targets)} pictures in {args.out_dir}"
        print(f"written: {where}" + (" and the label maps in gray/ beside" if args.gray else ""))
    return targets or []


def load_model(config: str, checkpoint: str, device: str | None = None) -> Any:
    """``init_segmentor`` for tools: on ``device``, by name.

    Raises:
        UserError: no such config, checkpoint or device, or a key of the config that means nothing.
    """
    cfg = Config.fromfile(config)
    check_config(cfg)
    return init_segmentor(cfg, checkpoint, str(named_device(device)))


def image_files(given: Sequence[str]) -> list[str]:
    """The image files that are given, and those of the folders that are given, sorted by name.

    Raises:
        UserError: one does not exist, or a folder has none.
    """
    files = []
    for path in given:
        if os.path.isdir(path):
            inside = sorted(
                n for n in os.listdir(path) if n.lower().endswith(IMAGES) and not n.startswith(".")
            )
            if not inside:
                raise UserError(f"the folder {path} has no image ({', '.join(IMAGES)}); give another one")
            files += [os.path.join(path, name) for name in inside]
        elif os.path.isfile(path):
            files.append(path)
        else:
            raise UserError(f"{path} does not exist; give an image or a folder of images")
    return files


def target_files(
    files: Sequence[str], given: Sequence[str], out_file: str | None, out_dir: str | None
) -> list[str] | None:
    """Where the picture of each image goes; None where nothing is to be written.

    Raises:
        UserError: ``out_file`` for several images, or two images of one name.
    """
    if out_file and out_dir:
        raise UserError("--out-file and --out-dir exclude each other; give one of them")
    if out_file:
        if len(files) > 1 or os.path.isdir(given[0]):
            raise UserError(f"--out-file is for one image, and there are {len(files)}; give --out-dir")
        if os.path.splitext(out_file)[1].lower() not in IMAGES:
            raise UserError(f"--out-file {out_file} must end in one of {', '.join(IMAGES)}")
        targets = [out_file]
    elif out_dir:
        targets = [os.path.join(out_dir, f"{os.path.splitext(os.path.basename(f))[0]}.png") for f in files]
        twice = [t for t in dict.fromkeys(targets) if targets.count(t) > 1]
        if twice:
            raise UserError(
                f"{targets.count(twice[0])} of the images would be written to {twice[0]}; run the tool "
                "once for each folder, each with its own --out-dir"
            )
    else:
        return None
    for file, target in zip(files, targets, strict=True):
        if os.path.exists(target) and os.path.samefile(file, target):
            raise UserError(f"{target} is the image itself and would be overwritten; give another place")
    return targets


def read_image(path: str) -> np.ndarray:
    """Read an image as BGR uint8 (H, W, 3).

    Raises:
        UserError: the file is no image.
    """
    image = cv2.imread(path, cv2.IMREAD_COLOR)
    if image is None:
        raise UserError(f"{path} is missing or is no image that OpenCV can read")
    return image


def _write(
    target: str, image: np.ndarray, label: np.ndarray, model: Any, palette: Palette, args: Namespace
) -> None:
    picture = overlay(image, label, palette, args.opacity)
    if args.legend:
        picture = with_legend(picture, label, model.CLASSES, palette)
    save_image(target, picture)
    if args.gray:
        folder, name = os.path.split(target)
        save_image(os.path.join(folder, "gray", f"{os.path.splitext(name)[0]}.png"), label_map_image(label))


def with_legend(
    picture: np.ndarray, label: np.ndarray, names: Sequence[str] | None, palette: Palette
) -> np.ndarray:
    """Put the classes that ``label`` has, with their shares, below a picture."""
    count = int(label.max(initial=0)) + 1
    names = list(names or [])[:count] + [f"class {i}" for i in range(len(names or []), count)]
    counts = np.bincount(label.ravel(), minlength=count)
    entries = class_legend(names, palette, counts)
    seen = [entries[i] for i in np.argsort(-counts, kind="stable") if counts[i]]
    margin = 8
    width = picture.shape[1]
    drawn = draw_legend(seen, max(1, width - 2 * margin))
    strip = np.full((drawn.shape[0] + 2 * margin, width, 3), PAPER, np.uint8)
    put(strip, drawn, margin, margin)
    return np.concatenate([picture, strip])


def class_shares(label: np.ndarray, names: Sequence[str] | None) -> list[str]:
    """The classes of a label map with their shares, largest first, as lines of text."""
    counts = np.bincount(label.ravel())
    named = {i: str(name) for i, name in enumerate(names or ())}
    order = [int(i) for i in np.argsort(-counts, kind="stable") if counts[i]]
    return [f"{share(int(counts[i]), label.size):>8} {named.get(i, f'class {i}')}" for i in order]


def check_display(remedy: str) -> None:
    """Find out whether matplotlib can open a window.

    Raises:
        UserError: it cannot.
    """
    import matplotlib
    import matplotlib.pyplot as plt

    missing = sys.platform.startswith("linux") and not (
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    )
    if missing or plt.get_backend().lower() not in {
        name.lower()
        for name in matplotlib.backends.backend_registry.list_builtin(
            matplotlib.backends.BackendFilter.INTERACTIVE
        )
    }:
        raise UserError(f"there is no display to show a picture on; {remedy}")
