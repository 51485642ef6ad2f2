from __future__ import annotations

from typing import Any

import pytest
import torch

from mmseg.models import build_backbone
from mmseg.utils.errors import UserError
from tests.models.backbone_contract import BackboneContract
from tests.models.backbones.recorded_figures import (
    assert_initial_spread_as_recorded,
    assert_keys_as_recorded,
    assert_logits_as_recorded,
)


def basicnet(**changes: Any) -> dict[str, Any]:
    """The config of the baseline that the figures were recorded with."""
    head = {"type": "BasicDecoder", "num_classes": 19, "n_class": 19, "input_size": [256, 864]}
    model = {
        "type": "EncoderDecoder",
        "backbone": {"type": "BasicSegNet", "n_class": 19},
        "decode_head": {**head, "in_channels": 19, "channels": 256},
    }
    return {**model, **changes}


class TestBasicSegNet(BackboneContract):
    config = {"type": "BasicSegNet", "n_class": 5}
    channels = (5,)
    strides = (16,)
    checkpoints = False

    def map_size(self, size: tuple[int, int], stride: int) -> tuple[int, int]:
        height, width = super().map_size(size, stride)
        return height - 2, width - 2  # the last 3x3 convolution has no padding

    def test_a_misspelt_argument_is_named(self) -> None:
        with pytest.raises(UserError, match="n_clas.*did you mean.*n_class"):
            self.build(n_clas=5)


def test_keys_and_shapes_are_those_recorded() -> None:
    assert_keys_as_recorded("basicnet", basicnet())


def test_logits_are_those_recorded() -> None:
    assert_logits_as_recorded("basicnet", basicnet())


def test_initial_weights_spread_as_recorded() -> None:
    assert_initial_spread_as_recorded("basicnet", basicnet())


def test_the_smallest_image() -> None:
    with torch.device("meta"):
        backbone = build_backbone({"type": "BasicSegNet", "in_channels": 1})
        assert tuple(backbone(torch.zeros(1, 1, 33, 33))[0].shape) == (1, 19, 1, 1)
        with pytest.raises(UserError, match="too small for BasicSegNet: 32x64.*at least 33x33"):
            backbone(torch.zeros(1, 1, 32, 64))


def test_pretrained_and_init_cfg_are_one_too_many() -> None:
    config = {"type": "BasicSegNet", "pretrained": "a.pth"}
    with pytest.raises(UserError, match="not both"):
        build_backbone({**config, "init_cfg": {"type": "Pretrained", "checkpoint": "b.pth"}})
