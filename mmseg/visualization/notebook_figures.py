"""What a notebook shows besides curves and matrices: grids of pictures, scores and costs as bars.

Each function returns a ``matplotlib.figure.Figure`` that belongs to no window: ``savefig`` writes it, and
nothing has to be closed.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from mmseg.utils.errors import UserError
from mmseg.visualization.palettes import colour_table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = 100
_WIDTH, _MOST_CELL_WIDTH = 14.0, 9.0  # inches of a grid, and of a picture in it
_MOST_PIXELS = 1000  # across, of a picture in a grid; more would not be seen


def new_figure(width: float, height: float, layout: str = "constrained") -> Figure:
    """Return an empty figure of ``width`` x ``height`` inches that can be drawn without a display."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=DPI, layout=layout)
    FigureCanvasAgg(figure)
    return figure


def write_figure(figure: Figure, path: str | os.PathLike[str]) -> None:
    """Write a figure; the ending of ``path`` gives the format. Its folder is made.

    Raises:
        UserError: the ending is of no image format, or the file cannot be written.
    """
    path = os.fspath(path)
    known = figure.canvas.get_supported_filetypes()
    ending = os.path.splitext(path)[1].lstrip(".").lower()
    if ending not in known:
        raise UserError(f"cannot draw {path}: `.{ending}` is no image format; use .png, .pdf or .svg")
    try:
        os.makedirs(os.path.dirname(path) or os.curdir, exist_ok=True)
        figure.savefig(path)
    except OSError as error:
        raise UserError(
            f"cannot write the figure {path}: {error.strerror or error}; give a folder that can be written"
        ) from None


def image_grid(
    images: Sequence[Any],
    captions: Sequence[str] | None = None,
    rows: int | None = None,
    cols: int | None = None,
    clip: bool = True,
    normalize: bool = False,
    gray: bool = False,
) -> Figure:
    """Draw pictures in rows and columns, in reading order.

    Args:
        images: Each a path, or an array or tensor: (H, W), (H, W, 1), (H, W, 3) or (H, W, 4) in RGB order,
            or with the channels first. Integers are from 0 to 255, other numbers from 0 to 1.
        captions: One line for each picture.
        rows, cols: Of the grid; what is None follows from the other, and both from the number of pictures.
        clip: Cut values outside that range off; else the range of a one-channel picture is that of its
            values.
        normalize: Stretch each picture, so that its lowest value is black and its highest white.
        gray: Show in grey: colours by their luminance, one-channel pictures from black to white instead of
            in matplotlib's colours.

    Raises:
        UserError: there is no picture, they do not fit into the grid, there are more or fewer captions, a
            file is no image, or an array is none.
    """
    images = list(images)
    if not images:
        raise UserError("there is no picture to show; `images` is empty")
    if captions is not None and len(captions) != len(images):
        raise UserError(f"there are {len(captions)} captions for {len(images)} images; give one for each")
    rows, cols = _grid(len(images), rows, cols)
    pictures = [_prepared(image, clip, normalize, gray) for image in images]
    shape = max(picture.shape[0] / picture.shape[1] for picture in pictures)
    width = max(2.0, min(_MOST_CELL_WIDTH, _WIDTH / cols))
    height = min(2.0, max(0.15, shape)) * width
    line = 0.3 if captions is not None else 0.05  # above each picture
    # Placed by hand: the constrained layout takes many seconds for a page of pictures.
    figure = new_figure(cols * width, rows * (height + line), layout="none")
    places = {"left": 0.005, "right": 0.995, "bottom": 0.0, "top": 1 - line / (rows * (height + line))}
    places |= {"wspace": 0.02, "hspace": line / height}
    axes = figure.subplots(rows, cols, squeeze=False, gridspec_kw=places).ravel()
    for ax in axes:
        ax.axis("off")
    for i, (ax, picture) in enumerate(zip(axes, pictures, strict=False)):
        limits = {} if picture.ndim == 3 or not (clip or normalize) else {"vmin": 0.0, "vmax": 1.0}
        ax.imshow(picture, cmap="gray" if gray else None, interpolation="nearest", **limits)
        if captions is not None:
            ax.set_title(str(captions[i]), fontsize=9)
    return figure


def _grid(count: int, rows: int | None, cols: int | None) -> tuple[int, int]:
    for name, value in (("rows", rows), ("cols", cols)):
        if value is not None and (not isinstance(value, int) or value < 1):
            raise UserError(f"{name} must be a whole number of at least 1, not {value!r}")
    if rows is None and cols is None:
        cols = min(count, 3)
    if rows is None:
        rows = math.ceil(count / cols)
    elif cols is None:
        cols = math.ceil(count / rows)
    if rows * cols < count:
        raise UserError(f"{count} images do not fit into {rows} rows x {cols} cols; leave one of the two out")
    return rows, cols


def _prepared(image: Any, clip: bool, normalize: bool, gray: bool) -> np.ndarray:
    """(H, W) or (H, W, 3) float32, where 0 is black and 1 white."""
    picture = _as_array(image)
    whole = picture.dtype.kind in "iu"
    if picture.shape[1] > _MOST_PIXELS:
        step = math.ceil(picture.shape[1] / _MOST_PIXELS)
        picture = picture[::step, ::step]
    values = picture.astype(np.float32)
    if whole:
        values = values / 255
    if gray and values.ndim == 3:
        values = values @ np.array([0.299, 0.587, 0.114], np.float32)
    if normalize:
        finite = values[np.isfinite(values)]
        low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
        values = (values - low) / max(high - low, 1e-12)
    if clip or values.ndim == 3:  # colours have no other range
        values = np.clip(np.nan_to_num(values, nan=0.0), 0, 1)
    return values


def _as_array(image: Any) -> np.ndarray:
    if isinstance(image, str | os.PathLike):
        read = cv2.imread(os.fspath(image), cv2.IMREAD_UNCHANGED)
        if read is None:
            raise UserError(f"{os.fspath(image)} is missing or is no image that OpenCV can read")
        if read.dtype == np.uint16:
            read = (read // 257).astype(np.uint8)
        return read if read.ndim == 2 else read[..., 2::-1]
    if hasattr(image, "detach"):  # a tensor, maybe on a GPU
        image = image.detach().cpu().float().numpy() if image.is_floating_point() else image.cpu().numpy()
    array = np.asarray(image)
    array = array.astype(np.uint8) * 255 if array.dtype == np.bool_ else array
    if array.ndim == 3 and array.shape[2] not in (1, 3, 4) and array.shape[0] in (1, 3, 4):
        array = np.moveaxis(array, 0, 2)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    is_picture = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4))
    if not is_picture or not array.size or array.dtype.kind not in "iuf":
        raise UserError(
            f"a picture is a path or an array (H, W) or (H, W, 3), not {array.shape} of {array.dtype}"
        )
    return array[..., :3] if array.ndim == 3 else array


def score_bars(
    scores: Mapping[str, float],
    palette: Sequence[Sequence[int]] | None = None,
    label: str = "IoU in %",
    title: str = "",
) -> Figure:
    """Draw the score of each class, from 0 to 1, as a bar in its colour; NaN has none.

    Args:
        scores: Class → score.
        palette: RGB colours of the classes.
        label: Of the axis.
        title: Stands above.
    """
    names, values = list(scores), 100 * np.array(list(scores.values()), np.float64)
    figure = new_figure(max(6.0, 0.55 * len(names) + 2), 3.8)
    ax = figure.subplots()
    colours = colour_table(palette, len(names))[: len(names), ::-1] / 255
    ax.bar(names, np.nan_to_num(values), color=colours, edgecolor="0.3", linewidth=0.6)
    for i, value in enumerate(values):
        text = "never seen" if math.isnan(value) else f"{value:.1f}"
        ax.annotate(text, (i, np.nan_to_num(value)), ha="center", va="bottom", fontsize=7)
    ax.set_xticks(range(len(names)), names, rotation=45, ha="right", fontsize=8)
    ax.set_ylim(0, 105)
    ax.set_ylabel(label)
    ax.set_title(title)
    ax.grid(axis="y", alpha=0.3)
    ax.set_axisbelow(True)
    return figure


def cost_bars(parts: Mapping[str, tuple[float, float]], title: str = "") -> Figure:
    """Draw multiply-adds and parameters of models or parts of one as two columns of lying bars.

    Args:
        parts: Name → (multiply-adds, parameters).
        title: Stands above.
    """
    names = list(parts)
    figure = new_figure(11, 1.2 + 0.3 * len(names))
    for k, (ax, unit) in enumerate(zip(figure.subplots(1, 2, sharey=True), ("G", "M"), strict=True)):
        values = np.array([parts[name][k] for name in names], np.float64) / (1e9 if unit == "G" else 1e6)
        ax.barh(names, values, color=("tab:blue", "tab:orange")[k])
        for i, value in enumerate(values):
            ax.annotate(f" {value:.3g}", (value, i), va="center", fontsize=8)
        ax.set_xlabel(("multiply-adds in G", "parameters in M")[k])
        ax.set_xlim(0, 1.15 * max(values.max(initial=0), 1e-9))
        ax.grid(axis="x", alpha=0.3)
        ax.set_axisbelow(True)
    figure.axes[0].invert_yaxis()
    if title:
        figure.suptitle(title)
    return figure
