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
import re
import shutil
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


MODULES = {"check": "onnx", "torchscript": "torch, transformers, onnx", "dynamo": "torch, transformers, onnxscript",
           "basic": "onnxruntime", "extended": "onnxruntime", "transformers": "onnxruntime.transformers.optimizer",
           "dynamic": "onnxruntime.quantization", "static": "onnxruntime.quantization",
           "four_bits": "onnxruntime.quantization.matmul_nbits_quantizer", "nodes": "onnx"}


@functools.cache
def server():
    return subprocess.Popen([peers_python(), "-W", "ignore", PEER], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                            stderr=subprocess.DEVNULL, text=True)


def peer(what, path, work):
    module = MODULES.get(what, what)
    if not has(module):
        raise Skip(f"no Python module {module}")
    print(json.dumps({"do": what, "file": str(path), "with": work}), file=server().stdin, flush=True)
    made = json.loads(server().stdout.readline() or '{"error": "no answer"}')
    assert "error" not in made, f"{what}: {path}: {made['error']}"
    return made


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


def near_span(made, ours, flags):
    """Weights are the same; rows are rounded otherwise, or not at all, which moves logits by some hundredths of their span:
    by 5 at most where activations are float (rounding them by row, as we do, moves ours as far from float), by 15 with a
    scale for all rows together."""
    near(made, ours, (0.15 if "ort" in flags else 0.05) * (max(flat(ours)) - min(flat(ours))))


def answers(path, texts=TEXTS):
    """Logits or vectors of retort itself."""
    out = rows("run", path, stdin="\n".join(texts).encode() + b"\n")
    return [row["logits"] if "logits" in row else row["embedding"] for row in out]


INTEGERS = [("int8", []), ("int8", ["--for", "ort"]), ("int4", []), ("int4", ["--standard"])]
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
def operators_of_onnxruntime():
    for name in ("bert-classify", "distilbert-classify", "package-mean", "bert-tag"):
        for level in "23":
            path, info = export(model(name, level=level), "--for", "ort")
            plain = export(model(name, level=level))[1]
            assert info["nodes"] < plain["nodes"] * 0.7, (info["nodes"], plain["nodes"])
            made = peer("onnxruntime", path, inputs_of(model(name)))
            if name != "bert-tag":
                near(made[list(made)[0]], answers(model(name)))


def quantized(name, recipe):
    path = HERE / f"{name}-{recipe}.retort"
    if not path.exists():
        retort("quantize", model(name), "--recipe", recipe, "--group", "32", "-o", path)
    return str(path)


@test
def integers():
    for name in ("bert-wide", "distilbert-wide"):
        for recipe, flags in INTEGERS:
            source = quantized(name, recipe)
            path = export(source, *flags)[0]
            peer("check", path, {})
            # OpenVINO wants k to be a multiple of the group, which 48 is not, and does not like dynamic integers.
            for engine in ["onnxruntime"] + ([] if flags else ["openvino"]):
                near_span(peer(engine, path, inputs_of(source))["logits"], answers(source), flags)


@test
def integers_by_data():
    texts = "".join(f"{a} {b} film\n" for a in ("very", "good", "the", "bad") for b in ("acting", "is", "a", ","))
    data = HERE / "calibration.txt"
    data.write_text(texts)
    for recipe, bits in (("smoothquant", 8), ("smoothquant+gptq", 8), ("int8-static", 8), ("awq", 4), ("owq", 4), ("owq", 3), ("owq", 2)):
        source = str(HERE / f"wide-{recipe}-{bits}.retort")
        retort("quantize", model("distilbert-wide"), "--recipe", recipe, "--bits", bits, "--data", data, "--group", "32", "-o", source)
        path = export(source)[0]
        made = peer("onnxruntime", path, inputs_of(source))["logits"]
        near_span(made, answers(source), ["ort"] if recipe == "int8-static" else [])  # a grid for all rows there too
        again = str(HERE / "again.retort")
        retort("import", path, "-o", again)
        assert pathlib.Path(again).read_bytes() == pathlib.Path(source).read_bytes(), recipe


TOOLS = {"basic": [(1,)], "extended": [(2,), (2, "--for", "ort"), (3,)]}  # levels of theirs, and ours


def no_more_nodes(source, packed, texts=TEXTS):
    """`optimize` leaves no more nodes than ONNX Runtime's level does of the same file, and the same answers."""
    ours = []
    print(f"# {pathlib.Path(source).name}: {peer('nodes', source, {})['nodes']} nodes", end="")
    for tool, levels in TOOLS.items():
        theirs = str(HERE / "theirs.onnx")
        peer(tool, theirs, {"source": source})
        count = peer("nodes", theirs, {})["nodes"]
        print(f", {tool} {count}", end="")
        for level, *flags in levels:
            path = str(HERE / "optimised.onnx")
            info = rows("optimize", source, "--level", level, *flags, "-o", path)[0]
            ours.append(info["onnx_nodes_after"])
            print(", level", level, *flags, info["onnx_nodes_after"], end="")
            most = min(count, info["onnx_nodes_before"])  # basic makes 6 more of what torch's newer exporter writes
            assert info["onnx_nodes_after"] <= most, (source, level, flags, info, most)
            assert info["onnx_nodes_after"] == peer("nodes", path, {})["nodes"]
            near(peer("onnxruntime", path, inputs_of(packed, texts))["logits"], answers(packed, texts))
    print()
    return ours


@test
def optimised_graphs():
    for name in ("bert-classify", "distilbert-classify"):
        no_more_nodes(export(model(name, level=0))[0], model(name))
        source = str(folder_of(name) / "plain.onnx")
        peer("torchscript", source, {"checkpoint": checkpoint(name)})
        no_more_nodes(source, model(name))


@test
def external_data():
    path, info = export(model("bert-wide"), "--external-over", "50000")
    data = path + ".data"
    assert info["external"] is True and info["bytes"] == os.path.getsize(path) + os.path.getsize(data)
    assert os.path.getsize(path) < 50000 < os.path.getsize(data)
    made = peer("onnxruntime", path, inputs_of(model("bert-wide")))
    near(made["logits"], answers(model("bert-wide")))
    peer("check", path, {})
    again = HERE / "again.retort"
    retort("import", path, "-o", again)
    assert again.read_bytes() == pathlib.Path(model("bert-wide")).read_bytes()
    only = export(model("bert-wide"), "--external-over", "1")[1]  # whatever the size
    assert only["external"] is True


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
        for recipe, flags in INTEGERS:
            source = str(HERE / f"{name}-{recipe}.retort")
            retort("quantize", packed, "--recipe", recipe, "-o", source)
            path = export(source, *flags)[0]
            for engine in ["onnxruntime"] + ([] if "ort" in flags else ["openvino"]):
                near_span(peer(engine, path, inputs_of(packed, texts))["logits"], answers(source, texts), flags)


def folder_of(name):
    """The checkpoint's configuration and tokenizer, for a graph."""
    place = HERE / f"graph-{name}"
    if not place.exists():
        place.mkdir()
        for file in pathlib.Path(checkpoint(name)).iterdir():
            if file.suffix in (".json", ".txt") and "index" not in file.name:
                shutil.copy(file, place)
    return place


def content(path):
    """Operators with their attributes in order, tensors in any: other exporters have other names."""
    data = pathlib.Path(path).read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:start])
    graph = header.pop("__metadata__")["retort.graph"]
    tensors = sorted((t["dtype"], t["shape"], data[start + t["data_offsets"][0]:start + t["data_offsets"][1]]) for t in header.values())
    return re.findall(r" = (\w+)\(.*\)(.*)", graph), sorted(re.findall(r"^input (\w+)", graph, re.M)), tensors


def same_model(path, source):
    """The same plan and the same weights as the checkpoint's, bit for bit."""
    again = str(HERE / "again.retort")
    retort("import", path, "-o", again)
    for what, a, b in zip(("operators", "inputs", "weights"), content(source), content(again), strict=True):
        assert a == b, f"{path}: other {what}: {str(a)[:300]} … {str(b)[:300]}"
    return again


TORCH = ["bert-classify", "bert-tag", "bert-answer", "bert-fill", "distilbert-classify", "distilbert-tag"]


@test
def exports_of_torch():
    for name in TORCH:
        path = str(folder_of(name) / "torch.onnx")
        peer("torchscript", path, {"checkpoint": checkpoint(name)})
        same_model(path, model(name))
    path = str(folder_of("bert-classify") / "old.onnx")  # LayerNorm in plain operators
    peer("torchscript", path, {"checkpoint": checkpoint("bert-classify"), "opset": 14})
    same_model(path, model("bert-classify"))


@test
def exports_of_dynamo():
    for name in ("bert-classify", "distilbert-classify"):
        path = str(folder_of(name) / "dynamo.onnx")
        peer("dynamo", path, {"checkpoint": checkpoint(name)})
        same_model(path, model(name))


@test
def files_rewritten_by_onnxruntime():
    for name in ("bert-classify", "distilbert-classify"):
        plain = export(model(name, level=0))[0]
        for tool in ("basic", "extended", "transformers"):
            path = str(folder_of(name) / f"{tool}.onnx")
            config = json.loads((pathlib.Path(checkpoint(name)) / "config.json").read_text())
            heads = config.get("num_attention_heads", config.get("n_heads"))
            peer(tool, path, {"source": plain, "heads": heads, "hidden": config.get("hidden_size", config.get("dim"))})
            same_model(path, model(name))


@test
def files_quantised_by_onnxruntime():
    for name in ("bert-classify", "distilbert-classify"):
        plain, expected = export(model(name, level=0))[0], answers(model(name))
        fused = str(folder_of(name) / "fused.onnx")
        config = json.loads((pathlib.Path(checkpoint(name)) / "config.json").read_text())
        heads = config.get("num_attention_heads", config.get("n_heads"))
        peer("transformers", fused, {"source": plain, "heads": heads, "hidden": config.get("hidden_size", config.get("dim"))})
        inputs = {key: rows for key, rows in inputs_of(model(name)).items() if key != "token_type_ids" or name.startswith("bert")}
        for tool, source, tolerance in (("dynamic", plain, 0.1), ("dynamic", fused, 0.1), ("static", plain, 0.1), ("four_bits", plain, 0.5)):
            path = str(folder_of(name) / f"{tool}.onnx")
            peer(tool, path, {"source": source, "inputs": inputs})
            again = str(HERE / f"{tool}.retort")
            retort("import", path, "-o", again)
            near(answers(again), expected, tolerance)  # the weights' rounding; activations are ours


@test
def real_exports():
    shared = os.environ.get("RETORT_SHARED")
    if not shared or not os.path.isdir(f"{shared}/models/sst2"):
        raise Skip("RETORT_SHARED is not set")
    place = HERE / "sst2"
    place.mkdir()
    for file in pathlib.Path(f"{shared}/models/sst2").iterdir():
        if file.suffix in (".json", ".txt"):
            shutil.copy(file, place)
    source = str(HERE / "sst2-checkpoint.retort")
    retort("import", f"{shared}/models/sst2", "-o", source)
    texts = ["an utterly charming film", "it 's a mess , and a dull one at that", "fine"]
    for tool in ("torchscript", "dynamo"):
        path = str(place / f"{tool}.onnx")
        peer(tool, path, {"checkpoint": f"{shared}/models/sst2"})
        same_model(path, source)
    plain = export(f"{shared}/models/sst2", "--level", "0")[0]
    for path in (str(place / "torchscript.onnx"), str(place / "dynamo.onnx"), plain):
        assert no_more_nodes(path, source, texts) == [220, 192, 49, 193]  # as docs/onnx.md says
    exported = export(source)[0]
    same_model(exported, source)


@test
def wrong_use():
    fails(2, "--output", "export", model("bert-tag"))
    fails(1, "nowhere", "export", model("bert-tag"), "-o", HERE / "nowhere/x.onnx")
    assert not (HERE / "nowhere").exists()


@test
def models_that_cannot_be_made():
    wide, groups = model("bert-wide"), HERE / "groups.retort"
    retort("quantize", wide, "--recipe", "int4", "--group", "96", "-o", groups)
    for level in ([], ["--level", "3"]):
        fails(3, "groups of 96: MatMulNBits has 2^n", "export", groups, "-o", HERE / "none.onnx", *level)
    fails(3, "a static embedding has no matrices", "quantize", model("static-library"), "--recipe", "int8", "-o", HERE / "none.retort")
    fails(2, "'int5' is not one of", "quantize", wide, "--recipe", "int5", "-o", HERE / "none.retort")
    assert not (HERE / "none.onnx").exists() and not (HERE / "none.retort").exists()


main()
