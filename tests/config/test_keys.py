"""``check_config``: what MMSegmentation 0.25 accepts is known, a slip is named with its file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmseg.config import Config, check_config
from mmseg.config.keys import LOG_HOOKS, SECTIONS, TOP_LEVEL, VARIABLES, VARIANTS, one_slip
from mmseg.utils.errors import UserError

RECORDED = sorted((Path(__file__).parent.parent / "data" / "configs").glob("*.json"))


@pytest.mark.parametrize("path", RECORDED, ids=lambda p: p.stem)
def test_recorded_configs_pass(path: Path) -> None:
    recorded = json.loads(path.read_text())
    check_config(Config(recorded["config"]))
    assert "model" in recorded["config"]


ACCEPTED = [  # sections as MMSegmentation 0.25's own configs and documentation write them
    dict(
        data=dict(
            samples_per_gpu=2, workers_per_gpu=0, persistent_workers=False, pin_memory=True, train=dict(x=1)
        )
    ),
    dict(
        data=dict(
            train_dataloader=dict(samples_per_gpu=4, drop_last=False), val_dataloader=dict(shuffle=True)
        )
    ),
    dict(
        data=dict(
            test=[dict(type="A"), dict(type="B")], test_dataloader=dict(workers_per_gpu=1, prefetch_factor=2)
        )
    ),
    dict(data=dict(train=dict(type="A", cache=True, on_error="skip"))),
    dict(optimizer_config=None, lr_config=None, checkpoint_config=None, fp16=None, log_config=None),
    dict(optimizer_config=dict(grad_clip=dict(max_norm=35, norm_type=2))),
    dict(optimizer_config=dict(type="Fp16OptimizerHook", loss_scale=512.0), fp16=dict()),
    dict(
        optimizer_config=dict(
            type="Fp16OptimizerHook", loss_scale=dict(init_scale=512.0, growth_interval=100)
        )
    ),
    dict(optimizer_config=dict(type="GradientCumulativeOptimizerHook", cumulative_iters=4)),
    dict(
        optimizer_config=dict(
            type="GradientCumulativeFp16OptimizerHook", cumulative_iters=4, loss_scale="dynamic"
        )
    ),
    dict(optimizer_config=dict(cumulative_iters=4, loss_scale=512.0, detect_anomalous_params=True)),
    dict(optimizer_config=dict(type="MyOwnHook", anything=1)),
    dict(fp16=dict(dtype="bfloat16", loss_scale="dynamic"), compile=True, ema=True),
    dict(lr_config=dict(policy="poly", power=0.9, min_lr=1e-4, by_epoch=False)),
    dict(
        lr_config=dict(policy="PolyRestart", periods=[1, 2], restart_weights=[1, 0.5], power=1.0, min_lr=0.0)
    ),
    dict(
        lr_config=dict(
            policy="step", step=[8, 11], gamma=0.1, min_lr=0, warmup="constant", warmup_by_epoch=True
        )
    ),
    dict(lr_config=dict(policy="fixed", warmup="exp", warmup_iters=5, warmup_ratio=0.1)),
    dict(lr_config=dict(policy="exp", gamma=0.9)),
    dict(lr_config=dict(policy="inv", gamma=0.9, power=1.0)),
    dict(lr_config=dict(policy="CosineAnnealing", min_lr_ratio=1e-5)),
    dict(lr_config=dict(policy="FlatCosineAnnealing", start_percent=0.7, min_lr=0)),
    dict(lr_config=dict(policy="CosineRestart", periods=[5, 5], restart_weights=[1, 1], min_lr=0)),
    dict(
        lr_config=dict(policy="cyclic", target_ratio=(10, 1e-4), cyclic_times=1, step_ratio_up=0.4, gamma=1)
    ),
    dict(
        lr_config=dict(
            policy="OneCycle", max_lr=0.1, total_steps=9, pct_start=0.3, div_factor=25, three_phase=False
        )
    ),
    dict(lr_config=dict(type="PolyLrUpdaterHook", power=0.9)),
    dict(lr_config=dict(policy="MyPolicy", anything=1)),
    dict(runner=dict(type="IterBasedRunner", max_iters=1), total_iters=5, total_epochs=3),
    dict(runner=dict(type="EpochBasedRunner", max_epochs=1)),
    dict(runner=dict(type="MyRunner", anything=1)),
    dict(
        evaluation=dict(interval=1, metric=["mIoU", "mDice"], pre_eval=True, save_best="auto", rule="greater")
    ),
    dict(
        evaluation=dict(
            start=3, by_epoch=False, gpu_collect=True, out_dir="x", greater_keys=["a"], less_keys=["b"]
        )
    ),
    dict(
        evaluation=dict(
            dynamic_intervals=[(0, 10)], opacity=0.5, efficient_test=False, broadcast_bn_buffer=True
        )
    ),
    dict(
        checkpoint_config=dict(
            by_epoch=False, interval=16000, max_keep_ckpts=3, save_optimizer=True, save_last=True
        )
    ),
    dict(
        checkpoint_config=dict(out_dir="x", filename_tmpl="iter_{}.pth", create_symlink=False, meta=dict(x=1))
    ),
    dict(
        log_config=dict(interval=50, hooks=[dict(type="TextLoggerHook", by_epoch=False, ignore_last=False)])
    ),
    dict(
        log_config=dict(
            hooks=[dict(type="TensorboardLoggerHook", log_dir="x"), dict(type="MyLogger", anything=1)]
        )
    ),
    dict(log_config=dict(hooks=[dict(type="WandbLoggerHook", init_kwargs=dict(project="x"), commit=False)])),
    dict(dist_params=dict(backend="nccl", port=29500), workflow=[("train", 1)]),
    dict(
        workflow=[["train", 500], ["val", 1]], custom_imports=dict(imports=["a"], allow_failed_imports=True)
    ),
    dict(
        optimizer=dict(
            type="SGD", lr=1, paramwise_cfg=dict(custom_keys={"head": dict(lr_mult=10.0, decay_mult=0)})
        )
    ),
    dict(optimizer=dict(paramwise_cfg=dict(bias_lr_mult=2.0, norm_decay_mult=0.0, bypass_duplicate=True))),
    dict(
        optimizer=dict(
            constructor="LearningRateDecayOptimizerConstructor",
            paramwise_cfg=dict(decay_rate=0.9, decay_type="stage_wise", num_layers=6),
        )
    ),
    dict(optimizer=dict(constructor="MyConstructor", paramwise_cfg=dict(anything=1))),
    dict(
        compile=dict(mode="default"),
        channels_last=True,
        deterministic=True,
        seed=0,
        val_interval=9,
        device="cpu",
    ),
    dict(work_dir="x", gpu_ids=[0], auto_resume=True, find_unused_parameters=True, opencv_num_threads=0),
    dict(mp_start_method="fork", cudnn_benchmark=True, customized_log_config=dict(interval=1, hooks=[])),
    dict(
        ema=dict(momentum=0.01, warm_up=100, interval=2, enabled=True),
        frozen_parameters=["backbone"],
        evaluation=dict(val_loss=True, save_best="loss"),
        early_stopping=dict(patience=3),
        profiler_config=dict(with_stack=True),
    ),
    dict(
        crop_size=(1, 2), norm_cfg={}, img_norm_cfg={}, num_classes=19, dataset_type="x", checkpoint_file="x"
    ),
    dict(mode="whole", date="today", bf16=True, gpu_id=1, model2={}, _data=1, eta=3, emb=4, speed=5),
]


@pytest.mark.parametrize("config", ACCEPTED, ids=lambda c: ",".join(c))
def test_what_0_25_accepts_is_known(config: dict[str, Any]) -> None:
    check_config(Config(config))
    check_config(config)
    slip = {**config, "optimzer": 1}
    with pytest.raises(UserError, match="did you mean `optimizer`"):
        check_config(slip)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (dict(data=dict(sampels_per_gpu=2)), "in `data`: `sampels_per_gpu`: did you mean `samples_per_gpu`?"),
        (
            dict(data=dict(train_dataloader=dict(shufle=1))),
            "`data.train_dataloader`: `shufle`: did you mean `shuffle`?",
        ),
        (
            dict(data=dict(val_dataloader=dict(train=1))),
            "unknown key in `data.val_dataloader`: `train`: it is none of",
        ),
        (
            dict(optimizer_config=dict(grad_clip=dict(max_nrom=1))),
            "`optimizer_config.grad_clip`: `max_nrom`: did you mean",
        ),
        (dict(optimizer_config=dict(gradclip={})), "`gradclip`: did you mean `grad_clip`?"),
        (
            dict(optimizer_config=dict(type="OptimizerHook", cumulative_iters=2)),
            "`cumulative_iters`: it is none of",
        ),
        (
            dict(optimizer_config=dict(loss_scale=dict(init_scal=1))),
            "in `optimizer_config.loss_scale`: `init_scal`: did you mean",
        ),
        (dict(fp16=dict(los_scale=1)), "`los_scale`: did you mean `loss_scale`?"),
        (dict(lr_config=dict(policy="poly", pwoer=1)), "`pwoer`: did you mean `power`?"),
        (dict(lr_config=dict(policy="poly", gamma=1)), "unknown key in `lr_config`: `gamma`"),
        (dict(lr_config=dict(policy="step", warmup_iter=1)), "`warmup_iter`: did you mean `warmup_iters`?"),
        (dict(runner=dict(type="IterBasedRunner", max_iter=1)), "`max_iter`: did you mean `max_iters`?"),
        (dict(runner=dict(max_epoch=1)), "`max_epoch`: did you mean `max_epochs`?"),
        (dict(evaluation=dict(metrics="mIoU")), "`metrics`: did you mean `metric`?"),
        (dict(checkpoint_config=dict(max_keep_ckpt=1)), "`max_keep_ckpt`: did you mean `max_keep_ckpts`?"),
        (dict(log_config=dict(intervals=1)), "in `log_config`: `intervals`: did you mean `interval`?"),
        (
            dict(log_config=dict(hooks=[dict(type="TextLoggerHook", by_epochs=1)])),
            "`log_config.hooks.0`: `by_epochs`",
        ),
        (dict(dist_params=dict(backnd=1)), "`backnd`: did you mean `backend`?"),
        (dict(custom_imports=dict(import_=1)), "`import_`: did you mean `imports`?"),
        (
            dict(optimizer=dict(paramwise_cfg=dict(custom_key={}))),
            "`custom_key`: did you mean `custom_keys`?",
        ),
        (
            dict(optimizer=dict(paramwise_cfg=dict(custom_keys=dict(head=dict(lr_mul=1))))),
            "unknown key in `optimizer.paramwise_cfg.custom_keys.head`: `lr_mul`: did you mean `lr_mult`?",
        ),
        (dict(data=3), "`data` must be a dictionary, not 3"),
        (dict(lr_config="poly"), "`lr_config` must be a dictionary, not 'poly'"),
        (dict(evaluation=True), "`evaluation` must be a dictionary, not True"),
        (dict(workflow=[("train", 0)]), "`workflow` is a list like"),
        (dict(workflow="train"), "`workflow` is a list like"),
        (dict(workflow=[]), "`workflow` is a list like"),
        (dict(modle={}), "`modle`: did you mean `model`?"),
        (dict(lr_confg={}), "`lr_confg`: did you mean `lr_config`?"),
        (dict(optimiser={}), "`optimiser`: did you mean `optimizer`?"),
        (dict(load_form="x"), "`load_form`: did you mean `load_from`?"),
        (dict(checkpoint_configs={}), "`checkpoint_configs`: did you mean `checkpoint_config`?"),
    ],
)
def test_slips_are_named(config: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as caught:
        check_config(Config(config))
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_the_file_that_holds_the_slip_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("base.py").write_text("data = dict(sampels_per_gpu=2)\nrunner = dict(max_iters=1)\n")
    Path("child.py").write_text("_base_ = 'base.py'\nrunner = dict(max_itres=1)\n")
    config = Config.fromfile("child.py")
    config.merge_from_dict({"evaluation.intervall": 3})
    with pytest.raises(UserError) as caught:
        check_config(config)
    assert str(caught.value) == (
        "base.py: unknown key in `data`: `sampels_per_gpu`: did you mean `samples_per_gpu`?; "
        "child.py with its overrides: unknown key in `evaluation`: `intervall`: did you mean `interval`?; "
        "child.py: unknown key in `runner`: `max_itres`: did you mean `max_iters`?"
    )


def test_no_slip_between_known_names() -> None:
    assert not any(one_slip(a, b) for a in TOP_LEVEL for b in TOP_LEVEL)
    assert not TOP_LEVEL & VARIABLES
    for name in (*SECTIONS, *VARIANTS):
        assert name.split(".")[0] in TOP_LEVEL
    assert all("by_epoch" in keys and "interval" in keys for keys in LOG_HOOKS.values())


@given(st.sampled_from(sorted(TOP_LEVEL)), st.data())
def test_one_slip_finds_every_kind_of_slip(word: str, data: st.DataObject) -> None:
    i = data.draw(st.integers(0, len(word) - 1))
    letter = data.draw(st.sampled_from("abc_"))
    slips = {
        word[:i] + letter + word[i:],
        word[:i] + word[i + 1 :],
        word[:i] + letter + word[i + 1 :],
        word[:i] + word[i : i + 2][::-1] + word[i + 2 :],
    }
    for slip in slips - {word}:
        assert one_slip(slip, word) and one_slip(word, slip)
    assert not one_slip(word, word)
    assert not one_slip(word, letter + word + letter)
