#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures `retort serve` with `retort load` on loopback, beside a Python server, and writes the tables of docs/serving.md.

usage: serve.py MODEL.retort… --texts F.tsv --retort BINARY [--threads N] [--seconds S] [--overload-seconds S]
                [--peer-model DIR --peer-python PYTHON] [--note TEXT] [--write docs/serving.md]

MODEL        the first one is measured; the others only beside the Python server
DIR, PYTHON  what bench/serve_peer.py makes, and a Python that has what it needs; left out without them
S            measured seconds of each load, after one of warm-up; those of the overload
Throughputs are medians of --reps runs; of latencies alone and at half load the run with the middle p99 is shown.
The server, the load and the peer share the machine. All steps take place one after the other; nothing else should run.
"""
import argparse
import contextlib
import json
import os
import pathlib
import re
import shutil
import socket
import statistics
import subprocess
import time
import urllib.request

from peers import cpu, retort_bench

CONNECTIONS = 64


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def answers(url):
    try:
        with urllib.request.urlopen(url, timeout=1) as reply:
            return reply.status == 200
    except OSError:
        return False


@contextlib.contextmanager
def running(command, url, health, **more):
    """A server, from when it is ready until it has ended."""
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **more) as process:
        try:
            end = time.monotonic() + 60
            while not answers(url + health):
                if process.poll() is not None or time.monotonic() > end:
                    raise SystemExit(f"{' '.join(map(str, command))}: does not answer")
                time.sleep(0.05)
            yield process
        finally:
            process.terminate()
            process.wait()


def serving(args, *more, model=None):
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [args.retort, "serve", model or args.models[0], "--port", str(port), "--threads", str(args.threads), *more]
    return url, running(command, url, "/health/ready")


def peer(args, workers):
    """The Python server with the machine's threads shared among so many processes."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [args.peer_python, str(pathlib.Path(__file__).parent / "serve_peer.py"), "serve", args.peer_model, "--port", str(port),
               "--threads", str(max(1, args.threads // workers)), "--workers", str(workers)]
    return url, running(command, url, "/health")


def load(args, url, *more, seconds=None):
    """The lines of `retort load`, with real sentences."""
    out = subprocess.run([args.retort, "load", url, "--data", args.texts, "--duration", str(seconds or args.seconds), "--json", *more],
                         check=True, capture_output=True, text=True).stdout
    return [json.loads(line) for line in out.splitlines()]


def closed(args, url, connections=CONNECTIONS):
    return load(args, url, "--closed", "--connections", str(connections))[0]


def saturation(args, url):
    return load(args, url, "--saturate", "--connections", str(CONNECTIONS))[-1]["saturation_per_s"]


def at_rate(args, url, rate, *more, seconds=None):
    return load(args, url, "--rate", f"{rate:.6g}", *more, seconds=seconds)[0]


def resident(process):
    text = pathlib.Path(f"/proc/{process.pid}/status").read_text(encoding="ascii")
    return int(re.search(r"VmRSS:\s*(\d+)", text)[1]) / 1e3


def wrk(url):
    """Requests a second of wrk with a small body; None when it is not installed."""
    if shutil.which("wrk") is None:
        return None
    script = pathlib.Path("/tmp") / f"retort-wrk-{os.getpid()}.lua"
    script.write_text('wrk.method = "POST"\nwrk.body = \'{"inputs": "a charming and often affecting film"}\'\n'
                      'wrk.headers["Content-Type"] = "application/json"\n', encoding="ascii")
    out = subprocess.run(["wrk", "-t1", f"-c{CONNECTIONS}", "-d5", "-s", str(script), url + "/predict"], check=True, capture_output=True,
                         text=True).stdout
    script.unlink()
    return float(re.search(r"Requests/sec:\s*([\d.]+)", out)[1])


def throughput(args, lines):
    """The engine alone, through HTTP, and the HTTP alone."""
    library, through = [], []
    url, server = serving(args)
    with server:
        for _ in range(args.reps):
            library.append(retort_bench(args.retort, args.models[0], args.threads, "--data", args.texts, "--batch", "32")["sentences_per_s"])
            through.append(closed(args, url)["answers_per_s"])
    url, server = serving(args, "--no-op")
    with server:
        empty, other = closed(args, url)["answers_per_s"], wrk(url)
    one, two = statistics.median(library), statistics.median(through)
    lines += ["| texts a second | |", "|---|---|", f"| `bench --data`, batches of 32, no HTTP | {one:.0f} |",
              f"| HTTP, {CONNECTIONS} connections, a text a request | {two:.0f} ({100 * two / one:.0f} %) |",
              f"| HTTP without the network (`--no-op`), asked by `retort load` | {empty:.0f} |"]
    if other is not None:
        lines.append(f"| the same, asked by wrk | {other:.0f} |")
    lines.append("")


def row(name, rate, found):
    ms = found["latency_ms"]
    return (f"| {name} | {rate:.0f} | {found['good_per_s']:.0f} | {ms['p50']:.1f} | {ms['p90']:.1f} | {ms['p99']:.1f} | {ms['p99.9']:.1f} | "
            f"{found['refused']} | {found['errors']} |")


def middle(runs):
    """Of several runs the one with the middle p99."""
    return sorted(runs, key=lambda found: found["latency_ms"]["p99"])[len(runs) // 2]


def others(found):
    """What was neither answered nor refused for the load: by status, and what was lost."""
    parts = [f"{count} with status {status}" for status, count in found["status"].items() if status not in ("200", "429", "503")]
    parts += [f"{count} lost ({name})" for name, count in found["lost"].items() if count]
    return ", ".join(parts) or "none"


def latency(args, lines):
    """Alone, at half of what is sustained and at twice of it, where clients say how long they wait."""
    url, server = serving(args)
    with server as process:
        rate = saturation(args, url)
        runs = [(closed(args, url, 1), at_rate(args, url, rate / 2, "--check")) for _ in range(args.reps)]
        single, half = map(middle, zip(*runs))
        before = resident(process)
        over = at_rate(args, url, 2 * rate, "--connections", "1000", "--deadline-ms", "2000", "--header", "X-Queue-Timeout-Ms: 1500", seconds=args.overload_seconds)
        after = resident(process)
        again = at_rate(args, url, rate / 2, "--check")
    lines += ["| load | due/s | good/s | p50 ms | p90 | p99 | p99.9 | refused | errors |", "|---|---|---|---|---|---|---|---|---|",
              row("one connection, closed loop", single["answers_per_s"], single), row("half of what is sustained", rate / 2, half),
              row(f"twice of it, {args.overload_seconds:g} s, deadline 2 s", 2 * rate, over), row("half again, after that", rate / 2, again), "",
              f"Sustained: {rate:.0f} requests/s. p99 at half of it: {half['latency_ms']['p99'] / single['latency_ms']['p99']:.1f} times the p99 of single "
              f"requests, {half['latency_ms']['p99'] / single['latency_ms']['p50']:.1f} times their median (texts differ in length: single requests alone have "
              f"{single['latency_ms']['p99'] / single['latency_ms']['p50']:.1f}). At twice of it {100 * over['good_per_s'] / rate:.0f} % of what is sustained were answered in time, {over['refused']} of "
              f"{over['requests']} refused ({over['retry_after']} with Retry-After), others: {others(over)}; resident memory {before:.0f} MB before, {after:.0f} MB after.", ""]


def beside_peer(args, lines):
    """The same loads on the Python server, in turn: one process with all threads, and one process per thread; the better one counts."""
    servers = {f"FastAPI, ONNX Runtime INT8, {n} process{'es' if n > 1 else ''}": (lambda n=n: peer(args, n)) for n in sorted({1, args.threads})}
    peers = list(servers)
    servers.update({f"retort serve, {os.path.basename(model)}": (lambda model=model: serving(args, model=model)) for model in args.models})
    through = {name: [] for name in servers}
    for _ in range(args.reps):
        for name, start in servers.items():
            url, server = start()
            with server:
                through[name].append(closed(args, url)["answers_per_s"])
    through = {name: statistics.median(values) for name, values in through.items()}
    best = max(peers, key=through.get)
    rates, waits = {}, {}
    for name in [best] + [name for name in servers if name not in peers]:
        url, server = servers[name]()
        with server:
            rates[name] = saturation(args, url)
            waits[name] = at_rate(args, url, rates[best] / 2)["latency_ms"]
    lines += [f"| server | closed loop, {CONNECTIONS} connections: answers/s | sustained, requests/s | p50 / p99 ms at {rates[best] / 2:.0f} requests/s |",
              "|---|---|---|---|"]
    for name in rates:
        times = "" if name == best else f" ({through[name] / through[best]:.2f} times)"
        lines.append(f"| {name} | {through[name]:.0f}{times} | {rates[name]:.0f} | {waits[name]['p50']:.1f} / {waits[name]['p99']:.1f} |")
    lines.append("")


def write_measured(path, text):
    """Replaces what stands between the page's two marks."""
    begin, end = "<!-- measured: begin -->", "<!-- measured: end -->"
    old = pathlib.Path(path).read_text(encoding="utf-8")
    if begin not in old or end not in old:
        raise SystemExit(f"{path}: no marks '{begin}' and '{end}'")
    pathlib.Path(path).write_text(f"{old.split(begin)[0]}{begin}\n## Measured\n\n{text}{end}{old.split(end)[1]}", encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+")
    parser.add_argument("--texts", required=True)
    parser.add_argument("--retort", required=True)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--overload-seconds", type=float, default=60)
    parser.add_argument("--reps", type=int, default=3)
    parser.add_argument("--peer-model")
    parser.add_argument("--peer-python")
    parser.add_argument("--note", default="")
    parser.add_argument("--write")
    args = parser.parse_args()
    lines = [f"Command: `bench/serve.py {' '.join(map(os.path.basename, args.models))} --texts {os.path.basename(args.texts)} --retort BINARY --threads {args.threads} "
             f"--seconds {args.seconds:g}`", "", f"CPU: {cpu()}; {args.threads} threads. Server and load share it. {args.note}".rstrip(), ""]
    throughput(args, lines)
    latency(args, lines)
    if args.peer_model and args.peer_python:
        beside_peer(args, lines)
    text = "\n".join(lines)
    print(text)
    if args.write:
        write_measured(args.write, text)


if __name__ == "__main__":
    main()
