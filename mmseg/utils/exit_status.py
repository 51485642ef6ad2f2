"""Exit statuses of the command line tools beyond 0 and 2 (a mistake that the user can put right)."""

from __future__ import annotations

# `latest.pth` was saved after SIGTERM or SIGUSR1: the same command with --auto-resume goes on. It is
# EX_TEMPFAIL of sysexits.h, "try again later".
RESUME = 75
# A rank stopped answering, or no rank went on; what was saved last can be resumed.
STALLED = 76
# Another rank ended, and this one cannot go on without it.
LOST_RANK = 77
# Ctrl-C, as shells have it.
INTERRUPTED = 130
