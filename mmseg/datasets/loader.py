"""From samples to batches: seeds before each sample, and a user's mistake out of a worker as one line."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, default_collate, get_worker_info

from mmseg.datasets.cache import caches_of
from mmseg.datasets.check_sample import check_sample
from mmseg.datasets.on_error import OnError, Skip, file_of, reason_of, substitutes
from mmseg.datasets.seeding import sample_of, seeded
from mmseg.utils.errors import UserError
from mmseg.utils.logger import get_root_logger
from mmseg.utils.random import seed_from

_BATCH, _SKIPS = "__batch__", "__skips__"
# Bytes in the path of a socket (104 on macOS, 108 on Linux, with the final zero), and in what Python's
# multiprocessing adds to the folder: /pymp-xxxxxxxx/listener-xxxxxxxx.
_SOCKET_PATH = 103 if sys.platform == "darwin" else 107
_SOCKET_NAME = 32


class Failure:
    """A ``UserError`` on its way from a worker to the process that can report it."""

    def __init__(self, message: str) -> None:
        self.message = message


class Replaced:
    """A sample that stands in for bad ones, on its way out of a worker."""

    def __init__(self, sample: Any, skips: Sequence[Skip]) -> None:
        self.sample, self.skips = sample, list(skips)


def _warn(skips: Sequence[Skip]) -> None:
    for skip in skips:
        get_root_logger().warning(f"skipped {skip.file}: {skip.reason}")


class Loader(DataLoader):
    """A ``DataLoader`` whose iterator raises the ``UserError`` of a worker, and which reports on caches.

    Attributes:
        on_skips: Is given the ``Skip`` of every sample that was replaced, with the batch that has the other.
    """

    on_skips: Callable[[Sequence[Skip]], None] = staticmethod(_warn)

    def __iter__(self) -> Iterator[Any]:
        self.caches = list(caches_of(self.dataset))
        batches = super().__iter__()
        return map(partial(self._checked, batches), batches)

    def _checked(self, batches: Any, batch: Any) -> Any:
        for cache in self.caches:
            cache.report()
        if isinstance(batch, dict) and _SKIPS in batch:
            try:
                self.on_skips(batch[_SKIPS])
                batch = batch[_BATCH]
            except UserError as error:  # too many of them
                batch = Failure(str(error))
        if not isinstance(batch, Failure):
            return batch
        if hasattr(batches, "_shutdown_workers"):
            # The error's traceback keeps the iterator alive in a cycle, and a cycle is torn down in an
            # order in which torch waits five seconds for each worker. So stop them now.
            batches._shutdown_workers()
            self._iterator = None
        raise UserError(batch.message)


class SeededSamples(Dataset):
    """A data set whose keys are (epoch, index), with every generator seeded from (seed, epoch, index).

    A data set that has ``get_sample`` is asked for ``get_sample(index, rng=...)``, any other for
    ``dataset[index]``. ``random``, ``numpy.random`` and torch's CPU generator are seeded too, for
    transforms that draw from those; without workers their states are put back afterwards.

    Args:
        dataset: The data set.
        seed: Of the run.
        with_truth: Samples also hold ``index`` and ``gt``, the label map (H, W).
        on_error: Whether another sample takes the place of a bad one.
        check: Look at each sample as ``check_sample`` does.
    """

    def __init__(
        self,
        dataset: Dataset,
        seed: int,
        with_truth: bool = False,
        on_error: OnError | None = None,
        check: bool = False,
    ) -> None:
        self.dataset, self.seed, self.with_truth = dataset, seed, with_truth
        self.on_error, self.check = on_error or OnError(), check
        if with_truth and not hasattr(dataset, "get_gt_seg_map_by_idx"):
            raise UserError(
                f"{type(dataset).__name__} cannot be evaluated: it needs a method "
                "`get_gt_seg_map_by_idx(index)` that returns the label map (H, W)"
            )

    def __len__(self) -> int:
        return len(self.dataset)  # type: ignore[arg-type]

    def __getattr__(self, name: str) -> Any:
        """``loader.dataset.CLASSES`` and the like are those of the data set itself."""
        if name == "dataset":  # not there yet, while a worker unpickles
            raise AttributeError(name)
        return getattr(self.dataset, name)

    def __getitem__(self, key: tuple[int, int]) -> Any:
        epoch, index = key
        try:
            if self.on_error.skip:
                return self._first_good(epoch, index)
            sample = self._sample(index, seed_from(self.seed, epoch, index))
            if self.with_truth:
                truth = self.dataset.get_gt_seg_map_by_idx(index)  # type: ignore[attr-defined]
                _check_truth(sample, truth)
                sample = {**sample, "index": index, "gt": truth}
            return sample
        except UserError as error:
            return Failure(str(error))
        except Exception as error:  # of a transform of the user's: its traceback, and which file it was
            error.add_note(f"while loading sample {index}, {file_of(self.dataset, index)}")
            raise

    def _sample(self, index: int, seed: int) -> Any:
        with seeded(seed):
            sample = sample_of(self.dataset, index)
        if sample is None:
            raise UserError(
                f"the pipeline of {type(self.dataset).__name__} returned None for sample {index}; "
                "every transform must return the dictionary it was given"
            )
        if self.check:
            check_sample(sample, self.dataset, file_of(self.dataset, index))
        return sample

    def _first_good(self, epoch: int, index: int) -> Any:
        """The sample of a position, or of the first of its substitutes that is good."""
        skips: list[Skip] = []
        candidates = [(index, seed_from(self.seed, epoch, index))]
        while candidates:
            taken, seed = candidates.pop(0)
            try:
                sample = self._sample(taken, seed)
                return Replaced(sample, skips) if skips else sample
            except Exception as error:
                skips.append(Skip(file_of(self.dataset, taken), epoch, taken, reason_of(error)))
            if len(skips) == 1:
                candidates = list(substitutes(self.seed, epoch, index, len(self)))
        raise UserError(
            f"on_error='skip': {len(skips)} samples in a row are bad, so it is no matter of a few files; the "
            f"first is {skips[0].file}: {skips[0].reason}"
        )


def check_temporary_folder() -> None:
    """Refuse a temporary folder in which no worker could hand a batch over.

    Workers pass open files through sockets there. Where a socket's path is too long, Python prints an error
    in the worker and drops the batch, and the run would wait for it for ever.

    Raises:
        UserError: the folder's path is too long.
    """
    folder = tempfile.gettempdir()
    length = len(os.fsencode(folder))
    if sys.platform != "win32" and length > _SOCKET_PATH - _SOCKET_NAME:
        raise UserError(
            f"the path of the temporary folder {folder} has {length} characters, but the processes of the "
            f"loader need one of at most {_SOCKET_PATH - _SOCKET_NAME}; set TMPDIR to a shorter one, such as "
            "/tmp, or `data.workers_per_gpu=0`"
        )


def set_up_worker(worker_id: int, then: Callable[[int], None] | None = None) -> None:
    """One thread for each worker: they are many already. ``then`` is a function of the user's."""
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    if then is not None:
        then(worker_id)


class Collate:
    """Joins samples with ``join``, past a ``Failure`` or a ``Replaced`` among them.

    Gives the batch, a ``Failure``, or a dictionary of a batch and its skips, which ``Loader`` takes apart
    (a dictionary, so that torch pins the memory of what is in it).
    """

    def __init__(self, join: Callable[[list[Any]], Any]) -> None:
        self.join = join

    def __call__(self, samples: list[Any]) -> Any:
        for sample in samples:
            if isinstance(sample, Failure):
                return sample
        skips = [skip for s in samples if isinstance(s, Replaced) for skip in s.skips]
        batch = self.join([s.sample if isinstance(s, Replaced) else s for s in samples])
        return {_BATCH: batch, _SKIPS: skips} if skips else batch


def collate(samples: list[Any]) -> Any:
    """Join samples into a batch.

    Args:
        samples: Dictionaries with the same keys. Tensors are stacked; ``img_metas``, ``index`` and ``gt``
            become lists of B items; a list over augmentations becomes a list of what its items become.

    Returns:
        The batch, or a ``Failure`` where a sample is one or where sizes differ.
    """
    for sample in samples:
        if isinstance(sample, Failure):
            return sample
    if not isinstance(samples[0], dict):
        return default_collate(samples)
    try:
        return {key: _join(key, [sample[key] for sample in samples], samples) for key in samples[0]}
    except UserError as error:
        return Failure(str(error))


def _join(key: str, values: list[Any], samples: list[dict[str, Any]]) -> Any:
    first = values[0]
    if key in ("index", "gt") or isinstance(first, dict | str):
        return values
    if isinstance(first, list | tuple):  # over augmentations
        return [_join(key, list(items), samples) for items in zip(*values, strict=True)]
    if isinstance(first, torch.Tensor):
        if any(v.shape != first.shape for v in values):
            raise UserError(_unequal(key, values, samples))
        if len(values) == 1 and get_worker_info() is None:
            return first[None]  # a worker must copy into shared memory anyway
    return default_collate(values)


def _unequal(key: str, values: list[torch.Tensor], samples: list[dict[str, Any]]) -> str:
    sizes = []
    for value, sample in zip(values, samples, strict=True):
        metas = sample.get("img_metas", {})
        meta = metas[0] if isinstance(metas, list) else metas
        size = f"{value.shape[-1]}x{value.shape[-2]}" if value.dim() > 1 else str(tuple(value.shape))
        sizes.append(size + (f" ({meta['ori_filename']})" if "ori_filename" in meta else ""))
    distinct = list(dict.fromkeys(sizes))
    shown = ", ".join(distinct[:4]) + (", ..." if len(distinct) > 4 else "")
    if isinstance(samples[0].get(key), list):
        remedy = "set `samples_per_gpu=1` for testing"
    else:
        remedy = "bring them to one size with `RandomCrop` and `Pad(size=...)` in the pipeline"
    return f"the samples of one batch differ in the size of `{key}`: {shown}; {remedy}"


def _check_truth(sample: Any, truth: np.ndarray) -> None:
    """Raise where the image of a test sample and its mask differ in size."""
    metas = sample.get("img_metas", {}) if isinstance(sample, dict) else {}
    meta = metas[0] if isinstance(metas, list) else metas
    shape = meta.get("ori_shape")
    if shape is not None and tuple(shape[:2]) != truth.shape:
        raise UserError(
            f"{meta.get('filename', 'an image')} is {shape[1]}x{shape[0]} (width x height), but its mask is "
            f"{truth.shape[1]}x{truth.shape[0]}; pair each image with a mask of the same scene and size"
        )
