"""What models do in another way while torch.export makes a graph of them gives the same."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from mmseg.models.backbones.swin_attention import missing_cells
from mmseg.models.decode_heads.psp_head import averaging_matrix
from mmseg.models.layers.exporting import is_exporting, is_known_true


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 8), st.integers(1, 60), st.integers(1, 60))
def test_pooling_by_products(cells: int, height: int, width: int) -> None:
    x = torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(height * 100 + width))
    rows, columns = averaging_matrix(cells, height, x), averaging_matrix(cells, width, x)
    expected = F.adaptive_avg_pool2d(x, cells)
    assert torch.allclose(rows @ x @ columns.transpose(0, 1), expected, atol=2e-6)


@pytest.mark.parametrize(("kernel", "stride"), [(4, 4), (2, 2), (7, 7), (2, 4), (3, 2)])
def test_missing_cells(kernel: int, stride: int) -> None:
    for size in range(1, 60):
        steps = -(-size // stride)
        assert missing_cells(size, kernel, stride) == max((steps - 1) * stride + kernel - size, 0)


def test_nothing_is_exported_here() -> None:
    assert not is_exporting()
    assert is_known_true(True) and not is_known_true(False)


def test_a_question_adds_no_condition() -> None:
    asked = []

    class Asks(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            height, width = x.shape
            asked.append(
                (is_exporting(), is_known_true(height == width), is_known_true(height == height + 0))
            )
            return x + 1

    dims = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}
    program = torch.export.export(Asks(), (torch.zeros(5, 5),), dynamic_shapes={"x": dims}, strict=False)
    assert asked and all(answer == (True, False, True) for answer in asked)
    assert program.module()(torch.zeros(4, 6)).shape == (4, 6)
