from __future__ import annotations

import itertools
import random
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch.utils.data import Dataset

from mmseg.datasets import build_dataloader, build_dataset
from mmseg.datasets.loader import Failure, collate
from mmseg.datasets.pipelines import Compose
from mmseg.utils.errors import UserError
from tests.helpers_data import kitti_config, same, test_pipeline, train_pipeline, write_image, write_pairs


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pairs(tmp_path_factory.mktemp("pairs"), count=7)


@pytest.fixture(scope="module")
def data(root: Path) -> Any:
    return build_dataset(kitti_config(root))


def batches(data: Any, workers: int, count: int = 6, **kwargs: Any) -> list[Any]:
    loader = build_dataloader(data, 2, workers, **{"seed": 3, "start_iter": 0, **kwargs})
    return list(itertools.islice(loader, count))


class OldTransform:
    """What users wrote for 0.25: it draws from the global generators."""

    def __call__(self, results: dict[str, Any]) -> dict[str, Any]:
        draws = [random.random(), np.random.rand(), torch.rand(()).item()]
        results["img"] = results["img"] + torch.tensor(draws)[:, None, None]
        return results


class Plain(Dataset):
    """A data set of the user's own, which knows nothing of ``rng``."""

    def __init__(self) -> None:
        self.transform = Compose(
            [dict(type="RandomCrop", crop_size=(4, 4)), dict(type="PhotoMetricDistortion")]
        )

    def __len__(self) -> int:
        return 9

    def __getitem__(self, index: int) -> dict[str, Any]:
        image = np.random.default_rng(index).integers(0, 256, (16, 16, 3), dtype=np.uint8)
        return {
            "img": torch.from_numpy(self.transform({"img": image})["img"].copy()),
            "name": str(index),
            "n": index,
        }


class TestTraining:
    def test_batch(self, data: Any) -> None:
        batch = batches(data, 0, 1)[0]
        assert batch["img"].shape == (2, 3, 16, 20) and batch["img"].dtype == torch.float32
        assert (
            batch["gt_semantic_seg"].shape == (2, 1, 16, 20) and batch["gt_semantic_seg"].dtype == torch.int64
        )
        assert [type(meta) for meta in batch["img_metas"]] == [dict, dict]
        assert batch["img"].is_contiguous() and batch["gt_semantic_seg"].is_contiguous()

    def test_equal_with_any_number_of_workers_and_from_any_start(self, data: Any) -> None:
        alone = batches(data, 0, 8)
        for workers in (1, 2):
            assert same(batches(data, workers, 8), alone)
        for start, workers in ((1, 0), (3, 2), (5, 1)):  # 3 iterations are an epoch
            assert same(batches(data, workers, 8 - start, start_iter=start), alone[start:])

    def test_depends_on_seed(self, data: Any) -> None:
        assert not same(batches(data, 0, 3), batches(data, 0, 3, seed=4))
        assert same(batches(data, 0, 3, seed=None), batches(data, 0, 3, seed=0))

    def test_an_index_is_seen_differently_in_each_epoch(self, data: Any) -> None:
        seen: dict[str, list[torch.Tensor]] = {}
        for batch in batches(data, 0, 12):
            for img, meta in zip(batch["img"], batch["img_metas"], strict=True):
                seen.setdefault(meta["ori_filename"], []).append(img)
        assert all(
            not torch.equal(a, b) for imgs in seen.values() for a, b in itertools.combinations(imgs, 2)
        )

    @pytest.mark.parametrize("workers", [0, 2])
    def test_old_transforms_are_deterministic(self, root: Path, workers: int) -> None:
        data = build_dataset(kitti_config(root, [*train_pipeline(), OldTransform()]))
        random.seed(1)
        np.random.seed(1)
        torch.manual_seed(1)
        first = batches(data, workers)
        random.seed(2)
        np.random.seed(2)
        torch.manual_seed(2)
        assert same(batches(data, 0), first)

    @pytest.mark.parametrize("workers", [0, 1])
    def test_global_generators_stay_as_they_are(self, root: Path, workers: int) -> None:
        data = build_dataset(kitti_config(root, [*train_pipeline(), OldTransform()]))
        before = random.getstate(), np.random.get_state(), torch.get_rng_state()
        batches(data, workers)
        assert random.getstate() == before[0]
        assert same(list(np.random.get_state()), list(before[1]))
        assert torch.equal(torch.get_rng_state(), before[2])

    def test_ranks_share_the_global_batch(self, data: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        def names(samples: int, rank: int, world: int) -> list[list[str]]:
            monkeypatch.setattr("mmseg.datasets.builder.get_rank", lambda: rank)
            monkeypatch.setattr("mmseg.datasets.builder.get_world_size", lambda: world)
            loader = build_dataloader(data, samples, 0, seed=3, start_iter=0)
            return [[m["ori_filename"] for m in b["img_metas"]] for b in itertools.islice(loader, 4)]

        alone, parts = names(2, 0, 1), [names(1, rank, 2) for rank in range(2)]
        assert [a + b for a, b in zip(*parts, strict=True)] == alone

    def test_one_epoch(self, data: Any) -> None:
        loader = build_dataloader(data, 2, 0, seed=3, epoch=1)
        assert len(loader) == 4
        names = [m["ori_filename"] for batch in loader for m in batch["img_metas"]]
        assert sorted(names) == [info["filename"] for info in data.img_infos]
        assert same(list(loader)[:3], batches(data, 0, 3, start_iter=3))
        assert len(build_dataloader(data, 2, 0, drop_last=True)) == 3

    def test_num_gpus_without_dist(self, data: Any) -> None:
        assert batches(data, 0, 1, num_gpus=3, dist=False)[0]["img"].shape[0] == 6

    def test_too_few_samples(self, data: Any) -> None:
        with pytest.raises(UserError, match="7 samples.*batch of 8"):
            build_dataloader(data, 8, 0, start_iter=0)

    def test_a_data_set_of_the_users_own(self) -> None:
        first = batches(Plain(), 0)
        assert first[0]["img"].shape == (2, 4, 4, 3) and len(first[0]["name"]) == 2
        assert first[0]["n"].tolist() == [int(name) for name in first[0]["name"]]
        assert same(batches(Plain(), 1), first)


@pytest.fixture(scope="module")
def held_out(root: Path) -> Any:
    return build_dataset(kitti_config(root, test_pipeline(flip=True)), dict(test_mode=True))


class TestEvaluation:
    @pytest.mark.parametrize("workers", [0, 2])
    def test_batch_with_truth(self, held_out: Any, workers: int) -> None:
        loader = build_dataloader(held_out, 2, workers, shuffle=False, with_truth=True)
        taken = list(loader)
        assert len(loader) == len(taken) == 4
        assert [batch["index"] for batch in taken] == [[0, 1], [2, 3], [4, 5], [6]]
        assert [tuple(img.shape) for img in taken[0]["img"]] == [(2, 3, 24, 32)] * 2
        assert [[m["flip"] for m in metas] for metas in taken[0]["img_metas"]] == [[False] * 2, [True] * 2]
        assert [tuple(img.shape) for img in taken[3]["img"]] == [(1, 3, 24, 32)] * 2
        for batch in taken:
            for index, truth in zip(batch["index"], batch["gt"], strict=True):
                assert isinstance(truth, np.ndarray)
                assert np.array_equal(truth, held_out.get_gt_seg_map_by_idx(index))

    def test_without_truth(self, held_out: Any) -> None:
        batch = next(iter(build_dataloader(held_out, 1, 0, shuffle=False)))
        assert set(batch) == {"img", "img_metas"}

    def test_every_index_once_over_ranks(self, held_out: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        seen = []
        for rank in range(3):
            monkeypatch.setattr("mmseg.datasets.builder.get_rank", lambda rank=rank: rank)
            monkeypatch.setattr("mmseg.datasets.builder.get_world_size", lambda: 3)
            loader = build_dataloader(held_out, 2, 0, shuffle=False, with_truth=True)
            seen += [index for batch in loader for index in batch["index"]]
        assert sorted(seen) == list(range(7))

    def test_unequal_sizes(self, tmp_path: Path) -> None:
        root = write_pairs(tmp_path, count=2)
        for folder, shape in (("img_dir", (20, 32, 3)), ("ann_dir", (20, 32))):
            write_image(root / folder / "000001_10.png", np.zeros(shape, np.uint8))
        data = build_dataset(kitti_config(root, test_pipeline()), dict(test_mode=True))
        with pytest.raises(
            UserError, match=r"32x24 \(000000_10.png\), 32x20 \(000001_10.png\).*samples_per_gpu=1"
        ):
            next(iter(build_dataloader(data, 2, 0, shuffle=False)))
        assert len(list(build_dataloader(data, 1, 0, shuffle=False))) == 2

    def test_truth_of_another_size(self, tmp_path: Path) -> None:
        root = write_pairs(tmp_path, count=1)
        write_image(root / "ann_dir/000000_10.png", np.zeros((20, 30), np.uint8))
        data = build_dataset(kitti_config(root, test_pipeline()), dict(test_mode=True))
        with pytest.raises(UserError, match=r"000000_10.png is 32x24 .*mask is 30x20"):
            next(iter(build_dataloader(data, 1, 0, shuffle=False, with_truth=True)))

    def test_truth_is_needed(self) -> None:
        with pytest.raises(UserError, match="Plain.*get_gt_seg_map_by_idx"):
            build_dataloader(Plain(), 1, 0, shuffle=False, with_truth=True)


class TestMistakes:
    @pytest.mark.parametrize("workers", [0, 1])
    def test_a_bad_mask_is_one_line(self, tmp_path: Path, workers: int) -> None:
        root = write_pairs(tmp_path, count=2)
        mask = np.zeros((24, 32), np.uint8)
        mask[3, 4:7] = 200
        write_image(root / "ann_dir/000001_10.png", mask)
        loader = build_dataloader(build_dataset(kitti_config(root)), 1, workers, start_iter=0)
        with pytest.raises(UserError) as error:
            list(itertools.islice(loader, 4))
        message = str(error.value)
        assert "ann_dir/000001_10.png holds the value 200 (3 pixels)" in message
        assert "\n" not in message and "Traceback" not in message and "worker" not in message

    @pytest.mark.parametrize("workers", [0, 1])
    def test_sizes_that_differ(self, root: Path, workers: int) -> None:
        pipeline = [step for step in train_pipeline() if step["type"] not in ("RandomCrop", "Pad")]
        loader = build_dataloader(build_dataset(kitti_config(root, pipeline)), 2, workers, start_iter=0)
        with pytest.raises(
            UserError, match=r"differ in the size of `img`: \d+x\d+ \(00000\d_10.png\), .*`Pad"
        ):
            list(itertools.islice(loader, 4))

    def test_a_pipeline_that_returns_nothing(self, root: Path) -> None:
        loader = build_dataloader(
            build_dataset(kitti_config(root, [lambda results: None])), 1, 0, start_iter=0
        )
        with pytest.raises(UserError, match="returned None for sample"):
            next(iter(loader))

    def test_our_own_bugs_keep_their_traceback(self, root: Path) -> None:
        def broken(results: dict[str, Any]) -> dict[str, Any]:
            raise RuntimeError("a bug")

        loader = build_dataloader(build_dataset(kitti_config(root, [broken])), 1, 0, start_iter=0)
        with pytest.raises(RuntimeError, match="a bug"):
            next(iter(loader))

    def test_arguments(self, data: Any) -> None:
        with pytest.raises(UserError, match="`samples_per_gpu` must be a whole number of at least 1, not 0"):
            build_dataloader(data, 0, 0)
        with pytest.raises(UserError, match="`workers_per_gpu`.*at least 0, not -1"):
            build_dataloader(data, 1, -1)
        with pytest.raises(UserError, match="did you mean `prefetch_factor`"):
            build_dataloader(data, 1, 0, prefetch_facto=2)

    def test_arguments_for_workers_do_no_harm_without(self, data: Any) -> None:
        loader = build_dataloader(data, 1, 0, prefetch_factor=4, persistent_workers=True, pin_memory=True)
        assert not loader.persistent_workers and loader.pin_memory == torch.cuda.is_available()
        loader = build_dataloader(data, 1, 1, prefetch_factor=4)
        assert loader.persistent_workers and loader.prefetch_factor == 4


class Threads(Dataset):
    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> dict[str, int]:
        return {"opencv": cv2.getNumThreads(), "torch": torch.get_num_threads()}


def test_workers_have_one_thread_each() -> None:
    called = torch.zeros(1).share_memory_()
    loader = build_dataloader(
        Threads(), 1, 1, shuffle=False, worker_init_fn=lambda worker: called.fill_(worker + 1)
    )
    batch = next(iter(loader))
    assert batch["opencv"].tolist() == [1] and batch["torch"].tolist() == [1]
    assert called.item() == 1


def test_collate_passes_a_failure_on() -> None:
    failure = Failure("no")
    assert collate([{"img": torch.zeros(1)}, failure]) is failure


def test_collate_tuples() -> None:
    left, right = collate([(torch.zeros(2), 1), (torch.ones(2), 2)])
    assert left.tolist() == [[0, 0], [1, 1]] and right.tolist() == [1, 2]


def test_a_temporary_folder_too_long_for_sockets(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Workers would drop their batches, and the run would wait for ever."""
    data = build_dataset(kitti_config(root))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / ("x" * 80)))
    assert build_dataloader(data, 2, 0) is not None
    with pytest.raises(UserError, match="temporary folder .* has .* characters.* set TMPDIR"):
        build_dataloader(data, 2, 1)
