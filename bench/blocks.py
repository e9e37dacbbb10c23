# SPDX-License-Identifier: Apache-2.0
"""Blocks of a page of docs/ that a script fills, between two marks with a name."""
import pathlib


def marks(name):
    return f"<!-- begin {name} -->", f"<!-- end {name} -->"


def block_of(path, name):
    """What stands between the two marks; None: they are not there."""
    begin, end = marks(name)
    _, found, rest = pathlib.Path(path).read_text(encoding="utf-8").partition(f"{begin}\n")
    return rest.partition(end)[0] if found and end in rest else None


def write_block(path, name, text):
    """Replaces what stands between the two marks of this name, or appends a new block."""
    begin, end = marks(name)
    old = pathlib.Path(path).read_text(encoding="utf-8")
    block = f"{begin}\n{text}{end}"
    if begin in old and end in old:
        old = old[:old.index(begin)] + block + old[old.index(end) + len(end):]
    else:
        old = old.rstrip("\n") + f"\n\n{block}\n"
    pathlib.Path(path).write_text(old, encoding="utf-8")
