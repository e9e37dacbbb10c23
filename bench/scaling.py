#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures how the time of a batch grows: with threads, with the number of texts, with mixed lengths.

usage: scaling.py MODEL.retort --retort BINARY [--texts F.tsv --text-model MODEL2.retort] [--threads N] [--seconds S]
                  [--reps R] [--write docs/performance.md --name scaling]

--texts  real sentences of mixed lengths in batches of 32: what their tokens take beside as many texts of the same length
All cells take turns; a figure is the median of the repetitions' medians. Only the standard library is needed.
"""
import argparse
import os
import statistics

from peers import cpu, retort_bench, write_block

SIZES = ["8x128", "16x128", "32x128", "64x128"]


def shape(text):
    batch, seq = text.split("x")
    return ["--batch", batch, "--seq", seq]


def cells(args):
    """Name, and what bench is asked."""
    yield "1x128, one thread", (args.model, 1, shape("1x128"))
    for size in ["1x128"] + SIZES:
        yield size, (args.model, args.threads, shape(size))


def text_cells(args):
    """The sentences, and a batch of 32 of their mean length."""
    row = retort_bench(args.retort, args.text_model, args.threads, "--data", args.texts, "--batch", "32", "--seconds", "0")
    mean = round(row["tokens"] / row["sentences"])
    yield "sentences", (args.text_model, args.threads, ["--data", args.texts, "--batch", "32"])
    yield f"32x{mean}", (args.text_model, args.threads, shape(f"32x{mean}"))


def measure(args, jobs):
    """Microseconds a token of each job, and milliseconds."""
    table = {name: [] for name, _ in jobs}
    for _ in range(args.reps):
        for name, (model, threads, more) in jobs:
            row = retort_bench(args.retort, model, threads, "--seconds", str(args.seconds), *more)
            ms = row.get("ms_p50") or row["ms_total"]
            tokens = row["tokens"] if "tokens" in row else row["batch"] * row["seq"]
            table[name].append((ms, ms / tokens * 1e3))
    return {name: [statistics.median(column) for column in zip(*rows)] for name, rows in table.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--retort", required=True)
    parser.add_argument("--texts")
    parser.add_argument("--text-model")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--seconds", type=float, default=1)
    parser.add_argument("--reps", type=int, default=5)
    parser.add_argument("--write")
    parser.add_argument("--name", default="scaling")
    args = parser.parse_args()
    jobs = list(cells(args)) + (list(text_cells(args)) if args.texts else [])
    table = measure(args, jobs)
    lines = [f"Command: `bench/scaling.py {os.path.basename(args.model)} --retort BINARY --threads {args.threads}`", "",
             f"CPU: {cpu()}; {args.threads} threads. Median of {args.reps}.", "",
             "| batch x tokens | ms | µs a token |", "|---|---|---|"]
    lines += [f"| {name} | {ms:.2f} | {token:.1f} |" for name, (ms, token) in table.items()]
    gain = table["1x128, one thread"][0] / table["1x128"][0]
    flat = [table[size][1] / table[SIZES[0]][1] for size in SIZES]
    lines += ["", f"{args.threads} threads are {gain:.2f} times as fast as one at 1x128. A token of 64x128 takes {flat[-1]:.2f} times "
              f"as long as one of 8x128 (between: {min(flat):.2f} to {max(flat):.2f})."]
    if args.texts:
        mixed, even = [table[name][1] for name, _ in jobs[-2:]]
        lines[-1] += f" A token of sentences of mixed lengths takes {mixed / even:.2f} times as long as one of equal lengths."
    text = "\n".join(lines) + "\n"
    print(text)
    if args.write:
        write_block(args.write, args.name, text)


if __name__ == "__main__":
    main()
