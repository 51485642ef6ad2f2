from __future__ import annotations

import numpy as np
import pytest
import torch

from mmseg.models.losses import channel_wise_divergence
from tests.helpers_models import recorded_json


def recorded_maps() -> list[torch.Tensor]:
    shape = (2, 19, 12, 20)
    draws = [np.random.default_rng(seed).standard_normal(shape, dtype=np.float32) * 3 for seed in (50, 51)]
    return [torch.from_numpy(draw) for draw in draws]


@pytest.mark.parametrize("tau", [1.0, 4.0])
def test_recorded_values(tau: float) -> None:
    expected = recorded_json("cwd.json")["values"][f"tau{tau}"]
    assert channel_wise_divergence(*recorded_maps(), tau).item() == pytest.approx(expected, rel=1e-5)


def test_is_the_formula() -> None:
    student, teacher = torch.randn(2, 3, 4, 5), torch.randn(2, 3, 4, 5)
    p, q = ((x.flatten(2) / 2.5).softmax(2) for x in (student, teacher))
    expected = (q * (q.log() - p.log())).sum() * 2.5**2 / 6
    torch.testing.assert_close(channel_wise_divergence(student, teacher, 2.5), expected)


def test_is_0_for_equal_maps_and_for_a_shift_of_a_channel() -> None:
    student = torch.randn(2, 3, 4, 5)
    teacher = student + torch.randn(2, 3, 1, 1)
    assert channel_wise_divergence(student, teacher).item() == pytest.approx(0, abs=1e-6)


def test_gradient() -> None:
    teacher = torch.randn(1, 2, 2, 3, dtype=torch.float64)
    student = torch.randn(1, 2, 2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: channel_wise_divergence(x, teacher, 3.0), student)


def test_is_float32_in_half_precision() -> None:
    student, teacher = torch.randn(2, 3, 8, 8).half(), torch.randn(2, 3, 8, 8)
    with torch.autocast("cpu", torch.bfloat16):
        value = channel_wise_divergence(student, teacher)
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, channel_wise_divergence(student.float(), teacher))
