"""The machine and the versions that a measurement belongs to."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from functools import cache
from importlib import import_module, metadata
from types import ModuleType
from typing import Any

# What a reader needs to know to measure the same: what we stand on, and the peers.
PACKAGES = (
    "torch",
    "torchvision",
    "timm",
    "numpy",
    "opencv-python-headless",
    "Pillow",
    "kornia-rs",
    "transformers",
    "segmentation-models-pytorch",
    "albumentations",
    "torchmetrics",
    "scikit-learn",
)


def machine() -> dict[str, Any]:
    """CPU, cores, threads, memory, system, GPUs."""
    import torch

    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return {
        "cpu": cpu_model(),
        "cores": cores(),
        "threads": torch.get_num_threads(),
        "memory_gb": memory_gb(),
        "system": f"{platform.system()} {platform.machine()}",
        "gpus": gpus,
    }


def versions() -> dict[str, str]:
    """Python and every package of ``PACKAGES`` that is installed, with its version."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def now() -> str:
    """Date and time in UTC, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S")


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cpu_model() -> str:
    """Name of the CPU, as the system tells it."""
    try:
        with open("/proc/cpuinfo") as file:
            for line in file:
                if line.lower().startswith(("model name", "hardware")):
                    return " ".join(line.partition(":")[2].split())
    except OSError:
        pass
    return platform.processor() or platform.machine()


def memory_gb() -> float | None:
    """Main memory in GB (1e9 bytes), None where the system does not tell."""
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1)
    except (AttributeError, OSError, ValueError):
        return None


def synchronise(device: Any) -> None:
    """Wait until ``device`` has done what it was given; nothing to wait for on a CPU."""
    kind = str(device).partition(":")[0]
    if kind != "cpu":
        import torch

        getattr(torch, kind).synchronize()


@cache
def peer(module: str, package: str | None = None) -> ModuleType | None:
    """Import a peer; where it is not installed, say so in one line (once) and return None.

    Args:
        module: What is imported, such as ``segmentation_models_pytorch``.
        package: Its name in the registry where that differs, for the line.
    """
    try:
        return import_module(module)
    except ImportError:
        name = package or module.partition(".")[0].replace("_", "-")
        print(f"{name} is not installed (pip install -e .[bench]); going on without it", flush=True)
        return None
