# SPDX-License-Identifier: Apache-2.0
"""Which commands are answered here, by the names of their files. Imports nothing large: each command asks."""
import os
import re

FORMATS = {".parquet": "Parquet", ".pq": "Parquet", ".arrow": "Arrow", ".feather": "Arrow"}
FILES = re.compile(r"(?:--input=|--output=|-[io])(.+)", re.DOTALL)


def format_of(path):
    """"Parquet" or "Arrow" by the end of a name; None: neither."""
    return FORMATS.get(os.path.splitext(os.fspath(path))[1].lower())


def is_ours(arguments):
    """Whether this is `run --input FILE` of which input or output is a Parquet or Arrow file."""
    if arguments[:1] != ["run"]:
        return False
    values = [after for option, after in zip(arguments, arguments[1:]) if option in ("--input", "-i", "--output", "-o")]
    return any(map(format_of, values + [found[1] for found in map(FILES.fullmatch, arguments) if found]))
