from __future__ import annotations

import copy
import gc
import itertools
import json
import logging
import multiprocessing
import os
import pickle
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmseg.datasets import build_dataloader, build_dataset
from mmseg.datasets.cache import Cache, caches_of, open_cache, places
from mmseg.datasets.cache import cache as cache_module
from mmseg.datasets.cache.places import notes_folder, open_place
from mmseg.datasets.cache.store import FULL, NO_SPACE, OPEN
from mmseg.utils.errors import UserError
from tests.helpers_data import kitti_config, same, test_pipeline, write_image, write_pairs

SIZE = 24 * 32 * 3  # bytes of an image


@pytest.fixture(autouse=True)
def notes(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Stores of these tests meet in a folder of their own, with a short path: workers open sockets in it."""
    with tempfile.TemporaryDirectory(prefix="cache-") as folder:
        monkeypatch.setattr("tempfile.tempdir", folder)
        yield Path(folder) / f"mmseg-cache-{os.getuid()}"


@pytest.fixture
def messages(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    seen: list[tuple[str, str]] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen.append((record.levelname, record.getMessage()))

    logger = logging.Logger("of this test")
    logger.addHandler(Handler())
    monkeypatch.setattr(cache_module, "get_root_logger", lambda: logger)
    return seen


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_pairs(tmp_path / "data", count=7)


def cache_for(root: Path, value: Any = True, count: int = 7) -> Any:
    infos = [{"filename": f"{i:06d}_10.png"} for i in range(count)]
    return open_cache(value, infos, str(root / "img_dir"), None, "Test")


class Reader:
    """Reads a file as its bytes, and counts how often."""

    def __init__(self) -> None:
        self.paths: list[str] = []

    def get(self, cache: Cache, path: Path, kind: str = "image:bytes") -> np.ndarray:
        def read() -> np.ndarray:
            self.paths.append(path.name)
            return np.frombuffer(path.read_bytes(), np.uint8).copy()

        return cache.get(kind, str(path), read)


def write(path: Path, size: int, value: int = 1) -> Path:
    path.write_bytes(np.full(size, value, np.uint8).tobytes())
    return path


def take(data: Any, workers: int, count: int = 9, **kwargs: Any) -> list[Any]:
    return list(itertools.islice(build_dataloader(data, 2, workers, seed=3, start_iter=0, **kwargs), count))


class TestSamples:
    @pytest.mark.parametrize("value", [True, "1MB", "8kB", dict(where="ram")])
    @pytest.mark.parametrize("workers", [0, 2])
    def test_equal_with_and_without(self, root: Path, value: Any, workers: int) -> None:
        without = take(build_dataset(kitti_config(root)), 0)
        data = build_dataset({**kitti_config(root), "cache": value})
        assert same(take(data, workers), without)
        assert same(take(data, 0), without)
        assert data.cache._store.images == (2 if value == "8kB" else 7)

    def test_a_folder(self, root: Path, tmp_path: Path) -> None:
        where = tmp_path / "new" / "fast disk"
        data = build_dataset({**kitti_config(root), "cache": dict(limit="1MB", where=str(where))})
        without = take(build_dataset(kitti_config(root)), 0)
        assert same(take(data, 1), without) and same(take(data, 0), without)
        assert data.cache._store.images == 7
        assert list(where.iterdir()) == []  # its file has no name: nothing can stay behind

    def test_evaluation(self, root: Path) -> None:
        config = kitti_config(root, test_pipeline(flip=True))
        settings = dict(shuffle=False, with_truth=True)
        without = list(build_dataloader(build_dataset(config, dict(test_mode=True)), 1, 0, **settings))
        data = build_dataset({**config, "cache": True}, dict(test_mode=True))
        for _ in range(2):
            assert same(list(build_dataloader(data, 1, 1, **settings)), without)
        assert data.cache._store.images == 7

    def test_inside_others(self, root: Path) -> None:
        inner = {**kitti_config(root), "cache": True}
        data = build_dataset(dict(type="RepeatDataset", times=2, dataset=[inner, kitti_config(root)]))
        assert [cache.length for cache in caches_of(data)] == [7]
        assert same(
            data.get_sample(3, np.random.default_rng(1)), data.get_sample(10, np.random.default_rng(1))
        )

    def test_a_mistake(self, root: Path) -> None:
        with pytest.raises(UserError, match="`cache` takes True"):
            build_dataset({**kitti_config(root), "cache": "a lot"})
        assert build_dataset({**kitti_config(root), "cache": False}).cache is None


class TestGet:
    def test_reads_once(self, root: Path, tmp_path: Path) -> None:
        cache, reader = cache_for(root), Reader()
        path = write(tmp_path / "x", 100)
        first, second = reader.get(cache, path), reader.get(cache, path)
        assert reader.paths == ["x"] and np.array_equal(first, second)
        assert not first.flags.writeable and not second.flags.writeable
        assert np.shares_memory(reader.get(cache, path), second)
        with pytest.raises(ValueError, match="read-only"):
            second[0] = 3
        reader.get(cache, path, kind="mask")  # the same file read otherwise
        assert reader.paths == ["x", "x"] and cache._store.images == 1

    @pytest.mark.parametrize("dtype", ["u1", "i8", "f4", "?", ">u2"])
    @pytest.mark.parametrize("shape", [(5,), (3, 4), (2, 3, 4), (0, 3), (1, 2, 3, 4), (1, 1, 1, 1, 1), ()])
    def test_arrays_of_any_kind(self, root: Path, dtype: str, shape: tuple[int, ...]) -> None:
        cache = cache_for(root)
        path = str(root / "img_dir/000000_10.png")
        array = (np.random.default_rng(0).random(shape) * 9).astype(dtype).T
        for _ in range(2):
            found = cache.get("image", path, lambda: array)
            assert found.dtype == array.dtype and found.shape == array.shape and np.array_equal(found, array)
        assert cache.get("object", path, lambda: np.array([{}])).tolist() == [{}]

    def test_a_changed_file(self, root: Path, tmp_path: Path) -> None:
        cache, reader = cache_for(root), Reader()
        path = write(tmp_path / "x", 10, value=1)
        reader.get(cache, path)
        write(path, 11, value=1)
        assert len(reader.get(cache, path)) == 11
        write(path, 11, value=2)
        os.utime(path, ns=(1, 1))
        assert reader.get(cache, path)[0] == 2
        other = write(tmp_path / "y", 11, value=3)
        os.utime(other, ns=(1, 1))
        os.replace(other, path)  # the same size and time, but another file
        assert reader.get(cache, path)[0] == 3
        assert len(reader.paths) == 4

    def test_a_file_that_changes_meanwhile_is_not_kept(self, root: Path, tmp_path: Path) -> None:
        cache, path = cache_for(root), write(tmp_path / "x", 10, value=1)

        def slow() -> np.ndarray:
            array = np.frombuffer(path.read_bytes(), np.uint8)
            write(path, 12, value=2)
            return array

        assert len(cache.get("image", str(path), slow)) == 10
        os.truncate(path, 10)
        assert cache._store.images == 0

    def test_a_missing_file(self, root: Path) -> None:
        def read() -> np.ndarray:
            raise UserError("there is none")

        with pytest.raises(UserError, match="there is none"):
            cache_for(root).get("image", "nowhere", read)

    def test_many_entries(self, root: Path, tmp_path: Path) -> None:
        cache, reader = cache_for(root), Reader()
        paths = [write(tmp_path / f"{i}", 8, value=i) for i in range(100)]
        values = [reader.get(cache, path)[0] for _ in range(2) for path in paths]
        assert values == [*range(100), *range(100)]
        assert cache._store.state == FULL and cache._store.images == 48  # 3/4 of the slots
        assert reader.paths == [p.name for p in paths] + [p.name for p in paths[48:]]

    def test_an_unfinished_entry_is_not_read(self, root: Path, tmp_path: Path) -> None:
        cache, reader = cache_for(root), Reader()
        path = write(tmp_path / "x", 100)
        store, table = cache._store, cache._store._table
        reader.get(cache, path)
        at = next(at for at in range(4096, store.start, 64) if table[at : at + 16] != bytes(16))
        table[at + 60 : at + 64] = bytes(4)  # as a writer that is killed leaves it
        assert reader.get(cache, path).tolist() == [1] * 100 and len(reader.paths) == 2
        reader.get(cache, path)
        assert len(reader.paths) == 3 and store.state == OPEN

    def test_copies_and_closing(self, root: Path, tmp_path: Path) -> None:
        cache, reader = cache_for(root), Reader()
        path = write(tmp_path / "x", 100)
        array = reader.get(cache, path)
        array = reader.get(cache, path)
        assert copy.copy(cache) is cache and copy.deepcopy({"cache": cache})["cache"] is cache
        other = pickle.loads(pickle.dumps(cache))
        assert np.array_equal(reader.get(other, path), array) and len(reader.paths) == 1
        cache.close()
        assert reader.get(cache, path).tolist() == array.tolist() == [1] * 100 and len(reader.paths) == 2
        assert pickle.loads(pickle.dumps(cache)).get("image", "no", lambda: array) is not None


class TestLimit:
    def test_a_full_cache_keeps_what_is_in(
        self, root: Path, tmp_path: Path, messages: list[tuple[str, str]]
    ) -> None:
        cache, reader = cache_for(root, 3 * SIZE), Reader()
        paths = [write(tmp_path / str(i), 2000, value=i) for i in range(7)]
        for _ in range(3):
            for i, path in enumerate(paths):
                assert reader.get(cache, path)[0] == i
                cache.report()
        assert reader.paths == [*map(str, range(7)), *map(str, range(3, 7)), *map(str, range(3, 7))]
        assert messages[0] == ("INFO", "Test: decoded images are kept in a cache (shared, at most 6.8 kB)")
        assert messages[1:] == [
            ("INFO", "Test: the cache holds 3 of 7 images (6.0 kB), the others are read from their files")
        ]

    def test_all_are_in(self, root: Path, messages: list[tuple[str, str]]) -> None:
        data = build_dataset({**kitti_config(root), "cache": True})
        take(data, 1, count=9)
        assert [text for _, text in messages[1:]] == [
            "KittiSegDataset: the cache holds all 7 images (21.0 kB)"
        ]

    def test_too_small(self, root: Path, messages: list[tuple[str, str]]) -> None:
        assert cache_for(root, 100) is None
        assert messages == [
            (
                "WARNING",
                "Test: no cache in shared (one image takes 2.2 kB, and it may take 0.1 kB); images are read "
                "from their files",
            )
        ]

    def test_no_space(
        self, root: Path, tmp_path: Path, messages: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        cache, reader = cache_for(root), Reader()
        paths = [write(tmp_path / str(i), 10, value=i) for i in range(3)]
        reader.get(cache, paths[0])

        def full(*args: Any) -> int:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("mmseg.datasets.cache.store.os.pwrite", full)
        assert [int(reader.get(cache, path)[0]) for path in paths + paths] == [0, 1, 2, 0, 1, 2]
        cache.report()
        cache.report()
        assert cache._store.state == NO_SPACE and reader.paths == ["0", "1", "2", "1", "2"]
        assert [m for m in messages if m[0] == "WARNING"] == [
            (
                "WARNING",
                "Test: no space left for the cache; the cache holds 1 of 7 images (0.1 kB), the others are "
                "read from their files",
            )
        ]

    def test_more_than_there_is(
        self, root: Path, messages: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("mmseg.datasets.cache.settings.free_memory", lambda: 10_000)
        assert cache_for(root, "4GB")._store.end > 0
        assert messages[0][0] == "WARNING" and "asks for 4.0 GB, but only 9.8 kB" in messages[0][1]

    @pytest.mark.parametrize("where", ["file", "unwritable"])
    def test_no_place(
        self, root: Path, tmp_path: Path, where: str, messages: list[tuple[str, str]], monkeypatch: Any
    ) -> None:
        (tmp_path / "file").touch()
        if where == "unwritable":
            monkeypatch.setattr(
                places, "_new_file", lambda *a: (_ for _ in ()).throw(PermissionError(13, "no"))
            )
        data = build_dataset({**kitti_config(root), "cache": dict(where=str(tmp_path / where))})
        assert data.cache is None and len(take(data, 0, count=2)) == 2
        assert [level for level, _ in messages] == ["WARNING"]
        assert messages[0][1].startswith(f"KittiSegDataset: no cache in {tmp_path / where} (")

    def test_a_folder_that_others_can_write(self, root: Path, notes: Path, messages: list[Any]) -> None:
        notes.mkdir()
        notes.chmod(0o777)
        assert cache_for(root) is None
        assert "can be written by others" in messages[0][1]


def _fill(root: Path, paths: list[Path], found: Any, done: Any) -> None:
    cache, reader = cache_for(root), Reader()
    values = [int(reader.get(cache, path)[0]) for path in paths]
    found.put((values, reader.paths))
    done.wait(30)


class TestSharing:
    def test_two_processes(self, root: Path, tmp_path: Path) -> None:
        """As two ranks of one machine do: each opens the data set by itself."""
        paths = [write(tmp_path / str(i), 50, value=i) for i in range(5)]
        context = multiprocessing.get_context("fork")
        found, done = context.Queue(), context.Event()
        other = context.Process(target=_fill, args=(root, paths, found, done))
        other.start()
        assert found.get(timeout=30) == ([0, 1, 2, 3, 4], ["0", "1", "2", "3", "4"])
        cache, reader = cache_for(root), Reader()
        assert [int(reader.get(cache, path)[0]) for path in paths] == [0, 1, 2, 3, 4] and reader.paths == []
        assert cache_for(root, dict(where="ram"))._store.images == 0
        done.set()
        other.join()
        assert int(reader.get(cache, paths[3])[0]) == 3 and reader.paths == []  # it outlives its maker
        again = pickle.loads(pickle.dumps(cache))
        assert int(reader.get(again, paths[2])[0]) == 2 and reader.paths == []

    def test_many_at_once(self, root: Path, tmp_path: Path) -> None:
        paths = [write(tmp_path / str(i), 3000, value=i) for i in range(8)]
        context = multiprocessing.get_context("fork")
        found, done = context.Queue(), context.Event()
        others = [context.Process(target=_fill, args=(root, paths, found, done)) for _ in range(4)]
        for other in others:
            other.start()
        assert [found.get(timeout=30)[0] for _ in others] == [list(range(8))] * 4
        cache, reader = cache_for(root), Reader()
        assert [int(reader.get(cache, path)[0]) for path in paths] == list(range(8)) and reader.paths == []
        assert cache._store.images == 8
        done.set()
        for other in others:
            other.join()

    def test_different_data_sets_do_not_meet(self, root: Path) -> None:
        cache = cache_for(root)
        assert cache_for(root)._store.token == cache._store.token
        assert cache_for(root, count=6)._store.token != cache._store.token
        assert cache_for(root, "1MB")._store.token != cache._store.token

    def test_memory_is_freed_with_the_last(self, root: Path, notes: Path) -> None:
        first, second = cache_for(root), cache_for(root)
        assert len(list(notes.glob("*.json"))) == 1
        del first
        gc.collect()
        assert len(list(notes.glob("*.json"))) == 1
        second.close()
        assert [path.name for path in notes.iterdir()] == ["lock"]

    @pytest.mark.parametrize("named", [False, True])
    def test_what_dead_processes_left_is_removed(
        self, root: Path, tmp_path: Path, notes: Path, named: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        if named:  # as on a system without /proc
            monkeypatch.setattr(places, "_PROC", str(tmp_path / "no proc"))
        alive = open_place("shared", "alive", lambda: 100, 1)
        paths = [write(tmp_path / str(i), 50, value=i) for i in range(5)]
        context = multiprocessing.get_context("fork")
        found = context.Queue()
        other = context.Process(target=_fill, args=(root, paths, found, context.Event()))
        other.start()
        found.get(timeout=30)
        os.kill(other.pid, signal.SIGKILL)
        other.join()
        left = [p for p in notes.iterdir() if "alive" not in p.name and p.name != "lock"]
        assert len(left) == 1 + named
        third = open_place("shared", "third", lambda: 100, 1)
        names = sorted(path.name for path in notes.iterdir() if path.name != "lock")
        assert [name for name in names if name.endswith(".json")] == ["alive.json", "third.json"]
        assert len(names) == 2 + 2 * named and third.store.token != alive.store.token
        third.close()
        alive.close()
        assert [path.name for path in notes.iterdir()] == ["lock"]

    def test_a_note_of_dead_processes_is_replaced(self, root: Path, tmp_path: Path, notes: Path) -> None:
        cache = cache_for(root)
        path = next(notes.glob("*.json"))
        content = json.loads(path.read_text())
        for text in ("", "no json", "[]", json.dumps({**content, "token": "00" * 16})):
            path.write_text(text)
            assert cache_for(root)._store.token != cache._store.token
        path.write_text(json.dumps({**content, "address": f"/proc/{os.getpid()}/fd/99999"}))
        assert cache_for(root)._store.images == 0

    def test_a_name_where_there_is_no_proc(
        self, root: Path, tmp_path: Path, notes: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(places, "_PROC", str(tmp_path / "no proc"))
        cache, reader = cache_for(root), Reader()
        path = write(tmp_path / "x", 100)
        for one in (cache, cache_for(root), pickle.loads(pickle.dumps(cache))):
            reader.get(one, path)
        assert reader.paths == ["x"]
        assert sorted(p.suffix for p in notes_folder().iterdir()) == ["", ".json", ".store"]
        del one
        cache.close()
        gc.collect()
        assert [path.name for path in notes.iterdir()] == ["lock"]


@pytest.mark.slow
def test_spawned_workers_share(root: Path) -> None:
    without = take(build_dataset(kitti_config(root)), 0)
    data = build_dataset({**kitti_config(root), "cache": True})
    assert same(take(data, 2, multiprocessing_context="spawn"), without)
    assert data.cache._store.images == 7
    image = write_image(root / "img_dir/000000_10.png", np.zeros((24, 32, 3), np.uint8))
    assert data.prepare_train_img(0)["img_metas"]["filename"] == str(image)
