#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""usage: make_tensorflow.py

Makes fuzz/corpus/hdf5 and fuzz/corpus/bundle: small files that are read, and one for each thing that is refused
(test/hdf5_test.c looks for the words). Needs h5py and what tools/make_checkpoints.py needs."""
import pathlib
import shutil
import struct
import sys
import tempfile

import h5py
import numpy

HERE = pathlib.Path(__file__).parent
sys.path.append(str(HERE.parent / "tools"))
from make_checkpoints import write_bundle  # noqa: E402

TWO = numpy.array([[1, 2]], dtype="<f4")


def hdf5(folder, name, fill, version="earliest", patch=None):
    path = folder / name
    with h5py.File(path, "w", libver=version) as file:
        fill(file)
    if patch:
        data = path.read_bytes()
        assert patch[0] in data, name
        path.write_bytes(data.replace(*patch, 1))


def keras(file, layers=2):
    file.attrs["layer_names"] = [b"bert"]
    for i in range(layers):
        file.create_dataset(f"bert/m/bert/encoder/layer_._{i}/dense/kernel:0", data=TWO, track_times=False)
    file.create_dataset("bert/m/bert/dense/bias:0", data=TWO[0].astype("<f2"), track_times=False)
    file.create_group("dropout")


def virtual(file):
    layout = h5py.VirtualLayout((2,), "<f4")
    layout[:] = h5py.VirtualSource("/etc/passwd", "x", (2,))
    file.create_virtual_dataset("a", layout)


def bfloat16(file):
    kind = h5py.h5t.IEEE_F32LE.copy()
    kind.set_fields(15, 7, 8, 0, 7)
    kind.set_size(2)
    kind.set_ebias(127)
    h5py.h5d.create(file.id, b"a", kind, h5py.h5s.create_simple((2,))).write(
        h5py.h5s.ALL, h5py.h5s.ALL, TWO[0], h5py.h5t.IEEE_F32LE)


HDF5 = [
    ("keras", keras),
    ("compact", lambda f: keras(f, 2), "latest"),
    ("dense", lambda f: keras(f, 12), "latest"),
    ("many", lambda f: [f.create_group(f"{i}") for i in range(50)], "latest"),
    ("bfloat16", bfloat16),
    ("scalar", lambda f: f.create_dataset("a", data=numpy.float32(3))),
    ("no_elements", lambda f: f.create_dataset("a", shape=(0, 4), dtype="<f4")),
    ("no_columns", lambda f: f.create_dataset("bert/kernel:0", shape=(2**60, 0), dtype="<f4")),
    ("soft_link", lambda f: f.update(a=h5py.SoftLink("/b"))),
    ("soft_link_new", lambda f: f.update(a=h5py.SoftLink("/b")), "latest"),
    ("external_link", lambda f: f.update(a=h5py.ExternalLink("/etc/passwd", "/b")), "latest"),
    ("user_link", lambda f: f.update(a=h5py.ExternalLink("/etc/passwd", "/b")), "latest",
     (b"\x01\x08\x40\x01a", b"\x01\x08\x41\x01a")),
    ("external_storage", lambda f: f.create_dataset("a", (2,), "<f4", external=[("/etc/passwd", 0, 8)])),
    ("virtual", virtual, "latest"),
    ("chunked", lambda f: f.create_dataset("a", data=TWO, chunks=(1, 2))),
    ("gzip", lambda f: f.create_dataset("a", data=TWO, compression="gzip")),
    ("integer", lambda f: f.create_dataset("a", data=TWO.astype("<i4"))),
    ("double", lambda f: f.create_dataset("a", data=TWO.astype("<f8"))),
    ("big_endian", lambda f: f.create_dataset("a", data=TWO.astype(">f4"))),
    ("string", lambda f: f.create_dataset("a", data=b"text")),
    ("named_type", lambda f: f.update(a=numpy.dtype("<f4"))),
    ("null_space", lambda f: f.create_dataset("a", data=h5py.Empty("<f4"))),
    ("huge", lambda f: f.create_dataset("a", (2**40, 2**20), "<f4")),
    ("huge_written", lambda f: f.create_dataset("a", data=TWO), "earliest",
     (struct.pack("<2Q", 1, 2), struct.pack("<2Q", 2**62, 2))),
    ("large_written", lambda f: f.create_dataset("a", data=TWO), "earliest",
     (struct.pack("<2Q", 1, 2), struct.pack("<2Q", 2**40, 2))),
    ("unwritten", lambda f: f.create_dataset("a", (2**40, 4), "<f4")),
    ("cycle", lambda f: f.update(a=f["/"])),
    ("nothing", lambda f: f.create_group("a")),
]


def bundle(folder, name, tensors):
    """1, u16 bytes of the block of entries, the block, the data; the target puts the rest of a file around it."""
    with tempfile.TemporaryDirectory() as here:
        prefix = pathlib.Path(here, "x")
        write_bundle(prefix, tensors)
        index, data = (pathlib.Path(f"{prefix}{end}").read_bytes() for end in (".index", ".data-00000-of-00001"))
    (folder / f"{name}_whole").write_bytes(b"\0" + struct.pack("<H", len(index)) + index + data)
    block = index[: index.index(b"\0\0\0\0\1\0\0\0") + 8]
    (folder / name).write_bytes(b"\1" + struct.pack("<H", len(block)) + block + data)


def main():
    for name, rows in (("hdf5", HDF5), ("bundle", None)):
        folder = HERE / "corpus" / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for row in rows or []:
            hdf5(folder, *row)
    two = TWO.tobytes()
    bundle(folder, "two", {"bert/a/kernel": (1, [1, 2], two), "output_bias": (14, [2], two[:4])})
    bundle(folder, "steps", {"global_step": (9, [], two), "output_weights": (19, [2, 2], two)})
    bundle(folder, "string", {"a": (7, [1], two)})


if __name__ == "__main__":
    main()
