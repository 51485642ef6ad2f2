"""A config file on top of the checked one, with what its data ask for."""

from __future__ import annotations

import copy
import inspect
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from mmseg.config.text import pretty_text
from mmseg.datasets.custom import CustomDataset
from mmseg.datasets.doctor.fixes import Fix, find_fix
from mmseg.datasets.doctor.labels import Meaning
from mmseg.datasets.doctor.listing import Part
from mmseg.datasets.doctor.report import Split
from mmseg.datasets.doctor.weights import class_weights
from mmseg.utils.errors import UserError

_STRIDE = 32  # of the deepest map of most backbones; UNet needs 16
_LARGEST = 512  # of the crops that are proposed
_DIGITS = 8
_HEAD_LOSSES = ("CrossEntropyLoss",)  # the losses that get class weights


def write_patch(cfg: Mapping[str, Any], splits: Mapping[str, Split], base: str, path: str) -> str:
    """Return the text of a config that inherits from ``base`` and has class weights, crop size,
    ``ignore_index`` and, where the masks hold other values than the classes, a label map.

    Args:
        cfg: The checked config.
        splits: What its splits hold.
        base: Its file.
        path: Where the text is to be written; ``_base_`` is relative to it.
    """
    split = splits.get("train") or next(iter(splits.values()))
    part = split.parts[0]
    meaning = Meaning.of(part)
    everything = sum((its.values for its in splits.values()), Counter())
    fix = find_fix(meaning, everything)
    ignore_index = fix.ignore_index if fix and fix.ignore_index is not None else meaning.ignore_index
    notes: list[str] = []
    values: dict[str, Any] = {}
    if fix is not None and fix.kind == "binary":
        values["task"] = "binary"
    if fix is not None and fix.kind == "label_map":
        values["custom_imports"] = {"imports": ["mmseg.datasets.relabelled"]}
    crop, fits = crop_size(part, split)
    if crop is not None:
        values["crop_size"] = crop
        notes.append(_crop_note(crop, fits, split))
    model = _model(cfg.get("model"), _pixels(split, meaning, fix), meaning, fix, ignore_index, notes)
    if model:
        values["model"] = model
    data = _data(cfg["data"], splits, fix, ignore_index, None if fits else crop, notes)
    if data:
        values["data"] = data
    if fix is not None:
        notes.append(f"a guess, look at it: {fix.why}")
    notes.append(f"ignored value of the masks: {ignore_index}")
    notes.append("label map (value in the masks: class):")
    notes += [f"    {line}" for line in _label_lines(split, meaning, fix, ignore_index)]
    folder = os.path.dirname(os.path.abspath(path))
    head = [
        "# Written by tools/check_dataset.py from what the files hold; read it before you train with it.",
        *(f"# {note}" for note in notes),
        f"_base_ = {os.path.relpath(os.path.abspath(base), folder)!r}",
    ]
    return "\n".join(head) + "\n" + pretty_text(values)


def crop_size(part: Part, split: Split) -> tuple[tuple[int, int] | None, bool]:
    """Return a crop (h, w) for training, and whether the config's own is kept as it fits.

    The config's own fits unless it is larger than the smallest image (after ``Resize``) on both sides,
    when every crop of that image would be padded. Otherwise it is a square: the shorter side of the
    smallest image, rounded down to a multiple of 32, at most 512.
    """
    if not split.sizes:
        return None, True
    step = next(part.steps("RandomCrop"), None)
    smallest = min((_resized(size, part) for size in split.sizes), key=min)
    if step is not None:
        own = step.get("crop_size")
        own = (own, own) if isinstance(own, int) else tuple(own or ())
        if len(own) == 2 and (own[0] <= smallest[1] or own[1] <= smallest[0]):
            return own, True
    side = min(_LARGEST, min(smallest))
    side = max(side - side % _STRIDE, min(side, _STRIDE))
    return (side, side), step is None


def _resized(size: tuple[int, int], part: Part) -> tuple[int, int]:
    """The size (w, h) of an image after ``Resize`` at its nominal scale."""
    step = next(part.steps("Resize"), {})
    scale = step.get("img_scale")
    if isinstance(scale, list | tuple) and scale and isinstance(scale[0], list | tuple):
        scale = scale[-1]
    if not isinstance(scale, list | tuple) or len(scale) != 2:
        return size
    if not step.get("keep_ratio", True):
        return int(scale[0]), int(scale[1])
    factor = min(max(scale) / max(size), min(scale) / min(size))
    return round(size[0] * factor), round(size[1] * factor)


def _crop_note(crop: tuple[int, int], fits: bool, split: Split) -> str:
    w, h = min(split.sizes, key=lambda size: min(size))
    told = "the config's own fits" if fits else "the config's own is larger than whole images"
    return f"crop_size (h, w) {crop}: {told}; the smallest image is {w}x{h} (width x height)"


def _pixels(split: Split, meaning: Meaning, fix: Fix | None) -> Sequence[int]:
    """Pixels of each class as the masks will be read with ``fix``."""
    if fix is None:
        return split.pixels.tolist()
    pixels = [0] * meaning.num_classes
    table = dict(fix.label_map)
    for value, count in split.values.items():
        label = table.get(value, -1) if fix.kind == "label_map" else value
        if fix.kind == "reduce_zero_label":
            label = value - 1
        elif fix.kind == "binary":
            label = int(value != 0)
        if 0 <= label < len(pixels) and value != fix.ignore_index:
            pixels[label] += count
    return pixels


def _model(
    model: Mapping[str, Any] | None,
    pixels: Sequence[int],
    meaning: Meaning,
    fix: Fix | None,
    ignore_index: int,
    notes: list[str],
) -> dict[str, Any]:
    if not model or not isinstance(model.get("decode_head"), Mapping):
        notes.append("no single decode_head in the config: class weights have to be set by hand")
        return {}
    binary = meaning.binary or (fix is not None and fix.kind == "binary")
    heads: dict[str, Any] = {}
    for name in ("decode_head", "auxiliary_head"):
        head = model.get(name)
        if not isinstance(head, Mapping):
            continue
        heads[name] = {"num_classes": meaning.num_classes}
        if not binary:
            heads[name]["ignore_index"] = ignore_index
    if binary:
        notes.append("one logit per pixel has no class weights")
        return heads
    try:
        weights = [round(float(w), _DIGITS) for w in class_weights(pixels)]
    except UserError:
        notes.append("no class weights: no class has a pixel")
        return heads
    unseen = [i for i, count in enumerate(pixels) if not count]
    if unseen:
        notes.append(f"classes without a pixel, weight 1: {', '.join(map(str, unseen))}")
    losses = model["decode_head"].get("loss_decode")
    if isinstance(losses, list | tuple):
        heads["decode_head"]["loss_decode"] = [
            {**copy.deepcopy(dict(loss)), **({"class_weight": weights} if _weighable(loss) else {})}
            for loss in losses
        ]
    elif _weighable(losses):
        heads["decode_head"]["loss_decode"] = {"class_weight": weights}
    else:
        notes.append(f"class weights, for a loss that takes them: {weights}")
    return heads


def _weighable(loss: Any) -> bool:
    return isinstance(loss, Mapping) and loss.get("type") in _HEAD_LOSSES


def _data(
    data: Mapping[str, Any],
    splits: Mapping[str, Split],
    fix: Fix | None,
    ignore_index: int,
    crop: tuple[int, int] | None,
    notes: list[str],
) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, split in splits.items():
        for part in split.parts:
            change = _data_set(part, fix, ignore_index, crop if name == "train" else None)
            keys = part.where.split(".")[1:]
            if not change:
                continue
            if any(key.isdigit() for key in keys) or len(split.parts) > 1:
                notes.append(f"{part.where} is one of several data sets: set in it {sorted(change)} by hand")
                continue
            at = found
            for key in keys[:-1]:
                at = at.setdefault(key, {})
            at[keys[-1]] = change
    return found


def _data_set(part: Part, fix: Fix | None, ignore_index: int, crop: tuple[int, int] | None) -> dict[str, Any]:
    change: dict[str, Any] = {}
    pipeline = copy.deepcopy(part.pipeline)
    old = part.dataset.ignore_index
    if fix is not None and fix.kind == "reduce_zero_label":
        change["reduce_zero_label"] = True
        _set(pipeline, "LoadAnnotations", "reduce_zero_label", True)
    elif fix is not None and fix.kind == "ignore_index":
        change["ignore_index"] = ignore_index
        _replace(pipeline, ("seg_pad_val", "ignore_index"), old, ignore_index)
        for kind, key in (("Pad", "seg_pad_val"), ("RandomCrop", "ignore_index")):
            _set(pipeline, kind, key, ignore_index)  # their default is 255
    elif fix is not None and fix.kind == "label_map":
        change |= _relabelled(part, fix)
    if crop is not None:
        _set(pipeline, "RandomCrop", "crop_size", crop)
        _replace_pad(pipeline, crop)
    if pipeline != part.pipeline:
        change["pipeline"] = pipeline
    return change


def _relabelled(part: Part, fix: Fix) -> dict[str, Any]:
    dataset = part.dataset
    taken = set(inspect.signature(CustomDataset.__init__).parameters)  # of its own class it has no others
    change = {
        "_delete_": True,
        **{key: value for key, value in part.section.items() if key in taken},
        "type": "RelabelledDataset",
        "img_suffix": dataset.img_suffix,
        "seg_map_suffix": dataset.seg_map_suffix,
        "classes": list(dataset.CLASSES),
        "label_map": dict(fix.label_map),
    }
    if dataset.PALETTE is not None:
        change["palette"] = [list(map(int, colour)) for colour in dataset.PALETTE]
    return change


def _set(pipeline: Any, kind: str, key: str, value: Any) -> None:
    if isinstance(pipeline, dict):
        if pipeline.get("type") == kind:
            pipeline[key] = value
        for item in pipeline.values():
            _set(item, kind, key, value)
    elif isinstance(pipeline, list | tuple):
        for item in pipeline:
            _set(item, kind, key, value)


def _replace(pipeline: Any, keys: tuple[str, ...], old: int, new: int) -> None:
    if isinstance(pipeline, dict):
        for key, item in pipeline.items():
            if key in keys and item == old:
                pipeline[key] = new
            else:
                _replace(item, keys, old, new)
    elif isinstance(pipeline, list | tuple):
        for item in pipeline:
            _replace(item, keys, old, new)


def _replace_pad(pipeline: Any, crop: tuple[int, int]) -> None:
    for step in pipeline:
        if isinstance(step, dict) and step.get("type") == "Pad" and step.get("size") is not None:
            step["size"] = crop


def _label_lines(split: Split, meaning: Meaning, fix: Fix | None, ignore_index: int) -> list[str]:
    """Value, class and pixels of every value that the masks hold."""
    lines = []
    total = max(1, sum(split.values.values()))
    table = dict(fix.label_map) if fix else {}
    for value, count in sorted(split.values.items()):
        label = meaning.of_value(value)
        if fix is not None and fix.kind == "label_map":
            label = table.get(value, -1)
        elif fix is not None and fix.kind == "reduce_zero_label":
            label = value - 1 if value != meaning.ignore_index else -1
        elif fix is not None and fix.kind == "binary":
            label = int(value != 0)
        elif value == ignore_index:
            label = -1
        name = split.classes[label] if 0 <= label < len(split.classes) else "ignored"
        name = name if label >= -1 else "no class"
        shown = f"{label} {name}" if label >= 0 else name
        lines.append(f"{value}: {shown} ({count / total:.3%})")
    return lines
