import pytest
import torch

from mmseg.engine.precision import precision_from
from mmseg.utils.errors import UserError

CPU = torch.device("cpu")


def test_no_section_is_float32():
    with precision_from(None).autocast(CPU):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32


@pytest.mark.parametrize(("name", "dtype"), [("bfloat16", torch.bfloat16), ("float16", torch.float16)])
def test_autocast_dtype(name, dtype):
    with precision_from(dict(dtype=name)).autocast(CPU):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == dtype


def test_only_float16_is_scaled():
    assert not precision_from(None).scaler(CPU).is_enabled()
    assert not precision_from(dict(dtype="bfloat16")).scaler(CPU).is_enabled()
    assert precision_from(dict()).scaler(CPU).is_enabled()


def test_switches():
    assert precision_from(True).dtype is torch.float16
    for off in (False, dict(enabled=False), dict(dtype="float32")):
        assert precision_from(off).dtype is None
    with pytest.raises(UserError, match="fp16 is a dictionary"):
        precision_from("bf16")


def test_historic_scales():
    assert precision_from(dict(loss_scale=512.0)).loss_scale == 512.0
    assert precision_from(dict(loss_scale="dynamic")).dynamic
    assert precision_from(dict(loss_scale=dict(init_scale=128.0))).loss_scale == 128.0
    assert precision_from(None, dict(type="Fp16OptimizerHook", loss_scale=64.0)).loss_scale == 64.0


@pytest.mark.parametrize("cfg", [dict(dtype="int8"), dict(loss_scale=-1), dict(loss_scale="big")])
def test_mistakes_are_named(cfg):
    with pytest.raises(UserError, match="fp16"):
        precision_from(cfg)
