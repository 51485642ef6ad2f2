"""Comparisons with the figures in ``unet_figures.json.gz`` and ``unet_logits.npz``."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from mmseg.models import build_segmentor
from tests.helpers_models import DATA, recorded_image, recorded_json, recorded_model, relative_distance


def figures(name: str) -> dict[str, Any]:
    return recorded_json("unet_figures.json.gz")[name]


def assert_keys_as_recorded(name: str, config: dict[str, Any]) -> None:
    """Names, shapes and their order."""
    with torch.device("meta"):
        model = build_segmentor(config)
    assert [[key, list(value.shape)] for key, value in model.state_dict().items()] == figures(name)["keys"]


def assert_logits_as_recorded(name: str, config: dict[str, Any]) -> None:
    """The head's logits of an image of 128x256, by either sequence of operators."""
    model, recorded = recorded_model(config), np.load(DATA / "unet_logits.npz")[name]
    for exact in (False, True):
        model.exact = exact
        with torch.no_grad():
            logits = model.decode_head(model.extract_feat(recorded_image(128, 256)))
        own = logits[:, :, ::2, ::2].flatten()[:: figures(name)["stride"]]
        assert relative_distance(own, recorded) < 1e-5, exact


def assert_initial_spread_as_recorded(name: str, config: dict[str, Any]) -> None:
    """Mean and standard deviation of every parameter after ``init_weights()``."""
    torch.manual_seed(0)
    model = build_segmentor(config)
    model.init_weights()
    recorded = figures(name)["spread"]
    assert set(recorded) == {key for key, _ in model.named_parameters()}
    for key, parameter in model.named_parameters():
        mean, std, count = recorded[key]
        assert parameter.numel() == count
        if std == 0:
            assert (parameter == mean).all(), key
        elif count > 500:
            assert abs(parameter.std().item() - std) <= 0.15 * std, key
            # both means are of random draws, so their difference spreads wider than either
            assert abs(parameter.mean().item() - mean) <= 4 * std / count**0.5, key
