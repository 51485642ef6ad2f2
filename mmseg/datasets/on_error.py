"""What a training run does about a bad sample: ``data.train.on_error``."""

from __future__ import annotations

import os
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mmseg.utils.errors import UserError, near_matches
from mmseg.utils.random import seed_from

_MAX_SHARE = 0.05
_ATTEMPTS = 20  # so many bad samples in a row are no bad files: the disk is away, or a transform is wrong
_SKIP = 0x534B4950  # sets these draws apart from those that are seeded with (seed, epoch, index)


@dataclass(frozen=True)
class OnError:
    """How bad samples are treated.

    Attributes:
        skip: Another sample takes the place of a bad one; False ends the run.
        max_share: A run ends when more than this share of the samples of one epoch is bad, 0 to 1.
    """

    skip: bool = False
    max_share: float = _MAX_SHARE


@dataclass(frozen=True)
class Skip:
    """One sample that was bad, with another in its place."""

    file: str
    epoch: int
    index: int
    reason: str


def read_on_error(value: Any, where: str = "on_error") -> OnError:
    """Read ``on_error``: ``'raise'`` (also None), ``'skip'``, or ``dict(mode='skip', max_share=0.01)``.

    Raises:
        UserError: anything else.
    """
    settings = dict(value) if isinstance(value, Mapping) else {"mode": "raise" if value is None else value}
    for key in settings:
        if key not in ("mode", "max_share"):
            raise UserError(f"{where}: unknown key `{key}`{near_matches(str(key), ('mode', 'max_share'))}")
    mode = settings.get("mode", "raise")
    if mode not in ("raise", "skip"):
        raise UserError(f"{where} is 'raise', 'skip' or dict(mode='skip', max_share=0.01), not {value!r}")
    share = settings.get("max_share", _MAX_SHARE)
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= 1:
        raise UserError(f"{where}: max_share is a share of the samples, between 0 and 1, not {share!r}")
    return OnError(mode == "skip", float(share))


def on_error_of(dataset: Any) -> OnError:
    """The setting of a data set: its own, else the first among the data sets in it."""
    own = getattr(dataset, "on_error", None)
    if isinstance(own, OnError):
        return own
    inner = [getattr(dataset, "dataset", None), *(getattr(dataset, "datasets", None) or ())]
    found = [on_error_of(part) for part in inner if part is not None]
    return next((setting for setting in found if setting != OnError()), OnError())


def substitutes(seed: int, epoch: int, index: int, length: int) -> Sequence[tuple[int, int]]:
    """What may stand in for the sample ``index`` of an epoch: pairs (index, seed of its random choices).

    They depend on the arguments only, so the sample that a position gets is the same with any number of
    workers and ranks, and after a resume; other positions keep theirs.
    """
    rng = np.random.default_rng(seed_from(seed, epoch, index, _SKIP))
    drawn = [int(i) for i in rng.integers(0, max(1, length - 1), _ATTEMPTS)]
    return [
        ((i + 1 if i >= index else i) % length, seed_from(seed, epoch, index, _SKIP, attempt))
        for attempt, i in enumerate(drawn)
    ]


def file_of(dataset: Any, index: int) -> str:
    """The image file of a sample of any data set, or its number where it has none."""
    try:
        if hasattr(dataset, "get_dataset_idx_and_sample_idx"):
            part, inner = dataset.get_dataset_idx_and_sample_idx(index)
            return file_of(dataset.datasets[part], inner)
        if hasattr(dataset, "dataset") and len(dataset.dataset):
            return file_of(dataset.dataset, index % len(dataset.dataset))
        name = str(dataset.img_infos[index]["filename"])
        folder = getattr(dataset, "img_dir", None)
        return os.path.join(folder, name) if isinstance(folder, str) else name
    except Exception:  # a data set of the user's own has none of these
        return f"sample {index} of {type(dataset).__name__}"


def reason_of(error: BaseException) -> str:
    """One line on why a sample failed; where it is not the toolbox's own error, with the line of code."""
    text = " ".join(str(error).split())[:500]
    if isinstance(error, UserError):
        return text
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({os.path.basename(frames[-1].filename)}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {text}{place}"
