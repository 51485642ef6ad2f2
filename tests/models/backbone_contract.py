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
        freezes: Whether it has ``frozen_stages``, where -1 freezes nothing, 0 the part before the first
            stage and ``n`` that and the first ``n`` stages.
        size: (height, width) of the image in the tests that do not vary it.
        sizes: Those that the test of channels and strides feeds.
        size_multiple: What both sides of an image must divide by. ``sizes`` are rounded up to it, and a
            size that does not divide must be refused with a message that names the number.

    A backbone whose maps are not of ``ceil(size / stride)`` overrides ``map_size``.
    """

    config: dict[str, Any]
    channels: tuple[int, ...]
    strides: tuple[int, ...]
    checkpoints: bool = True
    freezes: bool = False
    size: tuple[int, int] = (64, 64)
    sizes: tuple[tuple[int, int], ...] = ((64, 64), (64, 96), (65, 97), (91, 70))
    size_multiple: int = 1

    def build(self, **changes: Any) -> nn.Module:
        torch.manual_seed(0)
        backbone = build_backbone({**copy.deepcopy(self.config), **changes})
        backbone.init_weights()
        return backbone

    def map_size(self, size: tuple[int, int], stride: int) -> tuple[int, int]:
        """(height, width) of the map of ``stride`` for an image of ``size``."""
        return (-(-size[0] // stride), -(-size[1] // stride))

    def images(self, count: int) -> torch.Tensor:
        return torch.randn(count, 3, *self.size)

    def test_channels_and_strides_at_any_size(self) -> None:
        backbone, multiple = self.build().eval(), self.size_multiple
        for size in self.sizes:
            size = tuple(-(-side // multiple) * multiple for side in size)
            feats = backbone(torch.randn(2, 3, *size))
            assert [f.shape[1] for f in feats] == list(self.channels), size
            expected = [self.map_size(size, stride) for stride in self.strides]
            assert [tuple(f.shape[2:]) for f in feats] == expected, size
            assert all(torch.isfinite(f).all() for f in feats), size
        if multiple > 1:
            with pytest.raises(UserError, match=rf"\b{multiple}\b"):
                backbone(torch.randn(1, 3, 4 * multiple, 4 * multiple + 1))

    def test_building_leaves_the_config_alone(self) -> None:
        config = copy.deepcopy(self.config)
        build_backbone(config)
        assert config == self.config

    def test_builds_without_memory_for_weights(self) -> None:
        with torch.device("meta"):
            backbone = build_backbone(copy.deepcopy(self.config))
            feats = backbone(self.images(1))  # on the meta device as well
        assert [f.shape[1] for f in feats] == list(self.channels)

    def test_follows_the_type_of_its_weights(self) -> None:
        backbone, image = self.build().eval(), self.images(1)
        single = backbone(image)
        double = backbone.double()(image.double())
        assert all(f.dtype == torch.float64 for f in double)
        for a, b in zip(single, double, strict=True):
            torch.testing.assert_close(a, b.float(), rtol=1e-3, atol=1e-4)

    def test_autocast_stays_close(self) -> None:
        backbone, image = self.build().eval(), self.images(1)
        exact = backbone(image)
        with torch.autocast("cpu", torch.bfloat16):
            rough = backbone(image)
        for a, b in zip(rough, exact, strict=True):
            assert ((a.float() - b).norm() / b.norm()).item() < 0.1

    def test_images_of_a_batch_do_not_meet(self) -> None:
        backbone, images = self.build().eval(), self.images(3)
        together, alone = backbone(images), backbone(images[1:2])
        for a, b in zip(together, alone, strict=True):
            torch.testing.assert_close(a[1:2], b, rtol=1e-4, atol=1e-5)

    def test_every_weight_gets_a_gradient(self) -> None:
        backbone = self.build().train()
        sum(f.square().mean() for f in backbone(self.images(2))).backward()
        without = [n for n, p in backbone.named_parameters() if p.requires_grad and p.grad is None]
        assert without == []

    def test_gradient_checkpointing_gives_equal_gradients(self) -> None:
        if not self.checkpoints:
            with pytest.raises(UserError, match="with_cp"):
                self.build(with_cp=True)
            return
        image = self.images(2)
        gradients, statistics = [], []
        for with_cp in (False, True):
            backbone = self.build(with_cp=with_cp).train()
            sum(f.square().mean() for f in backbone(image)).backward()
            gradients.append({n: p.grad for n, p in backbone.named_parameters()})
            statistics.append(dict(backbone.named_buffers()))
        for name, gradient in gradients[0].items():
            torch.testing.assert_close(gradients[1][name], gradient, rtol=1e-5, atol=1e-7, msg=name)
        for name, value in statistics[0].items():  # layers.checkpointed() counts a batch once
            torch.testing.assert_close(statistics[1][name], value, msg=name)

    def test_frozen_stages_stay_put(self) -> None:
        if not self.freezes:
            with pytest.raises(UserError, match="frozen_stages"):
                self.build(frozen_stages=1)
            return
        frozen: set[str] = set()
        assert all(p.requires_grad for p in self.build(frozen_stages=-1).parameters())
        for stages in (0, 1):
            backbone = self.build(frozen_stages=stages)
            now = {name for name, p in backbone.named_parameters() if not p.requires_grad}
            assert frozen < now < dict(backbone.named_parameters()).keys(), stages
            frozen = now
        backbone.eval().train()
        modules = {name.rpartition(".")[0] for name in frozen}
        awake = [name for name in modules if name and backbone.get_submodule(name).training]
        assert awake == []  # their normalisation and dropout act as in testing
        before = copy.deepcopy(backbone.state_dict())
        trained = [p for p in backbone.parameters() if p.requires_grad]
        optimizer = torch.optim.SGD(trained, lr=0.1)
        sum(f.square().mean() for f in backbone(self.images(2))).backward()
        optimizer.step()
        changed = {k for k, v in backbone.state_dict().items() if not torch.equal(v, before[k])}
        assert [key for key in changed if key.rpartition(".")[0] in modules] == []
        assert changed & dict(backbone.named_parameters()).keys()

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
