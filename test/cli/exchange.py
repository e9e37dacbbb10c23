#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Models as ONNX: what other engines make of our files. Prints TAP; tests of an engine that is not there are skipped.

    exchange.py RETORT SOURCE_ROOT EXAMPLES_FOLDER

The engines are those of the Python that RETORT_PEERS_PYTHON names, else of ~/.cache/retort-peers/main, else of python3.
"""
import functools
import json
import math
import os
import pathlib
import subprocess
import sys

sys.dont_write_bytecode = True
from harness import HERE, ROOT, Skip, checkpoint, close, fails, main, model, retort, rows, test

PEER = ROOT / "test/cli/peer.py"
TEXTS = ["very good", "the acting is bad , the film is good", "a"]


@functools.cache
def peers_python():
    cached = pathlib.Path.home() / ".cache/retort-peers/main/bin/python"
    return os.environ.get("RETORT_PEERS_PYTHON") or (str(cached) if cached.exists() else "python3")


@functools.cache
def has(module):
    return subprocess.run([peers_python(), "-c", f"import numpy, {module}"], capture_output=True).returncode == 0


def peer(engine, path, inputs):
    module = "onnx" if engine == "check" else engine
    if not has(module):
        raise Skip(f"no Python module {module}")
    done = subprocess.run([peers_python(), PEER, engine, path], input=json.dumps(inputs).encode(), capture_output=True,
                          timeout=300)
    assert done.returncode == 0, f"{engine}: {path}: {done.stderr.decode(errors='replace')[-600:]}"
    return json.loads(done.stdout)


def export(source, *flags):
    path = str(HERE / (pathlib.Path(source).name + "".join(flags).replace("/", "-") + ".onnx"))
    return path, rows("export", source, "-o", path, *flags)[0]


def inputs_of(path, texts=TEXTS):
    """The texts' ids, padded to the longest."""
    ids = [row["ids"] for row in rows("tokenize", path, stdin="\n".join(texts).encode() + b"\n")]
    longest = max(map(len, ids))
    return {"input_ids": [x + [0] * (longest - len(x)) for x in ids],
            "attention_mask": [[1] * len(x) + [0] * (longest - len(x)) for x in ids],
            "token_type_ids": [[0] * longest for x in ids]}


def flat(x):
    return [y for row in x for y in flat(row)] if isinstance(x, list) else [x]


def near(a, b, tolerance=1e-4):
    a, b = flat(a), flat(b)
    assert len(a) == len(b), f"{len(a)} numbers, not {len(b)}"
    worst = max(abs(x - y) if math.isfinite(x) else math.inf for x, y in zip(a, b))
    assert worst <= tolerance, f"{worst} apart"


def answers(path, texts=TEXTS):
    """Logits or vectors of retort itself."""
    out = rows("run", path, stdin="\n".join(texts).encode() + b"\n")
    return [row["logits"] if "logits" in row else row["embedding"] for row in out]


CLASSIFIERS = ["bert-classify", "bert-multilabel", "distilbert-classify", "distilbert-wide", "package-mean", "package-dense"]


def every_level(engine):
    for name in CLASSIFIERS:
        for level in "0123":
            path = export(model(name, level=level))[0]
            made = peer(engine, path, inputs_of(model(name)))
            expected = "sentence_embedding" if name.startswith("package") else "logits"
            assert list(made) == [expected], made.keys()
            near(made[expected], answers(model(name)))


@test
def float_is_valid_onnx():
    for name in CLASSIFIERS + ["bert-answer", "bert-fill", "bert-tag", "distilbert-fill"]:
        for level in "03":
            path, info = export(model(name, level=level))
            assert info["external"] is False and info["bytes"] == os.path.getsize(path) and info["nodes"] > 20
            peer("check", path, {})


@test
def onnxruntime_has_our_answers():
    every_level("onnxruntime")


@test
def openvino_has_our_answers():
    every_level("openvino")


@test
def rows_of_tokens():
    for name, outputs in (("bert-answer", ["start_logits", "end_logits"]), ("bert-tag", ["logits"]),
                          ("distilbert-fill", ["logits"]), ("bert-fill", ["logits"])):
        inputs = inputs_of(model(name))
        plain = peer("onnxruntime", export(model(name, level="0"))[0], inputs)
        assert list(plain) == outputs, plain.keys()
        for level in "123":
            made = peer("onnxruntime", export(model(name, level=level))[0], inputs)
            for output in outputs:  # rows of padding are nobody's
                for a, b, mask in zip(plain[output], made[output], inputs["attention_mask"]):
                    near(a[:sum(mask)], b[:sum(mask)])


@test
def widened_bfloat16():
    path = model("distilbert-wide", dtype="bf16")
    made = peer("onnxruntime", export(path)[0], inputs_of(path))
    near(made["logits"], answers(path), 0.05)


@test
def external_data():
    path, info = export(model("bert-wide"), "--external-over", "50000")
    data = path + ".data"
    assert info["external"] is True and info["bytes"] == os.path.getsize(path) + os.path.getsize(data)
    assert os.path.getsize(path) < 50000 < os.path.getsize(data)
    made = peer("onnxruntime", path, inputs_of(model("bert-wide")))
    near(made["logits"], answers(model("bert-wide")))
    peer("check", path, {})


@test
def real_models():
    shared = os.environ.get("RETORT_SHARED")
    if not shared or not os.path.isdir(f"{shared}/models/sst2"):
        raise Skip("RETORT_SHARED is not set")
    texts = ["an utterly charming film", "it 's a mess , and a dull one at that", "fine"]
    for name in ("sst2", "banking77"):
        packed = str(HERE / f"{name}.retort")
        retort("import", f"{shared}/models/{name}", "-o", packed)
        for source, flags in ((packed, []), (f"{shared}/models/{name}", ["--level", "0"])):
            path = export(source, *flags)[0]
            for engine in ("onnxruntime", "openvino"):
                near(peer(engine, path, inputs_of(packed, texts))["logits"], answers(packed, texts))


@test
def wrong_use():
    fails(2, "--output", "export", model("bert-tag"))
    fails(3, "nowhere", "export", model("bert-tag"), "-o", HERE / "nowhere/x.onnx")
    assert not (HERE / "nowhere").exists()


main()
