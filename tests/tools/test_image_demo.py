"""tools/image_demo.py as users call it."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from mmseg.apis import inference_segmentor, init_segmentor
from mmseg.apis.image_demo import class_shares
from mmseg.core.evaluation import get_palette
from mmseg.visualization import overlay
from tests.helpers_looking import refusal, write_run
from tests.helpers_run import PALETTE
from tests.helpers_run import run_tool_here as run


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A folder with a data set, ``tiny.py`` and ``tiny.pth``."""
    root = tmp_path_factory.mktemp("run")
    write_run(root)
    return root


@pytest.fixture(scope="module")
def expected(root):
    model = init_segmentor(str(root / "tiny.py"), str(root / "tiny.pth"), "cpu")
    image = cv2.imread(str(root / "img_dir" / "val" / "000.png"))
    return image, inference_segmentor(model, image)[0]


@pytest.fixture
def demo(root, monkeypatch):
    def call(images, *args):
        names = ["tiny.py", "tiny.pth"]
        run(
            "image_demo",
            *images,
            *(root / n for n in names),
            "--device",
            "cpu",
            *args,
            monkeypatch=monkeypatch,
        )

    return call


def test_one_image(demo, root, expected, tmp_path, capsys):
    image, label = expected
    demo([root / "img_dir/val/000.png"], "--out-file", tmp_path / "o" / "one.png", "--gray", "--opacity", 0.3)
    np.testing.assert_array_equal(
        cv2.imread(str(tmp_path / "o/one.png")), overlay(image, label, PALETTE, 0.3)
    )
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "o/gray/one.png"), -1), label)
    out = capsys.readouterr().out
    assert f"written: {tmp_path / 'o' / 'one.png'} and the label maps in gray/" in out
    assert all(line in out for line in class_shares(label, ["left", "middle", "right"]))


def test_a_palette_and_a_legend(demo, root, expected, tmp_path):
    image, label = expected
    args = ["--palette", "cityscapes", "--opacity", 1, "--legend"]
    demo([root / "img_dir/val/000.png"], "--out-file", tmp_path / "one.png", *args)
    picture = cv2.imread(str(tmp_path / "one.png"))
    assert picture.shape[0] > image.shape[0] + 20 and picture.shape[1] == image.shape[1]
    colours = np.array(get_palette("cityscapes"))[label][..., ::-1]
    np.testing.assert_array_equal(picture[: image.shape[0]], colours)


def test_a_folder_and_an_image_beside_it(demo, root, tmp_path, capsys):
    demo([root / "img_dir/val", root / "img_dir/train/009.png"], "--out-dir", tmp_path / "out", "--gray")
    names = {f"00{i}.png" for i in (0, 1, 2, 3, 4, 9)}
    assert {p.name for p in (tmp_path / "out").iterdir()} == names | {"gray"}
    assert {p.name for p in (tmp_path / "out" / "gray").iterdir()} == names
    assert "6 pictures in" in capsys.readouterr().out


def test_class_shares():
    label = np.array([[2, 2, 2, 7]])
    assert class_shares(label, ["a", "b", "c"]) == ["  75.0 % c", "  25.0 % class 7"]
    assert class_shares(label, None)[0] == "  75.0 % class 2"


VAL, RUN = "img_dir/val/000.png", ["tiny.py", "tiny.pth"]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["none.png", *RUN, "--out-file", "o.png"], "none.png does not exist; give an image or a folder"),
        (["tiny.py", *RUN, "--out-file", "o.png"], "tiny.py is missing or is no image"),
        (["cut.png", *RUN, "--out-file", "o.png"], "cut.png is missing or is no image"),
        (["empty", *RUN, "--out-dir", "o"], "the folder empty has no image"),
        ([VAL, "none.py", "tiny.pth", "--out-file", "o.png"], "config file none.py does not exist"),
        ([VAL, "typo.py", "tiny.pth", "--out-file", "o.png"], "did you mean `samples_per_gpu`?"),
        ([VAL, "tiny.py", "none.pth", "--out-file", "o.png"], "none.pth"),
        ([VAL, "tiny.py", VAL, "--out-file", "o.png"], "000.png is a PNG image, not a checkpoint"),
        ([VAL, *RUN, "--out-file", "o.txt"], "--out-file o.txt must end in one of .jpg"),
        (["img_dir/val", *RUN, "--out-file", "o.png"], "--out-file is for one image, and there are 5"),
        ([VAL, *RUN, "--out-file", "o.png", "--out-dir", "o"], "exclude each other"),
        (["img_dir/val", "img_dir/train", *RUN, "--out-dir", "o"], "2 of the images would be written to"),
        (["img_dir/val", *RUN, "--out-dir", "img_dir/val"], "is the image itself and would be overwritten"),
        ([VAL, *RUN, "--out-file", "o.png", "--palette", "citiscapes"], "did you mean `cityscapes`"),
        ([VAL, *RUN, "--out-file", "o.png", "--device", "cuda:77"], "--device cuda:77 cannot be used"),
        ([VAL, *RUN, "--out-file", "o.png", "--device", "gpu"], "--device gpu cannot be used"),
        ([VAL, *RUN], "there is no display to show a picture on; give --out-file or --out-dir"),
        ([VAL, *RUN, "--gray"], "--gray and --legend belong to pictures that are written"),
    ],
)
def test_mistakes_are_one_line(root, monkeypatch, capsys, args, message):
    monkeypatch.chdir(root)
    (root / "empty").mkdir(exist_ok=True)
    (root / "typo.py").write_text("_base_ = 'tiny.py'\ndata = dict(sample_per_gpu=2)\n")
    (root / "cut.png").write_bytes((root / VAL).read_bytes()[:50])
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    assert message in refusal("image_demo", *args, monkeypatch=monkeypatch, capsys=capsys)
    assert not (root / "o.png").exists() and not (root / "o").exists()
