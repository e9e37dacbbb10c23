# SPDX-License-Identifier: Apache-2.0
"""retort cascade, and a cascade in the verbs that take a model."""
import json
import random
import struct

from harness import *


def texts(name, n, seed=1):
    draw = random.Random(seed)
    words = "good bad film the not great act very a is it that".split()
    return file(name, "\n".join(" ".join(draw.choices(words, k=3 + i % 6)) for i in range(n)) + "\n")


def made():
    """A cascade of the golden classifier, its int8 student and a linear stage; made once."""
    path = HERE / "made.retort"
    if not path.exists():
        retort("quantize", model("distilbert-classify"), "-o", HERE / "student.retort")
        retort("cascade", model("distilbert-classify"), "--linear", "--stage", HERE / "student.retort", "--data", texts("made.txt", 1500), "-o",
               path)
    return str(path)


@test
def cascade_says_what_it_did():
    retort("quantize", model("distilbert-classify"), "-o", HERE / "twin.retort")
    common = ("cascade", model("distilbert-classify"), "--stage", HERE / "twin.retort", "--data", texts("many.txt", 1500))
    out = rows(*common, "--epsilon", "2%", "-o", HERE / "c.retort")[0]
    assert out["epsilon"] == 0.02 and out["confidence"] == 0.95 and out["bound"] <= 0.02, out
    assert out["trained"] == 0 and out["ordered"] + out["calibrated"] + out["tested"] == 1500
    assert out["stages"][-1]["kind"] == "full" and abs(sum(s["share"] for s in out["stages"]) - 1) < 1e-6
    assert out["agreement_low"] <= out["agreement"] <= out["agreement_high"]
    assert rows("info", HERE / "c.retort")[0]["cascade"]["stages"] == out["stages"]
    text = retort("info", HERE / "c.retort")[0].decode()
    assert "with 95 % confidence, at most 2 % of the answers differ" in text and "held out" in text, text
    again = rows(*common, "--epsilon", "0.02", "-o", HERE / "d.retort")[0]
    assert again["stages"] == out["stages"]
    assert (HERE / "c.retort").read_bytes() == (HERE / "d.retort").read_bytes()


@test
def a_test_file_of_its_own():
    out = rows("cascade", model("distilbert-classify"), "--linear", "--linear-data", texts("train.txt", 600, 2), "--data",
               texts("data.txt", 900, 3), "--test", texts("test.txt", 200, 4), "--epsilon", "10%", "-o", HERE / "own.retort")[0]
    assert out["trained"] == 600 and out["tested"] == 200 and out["ordered"] + out["calibrated"] == 900
    error = retort("cascade", model("distilbert-classify"), "--linear", "--data", texts("same.txt", 900, 5), "--test", HERE / "same.txt",
                   "--epsilon", "10%", "-o", HERE / "same.retort")[1]
    assert "900 of the 900 test texts are also among those that made the cascade" in error, error


@test
def it_is_a_model():
    data = texts("some.txt", 40, 6)
    reference = [json.loads(line) for line in retort("run", made(), "--json", "--data", data)[0].splitlines()]
    assert len(reference) == 40
    one_by_one = [json.loads(retort("run", made(), "--json", " ".join(line.split()))[0]) for line in open(data)][:5]
    assert [r["labels"] for r in one_by_one] == [r["labels"] for r in reference[:5]]
    table = file("labelled.tsv", "sentence\tlabel\n" + "".join(f"{line.strip()}\t{i % 3}\n" for i, line in enumerate(open(data))))
    result = rows("eval", made(), "--data", table, "--reference", model("distilbert-classify"))[0]
    assert result["agreement"] >= 0.9, result
    assert len(rows("compare", model("distilbert-classify"), made(), "--data", table)) >= 2
    assert rows("bench", made(), "--data", data, "--seconds", "0")
    assert rows("explain", made())


@test
def it_is_a_safetensors_file():
    data = open(made(), "rb").read()
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:8 + size])
    meta = header.pop("__metadata__")
    assert json.loads(meta["retort.cascade"])["epsilon"] == 0.01
    assert sum(1 for name in header if name == "tokenizer.vocab") == 1
    ends = sorted(t["data_offsets"] for t in header.values())
    assert all(a[1] == b[0] for a, b in zip(ends, ends[1:])) and ends[-1][1] + 8 + size == len(data)


@test
def verbs_that_make_no_sense():
    out = HERE / "no.retort"
    data = texts("none.txt", 20)
    for words in (("quantize", made(), "-o", out), ("dequantize", made(), "-o", out), ("optimize", made(), "--level", "3", "-o", out),
                  ("export", made(), "-o", HERE / "no.onnx"), ("train", made(), "--data", data, "--teacher", made(), "-o", out)):
        error = retort(*words, code=3)[1]
        assert "is a cascade of" in error and error.count("\n") == 1, error
    error = retort("cascade", made(), "--linear", "--data", data, "-o", out, code=3)[1]
    assert "a cascade: its stages are models" in error, error
    assert not out.exists()


@test
def bad_input():
    full, out, data = model("distilbert-classify"), HERE / "bad.retort", texts("few.txt", 300)
    def refused(code, text, *words):
        error = retort("cascade", *words, "-o", out, code=code)[1]
        assert text in error, error
        assert not out.exists()
    refused(3, "takes 299 without one that differs", full, "--linear", "--data", data)
    refused(2, "no stage: give --linear, --stage or both", full, "--data", data)
    refused(2, "--data is required", full, "--linear")
    refused(2, "with 0 only MODEL could answer", full, "--linear", "--data", data, "--epsilon", "0")
    refused(2, "is not a share", full, "--linear", "--data", data, "--epsilon", "-1%")
    refused(2, "is not a share", full, "--linear", "--data", data, "--epsilon", "1%%")
    refused(2, "--confidence", full, "--linear", "--data", data, "--confidence", "100%")
    refused(2, "--linear-data", full, "--stage", full, "--linear-data", data, "--data", data)
    refused(2, "more than 8 times", full, *["--stage", full] * 9, "--data", data)
    refused(3, "1 to 7", full, *["--stage", full] * 8, "--data", data)
    refused(3, "one label", model("distilbert-multilabel"), "--linear", "--data", data)
    refused(3, "one label", model("distilbert-tag"), "--linear", "--data", data)
    refused(3, "student 1: ", full, "--stage", model("bert-classify"), "--data", data)
    refused(3, "one label", full, "--stage", model("distilbert-regression"), "--data", data)
    empty = file("empty.txt", "")
    error = retort("cascade", full, "--linear", "--data", empty, "-o", out, code=3)[1]
    assert "empty.txt" in error, error


@test
def spoilt_files():
    data = open(made(), "rb").read()
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:8 + size])

    def spoil(expected, change):
        copy = json.loads(json.dumps(header))
        meta = copy["__metadata__"]
        cascade = json.loads(meta["retort.cascade"])
        change(copy, meta, cascade)
        if "retort.cascade" in meta:
            meta["retort.cascade"] = json.dumps(cascade)
        text = json.dumps(copy).encode()
        text += b" " * (-(len(text) + 8) % 64)
        error = retort("info", file("spoilt.retort", struct.pack("<Q", len(text)) + text + data[8 + size:]), code=3)[1]
        assert expected in error, error

    spoil("tensors, the graph", lambda copy, meta, cascade: meta.pop("retort.cascade"))
    spoil("threshold: expected a number from 0 to 1", lambda copy, meta, cascade: cascade["stages"][0].update(threshold=2))
    spoil("stages: expected 1 to 7", lambda copy, meta, cascade: cascade.update(stages=[]))
    spoil("kind: expected linear or student", lambda copy, meta, cascade: cascade["stages"][0].update(kind="cubic"))
    spoil("tested: expected a count", lambda copy, meta, cascade: cascade.update(tested=-1))
    kinds = [stage["kind"] for stage in json.loads(header["__metadata__"]["retort.cascade"])["stages"]]
    if "student" in kinds:
        n = kinds.index("student") + 1
        spoil(f"no retort.stage.{n}.graph", lambda copy, meta, cascade: meta.pop(f"retort.stage.{n}.graph"))
        spoil("label 0 is", lambda copy, meta, cascade: meta.update({f"retort.stage.{n}.config": meta[f"retort.stage.{n}.config"].replace(
            "negative", "other")}))


main()
