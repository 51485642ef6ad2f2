"""Read a pickle without running it.

A pickle is a program for a small stack machine, and its REDUCE and BUILD instructions call whatever the
file names. This interpreter knows the instructions that build data, and instead of importing what the
file names it looks the name up in a table of our own functions. Nothing of the file is ever imported or
called, so there is nothing to escape from: a name that is not in the table refuses the file.

Old checkpoints keep objects of mmcv, mmengine and mmseg beside the weights. They become inert
:class:`Placeholder` objects, which :func:`finish` drops.
"""

from __future__ import annotations

import os
import pickletools
from collections.abc import Callable
from typing import IO, Any

from mmseg.utils.pickle_names import (
    PLACEHOLDER,
    Function,
    Inert,
    LazyTensor,
    NumpyArray,
    NumpyDtype,
    Storage,
    StorageType,
    UnsafeFileError,
    call,
    check_keys,
    find,
    make_array,
    make_dict,
    make_set,
)

# Bounds that no genuine file comes near; they end programs that are made to use up time and memory.
MAX_INSTRUCTIONS = 5_000_000
MAX_COPIED = 2**28  # items and bytes that calls may copy
MAX_BITS = 4096


def load_pickle(
    file: IO[bytes], persistent_load: Callable[[Any], Any] | None = None, *, torch_reads: bool = False
) -> Any:
    """Interpret the pickle at the position of ``file``, which is then just behind it.

    Args:
        file: Open for reading, binary.
        persistent_load: Turns the persistent ids of the file into objects; None refuses them.
        torch_reads: Only look whether the program is harmless, as torch itself is to read it: names that
            only its ``weights_only`` reader knows then give placeholders.

    Returns:
        Plain containers and scalars, with :class:`LazyTensor`, :class:`Placeholder` and the like in
        them; pass it to :func:`finish`.

    Raises:
        UnsafeFileError: the file names or does something that is not allowed.
        Exception: of many kinds, where the file is not a pickle or is broken.
    """
    machine = _Machine(persistent_load, torch_reads)
    for count, (opcode, argument, _) in enumerate(pickletools.genops(_Bounded(file))):
        if count > MAX_INSTRUCTIONS:
            raise ValueError(f"its pickle has more than {MAX_INSTRUCTIONS:,} instructions")
        machine.run(opcode.name, argument)
    return machine.stack[-1]


def finish(value: Any, tensor_of: Callable[[LazyTensor], Any]) -> Any:
    """Return ``value`` with tensors in place of lazy ones and without placeholders.

    Args:
        value: The result of :func:`load_pickle`.
        tensor_of: Reads one tensor; what it makes :data:`PLACEHOLDER` is dropped.
    """
    return _Finish(tensor_of).visit(value)


class _Bounded:
    """A file of which nobody can ask for more bytes than are left: a length that lies costs no memory."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file
        start = file.tell()
        self.end = file.seek(0, os.SEEK_END)
        file.seek(start)
        self.readline, self.tell = file.readline, file.tell

    def read(self, size: int) -> bytes:
        return self.file.read(size if size < 4096 else min(size, self.end - self.file.tell()))


class _Machine:
    """The pickle stack machine, for the instructions that build data."""

    def __init__(self, persistent_load: Callable[[Any], Any] | None, torch_reads: bool) -> None:
        self.torch_reads = torch_reads
        self.copied = 0
        self.stack: list[Any] = []
        self.marks: list[list[Any]] = []
        self.memo: dict[int, Any] = {}
        self.persistent_load = persistent_load

    def run(self, name: str, argument: Any) -> None:
        stack = self.stack
        if name in _PUSH_ARGUMENT:
            if type(argument) is int and argument.bit_length() > MAX_BITS:
                raise ValueError(f"it holds a number of {argument.bit_length()} bits")
            stack.append(argument)
        elif name in _PUSH_NEW:
            stack.append(_PUSH_NEW[name]())
        elif name in ("PUT", "BINPUT", "LONG_BINPUT"):
            self.memo[int(argument)] = stack[-1]
        elif name == "MEMOIZE":
            self.memo[len(self.memo)] = stack[-1]
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            if int(argument) not in self.memo:
                raise ValueError("its pickle recalls what it never kept")
            stack.append(self.memo[int(argument)])
        elif name == "MARK":
            self.marks.append(stack)
            self.stack = []
        elif name in ("TUPLE1", "TUPLE2", "TUPLE3"):
            n = int(name[-1])
            if len(stack) < n:
                raise EOFError("the pickle takes more from its stack than there is")
            stack[-n:] = [tuple(stack[-n:])]
        elif name in _FROM_MARK:
            items = self.pop_mark()
            self.stack.append(_FROM_MARK[name](items))
        elif name == "APPEND":
            self.add_items([stack.pop()], list)
        elif name in ("APPENDS", "ADDITEMS"):
            self.add_items(self.pop_mark(), list if name == "APPENDS" else set)
        elif name == "SETITEM":
            pair = stack[-2:]
            del stack[-2:]
            self.set_items(pair)
        elif name == "SETITEMS":
            self.set_items(self.pop_mark())
        elif name == "GLOBAL":
            stack.append(find(*argument.split(" ", 1), torch_reads=self.torch_reads))
        elif name == "STACK_GLOBAL":
            attribute, module = stack.pop(), stack.pop()
            stack.append(find(module, attribute, torch_reads=self.torch_reads))
        elif name in ("REDUCE", "NEWOBJ"):
            arguments, function = stack.pop(), stack.pop()
            self.count(arguments)
            stack.append(call(function, arguments))
        elif name == "NEWOBJ_EX":  # its keyword arguments can only be for a placeholder
            _, arguments, function = stack.pop(), stack.pop(), stack.pop()
            self.count(arguments)
            stack.append(call(function, arguments))
        elif name == "BUILD":
            state = stack.pop()
            self.count(state)
            _build(stack[-1], state)
        elif name in ("PERSID", "BINPERSID"):
            key = argument if name == "PERSID" else stack.pop()
            if self.persistent_load is None:
                raise UnsafeFileError("a persistent id")
            stack.append(self.persistent_load(key))
        elif name == "POP":
            stack.pop()
        elif name == "POP_MARK":
            self.pop_mark()
        elif name == "DUP":
            stack.append(stack[-1])
        elif name not in ("PROTO", "FRAME", "STOP"):
            raise UnsafeFileError(f"the pickle instruction {name}")

    def count(self, arguments: Any) -> None:
        """Add up what calls copy: one long text, encoded again and again, would fill the memory."""
        if type(arguments) is tuple:
            self.copied += sum(len(part) for part in arguments if type(part) in _SIZED)
            if self.copied > MAX_COPIED:
                raise ValueError(f"its pickle copies more than {MAX_COPIED:,} parts")

    def pop_mark(self) -> list[Any]:
        items = self.stack
        self.stack = self.marks.pop()
        return items

    def add_items(self, items: list[Any], kind: type) -> None:
        target = self.stack[-1]
        if type(target) is kind is list:
            target.extend(items)
        elif type(target) is kind is set:
            check_keys(items)
            target.update(items)
        elif target is not PLACEHOLDER:
            raise UnsafeFileError(f"adding items to a {type(target).__name__}")

    def set_items(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if type(target) is dict:
            check_keys(items[::2])
            target.update(zip(items[::2], items[1::2], strict=True))
        elif target is not PLACEHOLDER:
            raise UnsafeFileError(f"setting items of a {type(target).__name__}")


def _build(target: Any, state: Any) -> None:
    if type(target) is NumpyDtype:
        if type(state) is tuple and len(state) > 1 and state[1] in ("<", ">", "=", "|"):
            target.byteorder = state[1]
    elif type(target) is NumpyArray:
        shape, dtype, fortran, data = state[-4:]
        target.value = make_array(data, dtype, shape, "F" if fortran else "C")
    elif target is not PLACEHOLDER and type(target) not in (dict, LazyTensor):
        # The attributes of an OrderedDict (`_metadata` of a state dict) and of a tensor are not needed.
        raise UnsafeFileError(f"setting the state of a {type(target).__name__}")


_SIZED = (str, bytes, bytearray, list, tuple, dict, set, frozenset)
_PUSH_ARGUMENT = {
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE"),
    *("BINUNICODE8", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
}
_PUSH_NEW: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
    "EMPTY_DICT": dict,
    "EMPTY_SET": set,
}
_FROM_MARK: dict[str, Callable[[list[Any]], Any]] = {
    "TUPLE": tuple,
    "LIST": list,
    "DICT": lambda items: make_dict(zip(items[::2], items[1::2], strict=True)),
    "FROZENSET": lambda items: frozenset(make_set(items)),
}


class _Finish:
    def __init__(self, tensor_of: Callable[[LazyTensor], Any]) -> None:
        self.tensor_of = tensor_of
        self.done: dict[int, Any] = {}  # by id: shared parts stay shared, and cycles end

    def visit(self, value: Any) -> Any:
        kind = type(value)
        if kind not in (dict, list, tuple, set, frozenset, LazyTensor):
            return self.leaf(value)
        if id(value) in self.done:
            return self.done[id(value)]
        if kind is dict:
            result: Any = {}
            self.done[id(value)] = result
            for key, item in value.items():
                key, item = self.visit(key), self.visit(item)
                if key is not PLACEHOLDER and item is not PLACEHOLDER:
                    result[key] = item
        elif kind is list:
            result = []
            self.done[id(value)] = result
            result.extend(self.item(v) for v in value)
        elif kind is LazyTensor:
            result = self.tensor_of(value)
        else:
            result = kind(self.item(v) for v in value)
        self.done[id(value)] = result
        return result

    def item(self, value: Any) -> Any:
        """An item of a sequence keeps its place."""
        result = self.visit(value)
        return None if result is PLACEHOLDER else result

    @staticmethod
    def leaf(value: Any) -> Any:
        if type(value) is NumpyArray:
            return value.value
        if type(value) in (Function, Inert, NumpyDtype, StorageType, Storage):
            return PLACEHOLDER
        return value
