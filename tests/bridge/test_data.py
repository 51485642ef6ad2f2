"""Fetching weights and the contest's data set, from a server on this machine."""

from __future__ import annotations

import io
import re
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from bridge.loader import GlobalBridgeController
from mmseg.apis import notebook_data
from mmseg.utils import http_file
from tests.helpers_bridge import write_project
from tests.helpers_downloads import labels, photo, pixels, save, write_kitti
from tests.helpers_log import Lines
from tests.helpers_server import Server, checkpoint_bytes, serving

WEIGHTS = checkpoint_bytes()


def contest_archive(folders: bool = True) -> bytes:
    """The contest's archive with three frames, in the folder that it unpacks to."""
    top, file = "kitti-seg-competition-zip/" if folders else "", io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        for split, count in (("train", 2), ("val", 1)):
            for i in range(count):
                for kind in ("img_dir", "ann_dir"):
                    name = f"{top}seg_data_processed/{kind}/{split}/{i:06d}_10.png"
                    content = name.encode()
                    info = tarfile.TarInfo(name)
                    info.size = len(content)
                    archive.addfile(info, io.BytesIO(content))
    return file.getvalue()


ARCHIVE = contest_archive()


@pytest.fixture(autouse=True)
def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MMSEG_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(http_file, "WAITS_S", (0.0, 0.0, 0.0))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


@pytest.fixture
def server() -> Iterator[Server]:
    with serving(files={"/910Yk": WEIGHTS, "/E7kMX": ARCHIVE, "/page": b"<!doctype html>"}) as server:
        yield server


@pytest.fixture
def bridge() -> GlobalBridgeController:
    return GlobalBridgeController()


def files(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


# Weights -----------------------------------------------------------------------------------------


def test_weights_are_downloaded_once(inside: Path, server: Server, bridge: GlobalBridgeController) -> None:
    write_project(inside)
    for _ in range(2):
        c = bridge.MMSegConfig("Segformer_B0", "tiny.py", checkpoint_url=f"{server.url}/910Yk")
    assert c.checkpoint_file == "checkpoints/Segformer_B0.pth"
    assert c.checkpoint_url == f"{server.url}/910Yk"
    assert Path(c.checkpoint_file).read_bytes() == WEIGHTS
    assert files(inside / "checkpoints") == ["Segformer_B0.pth"]
    assert [path for path, _ in server.requests] == ["/910Yk"]


def test_weights_that_are_there_are_taken(
    inside: Path, server: Server, bridge: GlobalBridgeController
) -> None:
    write_project(inside)
    Path("mine.pth").write_bytes(b"mine")
    url = f"{server.url}/910Yk"
    c = bridge.MMSegConfig("b0", "tiny.py", checkpoint_file="mine.pth", checkpoint_url=url)
    assert c.checkpoint_file == "mine.pth" and server.requests == []
    c = bridge.MMSegConfig("b0", "tiny.py", checkpoint_file="new/place.pth", checkpoint_url=url)
    assert Path("new/place.pth").read_bytes() == WEIGHTS and c.checkpoint_file == "new/place.pth"


def test_weights_from_a_file(inside: Path, bridge: GlobalBridgeController) -> None:
    write_project(inside)
    Path("from.pth").write_bytes(WEIGHTS)
    c = bridge.MMSegConfig("b0", "tiny.py", checkpoint_url="from.pth")
    assert Path(c.checkpoint_file).read_bytes() == WEIGHTS
    with pytest.raises(ValueError, match="checkpoint_url: absent.pth is neither an address nor a file"):
        bridge.MMSegConfig("b1", "tiny.py", checkpoint_url="absent.pth")


def test_a_name_with_a_slash_stays_in_its_folder(inside: Path, bridge: GlobalBridgeController) -> None:
    write_project(inside)
    Path("from.pth").write_bytes(WEIGHTS)
    c = bridge.MMSegConfig("../Swin v1 / 22k", "tiny.py", checkpoint_url="from.pth")
    assert files(inside / "checkpoints") == [Path(c.checkpoint_file).name]
    with pytest.raises(ValueError, match="model_name '..' cannot name a file"):
        bridge.MMSegConfig("..", "tiny.py", checkpoint_url="from.pth")


def test_weights_that_are_none_leave_nothing(
    inside: Path, server: Server, bridge: GlobalBridgeController
) -> None:
    write_project(inside)
    with pytest.raises(ValueError, match="is a web page, not a checkpoint"):
        bridge.MMSegConfig("b0", "tiny.py", checkpoint_url=f"{server.url}/page")
    with pytest.raises(ValueError, match="the server has no such file"):
        bridge.MMSegConfig("b0", "tiny.py", checkpoint_url=f"{server.url}/absent")
    assert not (inside / "checkpoints").exists()


def test_a_folder_that_cannot_be_written(inside: Path, bridge: GlobalBridgeController) -> None:
    write_project(inside)
    Path("from.pth").write_bytes(WEIGHTS)
    Path("checkpoints").write_text("a file")
    with pytest.raises(ValueError, match="cannot write checkpoints/b0.pth"):
        bridge.MMSegConfig("b0", "tiny.py", checkpoint_url="from.pth")


def test_a_download_has_a_bar_where_there_is_no_terminal(
    inside: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(notebook_data, "_REPORT_S", 0.01)
    gate = threading.Event()
    with serving(files={"/w.pth": WEIGHTS}, stall=gate, close_after=len(WEIGHTS) // 2) as server:
        threading.Timer(0.5, gate.set).start()
        notebook_data.download_checkpoint(f"{server.url}/w.pth", "w.pth")
    states = capsys.readouterr().out.strip().split("\r")
    shares = [int(re.search(r"\[(#*)", state)[0].count("#")) for state in states]
    assert shares == sorted(shares) and 15 in shares and shares[-1] == 30
    assert states[-1].startswith("w.pth [") and states[-1].rstrip().endswith("complete")


def test_states_of_a_download(tmp_path: Path) -> None:
    part = tmp_path / "a.part"
    assert notebook_data.state_line(part, "a") == ""
    part.write_bytes(bytes(500_000))
    assert notebook_data.state_line(part, "a") == ""
    note = tmp_path / "a.part.json"
    note.write_text('{"total": 1000000}')
    assert notebook_data.state_line(part, "a") == f"a [{'#' * 15}{'.' * 15}] 0.5/1.0 MB"
    note.write_text('{"total": null}')
    assert notebook_data.state_line(part, "a") == "a: 0.5 MB"


# The data set ------------------------------------------------------------------------------------


def test_the_data_set_is_fetched_once(inside: Path, server: Server, bridge: GlobalBridgeController) -> None:
    for _ in range(2):
        assert bridge.download_data(url=f"{server.url}/E7kMX") == "data/kitti-seg-competition"
    assert len(server.requests) == 1
    assert files(inside / "data") == [
        f"kitti-seg-competition/seg_data_processed/{kind}/{name}_10.png"
        for kind in ("ann_dir", "img_dir")
        for name in ("train/000000", "train/000001", "val/000000")
    ]
    assert bridge.convert_data() == {"train": 2, "val": 1}


@pytest.mark.parametrize("folders", [True, False])
def test_an_archive_of_this_machine(inside: Path, bridge: GlobalBridgeController, folders: bool) -> None:
    Path("contest.tar.gz").write_bytes(contest_archive(folders))
    bridge.download_data(data_dir="data/own", file="contest.tar.gz")
    if not folders:  # one folder at the top is taken for the archive's own
        assert sorted(p.name for p in Path("data/own").iterdir()) == ["ann_dir", "img_dir"]
        return
    assert bridge.convert_data(data_dir="data/own") == {"train": 2, "val": 1}
    assert Path("contest.tar.gz").is_file()


def test_an_empty_folder_is_no_data_set(inside: Path, bridge: GlobalBridgeController) -> None:
    Path("contest.tar.gz").write_bytes(ARCHIVE)
    Path("data/kitti-seg-competition").mkdir(parents=True)
    bridge.download_data(file="contest.tar.gz")
    assert bridge.convert_data() == {"train": 2, "val": 1}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"<!doctype html> log in", "is a web page; download the data set in a browser"),
        (b"neither this nor that", "is no .zip or .tar archive; download the data set in a browser"),
        (ARCHIVE[: len(ARCHIVE) // 2], "is damaged|is no .zip or .tar archive"),
    ],
)
def test_what_is_no_data_set_leaves_nothing(
    inside: Path, bridge: GlobalBridgeController, content: bytes, message: str
) -> None:
    with serving(files={"/a": content}) as server, pytest.raises(ValueError, match=message):
        bridge.download_data(url=f"{server.url}/a")
    assert not [name for name in files(inside) if not name.endswith((".part", ".part.json"))]
    assert not Path("data/kitti-seg-competition").exists()


def test_a_file_that_is_none(inside: Path, bridge: GlobalBridgeController) -> None:
    with pytest.raises(ValueError, match="absent.tar.gz does not exist"):
        bridge.download_data(file="absent.tar.gz")
    Path("notes.txt").write_text("no archive")
    with pytest.raises(ValueError, match="notes.txt is no .zip or .tar archive"):
        bridge.download_data(file="notes.txt")


def test_without_a_network_the_message_says_what_to_do(bridge: GlobalBridgeController) -> None:
    with pytest.raises(ValueError, match=r"download_data\(file=PATH\) takes it"):
        bridge.download_data(url="http://127.0.0.1:9/a.tar.gz")


def test_kitti_s_own_download_is_converted(inside: Path, bridge: GlobalBridgeController) -> None:
    write_kitti(inside / "data_semantics")
    assert bridge.convert_data(source="data_semantics") == {"train": 6, "val": 2}
    out = inside / "data/kitti-seg-competition/seg_data_processed"
    (first, *_) = sorted((out / "ann_dir/train").iterdir())
    assert set(np.unique(pixels(first))) == {*range(19), 255}
    heard = Lines()
    assert bridge.convert_data() == {"train": 6, "val": 2}
    assert "needs no conversion: 6 train, 2 val frames" in heard.messages[-1]


def test_kitti_s_own_frames_in_the_data_folder(inside: Path, bridge: GlobalBridgeController) -> None:
    write_kitti(inside / "data/kitti-seg-competition/seg_data")
    assert bridge.convert_data() == {"train": 6, "val": 2}


def test_what_cannot_be_converted(inside: Path, bridge: GlobalBridgeController) -> None:
    with pytest.raises(ValueError, match=r"does not exist; call download_data\(\) first"):
        bridge.convert_data()
    folder = inside / "data/kitti-seg-competition/seg_data_processed"
    for split in ("train", "val"):
        save(folder / f"img_dir/{split}/a.png", photo(0))
    save(folder / "ann_dir/train/a.png", labels(0, [0]))
    with pytest.raises(ValueError, match=r"has 1 and 1 images \(train, val\) but 1 and 0 masks"):
        bridge.convert_data()
