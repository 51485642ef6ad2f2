from __future__ import annotations

import pytest
import torch

from mmseg.models import build_backbone, build_segmentor
from mmseg.utils.errors import UserError
from tests.helpers_models import (
    DATA,
    MIT,
    recorded_image,
    recorded_json,
    recorded_model,
    relative_distance,
    segformer,
)
from tests.models.backbone_contract import BackboneContract

TINY = {
    "type": "MixVisionTransformer",
    "embed_dims": 8,
    "num_layers": [1, 2, 1, 1],
    "num_heads": [1, 2, 4, 8],
    "mlp_ratio": 2,
}


class TestMixVisionTransformer(BackboneContract):
    config = TINY
    channels = (8, 16, 32, 64)
    strides = (4, 8, 16, 32)
    freezes = True


class TestLastTwoStages(BackboneContract):
    config = {**TINY, "out_indices": [2, 3], "qkv_bias": False}
    channels = (32, 64)
    strides = (16, 32)
    freezes = True


@pytest.mark.parametrize("variant", MIT)
def test_keys_and_shapes_are_those_of_0_25(variant: str) -> None:
    with torch.device("meta"):
        model = build_segmentor(segformer(variant))
    own = [[key, list(value.shape)] for key, value in model.state_dict().items()]
    assert own == recorded_json("segformer_keys.json.gz")[variant]  # in 0.25's order, too


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("variant", ["b0", "b2"])
def test_logits_are_those_of_0_25(variant: str, exact: bool) -> None:
    import numpy as np

    model = recorded_model(segformer(variant, exact=exact))
    with torch.no_grad():
        logits = model.decode_head(model.extract_feat(recorded_image(128, 256)))
    recorded = np.load(DATA / "segformer_logits.npz")[variant]
    assert relative_distance(logits.flatten()[::7][::3], recorded) < 1e-5


def test_initial_weights_spread_as_in_0_25() -> None:
    torch.manual_seed(0)
    model = build_segmentor(segformer("b0"))
    model.init_weights()
    recorded = recorded_json("initial_spread.json")
    assert set(recorded) == {name for name, _ in model.named_parameters()}
    for name, parameter in model.named_parameters():
        mean, std, count = recorded[name]
        assert parameter.numel() == count
        if std == 0:
            assert (parameter == mean).all(), name
        elif count > 500:
            assert abs(parameter.std().item() - std) <= 0.15 * std, name
            assert abs(parameter.mean().item() - mean) <= 4 * std / count**0.5, name


def test_drop_path_rises_evenly_to_its_rate() -> None:
    backbone = build_backbone({**TINY, "num_layers": [2, 1, 1, 1], "drop_path_rate": 0.4})
    rates = [block.drop_path.drop_prob for _, blocks, _ in backbone.layers for block in blocks]
    assert rates == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4])


def test_dropout_acts_in_training_only() -> None:
    noisy = {"drop_rate": 0.3, "attn_drop_rate": 0.3, "drop_path_rate": 0.3}
    backbone, image = build_backbone({**TINY, **noisy}), torch.randn(4, 3, 64, 64)
    backbone.init_weights()
    first, second = backbone.train()(image), backbone(image)
    assert not torch.equal(first[-1], second[-1])
    first, second = backbone.eval()(image), backbone(image)
    assert torch.equal(first[-1], second[-1])


def test_gradient_checkpointing_repeats_the_random_draws() -> None:
    image, gradients = torch.randn(4, 3, 64, 64), []
    for with_cp in (False, True):
        torch.manual_seed(0)
        backbone = build_backbone({**TINY, "drop_rate": 0.2, "drop_path_rate": 0.3, "with_cp": with_cp})
        backbone.init_weights()
        torch.manual_seed(1)
        backbone.train()(image)[-1].square().mean().backward()
        gradients.append(torch.cat([p.grad.flatten() for p in backbone.parameters() if p.grad is not None]))
    torch.testing.assert_close(gradients[1], gradients[0])


def test_maps_are_views_of_the_tokens() -> None:
    feats = build_backbone(TINY)(torch.randn(2, 3, 64, 64))
    assert all(f.is_contiguous(memory_format=torch.channels_last) for f in feats)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_layers": [2, 2, 2]}, r"num_layers=\[2, 2, 2\].*num_stages=4"),
        ({"sr_ratios": 8}, "sr_ratios=8"),
        ({"out_indices": [0, 4]}, r"out_indices=\[0, 4\].*0 to 3"),
        ({"pretrained": "a.pth", "init_cfg": {"type": "Pretrained", "checkpoint": "b.pth"}}, "not both"),
        ({"act_cfg": {"type": "GeLU"}}, "GeLU.*did you mean.*GELU"),
        ({"norm_cfg": {"type": "LayerNorm"}}, "LayerNorm.*LN"),
    ],
)
def test_settings_that_do_not_fit_are_named(changes: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        build_backbone({**TINY, **changes})


def test_an_image_that_is_too_small_is_named() -> None:
    with pytest.raises(UserError, match="too small.*at least 32x32"):
        build_backbone(TINY)(torch.randn(1, 3, 24, 64))
