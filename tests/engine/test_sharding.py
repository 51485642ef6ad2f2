"""A model spread over the ranks trains, saves and resumes as one that is not."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import nn

import tests.helpers_hooks  # noqa: F401  whose hooks configs name
from mmseg.apis import inference_segmentor, init_segmentor
from mmseg.engine.optimizer import build_optimizer, load_optimizer_state
from mmseg.engine.sharding import Sharding, blocks_of, full, gather_shards, is_sharded, sharding_from
from mmseg.models import build_backbone, build_segmentor
from mmseg.utils.checkpoint import load_into
from mmseg.utils.errors import UserError
from tests.helpers_models import fcn_head, tiny_segformer
from tests.helpers_run import run_tool_here, tiny_config, tiny_model, write_config, write_dataset
from tests.helpers_sharding import losses_of, run_jobs, train_job
from tests.helpers_train import records, same
from tests.tools.test_dist_train import shell

CPU = torch.device("cpu")
ADAMW = dict(
    type="AdamW",
    lr=2e-4,
    eps=1e-4,  # or rounding errors of gradients that should be zero make steps as large as any
    weight_decay=0.01,
    paramwise_cfg=dict(custom_keys={"norm": dict(decay_mult=0.0), "head": dict(lr_mult=10.0)}),
)


@pytest.fixture
def group():
    """A process group of one rank."""
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def steady_model(**backbone: Any) -> dict[str, Any]:
    """A model without chance."""
    model = tiny_model(dropout_ratio=0.0)
    model["backbone"] |= {"drop_path_rate": 0.0, **backbone}
    return model


def steady_config(root: Path, strategy: str | None = "fsdp", **sections: Any) -> dict[str, Any]:
    """Ten iterations with clipping, two evaluations among them."""
    settings = dict(
        max_iters=10,
        model=steady_model(),
        optimizer=ADAMW,
        optimizer_config=dict(grad_clip=dict(max_norm=0.5)),
        evaluation=dict(interval=5, metric="mIoU"),
        dist_params=dict(strategy=strategy, min_params=500),
    )
    return tiny_config(root, **{**settings, **sections})


def frozen_norms(config: dict[str, Any], batch: int) -> dict[str, Any]:
    """``config`` with batch norms that do not see the batch, of ``batch`` images on each rank."""
    config["custom_hooks"] = [dict(type="FreezeNorm")]
    config["data"]["samples_per_gpu"] = batch
    return config


def read(work_dir: Path, name: str = "latest.pth") -> dict[str, Any]:
    return torch.load(work_dir / name, weights_only=True)


def assert_close(ours: Any, theirs: Any, atol: float = 1e-5) -> None:
    """Nested structures of tensors and values, equal but for rounding."""
    if isinstance(theirs, torch.Tensor):
        torch.testing.assert_close(ours, theirs, atol=atol, rtol=1e-5)
    elif isinstance(theirs, dict):
        assert list(ours) == list(theirs)
        for key in theirs:
            assert_close(ours[key], theirs[key], atol)
    elif isinstance(theirs, list | tuple):
        assert len(ours) == len(theirs)
        for a, b in zip(ours, theirs, strict=True):
            assert_close(a, b, atol)
    else:
        assert ours == theirs


# What is gathered on its own ---------------------------------------------------------------------


def test_blocks_are_those_of_transformers():
    model = build_segmentor(tiny_segformer())
    layers = [block for _, blocks, _ in model.backbone.layers for block in blocks]
    embeddings = [embed for embed, _, _ in model.backbone.layers]
    found = blocks_of(model.backbone, 500)
    assert [block for block in found if block not in embeddings] == layers
    assert blocks_of(model.backbone, 10**9) == []


def test_blocks_are_those_of_resnet_and_swin():
    resnet = build_backbone(dict(type="ResNetV1c", depth=50))
    blocks = [block for name in resnet.res_layers for block in getattr(resnet, name)]
    large = [b for b in blocks if sum(p.numel() for p in b.parameters()) >= 200_000]
    assert blocks_of(resnet, 200_000) == large and len(large) == 13
    swin = build_backbone(
        dict(type="SwinTransformer", embed_dims=16, depths=[2, 2, 2, 2], num_heads=[1, 2, 4, 8])
    )
    inner = [block for stage in swin.stages for block in stage.blocks]
    assert [b for b in blocks_of(swin, 1000) if type(b) is type(inner[0])] == inner


def test_a_block_that_shares_a_weight_is_none():
    def block() -> nn.Module:
        return nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4))

    stack = nn.ModuleList([block(), block(), block()])
    assert blocks_of(stack, 1) == list(stack)
    stack[2][0].weight = stack[1][0].weight
    assert blocks_of(stack, 1) == [stack[0]]


# Settings ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("params", "others", "words"),
    [
        (dict(strategy="fspd"), {}, "unknown strategy 'fspd'; did you mean `fsdp`?"),
        (dict(strategy="fsdp", min_params=0), {}, "positive number of parameters, not 0"),
        (dict(strategy="fsdp", min_params=True), {}, "positive number of parameters, not True"),
        (dict(strategy="fsdp"), dict(compile=True), "does not go together with `compile`"),
        (dict(strategy="fsdp"), dict(optimizer=dict(type="SGD", fused=True)), "SGD has no fused form"),
    ],
)
def test_bad_settings_are_named(group, params, others, words):
    with pytest.raises(UserError) as caught:
        sharding_from(dict(dist_params=params, **others), CPU)
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_settings_that_go_together(group):
    assert sharding_from({}, CPU) is None
    assert sharding_from(dict(dist_params=dict(strategy="ddp", min_params=3)), CPU) is None
    assert (
        sharding_from(dict(dist_params=dict(strategy="fsdp", min_params=3), compile=False), CPU).min_params
        == 3
    )
    with pytest.raises(UserError, match="the device is mps"):
        sharding_from(dict(dist_params=dict(strategy="fsdp")), torch.device("mps"))


def test_a_single_process_is_told_how_to_start(tmp_path, monkeypatch, capsys):
    config = steady_config(write_dataset(tmp_path / "data", train=2, val=1))
    path = write_config(tmp_path / "c.py", config)
    with pytest.raises(SystemExit) as caught:
        run_tool_here("train", path, "--work-dir", tmp_path / "run", monkeypatch=monkeypatch)
    assert caught.value.code == 2
    assert "start with `bash tools/dist_train.sh CONFIG GPUS`" in capsys.readouterr().err


def test_what_cannot_be_split_is_named(group):
    model = nn.Linear(2, 2)
    model.scale = nn.Parameter(torch.ones(()))
    with pytest.raises(UserError, match=r"cannot split the parameter scale, .* shape \(1,\)"):
        Sharding().place(model, CPU)
    distiller = nn.Linear(2, 2)
    distiller.training_state = dict
    with pytest.raises(UserError, match="cannot train a Linear"):
        Sharding().place(distiller, CPU)


# One rank ----------------------------------------------------------------------------------------


def test_names_weights_and_groups_are_those_of_one_device(group):
    alone = build_segmentor(steady_model())
    alone.init_weights()
    before = copy.deepcopy(alone.state_dict())
    model = Sharding(500).place(copy.deepcopy(alone), CPU)
    assert all(map(is_sharded, model.parameters()))
    assert same(gather_shards(dict(model.state_dict())), dict(before))
    groups = [build_optimizer(m, ADAMW).state_dict()["param_groups"] for m in (model, alone)]
    assert groups[0] == groups[1]

    other = {name: torch.randn_like(v) if v.is_floating_point() else v for name, v in before.items()}
    load_into(model, other, purpose="resume", source="memory")
    assert same(gather_shards(dict(model.state_dict())), other)
    with pytest.raises(UserError):
        bad = {**other, "decode_head.conv_seg.weight": torch.zeros(3, 5, 1, 1)}
        load_into(model, bad, purpose="resume", source="memory")


@pytest.mark.parametrize(
    "kind",
    ["Adadelta", "Adagrad", "Adam", "Adamax", "AdamW", "ASGD", "NAdam", "RAdam", "RMSprop", "Rprop", "SGD"],
)
def test_every_optimizer_steps_and_resumes_on_slices(group, kind):
    torch.manual_seed(0)
    alone = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    models = [alone, Sharding().place(copy.deepcopy(alone), CPU)]
    optimizers = [build_optimizer(model, dict(type=kind, lr=0.01)) for model in models]

    def step() -> None:
        inputs = torch.randn(5, 3)
        for model, optimizer in zip(models, optimizers, strict=True):
            model(inputs).pow(2).mean().backward()
            optimizer.step()
            optimizer.zero_grad()

    step()
    saved = [gather_shards(optimizer.state_dict()) for optimizer in optimizers]
    assert_close(saved[1]["state"], saved[0]["state"], atol=1e-7)
    for i, model in enumerate(models):  # each goes on from the state of the other
        optimizers[i] = build_optimizer(model, dict(type=kind, lr=0.01))
        load_optimizer_state(optimizers[i], saved[1 - i], model)
    step()
    for ours, theirs in zip(models[1].parameters(), models[0].parameters(), strict=True):
        torch.testing.assert_close(full(ours), theirs, atol=1e-7, rtol=1e-5)


def test_weights_are_whole_within_an_evaluation_and_up_to_date_after_it(group):
    model = build_segmentor(steady_model()).eval()
    sharding = Sharding(500)
    sharding.place(model, CPU)
    image, meta = torch.randn(1, 3, 32, 32), [dict(ori_shape=(32, 32, 3), img_shape=(32, 32, 3), flip=False)]

    def logits() -> torch.Tensor:
        with sharding.whole(model), torch.inference_mode():
            assert not any(map(is_sharded, model.parameters()))
            model.predict(image, meta)
            return model.encode_decode(image).clone()

    first = logits()
    assert all(map(is_sharded, model.parameters()))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(0.5)
    second = logits()
    assert not torch.allclose(first, second)
    losses = model(image, meta, gt_semantic_seg=torch.zeros(1, 1, 32, 32, dtype=torch.long))
    model.parse_losses(losses)[0].backward()
    assert all(is_sharded(p.grad) for p in model.parameters() if p.grad is not None)


# Two ranks ---------------------------------------------------------------------------------------


def test_two_ranks_go_the_way_of_one_process_and_their_file_loads_anywhere(tmp_path):
    root = write_dataset(tmp_path / "data", train=8, val=3)
    alone = dict(
        config=frozen_norms(steady_config(root, None), 4), work_dir=tmp_path / "alone", validate=True
    )
    sharded = frozen_norms(steady_config(root), 2)
    job = dict(name="fsdp", config=sharded, work_dir=str(tmp_path / "fsdp"), validate=True)
    run_jobs([job], tmp_path)
    train_job(alone)
    ours, theirs = tmp_path / "fsdp", tmp_path / "alone"
    assert len(losses_of(ours)) == 10
    assert losses_of(ours) == pytest.approx(losses_of(theirs), abs=1e-5)
    scores = [[record["mIoU"] for record in records(d, "val")] for d in (ours, theirs)]
    assert len(scores[0]) == 2 and scores[0] == pytest.approx(scores[1], abs=2e-3)
    files = [read(d) for d in (ours, theirs)]
    assert files[0]["optimizer"]["param_groups"] == files[1]["optimizer"]["param_groups"]
    assert_close(files[0]["state_dict"], files[1]["state_dict"], atol=1e-4)

    model = init_segmentor(write_config(tmp_path / "c.py", sharded), str(ours / "latest.pth"), device="cpu")
    assert same(dict(model.state_dict()), files[0]["state_dict"])
    label = inference_segmentor(model, str(root / "img_dir" / "val" / "000.png"))[0]
    assert label.shape == (48, 64)


def resnet_model() -> dict[str, Any]:
    norm = dict(type="SyncBN", requires_grad=True)
    return dict(
        type="EncoderDecoder",
        backbone=dict(type="ResNetV1c", depth=18, base_channels=8, norm_cfg=norm),
        decode_head=fcn_head(
            in_channels=64,
            in_index=3,
            num_classes=3,
            loss_decode=dict(type="CrossEntropyLoss"),
            dropout_ratio=0.0,
        ),
        auxiliary_head=fcn_head(in_channels=32, num_classes=3, dropout_ratio=0.0),
        test_cfg=dict(mode="slide", crop_size=(32, 32), stride=(16, 16)),
    )


SCENARIOS: dict[str, dict[str, Any]] = {
    "adamw": {},
    "sgd": dict(optimizer=dict(type="SGD", lr=0.01, momentum=0.9)),
    "ema": dict(ema=dict(momentum=0.1)),
    "accumulation": dict(optimizer_config=dict(grad_clip=dict(max_norm=0.5), cumulative_iters=3)),
    "bfloat16": dict(fp16=dict(dtype="bfloat16")),
    "float16": dict(fp16=dict(dtype="float16", loss_scale="dynamic")),
    "frozen": dict(frozen_parameters=["backbone.layers.0", ".*norm1"]),
    "with_cp": dict(model=steady_model(with_cp=True)),
    "resnet": dict(model=resnet_model(), optimizer=dict(type="SGD", lr=0.001, momentum=0.9)),
    "val_loss": dict(evaluation=dict(interval=5, metric="mIoU", val_loss=True, save_best="mIoU")),
}
# First four iterations under the one, the rest under the other.
CHANGES = {"fsdp_fsdp": ("fsdp", "fsdp"), "fsdp_ddp": ("fsdp", "ddp"), "ddp_fsdp": ("ddp", "fsdp")}
RESUMED = ("adamw", "ema", "accumulation")


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    """Every scenario under DDP and FSDP, and some of them left after four iterations and resumed."""
    folder = tmp_path_factory.mktemp("runs")
    root = write_dataset(folder / "data", train=10, val=5)
    jobs = []
    for name, sections in SCENARIOS.items():
        for strategy in ("ddp", "fsdp"):
            work_dir = folder / name / strategy
            config = steady_config(root, strategy, **sections)
            jobs.append(dict(name=f"{name} {strategy}", config=config, work_dir=str(work_dir), validate=True))
    for name in RESUMED:
        for change, (first, second) in CHANGES.items():
            work_dir = folder / name / change
            before = steady_config(root, first, **SCENARIOS[name])
            after = steady_config(root, second, **SCENARIOS[name])
            after["resume_from"] = str(work_dir / "before" / "latest.pth")
            start = dict(config=before, work_dir=str(work_dir / "before"), stop_after=4, validate=True)
            goes_on = dict(config=after, work_dir=str(work_dir), validate=True)
            jobs += [dict(name=f"{name} {change} {part}", **job) for part, job in enumerate((start, goes_on))]
    run_jobs(jobs, folder)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", SCENARIOS)
def test_fsdp_goes_the_way_of_ddp(runs, name):
    ours, theirs = runs / name / "fsdp", runs / name / "ddp"
    assert len(losses_of(ours)) == 10 and losses_of(ours)[0] != losses_of(ours)[-1]
    assert losses_of(ours) == pytest.approx(losses_of(theirs), abs=1e-5)
    files = [read(d) for d in (ours, theirs)]
    assert_close(files[0]["state_dict"], files[1]["state_dict"], atol=1e-4)
    assert_close(files[0]["ema"], files[1]["ema"], atol=1e-4)
    assert files[0]["optimizer"]["state"].keys() == files[1]["optimizer"]["state"].keys()
    scores = [[record["mIoU"] for record in records(d, "val")] for d in (ours, theirs)]
    assert len(scores[0]) == 2 and scores[0] == pytest.approx(scores[1], abs=2e-3)
    if name == "val_loss":
        values = [[record["decode.loss_ce"] for record in records(d, "val")] for d in (ours, theirs)]
        assert values[0] == pytest.approx(values[1], abs=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", RESUMED)
def test_a_resumed_run_ends_as_an_undisturbed_one(runs, name):
    ours, theirs = read(runs / name / "fsdp_fsdp"), read(runs / name / "fsdp")
    for key in ("state_dict", "optimizer", "ema", "best", "schedule"):
        assert same(ours[key], theirs[key]), key


@pytest.mark.slow
@pytest.mark.parametrize("change", ["fsdp_ddp", "ddp_fsdp"])
@pytest.mark.parametrize("name", RESUMED)
def test_a_run_goes_on_under_the_other_strategy(runs, name, change):
    whole = losses_of(runs / name / "ddp")
    parts = losses_of(runs / name / change / "before") + losses_of(runs / name / change)
    assert parts == pytest.approx(whole, abs=1e-5)
    ours, theirs = read(runs / name / change), read(runs / name / "ddp")
    assert_close(ours["state_dict"], theirs["state_dict"], atol=1e-4)


@pytest.mark.slow
def test_a_run_goes_on_in_one_process(runs, tmp_path):
    """From a sharded file and from one of DDP: to the same losses."""
    root = runs / "data"
    for name in ("fsdp_fsdp", "ddp_fsdp"):
        config = steady_config(root, None, resume_from=str(runs / "adamw" / name / "before" / "latest.pth"))
        train_job(dict(config=config, work_dir=tmp_path / name, validate=True))
    ours, theirs = losses_of(tmp_path / "fsdp_fsdp"), losses_of(tmp_path / "ddp_fsdp")
    assert len(ours) == 6 and ours == pytest.approx(theirs, abs=1e-5)


@pytest.mark.slow
def test_the_tools_train_resume_and_test(tmp_path, monkeypatch):
    root = write_dataset(tmp_path / "data", train=8, val=3)
    evaluation = dict(interval=2, metric="mIoU", save_best="mIoU")
    config = steady_config(root, evaluation=evaluation, lr_config=dict(policy="fixed"))
    path = write_config(tmp_path / "c.py", config)
    run, whole = tmp_path / "run", tmp_path / "whole"
    args = ("--seed", 1, "--auto-resume", "--cfg-options")
    for work_dir, iters in ((run, 4), (run, 10), (whole, 10)):
        options = (*args, f"runner.max_iters={iters}")
        done = shell("dist_train.sh", path, 2, "--work-dir", work_dir, *options)
        assert done.returncode == 0, done.stderr[-2000:]
    assert "resumed from" in done.stdout + "".join(p.read_text() for p in run.glob("*.log"))
    assert same(read(run)["state_dict"], read(whole)["state_dict"])
    out = tmp_path / "scores"
    run_tool_here(
        "test", path, run / "latest.pth", "--eval", "mIoU", "--work-dir", out, monkeypatch=monkeypatch
    )
    (scores,) = out.glob("eval_single_scale_*.json")
    mean = json.loads(scores.read_text())["metric"]["mIoU"]
    assert mean == pytest.approx(records_of_last(run), abs=1e-4)


def records_of_last(work_dir: Path) -> float:
    """The last score of a run that was resumed."""
    lines = [line for path in sorted(work_dir.glob("*.log.json")) for line in path.read_text().splitlines()]
    return [r for r in map(json.loads, lines) if r.get("mode") == "val"][-1]["mIoU"]
