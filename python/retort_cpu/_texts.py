# SPDX-License-Identifier: Apache-2.0
"""Python strings as the library's array of texts: one block of bytes, and a NumPy table of addresses and lengths."""
import ctypes

import numpy

from . import _retort as c
from ._library import whole

WIDTH = ctypes.sizeof(c.retort_text)
CALL_TEXTS, CALL_BYTES = 512, 1 << 17  # of one call: between calls Ctrl-C is seen


class Texts:
    """str, or (str, str) for pairs."""

    def __init__(self, items, limit=None):
        limit = None if limit is None else whole(limit, "batch_size", ", or None")
        parts = []
        self.items = items
        for i, item in enumerate(items):
            pair = (item, None) if isinstance(item, str) else tuple(item) if isinstance(item, (tuple, list)) else None
            if pair is None or len(pair) != 2 or not isinstance(pair[0], str):
                raise TypeError(f"text {i}: expected a str, or a pair of them, found {type(item).__name__}: {item!r:.60}")
            if pair[1] is not None and not isinstance(pair[1], str):
                raise TypeError(f"text {i}: expected a str as the second text of a pair, found {type(pair[1]).__name__}")
            parts.append(pair)
        encoded = [b"" if part is None else part.encode("utf-8", "surrogatepass") for pair in parts for part in pair]
        self.block = b"".join(encoded) + b"\0"
        lengths = numpy.fromiter(map(len, encoded), numpy.uint64, len(encoded))
        start = ctypes.cast(self.block, ctypes.c_void_p).value
        self.table = numpy.empty((len(parts), 4), numpy.uint64)  # retort_text: text, length, pair, pair_length
        addresses = numpy.zeros(len(encoded), numpy.uint64)
        numpy.cumsum(lengths[:-1], out=addresses[1:])
        addresses += numpy.uint64(start)
        self.table[:, 0], self.table[:, 1] = addresses[::2], lengths[::2]
        self.table[:, 2], self.table[:, 3] = addresses[1::2], lengths[1::2]
        self.table[[i for i, pair in enumerate(parts) if pair[1] is None], 2] = 0
        mean = max(1, len(self.block) // max(1, len(parts)))
        self.step = max(1, min(limit or CALL_TEXTS, CALL_BYTES // mean))

    def __len__(self):
        return len(self.items)

    def at(self, index):
        return ctypes.byref(c.retort_text.from_address(self.table.ctypes.data + index * WIDTH))

    def slices(self):
        """(first, count) of what one call takes."""
        for first in range(0, len(self.items), self.step):
            yield first, min(self.step, len(self.items) - first)


def as_list(texts):
    """(list, whether it was one text). A tuple of two strings is one pair."""
    if isinstance(texts, str):
        return [texts], True
    if isinstance(texts, tuple) and len(texts) == 2 and all(isinstance(t, str) for t in texts):
        return [texts], True
    shape = getattr(texts, "shape", (0,))  # of NumPy, pandas, Polars: a frame would give the names of its columns
    if hasattr(texts, "columns"):
        raise TypeError(f"expected texts, found a {type(texts).__name__}: give one of its columns, such as frame['text']")
    if isinstance(texts, (bytes, dict, set, frozenset)) or not hasattr(texts, "__iter__") or len(shape) != 1:
        raise TypeError(f"expected a str, a pair of them, or a list of these, found {type(texts).__name__}: {texts!r:.60}")
    return (texts.to_pylist() if hasattr(texts, "to_pylist") else list(texts)), False  # of pyarrow


def names_of(names, what):
    """A list of str; one str would be a list of its letters."""
    found = names if isinstance(names, str) else list(names)
    if isinstance(names, str) or not all(isinstance(name, str) for name in found):
        raise TypeError(f"{what}: expected a list of str, found {found!r:.60}")
    return found
