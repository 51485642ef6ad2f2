"""What this run stands on: versions and devices, for logs and bug reports."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Callable


def collect_env() -> dict[str, str]:
    """Return versions and devices by name, in the words of MMSegmentation 0.25's logs.

    What is absent or does not answer is said so; nothing here raises.
    """
    env = {
        "sys.platform": sys.platform,
        "Platform": platform.platform(),
        "Python": sys.version.replace("\n", ""),
        "CPU count": str(os.cpu_count()),
    }
    env.update(_try("PyTorch", _torch))
    env.update(_try("CUDA available", _gpus))
    for label in ("TorchVision", "timm", "NumPy", "Pillow"):
        env.update(_try(label, lambda label=label: {label: _version(label)}))
    env.update(_try("OpenCV", _opencv))
    env.update(_try("MMSegmentation", lambda: {"MMSegmentation": _toolbox()}))
    return env


def _try(label: str, collect: Callable[[], dict[str, str]]) -> dict[str, str]:
    try:
        return collect()
    except Exception as error:  # a broken driver must not stop a training run
        return {label: f"not available ({str(error).partition(chr(10))[0] or type(error).__name__})"}


def _torch() -> dict[str, str]:
    import torch

    return {"PyTorch": torch.__version__, "PyTorch threads": str(torch.get_num_threads())}


def _gpus() -> dict[str, str]:
    import torch

    env = {
        "CUDA available": str(torch.cuda.is_available()),
        "MPS available": str(torch.backends.mps.is_available()),
    }
    if torch.cuda.is_available():
        by_name: dict[str, list[str]] = {}
        for i in range(torch.cuda.device_count()):
            gpu = torch.cuda.get_device_properties(i)
            by_name.setdefault(f"{gpu.name} ({gpu.total_memory / 2**30:.0f} GiB)", []).append(str(i))
        env.update({f"GPU {','.join(ids)}": name for name, ids in by_name.items()})
        env["CUDA"] = str(torch.version.cuda)
        env["cuDNN"] = str(torch.backends.cudnn.version())
    return env


def _version(distribution: str) -> str:
    """Version from the installed metadata: importing torchvision or timm would take seconds."""
    from importlib import metadata

    return metadata.version(distribution)


def _opencv() -> dict[str, str]:
    import cv2  # installed by distributions of several names

    return {"OpenCV": cv2.__version__}


def _toolbox() -> str:
    import mmseg

    commit = _git_commit(os.path.dirname(os.path.abspath(mmseg.__file__)))
    return f"{mmseg.__version__}+{commit}" if commit else mmseg.__version__


def _git_commit(folder: str) -> str | None:
    """Short hash of the checkout that ``folder`` is the package of, or None."""
    root = os.path.dirname(folder)
    if not os.path.exists(os.path.join(root, ".git")):  # not the repository that an environment lies in
        return None
    try:
        result = subprocess.run(
            ["git", "rev-parse", "--short=7", "HEAD"], cwd=root, capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return result.stdout.strip() or None if result.returncode == 0 else None
