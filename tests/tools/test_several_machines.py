"""Two launch agents, as on two machines, and what docs/several_machines.md says of them."""

from __future__ import annotations

import os
import re
import shlex
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.helpers_run import REPO, tiny_config, write_config, write_dataset


def free_port() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return str(free.getsockname()[1])


def start(config: Path, gpus: int, *args: object, **variables: str) -> subprocess.Popen:
    """Start ``tools/dist_train.sh`` as one agent."""
    env = {**os.environ, "PYTHON": sys.executable, "OMP_NUM_THREADS": "1", **variables}
    command = ["bash", str(REPO / "tools" / "dist_train.sh"), *map(str, (config, gpus, *args))]
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def finish(*agents: subprocess.Popen) -> None:
    outputs = [agent.communicate(timeout=240)[0] for agent in agents]
    assert [agent.returncode for agent in agents] == [0] * len(agents), outputs[0][-2000:]


def commands() -> list[list[str]]:
    """The commands of the page, in words."""
    page = (REPO / "docs" / "several_machines.md").read_text()
    blocks = re.findall(r"```bash\n(.*?)```", page, re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [shlex.split(line, comments=True) for line in lines if shlex.split(line, comments=True)]


def variables_of(command: list[str]) -> dict[str, str]:
    """The assignments in front of a command."""
    count = next(i for i, word in enumerate(command) if not re.match("[A-Z_]+=", word))
    return dict(word.split("=", 1) for word in command[:count])


@pytest.mark.slow
def test_the_two_commands_of_the_page_train_as_one_agent_with_two_processes(tmp_path):
    root = write_dataset(tmp_path / "data", train=4, val=3)
    config = write_config(tmp_path / "c.py", tiny_config(root, max_iters=2, seed=1))
    finish(start(config, 2, "--work-dir", tmp_path / "one", PORT=free_port()))

    first, second = commands()[:2]
    different = [(a, b) for a, b in zip(first, second, strict=True) if a != b]
    assert different == [("NODE_RANK=0", "NODE_RANK=1")]
    here = {"MASTER_ADDR": "127.0.0.1", "PORT": free_port()}
    agents = [variables_of(command) | here for command in (first, second)]
    assert set(agents[0]) == {"NNODES", "NODE_RANK", "MASTER_ADDR", "PORT"}
    finish(*(start(config, 1, "--work-dir", tmp_path / "two", **agent) for agent in agents))

    one, two = (torch.load(tmp_path / n / "latest.pth", weights_only=True) for n in ("one", "two"))
    assert two["sampler"]["world_size"] == 2 and two["meta"]["iter"] == 2
    assert one["state_dict"].keys() == two["state_dict"].keys()
    for name, value in one["state_dict"].items():
        assert torch.equal(two["state_dict"][name], value), name


def test_every_script_and_config_of_the_page_is_there():
    words = [word for command in commands() for word in command]
    named = {w for w in words if w.startswith(("tools/", "configs/")) and "=" not in w}
    assert {"tools/dist_train.sh", "tools/slurm_train.sh", "tools/slurm_test.sh"} <= named
    assert [w for w in named if not (REPO / w).is_file()] == []


def test_every_variable_of_the_page_is_one_that_the_scripts_read():
    known = "".join(path.read_text() for path in (REPO / "tools").glob("*.sh"))
    torch_reads = {"NCCL_SOCKET_IFNAME", "GLOO_SOCKET_IFNAME", "NCCL_DEBUG", "NCCL_IB_DISABLE"}
    for command in commands():
        for name in variables_of(command):
            assert name in torch_reads or f"${{{name}:-" in known, name
