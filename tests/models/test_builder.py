from __future__ import annotations

import copy

import pytest

from mmseg.models import (
    BACKBONES,
    HEADS,
    LOSSES,
    NECKS,
    PIXEL_SAMPLERS,
    SEGMENTORS,
    build_neck,
    build_segmentor,
)
from mmseg.utils.errors import UserError
from tests.helpers_models import tiny_segformer


def test_the_names_that_configs_use_are_registered() -> None:
    assert "MixVisionTransformer" in BACKBONES
    assert {"SegformerHead", "FCNHead"} <= set(HEADS.module_dict)
    assert "CrossEntropyLoss" in LOSSES
    assert "EncoderDecoder" in SEGMENTORS
    assert "OHEMPixelSampler" in PIXEL_SAMPLERS
    assert len({id(r) for r in (BACKBONES, NECKS, HEADS, LOSSES, SEGMENTORS, PIXEL_SAMPLERS)}) == 6


def test_train_and_test_settings_may_stand_beside_the_model() -> None:
    config = {**tiny_segformer(), "train_cfg": None, "test_cfg": None}
    before = copy.deepcopy(config)
    model = build_segmentor(config, train_cfg={"a": 1}, test_cfg={"mode": "whole"})
    assert (model.train_cfg, model.test_cfg) == ({"a": 1}, {"mode": "whole"})
    assert config == before


def test_settings_in_both_places_are_refused() -> None:
    config = tiny_segformer(test_cfg={"mode": "whole"})
    with pytest.raises(UserError, match="`test_cfg` stands both"):
        build_segmentor(config, test_cfg={"mode": "slide"})
    assert build_segmentor(config, train_cfg={}).test_cfg == {"mode": "whole"}


def test_mistakes_are_named() -> None:
    with pytest.raises(UserError, match="did you mean.*EncoderDecoder"):
        build_segmentor(tiny_segformer(type="EncoderDecode"))
    with pytest.raises(UserError, match="dictionary with `type`"):
        build_segmentor("segformer")
    with pytest.raises(UserError, match="unknown neck `FPNN`"):
        build_neck({"type": "FPNN"})
