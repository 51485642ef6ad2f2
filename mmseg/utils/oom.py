"""Out of memory, told in one line: what was going on, how much there was, and what to lower.

The batch is read from the frames that the error came through, so that the line has the true shape of the
images, also of a batch that a transform of the user's made larger.
"""

from __future__ import annotations

import os
import sys
from types import FrameType
from typing import Any

_GIB = 2**30
# What torch, its libraries and OpenCV say where the error has no type of its own.
_ON_DEVICE = ("CUDA out of memory", "MPS backend out of memory", "_STATUS_ALLOC_FAILED", "CUDA error: out of")
_ON_HOST = ("can't allocate memory", "not enough memory", "Cannot allocate memory", "Insufficient memory")
_PHASES = {
    "mmseg.engine.trainer": "training",
    "mmseg.engine.lr_finder": "training",
    "mmseg.engine.evaluator": "testing",
    "mmseg.apis.inference": "inference",
}
_NAMES = ("batch", "images", "views", "img")
_REMEDIES = {
    "training": (
        "a smaller data.samples_per_gpu (with optimizer_config.cumulative_iters for the same step)",
        "a smaller crop (crop_size of RandomCrop and Pad)",
        "fp16=dict(dtype='bfloat16')",
        "model.backbone.with_cp=True",
    ),
    "testing": (
        "data.val_dataloader.samples_per_gpu=1",
        "a smaller img_scale in the test pipeline",
        "model.test_cfg=dict(mode='slide', crop_size=..., stride=...)",
        "no --aug-test",
    ),
    "inference": ("a smaller image", "model.test_cfg=dict(mode='slide', crop_size=..., stride=...)"),
}


def explain_out_of_memory(error: BaseException) -> str | None:
    """One line for an error that says that memory is at its end; None for every other error.

    Args:
        error: As it was caught, with its traceback.
    """
    kind = kind_of(error)
    if kind is None:
        return None
    if kind == "worker":
        return _of_worker(str(error))
    frames = _frames(error)
    phase = _phase(frames)
    batch = _batch(frames)
    doing = f" in {phase}" if phase else ""
    told = f" with a batch of {batch}" if batch else ""
    remedies = _REMEDIES.get(phase or "inference", ())
    if kind == "host":
        there = _host()
        remedies = ("a smaller data.workers_per_gpu", *remedies)
    else:
        there = _device()
    return f"out of memory{doing}{told}: {there}; in this order, try {', then '.join(remedies)}"


def kind_of(error: BaseException) -> str | None:
    """``'device'``, ``'host'``, ``'worker'`` (a process of the loader was ended), or None."""
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(error, torch.OutOfMemoryError):
        return "device"
    if isinstance(error, MemoryError):
        return "host"
    text = str(error)
    if isinstance(error, RuntimeError) and "DataLoader worker" in text and "killed by signal" in text:
        return "worker"
    if isinstance(error, RuntimeError | OSError) or type(error).__module__ == "cv2":
        if any(sign in text for sign in _ON_DEVICE):
            return "device"
        if any(sign in text for sign in _ON_HOST):
            return "host"
    return None


def _of_worker(text: str) -> str:
    if "Bus error" in text or "shared memory" in text:
        return (
            "a process of the data loader was ended: no shared memory (/dev/shm) is left for its batches;"
            " start the container with --shm-size=8g, or set data.workers_per_gpu=0"
        )
    return (
        f"a process of the data loader was ended by the system, mostly for want of memory ({_host()}); lower"
        " data.workers_per_gpu, or leave `cache` out"
    )


def _device() -> str:
    """How full the GPU is."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return "the device has none left"
    try:
        index = torch.cuda.current_device()
        free, total = torch.cuda.mem_get_info(index)
        peak, held = torch.cuda.max_memory_allocated(index), torch.cuda.memory_reserved(index)
        name = torch.cuda.get_device_name(index)
    except RuntimeError:  # the device is in no state to answer
        return "the device has none left"
    others = max(0, total - free - held)
    told = f"this process had at most {_gib(peak)} of the {_gib(total)} of cuda:{index} ({name})"
    if others > total / 10:  # a CUDA context alone takes half a GiB
        told += f", and {_gib(others)} are held outside of it (nvidia-smi names who)"
    return told


def _host() -> str:
    """How full the memory of the machine is."""
    try:
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ImportError, ValueError, OSError):
        return "the machine has none left"
    return f"this process had at most {_gib(peak)} of the {_gib(total)} of the machine"


def _gib(number: float) -> str:
    return f"{number / _GIB:.1f} GiB"


def _frames(error: BaseException) -> list[FrameType]:
    """The frames that the error came through, the outermost first."""
    frames, at = [], error.__traceback__
    while at is not None:
        frames.append(at.tb_frame)
        at = at.tb_next
    return frames


def _phase(frames: list[FrameType]) -> str | None:
    """What the innermost of the known modules was doing."""
    known = (_PHASES.get(frame.f_globals.get("__name__", "")) for frame in reversed(frames))
    return next(filter(None, known), None)


def _batch(frames: list[FrameType]) -> str | None:
    """The images of the innermost of the known modules, such as ``8 images of 512x512 (height x width)``."""
    for frame in reversed(frames):
        if frame.f_globals.get("__name__") not in _PHASES:
            continue
        for name in _NAMES:
            shape = _shape(frame.f_locals.get(name))
            if shape is not None:
                number, height, width = shape
                return f"{number} image{'s' * (number != 1)} of {height}x{width} (height x width)"
    return None


def _shape(value: Any) -> tuple[int, int, int] | None:
    """(N, H, W) of a batch: a tensor, a list over augmentations, or a dictionary with ``img``."""
    if isinstance(value, dict):
        return _shape(value.get("img"))
    if isinstance(value, list | tuple):
        return _shape(value[0]) if value else None
    shape = getattr(value, "shape", ())
    return (int(shape[0]), int(shape[2]), int(shape[3])) if len(shape) == 4 else None
