"""Files over HTTP: whole or not at all, resumed; and every failure in one line."""

from __future__ import annotations

import errno
import os
import shutil
import socket
import subprocess
import sys
import threading
import urllib.error
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from mmseg.utils import http_file
from mmseg.utils.checkpoint import read_checkpoint
from mmseg.utils.downloads import cache_dir, cache_path, local_file
from tests.conftest import ROOT
from tests.helpers_cache import (
    CONTENT,
    FETCH,
    NAME,
    PLAIN,
    child_environment,
    files_in_cache,
    own_cache,
    refusal,
    serving_checkpoint,
)
from tests.helpers_log import Lines
from tests.helpers_server import Server, checkpoint_bytes


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own_cache(tmp_path, monkeypatch)


@pytest.fixture
def server() -> Iterator[Server]:
    with serving_checkpoint() as server:
        yield server


# Interruptions -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [NAME, PLAIN])
def test_a_server_that_closes_early_is_asked_for_the_rest(server: Server, name: str) -> None:
    server.close_after = len(CONTENT) // 5
    assert Path(local_file(f"{server.url}/{name}")).read_bytes() == CONTENT
    starts = [int((asked or "bytes=0-")[6:-1]) for _, asked in server.requests]
    assert starts == list(range(0, len(CONTENT), server.close_after))
    assert files_in_cache() == {name: CONTENT}


@pytest.mark.parametrize("name", [NAME, PLAIN])
def test_a_part_of_an_earlier_run_is_continued(server: Server, name: str, monkeypatch: Any) -> None:
    url, half = f"{server.url}/{name}", len(CONTENT) // 2
    server.close_after = half
    with monkeypatch.context() as patch:
        patch.setattr(http_file, "WAITS_S", ())
        assert "the connection ended after 0.1 of 0.2 MB (1 times in a row)" in refusal(url)
    assert files_in_cache()[f"{name}.part"] == CONTENT[:half]
    server.close_after = None
    assert Path(local_file(url)).read_bytes() == CONTENT
    assert [asked for _, asked in server.requests] == [None, f"bytes={half}-"]
    assert files_in_cache() == {name: CONTENT}


def interrupted(server: Server, name: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Leave half of a file in the cache; returns its address."""
    server.close_after = len(server.files[f"/{name}"]) // 2
    with monkeypatch.context() as patch:
        patch.setattr(http_file, "WAITS_S", ())
        refusal(f"{server.url}/{name}")
    server.close_after = None
    server.requests.clear()
    return f"{server.url}/{name}"


def test_a_server_without_ranges_gives_it_anew(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    server.knows_ranges = False
    url = interrupted(server, PLAIN, monkeypatch)
    assert Path(local_file(url)).read_bytes() == CONTENT
    assert len(server.requests) == 1


@pytest.mark.parametrize("heeds_if_range", [True, False])
@pytest.mark.parametrize("size", [40_000, 50_000, 500])  # as long, longer, shorter than what is there
def test_a_file_that_changed_is_taken_anew(
    server: Server, monkeypatch: pytest.MonkeyPatch, heeds_if_range: bool, size: int
) -> None:
    server.heeds_if_range = heeds_if_range
    url = interrupted(server, PLAIN, monkeypatch)
    server.files[f"/{PLAIN}"] = changed = checkpoint_bytes(size, seed=1)
    assert Path(local_file(url)).read_bytes() == changed


@pytest.mark.parametrize(("name", "asked"), [(PLAIN, None), (NAME, f"bytes={len(CONTENT) // 2}-")])
def test_a_part_of_no_known_version_goes_on_only_with_a_hash(
    server: Server, monkeypatch: pytest.MonkeyPatch, name: str, asked: str | None
) -> None:
    server.etags = False
    url = interrupted(server, name, monkeypatch)
    assert Path(local_file(url)).read_bytes() == CONTENT
    assert server.requests == [(f"/{name}", asked)]


def test_what_was_continued_wrongly_is_taken_anew(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    server.etags = False
    url = interrupted(server, NAME, monkeypatch)
    part = cache_dir() / f"{NAME}.part"
    part.write_bytes(b"x" * part.stat().st_size)
    assert Path(local_file(url)).read_bytes() == CONTENT
    assert [asked is None for _, asked in server.requests] == [False, True]


def test_a_whole_part_is_not_asked_for_again(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    url = interrupted(server, NAME, monkeypatch)
    (cache_dir() / f"{NAME}.part").write_bytes(CONTENT)  # stopped right before it took its name
    assert Path(local_file(url)).read_bytes() == CONTENT
    assert server.requests == []


def test_a_note_that_cannot_be_read_makes_it_start_anew(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = interrupted(server, NAME, monkeypatch)
    (cache_dir() / f"{NAME}.part.json").write_text('{"url": 1')
    assert Path(local_file(url)).read_bytes() == CONTENT
    assert server.requests == [(f"/{NAME}", None)]


def test_a_server_that_always_stops_at_the_same_place(server: Server) -> None:
    server.close_after, server.knows_ranges = 1000, False
    message = refusal(f"{server.url}/{PLAIN}")
    assert "the connection ended after 0.0 of 0.2 MB (4 times in a row)" in message
    assert str(cache_path(f"{server.url}/{PLAIN}")) in message
    assert len(server.requests) == 4


def test_a_file_whose_size_nobody_told_is_not_taken_half(server: Server) -> None:
    server.tells_size, server.close_after = False, len(CONTENT) // 2
    assert "the connection ended before the file did" in refusal(f"{server.url}/{PLAIN}")
    assert "gives another file than its name says" in refusal(f"{server.url}/{NAME}")
    server.close_after = None
    assert Path(local_file(f"{server.url}/{PLAIN}")).read_bytes() == CONTENT


@pytest.mark.parametrize("kind", ["stream", "safetensors"])
def test_other_formats_of_unknown_size(server: Server, tmp_path: Path, kind: str) -> None:
    weights = {"a": torch.arange(5000.0)}
    path = tmp_path / f"x.{kind}"
    if kind == "safetensors":
        from safetensors.torch import save_file

        save_file(weights, path)
    else:
        torch.save(weights, path, _use_new_zipfile_serialization=False)
    server.files[f"/{path.name}"] = path.read_bytes()
    server.tells_size, server.close_after = False, 15_000
    assert "the connection ended before the file did" in refusal(f"{server.url}/{path.name}")
    server.close_after = None
    assert torch.equal(read_checkpoint(f"{server.url}/{path.name}")["a"], weights["a"])


def test_a_server_that_falls_silent(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_file, "TIMEOUT_S", 0.5)
    monkeypatch.setattr(http_file, "WAITS_S", (0.0,))
    server.close_after, server.knows_ranges, server.stall = 1000, False, threading.Event()
    message = refusal(f"{server.url}/{PLAIN}")
    server.stall.set()
    assert "nothing came for 0.5 seconds (2 times in a row)" in message
    server.close_after, server.delay_s = None, 1.0
    assert "did not answer within 0.5 seconds" in refusal(f"{server.url}/{PLAIN}")


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_server_is_asked_again(server: Server, status: int) -> None:
    server.status = [status] * 3
    assert Path(local_file(f"{server.url}/{NAME}")).read_bytes() == CONTENT
    assert len(server.requests) == 4


def test_a_killed_process_leaves_a_part_and_no_lock(server: Server, tmp_path: Path) -> None:
    url = f"{server.url}/{NAME}"
    server.close_after, server.stall = len(CONTENT) // 2, threading.Event()
    process = subprocess.Popen([sys.executable, "-c", FETCH, url], env=child_environment())
    while len(files_in_cache().get(f"{NAME}.part", b"")) < server.close_after:
        assert process.poll() is None
        threading.Event().wait(0.02)
    process.kill()
    process.wait()
    server.stall.set()
    server.close_after = None
    assert Path(local_file(url)).read_bytes() == CONTENT
    assert server.requests[1:] == [(f"/{NAME}", f"bytes={len(CONTENT) // 2}-")]


# What is refused ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (404, "the server has no such file (404); correct the address"),
        (410, "the server has no such file (410)"),
        (403, "the server refuses to give it (403); download it in a browser"),
        (401, "the server refuses to give it (401)"),
        (418, "the server answers 418 I'm a Teapot"),
        (503, "the server answers 503 Service Unavailable (4 times in a row)"),
    ],
)
def test_statuses(server: Server, status: int, words: str) -> None:
    server.status = [status] * 9
    message = refusal(f"{server.url}/{NAME}")
    assert words in message and f"{server.url}/{NAME}" in message
    assert len(server.requests) == (4 if status == 503 else 1)
    assert files_in_cache() == {}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"<!DOCTYPE html><html>log in</html>", "is a web page, not a checkpoint"),
        (b'{"error": "no such file"}', "is a web page, not a checkpoint"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "is a Git LFS pointer"),
        (b"", "is empty"),
        (b"hello world", "is no checkpoint: it begins with b'hello wo'"),
    ],
)
@pytest.mark.parametrize("name", [PLAIN, NAME])
def test_what_is_no_checkpoint(server: Server, content: bytes, words: str, name: str) -> None:
    server.files[f"/{name}"] = content
    words = "gives another file than its name says" if "begins with" in words and name == NAME else words
    assert words in refusal(f"{server.url}/{name}")
    assert files_in_cache() == {}


def test_a_wrong_hash(server: Server) -> None:
    server.files["/net-00000000.pth"] = CONTENT
    message = refusal(f"{server.url}/net-00000000.pth")
    digits = NAME[4:12]
    assert f"its sha256 begins with {digits}, not with 00000000; try again" in message
    assert files_in_cache() == {}


def test_a_machine_that_is_not_there(server: Server) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/{NAME}"
        message = refusal(url)
    assert "the server cannot be reached (Connection refused) (4 times in a row)" in message
    assert f"bring the file to {cache_dir() / NAME}" in message


@pytest.mark.parametrize(
    ("number", "words", "tries"),
    [
        (socket.EAI_NONAME, "the name weights.example is not known to this machine's network", 1),
        (socket.EAI_AGAIN, "the server cannot be reached (no answer) (4 times in a row)", 4),
    ],
)
def test_a_name_that_is_not_known(
    monkeypatch: pytest.MonkeyPatch, number: int, words: str, tries: int
) -> None:
    asked = Counter[str]()

    def resolve(host: str, *args: object, **kwargs: object) -> None:
        asked[host] += 1
        raise socket.gaierror(number, "no answer")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    message = refusal(f"http://weights.example/{NAME}")
    assert words in message and f"bring the file to {cache_dir() / NAME}" in message
    assert asked == {"weights.example": tries}


def test_a_certificate_that_is_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    import ssl

    def refuse(*args: object, **kwargs: object) -> None:
        error = ssl.SSLCertVerificationError(1, "certificate verify failed")
        error.verify_message = "self-signed certificate"
        raise urllib.error.URLError(error)

    monkeypatch.setattr(http_file.urllib.request, "urlopen", refuse)
    message = refusal(f"https://weights.example/{NAME}")
    assert "its certificate cannot be verified (self-signed certificate)" in message


@pytest.mark.parametrize("url", ["http://127.0.0.1:port/x.pth", "http:///x.pth", "http://h/a b.pth"])
def test_what_is_no_address(url: str) -> None:
    assert "is no address: " in refusal(url)


def test_no_space_for_it(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(ROOT)._replace(free=100)
    monkeypatch.setattr(http_file.shutil, "disk_usage", lambda path: usage)
    message = refusal(f"{server.url}/{NAME}")
    assert "the download needs 0.2 MB and" in message and "has 0.0 MB free" in message
    assert files_in_cache() == {}


def test_a_disk_that_fills_up_is_given_back_what_came(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full:
        def __init__(self, path: Path, mode: str) -> None:
            self.file = path.open(mode)

        def write(self, data: bytes) -> None:
            self.file.write(data[:10])
            raise OSError(errno.ENOSPC, "No space left on device")

        def close(self) -> None:
            self.file.close()

    monkeypatch.setattr(http_file, "open", Full, raising=False)
    assert "is full; set MMSEG_CACHE to a folder for downloads" in refusal(f"{server.url}/{NAME}")
    assert files_in_cache() == {}


def test_a_cache_that_cannot_be_written(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MMSEG_CACHE", str(tmp_path / "file"))
    assert f"cannot write to {tmp_path}/file/checkpoints: Not a directory" in refusal(f"{server.url}/{NAME}")
    assert server.requests == []


@pytest.mark.parametrize("error", [errno.EACCES, errno.EROFS])
def test_a_folder_without_permission(server: Server, monkeypatch: pytest.MonkeyPatch, error: int) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr(os, "open", refuse)  # with which the lock is made; root may write anywhere
    assert f"cannot write to {cache_dir()}: {os.strerror(error)}; set MMSEG_CACHE" in refusal(
        f"{server.url}/{NAME}"
    )


def test_unknown_kinds_of_address() -> None:
    assert "copy the file to this machine and give its path" in refusal("petrel://bucket/x.pth")


def test_progress_on_a_terminal(server: Server, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")
    local_file(f"{server.url}/{NAME}")
    assert NAME in capsys.readouterr().err.replace(f"{server.url}/{NAME}", "").replace(str(cache_dir()), "")


def test_the_log_says_what_comes_from_where(server: Server) -> None:
    log = Lines()
    local_file(f"{server.url}/{NAME}")
    assert log.messages == [f"downloading {server.url}/{NAME} to {cache_dir() / NAME}"]
