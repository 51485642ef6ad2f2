"""Losses and OHEM against figures recorded with MMSegmentation 0.25."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mmseg.models import build_head
from tests.helpers_models import DATA, recorded_json

CASES = ["ce", "ce_cb", "ce_cb_avg", "ce_cb_avg_ohem_k", "ce_ohem_thr", "dice", "lovasz_mc", "multi"]


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("case", CASES)
def test_losses_and_gradients(case: str, layout: torch.memory_format) -> None:
    recorded = recorded_json("losses.json")[case]
    inputs = np.load(DATA / "loss_inputs.npz")
    settings = recorded["cfg"]
    head = build_head(
        {
            "type": "FCNHead",
            "in_channels": 4,
            "channels": 4,
            "num_convs": 0,
            "concat_input": False,
            "num_classes": 19,
            "loss_decode": settings["loss"],
            "sampler": settings.get("sampler"),
        }
    )
    logits = torch.from_numpy(inputs["logit"]).contiguous(memory_format=layout).requires_grad_()
    losses = head.losses(logits, torch.from_numpy(inputs["gt"]).long())
    sum(value for name, value in losses.items() if "loss" in name).backward()
    assert set(losses) == set(recorded["losses"])
    for name, value in recorded["losses"].items():
        assert losses[name].item() == pytest.approx(value, rel=1e-5), name
    assert logits.grad.abs().sum().item() == pytest.approx(recorded["grad_abs_sum"], rel=1e-4)
    nearest = [(logits.grad - probe).abs().min().item() for probe in recorded["grad_probe"]]
    assert max(nearest) < 1e-8


def test_every_recorded_case_is_compared() -> None:
    assert set(recorded_json("losses.json")) == set(CASES)
