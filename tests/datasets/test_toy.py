"""The drawn scenes: the same pixels everywhere, every class, little help from colour, no half-made folder."""

from __future__ import annotations

import json
import multiprocessing
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmseg.core.evaluation import get_classes
from mmseg.datasets import build_dataset
from mmseg.datasets.toy_scenes import generate, labels
from mmseg.datasets.toy_scenes.canvas import Canvas, Dice, value_noise
from mmseg.datasets.toy_scenes.generate import make_toy_dataset
from mmseg.datasets.toy_scenes.scene import draw_scene
from mmseg.utils.errors import UserError
from tests.helpers_toy import gaussian_colour_miou, nearest_colour_miou

SMALL = dict(num_train=24, num_val=12, size=(208, 64))


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    root = tmp_path_factory.mktemp("toy") / "data"
    assert make_toy_dataset(root, **SMALL)
    return root


def files(root: Path) -> dict[str, bytes]:
    """Return what every picture below ``root`` shows, by its path."""
    return {str(f.relative_to(root)): np.array(Image.open(f)).tobytes() for f in sorted(root.rglob("*.png"))}


def test_pixels_are_the_recorded_ones():
    # Equal on x86 with and without AVX, numpy 1.26 and 2.4. A change of the drawing changes these numbers:
    # then raise `generate.DRAWING` too, so that folders drawn before are drawn anew.
    crc = [
        zlib.crc32(a.tobytes() + b.tobytes()) for a, b in (draw_scene((0, 0, i), i, 416, 128) for i in (0, 1))
    ]
    assert (generate.DRAWING, crc) == (1, [1378377573, 1691548895])


def test_layout_names_and_values(toy):
    names = {"train": 24, "val": 12}
    assert sorted(p.name for p in toy.iterdir()) == ["ann_dir", "img_dir", "toy.json"]
    for split, count in names.items():
        for folder in ("img_dir", "ann_dir"):
            assert sorted(f.name for f in (toy / folder / split).iterdir()) == [
                f"{i:06d}_10.png" for i in range(count)
            ]
        for mask in (toy / "ann_dir" / split).iterdir():
            image, label = Image.open(toy / "img_dir" / split / mask.name), Image.open(mask)
            assert (image.mode, label.mode) == ("RGB", "L")
            assert image.size == label.size == (208, 64)
            assert set(np.unique(label)) <= {*range(19), 255}


def test_same_seed_same_files_other_seed_others(tmp_path):
    few = dict(num_train=3, num_val=2, size=(128, 64))
    for name, seed in (("a", 7), ("b", 7), ("c", 8)):
        make_toy_dataset(tmp_path / name, **few, seed=seed)
    a, b, c = (files(tmp_path / name) for name in "abc")
    assert a == b
    assert a.keys() == c.keys()
    assert all(a[name] != c[name] for name in a)


def test_scenes_differ_between_splits_and_do_not_depend_on_the_counts(tmp_path):
    make_toy_dataset(tmp_path / "few", num_train=2, num_val=2, size=(128, 64))
    make_toy_dataset(tmp_path / "more", num_train=4, num_val=3, size=(128, 64))
    few, more = files(tmp_path / "few"), files(tmp_path / "more")
    assert all(more[name] == pixels for name, pixels in few.items())
    pictures = [pixels for name, pixels in more.items() if name.startswith("img_dir")]
    assert len(set(pictures)) == len(pictures) == 7


@pytest.mark.slow
def test_several_processes_draw_the_same(tmp_path):
    few = dict(num_train=6, num_val=3, size=(128, 64))
    seen = []
    make_toy_dataset(tmp_path / "one", **few)
    make_toy_dataset(tmp_path / "two", **few, nproc=2, progress=lambda *at: seen.append(at))
    assert files(tmp_path / "one") == files(tmp_path / "two")
    assert seen == [(i, 9) for i in range(1, 10)]


@pytest.mark.parametrize("split", ["train", "val"])
def test_every_class_has_its_share_of_pixels(toy, split):
    pixels = np.concatenate([np.array(Image.open(f)).ravel() for f in (toy / "ann_dir" / split).iterdir()])
    share = np.bincount(pixels, minlength=256) / pixels.size
    assert (share[:19] > 0.005).all(), dict(zip(get_classes("cityscapes"), share.round(4), strict=False))
    assert 0 < share[255] < 0.03
    assert share[19:255].sum() == 0


def test_colour_alone_says_little(toy):
    # SegFormer-B0 reaches more than 0.45 (configs/segformer/segformer_mit-b0_toy.py).
    assert nearest_colour_miou(toy) < 0.15
    assert gaussian_colour_miou(toy) < 0.20


def test_labels_are_the_train_ids_of_cityscapes():
    names = [name.upper().replace(" ", "_") for name in get_classes("cityscapes")]
    assert [getattr(labels, name) for name in names] == list(range(19))
    assert labels.UNLABELLED == 255


@pytest.mark.parametrize("size", [(64, 64), (97, 131), (900, 70)])
def test_odd_sizes_are_drawn_whole(size):
    image, label = draw_scene((3, 1, 4), 5, *size)
    assert image.shape == (size[1], size[0], 3)
    assert image.dtype == label.dtype == np.uint8
    assert label.shape == image.shape[:2]
    assert len(np.unique(label)) >= 6
    assert image.std() > 20


# --- the folder


def test_a_second_call_leaves_the_files_alone(toy):
    before = {f: f.stat().st_mtime_ns for f in toy.rglob("*.png")}
    assert make_toy_dataset(toy, **SMALL) is False
    assert {f: f.stat().st_mtime_ns for f in toy.rglob("*.png")} == before


def test_other_arguments_and_missing_files_draw_anew(tmp_path):
    root = tmp_path / "toy"
    make_toy_dataset(root, num_train=2, num_val=1, size=(64, 64))
    first = files(root)
    (root / "notes.txt").write_text("mine")
    assert make_toy_dataset(root, num_train=3, num_val=1, size=(64, 64))
    assert len(files(root)) == 8
    next((root / "ann_dir" / "val").iterdir()).unlink()
    assert make_toy_dataset(root, num_train=2, num_val=1, size=(64, 64))
    assert files(root) == first
    assert (root / "notes.txt").read_text() == "mine"
    assert [p.name for p in tmp_path.iterdir()] == ["toy"]


def test_a_folder_that_is_not_ours_is_refused_without_force(tmp_path):
    (tmp_path / "img_dir").mkdir()
    (tmp_path / "img_dir" / "precious.png").write_bytes(b"x")
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(UserError, match="is not empty and holds no toy data set.*--force"):
        make_toy_dataset(tmp_path, num_train=1, num_val=1, size=(64, 64))
    assert (tmp_path / "img_dir" / "precious.png").exists()
    make_toy_dataset(tmp_path, num_train=1, num_val=1, size=(64, 64), force=True)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["ann_dir", "img_dir", "thesis.tex", "toy.json"]
    assert len(files(tmp_path)) == 4


def test_an_empty_folder_and_a_link_to_one_are_filled(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to("disk")
    assert make_toy_dataset(tmp_path / "link", num_train=1, num_val=1, size=(64, 64))
    assert (tmp_path / "link").is_symlink()
    assert len(files(tmp_path / "disk")) == 4


def test_an_interrupted_run_leaves_nothing(tmp_path):
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_toy_dataset(tmp_path / "toy", num_train=2, num_val=1, size=(64, 64), progress=stop)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(num_train=0), "`num_train` must be a whole number of at least 1, not 0"),
        (dict(num_val=-1), "`num_val` must be .* not -1"),
        (dict(seed=-3), "`seed` must be .* at least 0, not -3"),
        (dict(size=(416, 32)), "`size` must be .* at least 64 pixels each, not .416, 32."),
    ],
)
def test_arguments_out_of_range(tmp_path, arguments, message):
    with pytest.raises(UserError, match=message):
        make_toy_dataset(tmp_path / "toy", **arguments)
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_way(tmp_path):
    (tmp_path / "toy").write_text("x")
    with pytest.raises(UserError, match="toy is a file; give a folder"):
        make_toy_dataset(tmp_path / "toy")
    with pytest.raises(UserError, match="cannot write the toy data set to .*give a folder"):
        make_toy_dataset(tmp_path / "toy" / "below", num_train=1, num_val=1)


# --- the data set


def config(root: Path, **kwargs) -> dict:
    drawing = dict(num_train=3, num_val=2, size=[96, 64])
    pipeline = [dict(type="LoadImageFromFile"), dict(type="LoadAnnotations")]
    return dict(type="ToyStreetDataset", data_root=str(root), pipeline=pipeline, drawing=drawing, **kwargs)


def test_the_data_set_draws_its_files_where_they_are_missing(tmp_path):
    root = tmp_path / "data" / "toy"
    train = build_dataset(config(root))
    drawn = {f: f.stat().st_mtime_ns for f in root.rglob("*.png")}
    val = build_dataset(config(root, img_dir="img_dir/val", ann_dir="ann_dir/val", test_mode=True))
    assert (len(train), len(val)) == (3, 2)
    assert {f: f.stat().st_mtime_ns for f in root.rglob("*.png")} == drawn
    assert get_classes("cityscapes") == train.CLASSES
    sample = train[1]
    image, label = draw_scene((0, 0, 1), 1, 96, 64)
    np.testing.assert_array_equal(sample["img"], image[..., ::-1])  # images are BGR
    np.testing.assert_array_equal(sample["gt_semantic_seg"], label)


def test_the_data_set_takes_what_is_there(tmp_path):
    make_toy_dataset(tmp_path / "toy", num_train=1, num_val=1, size=(64, 64), seed=5)
    before = files(tmp_path / "toy")
    assert len(build_dataset(config(tmp_path / "toy"))) == 1
    assert files(tmp_path / "toy") == before


def test_a_misspelt_drawing_argument_is_named(tmp_path):
    broken = config(tmp_path / "toy") | dict(drawing=dict(num_trian=3))
    with pytest.raises(UserError, match="no argument `num_trian`; did you mean `num_train`"):
        build_dataset(broken)
    assert not (tmp_path / "toy").exists()


def _build(root: str, barrier, queue) -> None:
    barrier.wait()
    queue.put(len(build_dataset(config(Path(root)))))


def test_processes_that_find_it_missing_at_once_share_one_data_set(tmp_path):
    context = multiprocessing.get_context("fork")
    barrier, queue = context.Barrier(3), context.Queue()
    ranks = [context.Process(target=_build, args=(str(tmp_path / "toy"), barrier, queue)) for _ in range(3)]
    for rank in ranks:
        rank.start()
    assert [queue.get(timeout=60) for _ in ranks] == [3, 3, 3]
    for rank in ranks:
        rank.join(60)
    assert [p.name for p in tmp_path.iterdir()] == ["toy"]
    assert json.loads((tmp_path / "toy" / "toy.json").read_text())["num_train"] == 3


# --- the drawing tools


def test_polygon_covers_its_area_whichever_way_it_turns():
    corners = [(2.25, 3.5), (12.75, 3.5), (12.75, 9.0), (2.25, 9.0)]
    cover = {}
    for name, points in (("clockwise", corners), ("other", corners[::-1])):
        window, share = Canvas(20, 16).polygon(points)
        cover[name] = share
        assert window == (slice(2, 11), slice(1, 14))
        assert share.sum() == pytest.approx(10.5 * 5.5, rel=0.02)
    np.testing.assert_allclose(cover["clockwise"], cover["other"], atol=1e-5)


def test_what_lies_outside_the_canvas_is_left_out():
    canvas = Canvas(20, 16)
    assert canvas.polygon([(30, 2), (40, 2), (40, 9)]) is None
    assert canvas.ellipse(-9, -9, 4, 4) is None
    canvas.paint(canvas.ellipse(0, 0, 6, 6), (200, 100, 50), 7)
    quarter = np.count_nonzero(canvas.label == 7)
    assert quarter == pytest.approx(np.pi * 36 / 4, abs=3)
    np.testing.assert_array_equal(canvas.image[0, 0], (200, 100, 50))


def test_paint_with_opacity_labels_in_full():
    canvas = Canvas(8, 8)
    square = canvas.polygon([(2, 2), (6, 2), (6, 6), (2, 6)])
    canvas.paint(square, (100, 100, 100), 18, opacity=0.25)
    assert (canvas.label == 18).sum() == 16
    np.testing.assert_allclose(canvas.image[3, 3], 25)
    canvas.paint(square, (0, 0, 0))
    assert (canvas.label == 18).sum() == 16  # no label given: they stay


def test_value_noise_is_smooth_and_fills_its_range():
    noise = value_noise(Dice(1), 90, 120, 9, 12)
    assert noise.shape == (90, 120)
    assert 0 <= noise.min() < 0.1
    assert 0.9 < noise.max() < 1
    assert np.abs(np.diff(noise, axis=0)).max() < 1.5 / 9 + 0.01
    assert np.abs(np.diff(noise, axis=1)).max() < 1.5 / 12 + 0.01
