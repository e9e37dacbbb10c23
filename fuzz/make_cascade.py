# SPDX-License-Identifier: Apache-2.0
"""usage: fuzz/make_cascade.py

Writes the seed corpus/package/distilbert-cascade: the seed distilbert-classify-3 as the full model, before it a stage on n-grams
of 64 buckets and the seed distilbert-classify-int8 as a student, whose equal tensors are stored once."""
import json
import pathlib
import struct

CORPUS = pathlib.Path(__file__).parent / "corpus/package"


def read(name):
    data = (CORPUS / name).read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:8 + size])
    meta = header.pop("__metadata__")
    return meta, {key: (t["dtype"], t["shape"], data[8 + size:][slice(*t["data_offsets"])]) for key, t in header.items()}


def write(path, meta, tensors):
    header, body = {"__metadata__": meta}, b""
    for name, (dtype, shape, data) in tensors:
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(body), len(body) + len(data)]}
        body += data
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-(len(text) + 8) % 64)
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)


meta, full = read("distilbert-classify-3")
other, student = read("distilbert-classify-int8")
labels = len(json.loads(meta["retort.config"])["label_names"])
floats = struct.pack("<16f", *([0.01] * labels + [0.0] * (16 - labels)))
stages = [("stage.1.weights", ("I8", [64, labels], bytes(i % 5 for i in range(64 * labels)))), ("stage.1.scales", ("F32", [16], floats)),
          ("stage.1.biases", ("F32", [16], floats))]
stages += [("stage.2." + name, t) for name, t in student.items() if not name.startswith("tokenizer.") and full.get(name) != t]
for key in ("graph", "config", "origin"):
    meta[f"retort.stage.2.{key}"] = other[f"retort.{key}"]
counts = {key: 10 for key in ("trained", "ordered", "calibrated", "tested")}
meta["retort.cascade"] = json.dumps({"epsilon": 0.01, "confidence": 0.95, "share": 0.2, "tested_share": 0.2, "calibrated_differ": 0,
                                     "tested_differ": 1, **counts,
                                     "stages": [{"kind": "linear", "threshold": 0.5, "share": 0.3, "tested_share": 0.3},
                                                {"kind": "student", "threshold": 0.6, "share": 0.5, "tested_share": 0.5}]})
last = [item for item in full.items() if item[0].startswith("tokenizer.")]
write(CORPUS / "distilbert-cascade", meta, [item for item in full.items() if item not in last] + stages + last)
