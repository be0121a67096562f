"""Remove what serving and training never read from an environment, to make the image small.

    python3 slim.py /opt/nearline

Removed are tests, type stubs, headers and sources of compiled modules, the parts of Arrow for its
RPC (Flight), the languages of faker (which the web framework requires and Nearline does not use)
except English, second copies of a library, symbols if `strip` is there, and pip. Bytecode of the
packages that a server imports is made last, since a read-only container cannot keep it.
"""

import compileall
import hashlib
import py_compile
import shutil
import struct
import subprocess
import sys
from pathlib import Path

FOLDERS = ("tests", "include", "src", "__pycache__")
FILES = ("*.pyi", "*.pyx", "*.pxd", "*.pxi", "*.h", "*.hpp", "*.c", "*.cpp", "*.a", "*.lib")
FLIGHT = ("libarrow_flight*", "libarrow_python_flight*", "_flight*.so")
COMPILED = (
    *("nearline", "litestar", "msgspec", "numpy", "click", "anyio", "rich", "rich_click", "numba"),
    *("llvmlite", "snowballstemmer", "pyarrow", "yaml", "apsw", "granian", "prometheus_client"),
)
LOADED = 1  # PT_LOAD, the kind of a segment of an ELF file that is mapped into memory
# The files never change in an image, so their times need not be looked at.
UNCHECKED = py_compile.PycInvalidationMode.UNCHECKED_HASH


def main(environment: Path) -> None:
    """Make the environment in a folder small."""
    (packages,) = environment.glob("lib/python3*/site-packages")
    for name in FOLDERS:
        for folder in [*packages.rglob(name)]:
            if "nearline" not in folder.parts[-3:]:
                shutil.rmtree(folder, ignore_errors=True)
    for pattern in FILES:
        for file in packages.rglob(pattern):
            file.unlink()
    for pattern in FLIGHT:
        for file in (packages / "pyarrow").glob(pattern):
            file.unlink()
    for folder in (packages / "faker" / "providers").glob("*/*"):
        if folder.is_dir() and not folder.name.startswith("en"):
            shutil.rmtree(folder)
    for name in ("pip", "setuptools", "pkg_resources", "_distutils_hack"):
        shutil.rmtree(packages / name, ignore_errors=True)
    for folder in [*packages.glob("pip-*"), *packages.glob("setuptools-*")]:
        shutil.rmtree(folder)
    (packages / "distutils-precedence.pth").unlink(missing_ok=True)
    libraries = sorted(file for file in packages.rglob("*.so*") if not file.is_symlink())
    if shutil.which("strip"):
        for library in libraries:
            _strip(library)
    _link_copies(libraries)
    for name in COMPILED:
        compileall.compile_dir(packages / name, quiet=1, invalidation_mode=UNCHECKED)


def _strip(library: Path) -> None:
    """Remove the symbols of a library, unless the result couldn't be loaded."""
    stripped = library.with_name(library.name + ".stripped")
    subprocess.run(["strip", "--strip-unneeded", "-o", stripped, library], check=True)
    # strip moves the segments of some libraries whose names patchelf has edited, as wheels have.
    if _aligned(stripped.read_bytes()):
        shutil.copyfile(stripped, library)
    stripped.unlink()


def _aligned(library: bytes) -> bool:
    """Return whether the loader accepts the segments of a library (64-bit ELF).

    The loader maps whole pages: the address and the offset in the file of a segment must be
    equal modulo its alignment.
    """
    (table,) = struct.unpack_from("<Q", library, 0x20)
    size, count = struct.unpack_from("<HH", library, 0x36)
    for start in range(table, table + size * count, size):
        kind, _, offset, address = struct.unpack_from("<IIQQ", library, start)
        (alignment,) = struct.unpack_from("<Q", library, start + 0x30)
        if kind == LOADED and (address - offset) % max(alignment, 1):
            return False
    return True


def _link_copies(libraries: list[Path]) -> None:
    """Replace second copies of a library in the same folder, which wheels have, by links."""
    first: dict[tuple[Path, bytes], Path] = {}
    for library in libraries:
        key = library.parent, hashlib.sha256(library.read_bytes()).digest()
        if key in first:
            library.unlink()
            library.symlink_to(first[key].name)
        first.setdefault(key, library)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
