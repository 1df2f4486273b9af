"""Stub shared objects for the CUDA libraries that a CUDA build of PyTorch asks for.

Training runs on the CPU and calls none of them, but the dynamic linker wants
their names and symbol versions. The stubs lie beside libtorch, which looks
there first. With an installation whose libraries are all there, this does nothing.
"""

import importlib.util
import re
import subprocess
import tempfile
from collections import defaultdict
from pathlib import Path

# Drivers come with the machine; everything else that is missing gets a stub.
LIBRARY = re.compile(r"lib(cu|nv|nccl)")
SYMBOL = re.compile(r"(cu|nv|nccl)")


def output(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def missing(library):
    return {line.split()[0] for line in output("ldd", str(library)).splitlines()
            if "not found" in line and LIBRARY.match(line.strip())}


def versions(library):
    """The symbol versions that the library requires, by the library required."""
    wanted, source = defaultdict(set), None
    for line in output("objdump", "-p", str(library)).splitlines():
        if match := re.match(r"\s+required from (\S+):", line):
            source = match[1]
        elif source and (match := re.match(r"\s+0x\S+ 0x\S+ \d+ (\S+)", line)):
            wanted[source].add(match[1])
        else:
            source = None
    return wanted


def undefined(library):
    """The symbols that the library takes from elsewhere, by version ("" for none)."""
    symbols = defaultdict(set)
    for line in output("nm", "-D", "--undefined-only", str(library)).splitlines():
        name, _, version = line.split()[-1].partition("@")
        if version or SYMBOL.match(name):
            symbols[version].add(name)
    return symbols


def build(name, versions_wanted, symbols, folder):
    """A library whose symbols are dummies: they must be found at load, and are never used."""
    with tempfile.TemporaryDirectory() as scratch:
        source, script = Path(scratch, "stub.c"), Path(scratch, "versions.map")
        lines = [f"__attribute__((weak)) char {symbol}[64];" for symbol in sorted(symbols[""])]
        nodes = []
        for version in sorted(versions_wanted):
            names = sorted(symbols[version])
            lines += [f"char {symbol}[64];" for symbol in names]
            listed = f" global: {'; '.join(names)};" if names else ""
            nodes.append(f"{version} {{{listed} }};")
        source.write_text("\n".join(lines) + "\n")
        script.write_text("\n".join(nodes) + "\n")
        command = ["cc", "-shared", "-fPIC", f"-Wl,-soname,{name}",
                   "-o", str(folder / name), str(source)]
        if nodes:
            command.append(f"-Wl,--version-script={script}")
        subprocess.run(command, check=True)


def main():
    folder = Path(importlib.util.find_spec("torch").origin).parent / "lib"
    libraries = sorted(folder.glob("lib*torch*.so")) + sorted(folder.glob("libc10*.so"))
    needed, wanted, symbols = set(), defaultdict(set), defaultdict(set)
    for library in libraries:
        needed |= missing(library)
        for source, names in versions(library).items():
            wanted[source] |= names
        for version, names in undefined(library).items():
            symbols[version] |= names
    for name in sorted(needed):
        build(name, wanted[name], symbols, folder)
        print(f"stub {name}")


if __name__ == "__main__":
    main()
