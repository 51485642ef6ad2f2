"""Pretrained weights of a Swin Transformer for other windows and other image sizes than they come from."""

from __future__ import annotations

from collections.abc import Mapping
from math import isqrt

from torch import Tensor
from torch.nn import functional as F

from mmseg.utils.logger import get_root_logger

TABLE = "relative_position_bias_table"
INDEX = "relative_position_index"
PLACES = "absolute_pos_embed"


def fit_pretrained(
    weights: dict[str, Tensor], own: Mapping[str, Tensor], grid: tuple[int, int] | None, source: str
) -> dict[str, Tensor]:
    """Turn the weights of a checkpoint into those that a SwinTransformer with the state dict ``own`` takes.

    A backbone is taken out of a segmentor, the layout of the original release is converted, and position
    tables of another window and absolute positions of another image size are resized (bicubic).

    Args:
        grid: (rows, columns) of ``own``'s absolute positions, if it has any.
        source: Where the weights come from, for messages.

    Raises:
        UserError: the original layout, but with keys that it does not have, or lacks.
    """
    from mmseg.conversion.weights import from_original
    from mmseg.conversion.weights_swin import SWIN

    weights = from_original(weights, SWIN, source)
    fitted, resized = {}, set()
    for key, value in weights.items():
        target = own.get(key)
        if target is None or value.shape == target.shape:
            fitted[key] = value
        elif key.endswith(INDEX):
            continue  # follows from the window alone, and ours is right
        elif key.endswith(TABLE) and value.dim() == 2 and value.shape[1] == target.shape[1]:
            fitted[key] = resize_table(value, isqrt(target.shape[0]))
            resized.add(f"position biases from windows of {window_of(value)} to {window_of(target)}")
        elif key == PLACES and grid is not None:
            fitted[key] = _fit_places(value, grid)
            resized.add(f"absolute positions to {grid[0]}x{grid[1]} patches")
        else:
            fitted[key] = value
    if resized:
        get_root_logger().info(f"{source}: resized {' and '.join(sorted(resized))}")
    return fitted


def window_of(table: Tensor) -> int:
    """The side of the windows that a position table ((2 * side - 1)**2, heads) is for."""
    return (isqrt(table.shape[0]) + 1) // 2


def resize_table(table: Tensor, side: int) -> Tensor:
    """Resize a table (old side**2, heads) of relative positions to (side**2, heads)."""
    old = isqrt(table.shape[0])
    maps = table.float().t().reshape(1, -1, old, old)
    resized = F.interpolate(maps, (side, side), mode="bicubic", align_corners=False)
    return resized.flatten(2)[0].t().contiguous().to(table.dtype)


def resize_positions(places: Tensor, grid: tuple[int, int], hw: tuple[int, int]) -> Tensor:
    """Resize absolute positions (1, rows * columns, C) of ``grid`` to (1, h * w, C)."""
    if tuple(hw) == tuple(grid):
        return places
    maps = places.transpose(1, 2).unflatten(2, grid)
    return F.interpolate(maps, tuple(hw), mode="bicubic", align_corners=False).flatten(2).transpose(1, 2)


def _fit_places(places: Tensor, grid: tuple[int, int]) -> Tensor:
    """Absolute positions of a checkpoint, (1, L, C) of a square or (1, C, H, W), as tokens of ``grid``."""
    if places.dim() == 4:
        old = (places.shape[2], places.shape[3])
        places = places.flatten(2).transpose(1, 2)
    else:
        side = isqrt(places.shape[1]) if places.dim() == 3 else 0
        old = (side, side)
    if places.dim() != 3 or old[0] * old[1] != places.shape[1]:
        return places  # not a square: the comparison of shapes tells
    return resize_positions(places, old, grid).contiguous()
