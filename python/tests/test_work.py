# SPDX-License-Identifier: Apache-2.0
"""Making models: import, quantise, train, evaluate, tune, and the estimator; progress, cancelling, Ctrl-C."""
import os
import pickle
import subprocess
import sys
import warnings

from harness import HERE, Skip, checkpoint, data, file, main, raises, retort, test

import numpy

import retort_cpu
from retort_cpu import Error, Head, Model, dequantize, evaluate, import_, quantize, train

WORDS = ["good film", "bad plot", "good plot", "bad film"]
ROWS = [{"text": f"{WORDS[i % 4]} {'a' if i % 3 else 'the'}", "label": WORDS[i % 4].split()[0]} for i in range(64)]


@test
def imports():
    seen = []
    path = str(HERE / "imported.retort")
    model = import_(checkpoint("bert-classify"), path, progress=lambda *state: seen.append(state))
    assert model.info["level"] == 3 and os.path.getsize(path) > 1000
    assert numpy.array_equal(Model(path).scores(WORDS), model.scores(WORDS))
    assert numpy.array_equal(Model(checkpoint("bert-classify")).scores(WORDS), model.scores(WORDS))
    assert import_(checkpoint("bert-classify"), dtype="bf16").info["recipe"] == "bf16"
    assert import_(checkpoint("bert-classify"), head=Head(["a", "b"])).labels == ["a", "b"]
    raises(Error, "dtype 'f8'", import_, checkpoint("bert-classify"), dtype="f8")
    raises(Error, "level must be", import_, checkpoint("bert-classify"), level=9)


@test
def quantizes():
    model = Model(file("bert-classify"))
    seen = []
    small = quantize(model, "int4", progress=lambda *state: seen.append(state))
    assert small.info["dtype"] == "int4" or small.info["recipe"].startswith("int4")
    assert seen and seen[-1][1] <= seen[-1][2]
    path = HERE / "small.retort"
    small.save(path)
    row = retort("run", path, "good film")[0]
    assert numpy.array_equal(small.logits("good film"), numpy.asarray(row["logits"], numpy.float32))
    retort("dequantize", path, "-o", HERE / "wanted.retort")
    floats = dequantize(small, HERE / "floats.retort")
    assert floats.info["dtype"] == "float32" and numpy.array_equal(floats.logits(WORDS), Model(HERE / "wanted.retort").logits(WORDS))
    assert numpy.array_equal(Model(HERE / "floats.retort").scores(WORDS), floats.scores(WORDS))
    raises(Error, "no integer weights", dequantize, floats)
    texts = data("texts.jsonl", [{"text": row["text"]} for row in ROWS])
    assert quantize(model, "smoothquant", texts, samples=16).info["recipe"].startswith("smoothquant")
    raises(Error, "recipe", quantize, model, "int5")
    raises(TypeError, "quantize_options has no 'bit'", quantize, model, bit=4)
    raises(TypeError, "bits 'four'", quantize, model, bits="four")
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        quantize(model, "int8", texts)
    assert len(told) == 1 and "reads no data" in str(told[0].message) and told[0].filename == __file__, told
    raises(TypeError, "head: expected a Head", import_, checkpoint("bert-classify"), head=["a", "b"])
    raises(TypeError, "Head: labels: expected a list of str", import_, checkpoint("bert-classify"), head=Head("ab"))
    raises(Error, "count 18446744073709551618: is too large", import_, checkpoint("bert-classify"), head=Head(2**64 + 2))
    raises(Error, "name 'a\\x00b': has a NUL character", import_, checkpoint("bert-classify"), head=Head(["a\0b", "c"]))
    raises(Error, "name '\\ud800': is not Unicode", import_, checkpoint("bert-classify"), head=Head(["\ud800", "c"]))
    raises(Error, "layers: 18446744073709551616 is the index of no layer", import_, checkpoint("bert-classify"), layers=[2**64])


@test
def outputs_are_checked_before_the_work():
    seen, rows = [], data("rows.jsonl", ROWS)
    for output, words in ((HERE / "none" / "m.retort", "there is no folder"), (HERE, "is a folder")):
        for make in (import_, quantize, dequantize):
            raises(Error, words, make, file("bert-classify"), output=output)
        raises(Error, words, train, file("bert-classify"), rows, output=output, epochs=1, progress=seen.append)
    assert not seen


@test
def teachers():
    teacher = import_(checkpoint("bert-classify"), HERE / "teacher.retort")
    rows = data("texts.jsonl", [{"text": row["text"]} for row in ROWS])
    models = [train(file("bert-classify"), rows, teacher=it, epochs=1, threads=1)[0] for it in (teacher, HERE / "teacher.retort")]
    assert numpy.array_equal(*(model.logits(WORDS) for model in models))


class Stop(Exception):
    pass


@test
def exceptions_stop_the_work():
    def stop(*_):
        raise Stop("enough")

    model = Model(file("bert-classify"))
    raises(Stop, "enough", quantize, model, progress=stop)
    rows = data("rows.jsonl", ROWS)
    start = import_(checkpoint("bert-classify"), head=Head(["bad", "good"]))
    raises(Stop, "enough", train, start, rows, epochs=50, progress=stop)


@test
def trains_and_evaluates():
    rows, states = data("rows.jsonl", ROWS), []
    start = import_(checkpoint("bert-classify"), head=Head(["bad", "good"], seed=1))
    model, result = train(start, rows, dev=rows, epochs=12, batch=8, learning_rate=5e-3, threads=1, progress=states.append)
    assert result["metric"] == "accuracy" and result["dev"] > 0.9, result
    assert states[-1]["step"] == states[-1]["steps"] == result["steps"]
    found = evaluate(model, rows, reference=start)
    assert found["metric"] == "accuracy" and found["value"] > 0.9 and found["low"] <= found["value"] <= found["high"]
    assert found["n"] == len(ROWS) and found["difference"] > 0
    raises(Error, "no.jsonl", evaluate, model, "no.jsonl")


@test
def estimator():
    try:
        from sklearn.base import clone
        from sklearn.exceptions import NotFittedError
        from sklearn.model_selection import cross_val_score
    except ImportError as error:
        raise Skip(error)
    from retort_cpu.sklearn import RetortClassifier
    X, y = [row["text"] for row in ROWS], numpy.array([row["label"] for row in ROWS])
    estimator = RetortClassifier(checkpoint("bert-classify"), epochs=12, batch=8, learning_rate=5e-3, threads=1)
    assert clone(estimator).get_params() == estimator.get_params()
    assert cross_val_score(estimator, X, y, cv=2).mean() > 0.9
    fitted = estimator.fit(X, y)
    assert fitted.classes_.tolist() == ["bad", "good"] and fitted.predict_proba(X).shape == (64, 2)
    assert (fitted.predict(X) == y).mean() > 0.9 and fitted.decision_function(X).shape == (64,)
    again = pickle.loads(pickle.dumps(fitted))
    assert numpy.array_equal(again.predict_proba(X), fitted.predict_proba(X))
    numbers = RetortClassifier(checkpoint("bert-classify"), epochs=1, recipe="int8", threads=1).fit(X, numpy.arange(64) % 3 * 5)
    assert set(numbers.predict(X)) <= {0, 5, 10}
    new = RetortClassifier(checkpoint("bert-classify"), epochs=1)
    raises(ValueError, "at least 2", new.fit, ["a"], [1])
    raises(ValueError, "checkpoint: expected a folder", RetortClassifier().fit, X, y)
    raises(ValueError, "y has 2 dimensions", new.fit, X, y[:, None])
    for missing in (None, float("nan")):
        raises(ValueError, "y, label 1: is missing", new.fit, ["good", "bad"], numpy.array(["x", missing], object))
    raises(TypeError, "X is a str", new.fit, "ab", [1, 2])
    raises(TypeError, "X, text 1: expected a str, or a pair of them, found NoneType", new.fit, ["a", None], [1, 2])
    raises(TypeError, "X, text 1: expected a pair, as text 0 is", new.fit, [("a", "b"), "c"], [1, 2])
    raises(NotFittedError, "not fitted", clone(new).predict, X)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        new.fit(["good " * 100, "bad"] * 8, [0, 1] * 8)
    assert [str(it.message) for it in told] == ["X: 8 texts are longer than the limit and were cut"] and told[0].filename == __file__, told


@test
def tunes():
    raises(Error, "no.jsonl", retort_cpu.tune, file("bert-classify"), "no.jsonl", HERE / "tuned", budget="20s")
    assert str(raises(Error, "no.jsonl", retort_cpu.tune, file("bert-classify"), "no.jsonl", HERE / "tuned")).startswith("no.jsonl: ")
    for wrong, words in {"goal": "--for: 'small'", "budget": "--budget: 'small' is not a time", "arguments": "unknown option '--small'"}.items():
        error = raises(Error, words, retort_cpu.tune, file("bert-classify"), data("rows.jsonl", ROWS), HERE / "tuned",
                       **{wrong: ["--small"] if wrong == "arguments" else "small"})
        assert error.status == "ARGUMENT" and "usage" not in str(error), error
    killed = HERE / "killed"
    killed.write_text("#!/bin/sh\necho 'retort: 3 rows' >&2\nkill -9 $$\n")
    killed.chmod(0o755)
    program, os.environ["RETORT_CPU_COMMAND"] = os.environ["RETORT_CPU_COMMAND"], str(killed)
    try:
        assert raises(Error, "ended by signal 9", retort_cpu.tune, "m", "d", "o").status == "CANCELLED"
    finally:
        os.environ["RETORT_CPU_COMMAND"] = program
    raises(TypeError, "tune: arguments: expected a list of str", retort_cpu.tune, "m", "d", "o", arguments="--small")
    raises(TypeError, "save this one", retort_cpu.tune, Model(file("bert-classify")), "no.jsonl", HERE / "tuned")


CTRL_C = """
import sys, threading, os, signal, time
import retort_cpu
model = retort_cpu.Model(sys.argv[1], threads=1)
texts = [f"good film {i}" for i in range(1000000)]
wall, cpu = time.monotonic(), time.process_time()
model.scores(texts)
wall, cpu = time.monotonic() - wall, time.process_time() - cpu
start_model = retort_cpu.import_(sys.argv[4], head=retort_cpu.Head(["bad", "good"]))
threading.Timer(wall / 10, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
start = time.process_time()
try:
    if sys.argv[2] == "run":
        model.scores(texts)
    else:
        retort_cpu.train(start_model, sys.argv[3], epochs=1000000, threads=1)
except KeyboardInterrupt:
    print("interrupted after", (time.process_time() - start) / cpu)
"""


@test
def ctrl_c_ends_a_call():
    """In well under the CPU time of the whole call; the training would never end."""
    def ended(what):
        done = subprocess.run([sys.executable, "-c", CTRL_C, file("bert-classify"), what, data("rows.jsonl", ROWS), checkpoint("bert-classify")],
                              capture_output=True, text=True, timeout=300)
        seen.append((what, done.stdout, done.stderr[-800:]))
        return done.stdout.startswith("interrupted after") and (what == "train" or float(done.stdout.split()[-1]) < 0.7)
    seen = []
    assert any(ended("run") for _ in range(3)), seen  # the machine may have become faster meanwhile
    assert ended("train"), seen


main()
