#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures what a session loses when other processes use its cores: busy loops, one pinned to each of the first cores.

usage: neighbours.py MODEL.retort --retort BINARY [--old BINARY] [--grid 1x16,1x128] [--threads N] [--seconds S] [--reps R]
                     [--write docs/performance.md --name neighbours]

Each cell is timed with one thread and with N, beside no loop, one, and one per core, and by the other binary as well if --old names
one. All take turns. A figure is the median of the repetitions. The loops end by themselves. Only the standard library is needed.
"""
import argparse
import contextlib
import os
import statistics
import subprocess
import sys

from peers import cpu, retort_bench, write_block

LOOP = "import os, sys, time\nos.sched_setaffinity(0, [int(sys.argv[1])])\nend = time.monotonic() + float(sys.argv[2])\n" \
       "while time.monotonic() < end: pass"


@contextlib.contextmanager
def loops(cores, seconds):
    """One busy loop on each of the cores, for the time of the block and at most so many seconds."""
    started = [subprocess.Popen([sys.executable, "-c", LOOP, str(core), str(seconds)]) for core in cores]
    try:
        yield
    finally:
        for process in started:
            process.kill()
            process.wait()


def measure(args, cores):
    """(binary, loops, threads, cell) -> [(p50, p99)] of the repetitions."""
    binaries = [("now", args.retort)] + ([("before", args.old)] if args.old else [])
    table = {}
    for _ in range(args.reps):
        for busy in (0, 1, len(cores)):
            for cell in args.grid.split(","):
                batch, seq = cell.split("x")
                for name, binary in binaries:
                    for threads in (1, args.threads):
                        with loops(cores[:busy], 60):
                            row = retort_bench(binary, args.model, threads, "--batch", batch, "--seq", seq, "--seconds", str(args.seconds))
                        table.setdefault((name, busy, threads, cell), []).append((row["ms_p50"], row["ms_p99"]))
    return {key: [statistics.median(column) for column in zip(*rows)] for key, rows in table.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--retort", required=True)
    parser.add_argument("--old")
    parser.add_argument("--grid", default="1x16,1x128")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--seconds", type=float, default=1)
    parser.add_argument("--reps", type=int, default=5)
    parser.add_argument("--write")
    parser.add_argument("--name", default="neighbours")
    args = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))[:args.threads]
    table = measure(args, cores)
    several = f"{args.threads} threads"
    first = " |" if args.old else ""
    lines = [f"Command: `bench/neighbours.py {os.path.basename(args.model)} --retort BINARY --threads {args.threads}`", "",
             f"CPU: {cpu()}; {len(cores)} cores. Milliseconds, median of {args.reps}.", "",
             f"|{first} batch x tokens | busy loops | one thread p50 | p99 | {several} p50 | p99 | ratio p50 | p99 |", "|---" * (8 + bool(args.old)) + "|"]
    for (name, busy, threads, cell), (p50, p99) in table.items():
        if threads == 1 and args.threads > 1:
            many50, many99 = table[name, busy, args.threads, cell]
            lines.append(f"|{f' {name} |' if args.old else ''} {cell} | {busy} | {p50:.2f} | {p99:.2f} | {many50:.2f} | {many99:.2f} | {many50 / p50:.2f} | {many99 / p99:.2f} |")
    text = "\n".join(lines) + "\n"
    print(text)
    if args.write:
        write_block(args.write, args.name, text)


if __name__ == "__main__":
    main()
