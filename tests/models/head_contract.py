"""What every head keeps. A new head is tested by a subclass with its config and its inputs."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mmseg.models import build_head, revert_sync_batchnorm
from mmseg.models.layers import resize
from mmseg.utils.errors import UserError


class HeadContract:
    """Subclass it as ``class TestName(HeadContract)`` and set the attributes.

    Attributes:
        config: The head without ``num_classes`` and ``dropout_ratio``, as a plain dictionary.
        feats: Shapes (C, H, W) of the maps it is given.
        out_size: Height and width of its logits.
    """

    config: dict[str, Any]
    feats: tuple[tuple[int, int, int], ...]
    out_size: tuple[int, int]
    num_classes = 7

    def build(self, **changes: Any) -> nn.Module:
        torch.manual_seed(0)
        own = {"num_classes": self.num_classes, "dropout_ratio": 0.0}
        head = build_head({**copy.deepcopy(self.config), **own, **changes})
        head.init_weights()
        return revert_sync_batchnorm(head)

    def inputs(self, n: int = 2) -> list[Tensor]:
        generator = torch.Generator().manual_seed(1)
        return [torch.randn(n, *shape, generator=generator) for shape in self.feats]

    def labels(self, n: int = 2) -> Tensor:
        generator = torch.Generator().manual_seed(2)
        labels = torch.randint(0, self.num_classes, (n, 1, 45, 63), generator=generator)
        return labels.masked_fill(torch.rand(labels.shape, generator=generator) < 0.2, 255)

    @pytest.mark.parametrize("align_corners", [False, True])
    def test_shape_of_the_logits(self, align_corners: bool) -> None:
        logits = self.build(align_corners=align_corners).eval()(self.inputs())
        assert tuple(logits.shape) == (2, self.num_classes, *self.out_size)
        assert torch.isfinite(logits).all()

    def test_attributes(self) -> None:
        head = self.build()
        assert head.num_classes == self.num_classes
        assert head.conv_seg.out_channels == self.num_classes
        assert head.align_corners is False
        assert head.ignore_index == 255

    def test_binary(self) -> None:
        bce = {"type": "CrossEntropyLoss", "use_sigmoid": True}
        head = self.build(num_classes=2, task="binary", loss_decode=bce)
        logits = head.eval()(self.inputs())
        assert tuple(logits.shape) == (2, 1, *self.out_size)
        labels = self.labels()
        losses = head.losses(logits, torch.where(labels == 255, labels, labels % 2))
        assert torch.isfinite(losses["loss_ce"]) and 0 <= losses["acc_seg"].item() <= 100

    def test_losses(self) -> None:
        head = self.build()
        losses = head.losses(head(self.inputs()), self.labels())
        assert set(losses) == {"loss_ce", "acc_seg"}
        assert 0 <= losses["acc_seg"].item() <= 100
        losses["loss_ce"].backward()
        without = [n for n, p in head.named_parameters() if p.requires_grad and p.grad is None]
        assert without == []

    def test_ignored_pixels_do_not_matter(self) -> None:
        head, labels = self.build().eval(), self.labels()
        logits = torch.randn(2, self.num_classes, 45, 63)
        disturbed = torch.where(labels == 255, torch.randn_like(logits), logits)
        before, after = head.losses(logits, labels), head.losses(disturbed, labels)
        torch.testing.assert_close(after, before)

    def test_forward_train_and_forward_test(self) -> None:
        head, feats, labels = self.build().eval(), self.inputs(), self.labels()
        torch.testing.assert_close(head.forward_test(feats, None, None), head(feats))
        expected = head.losses(head(feats), labels)
        torch.testing.assert_close(head.forward_train(feats, [{}, {}], labels, None), expected)

    def test_the_classifier_starts_small(self) -> None:
        weight = self.build(num_classes=300).conv_seg.weight
        assert abs(weight.std().item() - 0.01) < 0.0015

    def test_half_precision_losses_are_single(self) -> None:
        head = self.build()
        with torch.autocast("cpu", torch.bfloat16):
            logits = head(self.inputs())
            losses = head.losses(logits, self.labels())
        assert logits.dtype == torch.bfloat16
        assert losses["loss_ce"].dtype == torch.float32

    def test_learns_its_labels(self) -> None:
        head, feats = self.build().train(), self.inputs()
        index = head.in_index[0] if isinstance(head.in_index, list) else head.in_index
        labels = (resize(feats[index][:, :1], self.out_size, mode="bilinear") > 0).long()
        optimizer = torch.optim.Adam(head.parameters(), lr=0.01)
        values = []
        for _ in range(12):
            loss = head.forward_train(feats, [{}, {}], labels)["loss_ce"]
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            values.append(loss.item())
        assert values[-1] < 0.9 * values[0]

    def test_builds_without_memory_for_weights(self) -> None:
        with torch.device("meta"):
            head = build_head({**copy.deepcopy(self.config), "num_classes": 3}).eval()
            logits = head(self.inputs())
        assert tuple(logits.shape) == (2, 3, *self.out_size)

    def test_building_leaves_the_config_alone(self) -> None:
        config = {**copy.deepcopy(self.config), "num_classes": 4}
        before = copy.deepcopy(config)
        build_head(config)
        assert config == before

    def test_wrong_maps_are_named(self) -> None:
        head, feats = self.build(), self.inputs()
        with pytest.raises(UserError, match="channels"):
            head([f[:, 1:] for f in feats])
        with pytest.raises(UserError, match="in_index"):
            head([])

    def test_a_misspelt_argument_of_the_base_class_is_named(self) -> None:
        with pytest.raises(UserError, match="aling_corners.*did you mean.*align_corners"):
            self.build(aling_corners=True)
