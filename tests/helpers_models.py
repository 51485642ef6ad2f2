"""Model configs and recorded figures that several model tests use."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from mmseg.models import build_segmentor
from tests.helpers_weights import recorded_weights

DATA = Path(__file__).parent / "data" / "models"

# embed_dims and num_layers of the paper's variants (Xie et al., 2021, table 6)
MIT = {
    "b0": (32, [2, 2, 2, 2]),
    "b1": (64, [2, 2, 2, 2]),
    "b2": (64, [3, 4, 6, 3]),
    "b3": (64, [3, 4, 18, 3]),
    "b4": (64, [3, 8, 27, 3]),
    "b5": (64, [3, 6, 40, 3]),
}


def segformer(variant: str = "b0", **changes: Any) -> dict[str, Any]:
    """The config of a SegFormer with 19 classes, as a plain dictionary with lists."""
    dims, layers = MIT[variant]
    channels = [dims * heads for heads in (1, 2, 5, 8)]
    model = {
        "type": "EncoderDecoder",
        "backbone": {
            "type": "MixVisionTransformer",
            "embed_dims": dims,
            "num_layers": layers,
            "num_heads": [1, 2, 5, 8],
            "drop_path_rate": 0.1,
        },
        "decode_head": {
            "type": "SegformerHead",
            "in_channels": channels,
            "in_index": [0, 1, 2, 3],
            "channels": 256,
            "num_classes": 19,
            "norm_cfg": {"type": "SyncBN", "requires_grad": True},
        },
        "test_cfg": {"mode": "whole"},
    }
    if variant == "b2":
        model["auxiliary_head"] = fcn_head(in_channels=320, in_index=2, channels=256)
    return {**model, **changes}


def fcn_head(**changes: Any) -> dict[str, Any]:
    """The config of an auxiliary head with one convolution."""
    head = {
        "type": "FCNHead",
        "in_channels": 32,
        "in_index": 2,
        "channels": 16,
        "num_convs": 1,
        "concat_input": False,
        "num_classes": 19,
        "norm_cfg": {"type": "SyncBN", "requires_grad": True},
        "loss_decode": {"type": "CrossEntropyLoss", "loss_weight": 0.4},
    }
    return {**head, **changes}


def tiny_segformer(**changes: Any) -> dict[str, Any]:
    """The config of a SegFormer that runs in milliseconds: 8, 16, 32, 64 channels, 5 classes."""
    model = {
        "type": "EncoderDecoder",
        "backbone": {
            "type": "MixVisionTransformer",
            "embed_dims": 8,
            "num_layers": [1, 1, 1, 1],
            "num_heads": [1, 2, 4, 8],
            "mlp_ratio": 2,
        },
        "decode_head": {
            "type": "SegformerHead",
            "in_channels": [8, 16, 32, 64],
            "in_index": [0, 1, 2, 3],
            "channels": 16,
            "num_classes": 5,
            "norm_cfg": {"type": "SyncBN"},
        },
    }
    return {**model, **changes}


def recorded_model(config: dict[str, Any]) -> nn.Module:
    """The model in evaluation mode, with the weights that the recorded figures were made with."""
    model = build_segmentor(config)
    model.load_state_dict(recorded_weights(model.state_dict()))
    return model.eval()


def recorded_image(height: int, width: int) -> torch.Tensor:
    """The input (1, 3, height, width) that the recorded figures were made with."""
    noise = np.random.default_rng(7).standard_normal((1, 3, height, width), dtype=np.float32)
    return torch.from_numpy(noise)


def recorded_json(name: str) -> Any:
    """A file of recorded figures, perhaps compressed."""
    data = (DATA / name).read_bytes()
    return json.loads(gzip.decompress(data) if name.endswith(".gz") else data)


def relative_distance(a: torch.Tensor | np.ndarray, b: torch.Tensor | np.ndarray) -> float:
    """Norm of the difference over the norm of ``b``."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))


def metas(image: torch.Tensor, **changes: Any) -> list[dict[str, Any]]:
    """``img_metas`` of a batch that was neither resized nor padded nor flipped."""
    shape = (*image.shape[2:], 3)
    return [{"ori_shape": shape, "img_shape": shape, "flip": False, **changes} for _ in image]
