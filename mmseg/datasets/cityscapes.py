"""Cityscapes."""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np

from mmseg.conversion.label_ids import LABEL_IDS, UNLABELLED
from mmseg.core.evaluation import class_table, get_classes, get_palette
from mmseg.datasets.builder import DATASETS
from mmseg.datasets.cityscapes_scores import official_scores, official_truth
from mmseg.datasets.custom import CustomDataset
from mmseg.datasets.results import write_label_map
from mmseg.utils.errors import UserError
from mmseg.utils.logger import get_root_logger


@DATASETS.register_module()
class CityscapesDataset(CustomDataset):
    """Cityscapes in its 19 classes (train ids 0 to 18, 255 ignored).

    Cordts et al., The Cityscapes Dataset for Semantic Urban Scene Understanding, 2016.
    """

    CLASSES = get_classes("cityscapes")
    PALETTE = get_palette("cityscapes")

    def __init__(
        self,
        pipeline: Any,
        img_dir: str,
        img_suffix: str = "_leftImg8bit.png",
        seg_map_suffix: str = "_gtFine_labelTrainIds.png",
        **kwargs: Any,
    ) -> None:
        super().__init__(pipeline, img_dir, img_suffix=img_suffix, seg_map_suffix=seg_map_suffix, **kwargs)

    def label_ids(self) -> list[int]:
        """Return the label id (0 to 33, as the benchmark's server wants it) of each class."""
        ids = dict(zip(type(self).CLASSES, LABEL_IDS, strict=True))
        return [ids[name] for name in self.CLASSES]

    @property
    def ignored_value(self) -> int:
        """The label id of a pixel of no class."""
        return UNLABELLED

    def _result_colours(self) -> Sequence[Sequence[int]] | None:
        return self.PALETTE

    def result_files(self, imgfile_prefix: str, indices: Sequence[int] | None = None) -> list[str]:
        """Return the file of each sample: all in the folder itself, named after the images."""
        stems = self._result_stems
        return [
            os.path.join(imgfile_prefix, f"{stems[i]}.png")
            for i in (range(len(self)) if indices is None else indices)
        ]

    @cached_property
    def _result_stems(self) -> list[str]:
        stems = [os.path.splitext(os.path.basename(info["filename"]))[0] for info in self.img_infos]
        if len(set(stems)) < len(stems):
            counts = Counter(stems)
            twice = next(stem for stem in stems if counts[stem] > 1)
            raise UserError(
                f"two images are called {twice}, but result files stand in one folder; give them names of "
                "their own, or format their folders one after the other"
            )
        return stems

    def evaluate(
        self,
        results: Sequence[Any],
        metric: str | Sequence[str] = "mIoU",
        logger: Any = None,
        imgfile_prefix: str | None = None,
        gt_seg_maps: Any = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """Score predictions; with the metric ``cityscapes`` by the benchmark's own scripts.

        Args:
            results: As for ``CustomDataset``; for ``cityscapes`` label maps (H, W), or the files that
                ``format_results`` wrote, in the order of the data set.
            metric: Also 'cityscapes', which needs cityscapesScripts. The truth are the ``*labelIds.png``
                beside the masks, or else the masks themselves.
            logger: Gets the table of scores; None means the toolbox's own, 'silent' none.
            imgfile_prefix: Folder for the files of label maps; None means a temporary one.
            gt_seg_maps: As for ``CustomDataset``; ``cityscapes`` does not heed it.

        Returns:
            ``aAcc``, ``mIoU``, ...; for ``cityscapes`` what its scripts return: ``averageScoreClasses``,
            ``classScores``, ``averageScoreCategories``, ``averageScoreInstClasses``, ... from 0 to 1.

        Raises:
            UserError: as for ``CustomDataset``; cityscapesScripts is missing or refuses a file.
        """
        metrics = [metric] if isinstance(metric, str) else list(metric)
        others = [name for name in metrics if name != "cityscapes"]
        scores: dict[str, Any] = {}
        if "cityscapes" in metrics:
            scores.update(self._evaluate_official(results, logger, imgfile_prefix))
        if others or not metrics:
            scores.update(super().evaluate(results, others, logger, gt_seg_maps=gt_seg_maps, **kwargs))
        return scores

    def _evaluate_official(self, results: Sequence[Any], logger: Any, prefix: str | None) -> dict[str, Any]:
        if len(results) != len(self):
            raise UserError(
                f"there are {len(results)} results for {len(self)} samples; each sample needs one"
            )
        if results and isinstance(results[0], tuple):
            raise UserError("the metric `cityscapes` needs label maps or their files; set `pre_eval=False`")
        with tempfile.TemporaryDirectory() as folder:
            written = bool(results) and isinstance(results[0], str)
            files = list(results) if written else self.format_results(results, prefix or f"{folder}/results")
            masks = [self.get_ann_info(i)["seg_map"] for i in range(len(self))]
            official = official_truth([os.path.join(self.ann_dir or "", mask) for mask in masks])
            truths, instances = official or (self._write_truth(f"{folder}/truth"), False)
            scores = official_scores(files, truths, instances=instances)
        if logger != "silent":
            columns = {"IoU": "classScores", **({"iIoU": "classInstScores"} if instances else {})}
            table = {
                title: np.array([scores[key][c] for c in self.CLASSES]) for title, key in columns.items()
            }
            (logger or get_root_logger()).info("\n%s", class_table(table, self.CLASSES))
        return scores

    def _write_truth(self, folder: str) -> list[str]:
        """Write the masks as files of label ids, for a data set that comes without."""
        paths = [os.path.join(folder, f"{stem}_labelIds.png") for stem in self._result_stems]
        for path, truth in zip(paths, self.get_gt_seg_maps(), strict=True):
            write_label_map(path, truth, self.label_ids(), self.ignore_index, self.ignored_value)
        return paths
