"""Doing the same with many files: in several processes, with a progress bar, all or nothing."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import Any

from mmseg.conversion.masks import Mismatch
from mmseg.conversion.pairs import Pair, refuse
from mmseg.conversion.progress import terminal_bar

_PER_PROCESS = 8  # fewer files are not worth the start of a process


def convert_all(convert: Callable[[Pair], Any], pairs: Sequence[Pair], nproc: int, label: str) -> list[Any]:
    """Call ``convert`` for each pair and return what it returns, in order.

    Args:
        convert: A function of a module (or a ``partial`` of one), so that it can be sent to a process.
        pairs: What to convert.
        nproc: Processes at most.
        label: Stands beside the progress bar.

    Raises:
        UserError: some of them raised ``Mismatch`` or an ``OSError``; each is listed by name.
    """
    results, problems = [], []
    for pair, (result, problem) in zip(
        pairs, _show(_each(convert, pairs, nproc), len(pairs), label), strict=True
    ):
        if problem is None:
            results.append(result)
        else:
            problems.append(f"{pair.name}: {problem}")
    refuse(problems, total=len(pairs))
    return results


def _each(
    convert: Callable[[Pair], Any], pairs: Sequence[Pair], nproc: int
) -> Iterator[tuple[Any, str | None]]:
    nproc = min(nproc, len(pairs) // _PER_PROCESS)
    if nproc < 2:
        yield from (_try(convert, pair) for pair in pairs)
        return
    # A server of fresh processes where there is one: forking this one would copy its threads' locks.
    methods = multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
    with ProcessPoolExecutor(nproc, mp_context=context) as pool:
        try:
            yield from pool.map(partial(_try, convert), pairs, chunksize=4)
        finally:
            pool.shutdown(cancel_futures=True)


def _try(convert: Callable[[Pair], Any], pair: Pair) -> tuple[Any, str | None]:
    try:
        return convert(pair), None
    except (Mismatch, OSError) as error:
        return None, str(error)


def _show(results: Iterator[Any], total: int, label: str) -> Iterator[Any]:
    """Pass ``results`` on and draw a bar on the terminal meanwhile."""
    from rich.progress import MofNCompleteColumn

    with terminal_bar(MofNCompleteColumn()) as bar:
        yield from bar.track(results, total=total, description=label)
