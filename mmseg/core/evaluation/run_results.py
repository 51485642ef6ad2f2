"""What one evaluation leaves behind for a report: one file, read without running code."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mmseg.core.evaluation.calibration import BINS
from mmseg.core.evaluation.error_places import DISTANCES, GRID, SIZES, ErrorPlaces
from mmseg.core.evaluation.report import json_ready
from mmseg.utils.errors import UserError

FORMAT = 1
_ARRAYS = ("per_image", "confusion", "calibration")
_PLACES = ("distance", "size", "grid")


@dataclass(frozen=True)
class Thumbnail:
    """An image of the data set, reduced: JPEG bytes of the picture, PNG bytes of the two label maps.

    The label maps are grey, 8 bit: class index, 255 where the truth is ignored.
    """

    picture: bytes
    truth: bytes
    prediction: bytes


@dataclass
class RunResults:
    """Everything that a report shows of one run. What is None or empty was not recorded.

    Attributes:
        name: What the run is called.
        classes: C names.
        palette: C RGB colours.
        images: N file names, in the data set's order.
        per_image: (N, 3, C) int64 pixels of intersection, prediction and label.
        confusion: (C, C) int64, rows truth, columns prediction.
        calibration: (C, bins, 3) float64, see ``calibration_counts``.
        places: Where errors sit.
        thumbnails: By index of the image, for the worst and the best.
        scores: ``mIoU``, ``IoU.road``, ... as ``tools/test.py`` writes them, where nothing better is there.
        curves: Training and validation records, ``{"train": [...], "val": [...]}``.
        about: Where the results come from: ``checkpoint``, ``config``, ``device``, ``macs``, ...
        missing: By section of the report why it is missing.
    """

    name: str
    classes: list[str] = field(default_factory=list)
    palette: list[list[int]] = field(default_factory=list)
    images: list[str] = field(default_factory=list)
    per_image: np.ndarray | None = None
    confusion: np.ndarray | None = None
    calibration: np.ndarray | None = None
    places: ErrorPlaces | None = None
    thumbnails: dict[int, Thumbnail] = field(default_factory=dict)
    scores: dict[str, float] = field(default_factory=dict)
    curves: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    about: dict[str, Any] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)


def save_results(results: RunResults, path: str) -> None:
    """Write ``results`` to the ``.npz`` file ``path``, as a whole or not at all.

    Raises:
        OSError: the file cannot be written.
    """
    plain = {
        key: getattr(results, key)
        for key in ("name", "classes", "palette", "images", "scores", "curves", "about", "missing")
    }
    order = sorted(results.thumbnails)
    blobs = [
        part for i in order for part in (vars(results.thumbnails[i])[k] for k in Thumbnail.__annotations__)
    ]
    arrays = {key: value for key in _ARRAYS if (value := getattr(results, key)) is not None}
    if results.places is not None:
        arrays |= {key: getattr(results.places, key) for key in _PLACES}
    text = json.dumps(json_ready({"format": FORMAT, **plain}))
    temporary = f"{path}.{os.getpid()}.tmp"
    try:
        with open(temporary, "wb") as file:
            np.savez(
                file,
                json=np.frombuffer(text.encode(), np.uint8),
                thumbnails=np.frombuffer(b"".join(blobs), np.uint8),
                thumbnail_images=np.array(order, np.int64),
                thumbnail_sizes=np.array([len(blob) for blob in blobs], np.int64),
                **arrays,
            )
        os.replace(temporary, path)
    finally:
        if os.path.exists(temporary):
            os.remove(temporary)


def load_results(path: str) -> RunResults:
    """Read what :func:`save_results` wrote.

    Raises:
        UserError: the file is no such file, or was written by another version.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files}
        plain = json.loads(arrays["json"].tobytes())
    except FileNotFoundError:
        raise UserError(f"{path} does not exist") from None
    except Exception as error:  # a broken archive fails anywhere
        raise UserError(
            f"{path} is no results file of tools/report.py ({type(error).__name__}); delete it, or give the "
            "run's folder"
        ) from None
    expected = {
        "distance": (len(DISTANCES) + 1, 2),
        "size": (len(SIZES) + 1, 4),
        "grid": (*GRID, 2),
        "calibration": (len(plain.get("classes", ())), BINS, 3),
    }
    fits = all(key not in arrays or arrays[key].shape == shape for key, shape in expected.items())
    if plain.get("format") != FORMAT or not fits:
        raise UserError(
            f"{path} was written by another version of tools/report.py; make it anew with --evaluate-again"
        )
    plain.pop("format")
    places = ErrorPlaces(**{key: arrays[key] for key in _PLACES}) if "grid" in arrays else None
    return RunResults(
        **plain,
        **{key: arrays.get(key) for key in _ARRAYS},
        places=places,
        thumbnails=_thumbnails(arrays),
    )


def _thumbnails(arrays: dict[str, np.ndarray]) -> dict[int, Thumbnail]:
    blob, position, parts = arrays["thumbnails"].tobytes(), 0, []
    for size in arrays["thumbnail_sizes"].tolist():
        parts.append(blob[position : position + size])
        position += size
    return {
        int(image): Thumbnail(*parts[3 * k : 3 * k + 3]) for k, image in enumerate(arrays["thumbnail_images"])
    }
