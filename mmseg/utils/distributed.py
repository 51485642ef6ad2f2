"""Rank, world size and device: the few questions that the rest asks about where it runs."""

from __future__ import annotations

import contextlib
import ctypes
import datetime
import os
import re
import signal
import sys

import torch
import torch.distributed as dist
from torch.distributed.rendezvous import rendezvous

from mmseg.utils.errors import UserError


def get_rank() -> int:
    """Rank of this process; 0 outside distributed runs."""
    return dist.get_rank() if dist.is_available() and dist.is_initialized() else 0


def get_world_size() -> int:
    """Number of processes; 1 outside distributed runs."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def get_device(gpu_id: int | None = None) -> torch.device:
    """The best device at hand: cuda, then mps, then cpu.

    Args:
        gpu_id: The CUDA device to use; by default this process's ``LOCAL_RANK``.
    """
    if torch.cuda.is_available():
        if gpu_id is None:  # a task that sees one GPU only, whatever its rank, calls it 0
            gpu_id = int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count()
        return torch.device("cuda", gpu_id)
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def named_device(name: str | None) -> torch.device:
    """The device that a command line names, or the best one at hand.

    Raises:
        UserError: there is no such device here.
    """
    if name is None:
        return get_device(0)
    try:
        return torch.zeros(1, device=name).device
    except Exception as error:  # torch raises of several kinds, with pages of text
        reason = str(error).splitlines()[0]
        raise UserError(f"--device {name} cannot be used: {reason}; `cpu` is always there") from None


def barrier() -> None:
    """Wait for every rank; nothing outside distributed runs."""
    if get_world_size() > 1:
        dist.barrier()


def init_dist(
    launcher: str,
    backend: str | None = None,
    timeout_s: float | None = None,
    join_timeout_s: float | None = None,
) -> None:
    """Join the process group that ``launcher`` (``pytorch``, ``slurm``, ``mpi``) describes.

    Args:
        launcher: Which environment variables hold rank and world size. torchrun sets its own;
            those of Slurm and MPI are translated.
        backend: ``nccl``, ``gloo``, ...; where there is no GPU, gloo whatever is asked for.
        timeout_s: Seconds after which a collective operation gives up; torch's default if None.
        join_timeout_s: Seconds to wait for the others at the start; ``timeout_s`` if None.

    Raises:
        UserError: the variables are missing, or the others cannot be reached.
    """
    if launcher == "slurm":
        _translate(
            {"RANK": "SLURM_PROCID", "WORLD_SIZE": "SLURM_NTASKS", "LOCAL_RANK": "SLURM_LOCALID"}, launcher
        )
        os.environ.setdefault("MASTER_ADDR", _first_slurm_host(os.environ.get("SLURM_NODELIST", "127.0.0.1")))
    elif launcher == "mpi":
        names = {
            "RANK": "COMM_WORLD_RANK",
            "WORLD_SIZE": "COMM_WORLD_SIZE",
            "LOCAL_RANK": "COMM_WORLD_LOCAL_RANK",
        }
        _translate({k: f"OMPI_{v}" for k, v in names.items()}, launcher)
        os.environ.setdefault("MASTER_ADDR", "127.0.0.1")
    elif launcher == "pytorch":
        end_with_launcher()
    else:
        raise UserError(f"--launcher: unknown launcher `{launcher}` (known: none, pytorch, slurm, mpi)")
    os.environ.setdefault("MASTER_PORT", os.environ.get("PORT", "29500"))
    missing = [k for k in ("RANK", "WORLD_SIZE", "MASTER_ADDR") if k not in os.environ]
    if missing:
        raise UserError(
            f"--launcher {launcher}: {', '.join(missing)} not set; "
            "start with `bash tools/dist_train.sh CONFIG GPUS`"
        )
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())
    else:
        backend = "gloo"
    timeout = {} if timeout_s is None else {"timeout": datetime.timedelta(seconds=timeout_s)}
    join_timeout_s = join_timeout_s or timeout_s
    joining = {} if join_timeout_s is None else {"timeout": datetime.timedelta(seconds=join_timeout_s)}
    try:
        store, rank, world_size = next(rendezvous("env://", **joining))
    except RuntimeError as error:  # torch's own errors of networks are among them
        reason = str(error).strip().partition("\n")[0][:200]
        raise UserError(
            f"cannot meet the other processes at {os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}: "
            f"{reason}; see `Network` in docs/several_machines.md, or set PORT if another run has it"
        ) from None
    dist.init_process_group(backend or "nccl", store=store, rank=rank, world_size=world_size, **timeout)


def end_with_launcher() -> None:
    """Ask the system (Linux) for a SIGTERM when the launcher ends, so that no rank is left without it."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG


def is_lost_rank(error: BaseException) -> bool:
    """Whether ``error`` says that another rank cannot be reached any more."""
    text = str(error)
    kinds = tuple(getattr(dist, n) for n in ("DistNetworkError", "DistBackendError") if hasattr(dist, n))
    # gloo raises plain RuntimeErrors
    signs = ("closed by peer", "reset by peer", "Broken pipe", "remote process exited", "Connection refused")
    return isinstance(error, kinds) or any(sign in text for sign in signs)


def _translate(names: dict[str, str], launcher: str) -> None:
    for ours, theirs in names.items():
        if theirs not in os.environ:
            raise UserError(
                f"--launcher {launcher}: {theirs} is not set; is this process started by {launcher}?"
            )
        os.environ[ours] = os.environ[theirs]


def _first_slurm_host(nodes: str) -> str:
    """``node[03-05,9]`` -> ``node03``: the machine of rank 0 in Slurm's short notation."""
    head, _, rest = nodes.partition("[")
    if not rest:
        return nodes.split(",")[0]
    if "," in head:
        return head.split(",")[0]
    return head + re.split(r"[-,\]]", rest)[0]
