"""What every backbone keeps. A new backbone is tested by a subclass with its config and its numbers."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn

from mmseg.models import build_backbone
from mmseg.utils.errors import UserError


class BackboneContract:
    """Subclass it as ``class TestName(BackboneContract)`` and set the attributes.

    Attributes:
        config: A small variant, without dropout of any kind, as a plain dictionary.
        channels, strides: Of the maps it returns.
        checkpoints: Whether it has ``with_cp``.
    """

    config: dict[str, Any]
    channels: tuple[int, ...]
    strides: tuple[int, ...]
    checkpoints: bool = True

    def build(self, **changes: Any) -> nn.Module:
        torch.manual_seed(0)
        backbone = build_backbone({**copy.deepcopy(self.config), **changes})
        backbone.init_weights()
        return backbone

    @pytest.mark.parametrize("size", [(64, 64), (64, 96), (65, 97), (91, 70)])
    def test_channels_and_strides_at_any_size(self, size: tuple[int, int]) -> None:
        feats = self.build().eval()(torch.randn(2, 3, *size))
        assert [f.shape[1] for f in feats] == list(self.channels)
        expected = [tuple(-(-s // stride) for s in size) for stride in self.strides]
        assert [tuple(f.shape[2:]) for f in feats] == expected
        assert all(torch.isfinite(f).all() for f in feats)

    def test_building_leaves_the_config_alone(self) -> None:
        config = copy.deepcopy(self.config)
        build_backbone(config)
        assert config == self.config

    def test_builds_without_memory_for_weights(self) -> None:
        with torch.device("meta"):
            backbone = build_backbone(copy.deepcopy(self.config))
            feats = backbone(torch.randn(1, 3, 64, 64))
        assert [f.shape[1] for f in feats] == list(self.channels)

    def test_follows_the_type_of_its_weights(self) -> None:
        backbone, image = self.build().eval(), torch.randn(1, 3, 64, 64)
        single = backbone(image)
        double = backbone.double()(image.double())
        assert all(f.dtype == torch.float64 for f in double)
        for a, b in zip(single, double, strict=True):
            torch.testing.assert_close(a, b.float(), rtol=1e-3, atol=1e-4)

    def test_autocast_stays_close(self) -> None:
        backbone, image = self.build().eval(), torch.randn(1, 3, 64, 64)
        exact = backbone(image)
        with torch.autocast("cpu", torch.bfloat16):
            rough = backbone(image)
        for a, b in zip(rough, exact, strict=True):
            assert ((a.float() - b).norm() / b.norm()).item() < 0.1

    def test_images_of_a_batch_do_not_meet(self) -> None:
        backbone, images = self.build().eval(), torch.randn(3, 3, 64, 64)
        together, alone = backbone(images), backbone(images[1:2])
        for a, b in zip(together, alone, strict=True):
            torch.testing.assert_close(a[1:2], b, rtol=1e-4, atol=1e-5)

    def test_every_weight_gets_a_gradient(self) -> None:
        backbone = self.build().train()
        sum(f.square().mean() for f in backbone(torch.randn(2, 3, 64, 64))).backward()
        without = [n for n, p in backbone.named_parameters() if p.requires_grad and p.grad is None]
        assert without == []

    def test_gradient_checkpointing_gives_equal_gradients(self) -> None:
        if not self.checkpoints:
            with pytest.raises(UserError, match="with_cp"):
                self.build(with_cp=True)
            return
        image = torch.randn(2, 3, 64, 64)
        gradients = []
        for with_cp in (False, True):
            backbone = self.build(with_cp=with_cp).train()
            sum(f.square().mean() for f in backbone(image)).backward()
            gradients.append({n: p.grad for n, p in backbone.named_parameters()})
        for name, gradient in gradients[0].items():
            torch.testing.assert_close(gradients[1][name], gradient, rtol=1e-5, atol=1e-7, msg=name)

    def test_init_weights_follows_the_seed_and_runs_once(self) -> None:
        first, second = self.build().state_dict(), self.build()
        torch.testing.assert_close(second.state_dict(), first, rtol=0, atol=0)
        second.init_weights()
        torch.testing.assert_close(second.state_dict(), first, rtol=0, atol=0)

    def test_pretrained_weights_are_read_by_init_weights_only(self, tmp_path: Any) -> None:
        source = self.build()
        with torch.no_grad():
            for parameter in source.parameters():
                parameter.add_(0.5)
        path = str(tmp_path / "weights.pth")
        config = {**copy.deepcopy(self.config), "init_cfg": {"type": "Pretrained", "checkpoint": path}}
        backbone = build_backbone(config)  # there is no such file yet
        with pytest.raises(UserError, match=r"weights\.pth"):
            backbone.init_weights()
        torch.save({"state_dict": source.state_dict()}, path)
        backbone.init_weights()
        torch.testing.assert_close(backbone.state_dict(), source.state_dict(), rtol=0, atol=0)

    def test_a_misspelt_argument_is_named(self) -> None:
        with pytest.raises(UserError, match="out_indises.*did you mean.*out_indices"):
            self.build(out_indises=[0])
