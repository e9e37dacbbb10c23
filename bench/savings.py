#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Times the engine with all its exact savings, and with each of them switched off in turn.

usage: savings.py CHECKPOINT --retort BINARY [--texts F.tsv] [--batch N] [--recipe int4,int8,f32,bf16] [--threads N]
                  [--grid 1x16,1x128,8x128] [--seconds S] [--reps R] [--write docs/performance.md --name savings]

CHECKPOINT   a Hugging Face folder that `retort import` reads
--texts      TSV with a column `sentence`; also timed with each text twice in a row, since few data sets repeat themselves
Savings change no answer (but for rounding), so each costs what its row is slower than the first. All variants of a cell
take turns; a figure is the median of the repetitions' medians. Only the standard library is needed.
"""
import argparse
import csv
import os
import pathlib
import statistics
import subprocess
import tempfile

from peers import cpu, retort_bench, write_block

ALL = "nothing: everything on"
# One row per saving: what is computed without it, the rewrite to leave out, else the flag of bench and the columns in which
# it shows.
SAVINGS = [
    ("rows nobody reads", "prune-rows", None, None),
    ("K and V that one row reads", "skip-keys", None, None),
    ("b_K", "drop-key-bias", None, None),
    ("b_V", "fold-value-bias", None, None),
    ("1/√d", "scale-into-query", None, None),
    ("Q, K and V apart", "fuse-qkv", None, None),
    ("padding, as if it were text", None, "--pad", ["texts"]),
    ("equal texts, each for itself", None, "--keep-duplicates", ["texts", "texts twice"]),
]


def make_model(args, recipe, without, work):
    """The checkpoint as one file of this recipe, less a rewrite."""
    path, integer = work / f"{without or 'all'}.retort", work / f"{without or 'all'}-{recipe}.retort"
    flags = (["--without", without] if without else []) + ["--dtype", "bf16" if recipe == "bf16" else "f32"]
    subprocess.run([args.retort, "import", args.checkpoint, *flags, "-o", str(path)], check=True, capture_output=True)
    if not recipe.startswith("int"):
        return path
    subprocess.run([args.retort, "quantize", str(path), "--recipe", recipe, "-o", str(integer)], check=True,
                   capture_output=True)
    path.unlink()
    return integer


def variants(args, recipe, work):
    """Name, model, flags of bench, and columns (None: all but those with every text twice)."""
    whole = make_model(args, recipe, None, work)
    yield ALL, whole, [], list(args.columns)
    for name, without, flag, columns in SAVINGS:
        model = make_model(args, recipe, without, work) if without else whole
        yield name, model, [flag] if flag else [], [c for c in columns or args.columns if c in args.columns
                                                    and (columns or c != "texts twice")]


def measure(args, column, model, flags):
    """Milliseconds of a batch, or of all texts."""
    if column in args.files:
        more = ["--data", str(args.files[column]), "--batch", str(args.batch)]
    else:
        more = [part for pair in zip(("--batch", "--seq"), column.split("x")) for part in pair]
    row = retort_bench(args.retort, model, args.threads, "--seconds", str(args.seconds), *more, *flags)
    return row["ms_total" if column in args.files else "ms_p50"]


def measure_recipe(args, recipe, work):
    rows, table = list(variants(args, recipe, work)), {}
    for column in args.columns:
        for _ in range(args.reps):
            for name, model, flags, columns in rows:
                if column in columns:
                    table.setdefault(name, {}).setdefault(column, []).append(measure(args, column, model, flags))
    return table


def figure(row, column, base):
    """"9.10 (9.00–9.30), ×1.020": the median, the spread, and the median of how much longer than the run with everything on
    beside it."""
    if column not in row:
        return "–"
    times = row[column]
    text = f"{statistics.median(times):.2f} ({min(times):.2f}–{max(times):.2f})"
    return text if row is base else f"{text}, ×{statistics.median(t / b for t, b in zip(times, base[column])):.3f}"


def markdown(args, tables):
    lines = [f"Command: `{' '.join(['bench/savings.py'] + args.shown)}`", "",
             f"CPU: {cpu()}; {args.threads} threads. Milliseconds, median of {args.reps} (spread: min–max), and how many "
             "times as long as with everything on.", "",
             "| model | also computed | " + " | ".join(args.columns) + " |", "|---|---|" + "---|" * len(args.columns)]
    for recipe, table in tables.items():
        for name, row in table.items():
            label = f"**{name}**" if name == ALL else name
            figures = " | ".join(figure(row, c, table[ALL]) for c in args.columns)
            lines.append(f"| {'fp32' if recipe == 'f32' else recipe} | {label} | {figures} |")
    if args.files:
        lines += ["", f"texts: {args.count} of them in batches of {args.batch}, of which {args.repeated} "
                  f"{'equals' if args.repeated == 1 else 'equal'} an earlier one of the batch. texts twice: each stands twice "
                  "in a row, so that half of every batch repeats the other half."]
    return "\n".join(lines) + "\n"


def prepare_texts(args, work):
    """The file, and one with each row twice; how many texts repeat one of their batch."""
    lines = pathlib.Path(args.texts).read_text(encoding="utf-8").splitlines()
    twice = work / "twice.tsv"
    twice.write_text("\n".join(lines[:1] + [line for line in lines[1:] for _ in range(2)]) + "\n", encoding="utf-8")
    texts = [row["sentence"] for row in csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)]
    parts = [texts[i:i + args.batch] for i in range(0, len(texts), args.batch)]
    args.count, args.repeated = len(texts), sum(len(part) - len(set(part)) for part in parts)
    args.files = {"texts": args.texts, "texts twice": twice}
    args.columns += list(args.files)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint")
    parser.add_argument("--retort", required=True)
    parser.add_argument("--texts")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--recipe", default="int4,int8,f32")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--grid", default="1x16,1x128,8x128")
    parser.add_argument("--seconds", type=float, default=0.5)
    parser.add_argument("--reps", type=int, default=5)
    parser.add_argument("--write")
    parser.add_argument("--name", default="savings")
    args = parser.parse_args()
    args.shown = ["CHECKPOINT", "--retort", "BINARY"] + (["--texts", pathlib.Path(args.texts).name] if args.texts else [])
    args.shown += ["--recipe", args.recipe, "--threads", str(args.threads)]
    args.columns, args.files = args.grid.split(","), {}
    return args


def main():
    args, tables = arguments(), {}
    with tempfile.TemporaryDirectory() as folder:
        if args.texts:
            prepare_texts(args, pathlib.Path(folder))
        for recipe in args.recipe.split(","):
            with tempfile.TemporaryDirectory(dir=folder) as work:
                tables[recipe] = measure_recipe(args, recipe, pathlib.Path(work))
    text = markdown(args, tables)
    print(text)
    if args.write:
        write_block(args.write, args.name, text)


if __name__ == "__main__":
    main()
