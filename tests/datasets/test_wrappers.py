from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mmseg.datasets import (
    ConcatDataset,
    MultiImageMixDataset,
    RepeatDataset,
    build_dataloader,
    build_dataset,
)
from mmseg.engine import evaluate
from mmseg.utils.errors import UserError
from tests.helpers_data import NORM, kitti_config, same, test_pipeline, train_pipeline, write_pairs


@pytest.fixture
def two(tmp_path: Path) -> list[dict[str, Any]]:
    """The configs of two data sets, of 3 and of 5 samples."""
    return [kitti_config(write_pairs(tmp_path / name, count=n)) for name, n in (("a", 3), ("b", 5))]


def mosaic(inner: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
    """A data set of mosaics of 24x32 out of ``inner``."""
    load = [dict(type="LoadImageFromFile"), dict(type="LoadAnnotations"), dict(type="RandomFlip", prob=0.5)]
    pipeline = [
        dict(type="RandomMosaic", prob=1.0, img_scale=(12, 16)),
        dict(type="PhotoMetricDistortion"),
        dict(type="Normalize", **NORM),
        dict(type="DefaultFormatBundle"),
        dict(type="Collect", keys=["img", "gt_semantic_seg"]),
    ]
    cfg = dict(type="MultiImageMixDataset", dataset={**inner, "pipeline": load}, pipeline=pipeline)
    return {**cfg, **kwargs}


def guesses(data: Any) -> list[np.ndarray]:
    rng = np.random.default_rng(1)
    return [
        np.where(rng.random(t.shape) < 0.4, rng.integers(0, 19, t.shape), t) % 19
        for t in data.get_gt_seg_maps()
    ]


class TestConcat:
    def test_samples_are_those_of_the_parts(self, two: list[dict[str, Any]]) -> None:
        data, parts = build_dataset(two), [build_dataset(cfg) for cfg in two]
        assert isinstance(data, ConcatDataset) and len(data) == 8
        assert data.CLASSES == parts[0].CLASSES and data.PALETTE == parts[0].PALETTE
        assert data.parts() == [range(0, 3), range(3, 8)]
        for index, (part, inner) in {0: (0, 0), 2: (0, 2), 3: (1, 0), 7: (1, 4), -1: (1, 4)}.items():
            assert data.get_dataset_idx_and_sample_idx(index) == (part, inner)
            got = data.get_sample(index, np.random.default_rng(4))
            assert same(got, parts[part].get_sample(inner, np.random.default_rng(4)))
            assert same(data.get_gt_seg_map_by_idx(index), parts[part].get_gt_seg_map_by_idx(inner))
        assert [i["filename"] for i in data.img_infos[2:5]] == [f"{i:06d}_10.png" for i in (2, 0, 1)]
        with pytest.raises(IndexError):
            data[8]

    def test_scores_of_each_or_of_all(self, two: list[dict[str, Any]]) -> None:
        parts = [build_dataset(cfg) for cfg in two]
        apart, joined = ConcatDataset(parts), ConcatDataset(parts, separate_eval=False)
        labels = guesses(apart)
        got = apart.evaluate(labels, metric="mIoU", logger="silent")
        for i, (part, own) in enumerate(zip(parts, (labels[:3], labels[3:]), strict=True)):
            expected = part.evaluate(own, metric="mIoU", logger="silent")
            assert {k: v for k, v in got.items() if k.startswith(f"{i}_")} == {
                f"{i}_{k}": v for k, v in expected.items()
            }
        assert {key[:2] for key in got} == {"0_", "1_"}
        together = joined.evaluate(labels, logger="silent")
        counts = joined.pre_eval(labels, list(range(8)))
        assert joined.evaluate(counts, logger="silent") == together
        assert set(together) == {key[2:] for key in got}
        assert together["aAcc"] == pytest.approx((3 * got["0_aAcc"] + 5 * got["1_aAcc"]) / 8)
        assert joined.eval_parts() == [] and apart.eval_parts() == apart.parts()
        with pytest.raises(UserError, match="7 results for 8 samples"):
            apart.evaluate(labels[:7])

    def test_lists_in_a_config(self, two: list[dict[str, Any]], tmp_path: Path) -> None:
        cfg = kitti_config(
            tmp_path,
            img_dir=["a/img_dir", "b/img_dir"],
            ann_dir=["a/ann_dir", "b/ann_dir"],
            separate_eval=False,
        )
        data = build_dataset(cfg)
        assert len(data) == 8 and not data.separate_eval
        assert same(list(data.get_gt_seg_maps()), list(build_dataset(two).get_gt_seg_maps()))
        for name, lines in (("x.txt", "000000\n"), ("y.txt", "000002\n000001\n")):
            (tmp_path / "b" / name).write_text(lines)
        data = build_dataset({**two[1], "split": ["x.txt", "y.txt"]}, {"test_mode": True})
        assert [i["filename"][:6] for i in data.img_infos] == ["000000", "000002", "000001"]
        assert data.separate_eval and all(part.test_mode for part in data.datasets)
        with pytest.raises(UserError, match="2 of `img_dir`, 1 of `ann_dir`"):
            build_dataset({**cfg, "ann_dir": ["a/ann_dir"]})
        with pytest.raises(UserError, match="2 of `ann_dir`"):
            build_dataset({**cfg, "img_dir": "a/img_dir"})

    def test_parts_must_have_the_same_classes(self, two: list[dict[str, Any]]) -> None:
        with pytest.raises(UserError, match="same `CLASSES`.*number 1 .*is road, car and that of number 0"):
            build_dataset([two[0], {**two[1], "classes": ["road", "car"]}])
        with pytest.raises(UserError, match="same `ignore_index`"):
            build_dataset([two[0], {**two[1], "ignore_index": 254}])
        with pytest.raises(UserError, match="`datasets` is empty"):
            build_dataset([])

    def test_results_of_each_go_to_a_folder_of_their_own(
        self, two: list[dict[str, Any]], tmp_path: Path
    ) -> None:
        data = build_dataset(two)
        labels = guesses(data)
        paths = data.format_results([labels[1], labels[3]], str(tmp_path / "out"), indices=[1, 3])
        assert [Path(p).relative_to(tmp_path / "out") for p in paths] == [
            Path("0/000001_10.png"),
            Path("1/000000_10.png"),
        ]
        assert all(Path(p).is_file() for p in paths)


class TestRepeat:
    def test_every_time_drawn_anew(self, two: list[dict[str, Any]]) -> None:
        data = build_dataset(dict(type="RepeatDataset", dataset=two[0], times=3))
        inner = build_dataset(two[0])
        assert isinstance(data, RepeatDataset) and len(data) == 9 and len(data.img_infos) == 9
        assert data.CLASSES == inner.CLASSES
        got = data.get_sample(7, np.random.default_rng(2))
        assert same(got, inner.get_sample(1, np.random.default_rng(2)))
        loader = build_dataloader(data, 9, 0, dist=False, shuffle=False, start_iter=None)
        (batch,) = loader
        names = [meta["ori_filename"] for meta in batch["img_metas"]]
        assert names[:3] == names[3:6] == names[6:]
        assert not same(batch["img"][0], batch["img"][3])

    @pytest.mark.parametrize("times", [0, -1, 1.5, True])
    def test_times(self, two: list[dict[str, Any]], times: Any) -> None:
        with pytest.raises(UserError, match="whole number of at least 1"):
            build_dataset(dict(type="RepeatDataset", dataset=two[0], times=times))


class TestMix:
    def test_a_mosaic_of_four(self, two: list[dict[str, Any]]) -> None:
        data = build_dataset(mosaic(two[1]))
        assert isinstance(data, MultiImageMixDataset) and len(data) == 5
        sample = data.get_sample(2, np.random.default_rng(0))
        assert sample["img"].shape == (3, 24, 32) and sample["gt_semantic_seg"].shape == (1, 24, 32)
        assert sample["img_metas"]["ori_shape"] == (24, 32, 3)
        assert same(sample, data.get_sample(2, np.random.default_rng(0)))
        assert not same(sample["img"], data.get_sample(2, np.random.default_rng(1))["img"])

    def test_batches_depend_on_seed_and_index_only(self, two: list[dict[str, Any]]) -> None:
        cfg = dict(type="RepeatDataset", dataset=mosaic(two[1]), times=2)
        batches = [
            list(
                build_dataloader(build_dataset(cfg), 4, workers, dist=False, seed=7, persistent_workers=False)
            )
            for workers in (0, 2)
        ]
        assert len(batches[0]) == 3 and same(batches[0], batches[1])

    def test_skipped_types(self, two: list[dict[str, Any]]) -> None:
        data = build_dataset(mosaic(two[1], skip_type_keys=["RandomMosaic", "PhotoMetricDistortion"]))
        assert data.get_sample(0)["img"].shape == (3, 24, 32)
        data.update_skip_type_keys(None)
        assert data.get_sample(0)["img_metas"]["ori_shape"] == (24, 32, 3)
        with pytest.raises(UserError, match="list of names"):
            data.update_skip_type_keys("RandomMosaic")

    def test_joined_steps_give_the_same_samples(self, two: list[dict[str, Any]]) -> None:
        after = [
            dict(type="RandomMosaic", prob=0.7, img_scale=(12, 16)),
            dict(type="Resize", img_scale=(40, 30), ratio_range=(0.5, 2.0)),
            *train_pipeline()[3:],
        ]
        joined, exact = (
            build_dataset(mosaic(two[1], pipeline=after, exact_pipeline=e)) for e in (False, True)
        )
        assert [type(step).__name__ for step in joined._steps()] == ["RandomMosaic", "FusedRun", "Collect"]
        assert joined.pipeline_types == [type(step).__name__ for step in exact._steps()]
        for skipped in (None, ["RandomFlip"], ["RandomMosaic", "PhotoMetricDistortion"]):
            for data in (joined, exact):
                data.update_skip_type_keys(skipped)
            for seed in range(6):
                samples = [data.get_sample(seed % 5, np.random.default_rng(seed)) for data in (joined, exact)]
                assert same(samples[0], samples[1])
        joined.pipeline[2] = exact.pipeline[2] = lambda results: {**results, "img": 255 - results["img"]}
        samples = [data.get_sample(1, np.random.default_rng(5)) for data in (joined, exact)]
        assert same(samples[0], samples[1])

    def test_a_mixing_transform_of_the_users(self, two: list[dict[str, Any]]) -> None:
        class Average:
            def get_indexes(self, dataset: Any) -> int:
                return len(dataset) - 1

            def __call__(self, results: dict[str, Any]) -> dict[str, Any]:
                (other,) = results["mix_results"]
                results["img"] = results["img"] // 2 + other["img"] // 2
                return results

        load = [dict(type="LoadImageFromFile"), dict(type="LoadAnnotations")]
        inner = build_dataset({**two[0], "pipeline": load})
        kept: list[dict[str, Any]] = [inner[i] for i in range(3)]

        class Kept:
            CLASSES, PALETTE = inner.CLASSES, inner.PALETTE

            def __len__(self) -> int:
                return 3

            def __getitem__(self, index: int) -> dict[str, Any]:
                return kept[index]

        before = kept[0]["img"].copy()
        results = MultiImageMixDataset(Kept(), [Average()])[0]
        assert np.array_equal(results["img"], before // 2 + kept[2]["img"] // 2)
        assert "mix_results" not in results
        assert np.array_equal(kept[0]["img"], before)

    def test_mistakes(self, two: list[dict[str, Any]]) -> None:
        with pytest.raises(UserError, match="did you mean `RandomMosaic`"):
            build_dataset(mosaic(two[0], pipeline=[dict(type="RandomMosiac", prob=1)]))
        with pytest.raises(UserError, match="put it into the `pipeline` of a `MultiImageMixDataset`"):
            build_dataset(
                {**two[0], "pipeline": [*train_pipeline()[:2], dict(type="RandomMosaic", prob=1.0)]}
            ).get_sample(0)
        with pytest.raises(UserError, match="needs `dataset`"):
            build_dataset(dict(type="RepeatDataset", times=2))
        with pytest.raises(UserError, match="did you mean `times`"):
            build_dataset(dict(type="RepeatDataset", dataset=two[0], time=2))


def test_joined_data_sets_are_evaluated_by_the_loader(two: list[dict[str, Any]]) -> None:
    data = build_dataset([{**cfg, "pipeline": test_pipeline()} for cfg in two], {"test_mode": True})
    loader = build_dataloader(data, 1, 0, dist=False, shuffle=False, with_truth=True)
    truths = {batch["index"][0]: batch["gt"][0] for batch in loader}
    assert sorted(truths) == list(range(8))
    assert all(same(truths[i], data.get_gt_seg_map_by_idx(i)) for i in range(8))
    assert loader.dataset.CLASSES == data.CLASSES and loader.dataset.eval_parts() == data.parts()


@pytest.mark.parametrize("separate_eval", [True, False])
def test_the_evaluator_scores_each_and_all(two: list[dict[str, Any]], separate_eval: bool) -> None:
    parts = [build_dataset({**cfg, "pipeline": test_pipeline()}, {"test_mode": True}) for cfg in two]
    data = ConcatDataset(parts, separate_eval=separate_eval)
    labels = guesses(data)

    class Oracle(torch.nn.Module):
        def predict(self, imgs: Any, metas: Any) -> list[torch.Tensor]:
            folders = [str(part.img_dir) for part in parts]
            where = [folders.index(str(Path(meta["filename"]).parent)) for meta in metas[0]]
            index = [
                int(meta["ori_filename"][:6]) + 3 * part for meta, part in zip(metas[0], where, strict=True)
            ]
            return [torch.from_numpy(labels[i].astype(np.int64)) for i in index]

    loader = build_dataloader(data, 2, 0, dist=False, shuffle=False, with_truth=True)
    scores = evaluate(Oracle(), loader, device=torch.device("cpu"), metrics=["mIoU", "mDice"]).scores
    metric = dict(metric=["mIoU", "mDice"], logger="silent")
    expected = ConcatDataset(parts, separate_eval=False).evaluate(labels, **metric)
    if separate_eval:
        expected |= ConcatDataset(parts).evaluate(labels, **metric)
    assert scores.keys() == expected.keys()
    assert all(scores[key] == pytest.approx(expected[key], abs=1e-12, nan_ok=True) for key in expected)
