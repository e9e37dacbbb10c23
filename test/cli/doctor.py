# SPDX-License-Identifier: Apache-2.0
"""retort doctor --model: the forms that a model can be served in, and which one to serve."""
import os
import pathlib
import shlex
import subprocess

from harness import HERE, RETORT, checkpoint, fails, file, model, retort, rows, test, main

TEXTS = "sentence\tlabel\n" + "".join(f"the {a} {b}\tanything\n" for a in ("cat", "dog", "film") for b in ("sat", "ran", "was good"))
FLOATS = ["float32", "bf16", "int8", "int4"]


def texts():
    return file("texts.tsv", TEXTS)


def serving(source):
    """What doctor says about a model, without looking for other engines; nothing may stay in the folder for temporary files."""
    folder, nowhere = HERE / "temporary", str(HERE / "empty")
    folder.mkdir(exist_ok=True)
    env = {"TMPDIR": str(folder), "RETORT_PROVIDERS": nowhere, "XDG_CACHE_HOME": nowhere, "HOME": nowhere}
    found = rows("doctor", "--model", source, "--data", texts(), env=env)[0]
    assert not list(folder.iterdir()), "temporary files stay"
    return found, found["serving"]


def make(command):
    """Runs what makes the model and returns how it would be served."""
    *steps, serve = command.split(" && ")
    for step in steps:
        words = shlex.split(step)
        assert words[0] == "retort", step
        done = subprocess.run([os.path.abspath(RETORT), *words[1:]], cwd=HERE, capture_output=True, text=True)
        assert done.returncode == 0, (step, done.stderr)
    return shlex.split(serve)


@test
def each_form_of_a_checkpoint_and_what_it_costs():
    machine, found = serving(checkpoint("distilbert-wide"))
    names = [form["form"] for form in found["forms"]]
    assert names == FLOATS + ["int4 codes"] * machine["weights"]["unpacked"], names
    for form in found["forms"]:
        assert form["reason"] is None and min(form[key] for key in ("file_bytes", "memory_mb", "load_ms", "ms_p50", "texts_per_s")) > 0, form
        assert form["ms_p50"] <= form["ms_p99"], form
    sizes = {form["form"]: form["file_bytes"] for form in found["forms"]}
    assert sizes["float32"] > sizes["bf16"] and sizes["float32"] > sizes["int8"] >= sizes["int4"], sizes
    assert found["texts"] == found["of"] == 9 and 1 <= found["batch"] <= 9 and found["tokens_most"] >= found["tokens_p50"] > 2
    assert found["advice"]["form"] in names and found["advice"]["reason"].startswith("Serve " + found["advice"]["form"]), found["advice"]


@test
def the_command_of_the_advice_makes_the_form():
    for source in (os.path.abspath(checkpoint("distilbert-wide")), model("distilbert-wide")):
        advice = serving(source)[1]["advice"]
        words = make(advice["command"])
        assert words[:2] == ["retort", "serve"], words
        made = rows("info", pathlib.Path(HERE, words[2]))[0]
        recipe = {"float32": "fp32", "bf16": "bf16", "int8": "int8", "int4": "ptq+owq"}[advice["form"].split()[0]]
        assert made["recipe"].startswith(recipe), (advice, made["recipe"])


@test
def integers_are_measured_as_they_are():
    small = HERE / "small.retort"
    retort("quantize", model("distilbert-wide"), "--recipe", "int4", "--embeddings", "8", "-o", small)
    machine, found = serving(small)
    names = [form["form"] for form in found["forms"]]
    assert names[0] == rows("info", small)[0]["dtype"] and "float32" in names and "bf16" in names, names
    assert found["forms"][0]["file_bytes"] == os.path.getsize(small)


@test
def bf16_alone_has_no_floats_to_go_back_to():
    found = serving(model("distilbert-wide", dtype="bf16"))[1]
    assert [form["form"] for form in found["forms"]] == ["bfloat16"] and found["advice"]["form"] == "bfloat16"
    assert found["advice"]["command"].startswith("retort serve /"), found["advice"]


@test
def a_table_for_people():
    out = retort("doctor", "--model", model("distilbert-wide"), "--data", texts(), "--threads", 2, "--isa", "ref")[0].decode()
    assert "9 of 9 texts" in out and "2 threads" in out and "1 thread" in out and "\nadvice      Serve " in out, out
    assert all(f"\n{name} " in out for name in FLOATS) and "retort tune" in out, out
    assert "1 thread" not in retort("doctor", "--model", model("distilbert-wide"), "--data", texts(), "--threads", 1)[0].decode().split("form ")[1]


@test
def forms_that_cannot_be_made_say_why():
    """A static embedding has no matrices for bf16 and for integers."""
    found = serving(checkpoint("static-model2vec"))[1]
    reasons = {form["form"]: form["reason"] for form in found["forms"]}
    assert reasons["float32"] is None and found["advice"]["form"] == "float32", reasons
    assert any(reason for reason in reasons.values()), reasons


@test
def bad_input():
    small = model("distilbert-wide")
    fails(2, "--model needs --data", "doctor", "--model", small)
    fails(2, "--data needs --model", "doctor", "--data", texts())
    fails(2, "--threads needs --peak or --model", "doctor", "--threads", 2)
    fails(3, "none.tsv: cannot open: No such file", "doctor", "--model", small, "--data", HERE / "none.tsv")
    fails(3, "it contains no text", "doctor", "--model", small, "--data", file("heading.tsv", "sentence\tlabel\n"))
    fails(3, "nothing.retort", "doctor", "--model", HERE / "nothing.retort", "--data", texts())


main()
