#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs every verb of the command line and checks exit codes, JSON, files and error texts. Prints TAP.

    run.py RETORT SOURCE_ROOT EXAMPLES_FOLDER
"""
import json
import os
import pathlib
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree

sys.dont_write_bytecode = True
from harness import EXAMPLES, GOLDEN, HERE, RETORT, ROOT, Skip, checkpoint, close, fails, file, main, model, retort, rows, test, undisturbed, with_infinite_word

VERBS = ["import", "info", "explain", "run", "tokenize", "eval", "compare", "optimize", "train", "tune", "quantize", "dequantize", "bench", "serve", "load", "doctor", "help", "version"]


# ---- the table of commands ----


@test
def help_of_every_verb():
    out, _ = retort("help")
    for verb in VERBS:
        assert verb.encode() in out
        one, _ = retort(verb, "--help")
        assert b"options:" in one and b"examples:" in one and one == retort("help", verb)[0]
        described = rows("help", verb)[0]
        assert described["command"] == verb
        for option in described["options"]:
            assert f"--{option['name']}".encode() in one
    assert retort("--help")[0] == out
    retort(code=2)


@test
def manual_and_completions():
    man = retort("help", "--man")[0].decode()
    assert man.startswith(".TH RETORT 1") and ".SH EXIT STATUS" in man
    for verb in VERBS:
        assert f".SS {verb}" in man
    for shell in ("bash", "zsh", "fish"):
        script = retort("completions", shell)[0].decode()
        assert all(verb in script for verb in VERBS) and "special\\-as\\-text" not in script
        assert "special-as-text" in script
    done = subprocess.run(["bash", "-n"], input=retort("completions", "bash")[0], capture_output=True)
    assert done.returncode == 0, done.stderr
    fails(2, "not one of bash, zsh, fish", "completions", "tcsh")


@test
def version():
    assert rows("version")[0]["version"] in retort("--version")[0].decode()


@test
def wrong_usage():
    fails(2, "did you mean 'import'?", "imprt")
    fails(2, "unknown command 'xyzzyx';", "xyzzyx")
    fails(2, "did you mean '--threads'?", "run", "m", "--treads", "2")
    fails(2, "unknown option '-z'", "run", "m", "-z")
    fails(2, "--threads needs a value", "run", "m", "--threads")
    fails(2, "not a whole number", "run", "m", "--threads", "two")
    fails(2, "not a whole number", "run", "m", "--threads=-1")
    fails(2, "is not one of", "run", "m", "--isa", "sse")
    fails(2, "takes no value", "run", "m", "--json=yes")
    fails(2, "not a number", "eval", "m", "--data", "f", "--floor", "high")
    fails(2, "--output is required", "import", "m")
    fails(2, "--data is required", "eval", "m")
    fails(2, "too few arguments", "info")
    fails(2, "unexpected argument 'b'", "info", "a", "b")
    fails(2, "needs --level 3", "import", checkpoint("bert-tag"), "-o", HERE / "x", "--dtype", "bf16", "--level", "1")
    small = model("distilbert-classify")
    fails(2, "give one or the other", "bench", small, "--grid", "1x8", "--batch", "2")
    fails(2, "--grid: expected", "bench", small, "--grid", "1x8,8")
    fails(2, "48 positions", "bench", small, "--seq", "49", "--json")


@test
def doctor():
    found = rows("doctor")[0]
    assert found["threads"] >= 1 and found["isa"] in ("ref", "avx2", "vnni", "amx", "neon")
    assert "native" in found["providers"] and "peaks" not in found
    assert found["weights"] == {"bits": 4, "unpacked": found["isa"] not in ("ref", "avx2")}


@test
def neighbours_are_seen():
    """Busy loops, one on each CPU for the time of the test, are the others that doctor and bench name."""
    busy = rows("doctor")[0]["busy"]
    assert {"others", "steal", "load", "pressure", "advice"} <= set(busy)
    if busy["others"] is None:
        raise Skip("the system does not say how busy its CPUs are")
    loop = "import os, sys, time\nos.sched_setaffinity(0, [int(sys.argv[1])])\nend = time.monotonic() + 300\nwhile time.monotonic() < end: pass"
    loops = [subprocess.Popen([sys.executable, "-c", loop, str(cpu)]) for cpu in os.sched_getaffinity(0)]
    bench = ("bench", model("distilbert-classify"), "--batch", "1", "--seq", "16", "--seconds", "0.3", "--threads", "1")

    def look():
        seen = rows("doctor")[0]["busy"]
        text = retort("doctor")[0].decode()
        assert seen["others"] + seen["steal"] > 0.5 and seen["advice"] and "advice      " in text, seen
        line = rows(*bench)[0]
        assert line["others"] + line["steal"] > 0.2, line
        assert retort(*bench)[0].decode().splitlines()[-1].startswith("other processes used ")
    try:
        time.sleep(0.5)  # until they run
        undisturbed(look)
    finally:
        for process in loops:
            process.kill()
            process.wait()


@test
def doctor_peak():
    found = rows("doctor", "--peak", "--threads", "2")[0]["peaks"]
    assert sorted(found) == ["barrier_s", "cache_bytes", "isa", "ops_per_s", "read_bytes_per_s", "seconds", "threads", "wake_s"]
    assert sorted(found["ops_per_s"]) == ["bf16", "f32", "s4", "s8"] and found["threads"] == 2
    assert sorted(found["read_bytes_per_s"]) == ["dram", "l1", "l2", "l3"] and sorted(found["cache_bytes"]) == ["l1", "l2", "l3"]
    rates = [*found["ops_per_s"].values(), *found["read_bytes_per_s"].values()]
    assert all(rate[key] > 0 for rate in rates for key in ("one", "all"))
    assert min(found["barrier_s"], found["wake_s"], found["seconds"], *found["cache_bytes"].values()) > 0
    for name, row in found["ops_per_s"].items():
        assert row["kernel"].startswith(f"peak_{name}_")
    text = retort("doctor", "--peak", "--threads", "1", "--isa", "ref")[0].decode()
    assert all(f"peak_{name}_ref" in text for name in found["ops_per_s"]) and "\nint4 " in text
    assert "read dram" in text and "1 thread" in text and "barrier" in text
    fails(2, "1025", "doctor", "--peak", "--threads", "1025")


def check_shares(steps):
    """Every matrix product says how near it came to the machine's peaks; steps that count nothing say 0."""
    keys = {"arithmetic", "ops_per_s", "of_peak", "memory", "weight_bytes_per_s", "of_read"}
    assert all(keys <= set(step) for step in steps)
    products = [step for step in steps if step["op"] == "Linear"]
    assert products and all(step[key] > 0 for step in products for key in ("ops_per_s", "of_peak", "of_read"))
    types = {"gemm_f32": "f32", "gemm_bf16": "bf16", "gemm_s8": "s8", "gemm_s4": "s4"}
    assert all(step["arithmetic"] == types[step["kernel"].rsplit("_", 1)[0]] for step in products)
    for step in steps:
        wanted = "s8" if step["kernel"].startswith("attention_s8") else "f32"
        assert step["op"] == "Linear" or step["arithmetic"] == wanted, step
    assert all(step["weight_bytes_per_s"] == 0 for step in steps if step["op"] == "Embed")
    assert {step["memory"] for step in steps} <= {"l1", "l2", "l3", "dram"}


@test
def peaks_of_steps():
    small = model("distilbert-wide", dtype="bf16")
    check_shares(rows("explain", small, "--peak", "--threads", "1")[0]["steps"])
    assert b"of peak" in retort("explain", small, "--peak")[0] and b"of peak" not in retort("explain", small)[0]
    check_shares(rows("bench", small, "--grid", "1x8", "--seconds", "0.01", "--peak")[0]["steps"])
    for recipe in ("int8", "int4"):
        retort("quantize", model("distilbert-wide"), "-o", HERE / "peak.retort", "--recipe", recipe)
        check_shares(rows("explain", HERE / "peak.retort", "--peak")[0]["steps"])
    plain = rows("bench", small, "--grid", "1x8", "--seconds", "0.01", "--profile")[0]["steps"]
    assert all("of_peak" not in step for step in plain)


# ---- models ----


@test
def pictures():
    for name, level, drawn in (("distilbert-classify", 0, 1), ("distilbert-classify", 3, 2), ("bert-fill", 2, 1)):
        packed, picture = model(name, level=level), HERE / "graph.svg"
        info, space = rows("info", packed)[0], "{http://www.w3.org/2000/svg}"
        for flags in ([], ["--whole"]):
            retort("explain", packed, "--svg", picture, *flags)
            page = xml.etree.ElementTree.parse(picture)
            nodes = [int(g.get("data-times")) for g in page.iter(space + "g") if g.get("class") == "node"]
            assert sum(nodes) == info["nodes"], (name, level, flags, sum(nodes))
            frames = [r for r in page.iter(space + "rect") if r.get("class") == "frame"]
            assert len(frames) == (2 if flags else drawn), (name, level, flags, len(frames))
            assert f"level {level}: {info['nodes']} nodes" in picture.read_text()
        assert "href" not in picture.read_text() and "url(h" not in picture.read_text(), "something outside"
    for name, act in (("distilbert-classify", "gelu"), ("eurobert-classify", "silu")):
        retort("explain", model(name, level=3), "--svg", picture)
        assert f"Linear + {act}" in picture.read_text(), name
    # A checkpoint at any level; a file up to the level asked for, not back.
    plain = model("distilbert-classify", level=0)
    retort("explain", plain, "--level", "2", "--svg", picture)
    assert "level 2: 18 nodes" in picture.read_text()
    fails(1, "cannot create", "explain", plain, "--svg", HERE / "nowhere/graph.svg")


@test
def levels_of_files():
    """A checkpoint at any level, even beside its own file, which is not replaced by what it was made from."""
    full, plain, folder, picture, graph = model("bert-tag"), model("bert-tag", level=0), checkpoint("bert-tag"), HERE / "level.svg", HERE / "level.onnx"
    retort("explain", folder, "--svg", picture, "--level", 0)
    assert f"level 0: {rows('info', plain)[0]['nodes']} nodes" in picture.read_text()
    retort("export", folder, "--level", 0, "-o", graph)
    retort("explain", graph, "--svg", picture, "--level", 0)
    assert f"level 0: {rows('info', plain)[0]['nodes']} nodes" in picture.read_text()
    for verb, words, advice in (("explain", ("--svg", picture), "--svg FILE "), ("explain", ("--graph",), "--graph "), ("explain", (), ""),
                                ("export", ("-o", graph), "--output FILE "), ("optimize", ("-o", HERE / "level.retort"), "--output FILE ")):
        for level in (0, 2):
            fails(2, f"--level {level}: the graph in '{full}' is at level 3, and rewrites cannot be undone: use its checkpoint "
                     f"(retort {verb} CHECKPOINT {advice}--level {level}), or import that with --level {level}", verb, full, *words, "--level", level)
    assert not (HERE / "level.retort").exists()
    assert rows("export", plain, "--level", 2, "-o", graph)[0]["level"] == 2 and rows("export", plain, "-o", graph)[0]["level"] == 0


@test
def options_without_effect():
    folder, full, output = checkpoint("distilbert-wide"), model("distilbert-wide"), HERE / "no-effect.retort"
    for verb in ("import", "optimize"):
        fails(2, "--without has no effect at --level 0", verb, folder, "--level", 0, "--without", "fuse-qkv", "-o", output)
        assert rows(verb, folder, "--level", 3, "--without", "fuse-qkv", "-o", output)[0]["level"] == 3
    output.unlink()
    for engine in ("ort", "any"):
        fails(2, f"--for is for ONNX files: '{output}' does not end in .onnx", "optimize", folder, "--for", engine, "-o", output)
    assert not output.exists()
    retort("optimize", folder, "--for", "ort", "-o", HERE / "no-effect.onnx")
    small = HERE / "no-effect.int4.retort"
    for path, words in ((folder, ()), (full, ()), (HERE / "no-effect.int8.retort", ("--embeddings", 4))):
        if words:
            retort("quantize", full, "-o", path, *words)
        fails(2, f"--standard is for 4-bit matrices: '{path}' has none", "export", path, "--standard", "-o", HERE / "no-effect.onnx")
    for words in ((), ("--bits", 3), ("--bits", 2)):
        retort("quantize", full, "--recipe", "int4", "-o", small, *words)
        retort("export", small, "--standard", "-o", HERE / "no-effect.onnx")


@test
def pictures_of_hostile_names():
    hostile = HERE / "a<b>&\"'\udcff\x01.retort"
    graph = pathlib.Path(model("distilbert-classify", level=0)).read_bytes()
    renamed = graph.replace(b"layer.0.attention.softmax", b"layer.0.<script>&'>'softm")
    assert renamed != graph and len(renamed) == len(graph)
    hostile.write_bytes(renamed)
    picture = HERE / "hostile.svg"
    retort("explain", hostile, "--svg", picture)
    page = xml.etree.ElementTree.parse(picture)
    texts = [e.text or "" for e in page.iter()]
    assert "layer.0.<script>&'>'softm" in texts and not any(e.tag.endswith("script") for e in page.iter())
    assert "a<b>&\"'\ufffd\ufffd.retort" in texts


@test
def import_info_explain():
    path = HERE / "imported.retort"
    made = rows("import", checkpoint("distilbert-classify"), "-o", path)[0]
    assert made["bytes"] == path.stat().st_size and made["level"] == 3
    header = int.from_bytes(path.read_bytes()[:8], "little")
    assert json.loads(path.read_bytes()[8 : 8 + header])["__metadata__"], "a valid safetensors file"
    info = rows("info", path, "--tensors")[0]
    assert info["task"] == "classify" and info["label_names"] == ["negative", "neutral", "positive"]
    assert info["layers"] == 2 and info["hidden"] == 16 and info["vocab"] == 100 and info["positions"] == 48
    assert len(info["tensors"]) == info["tensor_count"] and info["file_bytes"] == made["bytes"]
    assert b"negative, neutral, positive" in retort("info", path)[0]
    plan = rows("explain", path)[0]
    assert plan["steps"] and all(step["ms"] >= 0 and step["kernel"] for step in plan["steps"])
    assert plan["steps"][0]["name"] in retort("explain", path)[0].decode()
    graph = rows("explain", path, "--graph")[0]["graph"]
    assert graph == retort("explain", path, "--graph")[0].decode() and len(graph.splitlines()) > info["nodes"]
    again = HERE / "again.retort"
    retort("import", checkpoint("distilbert-classify"), "-o", again)
    assert again.read_bytes() == path.read_bytes(), "an import depends on nothing but its input"
    fails(2, "unknown option", "explain", model("bert-classify"), "--provider", "onnxruntime")  # it has no plan


@test
def bf16_is_smaller():
    wide = rows("info", model("distilbert-wide"))[0], rows("info", model("distilbert-wide", dtype="bf16"))[0]
    assert wide[1]["file_bytes"] < wide[0]["file_bytes"] and "bf16" in wide[1]["bytes"]


@test
def optimize_level_by_level():
    source, counts, answers = checkpoint("bert-classify"), [], []
    for level in range(4):
        path = HERE / f"level{level}.retort"
        done = rows("optimize", source, "--level", level, "-o", path)[0]
        assert done["level"] == level
        assert [at["level"] for at in done["levels"]] == ([level] if level > 0 else []), done["levels"]
        counts.append(done["nodes_after"])
        answers.append(rows("run", path, "a very good film")[0]["logits"])
        source = path
    assert counts[0] >= counts[1] > counts[2] and counts[1] > counts[3], counts
    for logits in answers[1:]:
        for a, b in zip(logits, answers[0]):
            close(a, b)
    assert b"nodes" in retort("optimize", HERE / "level0.retort", "--level", "2", "-o", HERE / "t.retort")[0]
    fails(2, "level 3", "optimize", HERE / "level3.retort", "--level", "1", "-o", HERE / "t.retort")


@test
def optimize_own_export():
    onnx, path = HERE / "level2.onnx", HERE / "from-onnx.retort"
    retort("export", HERE / "level2.retort", "-o", onnx)
    done = rows("optimize", onnx, "-o", path)[0]
    assert [at["level"] for at in done["levels"]] == [3] and path.read_bytes() == (HERE / "level3.retort").read_bytes()
    assert rows("optimize", onnx, "--level", "2", "-o", HERE / "again.onnx")[0]["level"] == 2
    for verb in ("import", "optimize", "export"):
        fails(2, f"the graph in '{onnx}' is at level 2", verb, onnx, "--level", "1", "-o", path)


@test
def rewrites_left_out():
    source, whole = checkpoint("bert-classify"), rows("run", model("bert-classify"), "a very good film")[0]["logits"]
    for verb in ("import", "optimize"):
        path = HERE / f"{verb}-without.retort"
        done = rows(verb, source, "--without", "prune-rows,fuse-qkv", "-o", path)[0]
        assert rows("info", path)[0]["recipe"] == "fp32 without=prune-rows,fuse-qkv"
        for a, b in zip(rows("run", path, "a very good film")[0]["logits"], whole):
            close(a, b)
    applied = {row["rewrite"]: row for row in done["rewrites"]}
    assert "prune-rows" not in applied and applied["drop-key-bias"]["help"] == "drop b_K"
    assert b"  drop-key-bias " in retort("optimize", source, "-o", HERE / "said.retort")[0]
    for verb in ("import", "optimize"):
        no = ("-o", HERE / "no.retort", "--without")
        every = fails(2, "no rewrite 'prune'; there is ", verb, source, *no, "prune")
        assert all(name in every for name in applied) and "prune-rows" in every
        fails(2, "remove-padding cannot be left out of level 3", verb, source, *no, "remove-padding")
        fails(2, "no rewrite ''", verb, source, *no, "fuse-qkv,")
        assert not (HERE / "no.retort").exists()
    fails(3, "without fuse-linear: remove-padding", "import", source, *no, "fuse-linear")
    assert "without fuse-linear: remove-padding" in retort("optimize", source, *no, "fuse-linear", code=3)[1]
    fails(2, "level 3 already", "optimize", model("bert-classify"), *no, "prune-rows")
    fails(2, "unknown option", "run", model("bert-classify"), "--without", "prune-rows")


@test
def weights_of_few_bits_unpacked():
    small = HERE / "unpack.retort"
    retort("quantize", model("distilbert-wide"), "--recipe", "int4", "--group", "32", "-o", small)
    found = {how: rows("explain", small, "--unpack", how)[0] for how in ("auto", "always", "never")}
    for how, plan in found.items():
        codes = [step for step in plan["steps"] if "form" in step]
        assert codes and plan["unpacked"]["int8_bytes"] > 0 and plan["unpacked"]["reason"]
        assert {step["form"] for step in codes} <= {"codes", "int8"} and len({step["form"] for step in codes}) == 1
        assert all(step["kernel"].startswith("gemm_s8" if step["form"] == "int8" else "gemm_s4") for step in codes)
        wanted = {"always": plan["unpacked"]["int8_bytes"], "never": 0}
        assert plan["unpacked"]["unpacked_bytes"] == wanted.get(how, plan["unpacked"]["unpacked_bytes"])
    assert rows("explain", model("distilbert-wide"))[0]["unpacked"] is None
    assert b"unpacked to int8 in memory" in retort("explain", small, "--unpack", "always")[0]
    answers = [retort("run", small, "a very good film", "a film", "--json", "--unpack", how)[0] for how in ("auto", "always", "never")]
    assert answers[0] == answers[1] == answers[2]
    assert rows("bench", small, "--grid", "1x8", "--seconds", "0", "--unpack", "never")
    fails(2, "is not one of auto|always|never", "run", small, "a", "--unpack", "sometimes")


@test
def quantize_to_integers():
    source, logits, data = model("distilbert-wide"), [], file("quantize.tsv", "sentence\tlabel\na good film\t0\na film\t1\n")
    for name, flags in {"int8": [], "owq": ["--recipe", "owq", "--data", data, "--samples", "2", "--weak-columns", "8"],
                        "smooth": ["--recipe", "smoothquant", "--data", data, "--activations", "static"],
                        "three": ["--recipe", "owq", "--bits", "3", "--data", data],
                        "two": ["--recipe", "owq", "--bits", "2", "--data", data],
                        "int4": ["--recipe", "int4", "--group", "32"], "mixed":
                        ["--recipe", "int4", "--embeddings", "8", "--keep", "layer.0,head.output"]}.items():
        path = HERE / f"{name}.retort"
        done = rows("quantize", source, "-o", path, *flags)[0]
        assert done["bytes"] == path.stat().st_size and done["weight_bytes"] < done["weight_bytes_before"] * 0.7
        info = rows("info", path)[0]
        assert info["recipe"] == done["recipe"] and info["parameters"] - rows("info", source)[0]["parameters"] in (0, 96)
        assert info["parts"]["embeddings"]["bits"] < 17 and b"matrices" in retort("info", path)[0]
        kernels = [step["kernel"] for step in rows("explain", path, "--unpack", "never")[0]["steps"]]
        assert any(kernel.startswith("gemm_s8" if name in ("int8", "smooth") else "gemm_s4") for kernel in kernels), kernels
        logits.append(rows("run", path, "a very good film")[0]["logits"])
        compared = rows("eval", path, "--data", data, "--reference", source)[0]
        assert 0 < compared["kl"] < 0.1 and compared["max_abs_logit_error"] < 1
        assert rows("bench", path, "--grid", "1x8", "--seconds", "0")
    assert logits[0] != logits[1]
    info = rows("info", HERE / "three.retort", "--tensors")
    assert b"p16_s3" in retort("info", HERE / "three.retort", "--tensors")[0] and "bits=3" in info[0]["recipe"]
    assert (HERE / "three.retort").stat().st_size < (HERE / "owq.retort").stat().st_size
    assert b"p16_s2" in retort("info", HERE / "two.retort", "--tensors")[0] and b"rows_s2" in retort("info", HERE / "two.retort", "--tensors")[0]
    assert (HERE / "two.retort").stat().st_size < (HERE / "three.retort").stat().st_size
    fails(2, "recipe 'smoothquant' makes 8 bits; for 3, use", "quantize", source, "-o", HERE / "no.retort", "--recipe", "smoothquant", "--bits", "3")
    fails(2, "recipe 'smoothquant+gptq' makes 8 bits; for 4, use", "quantize", source, "-o", HERE / "no.retort", "--recipe", "smoothquant+gptq", "--bits", "4")
    fails(2, "recipe 'int8' makes 8 bits; for 2, use", "quantize", source, "-o", HERE / "no.retort", "--bits", "2")
    fails(2, "recipe 'int4' has no outlier columns", "quantize", source, "-o", HERE / "no.retort", "--recipe", "int4", "--weak-columns", "16")
    for column in "--text-column", "--text-pair-column":
        fails(2, f"{column} needs --data", "quantize", source, "-o", HERE / "no.retort", column, "text")
        fails(2, f"{column} needs --texts", "import", checkpoint("bert-embed"), "-o", HERE / "no.retort", column, "text")
    for bits in "1", "5":
        fails(2, "is not one of 8|4|3|2", "quantize", source, "-o", HERE / "no.retort", "--recipe", "int4", "--bits", bits)
    said = retort("quantize", source, "-o", HERE / "int8.retort", "--data", data)[1]
    assert "warning: quantize: recipe 'int8' reads no data" in said and "no groups" not in said
    said = retort("quantize", source, "-o", HERE / "int8.retort", "--group", "32")[1]
    assert "warning: quantize: recipe 'int8' has no groups: what is given has no effect" in said
    assert "no groups" not in retort("quantize", source, "-o", HERE / "mixed4.retort", "--group", "32", "--embeddings", "4")[1]
    assert "reads no data" not in retort("quantize", source, "-o", HERE / "owq8.retort", "--activations", "static", "--data", data)[1]
    assert b"bits" in retort("quantize", checkpoint("bert-tag"), "-o", HERE / "tag8.retort")[0]
    back = rows("dequantize", HERE / "int8.retort", "-o", HERE / "back.retort")[0]
    assert back["recipe"].startswith("fp32 of int8") and back["weight_bytes"] > back["weight_bytes_before"]
    compared = rows("eval", HERE / "back.retort", "--data", data, "--reference", HERE / "int8.retort")[0]
    assert 0 < compared["kl"] < 0.01 and rows("quantize", HERE / "back.retort", "-o", HERE / "again.retort")[0]["recipe"].startswith("int8")
    assert b"fp32 of int8" in retort("dequantize", HERE / "int8.retort", "-o", HERE / "back.retort")[0]
    fails(3, "no integer weights", "dequantize", source, "-o", HERE / "no.retort")
    fails(2, "its weight is s8", "quantize", HERE / "int8.retort", "-o", HERE / "no.retort")
    fails(2, "no layer is named 'body'", "quantize", source, "-o", HERE / "no.retort", "--keep", "body")
    fails(2, "multiple of 32", "quantize", source, "-o", HERE / "no.retort", "--recipe", "int4", "--group", "33")
    fails(2, "is not one of int8|", "quantize", source, "-o", HERE / "no.retort", "--recipe", "int3")
    fails(2, "needs calibration data", "quantize", source, "-o", HERE / "no.retort", "--recipe", "gptq")
    for name, operator, recipe, instead in (("package-acts", "Softplus", "ptq+owq", "owq"), ("setfit-rest", "Mul", "smoothquant+gptq", "smoothquant")):
        error = fails(3, f"needs gradients, and none goes through {operator} (", "quantize", checkpoint(name), "--data", data,
                      "-o", HERE / "no.retort", "--recipe", recipe)
        assert error.endswith(f"): use {instead}\n"), error
    assert not (HERE / "no.retort").exists()


@test
def bad_models():
    good = pathlib.Path(model("distilbert-classify")).read_bytes()
    fails(3, "nothing-here", "info", HERE / "nothing-here.retort")
    (HERE / "empty").mkdir()
    fails(3, "empty", "import", HERE / "empty", "-o", HERE / "x.retort")
    bare = HERE / "bare"
    bare.mkdir()
    (bare / "config.json").write_bytes((pathlib.Path(checkpoint("distilbert-classify")) / "config.json").read_bytes())
    fails(3, "bare", "import", bare, "-o", HERE / "x.retort")
    for cut in (0, 4, 8, 100, len(good) // 2, len(good) - 1):
        fails(3, "cut.retort", "run", file("cut.retort", good[:cut]), "text")
    fails(3, "text.retort", "info", file("text.retort", "this is no model, though it is long enough to be read as one"))
    assert not (HERE / "x.retort").exists()
    fails(1, "no-folder", "import", checkpoint("bert-tag"), "-o", HERE / "no-folder" / "x.retort")
    fails(1, "not a regular file", "import", checkpoint("bert-tag"), "-o", HERE)
    fails(1, "not a regular file", "import", checkpoint("bert-tag"), "-o", "/dev/null")
    keep = file("keep.retort", good)
    fails(3, "empty", "import", HERE / "empty", "-o", keep)
    assert pathlib.Path(keep).read_bytes() == good


@test
def models_by_name():
    folder = HERE / "shipped"
    folder.mkdir()
    shutil.copy(model("distilbert-classify"), folder / "tiny.retort")
    here = {"RETORT_MODELS": f"/nowhere::{folder}"}
    by_path, by_name = retort("run", model("distilbert-classify"), "good", "bad"), retort("run", "tiny", "good", "bad", env=here)
    assert by_path == by_name and rows("info", "tiny", env=here) == rows("info", folder / "tiny.retort")
    twice = fails(3, "no other.retort in /no, /no/where, ", "run", "other", env={"RETORT_MODELS": "/no:/no/where:/no:/no/where"})
    assert twice.count("/no/where") == 1, "a folder is named once"
    data = file("named.tsv", "sentence\tlabel\ngood\t0\nbad\t1\n")
    assert rows("eval", "tiny", "--data", data, "--reference", "tiny", env=here)[0]["kl"] == 0
    for verb in (["info"], ["run"], ["explain"], ["tokenize"], ["bench"], ["serve", "--port", "0"]):
        error = fails(3, "no other.retort in /nowhere, ", *verb, "other", env=here)
        assert str(folder) in error and "share/retort/models" in error and error.count("\n") == 1
        assert "retort/models" not in fails(3, "other.retort: ", *verb, "other.retort", env=here)
        fails(3, "not in the local cache of the hub; download it first: hf download an-owner/a-name", *verb, "an-owner/a-name")
        assert "hf download" not in fails(3, "no-folder/a.retort: ", *verb, "no-folder/a.retort")
    shutil.copy(RETORT, folder / "retort")  # beside it are no models, as in the Python package
    there = {**os.environ, "LD_LIBRARY_PATH": str(pathlib.Path(RETORT).resolve().parents[1])}
    alone = subprocess.run([folder / "retort", "run", "a good film"], capture_output=True, text=True, env=there, timeout=300)
    assert alone.returncode in (0, 3) and (alone.returncode == 0 or "pip install retort-cpu-sentiment" in alone.stderr), alone


@test
def the_model_that_comes_with_retort():
    if not (ROOT / "models/sentiment.retort").exists():
        raise Skip("models/sentiment.retort has not been made")
    good, bad = (row["labels"][0] for row in rows("run", "an utterly charming film", "a dull, lifeless mess"))
    assert good["label"] == "POSITIVE" and bad["label"] == "NEGATIVE" and min(good["score"], bad["score"]) > 0.9
    assert retort("run", stdin=b"an utterly charming film\n") == retort("run", "sentiment", "an utterly charming film")
    assert retort("run", "--", "so  bad", "good")[0].count(b"\n") == 2
    info = rows("info", "sentiment")[0]
    assert info["file_bytes"] < 13e6 and info["recipe"] in (ROOT / "models/README.md").read_text()
    assert "/" not in info["source"]
    (HERE / "a text").mkdir()
    fails(3, "a text", "run", HERE / "a text")
    shown = re.findall(r"^    (\S.*\.)\n      ([A-Z]+) +(0\.\d{4}) ", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert len(shown) == 2, shown
    for text, label, score in shown:  # README shows what the command prints
        best = rows("run", text)[0]["labels"][0]
        assert (best["label"], f"{best['score']:.4f}") == (label, score), (text, best, score)


@test
def instruction_sets():
    small, have = model("distilbert-classify"), rows("doctor")[0]["features"].split()
    wanted = {"ref": True, "avx2": "avx2" in have, "vnni": "avx512_vnni" in have, "amx": "amx_bf16" in have and "amx_int8" in have,
              "neon": "neon" in have}
    answers = []
    for isa, here in wanted.items():
        if here:
            answers.append(rows("run", small, "good", "--isa", isa, "--threads", "2")[0])
        else:
            fails(1, "not supported on this CPU", "run", small, "good", "--isa", isa)
    assert all(answer == answers[0] for answer in answers), "the same bits on every tier"
    fails(5, "provider", "run", small, "good", "--provider", "nobody")


# ---- run and tokenize ----


@test
def tasks_like_transformers():
    for name, cases in json.loads((GOLDEN / "tasks.json").read_text()).items():
        cut = ["--truncate"] if name.endswith("-tag") else []  # the pipeline's way without a stride
        found = [None] * len(cases)
        for pairs in False, True:
            these = [i for i, case in enumerate(cases) if ("\t" in case["text"]) == pairs]
            texts = "".join(cases[i]["text"] + "\n" for i in these).encode()
            answers = rows("run", model(name), *cut, *["--pairs"] * pairs, stdin=texts) if these else []
            assert len(answers) == len(these), name
            for i, answer in zip(these, answers):
                found[i] = answer
        for case, got in zip(cases, found):
            if "labels" in case:
                scores = {row["label"]: row["score"] for row in got["labels"]}
                assert scores.keys() == case["labels"].keys()
                for label in scores:
                    close(scores[label], case["labels"][label])
                order = [row["score"] for row in got["labels"]]
                assert order == sorted(order, reverse=True) and len(got["logits"]) == len(order)
            elif "entities" in case:
                assert len(got["entities"]) == len(case["entities"]), (name, case, got)
                for entity, expected in zip(got["entities"], case["entities"]):
                    assert all(entity[key] == expected[key] for key in ("start", "end", "label")), (name, entity, expected)
                    assert entity["text"] == case["text"][expected["start"] : expected["end"]]
                    close(entity["score"], expected["score"])
            else:
                for mask, expected in zip(got["fill"], case["fill"], strict=True):
                    assert [guess["id"] for guess in mask] == [guess["id"] for guess in expected]
                    for guess, want in zip(mask, expected):
                        close(guess["score"], want["score"])
    for case in json.loads((GOLDEN / "parameters.json").read_text()):
        if "-answer" not in case["model"] or case["parameters"]:
            continue
        got = rows("run", model(case["model"]), case["inputs"]["question"] + "\t" + case["inputs"]["context"])[0]
        assert (got["start"], got["end"], got["answer"]) == tuple(case["answer"][key] for key in ("start", "end", "answer")), (case, got)
        close(got["score"], case["answer"]["score"])


@test
def run_prints_plain_lines():
    plain = retort("run", model("distilbert-classify"), "good", "bad")[0].decode().splitlines()
    labels = [row["labels"][0] for row in rows("run", model("distilbert-classify"), "good", "bad")]
    for line, best in zip(plain, labels, strict=True):
        label, score = line.split("\t")
        assert label == best["label"]
        close(float(score), best["score"], 1e-6)
    for name, text in (("bert-tag", "a b c"), ("bert-fill", "a [MASK]"), ("bert-answer", "who\ta film"), ("bert-embed", "a")):
        assert len(retort("run", model(name), text)[0].splitlines()) == 1
    fails(3, "QUESTION<tab>CONTEXT", "run", model("bert-answer"), "no context")
    (HERE / "questions.csv").write_text("q,passage\nwho,a film\n")
    fails(3, "name its column with --text-pair-column", "run", model("bert-answer"), "--data", HERE / "questions.csv", "--text-column", "q")
    fails(3, "mask", "run", model("bert-fill"), "no mask")
    warning = "warning: no label of the model begins with 'entail', so the last one"
    assert warning in retort("run", model("distilbert-classify"), "--labels", "a,b", "a film")[1]


@test
def options_of_tasks():
    """Each is honoured, or refused by its name; the meaning is that of the server's parameters (test/serve/wire.py)."""
    tag, answer, fill, nli, embed = map(model, ("bert-tag", "bert-answer", "bert-fill", "bert-classify", "bert-embed"))
    for path, option, words in (
            (tag, ("--top", 2), "--top needs a model that classifies, answers, fills or embeds; this one is for tag"),
            (nli, ("--aggregation", "max"), "--aggregation needs a model that tags"), (fill, ("--stride", 3), "--stride needs a model that tags or answers"),
            (answer, ("--ignore-labels", "O"), "--ignore-labels needs"), (tag, ("--window", 9), "--window needs a model that answers"),
            (tag, ("--max-answer", 9), "--max-answer needs"), (nli, ("--truncate",), "--truncate needs a model that tags"),
            (tag, ("--truncate", "--stride", 3), "--stride has no effect with --truncate"), (fill, ("--max-question", 9), "--max-question needs"), (nli, ("--impossible",), "--impossible needs"),
            (nli, ("--pieces",), "--pieces needs"), (tag, ("--targets", "a"), "--targets needs a model that fills"), (tag, ("--labels", "a"), "--labels needs"),
            (nli, ("--multi-label",), "--multi-label needs --labels"), (nli, ("--hypothesis", "{}"), "--hypothesis needs --labels"),
            (embed, ("--top", 2), "--top needs --query"), (tag, ("--aggregation", "none", "--stride", 3), "stride 3"),
            (nli, ("--labels", "a,b", "--hypothesis", "it is so"), "expected one {}")):
        fails(2, words, "run", path, *option, "a b")
    text = "this was a very good film , with great acting !"
    tokens = rows("run", tag, "--aggregation", "none", "--ignore-labels", "", text)[0]["entities"]
    assert len(tokens) == len(text.split()) and all("-" in token["label"] or token["label"] == "O" for token in tokens)
    simple = rows("run", tag, text)[0]["entities"]
    assert rows("run", tag, text * 9)[0]["entities"][-1]["end"] > len(text) * 8 > rows("run", tag, "--truncate", text * 9)[0]["entities"][-1]["end"]
    assert [e for e in simple if e["label"] != "PER"] == rows("run", tag, "--ignore-labels", "PER,O", text)[0]["entities"]
    asked = "is this good ?\ta very good film , with great acting and a bad play"
    best = rows("run", answer, asked)[0]
    assert rows("run", answer, "--top", 1, asked)[0] == {"truncated": best.pop("truncated"), "answers": [best]}
    several = rows("run", answer, "--top", 3, "--impossible", asked)[0]["answers"]
    assert len(several) == 3 and several[0]["score"] >= several[1]["score"] >= several[2]["score"]
    assert len(rows("run", answer, "--max-answer", 1, "--pieces", asked)[0]["answer"].split()) == 1
    guesses = rows("run", fill, "--targets", "good,bad", "a very [MASK] film")[0]["fill"][0]
    assert sorted(guess["piece"] for guess in guesses) == ["bad", "good"]
    told = rows("run", nli, "--labels", "good,bad,film", text)[0]["labels"]
    assert sorted(label["label"] for label in told) == ["bad", "film", "good"] and abs(sum(label["score"] for label in told) - 1) < 1e-6
    assert len(rows("run", nli, "--labels", "good,bad,film", "--top", 1, text)[0]["labels"]) == 1
    both = rows("run", nli, "--labels", "good,bad", "--multi-label", "--hypothesis", "it was {}", text)[0]["labels"]
    assert abs(sum(label["score"] for label in both) - 1) > 1e-6
    assert len(rows("run", nli, "--top", 2, text)[0]["labels"]) == 2
    assert len(retort("run", nli, "--top", 2, text)[0].decode().split("\t")) == 4


@test
def options_without_effect():
    small, source = model("distilbert-classify"), checkpoint("distilbert-classify")
    for words, args in (
            ("--whole needs --svg", ("explain", small, "--whole")), ("--batch has no effect with --graph", ("explain", small, "--graph", "--batch", 2)),
            ("--graph has no effect with --svg", ("explain", small, "--graph", "--svg", HERE / "x.svg")), ("--samples needs --data", ("quantize", small, "-o", HERE / "x", "--samples", 3)),
            ("--python needs --stages", ("bench", small, "--python", "p")),
            ("--port has no effect with --unix", ("serve", small, "--unix", HERE / "s", "--port", 1)), ("--arrivals has no effect with --closed", ("load", "http://127.0.0.1:1", "--closed", "--arrivals", "poisson")),
            ("--threads needs --peak", ("doctor", "--threads", 2)), ("--task is for checkpoints", ("quantize", small, "-o", HERE / "x", "--task", "tag")),
            ("--tokenizer is for checkpoints", ("export", small, "-o", HERE / "x.onnx", "--tokenizer", source))):
        fails(2, words, *args)


@test
def embeddings_and_ranking():
    path = model("package-mean")
    vectors = [row["embedding"] for row in rows("run", path, "a good film", "a bad play", "a good film")]
    close(sum(x * x for x in vectors[0]), 1.0, 1e-4)
    assert vectors[0] == vectors[2]
    ranked = rows("run", path, "--query", "a good film", stdin=b"a bad play\na good film\nof the\n")
    assert ranked[0]["text"] == "a good film" and ranked[0]["index"] == 1
    close(ranked[0]["score"], 1.0)
    close(next(r["score"] for r in ranked if r["index"] == 0), sum(a * b for a, b in zip(*vectors[:2])))
    assert len(rows("run", path, "--query", "good", "--top", "2", "a", "b", "c")) == 2
    cross = model("cross-tanh")
    texts = ["the film was very good", "not this one", "bad play?"]
    found = rows("run", cross, "--query", "a good film", *texts)
    scores = [rows("run", cross, "--pairs", f"a good film\t{text}")[0]["labels"][0]["score"] for text in texts]
    assert [(row["index"], row["score"]) for row in found] == sorted(enumerate(scores), key=lambda item: -item[1]), (found, scores)
    assert found[0]["text"] == texts[found[0]["index"]]
    assert len(rows("run", cross, "--query", "x", "--top", 2, *texts)) == 2
    two = rows("run", model("cross-labels"), "--query", "a good film", texts[0])[0]["score"]
    assert two == next(label["score"] for label in rows("run", model("cross-labels"), "--pairs", f"a good film\t{texts[0]}")[0]["labels"] if label["label"] == "yes")
    fails(2, "a cross-encoder, which has one label or two; this one has 3", "run", model("bert-classify"), "--query", "x", "y")
    fails(2, "not with --pairs or --labels", "run", cross, "--query", "x", "--pairs", "y\tz")
    fails(2, "--query needs a model that classifies or embeds; this one is for tag", "run", model("bert-tag"), "--query", "x", "y")


@test
def batches_keep_order_and_bits():
    path, lines = model("distilbert-classify"), [("very " * (i % 37)) + "good" for i in range(150)]
    text = "\n".join(lines).encode()
    together = rows("run", path, "--batch", "64", "--threads", "2", stdin=text)
    apart = rows("run", path, "--batch", "1", "--threads", "1", stdin=text)
    assert len(together) == len(lines) and together == apart


@test
def streams_keep_order_and_bytes():
    """Many texts run in several streams; what is printed is the same bytes as from one thread."""
    some = [("very " * (i % 23)) + ("good" if i % 3 else "bad") + " film" * (i % 2) for i in range(150)]
    cases = [("distilbert-classify", some, ()), ("distilbert-classify", some, ("--labels", "good,bad film")), ("bert-tag", some, ()),
             ("package-mean", some, ()), ("package-mean", some, ("--query", "good film")),
             ("bert-answer", [f"good film\t{text}" for text in some], ("--top", "2")), ("distilbert-fill", [f"{text} [MASK]" for text in some], ())]
    for name, texts, more in cases:
        path, text = model(name), "\n".join(texts).encode()
        for form in ((), ("--json",)):
            one = retort("run", path, *more, *form, "--threads", "1", stdin=text)
            assert one[0].count(b"\n") >= len(texts), (name, more)
            for threads in (2, 5):
                assert retort("run", path, *more, *form, "--threads", threads, stdin=text) == one, (name, more, threads)
            assert retort("run", path, *more, *form, "--threads", "2", *(("--data", file("some.txt", text)) if name != "bert-answer" else texts))[0] == one[0]


@test
def streams_name_the_text_that_fails():
    texts = ["good film"] * 200
    texts[99] = "a bad film"
    for threads in (1, 2, 5):
        for name in ("distilbert-classify", "bert-tag", "package-mean"):
            out, error = retort("run", with_infinite_word(name, "bad"), "--threads", threads, stdin="\n".join(texts).encode(), code=1)
            assert out.count(b"\n") == 99 and error.count("\n") == 1 and "text 100: the model's answer is not finite" in error, (name, threads, error)
        pairs = ["good\tfilm"] * 200
        pairs[149] = "alone"
        out, error = retort("run", model("bert-classify"), "--pairs", "--threads", threads, stdin="\n".join(pairs).encode(), code=3)
        assert out.count(b"\n") == 149 and "text 150 has no tab" in error, (threads, error)
        cut = retort("run", model("bert-classify"), "--threads", threads, stdin=b"good\n" * 100 + b"good " * 100 + b"\n" + b"bad\n" * 30)[1]
        assert "1 of 131 texts were truncated" in cut, (threads, cut)


@test
def many_lines_are_answered_before_the_next_one():
    args = [RETORT, "run", model("distilbert-classify"), "--threads", "2"]
    with subprocess.Popen(args, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        for count in (300, 1, 70, 1):
            process.stdin.write(b"a very good film\n" * count)
            process.stdin.flush()
            for _ in range(count):
                assert process.stdout.readline().endswith(b"\n")
        process.stdin.close()
        assert process.stdout.read() == b"" and process.wait() == 0


@test
def results_flow_on_a_pipe():
    args = [RETORT, "run", model("distilbert-classify"), "--json"]
    with subprocess.Popen(args, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        for _ in range(2):
            process.stdin.write(b"good\n")
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["labels"]  # before the input has ended
        process.stdin.close()
        assert process.stdout.read() == b"" and process.wait() == 0


@test
def odd_texts():
    path, tag = model("distilbert-classify"), model("bert-tag")
    assert len(rows("run", path, "")) == 1
    assert len(rows("run", path, stdin=b"")) == 0
    assert len(rows("run", path, stdin=b"\n\n")) == 2
    huge = b"good film " * (1 << 20)
    assert rows("run", path, stdin=huge)[0] == rows("run", path, stdin=huge[:1000])[0]
    assert rows("run", path, stdin=b"go\0od\n")[0] == rows("run", path, "good")[0]
    assert len(rows("run", tag, stdin=b"\xff\xfe a \xc3\x28 \xed\xa0\x80 \xf0\x9f\x98 very\0 good\n")) == 1
    line = b"good \xff\xc3 film"
    decoded = line.decode("utf-8", "replace")
    for entity in rows("run", tag, stdin=line)[0]["entities"]:
        assert entity["text"] == decoded[entity["start"] : entity["end"]]
    assert rows("run", path, stdin=b"good\r\n")[0] == rows("run", path, "good")[0]


@test
def masks_that_are_cut_off():
    path = model("modernbert-fill")
    fails(3, "fill: the text has no mask token\n", "run", path, "good film")
    fails(3, "fill: no mask token among the 40 tokens that are read of the text", "run", path, "good " * 60 + "[MASK]")
    assert len(rows("run", path, "[MASK] " + "good " * 60)) == 1


@test
def answers_are_finite():
    """A text without a finite answer is named, behind the answers that come before it."""
    for task in ("distilbert-classify", "package-mean", "bert-tag"):
        broken = with_infinite_word(task, "bad")
        out, error = retort("run", broken, "good", "a bad film", "good", "--json", code=1)
        assert len(out.splitlines()) == 1 and "text 2: the model's answer is not finite" in error, task
        assert b"NaN" not in out and b"null" not in out and b"Infinity" not in out
        assert len(rows("run", broken, "good", "film")) == 2
    broken = with_infinite_word("bert-answer", "bad")
    fails(1, "text 1: the model's answer is not finite", "run", broken, "good\ta bad film")
    broken = with_infinite_word("distilbert-fill", "bad")
    fails(1, "text 1: the model's answer is not finite", "run", broken, "[MASK] bad")


@test
def tokenize():
    path = model("bert-classify")
    found = rows("tokenize", path, "--pairs", "a very good\tfilm")
    pieces = retort("tokenize", path, "--pairs", "a very good\tfilm")[0].decode().split()
    assert found[0]["ids"] == [int(piece.rsplit(":", 1)[1]) for piece in pieces]
    assert [piece.rsplit(":", 1)[0] for piece in pieces] == ["[CLS]", "a", "very", "good", "[SEP]", "film", "[SEP]"]
    assert found[0]["offsets"] == [[0, 0], [0, 1], [2, 6], [7, 11], [0, 0], [0, 4], [0, 0]]
    words = "good " * 100
    assert len(rows("tokenize", path, words)[0]["ids"]) == 40  # model_max_length of its tokenizer
    assert len(rows("tokenize", path, words, "--max-length", "0")[0]["ids"]) == 102
    assert len(rows("tokenize", path, words, "--max-length", "7")[0]["ids"]) == 7
    special = rows("tokenize", path, "a [SEP] b")[0]["ids"], rows("tokenize", path, "a [SEP] b", "--special-as-text")[0]["ids"]
    assert special[0] == [2, 5, 3, 6, 3] and special[1][2] != 3


# ---- bench ----


@test
def bench():
    path = model("distilbert-classify")
    keys = "provider model batch seq threads ms_p50 ms_p90 ms_p99 tokens_per_s load_ms rss_mb".split()
    one = rows("bench", path, "--batch", "2", "--seq", "16", "--seconds", "0.05", "--threads", "1")
    assert len(one) == 1 and all(key in one[0] for key in keys) and one[0]["batch"] == 2 and one[0]["threads"] == 1
    assert 0 < one[0]["ms_p50"] <= one[0]["ms_p90"] <= one[0]["ms_p99"]
    grid = rows("bench", path, "--grid", "1x8,3x48", "--seconds", "0.01", "--profile")
    assert [(row["batch"], row["seq"]) for row in grid] == [(1, 8), (3, 48)] and grid[0]["steps"]
    assert b"tokens/s" in retort("bench", path, "--seconds", "0.01")[0]
    data = file("bench.tsv", "sentence\tlabel\n" + "a very good film\t1\nbad\t0\n" * 20)
    texts = rows("bench", path, "--data", data, "--batch", "7", "--seconds", "0.01")[0]
    assert texts["tokens"] == 20 * (6 + 3) and texts["ms_total"] > 0 and texts["sentences_per_s"] > 0
    same = file("same.tsv", "sentence\n" + "a very good film\n" * 3000)

    @undisturbed
    def equal_texts_of_a_batch_are_computed_once():
        once, each = (rows("bench", path, "--data", same, "--batch", "3000", "--seconds", "0.05", *flags)[0]["ms_total"]
                      for flags in ([], ["--keep-duplicates"]))
        assert each > 4 * once, (each, once)
    padded = rows("bench", path, "--data", data, "--batch", "7", "--seconds", "0", "--pad")[0]
    assert (texts["padding"], padded["tokens"], padded["padding"]) == (0, texts["tokens"], 20 * (6 - 3))
    alone = rows("bench", path, "--data", data, "--batch", "1", "--seconds", "0", "--pad")[0]
    assert alone["padding"] == 0 and b"and 60 of padding" in retort("bench", path, "--data", data, "--seconds", "0", "--pad")[0]
    fails(2, "--pad needs --data", "bench", path, "--pad")
    no_pad = HERE / "no-pad"
    shutil.copytree(checkpoint("distilbert-classify"), no_pad)
    for name in ("vocab.txt", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
        if (no_pad / name).exists():
            (no_pad / name).write_text((no_pad / name).read_text().replace("[PAD]", "[NIL]"))
    fails(3, "no pad token in the vocabulary", "bench", no_pad, "--data", data, "--pad")
    assert rows("bench", model("bert-fill"), "--batch", "1", "--seq", "8", "--seconds", "0.01")
    assert rows("bench", model("bert-tag"), "--data", file("b.conll", "a O\n"), "--seconds", "0.01")[0]["tokens"] == 3
    pairs = file("pairs.tsv", "sentence1\tsentence2\tlabel\na\tb\t1\n")  # the model has no token types
    assert rows("bench", path, "--data", pairs, "--seconds", "0.01")[0]["sentences"] == 1


# ---- around it ----


@test
def output_that_cannot_be_written():
    if pathlib.Path("/dev/full").exists():
        with open("/dev/full", "wb") as full:
            done = subprocess.run([RETORT, "doctor"], stdout=full, stderr=subprocess.PIPE)
        assert done.returncode == 1 and b"cannot write" in done.stderr
    with subprocess.Popen([RETORT, "run", model("distilbert-classify")], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.close()
        try:
            process.stdin.write(b"good\n" * 1000)
            process.stdin.close()
        except BrokenPipeError:
            pass
        assert process.wait(300) == 1


def limited(size, *args):
    """With files of at most `size` bytes, as on a full disk; the last line of what is said."""
    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    done = subprocess.run([RETORT, *map(str, args)], capture_output=True, preexec_fn=limit)
    assert done.returncode == 1, (args, done.returncode, done.stderr)
    return done.stderr.decode().splitlines()[-1]


@test
def full_disks():
    """Exit code 1 with the file's name, and nothing is left of it; what was there before stays."""
    small, place = model("distilbert-classify"), HERE / "full"
    place.mkdir()
    data = file("full.tsv", "sentence\tlabel\n" + "good\t0\n" * 1000)
    writers = {"x.retort": ["import", checkpoint("distilbert-classify"), "-o"], "y.retort": ["quantize", small, "-o"],
               "z.onnx": ["export", small, "-o"], "g.svg": ["explain", small, "--svg"],
               "l.tsv": ["eval", small, "--data", data, "--logits"]}
    for name, words in writers.items():
        error = limited(3000, *words, place / name)
        assert str(place / name) in error and "File too large" in error, error
        assert list(place.iterdir()) == [], name
    (place / "x.retort").write_bytes(b"before")
    limited(3000, *writers["x.retort"], place / "x.retort")
    assert (place / "x.retort").read_bytes() == b"before" and len(list(place.iterdir())) == 1
    if pathlib.Path("/dev/full").exists():
        for words in (["info", small], ["tokenize", small, "a", "--json"], ["run", small, "a"], ["explain", small], ["help", "--man"],
                      ["eval", small, "--data", data], ["completions", "bash"], ["run", small, "--json", *["a"] * 2000]):
            with open("/dev/full", "wb") as full:
                done = subprocess.run([RETORT, *words], stdout=full, stderr=subprocess.PIPE)
            assert done.returncode == 1 and done.stderr.startswith(b"retort: standard output: cannot write"), (words, done.stderr)


@test
def links():
    """The file that a link names is replaced, not the link; a dangling link is refused."""
    small, target = model("distilbert-classify"), HERE / "target.retort"
    target.write_bytes(b"before")
    (HERE / "link").symlink_to(target)
    retort("quantize", small, "-o", HERE / "link")
    assert (HERE / "link").is_symlink() and rows("info", target)[0]["recipe"].startswith("int8")
    for name, words in (("dangling", ["quantize", small, "-o"]), ("loop", ["quantize", small, "-o"]), ("dangling", ["explain", small, "--svg"])):
        (HERE / name).unlink(missing_ok=True)
        (HERE / name).symlink_to("loop" if name == "loop" else "nowhere")
        fails(1, "a dangling link", *words, HERE / name)
        assert (HERE / name).is_symlink() and not (HERE / "nowhere").exists()


@test
def signals_leave_nothing():
    """What several engines read lies in a folder for a while."""
    folder = HERE / "signals"
    folder.mkdir()
    for sent in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        process = subprocess.Popen([RETORT, "bench", checkpoint("distilbert-classify"), checkpoint("distilbert-wide"), "--grid", "1x8", "--seconds",
                                    "20"], env={**os.environ, "TMPDIR": str(folder)}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                   preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL))  # also under nohup
        for _ in range(600):
            if list(folder.glob("retort-*/*.retort")):
                break
            time.sleep(0.05)
        assert list(folder.glob("retort-*/*.retort"))
        process.send_signal(sent)
        assert process.wait(60) == -sent
        assert list(folder.iterdir()) == [], sent


@test
def lines_have_a_bound():
    small = model("distilbert-classify")
    assert "line 2 is longer than 64 MB" in retort("run", small, stdin=b"good\n" + b"\0" * (65 << 20), code=3)[1]
    for threads in (1, 2):
        out, error = retort("run", small, "--threads", threads, stdin=b"good\n" * 300 + b"\0" * (65 << 20), code=3)
        assert out.count(b"\n") == 300 and "line 301 is longer than 64 MB" in error, (threads, error)


@test
def no_colours_in_a_pipe():
    for env in ({}, {"NO_COLOR": "1", "TERM": "xterm"}):
        out, error = retort("run", model("distilbert-classify"), "good", env=env)
        assert b"\033" not in out and "\033" not in error


@test
def the_program_of_the_readme():
    """Compiled as it stands there, with 77 labels and with 3: it prints the best one."""
    if shutil.which("cc") is None or os.environ.get("RETORT_SANITIZER", "none") != "none":
        raise Skip("needs cc, and a library without sanitizers")
    build = EXAMPLES.parent
    program = re.search(r"```c\n(.*?)```", (ROOT / "README.md").read_text(), re.S)[1]
    small = model("distilbert-classify")
    source = file("readme.c", program.replace('"model.retort"', json.dumps(small)))
    subprocess.run(["cc", "-Wall", "-Wextra", "-Werror", "-I", ROOT / "include", source, "-o", HERE / "readme", "-L", build, "-lretort",
                    f"-Wl,-rpath,{build}"], check=True)
    best = rows("run", small, "an utterly charming film")[0]["labels"][0]
    assert retort(program=HERE / "readme")[0].decode() == f"{best['label']} {best['score']:.3f}\n"


@test
def examples():
    small = model("distilbert-classify")
    out, _ = retort(small, "very good", "bad", program=EXAMPLES / "example-classify")
    assert out.count(b"  positive") == 2 and out.count(b"very good: ") == 1
    best = rows("run", small, "very good")[0]["labels"][0]["label"]
    assert f"very good: {best}\n".encode() in out
    out, _ = retort(small, "very good", "bad", program=EXAMPLES / "example-batch")
    assert b"2 rows of 3 logits" in out
    out, _ = retort(model("package-mean"), "good", "good", program=EXAMPLES / "example-embed")
    close(float(out), 1.0, 1e-4)
    fails(1, "missing.retort", "missing.retort", "text", program=EXAMPLES / "example-classify")


main()
