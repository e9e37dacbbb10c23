#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Other engines on the command line: missing and wrong ones, run and eval in each, bench beside each other. Prints TAP;
tests of engines that are not installed are skipped.

    providers.py RETORT SOURCE_ROOT EXAMPLES_FOLDER

RETORT_OLD_ENGINE names the library of test/old_engine.c.
"""
import os
import shutil
import subprocess
import sys

sys.dont_write_bytecode = True
from harness import HERE, RETORT, ROOT, Skip, checkpoint, close, fails, file, main, model, retort, rows, test

ENGINES = ["onnxruntime", "onnxruntime:openvino", "openvino"]
ALL = ENGINES + ["onnxruntime:cuda", "onnxruntime:tensorrt"]
LIBRARY = {name: "libopenvino_c.so" if name == "openvino" else "libonnxruntime.so" for name in ALL}
FOLDER = {"onnxruntime": "onnxruntime/onnxruntime/capi", "onnxruntime:openvino": "onnxruntime-openvino/onnxruntime/capi",
          "openvino": "openvino/openvino/libs"}
TEXTS = b"a very good film\nbad\nthe acting is bad , the film is good\n"


def found():
    return [engine["name"] for engine in rows("doctor")[0]["engines"] if engine["found"]]


def need(*names):
    missing = [name for name in names if name not in found()]
    if missing:
        raise Skip(f"{', '.join(missing)}: not installed, tools/providers does it")


def nowhere():
    """An environment in which no engine is installed."""
    return {"RETORT_PROVIDERS": str(HERE / "empty"), "XDG_CACHE_HOME": str(HERE / "empty"), "HOME": str(HERE / "empty")}


def placed(engine, source, name=None):
    """An environment in which this file stands where the engine's library is looked for."""
    root = HERE / f"placed-{len(list(HERE.iterdir()))}"
    folder = root / FOLDER[engine]
    folder.mkdir(parents=True)
    if isinstance(source, bytes):
        (folder / (name or LIBRARY[engine])).write_bytes(source)
    else:
        shutil.copy(source, folder / (name or LIBRARY[engine]))
    if engine == "onnxruntime:openvino":
        (folder / "libonnxruntime_providers_openvino.so").write_bytes(b"")
    return {**nowhere(), "RETORT_PROVIDERS": f"{HERE / 'empty'}:{root}"}


@test
def missing_engines():
    path = model("distilbert-classify")
    installed = {e["name"] for e in rows("doctor", env=nowhere())[0]["engines"] if e["found"]}
    for engine in ALL:
        if engine in installed:
            continue  # the system has it
        for verb in (["run", path, "good"], ["eval", path, "--data", "x.tsv"], ["bench", path]):
            error = fails(5, "python3 -m pip install --no-deps --target", *verb, "--provider", engine, env=nowhere())
            assert str(HERE / "empty") in error
    listed = retort("doctor", env=nowhere())[0].decode()
    assert all(engine in listed for engine in ALL) and "pip install" in listed
    fails(5, "known are native, onnxruntime", "bench", path, "--provider", "native,nobody")


@test
def wrong_libraries():
    path = model("distilbert-classify")
    old = os.environ.get("RETORT_OLD_ENGINE")
    for engine in ENGINES:
        for name in (LIBRARY[engine], LIBRARY[engine] + ".1.2.3"):
            error = fails(5, "cannot be loaded", "run", path, "good", "--provider", engine,
                          env=placed(engine, b"not a library", name))
            assert name in error and error.count("\n") == 1
        fails(5, "cannot be loaded", "run", path, "good", "--provider", engine, env=placed(engine, b""))
        if old:
            words = "it has no ov_" if engine == "openvino" else "ONNX Runtime of version 1.10.0: expected 1.17"
            fails(5, words, "run", path, "good", "--provider", engine, env=placed(engine, old))
    if old:  # a library of something else
        libc = next(line.split()[-1] for line in open("/proc/self/maps") if "libc.so" in line or "libc-2" in line)
        for engine in ENGINES:
            fails(5, "this is not", "run", path, "good", "--provider", engine, env=placed(engine, libc))


@test
def serves():
    """Engines that round a text otherwise in a batch than alone, as this model shows."""
    need("onnxruntime")
    socket = HERE / "serve.sock"
    server = subprocess.Popen([RETORT, "serve", ROOT / "models/sentiment.retort", "--unix", socket, "--provider", "onnxruntime"],
                              stderr=subprocess.PIPE, text=True)
    try:
        assert any("listening on" in line for line in server.stderr), "the server has not started"
        done = rows("load", "http://localhost", "--unix", socket, "--closed", "--connections", "1", "--duration", "1")[0]
        assert done["good_per_s"] > 0 and done["errors"] == 0, done
    finally:
        server.terminate()
        assert server.wait(30) == 0


@test
def same_answers():
    engines = [name for name in found() if name != "native"]
    if not engines:
        raise Skip("no engine is installed: tools/providers does it")
    data = file("sst.tsv", "sentence\tlabel\na very good film\t1\nbad\t0\n")
    for name in ("distilbert-classify", "bert-answer", "bert-tag", "bert-fill", "package-mean"):
        path = model(name)
        texts = b"who is good\ta good film is good\n" if name == "bert-answer" else \
            b"a [MASK] film\n[MASK] and [MASK]\n" if name == "bert-fill" else TEXTS
        own = rows("run", path, stdin=texts)
        for engine in engines:
            other = rows("run", path, "--provider", engine, stdin=texts)
            assert len(own) == len(other)
            for a, b in zip(own, other):
                alike(a, b)
    for engine in engines:
        result = rows("eval", model("distilbert-classify"), "--data", data, "--provider", engine, "--reference",
                      model("distilbert-classify"))[0]
        assert result["max_abs_logit_error"] < 1e-4 and result["agreement"] == 1
    # the reference runs in our own engine, so that there is a difference at all
    assert any(rows("eval", model("distilbert-wide"), "--data", data, "--provider", engine, "--reference",
                    model("distilbert-wide"))[0]["max_abs_logit_error"] > 0 for engine in engines)


def alike(a, b):
    if isinstance(a, dict):
        assert a.keys() == b.keys()
        for key in a:
            alike(a[key], b[key])
    elif isinstance(a, list):
        assert len(a) == len(b)
        for x, y in zip(a, b):
            alike(x, y)
    elif isinstance(a, float):
        close(a, b, 1e-4)
    else:
        assert a == b, f"{a} is not {b}"


@test
def onnx_file_and_graph_levels():
    need("onnxruntime")
    path, onnx = model("distilbert-classify"), str(HERE / "plain.onnx")
    retort("export", path, "-o", onnx)
    own = rows("run", path, "a very good film")
    for level in ("none", "basic", "extended", "all"):
        other = rows("run", path, "a very good film", "--provider", "onnxruntime", "--onnx", onnx, "--graph-level", level)
        alike(own, other)
    fails(5, "no-such.onnx", "run", path, "good", "--provider", "onnxruntime", "--onnx", "no-such.onnx")
    fails(1, "other engines only", "run", path, "good", "--onnx", onnx)
    # another model's: its outputs do not fit
    retort("export", model("bert-tag"), "-o", HERE / "tag.onnx")
    fails(5, "expected one of", "run", path, "good", "--provider", "onnxruntime", "--onnx", HERE / "tag.onnx")


@test
def bench_in_turns():
    path, quick = model("distilbert-classify"), ("--seconds", "0.05", "--threads", "1")
    keys = "provider version model threads batch seq ms_p50 ms_p90 ms_p99 tokens_per_s texts_per_s runs file_bytes " \
           "load_ms peak_mb difference others steal".split()
    engines = ["native"] + [name for name in found() if name != "native"]
    html = HERE / "report.html"
    lines = rows("bench", path, "--provider", ",".join(engines), "--grid", "1x8,2x16", *quick, "--html", html)
    assert [(x["provider"], x["batch"], x["seq"]) for x in lines] == [(e, b, s) for b, s in ((1, 8), (2, 16)) for e in engines]
    for line in lines:
        assert list(line) == keys and 0 < line["ms_p50"] <= line["ms_p90"] <= line["ms_p99"] and line["runs"] >= 3
        assert line["difference"] < 1e-4 and line["peak_mb"] > 0 and line["load_ms"] > 0 and line["threads"] == 1
        assert line["file_bytes"] == (os.path.getsize(path) if line["provider"] == "native" else line["file_bytes"]) > 0
    page = html.read_text()
    assert page.count("<svg") == 2 and page.count("r=\"5\"") == 2 * len(engines) and page.rstrip().endswith("</html>")
    # two models: one dot each
    other = model("distilbert-classify-f16")
    lines = rows("bench", path, other, "--grid", "1x8", *quick, "--html", html)
    assert [x["model"] for x in lines] == [path, other] and html.read_text().count("r=\"5\"") == 2
    data = file("contest.tsv", "sentence\n" + "a very good film\nbad\n" * 10)
    lines = rows("bench", path, "--provider", ",".join(engines), "--data", data, "--batch", "7", *quick, "--html", html)
    assert [x["provider"] for x in lines] == engines and all(x["seq"] == 0 and x["batch"] == 7 for x in lines)
    text = retort("bench", checkpoint("distilbert-classify"), path, "--grid", "1x8", *quick)[0].decode()
    assert "peak MB" in text and "difference" in text
    fails(2, "for one model in one engine", "bench", path, other, "--profile")
    fails(2, "--grid: expected", "bench", path, other, "--grid", "1y8")
    fails(2, "--grid replaces", "bench", path, other, "--grid", "1x8", "--batch", "2")
    work = HERE / "work"
    work.mkdir()
    rows("bench", path, "--provider", ",".join(engines), "--grid", "1x8", *quick, "--html", html, env={"TMPDIR": str(work)})
    fails(3, "labels", "bench", path, model("bert-tag"), *quick, env={"TMPDIR": str(work)})
    assert not list(work.iterdir()), "what is made on the way is removed"


@test
def pipeline_stages():
    source, data = checkpoint("distilbert-classify"), file("stages.tsv", "sentence\tlabel\na very good film\t1\nbad\t0\n")
    lines = rows("bench", source, "--stages", "--data", data, "--seconds", "0.02", "--threads", "1")
    engines, steps = found(), [line["step"] for line in lines]
    assert steps[-3:] == ["retort", "retort INT8", "retort INT4"]
    assert ("ONNX as exported" in steps) == ("onnxruntime" in engines) and ("OpenVINO itself" in steps) == ("openvino" in engines)
    for line in lines:
        assert line["ms_p50"] > 0 and line["peak_mb"] > 0 and 0 <= line["value"] <= 1
        assert (line["gain"] is None) == (line["gain_over"] is None)
        if "INT" not in line["step"] and line["step"] != "retort":
            assert line["kl"] < 1e-8
    random = rows("bench", source, "--stages", "--batch", "1", "--seq", "8", "--seconds", "0.02", "--threads", "1")
    assert all(line["seq"] == 8 and line["value"] is None for line in random)
    fails(2, "makes its own choice", "bench", source, "--stages", "--provider", "openvino")
    fails(2, "one checkpoint", "bench", source, source, "--stages")
    fails(3, "nothing-here", "bench", "nothing-here", "--road")  # the earlier name of --stages


(HERE / "empty").mkdir()
if os.environ.get("RETORT_SANITIZER", "none") != "none":  # the engines' libraries leave blocks behind, which it reports
    os.environ.update(nowhere())
main()
