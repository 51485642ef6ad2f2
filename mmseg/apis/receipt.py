"""Filling in the receipt of a score, and evaluating a checkpoint with one."""

from __future__ import annotations

import json
import os
import platform
import re
import shlex
import sys
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import torch

from mmseg.config import Config
from mmseg.core.evaluation.hashes import flat_values, hash_files, hash_json, hash_tensors
from mmseg.core.evaluation.receipt import FORMAT, Counts, pack_counts
from mmseg.core.evaluation.report import json_ready
from mmseg.datasets.file_list import file_lists
from mmseg.engine.evaluator import Evaluation
from mmseg.engine.precision import precision_from
from mmseg.utils.checkpoint import state_dict_of
from mmseg.utils.distributed import get_world_size
from mmseg.utils.env import collect_env

CONTENTS = ("full", "names", "none")


def make_receipt(
    cfg: Config,
    saved: Mapping[str, Any],
    dataset: Any,
    result: Evaluation,
    *,
    device: torch.device,
    scores: Mapping[str, Any] | None = None,
    contents: bool = True,
    asked: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the receipt of ``result``, as JSON can hold it.

    Args:
        cfg: The config, resolved, that was evaluated.
        saved: The checkpoint.
        dataset: Built from ``cfg.data.test``.
        device: Where the model stood.
        scores: As the score file has them; None takes those of ``result``.
        contents: Also hash what the images and masks hold; see docs/scores.md for what that costs.
        asked: What was asked for: ``config``, ``checkpoint``, ``cfg_options``, ``aug_test``.
    """
    asked = dict(asked or {})
    counts = Counts(list(dataset.CLASSES), result.names, result.per_image, result.confusion)
    return {
        "format": FORMAT,
        "made": datetime.now().astimezone().isoformat(timespec="seconds"),
        "command": shlex.join(sys.argv),
        "config_file": os.path.abspath(asked["config"]) if asked.get("config") else None,
        "checkpoint_file": os.path.abspath(asked["checkpoint"]) if asked.get("checkpoint") else None,
        "config_options": repr(asked.get("cfg_options") or {}),
        "aug_test": bool(asked.get("aug_test")),
        **inputs_of(cfg, saved, dataset, contents=contents),
        "versions": versions(),
        "machine": machine(cfg, device),
        "seed": cfg.get("seed"),
        "scores": json_ready(dict(result.scores if scores is None else scores)),
        "counts": pack_counts(counts),
    }


def inputs_of(
    cfg: Config, saved: Mapping[str, Any], dataset: Any, *, contents: bool = True
) -> dict[str, dict[str, Any]]:
    """Hashes of all that a score follows from: ``weights``, ``config``, ``data``, ``pipeline``."""
    values = flat_values(cfg.to_dict() if hasattr(cfg, "to_dict") else dict(cfg))
    tensors = hash_tensors(state_dict_of(saved))
    lists = file_lists(dataset)
    parts, names = [], []
    for files in lists:
        names.append([files.kind, files.images, files.masks])
        image_hashes: list[str | None] = [None] * len(files.images)
        mask_hashes: list[str | None] = [None] * len(files.masks)
        if contents:
            image_hashes, mask_hashes = hash_files(files.image_paths()), hash_files(files.mask_paths())
        parts.append(
            {
                "kind": files.kind,
                "img_dir": files.img_dir,
                "ann_dir": files.ann_dir,
                "images": dict(zip(files.images, image_hashes, strict=True)),
                "masks": dict(zip(files.masks, mask_hashes, strict=True)),
            }
        )
    # An object without a text of its own is shown with its address, which is another one each time.
    pipelines = [re.sub(r" at 0x[0-9a-f]+", "", files.pipeline) for files in lists]
    hashes = [[list(part["images"].values()), list(part["masks"].values())] for part in parts]
    return {
        "weights": {"sha256": hash_json(tensors), "tensors": tensors},
        "config": {"sha256": hash_json(values), "values": values},
        "data": {
            "names_sha256": hash_json(names),
            "contents_sha256": hash_json(hashes) if contents else None,
            "parts": parts,
        },
        "pipeline": {"sha256": hash_json(pipelines), "text": pipelines},
    }


def versions() -> dict[str, str]:
    """What computed the score."""
    env = collect_env()
    names = {"mmseg": "MMSegmentation", "torch": "PyTorch", "numpy": "NumPy", "opencv": "OpenCV"}
    names |= {"pillow": "Pillow", "cuda": "CUDA", "cudnn": "cuDNN"}
    return {"python": platform.python_version()} | {k: env[v] for k, v in names.items() if v in env}


def machine(cfg: Config, device: torch.device) -> dict[str, Any]:
    """Where the score was computed and in which numbers; what may round differently elsewhere."""
    on_cuda = device.type == "cuda"
    dtype = precision_from(cfg.get("fp16")).dtype
    return {
        "device": device.type,
        "device_name": torch.cuda.get_device_name(device) if on_cuda else _processor(),
        "threads": None if on_cuda else torch.get_num_threads(),
        "precision": str(dtype or torch.float32).removeprefix("torch."),
        "tf32": bool(on_cuda and torch.backends.cuda.matmul.allow_tf32),
        "cudnn_benchmark": bool(on_cuda and torch.backends.cudnn.benchmark),
        "world_size": get_world_size(),
    }


def _processor() -> str:
    """Name of the processor, and the instructions that torch uses on it."""
    name = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            name = next((line.partition(":")[2].strip() for line in file if "model name" in line), name)
    except OSError:
        pass
    return f"{name} ({torch.backends.cpu.get_cpu_capability()})"


def write_json(path: str, content: Mapping[str, Any]) -> None:
    """Write ``content`` with NaN as null, as a whole or not at all; lists of numbers stay on one line."""
    temporary = f"{path}.{os.getpid()}.tmp"
    try:
        with open(temporary, "w", encoding="utf-8") as file:
            file.write(_number_lists_inline(json.dumps(json_ready(content), indent=2)) + "\n")
        os.replace(temporary, path)
    finally:
        if os.path.exists(temporary):
            os.remove(temporary)


def _number_lists_inline(text: str) -> str:
    def join(found: re.Match[str]) -> str:
        return "[" + " ".join(found[1].split()) + "]"

    return re.sub(r"\[\n\s+([-\d.,e+\s]+?)\n\s+\]", join, text)
