"""The share of the time that a GPU waits for a loader on two cores."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.harness.machine import synchronise
from benchmarks.harness.report import Table
from benchmarks.train_models import ROOT, ROWS, ours

MODELS = ("segformer-b0", "segformer-b2", "segformer-b5")
IMAGE_SIZE = (375, 1242)  # of KITTI, h x w


def loader_share(device: str, *, workers: int = 2, steps: int = 50, quick: bool = False) -> Table:
    """Train on drawn KITTI-sized scenes with the KITTI pipeline; the share of the time spent waiting."""
    table = Table(f"share of the time that {device} waits for {workers} loader processes, bf16", ["model"])
    with tempfile.TemporaryDirectory() as folder:
        write_images(Path(folder), count=8 if quick else 64)
        for name in MODELS[:1] if quick else MODELS:
            waited, total = wait_share(name, folder, device, workers=workers, steps=3 if quick else steps)
            table.value("waits", 100 * waited / total, "%", case=[name])
            table.value("a step with its loading", 1e3 * total, "ms", case=[name])
    return table


def write_images(folder: Path, count: int) -> None:
    """PNG scenes with soft edges and grain, and masks of 19 classes."""
    import cv2
    import numpy as np

    rng = np.random.default_rng(0)
    h, w = IMAGE_SIZE
    for kind in ("img", "ann"):
        (folder / kind).mkdir()
    for i in range(count):
        mask = cv2.resize(
            rng.integers(0, 19, (6, 20), dtype=np.uint8), (w, h), interpolation=cv2.INTER_NEAREST
        )
        colours = rng.integers(0, 256, (19, 3)).astype(np.float32)
        image = cv2.GaussianBlur(colours[mask], (0, 0), 4) + rng.normal(0, 6, (h, w, 3))
        cv2.imwrite(str(folder / "img" / f"{i:03d}.png"), image.clip(0, 255).astype(np.uint8))
        cv2.imwrite(str(folder / "ann" / f"{i:03d}.png"), mask)


def wait_share(name: str, folder: str, device: str, *, workers: int, steps: int) -> tuple[float, float]:
    """Seconds per step that the loop waits for a batch, and seconds per step."""
    import torch

    from mmseg.config import Config
    from mmseg.datasets import build_dataset
    from mmseg.engine import build_optimizer
    from mmseg.engine.loaders import train_loader
    from mmseg.engine.prefetch import device_batches
    from mmseg.utils.allocator import keep_memory

    keep_memory(device)
    cfg = Config.fromfile(str(ROOT / "configs" / ROWS[name].config))
    settings: dict[str, Any] = dict(cfg.data.train)
    while "dataset" in settings:  # the data set inside its wrappers
        settings = dict(settings["dataset"])
    settings |= {"data_root": folder, "img_dir": "img", "ann_dir": "ann", "split": None}
    data = {"samples_per_gpu": 4, "workers_per_gpu": workers, "persistent_workers": True, "train": settings}
    loader = train_loader(build_dataset(settings), data, seed=0, start_iter=0)
    batches = device_batches(loader, torch.device(device))
    model = ours(name).to(device).train()
    optimizer = build_optimizer(model, {"type": "AdamW", "lr": 6e-5})
    waited, start = 0.0, 0.0
    for step in range(-5, steps):
        if step == 0:  # the loader and the device are warm
            synchronise(device)
            waited, start = 0.0, time.perf_counter()
        begin = time.perf_counter()
        batch = next(batches)
        waited += time.perf_counter() - begin
        with torch.autocast(torch.device(device).type, dtype=torch.bfloat16):
            loss = model.train_step(batch)["loss"]
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        synchronise(device)  # so that the wait is the device's, not that of a queue
    return waited / steps, (time.perf_counter() - start) / steps
