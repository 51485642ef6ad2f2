"""What is timed, and on what."""

from __future__ import annotations

import pytest
import torch

from mmseg.apis.benchmark import benchmark_model
from mmseg.engine.precision import precision_from
from mmseg.models import build_segmentor
from mmseg.models.layers.norm import revert_sync_batchnorm
from mmseg.utils.errors import UserError
from tests.helpers_models import tiny_segformer


@pytest.fixture
def model():
    return revert_sync_batchnorm(build_segmentor(tiny_segformer())).eval()


def test_every_run_predicts_label_maps_of_the_batch(model, monkeypatch):
    seen = []
    predict = model.predict

    def watched(images, metas):
        labels = predict(images, metas)
        seen.append(
            (tuple(images.shape), [tuple(x.shape) for x in labels], torch.is_inference_mode_enabled())
        )
        return labels

    monkeypatch.setattr(model, "predict", watched)
    timing = benchmark_model(model, (32, 48), batch_size=2, repeat=3, warmup=2)
    assert seen == [((2, 3, 32, 48), [(32, 48)] * 2, True)] * 5
    assert len(timing.seconds) == 3 and timing.batch_size == 2


def test_autocast_reaches_the_model(model):
    dtypes = []
    model.decode_head.register_forward_hook(lambda module, args, out: dtypes.append(out.dtype))
    benchmark_model(model, (32, 32), repeat=1, warmup=0, precision=precision_from({"dtype": "bfloat16"}))
    benchmark_model(model, (32, 32), repeat=1, warmup=0)
    assert set(dtypes[:2]) == {torch.bfloat16} and set(dtypes[2:]) == {torch.float32}


def test_sliding_windows_are_timed(model):
    sizes = []
    model.backbone.register_forward_pre_hook(lambda module, args: sizes.append(tuple(args[0].shape)))
    model.test_cfg = {"mode": "slide", "crop_size": (32, 32), "stride": (32, 32)}
    benchmark_model(model, (32, 64), repeat=1, warmup=1)
    assert sizes == [(2, 3, 32, 32)] * 2


def test_memory_that_does_not_suffice_is_a_mistake(model, monkeypatch):
    def full(images, metas):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(model, "predict", full)
    with pytest.raises(UserError, match="4 x 32x32 does not fit into the memory of cpu; take a smaller"):
        benchmark_model(model, (32, 32), batch_size=4)
