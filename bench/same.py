#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares what two builds of retort compute: of the tree before a change, and of the tree after it.

usage: same.sh OLD NEW [--quick] [--only NAME] [--keep FOLDER] [--bytes]

OLD, NEW  the two programs `retort`
--quick   fewer checkpoints, the best instruction set alone (about 15 seconds)
--only    the checks whose name has this in it
--keep    leave the files of both there
--bytes   also demand that both write the same bytes into .retort files

Both import, quantize (with every recipe), evaluate and export the checkpoints of test/golden, models/sentiment.retort and the
models of RETORT_SHARED. Answers are the logits of `retort eval`, whose 9 digits tell any two floats apart, at each level and
with each instruction set of this machine. NEW also answers from the files that OLD wrote. Exports are compared node by node:
names between two nodes may differ, all else may not. Where OLD refuses, NEW must refuse with the same exit code.
Each check that differs is a line; the last line is "N the same, M differ". Exit code 1 when any differs.
"""
import argparse
import concurrent.futures
import json
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
GOLDEN = ROOT / "test/golden/checkpoints"
QUICK = ("distilbert-classify", "bert-classify", "bert-tag", "bert-answer", "distilbert-fill", "distilbert-wide", "package-dense",
         "electra-classify", "roberta-answer", "roberta-bytes-classify", "albert-classify", "mpnet-tag", "deberta-classify",
         "modernbert-classify", "gte-tag", "eurobert-classify")
LEVELS = range(4)
# How a model of level 3 is quantized; the words after the name.
RECIPES = {
    "int8": [],
    "int8-keep": ["--keep", "layer.0,head.output"],
    "int8-static": ["--recipe", "int8-static"],
    "smoothquant": ["--recipe", "smoothquant"],
    "smoothquant+gptq": ["--recipe", "smoothquant+gptq"],
    "smoothquant-static": ["--recipe", "smoothquant", "--activations", "static"],
    "int4": ["--recipe", "int4"],
    "int4-32": ["--recipe", "int4", "--group", "32", "--embeddings", "8"],
    "int4-3": ["--recipe", "int4", "--bits", "3"],
    "int4-2": ["--recipe", "int4", "--bits", "2"],
    "awq": ["--recipe", "awq"],
    "gptq": ["--recipe", "gptq"],
    "gptq-static": ["--recipe", "gptq", "--activations", "static"],
    "owq": ["--recipe", "owq"],
    "owq-3": ["--recipe", "owq", "--bits", "3", "--weak-columns", "16"],
    "owq-2": ["--recipe", "owq", "--bits", "2"],
    "ptq+owq": ["--recipe", "ptq+owq"],
    "ptq+owq-3": ["--recipe", "ptq+owq", "--bits", "3"],
}
NEEDS_NO_DATA = ("int8", "int8-keep", "int4", "int4-32", "int4-3", "int4-2")
FEW_RECIPES = ("int8", "int4-3", "owq")  # of checkpoints that differ from one of QUICK in how they are stored
# Real models: the recipes of each, its data, and how many rows of it.
SHARED = {"sst2": (("int8", "int4-3", "smoothquant", "owq"), "dev.tsv", 9), "banking77": (("int8", "int4"), "test.tsv", 9),
          "wikiann": (("int8", "int4"), "test.conll", 120)}
EXPORTS = {"any": [], "ort": ["--for", "ort"], "standard": ["--standard"]}
WITHOUT = ("fold-constants", "drop-identities", "merge-constants", "merge-nodes", "fuse-layer-norm", "fuse-embed", "fuse-linear",
           "fuse-activation", "fuse-attention", "scale-into-query", "drop-key-bias", "fold-value-bias", "fuse-qkv",
           "fuse-residual", "fuse-select", "fuse-pool", "fuse-normalize", "remove-padding", "prune-rows", "skip-keys")
WORDS = "the of and to in is it was for on this that with not very good bad film great acting play".split()


# ---- What is run ----

class Side:
    """One of the two programs, and the folder that it writes into."""

    def __init__(self, program, folder):
        self.program, self.folder = os.path.abspath(program), folder
        folder.mkdir(parents=True)

    def run(self, *words, tier=None, stdin=None):
        environment = {**os.environ, "RETORT_ISA": tier or ""}
        if not tier:
            del environment["RETORT_ISA"]
        return subprocess.run([self.program, *map(str, words)], input=stdin, capture_output=True, env=environment, timeout=600,
                              check=False)

    def eval(self, model, data, tier):
        """What `eval` prints and the logits, as text, or the exit code."""
        logits = self.folder / f"{model.name}-{data.name}-{tier}.tsv"
        done = self.run("eval", model, "--data", data, "--logits", logits, "--threads", 1, "--json", tier=tier)
        if done.returncode != 0:
            return done.returncode
        text = logits.read_text()
        logits.unlink()
        return done.stdout.decode(), text


class Checks:
    """Counts, and prints what differs."""

    def __init__(self, only):
        self.only, self.same, self.differ, self.refused = only, 0, 0, 0

    def wanted(self, name):
        return self.only in name

    def add(self, name, why):
        """why: None where nothing differs."""
        if why is None:
            self.same += 1
        else:
            self.differ += 1
            print(f"{name}: {why}", flush=True)


def difference(old, new):
    """Of two results of Side.eval."""
    if isinstance(old, int) or isinstance(new, int):
        codes = [x if isinstance(x, int) else 0 for x in (old, new)]
        return None if old == new else f"exit codes {codes[0]} and {codes[1]}"
    if old[1] != new[1]:
        pairs = [(x.split("\t"), y.split("\t")) for x, y in zip(old[1].splitlines(), new[1].splitlines())]
        numbers = [(float(x), float(y)) for a, b in pairs for x, y in zip(a, b)]
        if old[1].count("\n") != new[1].count("\n") or any(len(a) != len(b) for a, b in pairs):
            return "logits of another shape"
        apart = [abs(x - y) for x, y in numbers if x != y]
        return f"{len(apart)} of {len(numbers)} logits, by up to {max(apart, default=0):.3g}"
    return None if old[0] == new[0] else f"eval prints {old[0].strip()} and {new[0].strip()}"


# ---- ONNX files ----

def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at


def fields(data):
    """(number, value) of each field of a protobuf message; a value is an integer or bytes."""
    at = 0
    while at < len(data):
        key, at = varint(data, at)
        if key & 7 == 0:
            value, at = varint(data, at)
        else:
            size, at = varint(data, at) if key & 7 == 2 else ({1: 8, 5: 4}[key & 7], at)
            value, at = data[at:at + size], at + size
        yield key >> 3, value


def all_of(message, number):
    return [value for field, value in message if field == number]


def named(message, number):
    """A message's name (field `number`), and the rest of it."""
    name = b"".join(all_of(message, number))
    return name, [field for field in message if field[0] != number]


def onnx_parts(path):
    """(part, value) of a file, in order, with the names of values between nodes replaced by the order in which they come."""
    model = list(fields(path.read_bytes()))
    graph = list(fields(all_of(model, 7)[0]))
    borders = [named(list(fields(x)), 1) for number in (11, 12) for x in all_of(graph, number)]
    number_of = {name: name for name, _ in borders}
    constants = dict(named(list(fields(x)), 8) for x in all_of(graph, 5))
    parts = [("opset", all_of(model, 8)), ("inputs and outputs", borders)]

    def value_of(name):
        if name in constants and name not in number_of:
            number_of[name] = len(number_of)
            return "constant", constants[name]
        return number_of.setdefault(name, len(number_of)) if name else None

    for at, raw in enumerate(all_of(graph, 1)):
        node = list(fields(raw))
        kind = b"".join(all_of(node, 4)).decode()
        parts.append((f"node {at} ({kind})", (kind, all_of(node, 7), sorted(all_of(node, 5)),
                                             [value_of(x) for x in all_of(node, 1)], [value_of(x) for x in all_of(node, 2)])))
    parts.append(("constants", len(constants)))
    return parts


def export_difference(old, new):
    if old.read_bytes() == new.read_bytes():
        return None
    before, after = onnx_parts(old), onnx_parts(new)
    for a, b in zip(before, after):
        if a != b:
            return f"{a[0]} differs" if a[0] == b[0] else f"{a[0]} became {b[0]}"
    return None if len(before) == len(after) else f"{len(before)} parts became {len(after)}"


# ---- Data ----

def text_of(dice):
    return " ".join(dice.choice(WORDS) for _ in range(dice.choice((1, 3, 9, 14))))


def data_of(folder, task, problem, pairs):
    """A small labelled file for a task."""
    dice, rows = random.Random(7), []
    kind = f"{task}-{problem}{'-pairs' if pairs else ''}"
    if task == "answer":
        for i in range(8):
            context = text_of(dice)
            rows.append({"context": context, "qas": [{"id": str(i), "question": text_of(dice),
                                                      "answers": [{"text": context.split()[0], "answer_start": 0}]}]})
        name, text = kind + ".json", json.dumps({"data": [{"paragraphs": rows}]})
    elif task == "tag":
        name, text = kind + ".conll", "\n\n".join("\n".join(f"{word} O" for word in text_of(dice).split()) for _ in range(8)) + "\n"
    elif task == "fill":
        name, text = kind + ".txt", "".join(text_of(dice) + "\n" for _ in range(4))
    else:
        score = task == "embed" or problem == "regression"
        columns = ["sentence1", "sentence2"] if task == "embed" or pairs else ["sentence"]
        rows = [[*columns, "score" if score else "label"]]
        rows += [[*(text_of(dice) for _ in columns), str(i / 2 if score else i % 2 if problem != "multi_label" else 0)]
                 for i in range(8)]
        name, text = kind + ".tsv", "".join("\t".join(row) + "\n" for row in rows)
    path = folder / name
    path.write_text(text)
    return path


def calibration_of(folder):
    dice, path = random.Random(8), folder / "calibration.txt"
    path.write_text("".join(text_of(dice) + "\n" for _ in range(32)))
    return path


# ---- The checks ----

class Model:
    """One source, and its checks. level: None where it is a .retort file, which is not imported."""

    def __init__(self, name, source, args, data=None, recipes=RECIPES, large=False):
        self.name, self.source, self.args, self.checks = name, source, args, args.checks
        self.large, self.recipes = large, recipes
        self.folders = [side.folder / name for side in (args.old, args.new)]
        for folder in self.folders:
            folder.mkdir()
        info = json.loads(args.old.run("info", source, "--json").stdout)
        self.data = [data] if data else [data_of(args.texts[pairs], info["task"], info.get("problem"), pairs)
                                         for pairs in (False, True)][:2 if info["task"] == "classify" else 1]

    def paths(self, name):
        return [folder / name for folder in self.folders]

    def make(self, name, verb, sources, *words):
        """The same file by both programs, from sources[0] and sources[1]; None where both refuse or one fails."""
        made = [side.run(verb, source, "-o", path, *words)
                for side, source, path in zip((self.args.old, self.args.new), sources, self.paths(name))]
        codes = [done.returncode for done in made]
        if codes[0] != codes[1]:
            message = made[codes[1] != 0].stderr.decode().strip().splitlines()[-1:]
            self.checks.add(f"{name} {verb}", f"exit codes {codes[0]} and {codes[1]}: {' '.join(message)}")
            return None
        self.checks.add(f"{name} {verb}", None)
        self.checks.refused += codes[0] != 0
        return self.paths(name) if codes[0] == 0 else None

    def answers(self, name, files):
        """Both programs on their own file, and NEW on OLD's, with each instruction set."""
        old, new = self.args.old, self.args.new
        if self.args.bytes:
            self.checks.add(name, None if files[0].read_bytes() == files[1].read_bytes() else "other bytes in the file")
        for tier in self.args.tiers[-2 if self.large else 0:]:
            for data in self.data:
                label = f"{name} {tier} {data.stem}"
                wanted = old.eval(files[0], data, tier)
                self.checks.add(label, difference(wanted, new.eval(files[1], data, tier)))
                self.checks.add(label + " from OLD's file", difference(wanted, new.eval(files[0], data, tier)))

    def exports(self, name, sources, forms, *words):
        for form in forms:
            files = self.make(f"{name}-{form}.onnx", "export", sources, *EXPORTS[form], *words)
            if files:
                self.checks.add(f"{name}-{form}.onnx", export_difference(*files))
                if form == "any" and "--level" in words:
                    self.reads_export(name, files[0])

    def reads_export(self, name, export):
        """OLD's export, imported again."""
        folder = export.with_suffix("")
        shutil.copytree(self.source, folder, ignore=shutil.ignore_patterns("*.safetensors*", "*.bin", "*.h5", "*.ckpt*"))
        self.variant(name + "-again", "import", [shutil.move(export, folder / "model.onnx")] * 2, [])

    def variant(self, name, verb, sources, forms, *words):
        """A model file, its answers and its exports."""
        if not self.checks.wanted(name):
            return None
        files = self.make(name + ".retort", verb, sources, *words)
        if files:
            self.answers(name, files)
            self.exports(name, files, forms)
        return files

    def imports(self):
        """At every level, as bf16, and with each rewrite left out; exports of the folder; the file of level 3 of both."""
        twice, base = [self.source] * 2, None
        for level in LEVELS if not self.large or self.name == "sst2" else (2, 3):
            base = self.variant(f"{self.name}-{level}", "import", twice, ["any", "ort"], "--level", level) or base
        self.variant(f"{self.name}-bf16", "import", twice, ["any"], "--dtype", "bf16")
        if self.large:
            return
        for level in LEVELS if self.recipes != FEW_RECIPES else ():
            if self.checks.wanted(f"{self.name}-folder-{level}"):
                self.exports(f"{self.name}-folder-{level}", twice, EXPORTS, "--level", level)
        for rewrite in WITHOUT if self.name in QUICK else ():
            self.variant(f"{self.name}-without-{rewrite}", "import", twice, [], "--without", rewrite)

    def texts(self):
        """What the tokenizer and `run` make of texts."""
        texts = "Very GOOD film, isn't it?\nça va [SEP] \u4e2d\u6587 x\nthe [MASK] film was good\n"
        pairs = texts.replace(" ", "\t", 1).replace("\nça ", "\nça\t").replace("\nthe ", "\nthe\t")
        for words in ("tokenize", "tokenize --special-as-text", "tokenize --pairs", "run", "run --pairs"):
            verb, *options = words.split()
            name = f"{self.name} {words}"
            if self.checks.wanted(name):
                done = [side.run(verb, self.source, *options, "--json", stdin=(pairs if "--pairs" in options else texts).encode())
                        for side in (self.args.old, self.args.new)]
                same = done[0].returncode == done[1].returncode and done[0].stdout == done[1].stdout
                self.checks.add(name, None if same else "other lines")

    def quantized(self, base):
        for recipe in self.recipes:
            data = [] if recipe in NEEDS_NO_DATA else ["--data", self.args.calibration, "--samples", 8 if self.large else 32]
            name = f"{self.name}-{recipe}"
            files = self.variant(name, "quantize", base, ["any"] if self.large else EXPORTS, *RECIPES[recipe], *data)
            if files and recipe in ("int8", "int4", "owq"):
                self.variant(name + "-dequantized", "dequantize", files, [])

    def check(self):
        self.texts()
        if str(self.source).endswith(".retort"):
            self.variant(self.name, "import", [self.source] * 2, EXPORTS)
            self.variant(self.name + "-dequantized", "dequantize", [self.source] * 2, ["any"])
        else:
            self.check_checkpoint()
        for folder in () if self.args.keep else self.folders:
            shutil.rmtree(folder)

    def check_checkpoint(self):
        self.imports()
        base = self.paths(f"{self.name}-base.retort")
        for side, path in zip((self.args.old, self.args.new), base):
            side.run("import", self.source, "-o", path)
        if all(path.exists() for path in base):
            self.quantized(base)


def tiers(args):
    """The instruction sets that OLD runs with on this machine."""
    model = GOLDEN / "distilbert-classify"
    found = [tier for tier in ("ref", "avx2", "vnni", "amx", "neon")
             if args.old.run("run", model, "a", "--isa", tier).returncode == 0]
    return found[-1:] if args.quick else found


def models(args):
    for path in sorted(GOLDEN.iterdir()):
        if args.quick and path.name not in QUICK:
            continue
        alike = any(path.name.startswith(f"{name}-") for name in QUICK)
        if args.old.run("info", path).returncode != 0:
            print(f"{path.name}: OLD does not read it", flush=True)
        else:
            yield Model(path.name, path, args, recipes=FEW_RECIPES if alike else RECIPES)
    yield Model("sentiment", ROOT / "models/sentiment.retort", args, large=True)
    shared = os.environ.get("RETORT_SHARED")
    for name, (recipes, data, lines) in SHARED.items():
        if shared and not args.quick and (pathlib.Path(shared) / "models" / name).exists():
            whole = (pathlib.Path(shared) / "data" / name / data).read_text(encoding="utf-8").splitlines(keepends=True)
            few = args.texts[0] / f"{name}{pathlib.Path(data).suffix}"
            few.write_text("".join(whole[:lines]), encoding="utf-8")
            yield Model(name, pathlib.Path(shared) / "models" / name, args, few, recipes, large=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old")
    parser.add_argument("new")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", default="")
    parser.add_argument("--keep")
    parser.add_argument("--bytes", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        folder = pathlib.Path(args.keep or work)
        args.old, args.new = Side(args.old, folder / "old"), Side(args.new, folder / "new")
        args.texts = [folder / "texts", folder / "pairs"]
        for path in args.texts:
            path.mkdir()
        args.calibration, args.checks = calibration_of(folder), Checks(args.only)
        args.tiers = tiers(args)
        started = time.monotonic()
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            for _ in pool.map(Model.check, list(models(args))):
                pass
        checks = args.checks
        print(f"instruction sets: {', '.join(args.tiers)}; {checks.refused} commands refused by both, "
              f"{time.monotonic() - started:.0f} s")
        print(f"{checks.same} the same, {checks.differ} differ")
    sys.exit(checks.differ > 0)


if __name__ == "__main__":
    main()
