from __future__ import annotations

import torch

from mmseg.engine.prefetch import device_batches, to_device

CPU = torch.device("cpu")


def test_every_batch_once_in_order() -> None:
    batches = [{"img": torch.full((1, 3, 2, 2), float(i)), "img_metas": [{"i": i}]} for i in range(4)]
    taken = list(device_batches(iter(batches), CPU))
    assert [batch["img_metas"][0]["i"] for batch in taken] == [0, 1, 2, 3]
    assert all(torch.equal(a["img"], b["img"]) for a, b in zip(taken, batches, strict=True))
    assert list(device_batches([], CPU)) == []


def test_a_batch_is_not_taken_before_it_is_needed_without_a_device() -> None:
    seen: list[int] = []
    source = (seen.append(i) or {"i": i} for i in range(3))
    assert next(device_batches(source, CPU)) == {"i": 0} and seen == [0]


def test_layout_of_images_only() -> None:
    batch = {"img": [torch.rand(2, 3, 4, 5)], "gt_semantic_seg": torch.ones(2, 1, 4, 5, dtype=torch.int64)}
    moved = to_device(batch, CPU, channels_last=True)
    assert moved["img"][0].is_contiguous(memory_format=torch.channels_last)
    assert moved["gt_semantic_seg"] is batch["gt_semantic_seg"]
    assert torch.equal(moved["img"][0], batch["img"][0]) and to_device((1, "a"), CPU) == (1, "a")
