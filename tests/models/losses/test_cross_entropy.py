from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from mmseg.models import build_loss
from mmseg.models.losses import (
    binary_cross_entropy,
    cross_entropy,
    get_class_weight,
    mask_cross_entropy,
    weight_reduce_loss,
)
from mmseg.utils.errors import UserError

EPS = torch.finfo(torch.float32).eps


def batch(classes: int = 5, ignored: float = 0.3) -> tuple[torch.Tensor, torch.Tensor]:
    logits, labels = torch.randn(2, classes, 6, 7), torch.randint(0, classes, (2, 6, 7))
    return logits, labels.masked_fill(torch.rand(2, 6, 7) < ignored, 255)


def test_ignored_pixels_enter_the_divisor_unless_told_otherwise() -> None:
    logits, labels = batch()
    total = F.cross_entropy(logits, labels, ignore_index=255, reduction="sum")
    over_all = cross_entropy(logits, labels, ignore_index=255)
    over_valid = cross_entropy(logits, labels, ignore_index=255, avg_non_ignore=True)
    torch.testing.assert_close(over_all, total / labels.numel())
    torch.testing.assert_close(over_valid, total / (labels != 255).sum())


def test_weights_do_not_enter_the_divisor() -> None:
    logits, labels = batch()
    class_weight, weight = torch.rand(5) + 0.5, torch.rand(2, 6, 7)
    each = F.cross_entropy(logits, labels, class_weight, ignore_index=255, reduction="none") * weight
    loss = cross_entropy(logits, labels, weight, class_weight, ignore_index=255, avg_non_ignore=True)
    torch.testing.assert_close(loss, each.sum() / (labels != 255).sum())


def test_a_batch_without_labels_costs_nothing() -> None:
    logits, labels = torch.randn(1, 3, 4, 4, requires_grad=True), torch.full((1, 4, 4), 255)
    for sigmoid in (False, True):
        loss = build_loss({"type": "CrossEntropyLoss", "use_sigmoid": sigmoid, "avg_non_ignore": True})
        value = loss(logits, labels, ignore_index=255)
        assert value.item() == 0
        assert torch.autograd.grad(value, logits)[0].abs().sum() == 0


@given(st.sampled_from(["none", "mean", "sum"]), st.booleans(), st.booleans(), st.booleans())
def test_memory_layout_does_not_matter(reduction: str, weigh: bool, ignore: bool, avg: bool) -> None:
    logits, labels = batch(ignored=0.3 if ignore else 0.0)
    settings = {
        "class_weight": torch.rand(5) if weigh else None,
        "reduction": reduction,
        "ignore_index": 255,
        "avg_non_ignore": avg,
    }
    rows = logits.contiguous(memory_format=torch.channels_last).requires_grad_()
    planes = logits.clone().requires_grad_()
    a, b = (cross_entropy(x, labels, **settings) for x in (rows, planes))
    torch.testing.assert_close(a, b)
    gradients = [torch.autograd.grad(v.sum(), x)[0] for v, x in ((a, rows), (b, planes))]
    torch.testing.assert_close(*gradients)


def test_sigmoid_expands_labels_to_one_channel_per_class() -> None:
    logits, labels = batch()
    valid = (labels != 255)[:, None].expand(logits.shape)
    target = F.one_hot(labels.masked_fill(labels == 255, 0), 5).permute(0, 3, 1, 2).float()
    pos_weight = torch.rand(5) + 0.5
    each = F.binary_cross_entropy_with_logits(
        logits, target, pos_weight=pos_weight[:, None, None], reduction="none"
    )
    expected = (each * valid).sum()
    loss = build_loss({"type": "CrossEntropyLoss", "use_sigmoid": True, "class_weight": pos_weight.tolist()})
    torch.testing.assert_close(loss(logits, labels, ignore_index=255), expected / logits.numel())
    loss.avg_non_ignore = True
    torch.testing.assert_close(loss(logits, labels, ignore_index=255), expected / valid.sum())


def test_sigmoid_of_one_channel_takes_labels_of_0_and_1() -> None:
    logits, labels = torch.randn(2, 1, 4, 4), torch.randint(0, 2, (2, 4, 4))
    labels[0, 0, 0], labels[1, 0, 0] = 255, -1
    valid = (labels == 0) | (labels == 1)
    each = F.binary_cross_entropy_with_logits(logits[:, 0], labels.float(), reduction="none")
    loss = binary_cross_entropy(logits, labels, ignore_index=255, avg_non_ignore=True)
    torch.testing.assert_close(loss, each[valid].mean())


def test_sigmoid_takes_targets_in_the_shape_of_the_logits() -> None:
    logits, labels = torch.randn(8, 2), torch.randint(0, 2, (8, 2))
    expected = F.binary_cross_entropy_with_logits(logits, labels.float())
    torch.testing.assert_close(binary_cross_entropy(logits, labels), expected)


def test_pixel_weights_of_the_sigmoid_loss() -> None:
    logits, labels = batch()
    weight = torch.rand(2, 6, 7)
    each = binary_cross_entropy(logits, labels, ignore_index=255, reduction="none")
    loss = binary_cross_entropy(logits, labels, weight, ignore_index=255, reduction="sum")
    torch.testing.assert_close(loss, (each * weight[:, None]).sum())


def test_masks_are_compared_in_the_channel_of_their_class() -> None:
    logits, masks = torch.randn(3, 4, 5, 5), torch.randint(0, 2, (3, 5, 5))
    labels = torch.tensor([2, 0, 3])
    chosen = torch.stack([logits[i, c] for i, c in enumerate(labels)])
    expected = F.binary_cross_entropy_with_logits(chosen, masks.float())
    assert mask_cross_entropy(logits, masks, labels).shape == (1,)
    loss = build_loss({"type": "CrossEntropyLoss", "use_mask": True, "loss_weight": 2.0})
    torch.testing.assert_close(loss(logits, masks, labels)[0], 2 * expected)


def test_reduction_override_and_loss_weight() -> None:
    logits, labels = batch()
    loss = build_loss({"type": "CrossEntropyLoss", "loss_weight": 0.5, "reduction": "sum"})
    each = loss(logits, labels, ignore_index=255, reduction_override="none")
    assert each.shape == labels.shape
    torch.testing.assert_close(loss(logits, labels, ignore_index=255), each.sum())
    torch.testing.assert_close(each, 0.5 * cross_entropy(logits, labels, ignore_index=255, reduction="none"))


def test_weight_reduce_loss() -> None:
    loss, weight = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([1.0, 0.0, 2.0])
    assert weight_reduce_loss(loss, weight).item() == pytest.approx(7 / 3)
    assert weight_reduce_loss(loss, weight, avg_factor=2).item() == pytest.approx(3.5)
    assert weight_reduce_loss(loss, weight, "none", avg_factor=2).tolist() == [1, 0, 6]
    with pytest.raises(UserError, match="avg_factor"):
        weight_reduce_loss(loss, weight, "sum", avg_factor=2)
    with pytest.raises(UserError, match="average"):
        weight_reduce_loss(loss, weight, "average")


@pytest.mark.parametrize("name", ["w.npy", "w.json", "w.yaml", "w.txt"])
def test_class_weights_from_a_file(name: str, tmp_path: Path) -> None:
    weights, path = [0.5, 1.0, 2.25], tmp_path / name
    if name.endswith("npy"):
        np.save(path, np.array(weights))
    else:
        path.write_text(json.dumps(weights) if not name.endswith("txt") else "0.5 1.0\n2.25\n")
    loss = build_loss({"type": "CrossEntropyLoss", "class_weight": str(path)})
    assert loss.class_weight.tolist() == weights
    assert loss.state_dict() == {}


def test_pickled_class_weights_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "w.pkl"
    path.write_bytes(b"cos\nsystem\n(S'touch " + str(tmp_path / "ran").encode() + b"'\ntR.")
    with pytest.raises(UserError, match="refused"):
        get_class_weight(str(path))
    objects = tmp_path / "objects.npy"
    np.save(objects, np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(UserError, match="cannot be read"):
        get_class_weight(str(objects))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"use_sigmoid": True, "use_mask": True}, "exclude each other"),
        ({"reduction": "avg"}, "reduction"),
        ({"class_weight": [1.0, -1.0]}, "non-negative"),
        ({"class_weight": 3}, "list of numbers"),
        ({"class_weight": "nowhere.npy"}, "nowhere.npy does not exist"),
        ({"classweight": [1.0]}, "did you mean.*class_weight"),
    ],
)
def test_settings_that_do_not_fit_are_named(changes: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        build_loss({"type": "CrossEntropyLoss", **changes})


def test_a_wrong_number_of_class_weights_is_named() -> None:
    loss = build_loss({"type": "CrossEntropyLoss", "class_weight": [1.0, 2.0, 3.0]})
    with pytest.raises(UserError, match="3 entries.*5 channels"):
        loss(*batch())
