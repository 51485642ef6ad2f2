"""The cross entropy of small logits beside resizing and ``F.cross_entropy``."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from mmseg.models.decode_heads import FCNHead
from mmseg.models.losses.resized import resized_cross_entropy, resized_pixel_losses

CLASSES = 5
OHEM = [
    None,
    {"type": "OHEMPixelSampler", "min_kept": 300},
    {"type": "OHEMPixelSampler", "thresh": 0.3, "min_kept": 300},
]


def batch(size: tuple[int, int] = (9, 14)) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, CLASSES, *size, generator=generator).requires_grad_()
    label = torch.randint(0, CLASSES, (2, 1, 33, 50), generator=generator)
    label[torch.rand(label.shape, generator=generator) < 0.2] = 255
    return logits, label


def head(loss: dict[str, Any] | list[dict[str, Any]] | None = None, **settings: Any) -> FCNHead:
    layers = {"in_channels": 4, "channels": 4, "num_convs": 0, "concat_input": False}
    loss = loss or {"type": "CrossEntropyLoss"}
    return FCNHead(num_classes=CLASSES, loss_decode=loss, **layers, **settings)


def outcome(module: FCNHead, logits: Tensor, label: Tensor, exact: bool) -> tuple[dict[str, Tensor], Tensor]:
    module.exact = exact
    losses = module.losses(logits, label)
    total = sum(value for name, value in losses.items() if "loss" in name)
    return losses, torch.autograd.grad(3 * total, logits)[0]


def assert_same(module: FCNHead, logits: Tensor, label: Tensor) -> None:
    (exact, exact_grad), (fast, grad) = (outcome(module, logits, label, e) for e in (True, False))
    assert exact.keys() == fast.keys()
    for name in exact:
        torch.testing.assert_close(fast[name], exact[name], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(grad, exact_grad, rtol=1e-4, atol=1e-8)


@pytest.mark.parametrize("sampler", OHEM)
@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("avg_non_ignore", [False, True])
@pytest.mark.parametrize("weights", [None, [0.5, 1.0, 2.0, 0.1, 1.5]])
def test_losses_gradients_and_accuracy_are_those_of_the_exact_path(
    sampler: Any, align_corners: bool, avg_non_ignore: bool, weights: list[float] | None
) -> None:
    loss = {"class_weight": weights, "avg_non_ignore": avg_non_ignore, "loss_weight": 0.7}
    module = head({"type": "CrossEntropyLoss", **loss}, sampler=sampler, align_corners=align_corners)
    assert_same(module, *batch())


@pytest.mark.parametrize("size", [(33, 50), (33, 20), (40, 60), (1, 1)])
def test_any_size_of_logits(size: tuple[int, int]) -> None:
    assert_same(head(), *batch(size))


def test_several_losses() -> None:
    first = {"type": "CrossEntropyLoss", "class_weight": [1.0, 2.0, 3.0, 4.0, 5.0]}
    second = {"type": "CrossEntropyLoss", "loss_weight": 0.3, "loss_name": "loss_second"}
    assert_same(head([first, first, second], sampler=OHEM[1]), *batch())


def test_equal_logits_count_as_the_first_class() -> None:
    logits, label = batch()
    assert_same(head(), torch.zeros_like(logits, requires_grad=True), label)


def test_a_batch_without_labels() -> None:
    logits, label = batch()
    assert_same(head(), logits, torch.full_like(label, 255))


def test_other_losses_take_the_resized_logits() -> None:
    logits, label = batch()
    for kind in ("DiceLoss", "FocalLoss", "LovaszLoss"):
        settings = {"type": kind, **({"reduction": "none"} if kind == "LovaszLoss" else {})}
        assert_same(head([{"type": "CrossEntropyLoss"}, settings]), logits, label)


def test_without_gradient() -> None:
    logits, label = batch()
    with torch.no_grad():
        value, hits = resized_cross_entropy(logits, label[:, 0])
        full = F.interpolate(logits, label.shape[2:], mode="bilinear")
    expected = F.cross_entropy(full, label[:, 0], ignore_index=255, reduction="sum")
    torch.testing.assert_close(value, expected)
    assert hits == (full.argmax(1) == label[:, 0]).sum()
    each = F.cross_entropy(full, label[:, 0], ignore_index=255, reduction="none")
    torch.testing.assert_close(resized_pixel_losses(logits, label[:, 0]), each)


def test_a_label_that_is_no_class_is_refused() -> None:
    logits, label = batch()
    label[0, 0, 0, 0] = CLASSES
    with pytest.raises((RuntimeError, IndexError), match="out of bounds"):
        head().losses(logits, label)


def test_half_precision_logits() -> None:
    logits, label = batch()
    assert_same(head(), logits.detach().bfloat16().float().requires_grad_(), label)
    found = head().losses(logits.bfloat16(), label)
    assert found["loss_ce"].dtype == torch.float32
