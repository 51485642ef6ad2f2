"""The last look at a training sample, in the worker."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mmseg.datasets import PIPELINES, build_dataset
from mmseg.datasets.check_sample import check_sample
from mmseg.engine.loaders import train_loader
from mmseg.utils.errors import UserError
from tests.helpers_run import tiny_config, write_dataset


def sample(**changes):
    rng = np.random.default_rng(0)
    img = torch.from_numpy(rng.standard_normal((3, 8, 9), dtype=np.float32))
    label = torch.from_numpy(rng.integers(0, 3, (1, 8, 9)))
    label[0, 0] = 255
    return {"img": img, "gt_semantic_seg": label, **changes}


def dataset(ignore_index=255):
    return SimpleNamespace(CLASSES=("a", "b", "c"), ignore_index=ignore_index)


def with_value(key, value):
    changed = sample()
    changed[key].view(-1)[17] = value
    return changed


def test_good_samples_pass():
    assert check_sample(sample(), dataset(), "x.png") is None
    assert check_sample(sample(img=torch.zeros(3, 4, 4).half()), dataset(), "x.png") is None
    everything_ignored = sample(gt_semantic_seg=torch.full((1, 8, 9), 255))
    assert check_sample(everything_ignored, dataset(), "x.png") is None
    assert check_sample(with_value("gt_semantic_seg", 255), SimpleNamespace(), "x.png") is None
    assert check_sample([1, 2], dataset(), "x.png") is None


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (with_value("img", float("nan")), "the image of x.png has 1 values that are NaN or infinite"),
        (with_value("img", float("inf")), "has 1 values that are NaN or infinite"),
        (with_value("img", float("-inf")), "has 1 values that are NaN or infinite"),
        (
            with_value("img", 1e6),
            r"has values from -\d.* to 1e\+06 after the pipeline, which is out of range",
        ),
        (sample(img=torch.zeros(3, 0, 9)), "the image of x.png is empty after the pipeline, 3x0x9"),
        (sample(img=torch.zeros(3, 8, 9).double()), "is float64 after the pipeline"),
        (sample(img=torch.zeros(3, 8, 9).byte()), "is uint8 after the pipeline.*is Normalize missing"),
        (sample(gt_semantic_seg=torch.zeros(1, 0, 9).long()), "the mask of x.png is empty"),
        (sample(gt_semantic_seg=torch.zeros(1, 8, 9)), "is float32 after the pipeline.*takes int64"),
        (with_value("gt_semantic_seg", 3), "the mask of x.png holds 3 after .* a class .0 to 2. nor"),
        (with_value("gt_semantic_seg", -1), "holds -1 after"),
        (with_value("gt_semantic_seg", 256), "holds 256 after"),
    ],
)
def test_what_is_wrong_is_named(changed, message):
    with pytest.raises(UserError, match=message):
        check_sample(changed, dataset(), "x.png")


@given(
    labels=st.lists(st.integers(-2, 300), min_size=1, max_size=12),
    ignore_index=st.sampled_from([0, 2, 3, 254, 255, 300, -1]),
)
def test_labels_agree_with_the_plain_rule(labels, ignore_index):
    tensor = torch.tensor(labels)[None, None]
    allowed = all(0 <= value < 3 or value == ignore_index for value in labels)
    try:
        check_sample({"gt_semantic_seg": tensor}, dataset(ignore_index), "x.png")
        passed = True
    except UserError:
        passed = False
    assert passed == allowed


@pytest.mark.parametrize("workers", [0, 1])
def test_a_transform_of_the_users_is_caught_in_the_worker(tmp_path, workers):
    @PIPELINES.register_module(force=True)
    class Overflow:
        def __call__(self, results):
            results["img"][0, 0] = np.nan
            return results

    config = tiny_config(write_dataset(tmp_path, train=4))
    config["data"]["train"]["pipeline"].insert(-2, dict(type="Overflow"))
    config["data"]["workers_per_gpu"] = workers
    loader = train_loader(build_dataset(config["data"]["train"]), config["data"], seed=0, start_iter=0)
    with pytest.raises(UserError, match=r"the image of .*\d\.png has 3 values that are NaN or infinite"):
        next(iter(loader))
