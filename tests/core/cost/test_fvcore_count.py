"""The counter on the meta device gives what fvcore's own trace gives on the CPU, module by module."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmseg.core.cost.fvcore_count import CostAnalysis, attention_macs

warnings.filterwarnings("ignore", category=FutureWarning)


class Everything(nn.Module):
    """Every operator that fvcore counts, once or more, and some that it does not."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.grouped = nn.Conv2d(8, 8, 3, padding=1, groups=4, bias=False)
        self.up = nn.ConvTranspose2d(8, 8, 2, stride=2)
        self.line = nn.Conv1d(8, 8, 3, padding=1)
        self.bn, self.bare_bn = nn.BatchNorm2d(8), nn.BatchNorm2d(8, affine=False)
        self.gn, self.instance = nn.GroupNorm(2, 8), nn.InstanceNorm2d(8, affine=True)
        self.ln = nn.LayerNorm(8)
        self.linear = nn.Linear(8, 8)
        self.unused = nn.Linear(8, 9)
        self.pool = nn.AdaptiveAvgPool2d((2, 3))
        self.shared = self.linear
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, image: Tensor) -> Tensor:
        x = F.relu(self.bare_bn(self.grouped(self.bn(self.stem(image)))))
        x = self.instance(self.gn(self.up(x)))
        x = F.interpolate(x, size=(7, 9), mode="bilinear", align_corners=False)
        x = F.interpolate(x, scale_factor=2, mode="nearest")
        x = x * torch.sigmoid(F.adaptive_avg_pool2d(x, 1)) + x.mean((2, 3), keepdim=True)
        grid = F.affine_grid(torch.eye(2, 3, device=x.device)[None], [1, 8, 6, 5], align_corners=False)
        x = self.pool(F.max_pool2d(F.grid_sample(x, grid, align_corners=False), 1))
        tokens = self.line(x.flatten(2)).transpose(1, 2)
        tokens = self.shared(F.gelu(self.ln(self.linear(tokens))))
        products = tokens @ tokens.transpose(1, 2)
        products = torch.bmm(products, products) + torch.einsum("nij,njk->nik", products, products)
        tokens = torch.addmm(tokens[0], products[0], tokens[0])[None]
        tokens = self.attention(tokens, tokens, tokens)[0]
        heads = tokens.unflatten(2, (2, 4)).transpose(1, 2)
        return F.scaled_dot_product_attention(heads, heads, heads)


def traced(model: nn.Module, image: Tensor) -> Any:
    """fvcore's own analysis, by a trace; it lacks a handle for attention only."""
    from fvcore.nn import FlopCountAnalysis
    from fvcore.nn.jit_handles import get_shape

    def attention(inputs: list[Any], outputs: list[Any]) -> int:
        query, keys = get_shape(inputs[0]), get_shape(inputs[1])
        batch, heads, length, dims = query
        return 2 * batch * heads * length * keys[2] * dims

    analysis = FlopCountAnalysis(model, image).set_op_handle("aten::scaled_dot_product_attention", attention)
    return analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)


@pytest.fixture(scope="module")
def pair() -> tuple[CostAnalysis, Any]:
    model = Everything().eval()
    theirs = traced(model, torch.randn(1, 3, 12, 14))
    theirs.total()
    on_meta = Everything().eval().to("meta")
    return CostAnalysis(on_meta, lambda: on_meta(torch.empty(1, 3, 12, 14, device="meta"))), theirs


def test_total_and_operators_equal_fvcores_trace(pair):
    ours, theirs = pair
    assert ours.total() == theirs.total() > 0
    counted = ours.by_operator()
    assert {"conv", "linear", "matmul", "bmm", "einsum", "addmm", "scaled_dot_product_attention"} <= set(
        counted
    )
    assert {"batch_norm", "group_norm", "instance_norm", "layer_norm", "adaptive_avg_pool2d"} <= set(counted)
    assert {"upsample_bilinear2d", "upsample_nearest2d", "grid_sampler"} <= set(counted)
    assert counted == theirs.by_operator()


def test_modules_equal_fvcores_trace(pair):
    ours, theirs = pair
    assert ours.by_module() == theirs.by_module()
    assert ours.by_module()["linear"] == 2 * 6 * 8 * 8  # shared: both calls
    # The trace does not see modules without operators; `out_proj` is read but not called.
    assert ours.uncalled_modules() == theirs.uncalled_modules() == {"unused", "attention.out_proj"}


def test_the_uncounted_are_listed(pair):
    ours, theirs = pair
    left_out = {"aten::gelu", "aten::sigmoid", "aten::mean", "aten::max_pool2d", "aten::mul", "aten::softmax"}
    assert left_out <= set(ours.unsupported_ops())
    assert set(ours.unsupported_ops()) <= set(theirs.unsupported_ops())
    assert not any(view in name for name in ours.unsupported_ops() for view in ("flatten", "transpose"))


def test_the_same_on_the_cpu(pair):
    model = Everything().eval()
    cpu = CostAnalysis(model, lambda: model(torch.randn(1, 3, 12, 14)))
    assert cpu.by_module_and_operator() == pair[0].by_module_and_operator()
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_hooks_are_gone_after_a_failure():
    model = Everything().eval()
    with pytest.raises(RuntimeError):
        CostAnalysis(model, lambda: model(torch.randn(1, 5, 12, 14))).total()
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    assert torch.backends.mha.get_fastpath_enabled()


def test_training_batch_norm_counts_five():
    model = nn.BatchNorm2d(4).to("meta")
    image = torch.empty(2, 4, 3, 3, device="meta")
    assert CostAnalysis(model, lambda: model(image)).total() == 5 * image.numel()
    model.eval()
    assert CostAnalysis(model, lambda: model(image)).total() == 2 * image.numel()


def test_attention_is_its_two_products():
    class Shape:
        def __init__(self, *shape: int) -> None:
            self.shape = list(shape)

        def sizes(self) -> list[int]:
            return self.shape

    query, key, value = Shape(2, 3, 7, 4), Shape(2, 3, 5, 4), Shape(2, 3, 5, 6)
    assert attention_macs([query, key, value], []) == 2 * 3 * (7 * 5 * 4 + 7 * 5 * 6)


def test_a_product_with_a_vector_is_listed_not_counted():
    model = nn.Identity()
    matrix, vector = torch.empty(3, 4, device="meta"), torch.empty(4, device="meta")
    analysis = CostAnalysis(model, lambda: matrix @ vector)
    assert analysis.total() == 0 and set(analysis.unsupported_ops()) == {"aten::matmul"}


class HalfRead(nn.Module):
    """Two convolutions after a third, and products that are only written into a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.read, self.unread = (nn.Conv2d(3, 3, 3, padding=1) for _ in range(3))
        self.norm = nn.LayerNorm(8)

    def forward(self, image: Tensor) -> Tensor:
        x = F.relu(self.stem(image))
        maps = [self.read(x), self.norm(self.unread(x))]
        canvas = torch.zeros_like(maps[0])
        canvas[:, :, :4] += maps[0][:, :, :4]
        return canvas


def test_what_nothing_reads_is_left_out_as_in_a_trace():
    model, image = HalfRead().eval(), torch.randn(1, 3, 6, 8)
    ours, theirs = CostAnalysis(model, lambda: model(image)), traced(model, image)
    assert ours.total() == theirs.total() == 2 * 48 * 3 * 3 * 9
    assert ours.by_module() == theirs.by_module()
    assert ours.unused == {"conv": 48 * 3 * 3 * 9, "layer_norm": 5 * 48 * 3}


def test_everything_counts_if_the_run_returns_no_tensor():
    model, image = HalfRead().eval(), torch.randn(1, 3, 6, 8)
    ours = CostAnalysis(model, lambda: [model(image), None][1])
    assert ours.total() == 3 * 48 * 3 * 3 * 9 + 5 * 48 * 3
    assert not ours.unused
