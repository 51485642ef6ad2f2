"""Loaders of a run, as the config's ``data`` section describes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch.utils.data import DataLoader

from mmseg.datasets.builder import build_dataloader
from mmseg.datasets.on_error import on_error_of

_LOADER_KEYS = ("samples_per_gpu", "workers_per_gpu", "persistent_workers", "pin_memory", "prefetch_factor")


def train_loader(dataset: Any, data: Mapping[str, Any], *, seed: int, start_iter: int) -> DataLoader:
    """Endless training batches from iteration ``start_iter`` on; bad samples as the data set's ``on_error``
    says."""
    settings = {"on_error": on_error_of(dataset), "check": True, **loader_settings(data, "train")}
    return build_dataloader(
        dataset, seed=seed, shuffle=True, drop_last=True, start_iter=start_iter, **settings
    )


def val_loader(dataset: Any, data: Mapping[str, Any], *, seed: int) -> DataLoader:
    """One pass over the validation images and their masks."""
    settings = loader_settings(data, "val")
    settings["samples_per_gpu"] = (data.get("val_dataloader") or {}).get("samples_per_gpu", 1)  # as in 0.25
    return build_dataloader(dataset, shuffle=False, with_truth=True, seed=seed, **settings)


def loader_settings(data: Mapping[str, Any], split: str) -> dict[str, Any]:
    """Loader arguments of ``split``: those of ``data``, then those of ``data.SPLIT_dataloader``."""
    settings = {k: data[k] for k in _LOADER_KEYS if k in data}
    settings.update(data.get(f"{split}_dataloader") or {})
    settings.pop("shuffle", None)  # training shuffles, evaluation does not
    settings.setdefault("samples_per_gpu", 1)
    settings.setdefault("workers_per_gpu", 1)
    return settings
