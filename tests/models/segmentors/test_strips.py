from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from mmseg.models import build_segmentor
from mmseg.models.segmentors import inference, strips
from mmseg.models.segmentors.strips import View, axis_blocks, label_map
from tests.helpers_models import tiny_segformer

FLIPS = [None, "horizontal", "vertical", "diagonal"]


def step_by_step(view: View, size: tuple[int, int], align_corners: bool) -> Tensor:
    """(1, C, H, W): resized, cut, resized, flipped back."""
    x = F.interpolate(view.logits[None], view.input_size, mode="bilinear", align_corners=align_corners)
    x = x[:, :, : view.kept[0], : view.kept[1]]
    x = F.interpolate(x, size, mode="bilinear", align_corners=align_corners)
    return inference.unflip(x, {"flip": view.flip is not None, "flip_direction": view.flip})


side = st.integers(1, 40)


@settings(deadline=None, max_examples=40)
@given(side, side, side, side, side, side, st.booleans(), st.sampled_from(FLIPS), st.integers(0, 99))
def test_the_composed_map_is_both_resizings(
    h: int, w: int, mid_h: int, mid_w: int, height: int, width: int, align: bool, flip: str | None, seed: int
) -> None:
    logits = torch.randn(3, h, w, generator=torch.Generator().manual_seed(seed))
    kept = max(1, mid_h - 3), max(1, mid_w - 2)
    view, seen = View(logits, (mid_h, mid_w), kept, flip), []

    def decide(scores: Tensor) -> Tensor:
        seen.append(scores.clone())
        return scores.max(dim=1).indices

    labels = label_map([view], (height, width), align, decide)
    expected = step_by_step(view, (height, width), align)
    torch.testing.assert_close(torch.cat(seen, dim=2), expected, rtol=1e-4, atol=1e-4)
    assert labels.shape == (height, width)
    assert labels.dtype == torch.int64


def test_scores_of_all_views_are_added_up(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    views = [
        View(torch.randn(4, 10, 16, generator=generator) * 3, (40, 64), (37, 60), "horizontal"),
        View(torch.randn(4, 12, 20, generator=generator) * 3, (48, 80), (48, 80)),
    ]
    total = sum(step_by_step(view, (50, 70), False).softmax(1) for view in views)
    for values in (2**20, 4 * 70 * 7, 1):  # several strips, and a row each
        monkeypatch.setattr(strips, "STRIP_VALUES", values)
        labels = label_map(views, (50, 70), False, inference.labels_of, inference.scores_of)
        assert torch.equal(labels, total.argmax(1)[0])


def test_half_precision_does_not_reach_the_maps() -> None:
    view = View(torch.randn(4, 10, 16, generator=torch.Generator().manual_seed(0)), (40, 64), (40, 64))
    expected = label_map([view], (40, 64), False, inference.labels_of)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(label_map([view], (40, 64), False, inference.labels_of), expected)


def test_blocks_cover_the_rows_and_are_narrow() -> None:
    blocks = axis_blocks((160, 640, 640, 1242), 128, False, False)
    assert [b.first for b in blocks] == list(range(0, 1242, 128))
    assert all(b.stop - b.start < 30 for b in blocks)
    assert not blocks[0].matrix.is_inference()
    torch.testing.assert_close(torch.cat([b.matrix.sum(1) for b in blocks]), torch.ones(1242))


def views_of(model: Any, n: int = 2) -> tuple[list[Tensor], list[list[dict[str, Any]]]]:
    generator = torch.Generator().manual_seed(3)
    imgs, metas = [], []
    for h, w in ((64, 96), (96, 128)):
        img = torch.randn(n, 3, h, w, generator=generator)
        for flip in (False, True):
            imgs.append(img.flip(3) if flip else img)
            one = {"ori_shape": (75, 110, 3), "img_shape": (h, w, 3), "flip": flip}
            metas.append([{**one, "flip_direction": "horizontal"}] * n)
    return imgs, metas


@pytest.mark.parametrize("test_cfg", [{"mode": "whole"}, {"mode": "slide", "crop_size": 64, "stride": 48}])
@pytest.mark.parametrize("count", [1, 4])
def test_exact_and_fast_label_maps_agree(test_cfg: dict[str, Any], count: int) -> None:
    torch.manual_seed(0)
    model = build_segmentor(tiny_segformer()).eval()
    model.test_cfg = test_cfg
    imgs, metas = views_of(model)
    fast = torch.stack(model.predict(imgs[:count], metas[:count]))
    model.exact = True
    exact = torch.stack(model.predict(imgs[:count], metas[:count]))
    assert (fast == exact).float().mean() >= 0.999
    assert fast.shape == (2, 75, 110)


def test_exact_takes_one_view_after_another(monkeypatch: pytest.MonkeyPatch) -> None:
    model = build_segmentor(tiny_segformer()).eval()
    imgs, metas = views_of(model, n=1)
    seen: list[int] = []
    monkeypatch.setattr(model.backbone, "forward", _counting(model.backbone.forward, seen))
    model.predict(imgs, metas)
    assert seen == [2, 2]
    model.exact = True
    model.predict(imgs, metas)
    assert seen == [2, 2, 1, 1, 1, 1]


def _counting(forward: Any, seen: list[int]) -> Any:
    def counted(x: Tensor) -> Any:
        seen.append(len(x))
        return forward(x)

    return counted


def test_an_own_encode_decode_is_asked() -> None:
    model = build_segmentor(tiny_segformer()).eval()
    img = torch.randn(1, 3, 64, 64)
    model.encode_decode = lambda img, metas: torch.zeros(1, 4, 64, 64).index_fill_(1, torch.tensor([2]), 1.0)
    (label,) = model.predict(img, [{"ori_shape": (64, 64), "img_shape": (64, 64)}])
    assert label.eq(2).all()


def test_neighbours_are_joined_without_a_copy() -> None:
    pair = torch.randn(2, 3, 5, 6)
    views = [pair[i][None] for i in range(2)]
    assert inference.joined(views).data_ptr() == pair.data_ptr()
    assert torch.equal(inference.joined(views), pair)
    assert torch.equal(inference.joined(views[::-1]), pair.flip(0))
    assert torch.equal(inference.joined([pair[:1], pair[:1]]), pair[[0, 0]])
    assert torch.equal(inference.joined([pair[:1], torch.ones(1, 3, 5, 6)])[1], torch.ones(3, 5, 6))
