"""From a config and a checkpoint to label maps and pictures."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from mmseg.config import Config
from mmseg.config.task import apply_task, innermost_data_sets
from mmseg.datasets.binary import CLASSES as BINARY_CLASSES
from mmseg.datasets.binary import PALETTE as BINARY_PALETTE
from mmseg.datasets.builder import DATASETS, PIPELINES
from mmseg.datasets.files import read_names
from mmseg.datasets.pipelines import Compose
from mmseg.engine.prefetch import to_device
from mmseg.models import build_segmentor
from mmseg.models.layers.norm import revert_sync_batchnorm
from mmseg.utils.allocator import keep_memory
from mmseg.utils.checkpoint import load_into, read_checkpoint, state_dict_of
from mmseg.utils.distributed import get_device
from mmseg.utils.errors import UserError
from mmseg.utils.logger import get_root_logger

Image = str | os.PathLike | np.ndarray


def init_segmentor(
    config: Config | str | os.PathLike,
    checkpoint: str | None = None,
    device: str | torch.device | None = None,
) -> nn.Module:
    """Build the segmentor of ``config`` and load ``checkpoint``, ready for ``inference_segmentor``.

    Args:
        config: A config or the path of one.
        checkpoint: A checkpoint: a path or an address; None leaves random weights.
        device: By default the best one at hand (``cuda:0`` if there is one).

    Returns:
        The model in evaluation mode, with ``cfg``, ``CLASSES`` and ``PALETTE``.

    Raises:
        UserError: a mistake in the config, or a checkpoint of another model.
    """
    cfg = config.copy() if isinstance(config, Config) else Config.fromfile(config)
    apply_task(cfg)
    settings = {**cfg.model, "pretrained": None, "train_cfg": None}
    model = build_segmentor(settings, test_cfg=cfg.get("test_cfg"))
    classes, palette = _dataset_classes(cfg)
    if checkpoint is not None:
        saved = read_checkpoint(checkpoint)
        load_into(
            model,
            state_dict_of(saved, str(checkpoint)),
            purpose="test",
            source=str(checkpoint),
            logger=get_root_logger(),
        )
        meta = saved.get("meta") or {}
        classes, palette = meta.get("CLASSES") or classes, meta.get("PALETTE") or palette
    model.CLASSES, model.PALETTE = classes, palette
    model.cfg = cfg
    model = revert_sync_batchnorm(model)
    device = torch.device(device) if device is not None else get_device(0)
    keep_memory(device)
    return model.to(device).eval()


def inference_segmentor(model: nn.Module, imgs: Image | Sequence[Image]) -> list[np.ndarray]:
    """Segment one image or several.

    Args:
        model: From ``init_segmentor``.
        imgs: A path or a BGR uint8 array (H, W, 3), or a list of them.

    Returns:
        One label map (H, W) per image, at the image's own size.

    Raises:
        UserError: a file that is no image.
    """
    several = isinstance(imgs, (list, tuple))
    pipeline = inference_pipeline(model.cfg)
    device = next(model.parameters()).device
    labels: list[np.ndarray] = []
    for image in imgs if several else [imgs]:
        data = pipeline(_sample(image))
        views = to_device([view[None] for view in data["img"]], device)
        metas = [[meta] for meta in data["img_metas"]]
        with torch.inference_mode():
            labels += model(img=views, img_metas=metas, return_loss=False)
    return labels


def inference_pipeline(cfg: Config) -> Compose:
    """The test pipeline of ``cfg``, its loading step (found by type) able to take an array as well."""
    steps = list(_test_section(cfg).get("pipeline") or [])
    is_loader = [str(step.get("type", "")).startswith(("LoadImage", "LoadTiffImage")) for step in steps]
    loaders = [step for step, load in zip(steps, is_loader, strict=True) if load]
    load = PIPELINES.build(loaders[0] if loaders else {"type": "LoadImageFromFile"})

    def read(results: dict[str, Any]) -> dict[str, Any]:
        if "img" not in results:
            return load(results)
        shape = results["img"].shape
        unit = {"mean": np.zeros(shape[2], np.float32), "std": np.ones(shape[2], np.float32), "to_rgb": False}
        results |= {"filename": None, "ori_filename": None, "img_fields": ["img"], "img_norm_cfg": unit}
        return results | {"img_shape": shape, "ori_shape": shape, "pad_shape": shape, "scale_factor": 1.0}

    return Compose([read, *(step for step, load in zip(steps, is_loader, strict=True) if not load)])


def show_result_pyplot(
    model: nn.Module,
    img: Image,
    result: list[np.ndarray],
    palette: Sequence[Sequence[int]] | None = None,
    fig_size: tuple[float, float] = (15, 10),
    opacity: float = 0.5,
    title: str = "",
    block: bool = True,
    out_file: str | None = None,
) -> np.ndarray:
    """Show the segmentation over the image with matplotlib and return the picture.

    Args:
        model: From ``init_segmentor``.
        img: The image that ``result`` belongs to.
        result: From ``inference_segmentor``.
        palette: RGB colours of the classes; by default the model's.
        fig_size: Inches.
        opacity: Of the colours, in (0, 1].
        title: Of the window.
        block: Whether to wait until the window is closed.
        out_file: Where to write the picture as well.

    Returns:
        The overlay, BGR uint8 (H, W, 3).
    """
    import matplotlib.pyplot as plt

    source = str(img) if isinstance(img, os.PathLike) else img
    picture = model.show_result(
        source, result, palette=palette, show=False, opacity=opacity, out_file=out_file
    )
    picture = (
        model.show_result(source, result, palette=palette, show=False, opacity=opacity)
        if picture is None
        else picture
    )
    plt.figure(figsize=fig_size)
    plt.imshow(picture[..., ::-1])
    plt.title(title)
    plt.axis("off")
    plt.tight_layout()
    plt.show(block=block)
    return picture


def _sample(image: Image) -> dict[str, Any]:
    if isinstance(image, np.ndarray):
        if image.ndim != 3 or image.dtype != np.uint8:
            raise UserError(
                "an image is a path or a BGR uint8 array (H, W, 3), "
                f"not an array {image.shape} of {image.dtype}"
            )
        return {"img": image, "img_prefix": None}
    return {"img_info": {"filename": os.fspath(image)}, "img_prefix": None}


def _test_section(cfg: Config) -> dict[str, Any]:
    """The config of the (first) data set of ``data.test``, of ``val`` or ``train`` where there is none."""
    data = cfg.get("data") or {}
    for split in ("test", "val", "train"):
        for _, section in innermost_data_sets(split, data.get(split)):
            return section
    raise UserError("the config has no `data.test`, whose pipeline says how to prepare an image")


def _dataset_classes(cfg: Config) -> tuple[Sequence[str] | None, Sequence[Sequence[int]] | None]:
    """Class names and palette of the config's test data set; None where it does not tell."""
    section = _test_section(cfg)
    kind = DATASETS.get(str(section.get("type")))
    own_names, own_colours = getattr(kind, "CLASSES", None), getattr(kind, "PALETTE", None)
    if section.get("task") == "binary":
        own_names, own_colours = own_names or BINARY_CLASSES, own_colours or BINARY_PALETTE
    names = section.get("classes") or own_names
    if isinstance(names, str):
        names = read_names(names)
    if section.get("palette"):
        return names, section["palette"]
    if own_names and own_colours and names and set(names) <= set(own_names):
        return names, [own_colours[list(own_names).index(name)] for name in names]
    return names, None
