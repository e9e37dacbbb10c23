#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Names that hold escape sequences, line ends and worse: no verb hands them to the terminal or to a log as they are,
and JSON, SVG and HTML stay what they are. Prints TAP.

    escape.py RETORT SOURCE_ROOT EXAMPLES_FOLDER
"""
import fcntl
import html.parser
import json
import os
import pathlib
import pty
import re
import shutil
import struct
import subprocess
import sys
import termios
import xml.etree.ElementTree

sys.dont_write_bytecode = True
from harness import HERE, RETORT, checkpoint, file, main, model, retort, rows, test

LABELS = ["\x1b[2J\x1b]0;pwn\x07", "b\nretort: fake line\x9b31m", "\u202ec\ttab\x7f"]
CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def hostile_labels():
    """A classifier whose labels hold control characters."""
    folder = HERE / "labels"
    if not folder.exists():
        shutil.copytree(checkpoint("distilbert-classify"), folder)
        config = json.loads((folder / "config.json").read_text())
        config["id2label"] = dict(enumerate(LABELS))
        (folder / "config.json").write_text(json.dumps(config))
        retort("import", folder, "-o", folder / "m.retort")
    return str(folder / "m.retort")


def renamed(name, word):
    """A model with `word` in the names of nodes and tensors."""
    path = HERE / name
    plain = pathlib.Path(model("distilbert-classify")).read_bytes()
    length = int.from_bytes(plain[:8], "little")
    head = json.loads(plain[8:8 + length])
    graph = head["__metadata__"]["retort.graph"].replace("head.dense", word)
    head = {name.replace("head.dense", word): value for name, value in head.items()}
    head["__metadata__"]["retort.graph"] = graph
    text = json.dumps(head, ensure_ascii=True).encode()
    text += b" " * (-(len(text) + 8) % 64)
    path.write_bytes(len(text).to_bytes(8, "little") + text + plain[8 + length:])
    return str(path)


def clean(*words, lines=None, code=0):
    """What a verb prints: nothing that a terminal or a log would obey."""
    out, error = retort(*words, code=code)
    out = out.decode()
    for text in (out, error):
        assert not CONTROL.search(text), f"{words}: {text!r}"
    assert not any(line.startswith("retort: fake") for line in (out + error).splitlines()), words
    assert lines is None or len(out.splitlines()) == lines, f"{words}: {out!r}"
    return out, error


def on_terminal(*words, columns=120):
    """What is drawn on a terminal."""
    primary, secondary = pty.openpty()
    fcntl.ioctl(secondary, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    with subprocess.Popen([RETORT, *words], stdout=secondary, stderr=subprocess.PIPE, env={**os.environ, "NO_COLOR": "1"}) as process:
        os.close(secondary)
        seen = b""
        while True:
            try:
                more = os.read(primary, 65536)
            except OSError:
                break
            if not more:
                break
            seen += more
        assert process.wait() == 0, process.stderr.read()
    os.close(primary)
    return seen.decode().replace("\r\n", "\n")


@test
def labels():
    hostile = hostile_labels()
    data = file("labels.tsv", "sentence\tlabel\ngood\t0\nbad\t1\n")
    out, _ = clean("run", hostile, "good\x1b[2J", "bad", lines=2)
    assert all(len(line.split("\t")) == 2 for line in out.splitlines())
    assert "\\u001b[2J\\u001b]0;pwn\\u0007, b\\nretort: fake line\\u009b31m, \\u202ec\\ttab\\u007f" in clean("info", hostile)[0]
    clean("eval", hostile, "--data", data)
    clean("compare", hostile, hostile, "--data", data)
    for words in (["info", hostile], ["run", hostile, "good"]):
        text = clean(*words, "--json")[0]
        found = json.loads(text)
        names = found["label_names"] if "label_names" in found else [label["label"] for label in found["labels"]]
        assert sorted(names) == sorted(LABELS)
    _, error = clean("eval", hostile, "--data", file("odd.tsv", "sentence\tlabel\ngood\t\x1b[2Jno\n"), code=3)
    assert "label '\\u001b[2Jno'" in error and "\\u001b[2J\\u001b]0;pwn" in error
    drawn = on_terminal("run", hostile, "good \x1b[2J")
    assert not CONTROL.search(drawn) and "good \\u001b[2J" in drawn and len(drawn.splitlines()) == 4


@test
def names_of_tensors_and_nodes():
    safe = "head.<&\"'>--><x/>"
    hostile = renamed("names.retort", safe)
    assert len(rows("run", hostile, "good")) == 1
    for words in (["info", "--tensors"], ["explain"], ["explain", "--graph"]):
        assert safe in clean(words[0], hostile, *words[1:])[0]
    names = [tensor["name"] for tensor in json.loads(clean("info", hostile, "--tensors", "--json")[0])["tensors"]]
    assert safe + ".weight" in names
    data = file("names.tsv", "sentence\tlabel\ngood\t0\n")
    assert safe in clean("eval", hostile, "--data", data, "--reference", hostile, "--per-layer")[0]
    clean("explain", hostile, "--svg", HERE / "names.svg")
    xml.etree.ElementTree.parse(HERE / "names.svg")
    clean("info", renamed("controls.retort", "head.\x1b[2J\x9b\u202e"), code=3)  # a graph's words are printable


@test
def tensors_of_a_checkpoint():
    folder = HERE / "tensors"
    shutil.copytree(checkpoint("distilbert-classify"), folder)
    data = (folder / "model.safetensors").read_bytes()
    length = int.from_bytes(data[:8], "little")
    head = json.loads(data[8:8 + length])
    head["\x1b[2Jevil"] = {**next(v for k, v in head.items() if k.endswith("q_lin.weight")), "dtype": "F99\x1b[0m\n"}
    text = json.dumps(head).encode()
    (folder / "model.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + data[8 + length:])
    _, error = clean("import", folder, "-o", HERE / "x.retort", code=3)
    assert "\\u001b[2Jevil" in error and len(error.splitlines()) == 1


@test
def pieces_of_a_vocabulary():
    folder = HERE / "pieces"
    shutil.copytree(checkpoint("distilbert-classify"), folder)
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    vocabulary = tokenizer["model"]["vocab"]
    good = vocabulary.pop("good")
    vocabulary["good\x1b[2J"] = good
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    retort("import", folder, "-o", folder / "m.retort")
    clean("tokenize", folder / "m.retort", "good bad", lines=1)
    clean("tokenize", folder / "m.retort", "\x1b[2J", lines=1)


@test
def names_of_files():
    odd = HERE / "a\x1b[2J\nretort: fake\udcff.retort"
    shutil.copy(model("distilbert-classify"), odd)
    data = file("files.tsv", "sentence\tlabel\ngood\t0\n")
    clean("info", odd)
    clean("compare", odd, odd, "--data", data)
    clean("optimize", odd, "-o", odd)
    clean("info", str(odd) + "\x1b", code=3)
    clean("eval", odd, "--data", str(odd) + "\x1b", code=3)
    clean("bench", odd, odd, "--grid", "1x8", "--seconds", "0", "--html", HERE / "page.html")
    page = (HERE / "page.html").read_text(encoding="utf-8")
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f]", page)
    html.parser.HTMLParser().feed(page)
    _, error = clean("import", HERE / "no\x1b[2J\nsuch", "-o", HERE / "x", code=3)
    assert "no\\u001b[2J\\nsuch" in error
    clean("run\x1b", code=2)
    clean("run", odd, "--\x1b[2J", code=2)


@test
def queries_print_texts():
    out, _ = clean("run", model("package-mean"), "--query", "good", "bad\tfilm\x1b[2J", "good\nfilm", lines=2)
    assert all(len(line.split("\t")) == 2 for line in out.splitlines())


@test
def columns_are_those_of_the_terminal():
    """Hangul takes two columns, a combining mark none: the scores stand below each other."""
    folder = HERE / "korean"
    shutil.copytree(checkpoint("distilbert-classify"), folder)
    config = json.loads((folder / "config.json").read_text())
    config["id2label"] = {"0": "긍정적인", "1": "plain", "2": "cafe\u0301"}
    (folder / "config.json").write_text(json.dumps(config))
    retort("import", folder, "-o", folder / "m.retort")
    lines = on_terminal("run", str(folder / "m.retort"), "good").splitlines()[1:]
    wide = {"긍정적인": 8, "plain": 5, "cafe\u0301": 4}
    for line in lines:
        label = line.split()[0]
        before = line.index("0.") - len(label) + wide[label]
        assert before == 2 + 28 + 1 + 2, f"{line!r}: the score is in column {before}"


main()
