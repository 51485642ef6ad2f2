"""The profiler by config."""

from __future__ import annotations

import json

import pytest

from mmseg.utils.errors import UserError
from tests.helpers_run import tiny_config, write_dataset
from tests.helpers_train import log_lines, new_trainer, same, train


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("stripes"))


def optimizer_steps(path):
    """How many optimizer steps a Chrome trace shows."""
    events = json.loads(path.read_text())["traceEvents"]
    return sum(
        str(event.get("name", "")).startswith("Optimizer.step") and event.get("ph") == "X" for event in events
    )


def test_a_chrome_trace_and_a_table(root, tmp_path):
    plain = train(tiny_config(root), tmp_path / "plain")
    section = dict(
        schedule=dict(wait=1, warmup=1, active=2), on_trace_ready=dict(type="log_trace", row_limit=5)
    )
    with log_lines() as lines:
        profiled = train(tiny_config(root, profiler_config=section), tmp_path / "run")
    trace = tmp_path / "run" / "profile" / "trace.json"
    assert optimizer_steps(trace) == 2
    (table,) = [line for line in lines if "trace is in" in line]
    assert str(trace) in table and "by self_cpu_time_total" in table and "Self CPU" in table
    assert same(plain.model.state_dict(), profiled.model.state_dict())


def test_defaults(root, tmp_path):
    train(tiny_config(root, profiler_config=True), tmp_path)
    assert optimizer_steps(tmp_path / "profile" / "trace.json") == 3


def test_repeated_recordings_have_a_file_each(root, tmp_path):
    section = dict(schedule=dict(wait=0, warmup=1, active=1, repeat=2))
    train(tiny_config(root, profiler_config=section), tmp_path)
    assert sorted(p.name for p in (tmp_path / "profile").iterdir()) == ["trace.json", "trace_2.json"]


def test_mmcvs_hook_and_its_settings(root, tmp_path):
    """All of the first iterations, a file of one's own, tensorboard's files beside it."""
    hook = dict(
        type="ProfilerHook",
        by_epoch=False,
        profile_iters=4,
        activities=["cpu"],
        on_trace_ready=dict(type="tb_trace", dir_name=str(tmp_path / "board")),
        json_trace_path=str(tmp_path / "own.json"),
    )
    train(tiny_config(root, custom_hooks=[hook]), tmp_path / "run")
    assert optimizer_steps(tmp_path / "own.json") == 4
    assert len(list((tmp_path / "board").glob("*.pt.trace.json"))) == 1


def test_a_function_takes_over(root, tmp_path):
    seen = []
    section = dict(profile_iters=2, on_trace_ready=lambda profile: seen.append(len(profile.events())))
    train(tiny_config(root), tmp_path, profiler_config=section)
    assert len(seen) == 1 and seen[0] > 100 and not (tmp_path / "profile").exists()


def test_by_epoch(root, tmp_path):
    train(tiny_config(root, max_iters=7, profiler_config=dict(by_epoch=True, profile_iters=1)), tmp_path)
    assert optimizer_steps(tmp_path / "profile" / "trace.json") == 5


def test_a_run_shorter_than_the_schedule_writes_what_it_has(root, tmp_path):
    section = dict(schedule=dict(wait=0, warmup=1, active=20))
    train(tiny_config(root, max_iters=4, profiler_config=section), tmp_path)
    assert optimizer_steps(tmp_path / "profile" / "trace.json") == 3


@pytest.mark.parametrize(
    ("section", "words"),
    [
        (dict(schedule=dict(wiat=1)), "did you mean `wait`"),
        (dict(schedule=dict(active=0)), "active must be a number of steps, not 0"),
        (dict(profile_iters=0), "positive integer, not 0"),
        (dict(activities=["gpu"]), "neither 'cpu' nor 'cuda'"),
        (dict(on_trace_ready=dict(type="log")), "'log_trace' or 'tb_trace'"),
        (dict(on_trace_ready=dict(type="log_trace", rows=3)), "takes no `rows`"),
        (dict(with_stacks=True), "did you mean `with_stack`"),
    ],
)
def test_mistakes_are_named(root, tmp_path, section, words):
    with pytest.raises(UserError, match=words):
        new_trainer(tiny_config(root, profiler_config=section), tmp_path)
