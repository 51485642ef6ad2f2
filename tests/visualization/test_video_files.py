"""Reading and writing videos and folders of frames."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from mmseg.utils.errors import UserError
from mmseg.visualization import video_files
from mmseg.visualization.video_files import CODECS, frames_of, open_output, open_source
from tests.helpers_log import Lines
from tests.helpers_looking import frames_in, write_video


def write(path, number=7, size=(48, 64), **settings):
    with open_output(str(path), **settings) as output:
        for i in range(number):
            output.write(f"{i:03d}", np.full((*size, 3), 30 * i, np.uint8))
    return output


@pytest.mark.parametrize("ending", CODECS)
def test_a_video_opens_again_with_its_frames(tmp_path, ending):
    path = tmp_path / "deep" / f"out{ending}"
    output = write(path, fps=12.5)
    frames = frames_in(path)
    assert len(frames) == 7 and output.codec in CODECS[ending]
    assert cv2.VideoCapture(str(path)).get(cv2.CAP_PROP_FPS) == pytest.approx(12.5, abs=0.01)
    means = [frame.mean() for frame in frames]
    assert means == sorted(means) and abs(means[-1] - 180) < 6
    assert [p.name for p in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("size", [(47, 65), (48, 65), (47, 64)])
def test_odd_sizes_lose_no_pixels(tmp_path, size):
    write(tmp_path / "out.mp4", size=size)
    h, w = frames_in(tmp_path / "out.mp4")[0].shape[:2]
    assert (h, w) == (size[0] + size[0] % 2, size[1] + size[1] % 2)


def test_frames_of_other_sizes_are_fitted(tmp_path):
    with open_output(str(tmp_path / "out.avi")) as output:
        output.write("0", np.full((40, 80, 3), 200, np.uint8))
        output.write("1", np.full((80, 40, 3), 200, np.uint8))
    first, second = frames_in(tmp_path / "out.avi")
    assert first.shape == second.shape == (40, 80, 3)
    assert second[:, :20].mean() < 10 < second[:, 35:45].mean()


@pytest.mark.parametrize("name", ["out.mp4", "out.avi", "out"])
def test_nothing_is_left_after_an_error(tmp_path, name):
    with pytest.raises(RuntimeError), open_output(str(tmp_path / name)) as output:
        output.write("0", np.zeros((48, 64, 3), np.uint8))
        assert [p.name for p in tmp_path.iterdir()] == [output.partial.rpartition("/")[2]]
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_an_earlier_output_survives_an_error(tmp_path):
    write(tmp_path / "out.avi", number=3)
    with pytest.raises(RuntimeError), open_output(str(tmp_path / "out.avi")) as output:
        output.write("0", np.zeros((48, 64, 3), np.uint8))
        raise RuntimeError
    assert len(frames_in(tmp_path / "out.avi")) == 3


def test_a_video_that_was_not_written_whole(tmp_path, monkeypatch):
    """As on a full disk, of which OpenCV says nothing."""
    with (
        pytest.raises(UserError, match="could not be written whole .7 frames.; is the disk full"),
        open_output(str(tmp_path / "out.mp4")) as output,
    ):
        for i in range(7):
            output.write(str(i), np.full((48, 64, 3), i, np.uint8))
        release = output._writer.release
        output._writer = type("Full", (), {"release": lambda self: (release(), cut(output.partial))})()
    assert list(tmp_path.iterdir()) == []


def cut(path, share=0.5):
    with open(path, "r+b") as file:
        file.truncate(int(file.seek(0, 2) * share))


def test_a_folder_of_frames(tmp_path):
    write(tmp_path / "out", number=3)
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["000.png", "001.png", "002.png"]
    with pytest.raises(UserError, match="holds files already; remove it, or give another"):
        open_output(str(tmp_path / "out"))
    (tmp_path / "empty").mkdir()
    write(tmp_path / "empty", number=1)
    assert (tmp_path / "empty" / "000.png").exists()


def test_wrong_outputs(tmp_path):
    (tmp_path / "file").write_text("")
    for name, message in (
        ("out.gif", "ends in `.gif`; a video ends in .mp4"),
        ("file", "is a file; give another folder"),
    ):
        with pytest.raises(UserError, match=message):
            open_output(str(tmp_path / name))
    with pytest.raises(UserError, match="a codec has four letters"):
        open_output(str(tmp_path / "out.mp4"), fourcc="h264x")
    with (
        pytest.raises(UserError, match="cannot make the folder"),
        open_output(str(tmp_path / "file" / "o.mp4")),
    ):
        pass
    with pytest.raises(UserError, match="cannot write .* with ZZZZ"):
        write(tmp_path / "out.avi", fourcc="ZZZZ")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_the_next_codec_is_tried(tmp_path, monkeypatch):
    monkeypatch.setitem(CODECS, ".avi", ("ZZZZ", "MJPG"))
    assert write(tmp_path / "out.avi").codec == "MJPG" and len(frames_in(tmp_path / "out.avi")) == 7


def test_a_video_is_read(tmp_path):
    source = open_source(str(write_video(tmp_path / "in.avi", number=6, fps=10)))
    assert (source.count, source.fps) == (6, 10)
    frames = list(frames_of(source))
    assert [name for name, _ in frames] == [f"{i:06d}" for i in range(6)]
    assert frames[0][1].shape == (48, 64, 3) and frames[5][1].mean() > frames[0][1].mean() + 100
    assert open_source(source.path, limit=2).count == 2 and len(list(frames_of(source, 2))) == 2


def test_frames_of_a_folder_come_in_natural_order(tmp_path):
    for name in ("f_10.png", "f_9.png", "F_1.jpg", "a10b2.png", "a2b10.png"):
        cv2.imwrite(str(tmp_path / name), np.zeros((4, 5, 3), np.uint8))
    (tmp_path / "notes.txt").write_text("")
    (tmp_path / ".f_2.png").write_text("")
    source = open_source(str(tmp_path))
    assert [name for name, _ in frames_of(source)] == ["a2b10", "a10b2", "F_1", "f_9", "f_10"]
    assert (source.count, source.fps) == (5, None) and open_source(str(tmp_path), limit=2).count == 2


def test_what_cannot_be_read(tmp_path):
    (tmp_path / "text.mp4").write_text("no video")
    (tmp_path / "empty").mkdir()
    for name, message in (
        ("missing.mp4", "does not exist; give a video or a folder"),
        ("text.mp4", "cannot be read as a video"),
        ("empty", "has no frame"),
    ):
        with pytest.raises(UserError, match=message):
            open_source(str(tmp_path / name))


def test_a_damaged_frame_is_named(tmp_path):
    for i in range(2):
        cv2.imwrite(str(tmp_path / f"{i}.png"), np.zeros((40, 50, 3), np.uint8))
    cut(tmp_path / "1.png", 0.3)
    with pytest.raises(UserError, match=r"the frame .*1\.png is damaged"):
        list(frames_of(open_source(str(tmp_path))))


def test_a_video_that_breaks_off_is_damaged(tmp_path, capfd):
    path = write_video(tmp_path / "in.avi", number=40)
    cut(path, 0.5)
    source = open_source(str(path))
    with pytest.raises(UserError, match=r"is damaged: (\d+) of its 40 frames can be read") as caught:
        list(frames_of(source))
    readable = int(str(caught.value).partition("--max-frames ")[2].split()[0])
    assert 5 < readable < 30 and len(list(frames_of(source, readable))) == readable
    assert capfd.readouterr().err == ""


def test_an_estimated_number_of_frames_is_no_damage(tmp_path):
    """A video of varying rate tells of more frames than it has, yet its last is where it ends."""
    path = write_video(tmp_path / "in.avi", number=20)
    lines = Lines()
    source = video_files.Source(str(path), count=30, fps=15.0)
    assert len(list(frames_of(source))) == 20
    assert any("tells of 30 frames, and 20 were read" in text for text in lines.messages)
