#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Imports the exports that make.py made, and compares the answers with those of ONNX Runtime.

usage: check.py RETORT FOLDER [--only NAME] [--quiet] [--report FILE]

Each export is imported, and the same texts run through retort and, as ids without padding, through ONNX Runtime. A float export
must give the same logits within 1e-4. So must a float16 export, compared with the same file whose float16 numbers have been widened
to float32: retort computes in float32. Of integer forms the distance to the float export (root mean square over all logits) may
not be larger than that of ONNX Runtime, unless both engines agree within 1e-4. Prints a line for each export (or
each that is wrong: --quiet), then a table by kind; --report writes both to a file. Exit code 1 when an answer is wrong.
"""
import argparse
import collections
import concurrent.futures
import json
import os
import pathlib
import random
import re
import subprocess
import sys
import tempfile

try:
    import numpy as np
    import onnx
    import onnxruntime
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(77)

WORDS = "the of and to in is it was for on this that with not very good bad film great acting play zebra .".split()
DICE = random.Random(3)
TEXTS = [" ".join(DICE.choices(WORDS, k=DICE.randint(1, 16))) for _ in range(40)]
PAIRS = [f"{' '.join(DICE.choices(WORDS, k=3))}\t{' '.join(text.split()[:8])}" for text in TEXTS[:20]]
SEPARATOR, MASK, TOLERANCE = 3, 4, 1e-4


def retort(args, *words, stdin=b""):
    return subprocess.run([args.retort, *map(str, words)], input=stdin, capture_output=True, timeout=120, check=False)


def objects(done):
    return [json.loads(line) for line in done.stdout.splitlines()]


# ---- ONNX Runtime ----

def types_of(ids):
    """0 up to the first separator, 1 behind it."""
    first = ids.index(SEPARATOR) + 1
    return [0] * first + [1] * (len(ids) - first)


def onnx_outputs(path, rows):
    """The outputs for each row of ids, each run alone."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 4, 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    for ids in rows:
        values = {"input_ids": ids, "attention_mask": [1] * len(ids), "token_type_ids": types_of(ids)}
        feed = {x.name: np.array([values[x.name]], np.int64 if x.type == "tensor(int64)" else np.int32)
                for x in session.get_inputs()}
        yield [x[0].astype(np.float32) for x in session.run(None, feed)]


def widened(path, work):
    """The file with float32 in place of float16."""
    model = onnx.load(path)
    graph = model.graph
    tensors = [*graph.initializer, *(attr.t for node in graph.node for attr in node.attribute if attr.HasField("t"))]
    for tensor in tensors:
        if tensor.data_type == onnx.TensorProto.FLOAT16:
            tensor.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(tensor).astype(np.float32), tensor.name))
    for node in graph.node:
        for attr in node.attribute:
            if node.op_type == "Cast" and attr.name == "to" and attr.i == onnx.TensorProto.FLOAT16:
                attr.i = onnx.TensorProto.FLOAT
    for value in [*graph.input, *graph.output, *graph.value_info]:
        if value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT16:
            value.type.tensor_type.elem_type = onnx.TensorProto.FLOAT
    wide = work / f"{path.parent.name}.wide.onnx"
    onnx.save(model, wide)
    return wide


def masked(ids):
    """(place, ids) with one token after the other masked."""
    for at in range(1, len(ids) - 1):
        yield at, [MASK if i == at else x for i, x in enumerate(ids)]


def onnx_logits(path, task, rows):
    """Arrays as `answers` gives them."""
    if task == "fill":
        cases = [case for ids in rows for case in masked(ids)]
        return [x[0][at] for (at, _), x in zip(cases, onnx_outputs(path, [ids for _, ids in cases]))]
    outputs = list(onnx_outputs(path, rows))
    return [np.stack(x, -1) for x in outputs] if task == "answer" else [x[0] for x in outputs]


# ---- retort ----

def evaluated(args, path, data, text):
    """The rows of logits that `eval` writes."""
    data, logits = path.with_suffix(data), path.with_suffix(".logits")
    data.write_text(text)
    done = retort(args, "eval", path, "--data", data, "--logits", logits)
    if done.returncode != 0:
        return None
    return np.array([[float(x) for x in line.split("\t")] for line in logits.read_text().splitlines()], np.float32)


def ids_of(args, path, texts, *options):
    done = retort(args, "tokenize", path, "--json", *options, stdin="".join(text + "\n" for text in texts).encode())
    return [row["ids"] for row in objects(done)]


def answers(args, path, task):
    """(arrays, ids): one array a text, of a masked model one a token; None where a command fails."""
    if task == "fill":
        return evaluated(args, path, ".txt", "".join(text + "\n" for text in TEXTS[:5])), ids_of(args, path, TEXTS[:5])
    if task in ("tag", "answer"):
        if task == "tag":
            ids = ids_of(args, path, TEXTS)
            rows = evaluated(args, path, ".conll", "\n".join("".join(f"{word} O\n" for word in text.split()) for text in TEXTS))
        else:
            ids = ids_of(args, path, PAIRS, "--pairs")
            asked = [{"context": context, "qas": [{"question": question, "answers": [{"text": context}]}]}
                     for question, context in (pair.split("\t") for pair in PAIRS)]
            rows = evaluated(args, path, ".json", json.dumps({"data": [{"paragraphs": asked}]}))
        if rows is None or len(rows) != sum(map(len, ids)):
            return None, ids
        return np.split(rows, np.cumsum([len(x) for x in ids])[:-1]), ids
    found, ids = [], []
    for texts, options in ((TEXTS, []), (PAIRS, ["--pairs"]))[:2 if task == "classify" else 1]:
        done = retort(args, "run", path, "--json", *options, stdin="".join(text + "\n" for text in texts).encode())
        found += [np.array(row["logits" if task == "classify" else "embedding"], np.float32) for row in objects(done)]
        ids += ids_of(args, path, texts, *options)
    return found if len(found) == len(ids) > 0 else None, ids


def pooled(states, vector):
    """Token states as one vector: mean or first token, whichever retort chose for a model that does not say."""
    return min((states.mean(0), states[0]), key=lambda x: float(np.abs(x - vector).max()))


# ---- The verdict ----

class Result:
    """state: 'good', 'wrong' or 'refused'."""

    def __init__(self, name, kind, state, says):
        self.name, self.kind, self.state, self.says = name, kind, state, says


def reason(message):
    """A refusal without names of files and nodes, which differ between exports that are refused for one reason."""
    message = re.sub(r"^retort: (\S*/\S*: )?", "", message)
    return re.sub(r"node '[^']*'", "node …", message)[:130]


def judge(kind, ours, theirs, reference):
    """(good, what is said)."""
    a, b, c = (np.concatenate([np.ravel(x) for x in rows]) for rows in (ours, theirs, reference))
    if a.shape != b.shape:
        return False, f"{a.size} logits, ONNX Runtime gives {b.size}"
    apart = float(np.abs(a - b).max())
    if kind == "ORT level" or "float" in kind:
        return apart <= TOLERANCE, f"{apart:.2g} from ONNX Runtime"
    mine, its = (float(np.sqrt(np.mean((x - c) ** 2))) for x in (a, b))
    return apart <= TOLERANCE or mine <= its, f"{mine:.3g} from the float model, ONNX Runtime {its:.3g}; {apart:.2g} apart"


def check(args, folder, work):
    about = json.loads((folder / "export.json").read_text())
    kind, task, path = about["kind"], folder.name.split("-")[1], work / (folder.name + ".retort")
    done = retort(args, "import", folder / about.get("file", "model.onnx"), "-o", path)
    if done.returncode != 0:
        lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
        if done.returncode > 0 and lines:
            return Result(folder.name, kind, "refused", lines[-1])
        return Result(folder.name, kind, "wrong", f"import ends with exit code {done.returncode}")
    ours, ids = answers(args, path, task)
    if ours is None:
        return Result(folder.name, kind, "wrong", "imported, but does not run")
    source = folder / about.get("file", "model.onnx")
    theirs = onnx_logits(widened(source, work) if "float16" in kind else source, task, ids)
    other = folder.parent / about["reference"]
    other /= json.loads((other / "export.json").read_text()).get("file", "model.onnx")
    reference = onnx_logits(other, task, ids)
    if task == "embed":
        theirs, reference = ([pooled(*pair) for pair in zip(states, ours)] for states in (theirs, reference))
    good, says = judge(kind, ours, theirs, reference)
    return Result(folder.name, kind, "good" if good else "wrong", says)


def table(results):
    kinds = collections.defaultdict(collections.Counter)
    reasons = collections.Counter()
    for result in results:
        kinds[result.name.split("-")[0], result.kind][result.state] += 1
        if result.state == "refused":
            reasons[result.kind, reason(result.says)] += 1
    states = ("good", "wrong", "refused")
    yield f"{'architecture':12} {'kind':28} {'exports':>8}" + "".join(f"{state:>10}" for state in states)
    for (architecture, kind), counts in sorted(kinds.items()):
        yield f"{architecture:12} {kind:28} {sum(counts.values()):8}" + "".join(f"{counts[state]:10}" for state in states)
    total = collections.Counter(result.state for result in results)
    yield f"{'all':12} {'':28} {len(results):8}" + "".join(f"{total[state]:10}" for state in states)
    yield ""
    for (kind, why), count in sorted(reasons.items(), key=lambda x: (x[0][0], -x[1])):
        yield f"{count:4} refused  {kind:24} {why}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("retort")
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--only", default="")
    parser.add_argument("--quiet", action="store_true")
    parser.add_argument("--report", type=pathlib.Path)
    args = parser.parse_args()
    folders = [path.parent for path in sorted(args.folder.glob("*/export.json")) if args.only in path.parent.name]
    if not folders:
        print(f"skipped: no exports in {args.folder}; make.py makes them")
        sys.exit(77)
    with tempfile.TemporaryDirectory() as work, concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        results = list(pool.map(lambda folder: check(args, folder, pathlib.Path(work)), folders))
    lines = [f"{x.state:9} {x.name}: {x.says}" for x in results]
    report = list(table(results))
    print("\n".join([*(line for line in lines if not args.quiet or line.startswith("wrong")), "", *report]))
    if args.report:
        args.report.write_text("\n".join([*report, "", *lines]) + "\n")
    sys.exit(any(x.state == "wrong" for x in results))


if __name__ == "__main__":
    main()
