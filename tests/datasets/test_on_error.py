"""`data.train.on_error`: a bad sample ends the run with its name, or another takes its place."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch

from mmseg.datasets import PIPELINES, ConcatDataset, RepeatDataset, build_dataloader, build_dataset
from mmseg.datasets.on_error import OnError, file_of, on_error_of, read_on_error, substitutes
from mmseg.engine.skips import LIST
from mmseg.utils.errors import UserError
from tests.helpers_log import Lines
from tests.helpers_run import tiny_config, write_dataset
from tests.helpers_train import train


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("good"))


@pytest.fixture(scope="module")
def bad(good, tmp_path_factory):
    """The same images, of which number 3 is cut short."""
    root = tmp_path_factory.mktemp("bad") / "data"
    shutil.copytree(good, root)
    (root / "img_dir/train/003.png").write_bytes(b"\x89PNG cut short")
    return root


def dataset_of(root, wrap=None, **settings):
    return build_dataset({**tiny_config(root)["data"]["train"], **settings})


def loader_of(dataset, workers=0, on_error=None, start_iter=0, batch=2, **kwargs):
    return build_dataloader(
        dataset,
        batch,
        workers,
        dist=False,
        seed=5,
        start_iter=start_iter,
        on_error=on_error or on_error_of(dataset),
        check=True,
        persistent_workers=False,
        **kwargs,
    )


def batches_of(loader, number):
    found, skips = [], []
    loader.on_skips = skips.extend
    batches = iter(loader)
    for _ in range(number):
        batch = next(batches)
        found.append((batch["img"].numpy(), [meta["ori_filename"] for meta in batch["img_metas"]]))
    return found, skips


def test_raise_names_the_file(bad):
    for workers in (0, 1):
        with pytest.raises(UserError, match=r"cannot decode the image .*003\.png"):
            batches_of(loader_of(dataset_of(bad), workers), 5)


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_a_skip_changes_no_other_sample(good, bad, workers):
    """Only the bad one's place has another sample, whatever the number of workers."""
    whole, none = batches_of(loader_of(dataset_of(good)), 10)
    assert none == []
    found, skips = batches_of(loader_of(dataset_of(bad, on_error="skip"), workers), 10)
    changed = 0
    for (images, names), (theirs, their_names) in zip(whole, found, strict=True):
        for image, name, other, other_name in zip(images, names, theirs, their_names, strict=True):
            if name == "003.png":
                changed += 1
                assert other_name != name
            else:
                assert name == other_name and np.array_equal(image, other)
    assert changed == 2  # ten batches of two are two epochs of ten
    assert [skip.epoch for skip in skips[:2]] == [0, 1]
    assert {skip.file for skip in skips} == {str(bad / "img_dir/train/003.png")}
    assert "cannot decode" in skips[0].reason


def test_what_takes_the_place_depends_on_seed_epoch_and_index_only(bad):
    dataset = dataset_of(bad, on_error="skip")
    whole, _ = batches_of(loader_of(dataset), 10)
    resumed, _ = batches_of(loader_of(dataset, workers=1, start_iter=4), 6)
    single, _ = batches_of(loader_of(dataset, batch=1), 20)
    for (images, names), (theirs, their_names) in zip(whole[4:], resumed, strict=True):
        assert names == their_names and np.array_equal(images, theirs)
    assert [n for _, names in whole for n in names] == [n for _, names in single for n in names]


@pytest.mark.parametrize("index", [0, 3, 9])
def test_substitutes_are_others(index):
    first = substitutes(1, 2, index, 10)
    assert first == substitutes(1, 2, index, 10)
    assert len({i for i, _ in first}) > 3 and all(i != index and 0 <= i < 10 for i, _ in first)
    assert first != substitutes(1, 3, index, 10) and len({seed for _, seed in first}) == len(first)


def test_joined_and_repeated_data_sets(good, bad):
    inner = dataset_of(bad, on_error="skip")
    joined = ConcatDataset([dataset_of(good), inner])
    repeated = build_dataset(
        dict(type="RepeatDataset", times=2, on_error="skip", dataset=tiny_config(bad)["data"]["train"])
    )
    assert (
        on_error_of(joined).skip and on_error_of(repeated).skip and on_error_of(RepeatDataset(inner, 2)).skip
    )
    assert not on_error_of(dataset_of(good)).skip
    for dataset, index in ((joined, 13), (repeated, 13)):
        assert file_of(dataset, index) == str(bad / "img_dir/train/003.png")
        found, skips = batches_of(loader_of(dataset), 10)
        names = {skip.file for skip in skips}
        assert len(found) == 10 and names == {str(bad / "img_dir/train/003.png")}


def test_a_transform_that_raises(good):
    @PIPELINES.register_module(force=True)
    class Stumble:
        def __call__(self, results):
            if results["ori_filename"] == "004.png":
                raise IndexError("list index out of range")
            return results

    pipeline = tiny_config(good)["data"]["train"]["pipeline"]
    pipeline.insert(2, dict(type="Stumble"))
    dataset = dataset_of(good, pipeline=pipeline)
    with pytest.raises(IndexError) as caught:
        batches_of(loader_of(dataset), 5)
    assert "004.png" in caught.value.__notes__[0]
    with pytest.raises(IndexError, match=r"while loading sample 4, .*004\.png"):  # out of a worker
        batches_of(loader_of(dataset, workers=1), 5)
    _, skips = batches_of(loader_of(dataset, on_error=OnError(skip=True)), 5)
    assert skips[0].reason.startswith("IndexError: list index out of range (test_on_error.py:")


def test_a_loader_without_a_listener_logs(bad):
    lines = Lines()
    for number, _ in enumerate(loader_of(dataset_of(bad, on_error="skip"), workers=1)):
        if number == 4:
            break
    assert any("skipped" in line and "003.png" in line for line in lines.messages)


def test_when_nothing_can_be_read(good, tmp_path):
    shutil.copytree(good, tmp_path / "data")
    dataset = dataset_of(tmp_path / "data", on_error="skip")
    shutil.rmtree(tmp_path / "data/img_dir")
    with pytest.raises(UserError, match=r"on_error='skip': 21 samples in a row are bad"):
        batches_of(loader_of(dataset), 1)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("ignore", "on_error is 'raise', 'skip' or dict"),
        (dict(mode="skip", share=0.1), "unknown key `share`; did you mean `max_share`"),
        (dict(mode="skip", max_share=5), "a share of the samples, between 0 and 1, not 5"),
    ],
)
def test_wrong_settings(value, message):
    with pytest.raises(UserError, match=message):
        read_on_error(value)


def test_an_evaluation_never_skips(good):
    with pytest.raises(UserError, match="is for data.train"):
        build_dataset(
            {**tiny_config(good)["data"]["val"], "on_error": "skip"}, default_args=dict(test_mode=True)
        )
    assert build_dataset({**tiny_config(good)["data"]["val"], "on_error": "raise"}) is not None


def config_of(root, on_error, **sections):
    config = tiny_config(root, max_iters=10, log_config=dict(interval=1, hooks=[]), **sections)
    config["data"]["train"]["on_error"] = on_error
    return config


def test_a_run_names_each_file_once_and_lists_it(bad, tmp_path):
    lines = Lines()
    config = config_of(bad, dict(mode="skip", max_share=0.2))
    config["data"]["workers_per_gpu"] = 1
    trainer = train(config, tmp_path)
    assert trainer.iter == 10 and trainer.skips.count >= 2
    assert len([line for line in lines.messages if "skipped" in line and "003.png" in line]) == 1
    (line,) = (tmp_path / LIST).read_text().splitlines()
    assert line.startswith(str(bad / "img_dir/train/003.png") + "\t")


def test_a_run_stops_past_the_share(bad, tmp_path):
    with pytest.raises(UserError, match=r"1 of 10 training samples of epoch 1 are bad, 10\.0%.*003\.png"):
        train(config_of(bad, "skip"), tmp_path)


def test_a_resumed_run_goes_on_with_the_same_samples_and_list(bad, tmp_path):
    sections = dict(checkpoint_config=dict(by_epoch=False, interval=7))
    whole = train(config_of(bad, dict(mode="skip", max_share=0.2), **sections), tmp_path)
    resumed = train(
        config_of(bad, dict(mode="skip", max_share=0.2)),
        tmp_path,
        resume_from=str(tmp_path / "iter_7.pth"),
        seed=None,
    )
    ours, theirs = whole.model.state_dict(), resumed.model.state_dict()
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)
    assert len((tmp_path / LIST).read_text().splitlines()) == 1
