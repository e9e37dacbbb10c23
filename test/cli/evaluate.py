#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs eval and compare on each kind of data and checks metrics, tables and error texts. Prints TAP.

    evaluate.py RETORT SOURCE_ROOT EXAMPLES_FOLDER
"""
import json
import math
import os
import pathlib
import shutil
import sys

sys.dont_write_bytecode = True
from harness import HERE, checkpoint, close, fails, file, main, model, retort, rows, test, with_infinite_word


@test
def eval_labels():
    path, texts = model("distilbert-wide"), ["very good", "bad film", "the", "", "acting , acting !"]
    best = [row["labels"][0]["label"] for row in rows("run", path, stdin="\n".join(texts).encode() + b"\n")]
    data = file("good.tsv", "sentence\tlabel\n" + "".join(f"{t}\t{b}\n" for t, b in zip(texts, best)))
    right = rows("eval", path, "--data", data)[0]
    assert abs(right.pop("low") - 0.565518) < 1e-6 and right.pop("high") == 1  # Wilson's of 5 of 5
    assert right == {"task": "classify", "metric": "accuracy", "value": 1.0, "f1_macro": 1.0, "n": 5, "truncated": 0, "tokens": 9, "unknown": 0}
    assert b"accuracy             1.00 (0.57 to 1.00)\n" in retort("eval", path, "--data", data)[0]
    foreign = file("foreign.tsv", "sentence\tlabel\nплохо a\tnegative\nочень плохо\tpositive\n")
    out, said = retort("eval", path, "--data", foreign)
    assert "the tokenizer does not know 3 of 4 tokens of the texts" in said and b"unknown tokens       3\n" in out
    for words in (["quantize", "--recipe", "gptq"], ["train", "--steps", "1"]):
        said = retort(words[0], checkpoint("distilbert-wide"), *words[1:], "--data", foreign, "-o", HERE / "x.retort")[1]
        assert "the tokenizer does not know 3 of 4 tokens" in said, said
    names = ["negative", "neutral", "positive"]
    wrong = [(names.index(b) + (i == 0)) % 3 for i, b in enumerate(best)]
    data = file("wrong.tsv", "\ufefflabel\tsentence\r\n" + "".join(f"{b}\t{t}\r\n" for t, b in zip(texts, wrong)))
    logits = HERE / "logits.tsv"
    result = rows("eval", path, "--data", data, "--reference", model("distilbert-wide", dtype="bf16"), "--logits", logits)[0]
    close(result["value"], 0.8, 1e-9)
    classes = rows("eval", path, "--data", data, "--per-class")[0]
    gold, found = wrong, [names.index(b) for b in best]
    assert classes["confusion"] == [[sum(g == i and f == j for g, f in zip(gold, found)) for j in range(3)] for i in range(3)]
    f1 = []
    for i, row in enumerate(classes["classes"]):
        both, has, given = sum(g == f == i for g, f in zip(gold, found)), gold.count(i), found.count(i)
        assert (row["label"], row["texts"], row["predicted"], row["correct"]) == (names[i], has, given, both)
        for key, of in (("precision", given), ("recall", has)):
            assert row[key] is None if of == 0 else abs(row[key] - both / of) < 1e-8
        f1 += [2 * both / (has + given)] if has + given else []
    close(classes["f1_macro"], sum(f1) / len(f1), 1e-8)
    lines = retort("eval", path, "--data", data, "--per-class")[0].decode().splitlines()
    assert [line.split() for line in lines if "taken for" in line] == [["label", "taken", "for", "texts"]]
    assert lines[-1].split() == [names[wrong[0]], best[0], "1"], lines
    assert 0 <= result["kl"] < 1e-3 and result["agreement"] == 1 and 0 < result["max_abs_logit_error"] < 0.1
    table = [[float(x) for x in line.split("\t")] for line in logits.read_text().splitlines()]
    for row, answer in zip(table, rows("run", path, stdin="\n".join(texts).encode() + b"\n"), strict=True):
        assert row == answer["logits"]
    same = rows("eval", path, "--data", data, "--reference", path)[0]
    assert same["kl"] == 0 and same["agreement"] == 1 and same["max_abs_logit_error"] == 0
    assert same["difference"] == same["difference_low"] == same["difference_high"] == 0
    cut = rows("eval", path, "--data", data, "--max-length", "4")[0]
    assert cut["truncated"] == 1 and b"truncated            1\n" in retort("eval", path, "--data", data, "--max-length", "4")[0]
    retort("eval", path, "--data", data, "--floor", "0.8")
    out, error = retort("eval", path, "--data", data, "--floor", "0.81", code=4)
    assert b"accuracy" in out and "below the floor" in error


@test
def eval_other_tasks():
    score = file("score.tsv", "sentence1\tsentence2\tscore\na\ta\t5\ngood film\tgood play\t3\nbad\tof the\t1\n")
    assert rows("eval", model("package-mean"), "--data", score)[0]["metric"] == "spearman"
    value = file("value.tsv", "sentence\tscore\na\t1\nb\t2.5\nc\t-1\n")
    regression = rows("eval", model("bert-regression"), "--data", value, "--reference", model("bert-regression", level=0))[0]
    fails(3, "does not give each text labels", "eval", model("bert-regression"), "--data", value, "--per-class")
    assert regression["metric"] == "spearman" and regression["kl"] is None and regression["max_abs_logit_error"] < 1e-4
    conll = file("t.conll", "a O\nvery B-PER\ngood I-PER\n\nfilm\tB-LOC\n" + "x O\n" * 60)
    tags = HERE / "tags.tsv"
    tagged = rows("eval", model("bert-tag"), "--data", conll, "--logits", tags, "--max-length", "10")[0]
    assert tagged["metric"] == "f1" and 0 <= tagged["value"] <= 1 and tagged["n"] == 2
    assert len(tags.read_text().splitlines()) == 5 + 10  # [CLS] a very good [SEP], and the second cut at 10
    squad = {"data": [{"paragraphs": [{"context": "a very good film", "qas": [
        {"question": "is it", "answers": [{"text": "good"}]}, {"question": "what", "answers": []}]}]}]}
    answered = rows("eval", model("bert-answer"), "--data", file("squad.json", json.dumps(squad)), "--reference",
                    model("bert-answer", level=0))[0]
    assert answered["metric"] == "exact_match" and answered["n"] == 2 and answered["kl"] < 1e-6 and answered["f1"] >= answered["value"]
    lines = file("lines.txt", "a very good film\n\nthe [MASK] acting\n")
    masked = rows("eval", model("bert-fill"), "--data", lines)[0]
    assert masked["metric"] == "pseudo_perplexity" and masked["value"] > 1 and math.isfinite(masked["value"])
    retort("eval", model("bert-fill"), "--data", lines, "--floor", "0.5", code=4)


def entities(tags):
    """(type, first, last) of IOB tags, as seqeval finds them."""
    found, start = set(), None
    for i, tag in enumerate([*tags, "O"]):
        kind = tag[2:]
        if start is not None and (tag[0] in "BO" or kind != tags[start][2:]):
            found.add((tags[start][2:], start, i - 1))
            start = None
        if tag != "O" and start is None:
            start = i
    return found


@test
def entities_by_type():
    """Precision, recall and F1 of each type are those of the sets of entities; their sum is the metric."""
    path = model("bert-tag")
    words = [["very", "good", "film"], ["bad", "play", "the", "acting"], ["a", "film"], ["good", "good", "very", "a"]]
    found = []
    for line in words:  # the first piece of a word decides
        tokens = rows("run", path, "--aggregation", "none", "--ignore-labels", "none", " ".join(line))[0]["entities"]
        by_start, at = {token["start"]: token["label"] for token in tokens}, 0
        tags = []
        for word in line:
            tags.append(by_start[at])
            at += len(word) + 1
        found.append(tags)
    gold = [["B-PER", "I-PER", "O"], found[1], ["B-LOC", "B-PER"], ["O", *found[3][1:]]]
    data = file("types.conll", "\n".join("".join(f"{w} {t}\n" for w, t in zip(*both)) for both in zip(words, gold)))
    result = rows("eval", path, "--data", data, "--per-class")[0]
    wanted = {(i, *e) for i, tags in enumerate(gold) for e in entities(tags)}
    given = {(i, *e) for i, tags in enumerate(found) for e in entities(tags)}
    assert [row["type"] for row in result["classes"]] == ["PER", "LOC"] and "confusion" not in result
    for row in result["classes"]:
        a, b = ({e for e in both if e[1] == row["type"]} for both in (wanted, given))
        assert (row["entities"], row["predicted"], row["correct"]) == (len(a), len(b), len(a & b)), row
        assert row["f1"] is None if not a and not b else abs(row["f1"] - 2 * len(a & b) / (len(a) + len(b))) < 1e-8, row
    close(result["value"], 2 * len(wanted & given) / (len(wanted) + len(given)), 1e-8)
    lines = retort("eval", path, "--data", data, "--per-class")[0].decode().splitlines()
    assert [line.split()[0] for line in lines[-3:]] == ["type", "PER", "LOC"] and lines[-3].split()[1] == "entities", lines


@test
def no_order_no_correlation():
    one = file("pair.tsv", "sentence1\tsentence2\tscore\na good film\tbad\t5\n")
    out, said = retort("eval", model("package-mean"), "--data", one)
    assert "no spearman: one row has no order" in said and b"spearman             -\n" in out, (out, said)
    assert rows("eval", model("package-mean"), "--data", one)[0]["reason"].startswith("one row has no order")
    alike = file("alike.tsv", "sentence1\tsentence2\tscore\na good film\tbad\t5\na\tfilm\t5\n")
    assert "no spearman: all labels or all answers are the same number" in retort("eval", model("package-mean"), "--data", alike)[1]


@test
def answers_are_finite():
    """Of the model and of the reference; the row is named."""
    whole, broken = model("distilbert-classify"), with_infinite_word("distilbert-classify", "bad")
    data = file("rows.tsv", "sentence\tlabel\ngood\t0\nfilm\t1\na bad film\t2\n")
    for words in (["eval", broken], ["eval", whole, "--reference", broken], ["compare", whole, broken]):
        error = retort(*words, "--data", data, code=1)[1]
        assert "rows.tsv: text 2: the model's answer is not finite" in error, (words, error)




CSV = '\ufeffid,body,"the ""class"""\r\n1,"good, very\r\n""good""",positive\r\n\r\n2,bad,negative\r\n3,"",neutral\r\n'
TEXTS = ['good, very\r\n"good"', "bad", ""]
COLUMNS = ["--text-column", "body", "--label-column", 'the "class"']


@test
def tables_of_every_form():
    """The same texts as CSV, JSON lines and over a pipe; columns by any name."""
    path = model("distilbert-classify")
    wanted = [row["logits"] for row in rows("run", path, *[text.replace("\r\n", " ") for text in TEXTS])]
    lines = "".join(json.dumps({"id": i, "body": text, 'the "class"': label}) + "\n"
                    for i, (text, label) in enumerate(zip(TEXTS, ["positive", "negative", 1])))
    metrics = []
    for name, text in (("t.csv", CSV), ("t.jsonl", lines), ("train.json", lines), ("t", CSV), ("u", lines)):
        data = file(name, text)
        assert [row["logits"] for row in rows("run", path, "--data", data, "--text-column", "body")] == wanted, name
        metrics.append(rows("eval", path, "--data", data, *COLUMNS)[0])
        for stdin in ("-", "/dev/stdin"):
            assert rows("eval", path, "--data", stdin, *COLUMNS, stdin=text.encode()) == metrics[-1:], (name, stdin)
    assert all(metric == metrics[0] and metric["n"] == 3 for metric in metrics)
    usual = file("usual.csv", "label,text\nneutral,good\n")
    assert rows("eval", path, "--data", usual)[0]["n"] == 1
    assert len(retort("run", path, "--data", usual)[0].splitlines()) == 1
    pairs = file("pairs.csv", "a,b,gold\n good,bad,0\n")
    found = rows("run", path, "--data", pairs, "--text-column", "a", "--text-pair-column", "b")
    assert found == rows("run", path, " good\tbad", "--pairs")
    qa = file("qa.jsonl", '{"question": "is it", "context": "a very good film"}\n')
    assert rows("run", model("bert-answer"), "--data", qa) == rows("run", model("bert-answer"), "is it\ta very good film")


@test
def tables_that_are_wrong():
    path = model("distilbert-classify")
    for words, name, text, flags in (
        ("no column 'sentence' or 'text'", "a.csv", "body,gold\na,1\n", []),
        ("there are 'body', 'gold'", "a.csv", "body,gold\na,1\n", ["--text-column", "texts"]),
        ("no column 'class'; there are 'text', 'gold'", "a.csv", "text,gold\na,1\n", ["--label-column", "class"]),
        ("--label-column NAME", "a.csv", "body,gold\na,1\n", ["--text-column", "body"]),
        ("a list: rows are read as JSON lines", "a.json", '[{"text": "a", "label": 1}]', []),
        ("a.csv:4: label 'maybe': the model has no such label (it has 3: 'negative', 'neutral', 'positive')", "a.csv", 'text,label\n"a\nb",0\nc,maybe\n', []),
        ("a.csv:2: expected 2 columns, found 3: a text that contains a comma needs quotes", "a.csv", "text,label\na,b,1\n", []),
        ("a.csv:3: a quote is not closed", "a.csv", 'text,label\na,1\n"b,1\nc,0\n', []),
        ("a.csv:2: expected a comma", "a.csv", 'text,label\n"a"b,1\n', []),
        ("a.jsonl:2: no text or number 'text'", "a.jsonl", '{"text": "a", "label": 1}\n{"label": 1}\n', []),
        ("a.jsonl:2: ", "a.jsonl", '{"text": "a", "label": 1}\n{"text": \n', []),
        ("a.jsonl:1: expected a JSON object", "a.jsonl", '[1]\n', []),
    ):
        fails(3, words, "eval", path, "--data", file(name, text), *flags)
    fails(3, "columns are named, but this is not a table", "run", path, "--data", file("a.txt", "a\n"), "--text-column", "b")
    fails(2, "not both", "run", path, "a", "--data", "b")
    fails(2, "--text-column needs --data or --input", "run", path, "a", "--text-column", "b")


@test
def what_run_says_of_texts():
    path, data = model("distilbert-classify"), file("is-a-file.txt", "good\nbad\n")
    assert f"did you mean --data {data}?" in retort("run", path, data)[1]
    assert len(rows("run", path, "--data", data)) == 2
    assert retort("run", path, "a", "a\tb", "c\td")[1] == ""  # a tab is a part of the text
    assert retort("run", path, "a\tb", "--pairs")[1] == ""
    fails(3, "text 1 has no tab", "run", path, "a", "--pairs")
    assert retort("tokenize", path, "a\tb")[1] == "" and retort("tokenize", path, "a\tb", "--pairs")[1] == ""
    for magic, words in ((b"\x1f\x8b\x08\x00", "gzip: unpack it first: zcat"), (b"\x28\xb5\x2f\xfd", "zstd: unpack it first"), (b"PAR1\x15", "Parquet: convert it")):
        fails(3, words, "run", path, "--data", file("packed.csv", magic + b"x" * 40))
    long = "good film " * 40
    assert "2 of 3 texts were truncated: the model reads at most 40 tokens" in retort("run", path, long, "good", long, "--json")[1]
    fits = "good " * 38
    assert retort("run", path, fits)[1] == "" and "1 of 1 texts" in retort("run", path, fits + "film")[1]


@test
def which_texts_were_cut():
    long, fits = "good film " * 60, "good " * 10

    def cut(name, *words):
        return [row["truncated"] for row in rows("run", model(name), *words)]

    def said(name, *words):
        return retort("run", model(name), *words, "--json")[1]

    for name in ("distilbert-classify", "package-mean"):
        assert cut(name, long, fits, long, fits) == [True, False, True, False], name
        assert cut(name, "--batch", 2, fits, fits, fits, long) == [False, False, False, True], name
        assert cut(name, long) == [True], name
    assert cut("bert-tag", long, fits) == [False, False] and cut("bert-tag", "--truncate", fits, long) == [False, True]
    assert cut("bert-fill", "[MASK] " + long, "a [MASK]") == [True, False]
    assert cut("bert-answer", "good\t" + long) == [False] and cut("bert-answer", "--top", 2, "good\tfilm") == [False]
    labels = ("--labels", "good,bad,film")
    assert cut("bert-classify", long, fits, *labels) == [True, False]
    assert "1 of 2 texts were truncated" in said("bert-classify", long, fits, *labels)  # and six pairs
    ranked = rows("run", model("package-mean"), "--query", long, fits, long)
    assert {row["index"]: row["truncated"] for row in ranked} == {0: False, 1: True}
    error = said("package-mean", "--query", long, fits, long)
    assert "the query was truncated" in error and "1 of 2 texts were truncated" in error, error


@test
def bad_data():
    path = model("distilbert-classify")
    for words, name, data in (
        ("no column 'sentence'", "text.tsv", "body\tlabel\nx\t1\n"),
        ("labels ('label', or --label-column NAME)", "nolabel.tsv", "sentence\nx\n"),
        ("label 'MAYBE'", "label.tsv", "sentence\tlabel\nx\tMAYBE\n"),
        ("label '3'", "label.tsv", "sentence\tlabel\nx\t3\n"),
        ("expected 2 columns", "ragged.tsv", "sentence\tlabel\nx\n"),
        ("empty", "empty.tsv", ""),
        ("no text", "header.tsv", "sentence\tlabel\n"),
        ("needs a table", "lines.txt", "one\ntwo\n"),
        ("broken.json", "broken.json", "{"),
    ):
        fails(3, words, "eval", path, "--data", file(name, data))
    fails(3, "nothing.tsv", "eval", path, "--data", HERE / "nothing.tsv")
    fails(3, "CoNLL", "eval", model("bert-tag"), "--data", file("a.tsv", "sentence\tlabel\nx\t1\n"))
    fails(3, "label 'B-ORG'", "eval", model("bert-tag"), "--data", file("a.conll", "x B-ORG\n"))
    good = file("good2.tsv", "sentence\tlabel\nx\t1\n")
    fails(3, "reference", "eval", path, "--data", good, "--reference", model("bert-multilabel"))
    fails(1, "no-folder", "eval", path, "--data", good, "--logits", HERE / "no-folder" / "x.tsv")


@test
def compare_models():
    source, half = model("distilbert-wide"), model("distilbert-wide", dtype="bf16")
    data = file("compare.tsv", "sentence\tlabel\n" + "".join(f"{t}\t{i % 3}\n" for i, t in enumerate(
        ("very good", "bad film", "the", "acting , acting !", "a very good film"))))
    table = rows("compare", source, half, source, "--data", data)
    assert [row["model"] for row in table] == [source, half, source] and table[1]["recipe"] == "bf16"
    for row in table:
        alone = rows("eval", row["model"], "--data", data, "--reference", source)[0]
        assert row["metric"] == "accuracy" and row["value"] == alone["value"] and row["n"] == 5 and row["ms"] > 0
        assert row["difference"] == row["value"] - table[0]["value"]
        assert row["file_bytes"] == os.path.getsize(row["model"]) and row["batch"] == 32
        if row is not table[0]:
            assert all(row[key] == alone[key] for key in ("kl", "agreement", "max_abs_logit_error"))
    assert table[0]["kl"] is None and table[0]["agreement"] is None and table[1]["kl"] > 0 and table[2]["kl"] == 0
    assert [row["verdict"] for row in table] == ["reference", "no difference", "no difference"]
    smallest, fastest = min(row["file_bytes"] for row in table), min(row["ms"] for row in table)
    for row in table:
        best = {"value"}  # all are equally right
        best |= {"file_bytes"} if row["file_bytes"] == smallest else set()
        best |= {"ms"} if row["ms"] == fastest else set()
        assert set(row["best"]) == best, row
    out, error = retort("compare", source, half, checkpoint("distilbert-wide"), "--data", data, "--batch", "2")
    lines = out.decode().splitlines()
    assert error == "" and len(lines) == 7 and "5 texts, batches of 2; 95 % intervals" in lines[0]
    assert lines[1].split() == ["model", "MB", "accuracy", "difference", "KL", "agreement", "ms", "verdict"]
    at = lines[1].index("verdict")
    assert all(line[at:] in ("reference", "no difference") and line[at - 1] == " " for line in lines[2:5]), lines
    by_path = {line.split()[0]: line for line in lines[2:5]}
    assert by_path[source].split()[6:9] == ["-", "-", "-"] and by_path[checkpoint("distilbert-wide")].split()[1] == "-"  # a folder has no size
    assert by_path[half].split()[6:10] == ["+0.000", "(0.000", "to", "0.000)"]
    assert by_path[half].split()[1] == f"{os.path.getsize(half) / 1e6:.1f}*" and by_path[source].endswith(" reference")
    assert all(line.split()[5].endswith(")*") for line in lines[2:5]), lines  # all are equally right
    assert sum(line.split()[-2 if line.split()[-1] == "reference" else -3].endswith("*") for line in lines[2:5]) == 1, lines
    assert lines[5].startswith("* the best of its column") and lines[6].startswith("no difference: none from the reference that 5 texts can show")


@test
def compare_sorts_by_what_the_data_shows():
    """The better model first, whatever the order of the arguments; what is told apart has a verdict."""
    source = model("distilbert-wide")
    texts = [f"{a} {b} {c}" for a in ("good", "bad", "film", "very") for b in ("play", "acting", "the", "not") for c in ("was", "good", "great")]
    small = HERE / "compared.retort"
    retort("quantize", source, "--recipe", "int4", "--bits", "2", "-o", small)
    bare = file("compared-bare.tsv", "sentence\n" + "".join(text + "\n" for text in texts))
    best = [row["labels"][0]["label"] for row in rows("run", source, "--data", bare)]
    data = file("compared.tsv", "sentence\tlabel\n" + "".join(f"{t}\t{b}\n" for t, b in zip(texts, best)))
    found = rows("compare", small, source, "--data", data)
    assert [row["model"] for row in found] == [str(small), source] and found[1]["value"] == 1 > found[0]["value"], found
    assert found[1]["difference_low"] > 0 and found[1]["verdict"] == "better" and "value" in found[1]["best"] and "value" not in found[0]["best"]
    assert rows("compare", source, small, "--data", data)[1]["verdict"] == "worse"
    lines = retort("compare", small, source, "--data", data)[0].decode().splitlines()
    assert [line.split()[0] for line in lines[2:4]] == [source, str(small)] and len(lines) == 5, lines


@test
def a_page_of_a_benchmark():
    """Times by size, and by accuracy where the texts have labels; every dot goes up to the 99th percentile; the colours are inside."""
    source, small, page = model("distilbert-wide"), HERE / "page-int8.retort", HERE / "bench.html"
    retort("quantize", source, "-o", small)
    labelled = file("page.tsv", "sentence\tlabel\n" + "".join(f"good {w}\t{i % 3}\n" for i, w in enumerate(("film", "play", "acting", "was"))))
    bare = file("page-bare.tsv", "sentence\nvery good\nbad film\n")
    flags = ("--batch", "2", "--seconds", "0.01", "--html", page)
    said = retort("bench", source, small, "--data", labelled, *flags)[1]
    text = page.read_text()
    assert text.count("<svg") == 2 and text.count('r="5"') == 4 and text.count('stroke-width="2"') == 4 and text.count('class="key"') == 2, said
    assert "Time by accuracy" in text and "<th>metric</th>" in text and "99th percentile" in text and "accuracy" not in said
    said = retort("bench", source, small, "--data", bare, *flags)[1]
    text = page.read_text()
    assert "the page has no accuracy: " in said and text.count("<svg") == 1 and "Time by accuracy" not in text, said


@test
def several_labels():
    names = ["negative", "neutral", "positive"]
    texts = [("a very good film", [2]), ("bad", [0, 1]), ("the acting", [])]
    path = model("bert-multilabel")
    lists = file("l.jsonl", "".join(json.dumps({"text": t, "labels": [names[i] for i in l]}) + "\n" for t, l in texts))
    vectors = file("v.jsonl", "".join(json.dumps({"text": t, "labels": [int(i in l) for i in range(3)]}) + "\n" for t, l in texts))
    columns = file("c.csv", "text," + ",".join(names) + "\n" +
                   "".join(t + "".join(f",{int(i in l)}" for i in range(3)) + "\n" for t, l in texts))
    cells = file("s.tsv", "text\tlabel\n" + "".join(f"{t}\t{'|'.join(names[i] for i in l)}\n" for t, l in texts))
    logits = HERE / "several.logits"
    right = rows("eval", path, "--data", lists, "--logits", logits)[0]
    yes = [[float(x) > 0 for x in line.split()] for line in logits.read_text().splitlines()]
    gold = [[i in l for i in range(3)] for _, l in texts]
    both = sum(a and b for ys, gs in zip(yes, gold) for a, b in zip(ys, gs))
    assert right["metric"] == "f1" and abs(right["value"] - 2 * both / (sum(map(sum, yes)) + 3)) < 1e-9, right
    assert "f1_macro" in right
    several = rows("eval", path, "--data", lists, "--per-class")[0]
    assert "confusion" not in several and [row["texts"] for row in several["classes"]] == [1, 1, 1]
    close(several["f1_macro"], sum(row["f1"] or 0 for row in several["classes"]) / 3, 1e-8)
    for more in ((vectors,), (columns,), (cells, "--label-separator", "|"), (columns, "--label-column", ",".join(names))):
        assert rows("eval", path, "--data", *more)[0] == right, more
    fails(3, "s.tsv:3: label 'negative|neutral'", "eval", path, "--data", cells)


@test
def compare_other_tasks():
    squad = {"data": [{"paragraphs": [{"context": "a very good film", "qas": [{"question": "is it", "answers": [{"text": "good"}]}]}]}]}
    for name, metric, data in (
        ("package-mean", "spearman", file("s.tsv", "sentence1\tsentence2\tscore\na\ta\t5\ngood film\tgood play\t3\n")),
        ("bert-regression", "spearman", file("r.tsv", "sentence\tscore\na\t1\nb\t2.5\nc\t-1\n")),
        ("bert-multilabel", "f1", file("m.tsv", "sentence\tlabel\na\t1\nbad\t0\n")),
        ("bert-tag", "f1", file("t.conll", "a O\nvery B-PER\ngood I-PER\n\nfilm\tB-LOC\n")),
        ("bert-answer", "exact_match", file("a.json", json.dumps(squad))),
        ("distilbert-answer", "exact_match", file("a.json", json.dumps(squad))),
        ("bert-fill", "pseudo_perplexity", file("l.txt", "a very good film\n\nthe acting\n")),
    ):
        first, second = rows("compare", model(name), checkpoint(name), "--data", data)
        assert first["task"] == second["task"] and second["difference"] == 0, name
        assert second["kl"] in (0, None) and second["agreement"] in (1, None) or name == "package-mean"
        assert metric in (first["metric"], "f1") and second["file_bytes"] is None


@test
def compare_refuses():
    source, data = model("distilbert-classify"), file("one.tsv", "sentence\tlabel\nx\t1\n")
    fails(2, "compare", "compare", source, "--data", data)
    fails(2, "--data is required", "compare", source, source)
    for code, words, other in (
        (3, "its task is tag, but that of", model("bert-tag")),
        (3, "labels", model("bert-multilabel")),
        (3, "nothing.retort", HERE / "nothing.retort"),
    ):
        out, error = retort("compare", source, other, "--data", data, code=code)
        assert words in error and str(other) in error, error
        assert len(out.splitlines()) == 3  # what was measured stands
    renamed = pathlib.Path(shutil.copytree(checkpoint("distilbert-classify"), HERE / "renamed"))
    config = json.loads((renamed / "config.json").read_text())
    config["id2label"], config["label2id"] = {**config["id2label"], "1": "so-so"}, {}
    (renamed / "config.json").write_text(json.dumps(config))
    error = retort("compare", source, renamed, "--data", data, code=3)[1]
    assert f"{renamed}: label 1 is 'so-so'" in error, error
    wrong = file("wrong.txt", "one\ntwo\n")
    fails(3, "wrong.txt", "compare", source, source, "--data", wrong)


@test
def eval_per_layer():
    source, small = model("distilbert-wide"), str(HERE / "wide-int8.retort")
    retort("quantize", source, "-o", small)
    texts = ["very good", "bad film", "the", "acting , acting !", "a very good film"]
    data = file("layers.tsv", "sentence\tlabel\n" + "".join(f"{t}\t{i % 3}\n" for i, t in enumerate(texts)))
    logits = []
    for path in (small, source):
        retort("eval", path, "--data", data, "--logits", HERE / "layers-logits.tsv")
        logits.append([float(x) for x in (HERE / "layers-logits.tsv").read_text().split()])
    flags = ("--data", data, "--reference", source)
    result = rows("eval", small, *flags, "--per-layer")[0]
    layers = result.pop("layers")
    assert result == rows("eval", small, *flags)[0]
    names = [layer["name"] for layer in layers]
    plan = [step["name"] for step in rows("explain", small)[0]["steps"]]
    assert [name for name in plan if name in names] == names and "layer.0.ffn.lin1" in names and len(names) > 10
    assert layers[0]["rows"] == sum(row["tokens"] for row in rows("bench", source, "--data", data, "--seconds", "0"))
    assert all(0 < layer["relative_error"] < 0.1 for layer in layers)
    last = sum((a - b) ** 2 for a, b in zip(*logits)) / sum(b * b for b in logits[1])
    assert layers[-1]["rows"] == 5 and layers[-1]["columns"] == 3
    close(layers[-1]["relative_error"] / last, 1, 1e-4)
    # Where the reference goes on from the last rows of all, its answers are the model's.
    ends = [layer["name"] for layer in layers if "kl" in layer]
    assert len(ends) > 3 and ends[0] == "embeddings" and ends[-1] == names[-1], ends
    assert all(layer["kl"] > 0 for layer in layers if "kl" in layer)
    close(layers[-1]["kl"] / result["kl"], 1, 1e-6)
    out = retort("eval", small, *flags, "--per-layer")[0].decode().splitlines()
    table = out[out.index("") + 2:]
    assert [line.split()[0] for line in table] == names and max(line.count("#") for line in table) == 24
    same = rows("eval", source, *flags, "--per-layer", "--threads", "2")[0]["layers"]
    assert len(same) >= len(layers) and all(layer["relative_error"] == 0 and layer.get("kl", 0) == 0 for layer in same)
    half = rows("eval", model("distilbert-wide", dtype="bf16"), *flags, "--per-layer")[0]["layers"]
    assert 0 < len(half) <= len(same) and 0 < half[-1]["relative_error"] < 1e-3
    for name in ("bert-tag", "modernbert-classify"):  # tokens; residuals that no norm ends
        retort("quantize", model(name), "-o", HERE / "layers.retort")
        words = file("layers.conll", "a O\nvery O\nfilm O\n\nbad O\nacting O\n") if name == "bert-tag" else data
        whole = rows("eval", HERE / "layers.retort", "--data", words, "--reference", model(name), "--per-layer")[0]
        close(whole["layers"][-1]["kl"] / whole["kl"], 1, 1e-6)
    lines = file("layers.txt", "a very good film\n\nthe acting\n" * 30)
    filled = rows("eval", model("bert-fill"), "--data", lines, "--reference", model("bert-fill"), "--per-layer")[0]["layers"]
    assert filled[-1]["rows"] > 5 and all(layer["relative_error"] == 0 and "kl" not in layer for layer in filled)
    fails(2, "--per-layer needs --reference", "eval", small, "--data", data, "--per-layer")
    plain = model("distilbert-wide", level=2)
    for first, second in ((plain, source), (source, plain)):
        fails(3, f"{plain}: --per-layer needs a model at level 3", "eval", first, "--data", data, "--reference", second, "--per-layer")


@test
def texts_that_changed():
    """Those whose label is not the reference's, the surest first; without labels, the metric is agreement."""
    words = ["good", "bad", "film", "very", "not", "play", "acting", "great", "the", "was"]
    texts = [f"{a} {b} {c}" for a in words for b in words for c in words]
    data = file("changed.tsv", "sentence\tlabel\n" + "".join(f"{text}\tneutral\n" for text in texts))
    bare = file("changed-bare.tsv", "sentence\n" + "".join(text + "\n" for text in texts))
    source, small = model("distilbert-wide"), HERE / "changed.retort"
    retort("quantize", source, "--recipe", "int4", "--bits", "2", "-o", small)
    labels = [max(row["labels"], key=lambda label: label["score"]) for path in (source, small) for row in rows("run", path, "--data", bare)]
    before, after = labels[:len(texts)], labels[len(texts):]
    differ = [i for i in range(len(texts)) if before[i]["label"] != after[i]["label"]]
    found = rows("eval", small, "--reference", source, "--data", data, "--changed", "5")[0]
    assert found["changed"] == len(differ) > 5 and len(found["changed_texts"]) == 5, (found["changed"], len(differ))
    surest = sorted((-after[i]["score"] for i in differ))[:5]
    for entry, score in zip(found["changed_texts"], surest):
        i = entry["index"]
        assert entry["text"] == texts[i] and entry["reference"] == before[i]["label"] and entry["label"] == after[i]["label"]
        assert entry["gold"] == "neutral"
        close(entry["probability"], -score, 1e-4)
    told = retort("eval", small, "--reference", source, "--data", data, "--changed", "5")[0].decode()
    assert f"{len(differ)} texts have another label" in told, told
    agreed = rows("eval", small, "--reference", source, "--data", bare, "--changed", "5")[0]
    assert agreed["metric"] == "agreement" and agreed["changed"] == len(differ), agreed
    close(agreed["value"], 1 - len(differ) / len(texts), 1e-9)
    assert "gold" not in agreed["changed_texts"][0]
    fails(3, "labels", "eval", small, "--data", bare)
    fails(2, "--changed needs --reference", "eval", small, "--data", data, "--changed", "5")
    fails(2, "does not give each text one label", "eval", model("bert-fill"), "--reference", model("bert-fill"), "--data", bare, "--changed", "5")


main()
