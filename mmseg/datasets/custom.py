"""A data set of pairs of image and mask in two folders; every other data set derives from it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from mmseg.core.evaluation import intersect_and_union
from mmseg.datasets.binary import check_binary
from mmseg.datasets.builder import DATASETS
from mmseg.datasets.cache import open_cache
from mmseg.datasets.files import check_masks, find_pairs, has_pairs, read_names, read_pairs, read_split
from mmseg.datasets.img_infos import ImgInfo, ImgInfos
from mmseg.datasets.pipelines import Compose, LoadAnnotations
from mmseg.datasets.pipelines.fast import fast_read_mask
from mmseg.datasets.results import write_label_map
from mmseg.datasets.scoring import score
from mmseg.datasets.seeding import drawing_from, sample_rng
from mmseg.utils.errors import UserError, near_matches
from mmseg.utils.logger import get_root_logger

_PEERS = 200  # masks that are looked at before a 0/255 mask is refused


@DATASETS.register_module()
class CustomDataset:
    """Images and their masks, matched by name::

        data_root/img_dir/train/some/name.jpg
        data_root/ann_dir/train/some/name.png

    A mask holds a class in each pixel, 0 to the number of classes less one, or ``ignore_index``.

    Args:
        pipeline: Transforms, as dictionaries or callables.
        img_dir: Folder of the images, searched with its subfolders.
        img_suffix: End of the images' names.
        ann_dir: Folder of the masks; None for images without.
        seg_map_suffix: End of the masks' names, in place of ``img_suffix``.
        split: Text file with the names to use, one a line without suffix; None means all. Or with two
            paths a line, of an image and its mask, in any folders (separated by a tab, a comma or blanks;
            relative ones start from ``data_root``); ``img_dir`` and ``ann_dir`` then play no part.
        data_root: Folder that relative ``img_dir``, ``ann_dir`` and ``split`` start from.
        test_mode: Samples without masks (evaluation and inference).
        ignore_index: Value of pixels that do not count.
        reduce_zero_label: In masks 0 means ignored and classes count from 1. (LoadAnnotations in a
            training pipeline has the same switch.)
        classes: Names of the classes, or a text file with one a line; None means ``CLASSES`` of the class.
            Where the class has some, a subset of those: the others are ignored.
        palette: RGB colour of each class; None takes those of the class, or draws them.
        gt_seg_map_loader_cfg: Arguments of the ``LoadAnnotations`` that reads masks for evaluation.
        file_client_args: Only ``dict(backend='disk')``.
        task: 'binary' for masks of background (0) and foreground (255 or 1), which become the classes 0
            and 1, by default called 'background' and 'foreground'. ``ignore_index``, where it is not 255,
            is then the value in the masks that does not count; in label maps that is 255 here as well.
        exact_pipeline: Call every transform by itself and decode with OpenCV and Pillow only, instead of
            running the toolbox's own transforms as one step. Samples are the same with and without.
        cache: Keep decoded images and masks in memory, shared by workers and by the ranks of one machine:
            True (half of the free memory at most), a limit such as '4GB', or ``dict(limit='4GB',
            where='shared')``; ``where`` may be 'ram' (each rank its own) or a folder. What does not fit is
            read from the files each time. Samples are the same with and without.

    Attributes:
        CLASSES: Names of the classes.
        PALETTE: Their RGB colours.
        img_infos: One ``dict(filename=..., ann=dict(seg_map=...))`` for each sample, in a packed list.
        cache: The ``Cache`` of this data set, or None.
        label_map: With ``classes``, from the value in a mask to the class, -1 for one left out; else None.

    Raises:
        UserError: a folder, image or mask is missing, or the classes contradict each other.
    """

    CLASSES: Sequence[str] | None = None
    PALETTE: Sequence[Sequence[int]] | None = None

    def __init__(
        self,
        pipeline: Sequence[Any],
        img_dir: str | None = None,
        img_suffix: str = ".jpg",
        ann_dir: str | None = None,
        seg_map_suffix: str = ".png",
        split: str | None = None,
        data_root: str | None = None,
        test_mode: bool = False,
        ignore_index: int = 255,
        reduce_zero_label: bool = False,
        classes: str | Sequence[str] | None = None,
        palette: Sequence[Sequence[int]] | None = None,
        gt_seg_map_loader_cfg: dict[str, Any] | None = None,
        file_client_args: dict[str, Any] | None = None,
        task: str | None = None,
        exact_pipeline: bool = False,
        cache: bool | int | str | dict[str, Any] | None = None,
    ) -> None:
        self.task = task
        if task is not None:
            classes, palette = check_binary(
                type(self), task, classes, palette, reduce_zero_label, ignore_index
            )
        self.pipeline = Compose(pipeline, exact=exact_pipeline)
        self.img_dir = _below(data_root, img_dir)
        self.img_suffix = img_suffix
        self.ann_dir = _below(data_root, ann_dir)
        self.seg_map_suffix = seg_map_suffix
        self.split = _below(data_root, split)
        self.data_root = data_root
        self.test_mode = test_mode
        self.ignore_index = ignore_index if task is None else 255
        self._ignored_in_masks = ignore_index
        self.reduce_zero_label = reduce_zero_label
        self.label_map: dict[int, int] | None = None
        self.custom_classes = False
        self.CLASSES, self.PALETTE = self.get_classes_and_palette(classes, palette)
        self.gt_seg_map_loader = LoadAnnotations(
            **{
                "reduce_zero_label": reduce_zero_label,
                "file_client_args": file_client_args,
                **(gt_seg_map_loader_cfg or {}),
            }
        )
        if test_mode and self.CLASSES is None:
            raise UserError(f"{type(self).__name__} has no classes, which testing needs; set `classes`")
        if self.split is not None and has_pairs(self.split, self.img_dir, img_suffix):
            self.img_infos, self.img_dir, self.ann_dir = read_pairs(self.split, data_root)
        elif self.img_dir is None:
            raise UserError(
                f"{type(self).__name__} needs `img_dir`, the folder of the images, or a `split` file that "
                "names an image and its mask in each line"
            )
        else:
            self.img_infos = self.load_annotations(
                self.img_dir, self.img_suffix, self.ann_dir, self.seg_map_suffix, self.split
            )
            if not test_mode and self.ann_dir is not None:
                check_masks(self.img_infos, self.ann_dir)
        get_root_logger().info("%s: %d images in %s", type(self).__name__, len(self.img_infos), self.img_dir)
        self.cache = open_cache(cache, self.img_infos, self.img_dir, self.ann_dir, type(self).__name__)

    def __len__(self) -> int:
        return len(self.img_infos)

    def __getitem__(self, idx: int) -> dict[str, Any]:
        return self.prepare_test_img(idx) if self.test_mode else self.prepare_train_img(idx)

    def get_sample(self, index: int, rng: np.random.Generator | None = None) -> dict[str, Any]:
        """Return the sample ``index`` after its pipeline, drawing every random choice from ``rng``.

        Args:
            index: 0 to ``len(self) - 1``.
            rng: Goes to the transforms as ``results['rng']``; None makes a new one.
        """
        with drawing_from(rng):
            return self[index]  # so that a subclass may change any step on the way

    def load_annotations(
        self, img_dir: str, img_suffix: str, ann_dir: str | None, seg_map_suffix: str, split: str | None
    ) -> ImgInfos | list[ImgInfo]:
        """List the samples; by split file in its order, else by folder, sorted by name."""
        if split is not None:
            return read_split(split, img_dir, img_suffix, ann_dir, seg_map_suffix)
        return find_pairs(img_dir, img_suffix, ann_dir, seg_map_suffix)

    def get_ann_info(self, idx: int) -> dict[str, Any]:
        """Return ``dict(seg_map=...)`` of a sample.

        Raises:
            UserError: the data set has no masks.
        """
        ann = self.img_infos[idx].get("ann")
        if ann is None:
            raise UserError(
                f"{type(self).__name__} has no masks, which training and evaluation need; set `ann_dir`"
            )
        return ann

    def pre_pipeline(self, results: dict[str, Any]) -> None:
        """Put into ``results`` what the transforms need besides the sample's own entries."""
        rng = sample_rng.get()
        results["rng"] = np.random.default_rng() if rng is None else rng
        results["seg_fields"] = []
        results["img_prefix"] = self.img_dir
        results["seg_prefix"] = self.ann_dir
        results["ignore_index"] = self._ignored_in_masks
        if self.task is not None:
            results["task"] = self.task
        if self.CLASSES is not None:
            results["num_classes"] = len(self.CLASSES)
        if self.custom_classes and self.label_map:
            results["label_map"] = self.label_map
        results["peer_masks"] = self.some_masks
        if self.cache is not None:
            results["cache"] = self.cache

    def prepare_train_img(self, idx: int) -> dict[str, Any]:
        """Run the pipeline on a sample with its mask."""
        results = {"img_info": self.img_infos[idx], "ann_info": self.get_ann_info(idx)}
        self.pre_pipeline(results)
        return self.pipeline(results)

    def prepare_test_img(self, idx: int) -> dict[str, Any]:
        """Run the pipeline on an image alone."""
        results = {"img_info": self.img_infos[idx]}
        self.pre_pipeline(results)
        return self.pipeline(results)

    def get_gt_seg_map_by_idx(self, index: int) -> np.ndarray:
        """Return the label map (H, W) of a sample: classes or ``ignore_index``, in the file's own size."""
        results: dict[str, Any] = {"ann_info": self.get_ann_info(index)}
        self.pre_pipeline(results)
        loader = self.gt_seg_map_loader
        if type(loader) is LoadAnnotations and not getattr(self.pipeline, "exact", True):
            return loader.load(results, fast_read_mask)["gt_semantic_seg"]
        return loader(results)["gt_semantic_seg"]  # a loader of the user's own does what it does

    def get_gt_seg_maps(self) -> Iterator[np.ndarray]:
        """Give the label maps (H, W) of all samples, read one after another."""
        return (self.get_gt_seg_map_by_idx(i) for i in range(len(self)))

    def some_masks(self) -> Iterator[str]:
        """Give the mask files of at most 200 samples spread over the data set."""
        step = max(1, len(self.img_infos) // _PEERS)
        for info in self.img_infos[::step][:_PEERS]:
            if "ann" in info:
                yield os.path.join(self.ann_dir or "", info["ann"]["seg_map"])

    def get_classes_and_palette(
        self, classes: str | Sequence[str] | None = None, palette: Sequence[Sequence[int]] | None = None
    ) -> tuple[Sequence[str] | None, Sequence[Sequence[int]] | None]:
        """Return the class names and their colours, and set ``label_map`` for custom classes.

        Raises:
            UserError: a name is not among the class's own, comes twice, or has no colour.
        """
        if classes is None:
            self.custom_classes = False
            return self.CLASSES, self.PALETTE if palette is None else palette
        names = read_names(classes) if isinstance(classes, str) else classes
        if not isinstance(names, list | tuple) or not names:
            raise UserError(
                f"`classes` must be a list of names or a text file with one a line, not {classes!r}"
            )
        twice = [name for name in dict.fromkeys(names) if list(names).count(name) > 1]
        if twice:
            raise UserError(f"`classes` names `{twice[0]}` twice; each class comes once")
        self.custom_classes = True
        if self.CLASSES:
            for name in names:
                if name not in self.CLASSES:
                    raise UserError(
                        f"`classes` names `{name}`, which {type(self).__name__} does not have"
                        f"{near_matches(name, self.CLASSES)} (it has: {', '.join(self.CLASSES)})"
                    )
            order = {name: i for i, name in enumerate(names)}
            self.label_map = {old: order.get(name, -1) for old, name in enumerate(self.CLASSES)}
        return names, self.get_palette_for_custom_classes(names, palette)

    def get_palette_for_custom_classes(
        self, class_names: Sequence[str], palette: Sequence[Sequence[int]] | None = None
    ) -> Sequence[Sequence[int]]:
        """Return one RGB colour for each name: the given ones, the class's own, or drawn ones."""
        if palette is not None:
            if len(palette) < len(class_names):
                raise UserError(
                    f"`palette` has {len(palette)} colours for {len(class_names)} classes; give one for each"
                )
            return palette
        if self.label_map is not None and self.PALETTE is not None:
            kept = sorted((new, old) for old, new in self.label_map.items() if new >= 0)
            return [self.PALETTE[old] for _, old in kept]
        if self.PALETTE is not None:
            return self.PALETTE
        return np.random.RandomState(42).randint(0, 255, size=(len(class_names), 3)).tolist()

    def pre_eval(self, preds: Any, indices: Sequence[int]) -> list[tuple[Any, ...]]:
        """Count the pixels of predictions, so that label maps need not be kept.

        Args:
            preds: Label maps (H, W), or one of them.
            indices: Their samples.

        Returns:
            For each the areas (num_classes,) of intersection, union, prediction and truth.
        """
        preds = preds if isinstance(preds, list | tuple) else [preds]
        return [
            intersect_and_union(
                pred, self.get_gt_seg_map_by_idx(index), self._num_classes(), self.ignore_index
            )
            for pred, index in zip(preds, indices, strict=True)
        ]

    def evaluate(
        self,
        results: Sequence[Any],
        metric: str | Sequence[str] = "mIoU",
        logger: Any = None,
        gt_seg_maps: Any = None,
        **kwargs: Any,
    ) -> dict[str, float]:
        """Score predictions for the whole data set.

        Args:
            results: Label maps (H, W) or ``.npy`` files with them, in the order of the data set, or what
                ``pre_eval`` returned for all of them.
            metric: 'mIoU', 'mDice', 'mFscore', or several.
            logger: Gets the table of scores; None means the toolbox's own, 'silent' none.
            gt_seg_maps: Label maps to score against; None means the data set's own.

        Returns:
            ``aAcc``, ``mIoU``, ``IoU.road`` and so on, from 0 to 1.

        Raises:
            UserError: an unknown metric, or the number of results is not that of the samples.
        """
        names = list(self.CLASSES) if self._num_classes() else []
        if len(results) != len(self):
            raise UserError(
                f"there are {len(results)} results for {len(self)} samples; each sample needs one"
            )
        truth = self.get_gt_seg_maps() if gt_seg_maps is None else gt_seg_maps
        return score(results, truth, names, self.ignore_index, metric, logger)

    def format_results(
        self,
        results: Sequence[np.ndarray],
        imgfile_prefix: str,
        to_label_id: bool = True,
        indices: Sequence[int] | None = None,
    ) -> list[str]:
        """Write label maps as PNG files named after their images, as a benchmark's server wants them.

        Args:
            results: Label maps (H, W) of classes.
            imgfile_prefix: Folder to write to; made if missing.
            to_label_id: With the values of the data set's own masks (``label_ids``), not the classes.
            indices: Their samples; None means all in order.

        Returns:
            The paths of the files.

        Raises:
            UserError: a label is no class.
        """
        paths = self.result_files(imgfile_prefix, indices)
        values = self.label_ids() if to_label_id else list(range(self._num_classes()))
        ignored = self.ignored_value if to_label_id else self.ignore_index
        for result, path in zip(results, paths, strict=True):
            write_label_map(path, result, values, self.ignore_index, ignored, self._result_colours())
        return paths

    def result_files(self, imgfile_prefix: str, indices: Sequence[int] | None = None) -> list[str]:
        """Return the file that ``format_results`` writes for each of the samples ``indices`` (None: all)."""
        stems = (
            os.path.splitext(self.img_infos[i]["filename"])[0]
            for i in (range(len(self)) if indices is None else indices)
        )
        return [os.path.join(imgfile_prefix, f"{stem}.png") for stem in stems]

    def label_ids(self) -> list[int]:
        """Return the value in the mask files of each class: with ``reduce_zero_label`` they count from 1."""
        values = list(range(self._num_classes()))
        if self.custom_classes and self.label_map:
            values = [old for _, old in sorted((new, old) for old, new in self.label_map.items() if new >= 0)]
        return [value + int(self.reduce_zero_label) for value in values]

    @property
    def ignored_value(self) -> int:
        """Value in the mask files of a pixel of no class."""
        return 0 if self.reduce_zero_label else self.ignore_index

    def _result_colours(self) -> Sequence[Sequence[int]] | None:
        return None

    def _num_classes(self) -> int:
        if self.CLASSES is None:
            raise UserError(f"{type(self).__name__} has no classes, which evaluation needs; set `classes`")
        return len(self.CLASSES)


def _below(data_root: str | None, path: str | None) -> str | None:
    return path if path is None or data_root is None else os.path.join(data_root, path)
