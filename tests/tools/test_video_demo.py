"""tools/video_demo.py as users call it."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from mmseg.apis import inference_segmentor, init_segmentor
from mmseg.apis.video import resized, segment_frames
from mmseg.visualization import overlay
from tests.helpers_looking import frames_in, refusal, write_run, write_video
from tests.helpers_run import PALETTE
from tests.helpers_run import run_tool_here as run


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A folder with a data set, ``tiny.py``, ``tiny.pth`` and ``in.avi``."""
    root = tmp_path_factory.mktemp("run")
    write_run(root)
    write_video(root / "in.avi", number=7)
    return root


@pytest.fixture(scope="module")
def model(root):
    return init_segmentor(str(root / "tiny.py"), str(root / "tiny.pth"), "cpu")


@pytest.fixture
def demo(root, monkeypatch):
    def call(video, *args):
        names = [root / "tiny.py", root / "tiny.pth"]
        run("video_demo", video, *names, "--device", "cpu", *args, monkeypatch=monkeypatch)

    return call


@pytest.mark.parametrize("ending", [".mp4", ".avi"])
def test_a_video_becomes_a_video(demo, root, tmp_path, capsys, ending):
    out = tmp_path / "deep" / f"out{ending}"
    demo(root / "in.avi", "--output-file", out, "--batch-size", 3)
    assert len(frames_in(out)) == 7 and frames_in(out)[0].shape == (48, 64, 3)
    assert cv2.VideoCapture(str(out)).get(cv2.CAP_PROP_FPS) == pytest.approx(10, abs=0.01)
    assert f"7 frames are in {out}" in capsys.readouterr().out
    assert [p.name for p in out.parent.iterdir()] == [out.name]


def test_a_folder_becomes_a_folder(demo, root, model, tmp_path):
    demo(root / "img_dir/val", "--output-file", tmp_path / "out", "--gray-dir", tmp_path / "gray")
    names = sorted(p.name for p in (root / "img_dir/val").iterdir())
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == names
    image = cv2.imread(str(root / "img_dir/val" / names[3]))
    (label,) = inference_segmentor(model, image)
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "gray" / names[3]), -1), label)
    np.testing.assert_array_equal(
        cv2.imread(str(tmp_path / "out" / names[3])), overlay(image, label, PALETTE)
    )


@pytest.mark.parametrize(("where", "shape"), [("right", (48, 128, 3)), ("below", (96, 64, 3))])
def test_side_by_side(demo, root, tmp_path, where, shape):
    args = ["--side-by-side", where, "--max-frames", 2]
    demo(root / "img_dir/val", "--output-file", tmp_path / "out", *args)
    pictures = [cv2.imread(str(p)) for p in sorted((tmp_path / "out").iterdir())]
    assert len(pictures) == 2 and pictures[0].shape == shape
    image = cv2.imread(str(root / "img_dir/val/000.png"))
    np.testing.assert_array_equal(pictures[0][:48, :64], image)


def test_output_size_and_rate(demo, root, tmp_path):
    args = ["--output-height", 24, "--output-fps", 5, "--output-fourcc", "MJPG"]
    demo(root / "in.avi", "--output-file", tmp_path / "out.avi", *args)
    assert frames_in(tmp_path / "out.avi")[0].shape == (24, 32, 3)
    assert cv2.VideoCapture(str(tmp_path / "out.avi")).get(cv2.CAP_PROP_FPS) == pytest.approx(5)


@pytest.mark.parametrize(
    ("width", "height", "shape"), [(-1, -1, (10, 20)), (40, -1, (20, 40)), (-1, 5, (5, 10)), (7, 9, (9, 7))]
)
def test_resized(width, height, shape):
    assert resized(np.zeros((10, 20, 3), np.uint8), width, height).shape[:2] == shape


@pytest.mark.parametrize("batch_size", [1, 2, 5, 50])
def test_batches_change_nothing(model, root, batch_size):
    """Frames of several sizes, in order, with the label maps that they have alone."""
    files = sorted((root / "img_dir/val").iterdir())
    images = [cv2.imread(str(f)) for f in files]
    images[2] = images[2][:, :50].copy()
    frames = [(f.stem, image) for f, image in zip(files, images, strict=True)]
    found = list(segment_frames(model, iter(frames), batch_size))
    assert [name for name, _, _ in found] == [f.stem for f in files]
    for (_, frame, label), image in zip(found, images, strict=True):
        assert frame is image and label.shape == image.shape[:2]
        assert (label == inference_segmentor(model, image)[0]).mean() > 0.999


def test_a_damaged_frame_stops_it_and_leaves_nothing(root, tmp_path, monkeypatch, capsys):
    for i in range(6):
        image = (root / "img_dir/val" / f"{i % 5:03d}.png").read_bytes()
        (tmp_path / f"{i}.png").write_bytes(image if i != 4 else image[:100])
    for out in (tmp_path / "out" / "o.mp4", tmp_path / "out" / "o"):
        args = [tmp_path, root / "tiny.py", root / "tiny.pth", "--output-file", out, "--device", "cpu"]
        args += ["--batch-size", 1, "--gray-dir", tmp_path / "out" / "gray"]
        line = refusal("video_demo", *args, monkeypatch=monkeypatch, capsys=capsys)
        assert "4.png is damaged or is no image" in line
        assert list((tmp_path / "out").iterdir()) == []


RUN = ["tiny.py", "tiny.pth"]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["none.mp4", *RUN, "--output-file", "o.mp4"], "none.mp4 does not exist; give a video"),
        (["tiny.py", *RUN, "--output-file", "o.mp4"], "tiny.py cannot be read as a video"),
        (["in.avi", "none.py", "tiny.pth", "--output-file", "o.mp4"], "config file none.py does not exist"),
        (["in.avi", "tiny.py", "in.avi", "--output-file", "o.mp4"], "no checkpoint of PyTorch"),
        (["in.avi", *RUN], "give --output-file"),
        (["in.avi", *RUN, "--show"], "--show: a video is written, not shown"),
        (["in.avi", *RUN, "--output-file", "o.gif"], "ends in `.gif`"),
        (["in.avi", *RUN, "--output-file", "in.avi"], "is the source itself"),
        (["in.avi", *RUN, "--output-file", "o.mp4", "--palette", "x"], "no class names are known"),
        (
            ["in.avi", *RUN, "--output-file", "o.avi", "--output-fourcc", "ZZZZ"],
            "cannot write o.avi with ZZZZ",
        ),
        (["img_dir/val", *RUN, "--output-file", "img_dir/val"], "is the source itself"),
    ],
)
def test_mistakes_are_one_line(root, monkeypatch, capsys, args, message):
    monkeypatch.chdir(root)
    assert message in refusal("video_demo", *args, monkeypatch=monkeypatch, capsys=capsys)
    assert not [p for p in root.iterdir() if p.name.startswith("o.")]
