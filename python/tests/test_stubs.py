# SPDX-License-Identifier: Apache-2.0
"""The stubs say what the code has, by mypy.stubtest, and a program that uses them is checked as its author would expect."""
import importlib.util
import os
import subprocess
import sys

from harness import HERE, Skip, main, test

CONFIG = "[mypy]\nignore_missing_imports = True\n"  # of pyarrow and scikit-learn, which have no stubs
# What has no stub: modules that programs do not use, and names that dataclasses and scikit-learn make.
ALLOWED = r"""
retort_cpu\._[a-z]+\..*
retort_cpu\.libretort
retort_cpu\.Head\.__(match_args|replace)__
retort_cpu\.sklearn\.RetortClassifier\.set_score_request
"""
GOOD = """
from pathlib import Path
from typing import Any, Dict, List
import numpy
from retort_cpu import Head, Model, evaluate, import_, pipeline, quantize, run_table, train
model = Model("model.retort", threads=1, unpack="never")
one: List[Dict[str, Any]] = model.classify("good")
pair: List[Dict[str, Any]] = model.classify(("good", "film"))
many: List[List[Dict[str, Any]]] = model.classify(["good", ("good", "film")], top_k=None)
array: List[List[Dict[str, Any]]] = model.classify(numpy.array(["good"]))
numbers: float = model.scores(["good"]).sum().item()
with model as it:
    it.similarity(it.encode(["good"], show_progress_bar=True), it.encode("film"))
start = import_(Path("folder"), head=Head(["negative", "positive"]))
made, result = train(start, "train.tsv", dev="dev.tsv", teacher="teacher.retort", progress=lambda state: print(state["loss"]))
evaluate(quantize(made, "int4", output=Path("small.retort")), "dev.tsv", reference=made, text_column="body")
run_table(model, "in.parquet", Path("out.parquet"), scores=True, progress=lambda what, done, total: None)
pipeline("fill-mask", model, top_k=2)("the [MASK]")
"""
BAD = ["model.scores(3)", "model.classify('good', top='2')", "Model('m', unpack='sometimes')", "evaluate(model, 'd.tsv', column='x')"]


def mypy(module, *arguments):
    (HERE / "mypy.ini").write_text(CONFIG)
    return subprocess.run([sys.executable, "-m", module, *arguments], capture_output=True, text=True, cwd=HERE, timeout=400,
                          env={**os.environ, "MYPY_CACHE_DIR": str(HERE / "cache")})


def need(*modules):
    missing = [module for module in modules if importlib.util.find_spec(module) is None]
    if missing:
        raise Skip("not installed: " + ", ".join(missing))


@test
def stubs_say_what_the_code_has():
    need("mypy", "sklearn")
    (HERE / "allowed").write_text(ALLOWED)
    # stubtest of the package takes the modules in it, too
    done = mypy("mypy.stubtest", "retort_cpu", "--concise", "--mypy-config-file", "mypy.ini", "--allowlist", "allowed", "--ignore-unused-allowlist")
    assert done.returncode == 0, done.stdout + done.stderr


@test
def programs_are_checked():
    need("mypy")
    (HERE / "good.py").write_text(GOOD)
    done = mypy("mypy", "--strict", "good.py")
    assert done.returncode == 0, done.stdout + done.stderr
    (HERE / "bad.py").write_text("\n".join(["from retort_cpu import Model, evaluate", "model = Model('m')", *BAD]))
    done = mypy("mypy", "--strict", "bad.py")
    assert [line for line in range(3, 3 + len(BAD)) if f"bad.py:{line}: error" not in done.stdout] == [], done.stdout


main()
