"""What a file must say about itself, so that whoever runs it needs neither the config nor this toolbox."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

import mmseg
from mmseg.config.task import innermost_data_sets
from mmseg.models.segmentors.inference import threshold_of
from mmseg.utils.errors import UserError

INPUT, LOGITS, LABELS = "img", "logits", "labels"

# Steps of a test pipeline that change no pixel's value, or that come after the normalisation.
_GEOMETRY = ("Resize", "ResizeToMultiple", "RandomFlip", "Pad", "MultiScaleFlipAug", "LoadAnnotations")
_FORMATTING = ("ImageToTensor", "ToTensor", "Transpose", "DefaultFormatBundle", "Collect")
_NESTED = ("transforms", "pipeline")


@dataclass(frozen=True)
class Preprocessing:
    """The normalisation ``(channel - mean) / std`` of a test pipeline.

    Attributes:
        mean, std: One number per channel, in grey levels of 0 to 255, in the order after ``to_rgb``.
        to_rgb: Whether channels are turned from BGR into RGB before.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    to_rgb: bool


def steps_of(pipeline: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """Every step of a pipeline, those within other steps too, in order."""
    for step in pipeline:
        yield step
        for key in _NESTED:
            if isinstance(step.get(key), list | tuple):
                yield from steps_of(step[key])


def test_pipeline_of(cfg: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The pipeline of (the first data set of) ``data.test``, else of ``data.val``; empty without one."""
    data = cfg.get("data") or {}
    for split in ("test", "val"):
        for _, section in innermost_data_sets(split, data.get(split)):
            return list(section.get("pipeline") or [])
    return []


test_pipeline_of.__test__ = False  # a name that starts with test_ is not a test


def preprocessing_of(cfg: Mapping[str, Any], channels: int) -> Preprocessing:
    """The normalisation of the config's test pipeline; without ``Normalize`` one that changes nothing."""
    step = next((s for s in steps_of(test_pipeline_of(cfg)) if s.get("type") == "Normalize"), None)
    if step is None:
        return Preprocessing((0.0,) * channels, (1.0,) * channels, False)
    mean, std = (tuple(float(v) for v in step[key]) for key in ("mean", "std"))
    if not len(mean) == len(std) == channels:
        raise UserError(
            f"Normalize of the test pipeline has {len(mean)} means, but the model takes {channels} channels;"
            " give one for each"
        )
    return Preprocessing(mean, std, bool(step.get("to_rgb", True)))


def check_can_be_built_in(cfg: Mapping[str, Any]) -> None:
    """Raise ``UserError`` where more than loading, resizing and ``Normalize`` prepares the image."""
    kinds = [str(step.get("type")) for step in steps_of(test_pipeline_of(cfg))]
    if "Normalize" not in kinds:
        raise UserError(
            "--with-preprocessing: the config's test pipeline has no Normalize to build in; leave the option"
            " out"
        )
    known = ("Normalize", *_GEOMETRY, *_FORMATTING)
    others = [kind for kind in kinds if kind not in known and not kind.startswith("Load")]
    if others:
        raise UserError(
            f"--with-preprocessing builds in Normalize alone, but the test pipeline has {others[0]} too;"
            " leave the option out and prepare images outside of the graph"
        )


def image_size_of(cfg: Mapping[str, Any]) -> tuple[int, int] | None:
    """(h, w) of the test pipeline's ``img_scale``, the first where there are several; None without one."""
    for step in steps_of(test_pipeline_of(cfg)):
        scale = step.get("img_scale")
        if isinstance(scale, list | tuple) and scale:
            scale = scale[0] if isinstance(scale[0], list | tuple) else scale
            return int(scale[-1]), int(scale[0])
    return None


def describe(
    model: nn.Module,
    preprocessing: Preprocessing,
    *,
    config: str = "",
    checkpoint: str | None = None,
    built_in: bool = False,
    argmax: bool = False,
    size_divisor: int = 1,
    fixed_hw: tuple[int, int] | None = None,
) -> dict[str, Any]:
    """What the metadata of an exported file says; plain values that JSON can hold.

    Args:
        model: From ``init_segmentor``.
        preprocessing: Of its test pipeline.
        config, checkpoint: Where it comes from; only the names of the files are kept.
        built_in: Whether the graph normalises.
        argmax: Whether it gives label maps.
        size_divisor: What height and width must divide by.
        fixed_hw: The only size it takes; None for any.
    """
    classes, palette = getattr(model, "CLASSES", None), getattr(model, "PALETTE", None)
    cfg = getattr(model, "cfg", None) or {}
    return {
        "mmseg_version": mmseg.__version__,
        "config": os.path.basename(config),
        "checkpoint": os.path.basename(checkpoint or ""),
        "classes": [str(name) for name in classes or []],
        "palette": [[int(v) for v in colour] for colour in (palette if palette is not None else [])],
        "num_classes": int(model.num_classes),
        "input_name": INPUT,
        "input_layout": "NHWC" if built_in else "NCHW",
        "input_dtype": "uint8" if built_in else "float32",
        "input_color": "BGR" if built_in or not preprocessing.to_rgb else "RGB",
        "normalize_in_graph": built_in,
        "mean": list(preprocessing.mean),
        "std": list(preprocessing.std),
        "to_rgb": preprocessing.to_rgb,
        "size_divisor": size_divisor,
        "fixed_size": list(fixed_hw) if fixed_hw else None,
        "output_name": LABELS if argmax else LOGITS,
        "threshold": threshold_of(model),
        "test_cfg": _plain(model.test_cfg or {}),
        "test_pipeline": _plain(test_pipeline_of(cfg)),
    }


def as_text(metadata: Mapping[str, Any]) -> dict[str, str]:
    """The same as text for text, which is all that ONNX and safetensors keep: JSON unless text already."""
    return {key: value if isinstance(value, str) else json.dumps(value) for key, value in metadata.items()}


def _plain(value: Any) -> Any:
    """``value`` in what JSON knows; anything else as its text."""
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
