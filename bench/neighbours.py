#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures what retort loses when other processes use its cores: busy loops, one pinned to each of the first cores.

usage: neighbours.py MODEL.retort --retort BINARY [--old BINARY] [--grid 1x16,1x128] [--texts LINES] [--threads N] [--seconds S]
                     [--reps R] [--write docs/performance.md --name neighbours]

Each cell is timed with one thread and with N, beside no loop, one, and one per core, and by the other binary as well if --old names
one. With --texts so are `run` on this file, and `serve` on loopback under `retort load` with 1 and 8 connections, with the
file's lines and with eight lines in one text. All take turns. A figure is the median of the repetitions. Loops and servers end
by themselves. Only the standard library is needed.
"""
import argparse
import contextlib
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import busy
from peers import cpu, retort_bench, write_block
from serve import free_port, running

LOOP = "import os, sys, time\nos.sched_setaffinity(0, [int(sys.argv[1])])\nend = time.monotonic() + float(sys.argv[2])\n" \
       "while time.monotonic() < end: pass"
LONGEST = 60  # seconds of a loop, and of a server and a run
JOINED = 8  # lines in a long text


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


def run_cell(args, binary, threads, cell):
    batch, seq = cell.split("x")
    row = retort_bench(binary, args.model, threads, "--batch", batch, "--seq", seq, "--seconds", str(args.seconds))
    return row["ms_p50"], row["ms_p99"]


def run_lines(args, binary, threads, _):
    """Seconds for all lines of the file."""
    start = time.monotonic()
    with open(args.texts, "rb") as lines:
        subprocess.run([binary, "run", args.model, "--threads", str(threads)], stdin=lines, stdout=subprocess.DEVNULL, check=True, timeout=LONGEST)
    return (time.monotonic() - start,)


def run_server(args, binary, threads, what):
    """p50 and p99 in ms."""
    connections, texts = what
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = ["timeout", str(LONGEST), binary, "serve", args.model, "--port", str(port), "--threads", str(threads)]
    with running(command, url, "/health/ready"):
        out = subprocess.run([binary, "load", url, "--closed", "--connections", str(connections), "--data", args.files[texts], "--warmup", "0.3",
                              "--duration", str(args.seconds), "--json"], check=True, capture_output=True, text=True, timeout=LONGEST).stdout
    latency = json.loads(out.splitlines()[-1])["latency_ms"]
    return latency["p50"], latency["p99"]


def tasks(args):
    """(function, what, name) of each row."""
    rows = [(run_cell, cell, cell) for cell in args.grid.split(",")]
    if args.texts:
        rows.append((run_lines, None, "run"))
        rows += [(run_server, (n, texts), f"serve, {n} connection{'s' * (n > 1)}, {texts}") for texts in args.files for n in (1, 8)]
    return rows


def measure(args, cores):
    """(binary, loops, threads, row) -> the medians of the repetitions."""
    binaries = [("now", args.retort)] + ([("before", args.old)] if args.old else [])
    table = {}
    for _ in range(args.reps):
        for count in sorted({0, 1, len(cores)}):
            for function, what, row in tasks(args):
                for name, binary in binaries:
                    for threads in (1, args.threads):
                        with loops(cores[:count], LONGEST):
                            table.setdefault((name, count, threads, row), []).append(function(args, binary, threads, what))
    return {key: [statistics.median(column) for column in zip(*rows)] for key, rows in table.items()}


def markdown(args, table, cores):
    several = f"{args.threads} threads"
    first = " |" if args.old else ""
    texts = f" --texts {os.path.basename(args.texts)}" if args.texts else ""
    lines = [f"Command: `bench/neighbours.py {os.path.basename(args.model)} --retort BINARY --threads {args.threads}{texts}`", "",
             f"CPU: {cpu()}; {len(cores)} cores. Milliseconds, median of {args.reps}.", "",
             f"|{first} batch x tokens | busy loops | one thread p50 | p99 | {several} p50 | p99 | ratio p50 | p99 |", "|---" * (8 + bool(args.old)) + "|"]
    more = ["", f"|{first} lines per second | busy loops | one thread | {several} | times as fast |", "|---" * (5 + bool(args.old)) + "|"]
    for (name, count, threads, row), figures in table.items():
        start = f"|{f' {name} |' if args.old else ''} {row} | {count} |"
        if threads > 1 or args.threads == 1:
            continue
        many = table[name, count, args.threads, row]
        if row == "run":
            more.append(f"{start} {args.count / figures[0]:.0f} | {args.count / many[0]:.0f} | {figures[0] / many[0]:.2f} |")
        else:
            ratios = " | ".join(f"{there / here:.2f}" for here, there in zip(figures, many))
            lines.append(f"{start} {' | '.join(f'{x:.2f}' for x in figures + many)} | {ratios} |")
    return "\n".join(lines + (more if args.texts else [])) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--retort", required=True)
    parser.add_argument("--old")
    parser.add_argument("--grid", default="1x16,1x128")
    parser.add_argument("--texts")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--seconds", type=float, default=1)
    parser.add_argument("--reps", type=int, default=5)
    parser.add_argument("--write")
    parser.add_argument("--name", default="neighbours")
    args = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))[:args.threads]
    watch = busy.Watch()
    with tempfile.TemporaryDirectory() as folder:
        if args.texts:
            lines = pathlib.Path(args.texts).read_text(encoding="utf-8").splitlines()
            args.count = len(lines)
            long = pathlib.Path(folder) / "long.txt"
            long.write_text("".join(" ".join(lines[i:i + JOINED]) + "\n" for i in range(0, len(lines), JOINED)), encoding="utf-8")
            args.files = {"short texts": args.texts, "long texts": str(long)}
        text = markdown(args, measure(args, cores), cores) + watch.text()
    print(text)
    if args.write:
        write_block(args.write, args.name, text)


if __name__ == "__main__":
    main()
