#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures how the time of a batch grows: with threads, with the number of texts, with mixed lengths.

usage: scaling.py MODEL.retort --retort BINARY [--texts F.tsv --text-model MODEL2.retort] [--threads N] [--seconds S]
                  [--reps R] [--write docs/performance.md --name scaling]

--texts  real sentences of mixed lengths in batches of 32: what their tokens take beside as many texts of the same length
All cells take turns; a figure is the median of the repetitions' medians, with their minimum beside it: what others
do on the machine only ever adds to a time. Only the standard library is needed.
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
    """Of each job the repetitions' milliseconds, and microseconds per token."""
    table = {name: [] for name, _ in jobs}
    for _ in range(args.reps):
        for name, (model, threads, more) in jobs:
            row = retort_bench(args.retort, model, threads, "--seconds", str(args.seconds), *more)
            ms = row.get("ms_p50") or row["ms_total"]
            tokens = row["tokens"] if "tokens" in row else row["batch"] * row["seq"]
            table[name].append((ms, ms / tokens * 1e3))
    return {name: list(zip(*rows)) for name, rows in table.items()}


def findings(args, table, jobs, figure):
    """What the repetitions say when `figure` stands for them."""
    gain = figure(table["1x128, one thread"][0]) / figure(table["1x128"][0])
    flat = [figure(table[size][1]) / figure(table[SIZES[0]][1]) for size in SIZES]
    text = (f"{args.threads} threads are {gain:.2f} times as fast as one at 1x128. A token of 64x128 takes {flat[-1]:.2f} times as long as one of "
            f"8x128 (between: {min(flat):.2f} to {max(flat):.2f}).")
    if args.texts:
        mixed, even = [figure(table[name][1]) for name, _ in jobs[-2:]]
        text += f" A token of sentences of mixed lengths takes {mixed / even:.2f} times as long as one of equal lengths."
    return text


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
             "| batch x tokens | ms (min–max) | µs per token (min) |", "|---|---|---|"]
    lines += [f"| {name} | {statistics.median(ms):.2f} ({min(ms):.2f}–{max(ms):.2f}) | {statistics.median(token):.1f} ({min(token):.1f}) |"
              for name, (ms, token) in table.items()]
    lines += ["", "By medians: " + findings(args, table, jobs, statistics.median), "",
              "By the minima: " + findings(args, table, jobs, min)]
    text = "\n".join(lines) + "\n"
    print(text)
    if args.write:
        write_block(args.write, args.name, text)


if __name__ == "__main__":
    main()
