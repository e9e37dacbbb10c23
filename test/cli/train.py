#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Trains tiny checkpoints from the command line: heads from the labels of the data, files that are the same bytes,
JSON, plots, and what is refused. Prints TAP.

    train.py RETORT SOURCE_ROOT EXAMPLES_FOLDER
"""
import json
import pathlib
import shlex
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree

sys.dont_write_bytecode = True
from harness import EXAMPLES, HERE, RETORT, checkpoint, fails, file, folder, main, model, retort, rows, test, undisturbed

GOOD = ["good film", "very good acting", "the film was good", "great play", "great acting and good film"]
BAD = ["bad film", "not good", "the acting was bad", "very bad play", "bad acting and bad film"]
CLASSES = "sentence\tlabel\n" + "".join(f"{a}\tpraise\n{b}\tblame\n" for a, b in zip(GOOD, BAD))
PAIRS = "sentence1\tsentence2\tscore\n" + "".join(f"{a}\t{b}\t{i}.5\n" for i, (a, b) in enumerate(zip(GOOD, GOOD[1:] + BAD[:1])))
FAST = ["--epochs", "12", "--batch", "4", "--rate", "0.005"]


def write(name, text):
    return file(name, text)


def conll(texts):
    return "\n".join("".join(f"{word} {'B-PER' if word == 'film' else 'O'}\n" for word in text.split()) for text in texts)


def train(source, data, output, *more, **options):
    """The final object that a training prints with --json."""
    lines = rows("train", source, "--data", data, "-o", HERE / output, *more, **options)
    assert lines[-1]["event"] == "done" and all(line["event"] in ("epoch", "recipe") for line in lines[:-1]), lines
    return lines[-1]


@test
def a_plain_encoder_becomes_a_classifier():
    """For each architecture: a head of the labels in the data, which learns them."""
    data = write("classes.tsv", CLASSES)
    for name in ("distilbert-embed", "bert-embed", "electra-embed", "roberta-embed", "package-mean", "bert-fill", "eurobert-embed"):
        done = train(checkpoint(name), data, f"{name}.retort", *FAST, "--dev", data)
        assert done["new_head"] and done["labels"] == 2 and done["metric"] == "accuracy", done
        assert done["dev"] >= 0.9, (name, done)
        scores = rows("run", HERE / f"{name}.retort", "very good film")[0]
        assert {entry["label"] for entry in scores["labels"]} == {"praise", "blame"}, scores
        assert rows("eval", HERE / f"{name}.retort", "--data", data)[0]["value"] == done["dev"]


@test
def other_tasks():
    tags, pairs = write("tags.conll", conll(GOOD)), write("pairs.tsv", PAIRS)
    done = train(checkpoint("electra-classify"), tags, "tags.retort", *FAST, "--dev", tags)
    assert done["task"] == "tag" and done["new_head"] and done["metric"] == "f1" and done["dev"] > 0.9, done
    done = train(checkpoint("bert-classify"), pairs, "scores.retort", *FAST, "--dev", pairs)
    assert done["task"] == "classify" and done["labels"] == 1 and done["metric"] == "spearman", done
    done = train(checkpoint("package-mean"), pairs, "vectors.retort", *FAST, "--dev", pairs)
    assert done["task"] == "embed" and not done["new_head"] and done["metric"] == "spearman", done
    several = write("several.tsv", "sentence\tlabel\ngood film\tfilm;good\nbad play\tplay\ngood play\tplay;good\n")
    done = train(checkpoint("roberta-embed"), several, "several.retort", "--label-separator", ";", *FAST)
    assert done["labels"] == 3 and "metric" not in done, done
    answer = rows("run", HERE / "several.retort", "good film")[0]
    assert sum(entry["score"] for entry in answer["labels"]) != 1, answer


@test
def pairs_without_token_types():
    """Tokenizers give the second text of a pair type 1; a model that has no types ignores it, in training too."""
    labelled = "sentence1\tsentence2\tlabel\n" + "".join(f"{a}\t{b}\t{n % 2}\n" for n, (a, b) in enumerate(zip(GOOD + GOOD, GOOD + BAD)))
    data = write("labelled.tsv", labelled)
    for name in ("distilbert-classify", "xlm-roberta-embed", "camembert-classify", "cross-labels"):
        done = train(checkpoint(name), data, "typeless.retort", "--dev", data, "--steps", "3")
        assert done["steps"] == 3 and done["metric"] == "accuracy", done


@test
def the_head_is_kept():
    """Where the data has the labels of the checkpoint, by name or by number; and always in a file of retort."""
    named = write("named.tsv", "sentence\tlabel\ngood film\tpositive\nbad film\tnegative\nthe film\tneutral\n")
    numbered = write("numbered.tsv", "sentence\tlabel\ngood film\t2\nbad film\t0\nthe film\t1\n")
    for data in (named, numbered):
        done = train(checkpoint("bert-classify"), data, "kept.retort", "--steps", "3")
        assert not done["new_head"] and done["labels"] == 3, done
        done = train(model("bert-classify"), data, "kept2.retort", "--steps", "3")
        assert not done["new_head"]
    two = write("two.tsv", "sentence\tlabel\ngood film\tpositive\nbad film\tnegative\n")
    _, said = retort("train", checkpoint("bert-classify"), "--data", two, "--steps", "2", "-o", HERE / "two.retort")
    assert "no text has label 'neutral'" in said, said
    error = fails(3, "a model trains with the head it has", "train", model("bert-classify"), "--data", write("classes.tsv", CLASSES), "-o", HERE / "x.retort")
    assert "blame (5), praise (5)" in error and "retort train CHECKPOINT" in error, error


@test
def same_bytes():
    """One seed, any number of threads; another seed, other bytes."""
    data = write("classes.tsv", CLASSES)
    results = []
    for number, flags in enumerate((["--threads", "1"], ["--threads", "2"], ["--threads", "2", "--seed", "1"])):
        train(checkpoint("distilbert-embed"), data, f"same{number}.retort", "--steps", "6", "--batch", "4", *flags)
        results.append((HERE / f"same{number}.retort").read_bytes())
    assert results[0] == results[1] and results[0] != results[2]


@test
def students():
    data, texts = write("classes.tsv", CLASSES), write("texts.txt", "\n".join(GOOD + BAD) + "\n")
    source = checkpoint("bert-classify")
    done = train(source, data, "one.retort", "--student", "layers=1", "--steps", "2")
    assert done["layers"] == 1 and done["new_head"], done
    train(checkpoint("bert-embed"), data, "teacher.retort", *FAST)
    done = train(checkpoint("bert-embed"), texts, "student.retort", "--teacher", HERE / "teacher.retort", "--from-layers", "1", *FAST)
    assert done["layers"] == 1 and done["new_head"] and done["labels"] == 2, done
    agreement = rows("eval", HERE / "student.retort", "--data", data, "--reference", HERE / "teacher.retort")[0]["agreement"]
    assert agreement >= 0.8, agreement
    fails(2, "expected layers=N with N from 1 to 2", "train", source, "--data", data, "-o", HERE / "x", "--student", "layers=3")
    fails(2, "expected layers=N", "train", source, "--data", data, "-o", HERE / "x", "--student", "width=3")
    fails(2, "expected rising indices from 0 to 1", "train", source, "--data", data, "-o", HERE / "x", "--from-layers", "1,0")
    fails(2, "'%s' has been imported" % model("bert-classify"), "train", model("bert-classify"), "--data", data, "-o", HERE / "x", "--student", "layers=1")


@test
def integers():
    """With the float model as the teacher, whether or not texts have labels."""
    data, texts = write("classes.tsv", CLASSES), write("texts.txt", "\n".join(GOOD + BAD) + "\n")
    train(checkpoint("bert-embed"), data, "floats.retort", *FAST)
    for bits, recipe in (("8", "int8"), ("4", "ptq+owq"), ("3", "ptq+owq"), ("2", "ptq+owq")):
        done = train(HERE / "floats.retort", texts, f"bits{bits}.retort", "--bits", bits, "--epochs", "2")
        assert done["recipe"].startswith(recipe) and not done["new_head"], done
        assert rows("eval", HERE / f"bits{bits}.retort", "--data", data, "--reference", HERE / "floats.retort")[0]["agreement"] >= 0.5
    lines = rows("train", HERE / "floats.retort", "--data", texts, "-o", HERE / "start.retort", "--bits", "8", "--steps", "1")
    assert [line["event"] for line in lines] == ["recipe", "recipe", "epoch", "done"], lines
    assert "seconds" not in lines[0] and lines[0]["recipe"] == "int8" and lines[1]["seconds"] >= 0, lines
    _, said = retort("train", HERE / "floats.retort", "--data", texts, "-o", HERE / "start.retort", "--bits", "4", "--steps", "1")
    assert "retort: the start: ptq+owq of the floats\nretort: ptq+owq took " in said, said
    done = train(HERE / "floats.retort", data, "gptq.retort", "--recipe", "gptq", "--dev", data, "--steps", "2")
    assert done["recipe"].startswith("gptq") and done["metric"] == "accuracy", done


@test
def integers_of_grouped_keys():
    """RMS norms, heads of keys that several heads of queries read, words without a norm: the same bytes with one thread and two."""
    data, results = write("classes.tsv", CLASSES), []
    for threads in ("1", "2"):
        rows("train", checkpoint("eurobert-classify"), "--data", data, "-o", HERE / f"euro{threads}.retort", "--bits", "4", "--steps", "6", "--threads", threads)
        results.append((HERE / f"euro{threads}.retort").read_bytes())
    assert results[0] == results[1]


@test
def integers_of_a_new_head():
    """One command: floats, then their integers; the same bytes as from two commands."""
    data, source = write("classes.tsv", CLASSES), checkpoint("bert-embed")
    lines = rows("train", source, "--data", data, "--dev", data, *FAST, "--bits", "4", "-o", HERE / "whole.retort", "--plot", HERE / "whole.svg")
    done = [line for line in lines if line["event"] not in ("epoch", "recipe")]
    assert [line["event"] for line in done] == ["floats", "done"] and done[0]["new_head"], done
    assert [pathlib.Path(line["output"]).name for line in done] == ["whole.float.retort", "whole.retort"], done
    assert (HERE / "whole.svg").exists() and (HERE / "whole.float.svg").exists() and not list(HERE.glob("whole*.checkpoint*"))
    assert done[0]["recipe"] == "fp32 trained" and done[1]["recipe"].startswith("ptq+owq"), done
    train(source, data, "two.retort", *FAST, "--dev", data)
    assert (HERE / "two.retort").read_bytes() == (HERE / "whole.float.retort").read_bytes()
    lines = rows("train", HERE / "two.retort", "--data", data, "--dev", data, "--bits", "4", "--batch", "4", "-o", HERE / "two4.retort")
    assert (HERE / "two4.retort").read_bytes() == (HERE / "whole.retort").read_bytes(), lines[-1]
    lines = rows("train", checkpoint("bert-classify"), "--data", data, "--bits", "8", "--student", "layers=1", "--dtype", "bf16", *FAST, "-o",
                 HERE / "one8.retort")
    assert lines[-1]["layers"] == 1 and lines[-1]["recipe"].startswith("int8"), lines[-1]
    fails(3, "there is no checkpoint", "train", source, "--data", data, "--bits", "4", "--resume", "-o", HERE / "none.retort")


@test
def epochs_as_json_and_as_text():
    data = write("classes.tsv", CLASSES)
    lines = rows("train", checkpoint("bert-embed"), "--data", data, "--dev", data, "--epochs", "3", "--batch", "5", "-o", HERE / "json.retort")
    assert [line.get("epoch") for line in lines[:3]] == [1, 2, 3] and [line["step"] for line in lines[:3]] == [2, 4, 6], lines
    for line in lines[:3]:
        assert line["steps"] == 6 and line["loss"] > 0 and line["metric"] == "accuracy" and 0 <= line["dev"] <= line["best"] <= 1
    assert lines[3]["steps"] == 6 and lines[3]["best_step"] in (2, 4, 6) and lines[3]["bytes"] == (HERE / "json.retort").stat().st_size
    out, said = retort("train", checkpoint("bert-embed"), "--data", data, "--dev", data, "--epochs", "2", "-o", HERE / "a model.retort")
    assert "--dev is the file of --data" in said and "new head: classify, 2 labels of the data: blame (5), praise (5)" in said, said
    assert said.count("retort: epoch ") == 2 and "accuracy" in said, said
    assert f"retort serve '{HERE}/a model.retort'" in out.decode() and "next:" in out.decode(), out
    assert "2 epochs, 2 steps" in out.decode() and "in the last epoch" in out.decode(), out


@test
def what_is_next():
    """The commands that a training proposes run as they are printed, with the columns that it was told."""
    data = write("it's.csv", 'id,review body,verdict\r\n' + "".join(f'1,"a ""{a}"", really",so good\r\n2,{b},not good\r\n' for a, b in zip(GOOD, BAD)))
    output = HERE / "it's.retort"
    out, said = retort("train", checkpoint("bert-embed"), "--data", data, "--dev", data, "--text-column", "review body", "--label-column", "verdict",
                       "--steps", "1", "--batch", "4", "-o", output)
    assert "1 step, " in out.decode() and "not good (5), so good (5)" in said, (out, said)
    commands = [shlex.split(line) for line in out.decode().split("next:\n")[1].splitlines()]
    assert [command[1] for command in commands] == ["eval", "quantize", "run", "serve"], commands
    for command in commands[:3]:
        retort(*command[1:])
    assert (HERE / "it's.int4.retort").exists()


@test
def words_about_the_data():
    several, pairs = write("several.tsv", "sentence\tlabel\ngood film\tfilm;good\nbad play\tplay\n"), write("pairs.tsv", PAIRS)
    _, said = retort("train", checkpoint("bert-embed"), "--data", several, "--steps", "1", "-o", HERE / "several.retort")
    assert "warning: 'film;good' is one label here" in said and "--label-separator" in said, said
    _, said = retort("train", checkpoint("bert-embed"), "--data", several, "--label-separator", ";", "--steps", "1", "-o", HERE / "several.retort")
    assert "is one label here" not in said, said
    odd = write("odd.tsv", b"sentence\tlabel\ncaf\xe9\tgood \nb\tgood\nc\xc3\xa9\tbad\n")
    _, said = retort("train", checkpoint("bert-embed"), "--data", odd, "--steps", "1", "-o", HERE / "odd.retort")
    assert "odd.tsv:2: the text is not UTF-8\n" in said and "label 'good ' begins or ends with a blank" in said, said
    assert "not UTF-8" not in retort("train", checkpoint("bert-embed"), "--data", several, "--steps", "1", "-o", HERE / "odd.retort")[1]
    _, said = retort("train", checkpoint("package-mean"), "--data", pairs, "--steps", "1", "-o", HERE / "vectors.retort")
    assert "vectors of 5 pairs, whose cosines become their scores" in said, said
    out, said = retort("train", checkpoint("bert-embed"), "--data", pairs, "--task", "classify", "--lr", "1e-4", "--steps", "1", "-o", HERE / "scores.retort")
    assert "new head: a number for each pair of texts" in said and b"scores.retort --pairs <pairs.tsv" in out, (said, out)


@test
def plot():
    data = write("classes.tsv", CLASSES)
    train(checkpoint("bert-embed"), data, "plot.retort", "--dev", data, "--epochs", "40", "--batch", "2", "--plot", HERE / "plot.svg")
    space = "{http://www.w3.org/2000/svg}"
    root = xml.etree.ElementTree.parse(HERE / "plot.svg").getroot()
    lines = {line.get("class"): line.get("points").split() for line in root.iter(space + "polyline")}
    assert len(lines["loss"]) == 200 and len(lines["dev"]) == 40 and len(list(root.iter(space + "circle"))) == 40
    assert "plot.retort" in "".join(root.itertext())


@test
def from_c():
    """The example program, which uses the library alone."""
    data = write("classes.tsv", CLASSES)
    out, _ = retort(checkpoint("bert-embed"), data, HERE / "example.retort", program=EXAMPLES / "example-train")
    assert b"3 steps" in out and rows("info", HERE / "example.retort")[0]["labels"] == 2, out
    fails(1, "cannot open", checkpoint("bert-embed"), HERE / "none.tsv", HERE / "x", program=EXAMPLES / "example-train")


@test
def interrupted():
    """SIGINT ends the training; what it has is saved."""
    data = write("classes.tsv", CLASSES)
    output = HERE / "interrupted.retort"
    process = subprocess.Popen([RETORT, "train", checkpoint("bert-embed"), "--data", data, "--dev", data, "--epochs", "1000000", "--json", "-o", output],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert json.loads(process.stdout.readline())["event"] == "epoch"
    process.send_signal(signal.SIGINT)
    out, said = process.communicate(timeout=300)
    assert process.returncode == 0 and b"interrupted at step" in said and b"has the best so far" in said, said
    assert b"with --resume goes on" in said and pathlib.Path(f"{output}.checkpoint").exists(), said
    done = json.loads(out.splitlines()[-1])
    assert done["event"] == "done" and done["stopped"]
    assert done["loss"] > 0, done
    assert rows("eval", output, "--data", data)[0]["value"] == done["dev"]


@test
def resumed():
    """Killed after a checkpoint and resumed: the same bytes as in one go, and no checkpoint left."""
    data, output = write("classes.tsv", CLASSES), HERE / "resumed.retort"
    flags = ["train", checkpoint("bert-embed"), "--data", data, "--dev", data, "--batch", "2", "--steps", "2000", "--minutes", "0.001"]
    retort(*flags, "-o", HERE / "whole.retort")
    saved = pathlib.Path(f"{output}.checkpoint")

    @undisturbed
    def killed():
        output.unlink(missing_ok=True)
        process = subprocess.Popen([RETORT, *map(str, flags), "-o", output], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        while process.poll() is None and not saved.exists():
            time.sleep(0.001)
        process.kill()
        process.communicate()
        assert saved.exists() and not output.exists()
    retort(*flags, "-o", output, "--resume")
    assert output.read_bytes() == (HERE / "whole.retort").read_bytes() and not list(HERE.glob("resumed.retort.*"))
    fails(3, "there is no checkpoint", *flags, "-o", output, "--resume")
    saved.write_bytes(output.read_bytes())
    error = fails(3, "not a checkpoint of a training", *flags, "-o", output, "--resume")
    assert "the last checkpoint is" not in error and "new head" in error, error
    saved.unlink()


@test
def wrong_usage():
    data = write("classes.tsv", CLASSES)
    start = ["train", checkpoint("bert-embed"), "-o", HERE / "x.retort"]
    fails(2, "--data is required", *start)
    fails(2, "--output is required", "train", checkpoint("bert-embed"), "--data", data)
    start += ["--data", data]
    fails(2, "did you mean '--rate'?", *start, "--rat", "1")
    fails(2, "--rate: '2' is not a number from", *start, "--rate", "2")
    fails(2, "--warmup: '1' is not a number from 0 to 0.99", *start, "--warmup", "1")
    fails(2, "--decay: 'square' is not one of linear|cosine|constant", *start, "--decay", "square")
    fails(2, "--epochs has no effect with --steps", *start, "--epochs", "1", "--steps", "2")
    fails(2, "--patience needs --dev", *start, "--patience", "1")
    fails(2, "--temperature needs --teacher, --recipe or --bits", *start, "--temperature", "1")
    fails(2, "--group needs --recipe or --bits", *start, "--group", "32")
    spoilt = lambda words, text, source="bert-embed", code=3: fails(code, words, "train", checkpoint(source), "--data", write("spoilt.tsv", text), "-o", HERE / "x", "--steps", "2")
    spoilt("spoilt.tsv:3: label 'b", b"sentence\tlabel\ngood\ta\nbad\tb\xff\n")
    spoilt("is not UTF-8 text", b"sentence\tlabel\ngood\ta\0x\nbad\ta\0y\n")
    for size in ("1e300", "-1e16"):
        spoilt("spoilt.tsv:3: the score is larger than 1e15", f"sentence\tscore\nbad\t0.5\ngood\t{size}\n")
    spoilt("two or more per batch", "sentence1\tsentence2\ngood\tfilm\n", source="package-mean")
    fails(2, "give a file", "train", checkpoint("bert-embed"), "-o", HERE / "x", "--data", "-")
    fails(3, "there is no checkpoint", *start, "--resume")
    fails(1, "cannot create", "train", checkpoint("bert-embed"), "--data", data, "-o", HERE / "none" / "x.retort")
    for option in ("-o", "--plot", "--checkpoint"):
        fails(2, "would write over the file of --data", "train", checkpoint("bert-embed"), "-o", HERE / "x.retort", "--data", data, option, data)
    fails(2, "--output would write over the file of --dev", *start, "--dev", HERE / "x.retort")
    fails(2, "--plot would write over the file of --output", *start, "--plot", HERE / "x.retort")
    fails(2, "would write over the file of --data", "quantize", model("bert-classify"), "-o", data, "--data", data)
    assert pathlib.Path(data).read_text() == CLASSES
    fails(1, "this is a folder", "train", checkpoint("bert-embed"), "--data", data, "-o", HERE)
    fails(1, "cannot create", *start, "--plot", HERE / "none" / "x.svg")
    assert not (HERE / "x.retort").exists()


@test
def networks_without_gradients():
    taught = ["train", checkpoint("setfit-rest"), "--teacher", checkpoint("setfit-rest"), "--data", write("texts.txt", "good\nbad\n"), "--steps", "2"]
    for integers in ((), ("--bits", "4"), ("--recipe", "owq")):
        fails(3, "train: head.output.minus: no gradient goes through Mul", *taught, "-o", HERE / "none.retort", *integers)


@test
def wrong_data():
    start = ["train", checkpoint("bert-embed"), "-o", HERE / "x.retort"]
    fails(3, "all texts have the label 'a': there is nothing to learn", *start, "--data", write("one.tsv", "sentence\tlabel\nx\ta\ny\ta\n"))
    fails(3, "no labels: name their column (or columns of 0 and 1) with --label-column", *start, "--data", write("none.tsv", "sentence\tclass\nx\ta\ny\tb\n"))
    fails(3, "no column 'class'", *start, "--data", write("classes.tsv", CLASSES), "--label-column", "class")
    for encoding in ("utf-16-le", "utf-16-be"):
        fails(3, "this is UTF-16", *start, "--data", write("wide.tsv", ("\ufeff" + CLASSES).encode(encoding)))
    fails(3, "it contains no text", *start, "--data", write("empty.tsv", "sentence\tlabel\n"))
    fails(3, "all 2 texts are empty", *start, "--data", write("blank.tsv", "sentence\tlabel\n\ta\n \tb\n"))
    dev = write("dev.tsv", "sentence\tlabel\ngood film\tpraise\nbad film\tneither\n")
    fails(3, "dev.tsv:3: label 'neither': the model has no such label (it has 2: 'blame', 'praise')", *start, "--data", write("classes.tsv", CLASSES), "--dev", dev)
    assert "has no text for" not in fails(3, "dev.txt: evaluating this model needs a table with texts", *start, "--data", write("classes.tsv", CLASSES),
                                          "--dev", write("dev.txt", "good film\n"))
    dev = write("dev.tsv", "sentence\tlabel\ngood film\tpraise\n")
    _, said = retort(*start, "--data", write("classes.tsv", CLASSES), "--dev", dev, "--steps", "1")
    assert "has no text for 1 of the labels ('blame')" in said, said
    (HERE / "x.retort").unlink()
    long = write("long.tsv", "sentence\tlabel\n\ta\n" + "good " * 300 + "\tb\n")  # an empty text, and one beyond 48 positions
    assert train(checkpoint("bert-embed"), long, "long.retort", "--steps", "2")["truncated"] == 1
    _, said = retort("train", checkpoint("bert-embed"), "--data", long, "--steps", "1", "-o", HERE / "long.retort")
    assert "long.tsv:2: the text is empty" in said and "1 texts are longer than the limit" in said, said
    fails(3, "no column 'sentence' or 'text': --text-column NAME, in C options.text_column, names the one with the texts; there are 'Sentence', 'Label'", *start,
          "--data", write("case.tsv", CLASSES.replace("sentence\tlabel", "Sentence\tLabel")))
    train(checkpoint("bert-embed"), write("case.tsv", CLASSES.replace("sentence\tlabel", "Sentence\tLabel")), "case.retort", "--text-column", "Sentence",
          "--label-column", "Label", "--steps", "1")
    fails(3, "no tags: a tagger learns from CoNLL", *start, "--data", write("classes.tsv", CLASSES), "--task", "tag")


@test
def wrong_models():
    data = write("three.tsv", "sentence\tlabel\ngood film\t2\nbad film\t0\nthe film\t1\n")
    retort("quantize", model("bert-classify"), "-o", HERE / "integers.retort")
    fails(3, "expected float32 weights", "train", HERE / "integers.retort", "--data", data, "-o", HERE / "x.retort")
    fails(3, "a model trains with the head it has", "train", model("bert-tag"), "--teacher", model("bert-classify"), "--data", data, "-o", HERE / "x.retort")
    one, several = write("one.tsv", "sentence\tlabel\ngood film\ta\nbad film\tb\nplay\ta\n"), write("both.tsv", "sentence\tlabel\ngood film\tb;a\nbad film\ta\nplay\tb\n")
    turned = write("turned.tsv", "sentence\tlabel\ngood film\tb\nbad film\ta\n")
    train(checkpoint("bert-embed"), one, "one.retort", "--steps", "1")
    train(checkpoint("bert-embed"), several, "several.retort", "--label-separator", ";", "--steps", "1")
    student = ["train", HERE / "one.retort", "--data", one, "-o", HERE / "x.retort", "--teacher"]
    fails(3, "one.retort' gives one label per text, and the teacher", *student, HERE / "several.retort")
    fails(3, "a model trains with the head it has", *student, model("bert-classify"))
    fails(2, "--task tag: the teacher's is classify", "train", checkpoint("bert-embed"), "--teacher", model("bert-classify"), "--task", "tag", "--data", data,
          "-o", HERE / "x.retort")
    assert not (HERE / "x.retort").exists()


main()
