"""Weights by address: once, checked, by one of several processes; where they come from and where they go."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from mmseg.utils import downloads
from mmseg.utils.checkpoint import read_checkpoint
from mmseg.utils.downloads import cache_dir, cache_path, cached, hash_in, local_file
from mmseg.utils.errors import UserError
from tests.helpers_cache import (
    CONTENT,
    FETCH,
    NAME,
    PLAIN,
    child_environment,
    files_in_cache,
    own_cache,
    serving_checkpoint,
)
from tests.helpers_server import Server, hashed_name


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own_cache(tmp_path, monkeypatch)


@pytest.fixture
def server() -> Iterator[Server]:
    with serving_checkpoint() as server:
        yield server


# What comes --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [NAME, PLAIN])
def test_a_file_comes_once_and_is_read(server: Server, name: str) -> None:
    for _ in range(2):
        checkpoint = read_checkpoint(f"{server.url}/{name}")
    assert checkpoint["state_dict"]["a"].shape == (40_000,)
    assert server.requests == [(f"/{name}", None)]
    assert files_in_cache() == {name: CONTENT}


def test_it_works_without_a_network_once_it_is_there(server: Server) -> None:
    url = f"{server.url}/{NAME}"
    first = local_file(url)
    server.status = [500] * 9
    assert local_file(url) == first == str(cache_dir() / NAME)
    assert len(server.requests) == 1


def test_a_file_put_there_by_hand_is_taken() -> None:
    cache_dir().mkdir(parents=True)
    (cache_dir() / "resnet50_v1c-2cccc1ad.pth").write_bytes(CONTENT)
    (cache_dir() / "resnet50-0676ba61.pth").write_bytes(CONTENT)
    assert local_file("open-mmlab://resnet50_v1c").endswith("checkpoints/resnet50_v1c-2cccc1ad.pth")
    assert local_file("torchvision://resnet50").endswith("checkpoints/resnet50-0676ba61.pth")
    assert local_file("modelzoo://resnet50") == local_file("torchvision://resnet50")


def test_torch_s_cache_serves_too_where_the_hash_is_right(server: Server, tmp_path: Path) -> None:
    folder = tmp_path / "torch" / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    (folder / NAME).write_bytes(CONTENT)
    assert local_file(f"{server.url}/{NAME}") == str(folder / NAME)
    assert server.requests == []
    (folder / NAME).write_bytes(CONTENT[:-1])
    assert local_file(f"{server.url}/{NAME}") == str(cache_dir() / NAME)


def test_paths_are_left_alone(tmp_path: Path) -> None:
    assert local_file("pretrain/mit_b0.pth") == "pretrain/mit_b0.pth"
    assert local_file(tmp_path / "x.pth") == str(tmp_path / "x.pth")
    assert local_file(r"C:\weights\x.pth") == r"C:\weights\x.pth"
    assert local_file((tmp_path / "a b.pth").as_uri()) == str(tmp_path / "a b.pth")
    assert not cache_dir().exists()


def test_the_cache_is_where_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMSEG_CACHE", "/big/disk")
    assert cache_dir() == Path("/big/disk/checkpoints")
    monkeypatch.delenv("MMSEG_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    assert cache_dir() == Path("/xdg/mmseg/checkpoints")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/me")
    assert cache_dir() == Path("/home/me/.cache/mmseg/checkpoints")


def test_files_of_one_name_and_several_addresses_do_not_mix() -> None:
    paths = {cache_path(f"https://{host}/a/latest.pth") for host in ("x.org", "y.org")}
    assert len(paths) == 2 and {p.name for p in paths} == {"latest.pth"}
    assert cache_path(f"https://x.org/{NAME}?download=1") == cache_path(f"https://y.org/b/{NAME}")
    for odd in (
        "https://x.org",
        "https://x.org/..",
        "https://x.org/a%2F..%2F..%2Fb.pth",
        "https://x.org/.part",
    ):
        path = cache_path(odd)
        assert path.parent.parent == cache_dir() and path.name.strip("."), odd


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("resnet50-0676ba61.pth", "0676ba61"),
        ("mit_b0_20220624-7e0fe6dd.pth", "7e0fe6dd"),
        ("net-" + "0676BA61" * 8 + ".safetensors", "0676ba61" * 8),
        ("net-0676ba61.pth.tar", "0676ba61"),
        ("net-20220624.pth", None),  # a date
        ("net-20220624120000.pth", None),
        ("net-0676ba6.pth", None),  # too short
        ("net-0676ba61-v2.pth", None),
        ("net_0676ba61.pth", None),
        ("latest.pth", None),
    ],
)
def test_hash_in_a_name(name: str, expected: str | None) -> None:
    assert hash_in(name) == expected


def test_the_whole_hash_counts_where_the_name_has_it(server: Server) -> None:
    good = hashed_name(CONTENT, digits=64)
    bad = good.replace(good[-8:-4], "0000")
    server.files |= {f"/{good}": CONTENT, f"/{bad}": CONTENT}
    assert Path(local_file(f"{server.url}/{good}")).read_bytes() == CONTENT
    with pytest.raises(UserError, match="gives another file than its name says"):
        local_file(f"{server.url}/{bad}")


def test_redirects_are_followed(server: Server) -> None:
    server.redirects = {"/start.pth": f"{server.url}/{PLAIN}"}
    assert Path(local_file(f"{server.url}/start.pth")).read_bytes() == CONTENT


# Several processes -------------------------------------------------------------------------------


def test_four_processes_download_once(server: Server) -> None:
    server.delay_s = 1.5  # the others arrive while the first waits
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", FETCH, f"{server.url}/{NAME}"],
            env=child_environment(LOCAL_RANK=str(rank), RANK=str(rank), WORLD_SIZE="4"),
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in range(4)
    ]
    paths = [process.communicate(timeout=60)[0].strip() for process in processes]
    assert [process.returncode for process in processes] == [0] * 4
    assert set(paths) == {str(cache_dir() / NAME)}
    assert server.requests == [(f"/{NAME}", None)]
    assert files_in_cache() == {NAME: CONTENT}


def test_threads_of_one_process_download_once(server: Server) -> None:
    server.delay_s = 0.3
    found: list[str] = []
    threads = [
        threading.Thread(target=lambda: found.append(local_file(f"{server.url}/{PLAIN}"))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(found) == 4 and len(set(found)) == 1
    assert len(server.requests) == 1


def test_other_ranks_leave_the_first_a_head_start(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_RANK", "1")
    waited: list[float] = []
    target = cache_dir() / NAME

    def sleep(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 3:  # the first rank is done
            target.parent.mkdir(parents=True)
            target.write_bytes(CONTENT)

    monkeypatch.setattr(downloads.time, "sleep", sleep)
    assert cached(f"{server.url}/{NAME}") == target
    assert len(waited) == 3 and server.requests == []


def test_a_disk_without_locks(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    import filelock

    def acquire(*args: object, **kwargs: object) -> None:
        raise NotImplementedError("FileSystem does not appear to support flock")

    monkeypatch.setattr(filelock.FileLock, "acquire", acquire)
    assert Path(local_file(f"{server.url}/{NAME}")).read_bytes() == CONTENT
    assert files_in_cache() == {NAME: CONTENT}
