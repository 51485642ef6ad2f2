"""Files of torch.save, made by hand: genuine ones of the old formats, and hostile ones.

The hostile programs are assembled from pickle instructions, so that none of them runs here. Each would
touch the file ``sentinel`` if a reader carried it out.
"""

from __future__ import annotations

import io
import pickle
import struct
import tarfile
import zipfile
from pathlib import Path

MAGIC_NUMBER = 0x1950A86A20F9469CFC6C


# Assembling pickles -------------------------------------------------------------------------------


def text(value: str) -> bytes:
    raw = value.encode()
    return b"X" + struct.pack("<I", len(raw)) + raw


def integer(value: int) -> bytes:
    return b"J" + struct.pack("<i", value)


def many(*parts: bytes) -> bytes:
    """A tuple of any length."""
    return b"(" + b"".join(parts) + b"t"


def name(module: str, attribute: str) -> bytes:
    return f"c{module}\n{attribute}\n".encode()


def dotted(module: str, attribute: str) -> bytes:
    """STACK_GLOBAL of protocol 4, which follows dots in the attribute."""
    return text(module) + text(attribute) + b"\x93"


def called(function: bytes, *arguments: bytes) -> bytes:
    return function + many(*arguments) + b"R"


def built(target: bytes, state: bytes) -> bytes:
    return target + state + b"b"


def mapping(**items: bytes) -> bytes:
    return b"}(" + b"".join(text(key) + value for key, value in items.items()) + b"u"


def listing(*items: bytes) -> bytes:
    return b"](" + b"".join(items) + b"e"


def storage(key: str = "0", kind: str = "FloatStorage", numel: int = 4) -> bytes:
    pid = many(text("storage"), name("torch", kind), text(key), text("cpu"), integer(numel))
    return pid + b"Q"


def tensor(size: bytes, stride: bytes, offset: int = 0, data: bytes | None = None) -> bytes:
    arguments = (data or storage(), integer(offset), size, stride, b"\x89", b"N")
    return called(name("torch._utils", "_rebuild_tensor_v2"), *arguments)


def program(body: bytes, protocol: int = 4) -> bytes:
    return b"\x80" + bytes([protocol]) + body + b"."


# Files around a pickle ----------------------------------------------------------------------------


def write_zip(path: Path, data: bytes, extra: dict[str, bytes] | None = None) -> Path:
    """The format since PyTorch 1.6, with one storage of four float32 zeros."""
    parts = {
        "data.pkl": data,
        "byteorder": b"little",
        "data/0": bytes(16),
        "version": b"3\n",
        **(extra or {}),
    }
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for part, content in parts.items():
            archive.writestr(f"archive/{part}", content)
    return path


def write_stream(path: Path, data: bytes) -> Path:
    """The format of PyTorch 0.1.10 to 1.5, with one storage of four float32 zeros."""
    system = {
        "protocol_version": 1001,
        "little_endian": True,
        "type_sizes": {"short": 2, "int": 4, "long": 4},
    }
    head = b"".join(pickle.dumps(part, 2) for part in (MAGIC_NUMBER, 1001, system))
    path.write_bytes(head + data + pickle.dumps(["0"], 2) + struct.pack("<q", 4) + bytes(16))
    return path


def write_tar(path: Path, data: bytes, links: dict[str, str] | None = None) -> Path:
    """The format before that: tensor 2 is the matrix 0..5, tensor 4 the numbers 3 and 5."""
    numbers = struct.pack("<6f", *range(6))
    stored = pickle.dumps(1, 2) + program(many(integer(1), text("cpu"), name("torch", "FloatStorage")), 2)
    stored += struct.pack("<q", 6) + numbers + pickle.dumps([(3, 1, 2, 4)], 2)
    tensors = pickle.dumps(2, 2)
    for key, root, size, stride, offset in ((2, 1, (2, 3), (3, 1), 0), (4, 3, (2,), (2,), 1)):
        tensors += program(many(integer(key), integer(root), name("torch", "FloatTensor")), 2)
        tensors += struct.pack("<ii", len(size), 0) + struct.pack(f"<{len(size)}q", *size)
        tensors += struct.pack(f"<{len(size)}q", *stride) + struct.pack("<q", offset)
    with tarfile.open(path, "w") as archive:
        for member, content in (("storages", stored), ("tensors", tensors), ("pickle", data)):
            info = tarfile.TarInfo(member)
            info.size = len(content)
            if links and member in links:
                info.type, info.linkname, info.size = tarfile.SYMTYPE, links[member], 0
            archive.addfile(info, io.BytesIO(content))
    return path


# Hostile programs ---------------------------------------------------------------------------------


def live_programs(sentinel: Path) -> dict[str, bytes]:
    """Programs that touch ``sentinel`` when the pickle module itself loads them."""
    touch = text(f"touch {sentinel}")
    code = text(f"__import__('os').system('touch {sentinel}')")
    system = called(name("posix", "system"), touch)
    the_os = called(name("builtins", "__import__"), text("os"))
    os_system = called(name("builtins", "getattr"), the_os, text("system"))
    method = called(name("operator", "methodcaller"), text("system"), touch)
    evaluated = name("builtins", "map") + many(name("builtins", "eval"), listing(code)) + b"\x81"
    inner = called(name("_codecs", "encode"), text(program(system).decode("latin1")), text("latin1"))
    arguments = listing(text("touch"), text(str(sentinel)))
    return {
        "os.system": system,
        "os.system by another name": called(name("os", "system"), touch),
        "eval": called(name("builtins", "eval"), code),
        "exec": called(name("builtins", "exec"), code),
        "eval of Python 2": called(name("__builtin__", "eval"), code),
        "getattr of an import": called(os_system, touch),
        "subprocess": called(name("subprocess", "getoutput"), touch),
        "dotted name": called(dotted("torch", "serialization.os.system"), touch),
        "dotted name of an allowed module": called(dotted("collections", "_sys.modules.get"), text("os"))
        + b"0"
        + system,
        "nested deeply": mapping(meta=listing(many(mapping(x=listing(system)), b"N"))),
        "as a key": b"}" + system + b"Ns",
        "in a set": b"\x8f(" + system + b"\x90",
        "state of an OrderedDict": built(called(name("collections", "OrderedDict")), mapping(x=system)),
        "popped again": system + b"0}",
        "INST": b"(" + touch + b"iposix\nsystem\n",
        "OBJ": b"(" + name("subprocess", "Popen") + arguments + b"o",
        "NEWOBJ": name("builtins", "bytes") + many(evaluated) + b"\x81",
        "operator.methodcaller": called(method, the_os),
        "functools.partial": called(called(name("functools", "partial"), name("posix", "system"), touch)),
        "pickle in a pickle": called(name("_pickle", "loads"), inner),
    }


def inert_names() -> list[tuple[str, str]]:
    """Names that no checkpoint needs and that give a foothold to whoever may call them."""
    return [
        ("os", "remove"),
        ("nt", "system"),
        ("shutil", "rmtree"),
        ("builtins", "open"),
        ("builtins", "compile"),
        ("builtins", "setattr"),
        ("builtins", "globals"),
        ("builtins", "type"),
        ("builtins", "map"),
        ("__builtin__", "apply"),
        ("importlib", "import_module"),
        ("runpy", "run_path"),
        ("pty", "spawn"),
        ("ctypes", "CDLL"),
        ("marshal", "loads"),
        ("types", "FunctionType"),
        ("types", "CodeType"),
        ("copyreg", "add_extension"),
        ("copyreg", "_reconstructor"),
        ("operator", "attrgetter"),
        ("timeit", "timeit"),
        ("webbrowser", "open"),
        ("socket", "create_connection"),
        ("urllib.request", "urlretrieve"),
        ("pip._internal", "main"),
        ("logging.config", "listen"),
        ("dill", "loads"),
        ("joblib", "load"),
        ("numpy", "load"),
        ("numpy", "fromfile"),
        ("numpy", "memmap"),
        ("numpy._core.multiarray", "fromfile"),
        ("numpy.core", "multiarray.scalar"),
        ("torch", "load"),
        ("torch", "serialization.os.system"),
        ("torch.serialization", "load"),
        ("torch.storage", "_load_from_bytes"),
        ("torch.hub", "load"),
        ("torch.jit", "load"),
        ("torch.utils.cpp_extension", "load_inline"),
        ("torch._dynamo", "optimize"),
        ("torch.nn.modules.conv", "Conv2d"),
        ("torch.distributed", "init_process_group"),
        ("mmdet.apis", "init_detector"),
        ("mmsegmentation", "x"),
        ("collections", "OrderedDict.__init__"),
        ("collections", "namedtuple"),
        ("", "eval"),
        ("builtins", ""),
    ]
