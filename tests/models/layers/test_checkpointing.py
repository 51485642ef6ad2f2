from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from mmseg.models.layers import checkpointed


def block(**changes: object) -> nn.Sequential:
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(4, **changes)
    return nn.Sequential(nn.Conv2d(3, 4, 3), norm, nn.ReLU(inplace=True), nn.Conv2d(4, 2, 1))


@pytest.mark.parametrize("momentum", [0.1, None])
def test_gradients_and_statistics_are_those_of_a_plain_call(momentum: float | None) -> None:
    plain, image = block(momentum=momentum), torch.randn(2, 3, 8, 8)
    ours = copy.deepcopy(plain)
    for _ in range(2):
        plain(image).square().mean().backward()
        checkpointed(ours, ours, image).square().mean().backward()
    torch.testing.assert_close([p.grad for p in ours.parameters()], [p.grad for p in plain.parameters()])
    torch.testing.assert_close(dict(ours.named_buffers()), dict(plain.named_buffers()))
    assert ours[1].num_batches_tracked == 2


def test_plain_checkpointing_would_count_a_batch_twice() -> None:
    module, image = block(), torch.randn(2, 3, 8, 8)
    checkpoint(module, image, use_reentrant=False).mean().backward()
    assert module[1].num_batches_tracked == 2


def test_fewer_activations_are_kept() -> None:
    module, image, kept = block(), torch.randn(2, 3, 8, 8), []
    for run in (module, lambda x: checkpointed(module, module, x)):
        sizes: list[int] = []
        with torch.autograd.graph.saved_tensors_hooks(
            lambda t, s=sizes: s.append(t.numel()) or t, lambda t: t
        ):
            run(image)
        kept.append(sum(sizes))
    assert kept[1] < kept[0] / 2


def test_norms_in_evaluation_mode_stay_as_they_are() -> None:
    module, image = block(), torch.randn(2, 3, 8, 8)
    module[1].eval()
    before = copy.deepcopy(dict(module.named_buffers()))
    checkpointed(module, module, image).mean().backward()
    torch.testing.assert_close(dict(module.named_buffers()), before)
