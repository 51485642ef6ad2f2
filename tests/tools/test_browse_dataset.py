"""tools/browse_dataset.py as users call it, and what it shows."""

from __future__ import annotations

from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from mmseg.apis.browse import browse_from_args, chosen_samples, displayable, painted, seen_through, views_of
from mmseg.config import Config
from mmseg.datasets import TrainSampler, build_dataloader, build_dataset
from mmseg.datasets.loader import SeededSamples
from tests.helpers_looking import refusal
from tests.helpers_run import NORM, PALETTE, tiny_config, write_config, write_dataset
from tests.helpers_run import run_tool_here as run


@pytest.fixture
def config(tmp_path):
    write_dataset(tmp_path / "data")
    return write_config(tmp_path / "tiny.py", tiny_config(tmp_path / "data"))


def has_colour(picture, rgb):
    return bool((picture == np.array(rgb)[::-1]).all(-1).any())


def test_a_sheet_of_training_samples(config, tmp_path, capsys, monkeypatch):
    out = tmp_path / "out"
    args = ["--number", 5, "--panes", "truth", "--show-origin", "--output-dir", out]
    run("browse_dataset", config, *args, monkeypatch=monkeypatch)
    assert "5 samples are on" in capsys.readouterr().out
    sheet = cv2.imread(str(out / "train.png"))
    assert all(has_colour(sheet, colour) for colour in PALETTE) and sheet.shape[0] > 300


def test_many_samples_are_on_several_sheets(config, tmp_path, capsys, monkeypatch):
    args = [
        "--number",
        9,
        "--repeat",
        3,
        "--pane-width",
        40,
        "--columns",
        9,
        "--output-dir",
        tmp_path / "out",
    ]
    run("browse_dataset", config, *args, monkeypatch=monkeypatch)
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["train_01.png", "train_02.png"]
    assert "27 samples are on" in capsys.readouterr().out


def test_the_same_seed_gives_the_same_sheet(config, tmp_path, monkeypatch):
    sheets = {}
    for name, args in (("a", []), ("b", []), ("c", ["--seed", 1]), ("d", ["--epoch", 1])):
        run("browse_dataset", config, "--output-dir", tmp_path / name, *args, monkeypatch=monkeypatch)
        sheets[name] = (tmp_path / name / "train.png").read_bytes()
    assert sheets["a"] == sheets["b"] and len(set(sheets.values())) == 3


def test_samples_are_those_of_training(config):
    """The first views are the first batch of the loader that trains, to the pixel."""
    cfg = Config.fromfile(config)
    dataset = build_dataset(cfg.data.train)
    args = SimpleNamespace(split="train", images=None, seed=3, epoch=0, number=2, repeat=1)
    keys = chosen_samples(dataset, args)
    batch = next(iter(build_dataloader(dataset, 2, 0, dist=False, seed=3, start_iter=0)))
    for i, key in enumerate(keys):
        (view,) = views_of(SeededSamples(dataset, 3), *key)
        np.testing.assert_array_equal(view.label, batch["gt_semantic_seg"][i, 0])
        own = displayable(batch["img"][i].numpy(), batch["img_metas"][i]["img_norm_cfg"])
        np.testing.assert_array_equal(view.picture, own)


def test_the_test_split_shows_each_view_with_its_mask(config, tmp_path, capsys, monkeypatch):
    options = ["--cfg-options", "data.test.pipeline.1.flip=True", "data.test.pipeline.1.img_ratios=[1.0]"]
    args = ["--split", "test", "--number", 2, "--panes", "truth", "--output-dir", tmp_path / "out", *options]
    run("browse_dataset", config, *args, monkeypatch=monkeypatch)
    assert "4 samples are on" in capsys.readouterr().out
    sheet = cv2.imread(str(tmp_path / "out" / "test.png"))
    assert all(has_colour(sheet, colour) for colour in PALETTE)


def test_images_by_name_and_by_index(config):
    dataset = build_dataset(Config.fromfile(config).data.train)
    args = SimpleNamespace(split="train", images=["003", "7"], seed=0, epoch=2, number=1, repeat=2)
    assert chosen_samples(dataset, args) == [(2, 3), (3, 3), (2, 7), (3, 7)]
    args.images = None
    order = TrainSampler(10, 1, 0).order_of(2)
    assert chosen_samples(dataset, args) == [(2, order[0]), (3, order[0])]


def test_a_transform_can_be_left_out(config, tmp_path, monkeypatch):
    """Without the distortion the picture is the file's, but for its scale."""
    kept = ["RandomCrop", "Resize", "RandomFlip", "Pad", "PhotoMetricDistortion"]
    args = SimpleNamespace(
        **dict(config=str(config), cfg_options=None, split="train", skip_type=kept, show_origin=False),
        **dict(panes=["image"], images=["003"], seed=0, epoch=0, number=1, repeat=1, columns=1),
        **dict(output_dir=str(tmp_path / "out"), opacity=0.5, pane_width=64),
    )
    (path,) = browse_from_args(args)
    image = cv2.imread(str(tmp_path / "data" / "img_dir" / "train" / "003.png"))
    sheet = cv2.imread(path)
    found = cv2.matchTemplate(sheet, image, cv2.TM_SQDIFF)
    assert found.min() <= image.size  # within one grey level


def test_a_data_set_without_masks(config, tmp_path, monkeypatch):
    options = ["--cfg-options", "data.test.ann_dir=None"]
    args = ["--split", "test", "--output-dir", tmp_path / "out", "--show-origin", *options]
    run("browse_dataset", config, *args, monkeypatch=monkeypatch)
    assert not has_colour(cv2.imread(str(tmp_path / "out" / "test.png"))[:200], PALETTE[0])


def test_normalisation_is_undone():
    image = np.random.default_rng(0).integers(0, 256, (5, 7, 3)).astype(np.uint8)
    norm = {"mean": np.float32(NORM["mean"]), "std": np.float32(NORM["std"]), "to_rgb": True}
    normal = ((image[..., ::-1] - norm["mean"]) / norm["std"]).astype(np.float32)
    np.testing.assert_array_equal(displayable(normal.transpose(2, 0, 1), norm), image)
    np.testing.assert_array_equal(displayable(normal, norm), image)
    np.testing.assert_array_equal(displayable(image, None), image)


@pytest.mark.parametrize("channels", [1, 2, 4, 8])
def test_other_numbers_of_channels_are_stretched(channels):
    picture = displayable(
        np.random.default_rng(0).normal(0, 900, (channels, 20, 30)).astype(np.float32), None
    )
    assert picture.shape == (20, 30, 3) and picture.min() == 0 and picture.max() > 230


def test_masks_follow_a_test_view():
    truth = np.array([[0, 1], [2, 3]])
    meta = {"img_shape": (4, 4, 3), "flip": True, "flip_direction": "horizontal"}
    label = seen_through(truth, meta, (5, 6))
    np.testing.assert_array_equal(label[:4:2, :4:2], [[1, 0], [3, 2]])
    assert (label[4] == 255).all() and (label[:, 4:] == 255).all()


def test_painting():
    image = np.full((32, 32, 3), 100, np.uint8)
    label = np.zeros((32, 32), np.int64)
    label[:16] = 255
    truth = painted(image, label, [[10, 20, 30]], 1)
    assert (truth[16:] == (30, 20, 10)).all() and len(np.unique(truth[:16, :, 0])) == 2
    half = painted(image, label, [[10, 20, 30]], 0.5)
    assert (half[16:] == (65, 60, 55)).all()
    assert painted(image, np.full((32, 32), 255), None, 0.5).std() > 0


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["missing.py"], "config file missing.py does not exist"),
        (["tiny.py", "--split", "trian"], "has no `data.trian`"),
        (["tiny.py", "--skip-type", "LoadImageFromFile"], "without it there is no image to show; keep it"),
        (["tiny.py", "--split", "samples_per_gpu"], "--split is one of train, val, test"),
        (["tiny.py", "--output-dir", "tiny.py/x"], "Not a directory; choose another with --output-dir"),
        (["tiny.py", "--skip-type", "RandomFlop"], "no such transform; did you mean `RandomFlip`"),
        (["tiny.py", "--images", "nothing"], "none of the 10 samples has that in its name"),
        (["tiny.py", "--cfg-options", "data.train.img_dir=img_dir/none"], "`img_dir`"),
    ],
)
def test_mistakes_are_one_line(config, monkeypatch, capsys, args, message):
    monkeypatch.chdir(config.parent)
    assert message in refusal("browse_dataset", *args, monkeypatch=monkeypatch, capsys=capsys)


def test_a_damaged_image_is_named(config, tmp_path, monkeypatch, capsys):
    for path in (tmp_path / "data" / "img_dir" / "train").iterdir():
        path.write_bytes(path.read_bytes()[:60])
    assert ".png" in refusal("browse_dataset", config, monkeypatch=monkeypatch, capsys=capsys)
