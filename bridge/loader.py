"""The toolbox from a notebook: one object whose methods fetch, look, count, train, evaluate and show.

It works outside of a notebook too, where tables are printed and pictures are files. Of the package it uses
``mmseg.apis`` alone.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bridge import utils
from bridge.utils import display_tool, image_plots
from mmseg.apis import notebook

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import nn

__all__ = ["GlobalBridgeController", "MMSegConfig", "display_tool", "image_plots"]

CHECKPOINTS = "checkpoints"
_A_FEW, _ON_A_FIGURE = 4, 25  # images
IMAGE_DIR = "data/kitti-seg-competition/seg_data_processed/img_dir/val"


@dataclass
class MMSegConfig:
    """A model of the notebook.

    Attributes:
        model_name: What it is called.
        config_file: Its config.
        work_dir: Where its runs go.
        checkpoint_file: Its weights; None where there are none yet.
        checkpoint_url: Where they come from.
    """

    model_name: str
    config_file: str
    work_dir: str
    checkpoint_file: str | None = None
    checkpoint_url: str | None = None

    def __fspath__(self) -> str:
        return self.config_file


class GlobalBridgeController:
    """Everything that the notebook does.

    Where a method takes a ``config``, that is the path of a config file, what ``MMSegConfig`` returns, or a
    config in memory. For a path, the newest ``MMSegConfig`` with that file says where the run goes and
    which weights it has.
    """

    display_tool = staticmethod(display_tool)
    image_plots = staticmethod(image_plots)

    def __init__(self) -> None:
        self._models: dict[str, MMSegConfig] = {}

    def __repr__(self) -> str:
        names = ", ".join(model.model_name for model in self._models.values())
        return f"GlobalBridgeController({names or 'no models'})"

    def MMSegConfig(
        self,
        model_name: str,
        config_file: str | os.PathLike[str],
        work_dir: str | os.PathLike[str] | None = None,
        checkpoint_file: str | os.PathLike[str] | None = None,
        checkpoint_url: str | None = None,
    ) -> MMSegConfig:
        """Name a model; its weights are downloaded if there is an address and no file yet.

        Args:
            model_name: Also names the download, ``checkpoints/MODEL_NAME.pth``.
            config_file: Path of its config.
            work_dir: Where its runs go; by default the config's, or ``./work_dirs/CONFIG_NAME``.
            checkpoint_file: Path of its weights, which a training may make later.
            checkpoint_url: Where they can be had, if they are not on this machine.

        Raises:
            ValueError: the config cannot be read, or the weights cannot be had.
        """
        config_file = os.fspath(config_file)
        work_dir = os.fspath(work_dir) if work_dir is not None else notebook.default_work_dir(config_file)
        path = os.fspath(checkpoint_file) if checkpoint_file is not None else None
        if checkpoint_url is not None and (path is None or not os.path.exists(path)):
            path = path or os.path.join(CHECKPOINTS, f"{notebook.file_name(model_name)}.pth")
            with utils.tidy_output():
                notebook.download_checkpoint(checkpoint_url, path)
        model = MMSegConfig(model_name, config_file, work_dir, path, checkpoint_url)
        self._models[os.path.abspath(config_file)] = model
        return model

    # ------------------------------------------------------------------ the data

    def download_data(
        self,
        url: str = notebook.DATA_URL,
        data_dir: str | os.PathLike[str] = notebook.DATA_DIR,
        file: str | os.PathLike[str] | None = None,
    ) -> str:
        """Fetch the KITTI data set of the contest into ``data_dir``, once; ``file`` is an archive of it that
        is on this machine already. Returns ``data_dir``."""
        with utils.tidy_output():
            return notebook.download_data(url, data_dir, file)

    def convert_data(
        self,
        source: str | os.PathLike[str] | None = None,
        data_dir: str | os.PathLike[str] = notebook.DATA_DIR,
    ) -> dict[str, int]:
        """Bring the data set to the layout of the KITTI configs, once; ``source`` is KITTI's own
        ``data_semantics.zip`` or folder, in place of what was downloaded. Returns the frames by split."""
        with utils.tidy_output():
            return notebook.convert_data(source, data_dir)

    def show_data(self, config: Any, split: str = "train", number: int = 4) -> list[str]:
        """Show samples of a split: the file with its mask over it, and what the network sees of it.

        Returns:
            The pictures' files, in the work dir's ``browse``.
        """
        with utils.tidy_output():
            folder = os.path.join(self._work_dir(config), "browse")
            paths = notebook.sample_sheets(_plain(config), split, number, folder)
        for path in paths:
            utils.show(path)
        return paths

    def class_distribution(self, config: Any, split: str = "train") -> notebook.ClassDistribution:
        """Show how often each class occurs, and the weights that balance the classes in the loss."""
        with utils.tidy_output():
            result = notebook.class_distribution(_plain(config), split, self._work_dir(config))
        print(result.table)
        utils.show_charts(result.charts)
        return result

    # ------------------------------------------------------------------ the network

    def get_network(self, config: Any) -> nn.Module:
        """Build a network with random weights whose forward is ``forward_dummy``: images (N, C, H, W) to
        logits (N, classes, H, W)."""
        return notebook.network(_plain(config))

    def summarize_network(
        self, config: Any, image_shape: Sequence[int], transformer: bool = False, viz: bool = False
    ) -> notebook.NetworkSummary:
        """Show what a network costs for one image; it is counted without weights and without a GPU.

        Args:
            config: See the class.
            image_shape: (H, W), or one number for both.
            transformer: Print the table by module, whose costs hold the products of attention, instead of
                the layers with their output sizes. The totals hold them in both.
            viz: Show a chart of the costs of the network's parts.

        Raises:
            ValueError: the network does not take such an image.
        """
        charts = self._work_dir(config) if viz else None
        result = notebook.summarize(_plain(config), image_shape, transformer, charts)
        print(result.table)
        print("\n".join(["", *result.notes, "", result.summary()]))
        utils.show_charts(result.charts)
        return result

    def compare_networks(
        self, configs: Mapping[str, Any], image_shape: Sequence[int], viz: bool = True
    ) -> dict[str, notebook.NetworkSummary]:
        """Show what several networks cost for one image: name → config gives name → summary."""
        found = {n: notebook.summarize(_plain(c), image_shape, transformer=True) for n, c in configs.items()}
        print(notebook.cost_table(found))
        if viz and found:
            utils.show(notebook.cost_bars({name: (s.macs, s.params) for name, s in found.items()}))
        return found

    # ------------------------------------------------------------------ the run

    def train_network(
        self, config: Any, load_from: str | os.PathLike[str] | None = None
    ) -> notebook.TrainingResult:
        """Train a network as its config says, show its curves.

        Args:
            config: See the class.
            load_from: A checkpoint to start from, in place of the config's ``load_from``.

        Raises:
            ValueError: a mistake in the config, the data or the files that it names.
        """
        start = os.fspath(load_from) if load_from is not None else None
        with utils.tidy_output():
            result = notebook.train(_plain(config), self._work_dir(config), start)
        print(f"the training is finished: {result.summary()}")
        utils.show_charts(result.charts)
        return result

    def evaluation_network(
        self,
        config: Any,
        work_dir: str | os.PathLike[str],
        opacity: float = 0.5,
        load_from: str | os.PathLike[str] | None = None,
        multi_scale: bool = False,
    ) -> notebook.EvaluationResult:
        """Score a checkpoint on the test data, show the scores of its classes and write its pictures.

        Args:
            config: See the class.
            work_dir: Receives an overlay for each image, and in ``gray/`` the label maps.
            opacity: Of the overlays, above 0 and at most 1.
            load_from: The checkpoint; by default the model's ``checkpoint_file``, or the best of its run.
            multi_scale: Average over six scales and their mirror images.

        Raises:
            ValueError: a mistake in the config, the data or the checkpoint.
        """
        out_dir = os.fspath(work_dir)
        with utils.tidy_output():
            checkpoint = os.fspath(load_from) if load_from is not None else self._checkpoint(config)
            result = notebook.evaluate_checkpoint(_plain(config), checkpoint, out_dir, opacity, multi_scale)
        if result.table:
            print(result.table)
        print(f"evaluated: {result.summary()}")
        utils.show_charts(result.charts)
        return result

    # ------------------------------------------------------------------ showing

    def show_results(
        self,
        prediction_dir: str | os.PathLike[str],
        image_dir: str | os.PathLike[str] = IMAGE_DIR,
        show_all: bool = False,
    ) -> list[Figure]:
        """Show images beside their predictions.

        Args:
            prediction_dir: The ``work_dir`` of ``evaluation_network``.
            image_dir: Folder of the images.
            show_all: All of them instead of a few.

        Returns:
            The figures, at most 25 images on each.

        Raises:
            ValueError: a folder does not exist, or no prediction belongs to an image.
        """
        pairs = notebook.find_results(os.fspath(prediction_dir), os.fspath(image_dir))
        few = min(_A_FEW, len(pairs))
        shown = pairs if show_all else [pairs[i * len(pairs) // few] for i in range(few)]
        figures = []
        for start in range(0, len(shown), _ON_A_FIGURE):
            page = shown[start : start + _ON_A_FIGURE]
            captions = [text for name, _, _ in page for text in (name, "prediction")]
            pictures = [path for _, image, prediction in page for path in (image, prediction)]
            figures.append(image_plots(pictures, captions, rows=len(page), cols=2))
        rest = "" if len(shown) == len(pairs) else "; show_all=True shows all"
        print(f"{len(shown)} of {len(pairs)} predictions{rest}")
        return figures

    def printer(self, txt: str | os.PathLike[str]) -> str:
        """Print a text or the content of a text file, such as a log; returns what was printed."""
        return utils.print_text(txt)

    # ------------------------------------------------------------------ what is known of a config

    def _model(self, config: Any) -> MMSegConfig | None:
        if isinstance(config, MMSegConfig):
            return config
        return self._models.get(os.path.abspath(config)) if isinstance(config, str | os.PathLike) else None

    def _work_dir(self, config: Any) -> str:
        model = self._model(config)
        return model.work_dir if model is not None else notebook.default_work_dir(config)

    def _checkpoint(self, config: Any) -> str:
        model = self._model(config)
        if model is not None and model.checkpoint_file is not None:
            return model.checkpoint_file
        return notebook.default_checkpoint(self._work_dir(config))


def _plain(config: Any) -> Any:
    """A path as a string; anything else as it is."""
    return os.fspath(config) if isinstance(config, str | os.PathLike) else config
