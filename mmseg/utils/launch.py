"""torchrun, ending as its workers do: ``python -m mmseg.utils.launch`` takes torchrun's arguments.

What differs from torchrun itself:

* The workers' own message stays the last word, and their exit status becomes that of the whole command.
* SIGTERM, SIGUSR1 and Ctrl-C are passed on to the workers, which save and leave; a second one ends them.
* With ``--max-restarts`` the group starts again after a crash, but not after a mistake that the user must
  put right, nor after it was asked to stop: that would only repeat it.
* Workers that are left over when one has ended are killed at once: they wait for it, and nothing else helps
  one that is stopped (SIGSTOP) or stuck.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import sys
import time
from types import FrameType
from typing import Any

from torch.distributed import DistNetworkError
from torch.distributed.elastic.agent.server.api import RunResult, WorkerGroup, WorkerState
from torch.distributed.elastic.agent.server.local_elastic_agent import LocalElasticAgent
from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure
from torch.distributed.elastic.rendezvous import RendezvousError
from torch.distributed.launcher import api
from torch.distributed.run import parse_args, run

from mmseg.utils.exit_status import INTERRUPTED, LOST_RANK, RESUME, STALLED

_FINAL = (2, RESUME, INTERRUPTED)  # starting again would only repeat it
_PASSED_ON = ("SIGTERM", "SIGUSR1", "SIGINT")
_PATIENCE = 1.0  # seconds in which the other workers may end by themselves
_MEANINGS = {STALLED: "stood still", LOST_RANK: "lost another rank"}


class Agent(LocalElasticAgent):
    """Watches over the workers of one machine."""

    asked_to_stop = 0  # the signal

    def _start_workers(self, worker_group: WorkerGroup) -> dict[int, Any]:
        ids = super()._start_workers(worker_group)
        self._end_quickly(self._pcontext)
        for name in _PASSED_ON:
            number = getattr(signal, name, None)
            if number is not None:
                signal.signal(number, self._pass_on)
        return ids

    def _pass_on(self, number: int, frame: FrameType | None) -> None:
        again = Agent.asked_to_stop and number in (signal.SIGINT, signal.SIGTERM)
        Agent.asked_to_stop = number
        if again:
            raise SignalException(f"process {os.getpid()} got signal {number} again", signal.Signals(number))
        for pid in self._pcontext.pids().values():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def _end_quickly(self, context: Any) -> None:
        close = context.close

        def quickly(death_sig: signal.Signals | None = None, timeout: int = 30) -> None:
            ends = time.monotonic() + _PATIENCE
            while time.monotonic() < ends and any(map(_runs, context.pids().values())):
                time.sleep(0.05)
            close(signal.SIGKILL, timeout)

        context.close = quickly

    def _monitor_workers(self, worker_group: WorkerGroup) -> RunResult:
        result = super()._monitor_workers(worker_group)
        if result.state is WorkerState.FAILED:
            rank, failure = first_failure(result.failures)
            if failure.exitcode in _FINAL or Agent.asked_to_stop:
                self._remaining_restarts = 0
            elif self._remaining_restarts > 0:
                number = worker_group.spec.max_restarts - self._remaining_restarts + 1
                say(
                    f"rank {rank} {what_happened(failure.exitcode)}; all ranks start again, "
                    f"restart {number} of {worker_group.spec.max_restarts}"
                )
        return result


def first_failure(failures: dict[int, ProcessFailure]) -> tuple[int, ProcessFailure]:
    """The rank whose end was the cause: not one that lost another rank, nor one that was killed for it."""

    def order(item: tuple[int, ProcessFailure]) -> tuple[bool, bool, int]:
        rank, failure = item
        return failure.exitcode == LOST_RANK, failure.timestamp > earliest, rank

    earliest = min(failure.timestamp for failure in failures.values())
    return min(failures.items(), key=order)


def what_happened(status: int) -> str:
    """An exit status in words."""
    if status < 0:
        return f"was ended by {signal.Signals(-status).name}"
    return _MEANINGS.get(status, f"ended with status {status}")


def address_towards(host: str, port: int) -> str | None:
    """This machine's address on the way to ``host``, at which ``host`` finds it, its name known or not."""
    try:
        kind, how, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
        with socket.socket(kind, how, protocol) as probe:
            probe.connect(address)  # sends nothing
            return probe.getsockname()[0]
    except OSError:
        return None


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _runs(pid: int) -> bool:
    """Whether a process that was started here has not ended; it stays for the agent to collect."""
    try:
        ended = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except (ChildProcessError, AttributeError):
        return False
    return ended is None


def main() -> None:
    for name in ("multiprocessing.api", "agent.server.api"):
        logging.getLogger(f"torch.distributed.elastic.{name}").setLevel(logging.CRITICAL)
    # Each start of the group shall have a store of its own for its ranks to meet in.
    os.environ.setdefault("TORCH_DISABLE_SHARE_RDZV_TCP_STORE", "1")
    api.LocalElasticAgent = Agent
    args = parse_args(None)
    try:
        host, _, port = args.rdzv_endpoint.rpartition(":")
        if args.rdzv_backend == "c10d" and args.local_addr is None and port.isdigit():
            args.local_addr = address_towards(host, int(port))
        run(args)
    except ChildFailedError as error:
        rank, failure = first_failure(error.failures)
        status = failure.exitcode
        if status < 0 and Agent.asked_to_stop:  # before the loop began, and so with nothing to save
            sys.exit(INTERRUPTED if Agent.asked_to_stop == signal.SIGINT else RESUME)
        if status < 0:
            say(f"rank {rank} {what_happened(status)}")
        sys.exit(status if status > 0 else 128 - status)
    except SignalException as stopped:
        say(f"ended at once by a second {signal.Signals(stopped.sigval).name}; the last checkpoint is whole")
        sys.exit(128 + stopped.sigval)
    except (RendezvousError, DistNetworkError) as error:
        where = args.rdzv_endpoint or f"{args.master_addr}:{args.master_port}"
        reason = str(error).strip().partition("\n")[0][:200]
        remedy = "set PORT to a free one, or see `Network` in docs/several_machines.md"
        say(f"error: cannot meet the other launchers at {where} (is its port in use?): {reason}; {remedy}")
        sys.exit(2)
    except KeyboardInterrupt:
        say("interrupted")
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main()
