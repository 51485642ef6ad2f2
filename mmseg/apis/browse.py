"""What the network sees: samples after their transforms, as contact sheets."""

from __future__ import annotations

import os
from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import cv2
import numpy as np

from mmseg.apis.setup import make_work_dir, prepare_config
from mmseg.config import Config
from mmseg.config.task import innermost_data_sets
from mmseg.datasets import TrainSampler, build_dataset
from mmseg.datasets.loader import Failure, SeededSamples
from mmseg.engine.progress import ProgressBar
from mmseg.engine.writers.examples import spaced_indices
from mmseg.utils.errors import UserError, near_matches
from mmseg.visualization import colorize, overlay, save_image
from mmseg.visualization.contact_sheet import Tile, class_legend, contact_sheet
from mmseg.visualization.layout import mark_ignored

PANES = ("origin", "image", "truth", "overlay")
PER_SHEET = 24  # tiles
FLIPS = {"horizontal": "", "vertical": "upside down", "diagonal": "both ways"}


def browse_from_args(args: Namespace) -> list[str]:
    """Run ``tools/browse_dataset.py``; returns the sheets that were written.

    Raises:
        UserError: a mistake in the arguments, the config or the data.
    """
    cfg = prepare_config(args.config, args.cfg_options)
    if args.split not in ("train", "val", "test") or args.split not in cfg.data:
        splits = [key for key in ("train", "val", "test") if key in cfg.data]
        raise UserError(f"{args.config} has no `data.{args.split}`; --split is one of {', '.join(splits)}")
    skip_types(cfg, args.split, args.skip_type or [])
    dataset = build_dataset(cfg.data[args.split], None if args.split == "train" else {"test_mode": True})
    panes = list(dict.fromkeys(["origin", *args.panes] if args.show_origin else args.panes))
    keys = chosen_samples(dataset, args)
    name = os.path.splitext(os.path.basename(args.config))[0]
    folder = args.output_dir or os.path.join("./work_dirs", name, "browse")
    make_work_dir(folder, option="--output-dir")

    names = list(dataset.CLASSES or ())
    tiles: list[Tile] = []
    counts, ignored = np.zeros(max(1, len(names)), np.int64), 0
    samples = SeededSamples(dataset, args.seed)
    with ProgressBar("browse", len(keys)) as bar:
        for epoch, index in keys:
            for view in views_of(samples, epoch, index):
                tiles.append(view.tile(panes, dataset.PALETTE, args.opacity, several_epochs=args.repeat > 1))
                own, more = view.counts(len(counts))
                counts, ignored = counts + own, ignored + more
            bar.advance()
    entries = class_legend(names, dataset.PALETTE, counts, ignored) if names else []
    kind = type(dataset).__name__
    title = f"{name}: data.{args.split}, {kind} of {len(dataset)}"
    if args.split == "train":
        title += f", epoch {args.epoch}, seed {args.seed}"
    pages = [tiles[i : i + PER_SHEET] for i in range(0, len(tiles), PER_SHEET)]
    paths = []
    for number, page in enumerate(pages, 1):
        path = os.path.join(
            folder, f"{args.split}_{number:02d}.png" if len(pages) > 1 else f"{args.split}.png"
        )
        sheet = contact_sheet(
            page, columns=args.columns, pane_width=args.pane_width, title=title, legend=entries
        )
        save_image(path, sheet)
        paths.append(path)
    print(f"{len(tiles)} samples are on {', '.join(paths)}")
    return paths


def skip_types(cfg: Config, split: str, types: Sequence[str]) -> None:
    """Leave transforms out of the pipelines of ``data.SPLIT``, by their type.

    Raises:
        UserError: no pipeline has such a transform, or nothing could be shown without it.
    """
    sections = [section for _, section in innermost_data_sets(split, cfg.data[split])]
    sections += [cfg.data[split]] if isinstance(cfg.data[split], Mapping) else []
    pipelines = [s for s in {id(s): s for s in sections}.values() if s.get("pipeline")]
    known = list(dict.fromkeys(str(step.get("type")) for s in pipelines for step in s["pipeline"]))
    for kind in types:
        if kind in known and kind.startswith("Load") and "Image" in kind:
            raise UserError(f"--skip-type {kind}: without it there is no image to show; keep it")
        if kind not in known:
            raise UserError(
                f"--skip-type {kind}: data.{split} has no such transform{near_matches(kind, known)} "
                f"(it has: {', '.join(known)})"
            )
    for section in pipelines:
        section["pipeline"] = [step for step in section["pipeline"] if step.get("type") not in types]


def chosen_samples(dataset: Any, args: Namespace) -> list[tuple[int, int]]:
    """The (epoch, index) of the samples to show.

    In training these are the first of the epoch, in its order; in testing they are evenly spaced. Names
    are looked for in the paths of the images.

    Raises:
        UserError: there is no such sample.
    """
    number = len(dataset)
    if not number:
        raise UserError(f"data.{args.split} is empty; there is nothing to show")
    if args.images:
        files = [str(info["filename"]) for info in getattr(dataset, "img_infos", [])]
        indices = [i for wanted in args.images for i in _matching(wanted, files, number)]
    elif args.split == "train":
        order = TrainSampler(number, 1, args.seed).order_of(args.epoch)
        indices = [int(i) for i in order[: args.number]]
    else:
        indices = spaced_indices(number, args.number)
    return [(args.epoch + i, index) for index in indices for i in range(args.repeat)]


def _matching(wanted: str, files: Sequence[str], number: int) -> list[int]:
    if wanted.isdigit() and int(wanted) < number and not any(wanted in name for name in files):
        return [int(wanted)]
    found = [i for i, name in enumerate(files) if wanted in name]
    if not found:
        raise UserError(
            f"--images {wanted}: none of the {number} samples has that in its name"
            f"{near_matches(wanted, map(os.path.basename, files))}, and it is no index from 0 to {number - 1}"
        )
    return found


class View:
    """One sample as the network gets it, and where it comes from.

    Args:
        sample: From the data set: ``img`` (C, H, W) or (H, W, C), perhaps ``gt_semantic_seg``, ``img_metas``.
        label: (H, W) classes in the sample's frame; None where there is no mask.
        origin: Gives the image and the mask as they are on the disk.
        epoch: That the sample was drawn in.
        ignore_index: Label of no class.
    """

    def __init__(self, image: np.ndarray, meta: Mapping[str, Any], label: np.ndarray | None, **about: Any):
        self.meta, self.label = meta, label
        self.picture = displayable(image, meta.get("img_norm_cfg"))
        self.dataset, self.index, self.epoch = about["dataset"], about["index"], about["epoch"]
        self.ignore_index: int = getattr(self.dataset, "ignore_index", 255)

    def counts(self, num_classes: int) -> tuple[np.ndarray, int]:
        """Pixels of each class (C,), and of none."""
        if self.label is None:
            return np.zeros(num_classes, np.int64), 0
        counted = self.label[self.label != self.ignore_index]
        return np.bincount(counted.ravel(), minlength=num_classes)[
            :num_classes
        ], self.label.size - counted.size

    def tile(self, panes: Sequence[str], palette: Any, opacity: float, several_epochs: bool) -> Tile:
        """The pictures ``panes`` of the sample with a caption."""
        h, w = self.picture.shape[:2]
        facts = [f"{w}x{h}"]
        factor = self.meta.get("scale_factor")
        if factor is not None and np.any(np.asarray(factor) != 1):
            facts.append(f"scaled by {float(np.ravel(factor)[0]):.2f}")
        if self.meta.get("flip"):
            facts.append(f"flipped {FLIPS.get(str(self.meta.get('flip_direction')), '')}".strip())
        if several_epochs:
            facts.insert(0, f"epoch {self.epoch}")
        name = self.meta.get("ori_filename") or self.meta.get("filename") or f"sample {self.index}"
        pictures = [self.pane(kind, palette, opacity) for kind in panes]
        return Tile(pictures, [str(name), ", ".join(facts)])

    def pane(self, kind: str, palette: Any, opacity: float) -> np.ndarray:
        """One of ``PANES``."""
        if kind == "origin":
            return self.origin(palette, opacity)
        if self.label is None or kind == "image":
            return self.picture
        return painted(
            self.picture, self.label, palette, 1 if kind == "truth" else opacity, self.ignore_index
        )

    def origin(self, palette: Any, opacity: float) -> np.ndarray:
        """The image file with its mask over it; a grey field where OpenCV cannot read the file."""
        path = self.meta.get("filename")
        image = cv2.imread(str(path), cv2.IMREAD_COLOR) if path else None
        if image is None:
            return np.full_like(self.picture, 200)
        label = truth_of(self.dataset, self.index)
        if label is None or label.shape != image.shape[:2]:
            return image
        return painted(image, label, palette, opacity, self.ignore_index)


def views_of(samples: SeededSamples, epoch: int, index: int) -> Iterator[View]:
    """The sample ``index`` of ``epoch``: one view in training, one per augmentation in testing.

    Raises:
        UserError: the sample cannot be made.
    """
    sample = samples[epoch, index]
    if isinstance(sample, Failure):
        raise UserError(sample.message)
    if not isinstance(sample, Mapping) or "img" not in sample:
        raise UserError(f"sample {index} has no `img`; the pipeline must give one")
    about = {"dataset": samples.dataset, "index": index, "epoch": epoch}
    if isinstance(sample["img"], list | tuple):
        truth = truth_of(samples.dataset, index)
        for image, meta in zip(sample["img"], sample["img_metas"], strict=True):
            image = np.asarray(image)
            label = None if truth is None else seen_through(truth, meta, image.shape[-2:])
            yield View(image, meta, label, **about)
        return
    label = sample.get("gt_semantic_seg")
    yield View(
        np.asarray(sample["img"]),
        sample.get("img_metas", sample),
        None if label is None else np.asarray(label).reshape(np.asarray(label).shape[-2:]),
        **about,
    )


def truth_of(dataset: Any, index: int) -> np.ndarray | None:
    """The mask (H, W) of a sample as it is on the disk, None where there is none."""
    infos = getattr(dataset, "img_infos", None)
    if not hasattr(dataset, "get_gt_seg_map_by_idx") or (infos is not None and "ann" not in infos[index]):
        return None
    try:
        return np.asarray(dataset.get_gt_seg_map_by_idx(index))
    except FileNotFoundError:
        return None


def seen_through(truth: np.ndarray, meta: Mapping[str, Any], size: tuple[int, ...]) -> np.ndarray:
    """Bring a mask into the frame of a test view: its scale, its flip, its padding (ignored)."""
    h, w = meta.get("img_shape", truth.shape)[:2]
    label = cv2.resize(truth.astype(np.float32), (w, h), interpolation=cv2.INTER_NEAREST).astype(np.int64)
    axes = {"horizontal": (1,), "vertical": (0,), "diagonal": (0, 1)}
    if meta.get("flip"):
        label = np.flip(label, axes.get(str(meta.get("flip_direction")), (1,)))
    frame = np.full(size, 255, np.int64)
    frame[:h, :w] = label[: size[0], : size[1]]
    return frame


def painted(
    image: np.ndarray, label: np.ndarray, palette: Any, opacity: float, ignore_index: int = 255
) -> np.ndarray:
    """The classes over the image, ignored pixels hatched; ``opacity`` 1 shows the classes alone."""
    if opacity == 0:
        return image
    # A mask without one counted pixel has no class to take the highest of.
    shown = np.where(label == ignore_index, 0, label)
    picture = (
        colorize(shown, palette, None) if opacity == 1 else overlay(image, shown, palette, opacity, None)
    )
    ignored = label == ignore_index
    if opacity < 1:
        picture[ignored] = image[ignored]
    return mark_ignored(picture, ignored)


def displayable(image: np.ndarray, norm: Mapping[str, Any] | None) -> np.ndarray:
    """Undo the normalisation of an image, (C, H, W) or (H, W, C): (H, W, 3) uint8 BGR.

    What is no photograph (other numbers of channels, unknown normalisation) is stretched to 0..255.
    """
    channels_first = image.ndim == 3 and image.shape[0] <= 16 and image.shape[0] < image.shape[2]
    picture = np.moveaxis(image, 0, 2) if channels_first else np.atleast_3d(image)
    if picture.dtype == np.uint8:
        values = picture.astype(np.float32)
    elif norm is not None and np.ravel(norm["mean"]).size in (1, picture.shape[2]):
        values = picture * np.float32(norm["std"]) + np.float32(norm["mean"])
        values = values[..., ::-1] if norm.get("to_rgb") and picture.shape[2] == 3 else values
        values = np.clip(values, 0, 255) if values.max(initial=0) <= 300 else _stretched(values)
    else:
        values = _stretched(picture.astype(np.float32))
    three = [min(c, values.shape[2] - 1) for c in range(3)]
    return np.ascontiguousarray(values[..., three].round().astype(np.uint8))


def _stretched(values: np.ndarray) -> np.ndarray:
    low, high = float(values.min(initial=0)), float(values.max(initial=0))
    return (values - low) * (255 / max(high - low, 1e-6))
