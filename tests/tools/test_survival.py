"""Runs of two processes that are killed, stopped and asked to leave, on one machine and on two."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from tests.helpers_survival import Run, end_all_runs, free_port, survivor_config, weights_of
from tests.helpers_train import same

MAX_ITERS = 60


@pytest.fixture(autouse=True)
def nothing_is_left():
    yield
    end_all_runs()


@pytest.fixture(scope="module")
def config(tmp_path_factory) -> Path:
    return survivor_config(tmp_path_factory.mktemp("config"), MAX_ITERS)


@pytest.fixture(scope="module")
def undisturbed(config, tmp_path_factory) -> dict:
    """The weights at the end of a run that nothing happened to."""
    work_dir = tmp_path_factory.mktemp("undisturbed") / "run"
    run = Run(config, 2, work_dir)
    assert run.ended() == 0, run.output()[-3000:]
    return weights_of(work_dir)


@pytest.mark.slow
def test_a_killed_rank_makes_the_group_start_again_and_end_the_same(config, undisturbed, tmp_path):
    run = Run(config, 2, tmp_path / "run")
    run.wait_for_log(r"saved \S+iter_25\.pth")
    os.kill(run.heartbeat(1)["pid"], signal.SIGKILL)
    assert run.ended() == 0, run.output()[-3000:]
    text = run.output()
    assert "rank 1 was ended by SIGKILL; all ranks start again, restart 1 of 3" in text
    assert re.search(r"resumed from \S+ at iteration (2[5-9]|[345]\d)", text)
    assert "Traceback" not in text
    assert same(weights_of(tmp_path / "run"), undisturbed)


@pytest.mark.slow
def test_without_restarts_a_killed_rank_ends_the_run_with_its_signal(config, tmp_path):
    run = Run(config, 2, tmp_path / "run", MAX_RESTARTS=0)
    run.wait_for_log(r"saved \S+iter_5\.pth")
    os.kill(run.heartbeat(1)["pid"], signal.SIGKILL)
    assert run.ended() == 128 + 9
    assert "rank 1 was ended by SIGKILL" in run.output() and "Traceback" not in run.output()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["SIGTERM", "SIGUSR1"])
def test_a_signal_to_the_launcher_saves_leaves_with_75_and_resumes(config, undisturbed, tmp_path, name):
    run = Run(config, 2, tmp_path / "run")
    run.wait_for_log(r"saved \S+iter_10\.pth")
    run.agent.send_signal(getattr(signal, name))
    assert run.ended() == 75, run.output()[-3000:]
    assert "all ranks start again" not in run.output() and "Traceback" not in run.output()
    stopped = int(re.search(rf"{name}: stopped after iteration (\d+)", run.output())[1])
    assert weights_of(tmp_path / "run")["meta"] == stopped < MAX_ITERS
    again = Run(config, 2, tmp_path / "run")
    assert again.ended() == 0, again.output()[-3000:]
    assert f"at iteration {stopped}" in again.output()
    assert same(weights_of(tmp_path / "run"), undisturbed)


@pytest.mark.slow
def test_a_signal_to_one_rank_stops_all_of_them(config, tmp_path):
    run = Run(config, 2, tmp_path / "run")
    run.wait_for_log(r"saved \S+iter_5\.pth")
    os.kill(run.heartbeat(1)["pid"], signal.SIGUSR1)
    assert run.ended() == 75, run.output()[-3000:]


@pytest.mark.slow
def test_a_stopped_rank_is_reported_with_its_stack_and_the_job_ends(tmp_path):
    # Rank 1 is within a line of the user's own when it is stopped, as in code that never returns.
    hook = dict(type="Sleep", seconds={"12": 1.5}, rank=1)
    config = survivor_config(tmp_path, 2000, dist_params=dict(timeout=10), custom_hooks=[hook])
    run = Run(config, 2, tmp_path / "run", MAX_RESTARTS=0)

    def sleeps():
        return run.heartbeat(1)["stack"][-1][2] == "before_iter"

    run.wait_for(sleeps, "sleep of rank 1")
    stopped = run.heartbeat(1)["pid"]
    os.kill(stopped, signal.SIGSTOP)
    assert run.ended() == 76, run.output()[-3000:]
    text = run.output()
    assert "error: rank 1 has given no sign of life for" in text and "held up by rank 1" in text
    assert re.search(r"rank 1 \(.*helpers_hooks\.py:\d+ in before_iter: .*sleep", text)
    assert re.search(r"rank 0 \(.*trainer\.py:\d+ in ", text)
    assert text.count("error: ") == 1 and "Traceback" not in text
    assert "before_iter" in (tmp_path / "run" / "stalled.txt").read_text()
    assert not Path(f"/proc/{stopped}").exists()


@pytest.mark.slow
def test_endless_code_of_a_user_is_reported_and_a_slow_start_is_not(tmp_path):
    hook = dict(type="Sleep", seconds={"0": 9.0, "14": 600.0}, rank=1)
    config = survivor_config(tmp_path, 2000, dist_params=dict(timeout=4), custom_hooks=[hook])
    run = Run(config, 2, tmp_path / "run", MAX_RESTARTS=0)
    assert run.ended() == 76, run.output()[-3000:]
    text = run.output()
    assert re.search(r"saved \S+iter_10\.pth", text), "the slow first iteration tripped it"
    assert "error: no rank has gone on for" in text and "held up by rank 1" in text
    assert re.search(r"rank 1 \(.*: training 14, in \S*helpers_hooks\.py:\d+ in before_iter", text)


@pytest.mark.slow
@pytest.mark.parametrize("killed", [0, 1])
def test_two_agents_start_again_together_when_a_worker_of_one_is_killed(
    config, undisturbed, tmp_path, killed
):
    port = free_port()
    agents = [
        Run(config, 1, tmp_path / "run", NNODES=2, NODE_RANK=i, MASTER_ADDR="127.0.0.1", PORT=port)
        for i in range(2)
    ]
    agents[0].wait_for(lambda: any("iter_15.pth" in a.output() for a in agents), "iter_15.pth")
    os.kill(agents[0].heartbeat(killed)["pid"], signal.SIGKILL)
    assert [agent.ended() for agent in agents] == [0, 0], "\n".join(a.output()[-2000:] for a in agents)
    assert "was ended by SIGKILL; all ranks start again" in "".join(a.output() for a in agents)
    assert same(weights_of(tmp_path / "run"), undisturbed)


def network_namespaces() -> bool:
    """Whether this machine lets us make two networks with a cable between them."""
    if shutil.which("ip") is None or os.geteuid() != 0:
        return False
    name = f"mmseg{os.getpid()}"
    if subprocess.run(["ip", "netns", "add", name], capture_output=True).returncode:
        return False
    lines = (f"link add {name}v type veth peer name {name}w", f"link del {name}v", f"netns del {name}")
    results = [subprocess.run(["ip", *line.split()], capture_output=True).returncode for line in lines]
    return not any(results)


@pytest.fixture
def two_networks():
    """Two network namespaces, as two machines: their names, and the address of the first."""
    names = [f"mmseg{os.getpid()}{side}" for side in "ab"]

    def ip(line: str) -> None:
        subprocess.run(["ip", *line.split()], check=True, capture_output=True)

    try:
        for name in names:
            ip(f"netns add {name}")
        ip(f"link add v{names[0]} netns {names[0]} type veth peer name v{names[1]} netns {names[1]}")
        for number, name in enumerate(names, 1):
            ip(f"-n {name} addr add 10.77.0.{number}/24 dev v{name}")
            ip(f"-n {name} link set v{name} up")
            ip(f"-n {name} link set lo up")
        yield names, "10.77.0.1"
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], capture_output=True)


if network_namespaces():  # elsewhere there is nothing to test: the loopback does the rest

    @pytest.mark.slow
    def test_two_networks_train_and_start_again_as_one_machine(config, undisturbed, tmp_path, two_networks):
        names, address = two_networks
        agents = [
            Run(
                config,
                1,
                tmp_path / "run",
                prefix=("ip", "netns", "exec", name),
                NNODES=2,
                NODE_RANK=i,
                MASTER_ADDR=address,
                PORT=29500,
                GLOO_SOCKET_IFNAME=f"v{name}",
            )
            for i, name in enumerate(names)
        ]
        agents[0].wait_for(lambda: any("iter_15.pth" in a.output() for a in agents), "iter_15.pth")
        os.kill(agents[0].heartbeat(1)["pid"], signal.SIGKILL)
        assert [a.ended() for a in agents] == [0, 0], "\n".join(a.output()[-2000:] for a in agents)
        assert same(weights_of(tmp_path / "run"), undisturbed)
