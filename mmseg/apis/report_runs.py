"""What a report is given: the folder of a run, or results of ``tools/test.py`` or of an earlier report."""

from __future__ import annotations

import glob
import json
import os
import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from mmseg.engine.run_log import read_run_log
from mmseg.utils.checkpoint_files import find_latest_checkpoint
from mmseg.utils.errors import UserError

RESULTS_FILE = "report_data.npz"
_BEST = re.compile(r"best_.+_(?:iter|epoch)_(\d+)\.pth")


@dataclass
class Source:
    """Where the parts of a report come from; what is None is not there.

    Attributes:
        name: What the run is called.
        folder: Where the results file lies, or belongs.
        config: Path of the config file.
        checkpoint: Path of the checkpoint to evaluate.
        results: Path of a results file.
        scores: Content of the newest ``eval_*.json`` of ``tools/test.py``.
        maps: Path of label maps of ``tools/test.py --out``.
        fixed: Whether a results file was given itself, so that it is taken as it is.
    """

    name: str
    folder: str
    config: str | None = None
    checkpoint: str | None = None
    results: str | None = None
    scores: dict[str, Any] | None = None
    maps: str | None = None
    fixed: bool = False


def find_source(path: str, *, config: str | None = None, checkpoint: str | None = None) -> Source:
    """Look at what ``path`` is and at what lies beside it.

    Args:
        path: A folder, ``report_data.npz``, ``eval_*.json``, or label maps (``.npz``, ``.pkl``).
        config, checkpoint: Taken instead of those that are found.

    Raises:
        UserError: there is nothing to report on.
    """
    if not os.path.exists(path):
        raise UserError(
            f"{path} does not exist; give the work dir of a run, or results: report_data.npz, eval_*.json or "
            "what tools/test.py --out wrote"
        )
    if os.path.isdir(path):
        source = _of_folder(os.path.normpath(path), config is None, checkpoint is None)
    elif path.endswith(".json"):
        source = _of_scores(path)
    elif path.endswith(".npz") and _is_results(path):
        source = Source(_stem(path), os.path.dirname(path) or ".", results=path, fixed=True)
        if os.path.basename(path) == RESULTS_FILE:
            source.name = os.path.basename(os.path.abspath(source.folder))
    elif path.endswith((".npz", ".pkl", ".pickle")):
        if config is None:
            raise UserError(f"{path} holds label maps only; say what they are of with --config")
        source = Source(_stem(path), os.path.dirname(path) or ".", maps=path)
    else:
        raise UserError(
            f"{path} is no run: give its work dir, or results: report_data.npz, eval_*.json or label maps "
            "(.npz, "
            ".pkl)"
        )
    source.config = config or source.config
    source.checkpoint = checkpoint or source.checkpoint
    return source


def _of_folder(folder: str, want_config: bool, want_checkpoint: bool) -> Source:
    source = Source(os.path.basename(os.path.abspath(folder)), folder)
    if want_config:
        source.config = max(glob.glob(os.path.join(glob.escape(folder), "*.py")), key=_age, default=None)
    if want_checkpoint:
        source.checkpoint = best_checkpoint(folder)
    results = os.path.join(folder, RESULTS_FILE)
    source.results = results if os.path.isfile(results) else None
    evaluations = glob.glob(os.path.join(glob.escape(folder), "eval_*.json"))
    if evaluations:
        source.scores = _of_scores(max(evaluations, key=_age)).scores
    logs = read_run_log(folder)
    if not (source.checkpoint or source.results or source.scores or logs or not want_checkpoint):
        raise UserError(
            f"{folder} holds no run: no checkpoint (*.pth), no log (*.log.json, train.csv) and no results; "
            "give "
            "the work dir of tools/train.py or tools/test.py"
        )
    return source


def best_checkpoint(folder: str) -> str | None:
    """The checkpoint with the best validation score, or the latest where none was kept."""
    found = [(int(m[1]), name) for name in os.listdir(folder) if (m := _BEST.fullmatch(name))]
    return os.path.join(folder, max(found)[1]) if found else find_latest_checkpoint(folder)


def _of_scores(path: str) -> Source:
    try:
        with open(path, encoding="utf-8") as file:
            content = json.load(file)
        metric = content["metric"]
        scores = {key: float("nan") if v is None else float(v) for key, v in metric.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise UserError(
            f"{path} is no file of scores: tools/test.py --eval writes eval_*.json with `config`, "
            "`checkpoint` and "
            "`metric`"
        ) from None
    source = Source(_stem(path), os.path.dirname(path) or ".", scores={**content, "metric": scores})
    for key in ("config", "checkpoint"):
        value = content.get(key)
        setattr(source, key, value if isinstance(value, str) and os.path.isfile(value) else None)
    results = os.path.join(source.folder, RESULTS_FILE)
    source.results = results if os.path.isfile(results) else None
    return source


def read_label_maps(path: str) -> list[np.ndarray]:
    """The label maps that ``tools/test.py --out`` wrote; a pickle is read without running it.

    Raises:
        UserError: the file holds something else.
    """
    try:
        if path.endswith(".npz"):
            with np.load(path, allow_pickle=False) as file:
                return [file[f"arr_{i}"] for i in range(len(file.files))]
        from mmseg.utils.safe_unpickler import finish, load_pickle

        with open(path, "rb") as file:
            maps = finish(load_pickle(file), lambda tensor: tensor)
        return [np.asarray(label).reshape(label.shape) for label in maps]
    except Exception as error:  # a foreign file fails anywhere
        raise UserError(
            f"{path} holds no label maps as tools/test.py --out writes them ({_why(error)})"
        ) from None


def _why(error: Exception) -> str:
    if isinstance(error, ValueError) and "allow_pickle" in str(error):  # numpy advises to run what is there
        return "neither an .npz archive nor an array"
    return f"{type(error).__name__}: {error}"


def _is_results(path: str) -> bool:
    try:
        with np.load(path, allow_pickle=False) as file:
            return "arr_0" not in file.files
    except Exception:  # broken: reading it as results says so
        return True


def _stem(path: str) -> str:
    return os.path.splitext(os.path.basename(path))[0]


def _age(path: str) -> int:
    return os.stat(path).st_mtime_ns
