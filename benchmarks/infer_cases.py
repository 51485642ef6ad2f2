"""The contestants of ``bench_infer.py``, each in a process: ``python -m benchmarks.infer_cases``."""

from __future__ import annotations

import argparse
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness.worker import serve

HW = (384, 1280)
MODELS = {
    "SegFormer-B0": "configs/segformer/segformer_mit-b0_kitti_368x368_10k.py",
    "DeepLabV3+ R18": "configs/deeplabv3plus/deeplabv3plus_r18-d8_kitti_368x368_80k.py",
    "PSPNet R18": "configs/pspnet/pspnet_r18-d8_kitti_368x368_20k.py",
    "UNet": "configs/unet/fcn_unet_s5-d16_kitti_368x368_160k.py",
}
DATA = "configs/_base_/datasets/kitti_seg_basic.py"
ROOT = Path(__file__).resolve().parents[1]


def street_picture(path: Path, seed: int = 0) -> None:
    """Write a drawn street scene, 1242x375, as a PNG file of about 800 kB."""
    import cv2

    rng = np.random.default_rng(seed)
    height, width = 375, 1242
    rows = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    image = np.where(rows < 0.45, [210, 180, 150], [90, 90, 95]) * (0.7 + 0.5 * rows)
    image = np.broadcast_to(image, (height, width, 3)).astype(np.float32).copy()
    for _ in range(60):
        x, y = int(rng.integers(width)), int(rng.integers(height // 4, height))
        w, h = int(rng.integers(15, 180)), int(rng.integers(15, 130))
        image[max(0, y - h) : y, x : x + w] = rng.integers(20, 230, 3)
    coarse = cv2.resize(rng.normal(0, 14, (60, 200, 3)).astype(np.float32), (width, height))
    image += coarse + rng.normal(0, 3.5, image.shape)
    cv2.imwrite(str(path), np.clip(image, 0, 255).astype(np.uint8))


def set_weights(model: Any) -> None:
    """Give every tensor values that depend on its name alone, so that all processes have one model."""
    import torch

    for key, value in model.state_dict().items():
        if not value.is_floating_point():
            continue
        rng = np.random.default_rng(zlib.crc32(key.encode()))
        drawn = rng.standard_normal(tuple(value.shape), dtype=np.float32)
        if key.endswith("running_var"):
            drawn = 1 + 0.1 * np.abs(drawn)
        elif key.endswith("running_mean"):
            drawn = 0.1 * drawn
        elif key.endswith("weight") and value.dim() > 1:
            drawn = drawn / np.sqrt(np.prod(value.shape[1:]))
        elif key.endswith("weight"):
            drawn = 1 + 0.1 * drawn
        else:
            drawn = 0.02 * drawn
        value.copy_(torch.from_numpy(np.asarray(drawn, dtype=np.float32)))


def our_model(name: str, exact: bool = False) -> Any:
    """The model of a row of the table, evaluating."""
    from mmseg.config import Config
    from mmseg.models import build_segmentor

    settings = Config.fromfile(ROOT / MODELS[name]).model
    model = build_segmentor({**settings, "pretrained": None, "train_cfg": None, "exact": exact})
    set_weights(model)
    return model.eval()


def their_model(peer: str, name: str) -> Any:
    """A peer's model of the same kind, random weights, evaluating."""
    if peer == "transformers":
        from transformers import SegformerConfig, SegformerForSemanticSegmentation

        return SegformerForSemanticSegmentation(SegformerConfig(num_labels=19)).eval()
    import segmentation_models_pytorch as smp

    kinds = {
        "SegFormer-B0": (smp.Segformer, "mit_b0"),
        "DeepLabV3+ R18": (smp.DeepLabV3Plus, "resnet18"),
        "PSPNet R18": (smp.PSPNet, "resnet18"),
    }
    kind, encoder = kinds[name]
    return kind(encoder, encoder_weights=None, classes=19).eval()


def forward(who: str, name: str, batch: int, hw: tuple[int, int]) -> Callable[[], Any]:
    """Images to logits, as each model gives them: transformers' at a quarter of the size."""
    import torch

    model = our_model(name) if who == "ours" else their_model(who, name)
    images = torch.randn(batch, 3, *hw, generator=torch.Generator().manual_seed(7))
    call = model.forward_dummy if who == "ours" else model

    def step() -> dict[str, Any]:
        with torch.inference_mode():
            call(images)
        return {"images": batch}

    return step


def prepare(who: str, image: str) -> Callable[[], Any]:
    """A file to the tensors of all scales and flips; ``yardstick`` calls one transform after another."""
    from mmseg.config import Config
    from mmseg.datasets.pipelines import Compose

    pipeline = Compose(Config.fromfile(ROOT / DATA).data.test.pipeline, exact=who == "yardstick")

    def step() -> dict[str, Any]:
        views = pipeline({"img_info": {"filename": image}, "img_prefix": None})["img"]
        return {"views": len(views), "bytes": sum(view.nbytes for view in views)}

    return step


def views_to_label(who: str, image: str, labels: str, hw: tuple[int, int] | None = None) -> Callable[[], Any]:
    """A file to one label map, averaged over all scales and flips; the map is also written to ``labels``."""
    import torch

    from mmseg.config import Config
    from mmseg.datasets.pipelines import Compose

    exact = who == "yardstick"
    config = Config.fromfile(ROOT / DATA).data.test.pipeline
    if hw is not None:
        config[1]["img_scale"] = (hw[1], hw[0])
    model, pipeline, written = our_model("SegFormer-B0", exact), Compose(config, exact=exact), False

    def step() -> None:
        nonlocal written
        data = pipeline({"img_info": {"filename": image}, "img_prefix": None})
        metas = [[meta] for meta in data["img_metas"]]
        with torch.inference_mode():
            (label,) = model(img=[view[None] for view in data["img"]], img_metas=metas, return_loss=False)
        if not written:  # in the round that does not count
            np.save(labels, label)
            written = True

    return step


def main() -> None:
    """Serve one contestant."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("question", choices=("forward", "prepare", "label"))
    parser.add_argument("who")
    parser.add_argument("--model", default="SegFormer-B0")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--hw", type=int, nargs=2)
    parser.add_argument("--image")
    parser.add_argument("--labels")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--keep-memory", action="store_true")
    args = parser.parse_args()
    if args.keep_memory:
        from mmseg.utils.allocator import keep_memory

        keep_memory()
    import cv2
    import torch

    torch.set_num_threads(args.threads)
    cv2.setNumThreads(args.threads)
    if args.question == "forward":
        serve(forward(args.who, args.model, args.batch, tuple(args.hw or HW)))
    elif args.question == "prepare":
        serve(prepare(args.who, args.image))
    else:
        serve(views_to_label(args.who, args.image, args.labels, args.hw))


if __name__ == "__main__":
    main()
