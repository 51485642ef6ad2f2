"""Data sets made of others: joined, repeated, several samples mixed into one."""

from __future__ import annotations

import bisect
import os
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

import numpy as np
import torch.utils.data

from mmseg.datasets.builder import DATASETS, PIPELINES
from mmseg.datasets.img_infos import Joined
from mmseg.datasets.pipelines import Compose
from mmseg.datasets.scoring import score
from mmseg.datasets.seeding import drawing_from, sample_of
from mmseg.utils.errors import UserError


class _Wrapper:
    """What every data set of data sets has: the classes of the first, and samples that draw from ``rng``."""

    def _take_over(self, dataset: Any) -> None:
        self.CLASSES = getattr(dataset, "CLASSES", None)
        self.PALETTE = getattr(dataset, "PALETTE", None)
        self.ignore_index = getattr(dataset, "ignore_index", 255)
        self.task = getattr(dataset, "task", None)

    def get_sample(self, index: int, rng: np.random.Generator | None = None) -> dict[str, Any]:
        """Return the sample ``index``, drawing every random choice from ``rng`` (None makes a new one)."""
        with drawing_from(rng):
            return self[index]  # type: ignore[index]


@DATASETS.register_module()
class ConcatDataset(_Wrapper, torch.utils.data.ConcatDataset):
    """Several data sets of the same classes, one after another.

    Args:
        datasets: The data sets.
        separate_eval: Score each on its own, with keys such as ``0_mIoU``, ``1_mIoU``; otherwise all
            together.

    Raises:
        UserError: there is none, or their classes or ignored values differ.
    """

    def __init__(self, datasets: Sequence[Any], separate_eval: bool = True) -> None:
        if not datasets:
            raise UserError("ConcatDataset joins data sets, but `datasets` is empty")
        super().__init__(list(datasets))
        self._take_over(datasets[0])
        self.separate_eval = separate_eval
        for i, dataset in enumerate(datasets):
            for name in ("CLASSES", "ignore_index", "task"):
                mine, its = getattr(self, name), getattr(dataset, name, getattr(self, name))
                if its is not mine and (None in (mine, its) or not np.array_equal(mine, its)):
                    raise UserError(
                        f"ConcatDataset joins data sets of the same `{name}`, but that of number {i} "
                        f"({type(dataset).__name__}) is {_short(its)} and that of number 0 {_short(mine)}"
                    )

    def __getitem__(self, idx: int) -> Any:
        dataset_idx, sample_idx = self.get_dataset_idx_and_sample_idx(idx)
        return sample_of(self.datasets[dataset_idx], sample_idx)

    def get_dataset_idx_and_sample_idx(self, indice: int) -> tuple[int, int]:
        """Return in which data set the sample ``indice`` is, and which of its samples; -1 is the last.

        Raises:
            IndexError: there are not that many samples.
        """
        index = indice + len(self) if indice < 0 else indice
        if not 0 <= index < len(self):
            raise IndexError(f"sample {indice} of {len(self)}")
        dataset_idx = bisect.bisect_right(self.cumulative_sizes, index)
        start = self.cumulative_sizes[dataset_idx - 1] if dataset_idx else 0
        return dataset_idx, index - start

    def parts(self) -> list[range]:
        """The samples of each data set."""
        return [
            range(stop - len(d), stop) for stop, d in zip(self.cumulative_sizes, self.datasets, strict=True)
        ]

    def eval_parts(self) -> list[range]:
        """The samples to score on their own, besides all together; none without ``separate_eval``."""
        return self.parts() if self.separate_eval else []

    @property
    def img_infos(self) -> Sequence[dict[str, Any]]:
        """Those of all data sets."""
        return Joined([dataset.img_infos for dataset in self.datasets])

    def get_gt_seg_map_by_idx(self, index: int) -> np.ndarray:
        """Return the label map (H, W) of a sample."""
        dataset_idx, sample_idx = self.get_dataset_idx_and_sample_idx(index)
        return self.datasets[dataset_idx].get_gt_seg_map_by_idx(sample_idx)

    def get_gt_seg_maps(self) -> Iterator[np.ndarray]:
        """Give the label maps (H, W) of all samples, read one after another."""
        return chain.from_iterable(dataset.get_gt_seg_maps() for dataset in self.datasets)

    def pre_eval(self, preds: Any, indices: Sequence[int]) -> list[tuple[Any, ...]]:
        """Count the pixels of predictions; see ``CustomDataset.pre_eval``."""
        preds = preds if isinstance(preds, list | tuple) else [preds]
        counts = []
        for pred, index in zip(preds, indices, strict=True):
            dataset_idx, sample_idx = self.get_dataset_idx_and_sample_idx(index)
            counts += self.datasets[dataset_idx].pre_eval(pred, [sample_idx])
        return counts

    def evaluate(
        self,
        results: Sequence[Any],
        metric: str | Sequence[str] = "mIoU",
        logger: Any = None,
        **kwargs: Any,
    ) -> dict[str, float]:
        """Score predictions for all samples; see ``CustomDataset.evaluate``.

        Returns:
            ``mIoU`` and so on; with ``separate_eval`` those of each data set, as ``0_mIoU``, ``1_mIoU``.
        """
        if len(results) != len(self):
            raise UserError(
                f"there are {len(results)} results for {len(self)} samples; each sample needs one"
            )
        if not self.separate_eval:
            truth = self.get_gt_seg_maps()
            return score(results, truth, list(self.CLASSES or ()), self.ignore_index, metric, logger)
        scores = {}
        for i, (part, dataset) in enumerate(zip(self.parts(), self.datasets, strict=True)):
            own = dataset.evaluate(results[part.start : part.stop], metric=metric, logger=logger, **kwargs)
            scores.update({f"{i}_{key}": value for key, value in own.items()})
        return scores

    def format_results(
        self,
        results: Sequence[np.ndarray],
        imgfile_prefix: str,
        indices: Sequence[int] | None = None,
        **kwargs: Any,
    ) -> list[str]:
        """Write label maps as each data set does, into ``imgfile_prefix/0``, ``imgfile_prefix/1``, ..."""
        paths = []
        for result, index in zip(results, range(len(self)) if indices is None else indices, strict=True):
            dataset_idx, sample_idx = self.get_dataset_idx_and_sample_idx(index)
            folder = os.path.join(imgfile_prefix, str(dataset_idx))
            paths += self.datasets[dataset_idx].format_results(
                [result], folder, indices=[sample_idx], **kwargs
            )
        return paths


@DATASETS.register_module()
class RepeatDataset(_Wrapper):
    """A data set several times over; each time its samples are drawn anew.

    Args:
        dataset: The data set.
        times: How often, at least once.

    Raises:
        UserError: ``times`` is out of range.
    """

    def __init__(self, dataset: Any, times: int) -> None:
        if not isinstance(times, int) or isinstance(times, bool) or times < 1:
            raise UserError(f"RepeatDataset: `times` must be a whole number of at least 1, not {times!r}")
        self.dataset, self.times = dataset, times
        self._take_over(dataset)

    def __len__(self) -> int:
        return self.times * len(self.dataset)

    def __getitem__(self, idx: int) -> Any:
        if not -len(self) <= idx < len(self):
            raise IndexError(f"sample {idx} of {len(self)}")
        return sample_of(self.dataset, idx % len(self.dataset))

    @property
    def img_infos(self) -> Sequence[dict[str, Any]]:
        """Those of the data set, repeated."""
        return Joined([self.dataset.img_infos], self.times)

    def get_gt_seg_map_by_idx(self, index: int) -> np.ndarray:
        """Return the label map (H, W) of a sample."""
        return self.dataset.get_gt_seg_map_by_idx(index % len(self.dataset))


@DATASETS.register_module()
class MultiImageMixDataset(_Wrapper):
    """A data set whose pipeline may mix several samples of another one, as ``RandomMosaic`` does.

    A transform that has ``get_indexes(dataset)`` finds the samples that it names in
    ``results['mix_results']``; the entry is gone after it.

    Args:
        dataset: Gives the samples to be mixed; its own pipeline loads image and mask.
        pipeline: Transforms, as dictionaries or callables, after that of ``dataset``.
        skip_type_keys: Types of transforms to leave out.
        exact_pipeline: As for ``CustomDataset``: call every transform of ``pipeline`` by itself.

    Attributes:
        pipeline: The transforms, with the names of their types in ``pipeline_types``.

    Raises:
        UserError: the arguments are of another kind, or name an unknown transform.
    """

    def __init__(
        self,
        dataset: Any,
        pipeline: Sequence[Any],
        skip_type_keys: Sequence[str] | None = None,
        exact_pipeline: bool = False,
    ) -> None:
        if not isinstance(pipeline, list | tuple):
            raise UserError(f"MultiImageMixDataset: `pipeline` is a list of transforms, not {pipeline!r}")
        self.dataset = dataset
        self._take_over(dataset)
        self.pipeline: list[Any] = []
        self.pipeline_types: list[str] = []
        for transform in pipeline:
            if not isinstance(transform, dict) and not callable(transform):
                raise UserError(
                    "MultiImageMixDataset: a pipeline holds dictionaries with `type` or callables, "
                    f"not {transform!r}"
                )
            kind = transform.get("type") if isinstance(transform, dict) else type(transform)
            self.pipeline.append(PIPELINES.build(transform) if isinstance(transform, dict) else transform)
            self.pipeline_types.append(kind if isinstance(kind, str) else getattr(kind, "__name__", ""))
        self._kept = Compose([], exact=exact_pipeline)
        self.update_skip_type_keys(skip_type_keys)

    def update_skip_type_keys(self, skip_type_keys: Sequence[str] | None) -> None:
        """Leave out the transforms of these types from now on."""
        if skip_type_keys is not None and not (
            isinstance(skip_type_keys, list | tuple) and all(isinstance(key, str) for key in skip_type_keys)
        ):
            raise UserError(
                f"MultiImageMixDataset: `skip_type_keys` is a list of names, not {skip_type_keys!r}"
            )
        self._skip_type_keys = skip_type_keys

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, idx: int) -> Any:
        with drawing_from(None, keep=True) as rng:
            results = self._sample(idx, rng)
            for step in self._steps():
                if hasattr(step, "get_indexes"):
                    indexes = step.get_indexes(self.dataset)
                    indexes = indexes if isinstance(indexes, list | tuple) else [indexes]
                    results["mix_results"] = [self._sample(int(i), rng) for i in indexes]
                results = step(results)
                if results is None:
                    return None
                results.pop("mix_results", None)
            return results

    def _steps(self) -> list[Any]:
        """The transforms that are not skipped; runs of the toolbox's own go as one step (see ``Compose``)."""
        skipped = self._skip_type_keys or ()
        kinds = zip(self.pipeline, self.pipeline_types, strict=True)
        self._kept.transforms = [transform for transform, kind in kinds if kind not in skipped]
        return self._kept.steps()

    def _sample(self, index: int, rng: np.random.Generator) -> dict[str, Any]:
        """A sample whose entries may be replaced, even where the data set keeps the dictionary."""
        sample = dict(sample_of(self.dataset, index))
        if "seg_fields" in sample:
            sample["seg_fields"] = list(sample["seg_fields"])
        sample["rng"] = rng
        return sample

    @property
    def img_infos(self) -> Sequence[dict[str, Any]]:
        """Those of the data set that gives the samples."""
        return self.dataset.img_infos

    def get_gt_seg_map_by_idx(self, index: int) -> np.ndarray:
        """Return the label map (H, W) of a sample, unmixed."""
        return self.dataset.get_gt_seg_map_by_idx(index)


def _short(value: Any) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    return text if len(text) < 80 else f"{text[:77]}..."
