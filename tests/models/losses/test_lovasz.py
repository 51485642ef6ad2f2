from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mmseg.models import build_head, build_loss
from mmseg.models.losses import lovasz_hinge, lovasz_softmax
from mmseg.utils.errors import UserError


def batch(classes: int = 4, ignored: float = 0.3) -> tuple[torch.Tensor, torch.Tensor]:
    logits, labels = torch.randn(2, classes, 5, 6), torch.randint(0, classes, (2, 5, 6))
    return logits, labels.masked_fill(torch.rand(2, 5, 6) < ignored, 255)


def jaccard_loss(truth: torch.Tensor, wrong: set[int]) -> float:
    """1 - IoU of the foreground if exactly the pixels ``wrong`` are mistaken."""
    own = {i for i, t in enumerate(truth.tolist()) if t}
    union = own | wrong
    return 1 - len(own - wrong) / len(union) if union else 0.0


def extension(errors: torch.Tensor, truth: torch.Tensor) -> float:
    """The definition: pixels by falling error, each times what it adds to the loss."""
    total, wrong = 0.0, set()
    for i in errors.argsort(descending=True).tolist():
        before = jaccard_loss(truth, wrong)
        wrong.add(i)
        total += max(errors[i].item(), 0) * (jaccard_loss(truth, wrong) - before)
    return total


def expected_softmax(logits: torch.Tensor, labels: torch.Tensor, classes: list[int]) -> float:
    """The mean over classes of the pixels that count, all images together."""
    valid = (labels != 255).flatten()
    p = logits.softmax(1).transpose(0, 1).flatten(1)[:, valid]
    truth = labels.flatten()[valid]
    terms = [extension(((truth == c).float() - p[c]).abs(), truth == c) for c in classes]
    return sum(terms) / len(terms)


@given(st.sampled_from(["present", "all", (0, 2)]), st.booleans(), st.sampled_from([0.0, 0.5]))
def test_is_the_definition(classes: str | tuple[int, ...], per_image: bool, ignored: float) -> None:
    logits, labels = batch(ignored=ignored)
    labels[labels == 3] = 255  # class 3 does not occur
    labels[0][labels[0] == 1] = 0  # nor class 1 in the first image
    groups = [slice(0, 1), slice(1, 2)] if per_image else [slice(0, 2)]
    expected = []
    for group in groups:
        own = labels[group]
        chosen = {"all": range(4), "present": sorted(set(own.unique().tolist()) - {255})}.get(
            classes, classes
        )
        expected.append(expected_softmax(logits[group], own, list(chosen)))
    value = lovasz_softmax(logits, labels, classes, per_image)
    assert value.item() == pytest.approx(sum(expected) / len(expected), rel=1e-4)


@given(st.booleans(), st.sampled_from([0.0, 0.5]))
def test_hinge_is_the_definition(per_image: bool, ignored: float) -> None:
    logits, labels = batch(classes=1, ignored=0)
    labels = (torch.rand(2, 5, 6) > 0.5).long().masked_fill(torch.rand(2, 5, 6) < ignored, 255)
    groups = [slice(0, 1), slice(1, 2)] if per_image else [slice(0, 2)]
    expected = []
    for group in groups:
        valid = labels[group].flatten() != 255
        truth, x = labels[group].flatten()[valid], logits[group].flatten()[valid]
        expected.append(extension(1 - x * (2 * truth - 1), truth == 1))
    value = lovasz_hinge(logits, labels, per_image)
    assert value.item() == pytest.approx(sum(expected) / len(expected), rel=1e-4)
    torch.testing.assert_close(lovasz_hinge(logits[:, 0], labels, per_image), value)


def test_at_the_corners_it_is_the_jaccard_loss() -> None:
    truth = torch.tensor([[[1, 1, 0, 0]]])
    for guess in itertools.product((0, 1), repeat=4):
        sure = 100.0 * (2 * torch.tensor(guess, dtype=torch.float32) - 1)
        logits = torch.stack([-sure, sure])[None, :, None]
        wrong = {i for i, (a, b) in enumerate(zip(guess, (1, 1, 0, 0), strict=True)) if a != b}
        value = lovasz_softmax(logits, truth, classes=[1])
        assert value.item() == pytest.approx(jaccard_loss(truth.flatten(), wrong), abs=1e-5)


def test_class_weights_and_reductions() -> None:
    logits, labels = batch()
    weights = [1.0, 0.0, 2.0, 0.5]
    settings = {"type": "LovaszLoss", "classes": "all", "per_image": True, "class_weight": weights}
    loss = build_loss({**settings, "loss_weight": 3.0})
    single = [lovasz_softmax(logits[i : i + 1], labels[i : i + 1], [c]) for i in (0, 1) for c in range(4)]
    each = torch.stack(
        [sum(w * s for w, s in zip(weights, single[i : i + 4], strict=True)) / 4 for i in (0, 4)]
    )
    keyword = {"ignore_index": 255}
    torch.testing.assert_close(loss(logits, labels, reduction_override="none", **keyword), 3 * each)
    torch.testing.assert_close(loss(logits, labels, **keyword), 3 * each.mean())
    torch.testing.assert_close(loss(logits, labels, reduction_override="sum", **keyword), 3 * each.sum())
    torch.testing.assert_close(loss(logits, labels, avg_factor=5, **keyword), 3 * each.sum() / 5)


def test_the_task_of_two_classes_with_one_logit() -> None:
    logits, labels = torch.randn(2, 1, 5, 6), torch.randint(0, 2, (2, 5, 6))
    loss = {"type": "LovaszLoss", "loss_type": "binary", "per_image": True}
    settings = {"type": "FCNHead", "in_channels": 2, "channels": 2, "num_convs": 0, "concat_input": False}
    head = build_head({**settings, "task": "binary", "loss_decode": loss})
    losses = head.losses(logits, labels[:, None])
    torch.testing.assert_close(losses["loss_lovasz"], lovasz_hinge(logits, labels, per_image=True))
    with pytest.raises(UserError, match="one logit per pixel"):
        build_head({**settings, "task": "binary", "loss_decode": {**loss, "loss_type": "multi_class"}})


def test_gradients() -> None:
    labels = torch.randint(0, 3, (2, 3, 3))
    labels[0, 0] = 255
    for per_image in (False, True):
        logits = torch.randn(2, 3, 3, 3, dtype=torch.float64, requires_grad=True)
        assert torch.autograd.gradcheck(lambda x, p=per_image: lovasz_softmax(x, labels, "all", p), logits)
        logits = torch.randn(2, 1, 3, 3, dtype=torch.float64, requires_grad=True)
        binary = labels.where(labels == 255, labels.clamp(max=1))
        assert torch.autograd.gradcheck(lambda x, p=per_image, y=binary: lovasz_hinge(x, y, p), logits)


@pytest.mark.parametrize("classes", ["present", "all", [1]])
def test_a_batch_without_labels_costs_nothing(classes: str | list[int]) -> None:
    labels = torch.full((2, 4, 4), 255)
    for per_image in (False, True):
        logits = torch.randn(2, 3, 4, 4, requires_grad=True)
        losses = [lovasz_softmax(logits, labels, classes, per_image)]
        losses.append(lovasz_hinge(logits[:, :1], labels, per_image))
        for loss in losses:
            assert loss.item() == 0
            assert torch.autograd.grad(loss, logits, retain_graph=True)[0].abs().sum() == 0


def test_is_float32_in_half_precision() -> None:
    logits, labels = batch()
    half = logits.to(torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16):
        values = lovasz_softmax(half, labels), lovasz_hinge(half[:, :1], labels.clamp(max=1))
    assert all(value.dtype == torch.float32 for value in values)
    torch.testing.assert_close(values[0], lovasz_softmax(half.float(), labels))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"per_image": False}, "per_image=True"),
        ({"loss_type": "Binary", "per_image": True}, "loss_type"),
        ({"classes": "some", "per_image": True}, "classes"),
        ({"classes": [0.5], "per_image": True}, "classes"),
    ],
)
def test_settings_that_do_not_fit_are_named(changes: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        build_loss({"type": "LovaszLoss", **changes})


def test_settings_that_do_not_fit_the_logits_are_named() -> None:
    loss = build_loss({"type": "LovaszLoss", "classes": [1, 7], "reduction": "none"})
    with pytest.raises(UserError, match=r"\[7\].*4 channels"):
        loss(*batch())
    loss = build_loss({"type": "LovaszLoss", "loss_type": "binary", "reduction": "none"})
    with pytest.raises(UserError, match="4 channels"):
        loss(*batch())
