"""Attention within windows, shifted or not (Liu et al., 2021, "Swin Transformer: Hierarchical Vision
Transformer using Shifted Windows", section 3.2)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmseg.models.layers.exporting import is_exporting

# What a pair of tokens of different regions gets added to its score. MMSegmentation 0.25 and the original
# release have this number in place of minus infinity, so that the outcome is the same to the last digit.
APART = -100.0
_KEPT_MASKS = 8


def missing_cells(size: int, kernel: int, stride: int) -> int:
    """How many cells a side of ``size`` lacks for ``ceil(size / stride)`` steps of a kernel."""
    # Not by -(-size // stride): of a negative number ONNX rounds the other way.
    missing = ((size + stride - 1) // stride - 1) * stride + kernel - size
    # It cannot be negative then, and comparing would ask an exporter about a side that it does not know.
    return missing if kernel >= stride else max(missing, 0)


def relative_position_index(window: int) -> Tensor:
    """The row of the bias table for every pair of tokens of a window, int64 (window**2, window**2).

    Tokens i and j, dy rows and dx columns apart (both in -(window - 1) ... window - 1), share the row
    ``(dy + window - 1) * (2 * window - 1) + dx + window - 1`` with all pairs as far apart.
    """
    rows, columns = torch.meshgrid(torch.arange(window), torch.arange(window), indexing="ij")
    place = (rows * (2 * window - 1) + columns).flatten()
    return place[:, None] - place[None, :] + (window - 1) * 2 * window


def shift_mask(
    hw: tuple[int, int], window: int, shift: int, device: torch.device, dtype: torch.dtype
) -> Tensor:
    """What is added to the scores of a shifted map, (windows, window**2, window**2).

    The map was rolled by ``shift``, so the windows at its right and lower border hold tokens from opposite
    ends of the image: pairs of such tokens get ``APART``, all others 0.

    Args:
        hw: Size of the map, a multiple of ``window``.
    """

    def region(size: int) -> Tensor:
        place = torch.arange(size, device=device)
        return (place >= size - window).int() + (place >= size - shift).int()

    regions = region(hw[0])[:, None] * 3 + region(hw[1])[None, :]
    tiled = regions.view(hw[0] // window, window, hw[1] // window, window)
    tokens = tiled.transpose(1, 2).reshape(-1, window * window)
    apart = tokens[:, :, None] != tokens[:, None, :]
    return torch.zeros(apart.shape, device=device, dtype=dtype).masked_fill_(apart, APART)


class MaskCache:
    """The last few :func:`shift_mask` by their arguments; no part of a state dict."""

    def __init__(self) -> None:
        self._kept: dict[tuple, Tensor] = {}

    def __call__(
        self, hw: tuple[int, int], window: int, shift: int, device: torch.device, dtype: torch.dtype
    ) -> Tensor:
        key = (hw, window, shift, device, dtype)
        # Compilers and tracers see stand-ins for tensors and sizes, which must not come back in a plain call.
        if torch.compiler.is_compiling() or torch.jit.is_tracing():
            return shift_mask(*key)
        mask = self._kept.get(key)
        if mask is not None:
            return mask
        with torch.inference_mode(False):  # else it could not be used in training afterwards
            mask = shift_mask(*key)
        if type(mask) is Tensor:
            while len(self._kept) >= _KEPT_MASKS:
                self._kept.pop(next(iter(self._kept)))
            self._kept[key] = mask
        return mask

    def __deepcopy__(self, memo: dict) -> MaskCache:
        return MaskCache()

    def __getstate__(self) -> dict:
        return {"_kept": {}}


def attend(q: Tensor, k: Tensor, v: Tensor, bias: Tensor, dropout: float, scale: float) -> Tensor:
    """``softmax(scale * q k^T + bias) v``, for q, k, v (N, heads, L, C), a finite bias (1, heads, L, L)."""
    if bias.requires_grad and q.device.type == "cpu":
        # No fused kernel of the CPU gives the bias a gradient, and torch's fallback takes half as long again.
        scores = (q * scale) @ k.transpose(-2, -1) + bias
        return F.dropout(scores.softmax(-1), dropout) @ v
    return F.scaled_dot_product_attention(q, k, v, attn_mask=bias, dropout_p=dropout, scale=scale)


class WindowAttention(nn.Module):
    """Multi-head self-attention in each window of a map, with a bias for every relative position.

    Args:
        qk_scale: Of the scores; ``None`` or 0 means ``(embed_dims / num_heads) ** -0.5``.

    Forward: a map (N, H, W, C) with H and W multiples of ``window``, and the mask of :func:`shift_mask` or
    ``None``, to a map (N, H, W, C).
    """

    def __init__(
        self,
        embed_dims: int,
        num_heads: int,
        window: int,
        qkv_bias: bool,
        qk_scale: float | None,
        attn_drop: float,
        proj_drop: float,
    ) -> None:
        super().__init__()
        self.num_heads, self.window, self.attn_drop = num_heads, window, attn_drop
        self.scale = qk_scale or (embed_dims // num_heads) ** -0.5
        self.relative_position_bias_table = nn.Parameter(torch.zeros((2 * window - 1) ** 2, num_heads))
        self.register_buffer("relative_position_index", relative_position_index(window))
        self.qkv = nn.Linear(embed_dims, 3 * embed_dims, bias=qkv_bias)
        self.proj = nn.Linear(embed_dims, embed_dims)
        self.proj_drop = nn.Dropout(proj_drop)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        count, height, width, dims = x.shape
        rows, columns, window, heads = (
            height // self.window,
            width // self.window,
            self.window,
            self.num_heads,
        )
        qkv = self.qkv(x).view(count, rows, window, columns, window, 3, heads, dims // heads)
        qkv = qkv.permute(5, 0, 1, 3, 6, 2, 4, 7)  # 3, N, rows, columns, heads, window, window, C / heads
        bias = self.position_bias().to(qkv.dtype)
        if mask is None:
            shape = (3, count * rows * columns, heads, window * window, dims // heads)
            bias = bias[None]
        else:
            # The mask differs between windows, so that windows stand beside heads: the fused kernels want
            # four dimensions, and the bias is one for the whole batch.
            shape = (3, count, rows * columns * heads, window * window, dims // heads)
            bias = (mask.to(bias.dtype)[:, None] + bias).flatten(0, 1)[None]
        q, k, v = qkv.reshape(shape).unbind(0)
        dropout = self.attn_drop if self.training else 0.0
        out = attend(q, k, v, bias, dropout, self.scale)
        out = out.view(count, rows, columns, heads, window, window, dims // heads)
        out = out.permute(0, 1, 4, 2, 5, 3, 6).reshape(count, height, width, dims)
        return self.proj_drop(self.proj(out))

    def position_bias(self) -> Tensor:
        """What is added to the scores of each head, (heads, window**2, window**2)."""
        tokens = self.window * self.window
        bias = self.relative_position_bias_table[self.relative_position_index.flatten()]
        return bias.view(tokens, tokens, self.num_heads).permute(2, 0, 1).contiguous()


class ShiftedWindowAttention(nn.Module):
    """:class:`WindowAttention` on a map of any size, rolled by ``shift`` in both directions before.

    The map is padded with zeros at the right and the bottom to whole windows; as in 0.25 these tokens take
    part in the attention.

    Forward: a map (N, H, W, C) to a map (N, H, W, C). ``masks`` gives the mask of a shifted map.
    """

    def __init__(self, attention: WindowAttention, shift: int) -> None:
        super().__init__()
        self.shift = shift
        self.w_msa = attention

    def forward(self, x: Tensor, masks: MaskCache) -> Tensor:
        window, shift = self.w_msa.window, self.shift
        height, width = x.shape[1], x.shape[2]
        below, beside = missing_cells(height, window, window), missing_cells(width, window, window)
        if is_exporting() or below or beside:  # a graph pads by 0 where nothing is missing
            x = F.pad(x, (0, 0, 0, beside, 0, below))
        mask = None
        if shift:
            mask = masks((height + below, width + beside), window, shift, x.device, x.dtype)
            x = x.roll((-shift, -shift), (1, 2))
        x = self.w_msa(x, mask)
        if shift:
            x = x.roll((shift, shift), (1, 2))
        if is_exporting():
            # A slice is contiguous where nothing was padded, elsewhere not: its graph holds for one of both.
            rows, columns = (torch.arange(side, device=x.device) for side in (height, width))
            return x.index_select(1, rows).index_select(2, columns)
        return x[:, :height, :width]
