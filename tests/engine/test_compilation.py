"""``compile`` and ``channels_last`` by config."""

from __future__ import annotations

import pytest
import torch

from mmseg.utils.errors import UserError
from tests.helpers_run import tiny_config, tiny_model, write_dataset
from tests.helpers_train import log_lines, new_trainer, same, train


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("stripes"))


@pytest.fixture(autouse=True)
def _fresh_compiler():
    yield
    torch._dynamo.reset()


def close(a, b, **tolerance):
    ours, theirs = a.model.state_dict(), b.model.state_dict()
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        torch.testing.assert_close(theirs[name], value, **tolerance, msg=lambda m, name=name: f"{name}: {m}")


def smooth(root, **sections):
    """Without dropout, whose draws a compiler may order otherwise; SGD, as rounding cannot flip its steps."""
    model = tiny_model(dropout_ratio=0.0)
    model["backbone"]["drop_path_rate"] = 0.0
    return tiny_config(root, max_iters=3, model=model, optimizer=dict(type="SGD", lr=0.05), **sections)


def test_captured_graphs_train_alike(root, tmp_path):
    """The backend that only captures: same numbers, same names, evaluation and resuming included."""
    sections = dict(
        checkpoint_config=dict(by_epoch=False, interval=2), evaluation=dict(interval=2, val_loss=True)
    )
    eager = train(smooth(root, **sections), tmp_path / "eager", validate=True)
    with log_lines() as lines:
        compiled = train(
            smooth(root, compile=dict(backend="eager"), **sections), tmp_path / "compiled", validate=True
        )
    assert not any("compile" in line and "without" in line for line in lines)
    assert len(compiled.compiled.parts) == 2
    close(eager, compiled, rtol=1e-5, atol=1e-6)
    path = str(tmp_path / "compiled" / "iter_2.pth")
    assert not any("_orig_mod" in name for name in torch.load(path, weights_only=True)["state_dict"])
    resumed = train(
        smooth(root, compile=dict(backend="eager"), **sections),
        tmp_path / "second",
        resume_from=path,
        seed=None,
    )
    assert same(resumed.model.state_dict(), compiled.model.state_dict())


@pytest.mark.slow
def test_the_default_compiler_trains_alike(root, tmp_path):
    eager = train(smooth(root), tmp_path / "eager")
    with log_lines() as lines:
        compiled = train(smooth(root, compile=True), tmp_path / "compiled")
    assert not any("torch.compile" in line for line in lines)
    close(eager, compiled, rtol=1e-3, atol=1e-4)


def test_a_missing_compiler_is_one_warning(root, tmp_path, monkeypatch):
    from torch._inductor import config

    monkeypatch.setattr(config.cpp, "cxx", ("no-such-compiler",))
    monkeypatch.setattr(config, "force_disable_caches", True)
    eager = train(smooth(root), tmp_path / "eager")
    with log_lines() as lines:
        trainer = train(smooth(root, compile=True), tmp_path / "compiled")
    warnings = [line for line in lines if "torch.compile" in line]
    assert len(warnings) == 1 and "goes on without it" in warnings[0] and "\n" not in warnings[0]
    assert same(trainer.model.state_dict(), eager.model.state_dict())


def test_channels_last(root, tmp_path):
    sections = dict(checkpoint_config=dict(by_epoch=False, interval=2), ema=dict(momentum=0.1))
    seen = []
    plain = train(smooth(root, **sections), tmp_path / "plain")
    config = smooth(root, channels_last=True, **sections)
    trainer = new_trainer(config, tmp_path)
    batch = next(trainer.batches())
    seen = batch["img"].is_contiguous(memory_format=torch.channels_last), batch["gt_semantic_seg"].dtype
    assert seen == (True, torch.int64)
    last = train(config, tmp_path / "last")
    weight = last.model.backbone.layers[0][0].projection.weight
    assert weight.is_contiguous(memory_format=torch.channels_last) and not weight.is_contiguous()
    close(plain, last, rtol=1e-3, atol=1e-4)
    path = str(tmp_path / "last" / "iter_2.pth")
    resumed = train(config, tmp_path / "second", resume_from=path, seed=None)
    assert same(resumed.model.state_dict(), last.model.state_dict())


def test_a_run_may_change_its_layout(root, tmp_path):
    """The optimizer's state takes the layout of its parameter; AdamW's fused step insists on that."""
    sections = dict(checkpoint_config=dict(by_epoch=False, interval=2), optimizer=dict(type="AdamW", lr=1e-3))
    config = {**smooth(root), **sections}
    train(config, tmp_path / "first")
    path = str(tmp_path / "first" / "iter_2.pth")
    resumed = train(config, tmp_path / "second", resume_from=path, seed=None, channels_last=True)
    for parameter, state in resumed.optimizer.state.items():
        assert state["exp_avg"].stride() == parameter.stride()


@pytest.mark.parametrize(
    ("section", "words"),
    [
        (dict(mode="fastest"), "unknown mode `fastest`"),
        (dict(modes="default"), "did you mean `mode`"),
        (dict(backend="inductr"), "did you mean `inductor`"),
        (dict(mode="default", options={"a": 1}), "not both"),
        ("yes", "a dictionary, True or False"),
    ],
)
def test_mistakes_are_named(root, tmp_path, section, words):
    with pytest.raises(UserError, match=words):
        new_trainer(tiny_config(root, compile=section), tmp_path)


def test_switched_off(root, tmp_path):
    for section in (None, False, dict(enabled=False, mode="default")):
        assert new_trainer(tiny_config(root, compile=section), tmp_path).compiled is None
