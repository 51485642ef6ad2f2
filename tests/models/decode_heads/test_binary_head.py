"""``task='binary'`` on a head: one logit, sigmoid cross entropy, a threshold."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from mmseg.models import build_head, build_segmentor
from mmseg.models.losses import OHEMPixelSampler, two_channels
from mmseg.models.segmentors import inference
from mmseg.utils.errors import UserError
from tests.helpers_models import fcn_head, metas, tiny_segformer

FCN = {"type": "FCNHead", "in_channels": 4, "channels": 4, "num_convs": 0, "concat_input": False}
CE = {"type": "CrossEntropyLoss"}
BCE = {"type": "CrossEntropyLoss", "use_sigmoid": True}


def head(**changes: Any) -> nn.Module:
    return build_head({**FCN, "task": "binary", **changes})


def binary_model(**head_changes: Any) -> nn.Module:
    config = tiny_segformer()
    own = {"num_classes": 2, "task": "binary", "norm_cfg": {"type": "BN"}}
    config["decode_head"] |= {**own, **head_changes}
    aux = {"norm_cfg": {"type": "BN"}, "in_index": 2, "in_channels": 32, "num_classes": 2, "task": "binary"}
    config["auxiliary_head"] = fcn_head(**aux, loss_decode={**BCE, "loss_weight": 0.4})
    model = build_segmentor(config)
    model.init_weights()
    return model


def test_settings() -> None:
    module = head()
    assert (module.task, module.num_classes, module.out_channels, module.threshold) == ("binary", 2, 1, 0.5)
    assert module.conv_seg.out_channels == 1 and module.loss_decode.use_sigmoid
    assert head(num_classes=2, out_channels=1, threshold=0.7, loss_decode=BCE).threshold == 0.7
    plain = build_head({**FCN, "num_classes": 2})
    assert (plain.task, plain.out_channels, plain.threshold) == (None, 2, None)


def test_one_channel_for_two_classes_means_the_same() -> None:
    module = build_head({**FCN, "num_classes": 2, "out_channels": 1, "loss_decode": BCE})
    assert (module.task, module.threshold) == ("binary", 0.3)
    assert build_head({**FCN, "num_classes": 2, "out_channels": 1, "threshold": 0.4}).threshold == 0.4


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"task": "multi"}, "`task` is 'binary' or left out, not 'multi'"),
        ({"num_classes": 19}, "num_classes=19; set num_classes=2 or leave `task` out"),
        ({"num_classes": 2, "out_channels": 2}, "out_channels=2; leave `out_channels` out"),
        ({"threshold": 1.0}, "`threshold` is a probability between 0 and 1, not 1.0"),
        ({"threshold": "0.5"}, "`threshold` is a probability"),
        ({"loss_decode": CE}, "this CrossEntropyLoss cannot use.*set use_sigmoid=True"),
        ({"loss_decode": [BCE, CE]}, "this CrossEntropyLoss cannot use"),
        ({"loss_decode": {**BCE, "class_weight": [1.0, 2.0]}}, "class_weight of .* has 2 entries; give one"),
        ({"task": None, "num_classes": 3, "threshold": 0.4}, "threshold=0.4 goes with task='binary'"),
        ({"task": None, "num_classes": 1}, "num_classes=1 every pixel would be of class 0.*task='binary'"),
        ({"task": None, "num_classes": 1, "out_channels": 1, "loss_decode": BCE}, "set task='binary'"),
        ({"task": None, "num_classes": 2, "out_channels": 1, "loss_decode": CE}, "set use_sigmoid=True"),
        ({"task": None}, "FCNHead needs `num_classes`"),
    ],
)
def test_contradictions_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        head(**changes)


def test_a_loss_of_the_users_says_that_it_can() -> None:
    from mmseg.models import LOSSES

    @LOSSES.register_module("TestOnlyLoss", force=True)
    class TestOnlyLoss(nn.Module):
        one_channel, loss_name = True, "loss_own"

        def forward(self, logits: Any, label: Any, weight: Any = None, ignore_index: int = 255) -> Any:
            assert logits.shape[1] == 1
            return logits.mean()

    try:
        losses = head(loss_decode=[{"type": "TestOnlyLoss"}, BCE]).losses(
            torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 4, 4, dtype=torch.long)
        )
        assert set(losses) == {"loss_own", "loss_ce", "acc_seg"}
        TestOnlyLoss.one_channel = False
        with pytest.raises(UserError, match="this TestOnlyLoss cannot use.*leave it out"):
            head(loss_decode={"type": "TestOnlyLoss"})
    finally:
        del LOSSES.module_dict["TestOnlyLoss"]


@pytest.mark.parametrize("threshold", [0.2, 0.5, 0.9])
def test_losses_and_accuracy(threshold: float) -> None:
    logits = torch.randn(2, 1, 8, 9)
    label = torch.randint(0, 2, (2, 1, 8, 9))
    label[0, 0, :2] = 255
    losses = head(threshold=threshold).losses(logits, label)
    valid = label != 255
    expected = F.binary_cross_entropy_with_logits(logits[valid], label[valid].float(), reduction="sum")
    torch.testing.assert_close(losses["loss_ce"], expected / label.numel())
    right = (logits.sigmoid() > threshold).long()[valid] == label[valid]
    assert losses["acc_seg"].item() == pytest.approx(100 * right.float().mean().item(), abs=1e-3)


def test_foreground_weight() -> None:
    logits, label = torch.randn(1, 1, 4, 4), torch.randint(0, 2, (1, 1, 4, 4))
    got = head(loss_decode={**BCE, "class_weight": [3.0]}).losses(logits, label)["loss_ce"]
    expected = F.binary_cross_entropy_with_logits(logits, label.float(), pos_weight=torch.tensor(3.0))
    torch.testing.assert_close(got, expected)


@pytest.mark.parametrize("thresh", [0.6, None])
def test_hard_examples(thresh: float | None) -> None:
    """One logit z is to the sampler what the two logits 0 and z are."""
    torch.manual_seed(1)
    logits, label = torch.randn(2, 1, 16, 16), torch.randint(0, 2, (2, 1, 16, 16))
    label[0, 0, 0] = 255
    one = OHEMPixelSampler(head(), thresh=thresh, min_kept=30).sample(logits, label)
    plain = build_head({**FCN, "num_classes": 2})
    two = OHEMPixelSampler(plain, thresh=thresh, min_kept=30).sample(two_channels(logits), label)
    assert torch.equal(one, two) and 0 < one.sum() < one.numel()
    sampler = {"type": "OHEMPixelSampler", "thresh": thresh, "min_kept": 30}
    assert head(sampler=sampler).losses(logits, label)["loss_ce"] > 0


def test_learns_and_predicts_both_classes() -> None:
    model = binary_model().train()
    image = torch.randn(2, 3, 32, 32)
    image[:, :, :, :16] += 3
    label = torch.zeros(2, 1, 32, 32, dtype=torch.long)
    label[..., :16] = 1
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    for _ in range(40):
        losses = model(image, metas(image), gt_semantic_seg=label)
        loss, _ = model.parse_losses(losses)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert set(losses) == {"decode.loss_ce", "decode.acc_seg", "aux.loss_ce", "aux.acc_seg"}
    guess = model.eval()(image, metas(image), return_loss=False)
    agreement = [(g == t.numpy()).mean() for g, t in zip(guess, label[:, 0], strict=True)]
    assert min(agreement) > 0.9


def test_the_threshold_decides_in_every_mode() -> None:
    image = torch.randn(1, 3, 40, 48)
    flipped = metas(image, flip=True, flip_direction="horizontal")
    for threshold in (0.3, 0.5, 0.6):
        model = binary_model(threshold=threshold).eval()
        model.decode_head.conv_seg.weight.data.normal_(std=3)
        with torch.no_grad():
            # around zero, so that each threshold leaves pixels on both sides
            model.decode_head.conv_seg.bias.data -= model.encode_decode(image).median()
            logits = model.encode_decode(image)
            mirrored = model.encode_decode(image.flip(3)).flip(3)
        probability = logits.sigmoid()[0, 0]
        (whole,) = model(image, metas(image), return_loss=False)
        assert (whole == (probability > threshold).numpy()).all()
        assert 0 < whole.sum() < whole.size
        (both,) = model([image, image.flip(3)], [metas(image), flipped], return_loss=False)
        mean = (probability + mirrored.sigmoid()[0, 0]) / 2
        assert (both == (mean > threshold).numpy()).mean() > 0.999
        scores = model.inference(image, metas(image), rescale=True)
        torch.testing.assert_close(scores[0, 0], probability)
        model.test_cfg = {"mode": "slide", "crop_size": (32, 32), "stride": (8, 16)}
        (slid,) = model(image, metas(image), return_loss=False)
        with torch.no_grad():
            averaged = inference.logits_of(model, image, metas(image)).sigmoid()[0, 0]
        assert (slid == (averaged > threshold).numpy()).all()


def test_two_channels() -> None:
    logits = torch.tensor([-3.0, 0.0, 0.1, 2.0]).view(1, 1, 4)
    assert two_channels(logits).max(dim=1).indices.tolist() == [[0, 0, 1, 1]]
    torch.testing.assert_close(two_channels(logits).softmax(1)[:, 1:], logits.sigmoid())
    assert two_channels(logits, 0.8).max(dim=1).indices.tolist() == [[0, 0, 0, 1]]
