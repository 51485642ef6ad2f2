"""Whole models against figures recorded with MMSegmentation 0.25.

A model is added by its name in ``MODELS`` and by its files in tests/data/models/recorded/:
``NAME.json.gz`` with ``model`` (its config), ``hw`` (size of the input), ``keys`` (of its state dict, in
order, with shapes) and perhaps ``initial`` (mean, standard deviation and count of each parameter after
``init_weights``) and ``flops`` (fvcore's totals by "height width"); ``NAME.npz`` with the ``logits``
``o[:, :, ::sub, ::sub].ravel()[::stride]``, where ``sub`` and ``stride`` stand in the former.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from mmseg.core.cost.fvcore_count import CostAnalysis
from mmseg.models import build_segmentor
from tests.helpers_models import DATA, recorded_image, recorded_json, recorded_model, relative_distance

MODELS = [
    "pspnet_r18",
    "pspnet_r50",
    "pspnet_r101",
    "deeplabv3plus_r18",
    "deeplabv3plus_r50",
    "deeplabv3plus_r101",
    "upernet_r50_thin",
    "upernet_swin_thin",
    "fcn_r50_caffe_thin",
    "deeplabv3_r50_multigrid_thin",
    "semantic_fpn_r50_thin",
    "unet_deconv_two_auxiliary_heads",
]


def entry_of(name: str) -> dict[str, Any]:
    return recorded_json(f"recorded/{name}.json.gz")


def those_with(field: str) -> list[str]:
    return [name for name in MODELS if field in entry_of(name)]


def test_every_recorded_model_is_listed() -> None:
    assert sorted(MODELS) == sorted(p.name.removesuffix(".json.gz") for p in DATA.glob("recorded/*.json.gz"))


@pytest.mark.parametrize("name", MODELS)
def test_keys_and_shapes_are_those_of_0_25(name: str) -> None:
    entry = entry_of(name)
    with torch.device("meta"):
        model = build_segmentor(entry["model"])
    own = [[key, list(value.shape)] for key, value in model.state_dict().items()]
    assert own == entry["keys"]  # in 0.25's order, too


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("name", those_with("stride"))
def test_logits_are_those_of_0_25(name: str, exact: bool) -> None:
    entry = entry_of(name)
    model = recorded_model({**entry["model"], "exact": exact})
    with torch.no_grad():
        logits = model.decode_head(model.extract_feat(recorded_image(*entry["hw"])))
    sub = entry["sub"]
    own = logits[:, :, ::sub, ::sub].flatten()[:: entry["stride"]]
    assert relative_distance(own, np.load(DATA / f"recorded/{name}.npz")["logits"]) < 1e-5


@pytest.mark.parametrize("name", those_with("initial"))
def test_initial_weights_spread_as_in_0_25(name: str) -> None:
    entry = entry_of(name)
    torch.manual_seed(0)
    model = build_segmentor(entry["model"])
    model.init_weights()
    recorded = entry["initial"]
    assert set(recorded) == {name for name, _ in model.named_parameters()}
    for name, parameter in model.named_parameters():
        mean, std, count = recorded[name]
        assert parameter.numel() == count
        if std == 0:
            assert (parameter == mean).all(), name
        elif count > 500:
            assert abs(parameter.std().item() - std) <= 0.15 * std, name
            assert abs(parameter.mean().item() - mean) <= 4 * std / count**0.5, name


@pytest.mark.parametrize("name", those_with("flops"))
def test_flops_are_those_of_0_25(name: str) -> None:
    entry = entry_of(name)
    with torch.device("meta"):
        model = build_segmentor({**entry["model"], "exact": True}).eval()
    for size, total in entry["flops"].items():
        image = torch.zeros(1, 3, *map(int, size.split()), device="meta")
        cost = CostAnalysis(model, lambda image=image: model.forward_dummy(image))
        assert cost.unsupported_ops_warnings(False).uncalled_modules_warnings(False).total() == total, size
