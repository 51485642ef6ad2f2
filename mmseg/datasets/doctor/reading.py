"""Reading many files in parallel, each once."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any

from mmseg.datasets.doctor.cache import FactsCache, stamp

Reader = Any  # a callable from path to facts, with a `key`
Task = tuple[Reader, str]


def read_facts(
    tasks: Iterable[Task],
    cache: FactsCache,
    jobs: int,
    advance: Callable[[], None] = lambda: None,
) -> tuple[dict[tuple[str, str], dict[str, Any]], int]:
    """Read every file once and return its facts by (key of the reader, path).

    Threads are enough: decoding, hashing and counting are done without Python's lock. What has been read
    is kept in ``cache`` even where the reading is interrupted.

    Args:
        tasks: Readers and paths; repetitions are read once.
        cache: Gives the facts of files that have not changed, and takes those of the others.
        jobs: Threads.
        advance: Is called after each file.

    Returns:
        The facts, and how many files came from the cache.
    """
    facts: dict[tuple[str, str], dict[str, Any]] = {}
    pending: list[Task] = []
    for reader, path in {(reader.key, path): (reader, path) for reader, path in tasks}.values():
        known = cache.get(reader.key, path)
        if known is None:
            pending.append((reader, path))
        else:
            facts[reader.key, path] = known
            advance()
    from_cache = len(facts)
    pool = ThreadPoolExecutor(max(1, jobs))
    try:
        futures = {pool.submit(_read, reader, path): (reader, path) for reader, path in pending}
        for future in as_completed(futures):
            reader, path = futures[future]
            at, facts[reader.key, path] = future.result()
            cache.put(reader.key, path, at, facts[reader.key, path])
            advance()
    finally:
        pool.shutdown(cancel_futures=True)
        cache.save()
    return facts, from_cache


def default_jobs() -> int:
    """How many threads this process has processors for, at most 16."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(16, max(1, count))


def _read(reader: Reader, path: str) -> tuple[list[int] | None, dict[str, Any]]:
    at = stamp(path)  # before the reading: a file that changes meanwhile is then read again next time
    return at, reader(path)
