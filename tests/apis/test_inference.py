"""From a config and a checkpoint to label maps: what notebooks call."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from mmseg.apis import (
    inference_segmentor,
    init_random_seed,
    init_segmentor,
    multi_gpu_test,
    show_result_pyplot,
    single_gpu_test,
)
from mmseg.config import Config
from mmseg.datasets import build_dataloader, build_dataset
from mmseg.models import build_segmentor
from mmseg.utils.checkpoint import save_checkpoint
from mmseg.utils.errors import UserError
from tests.helpers_run import CLASSES, PALETTE, tiny_config, tiny_model, write_config, write_dataset
from tests.helpers_weights import recorded_weights


@pytest.fixture
def root(tmp_path):
    return write_dataset(tmp_path / "data", train=1, val=3)


@pytest.fixture
def weights(tmp_path):
    model = build_segmentor(tiny_model())
    model.load_state_dict(recorded_weights(model.state_dict()))
    torch.nn.init.normal_(model.decode_head.conv_seg.weight)
    path = tmp_path / "weights.pth"
    meta = {"CLASSES": list(CLASSES), "PALETTE": PALETTE}
    save_checkpoint({"state_dict": model.state_dict(), "meta": meta}, str(path))
    return str(path)


@pytest.fixture
def model(root, weights):
    return init_segmentor(Config(tiny_config(root)), weights, device="cpu")


def test_a_path_and_its_array_give_the_same_label_map(root, model):
    path = root / "img_dir" / "val" / "000.png"
    (from_path,) = inference_segmentor(model, path)
    (from_array,) = inference_segmentor(model, cv2.imread(str(path)))
    assert from_path.shape == (48, 64) and from_path.dtype == np.int64
    assert len(np.unique(from_path)) > 1
    assert np.array_equal(from_path, from_array)


def test_several_images_of_any_size(root, model):
    image = cv2.imread(str(root / "img_dir" / "val" / "000.png"))
    maps = inference_segmentor(model, [image, cv2.resize(image, (100, 70))])
    assert [m.shape for m in maps] == [(48, 64), (70, 100)]


def test_the_model_knows_its_classes(root, model, tmp_path):
    assert not model.training
    assert tuple(model.CLASSES) == CLASSES and model.PALETTE == PALETTE
    blank = init_segmentor(str(write_config(tmp_path / "c.py", tiny_config(root))), device="cpu")
    assert tuple(blank.CLASSES) == CLASSES


def test_a_binary_config_segments_into_two_classes(root):
    config = tiny_config(root, model=tiny_model(num_classes=2), task="binary")
    for split in ("train", "val", "test"):
        config["data"][split].pop("classes")
        config["data"][split].pop("palette")
    model = init_segmentor(Config(config), device="cpu")
    (label,) = inference_segmentor(model, str(root / "img_dir" / "val" / "000.png"))
    assert tuple(model.CLASSES) == ("background", "foreground")
    assert model.decode_head.conv_seg.out_channels == 1
    assert set(np.unique(label)) <= {0, 1}


def test_the_config_is_left_as_it_was(root, weights):
    cfg = Config(tiny_config(root))
    before = cfg.copy()
    init_segmentor(cfg, weights, device="cpu")
    assert cfg == before


def test_show_result_pyplot(root, model, tmp_path):
    path = str(root / "img_dir" / "val" / "000.png")
    out = tmp_path / "shown" / "overlay.png"
    picture = show_result_pyplot(
        model, path, inference_segmentor(model, path), out_file=str(out), block=False
    )
    assert picture.shape == (48, 64, 3)
    assert np.array_equal(cv2.imread(str(out)), picture)


def test_lists_of_predictions(root, model, tmp_path):
    dataset = build_dataset(tiny_config(root)["data"]["test"], {"test_mode": True})
    loader = build_dataloader(dataset, samples_per_gpu=1, workers_per_gpu=0, dist=False, shuffle=False)
    maps = single_gpu_test(model, loader, out_dir=str(tmp_path / "out"))
    assert [m.shape for m in maps] == [(48, 64)] * 3
    assert len(list((tmp_path / "out" / "gray").glob("*.png"))) == 3
    scores = dataset.evaluate(maps, metric="mIoU")
    areas = single_gpu_test(model, loader, pre_eval=True)
    assert dataset.evaluate(areas, metric="mIoU")["mIoU"] == scores["mIoU"]
    for ours, theirs in zip(multi_gpu_test(model, loader), maps, strict=True):
        assert np.array_equal(ours, theirs)


@pytest.mark.parametrize(
    ("image", "words"),
    [
        ("absent.png", "absent.png"),
        (np.zeros((4, 4), np.uint8), r"BGR uint8 array \(H, W, 3\)"),
        (np.zeros((4, 4, 3), np.float32), "float32"),
    ],
)
def test_no_image_is_named(model, image, words):
    with pytest.raises(UserError, match=words):
        inference_segmentor(model, image)


def test_seeds():
    assert init_random_seed(7) == 7
    drawn = {init_random_seed() for _ in range(4)}
    assert len(drawn) > 1 and all(0 <= seed < 2**31 for seed in drawn)
