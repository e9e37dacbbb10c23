#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Keeps a server busy with everything that clients do, and watches what grows.

usage: soak.py MODEL.retort --retort BINARY [--seconds 600] [--texts F.tsv] [--unwarmed]

Single texts, batches, clients that break their requests, close early, or send slowly, all at once, bounded in time. Every two
seconds the server's private memory is read (RssAnon; pages of the mapped model come as words are met). Pages of the session's
planned memory come when a batch of that size is first met: so many texts are sent first that batches are full. Exit status 1 when
after the first quarter it grows by more than 1 MB in ten minutes beyond its noise, when descriptors stay behind, when an answer is wrong, when a broken request
gets another status than it should, or when the server, once idle, uses more than 1 % of a CPU.
"""
import argparse
import collections
import json
import os
import random
import re
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time
import urllib.request

# Broken requests: what is sent after the request line's headers are made up from it, and the status that is right.
BROKEN = [
    (b'{"inputs": "unfinished', 400), (b"[1, 2", 400), (b'{"inputs": 5}', 422), (b'{"inputs": []}', 400), (b'{"inputs": ["a", "b", "c"]}', 422),
    (b"{}", 422), (b'{"inputs": "\xff\xfe"}', 400), (b'{"inputs": "x", "truncate": "yes"}', 422), (b"{" * 2000, 400), (b"", 400),
]


def read_metrics(url):
    with urllib.request.urlopen(url + "/metrics", timeout=10) as reply:
        text = reply.read().decode()
    return {name: float(re.search(rf"^{name} (\S+)$", text, re.M)[1]) for name in
            ("process_open_fds", "process_cpu_seconds_total")}


def private_memory(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return 1024 * int(re.search(r"RssAnon:\s*(\d+)", file.read())[1])


def post(body, path="/predict"):
    return b"POST %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (path.encode(), len(body), body)


class Nuisance(threading.Thread):
    """A client that does what clients should not, until it is told to stop."""

    def __init__(self, port, seed):
        super().__init__(daemon=True)
        self.port, self.random, self.over, self.wrong, self.count = port, random.Random(seed), threading.Event(), [], collections.Counter()

    def broken(self):
        body, status = self.random.choice(BROKEN)
        with socket.create_connection(("127.0.0.1", self.port), timeout=30) as client:
            client.sendall(post(body))
            head = client.recv(65536)
        if not head.startswith(b"HTTP/1.1 %d " % status):
            self.wrong.append(f"{body[:40]!r}: expected {status}, got {head[:40]!r}")

    def vanishing(self):
        with socket.create_connection(("127.0.0.1", self.port), timeout=30) as client:
            client.sendall(post(json.dumps({"inputs": "gone before the answer " * self.random.randrange(1, 60)}).encode()))

    def slow(self):
        with socket.create_connection(("127.0.0.1", self.port), timeout=30) as client:
            for byte in post(b'{"inputs": "byte by byte"}')[:self.random.randrange(20, 120)]:
                client.sendall(bytes([byte]))
                time.sleep(0.002)

    def empty(self):
        socket.create_connection(("127.0.0.1", self.port), timeout=30).close()

    def unknown(self):
        with socket.create_connection(("127.0.0.1", self.port), timeout=30) as client:
            client.sendall(post(b"{}", "/no-such-path"))
            if not client.recv(65536).startswith(b"HTTP/1.1 404 "):
                self.wrong.append("/no-such-path: expected 404")

    def run(self):
        kinds = [self.broken, self.vanishing, self.slow, self.empty, self.unknown]
        while not self.over.wait(0.01):
            kind = self.random.choice(kinds)
            try:
                kind()
                self.count[kind.__name__] += 1
            except OSError as error:
                self.wrong.append(f"{kind.__name__}: {error}")


def load(args, url, *more, seconds=None):
    command = [args.retort, "load", url, "--duration", str(seconds or args.seconds), "--warmup", "0", "--json", *more]
    return subprocess.Popen(command + (["--data", args.texts] if args.texts else []), stdout=subprocess.PIPE, text=True)


def fill(args, url):
    """Batches as large as they get."""
    with load(args, url, "--closed", "--connections", "64", "--batch", "32", seconds=5) as process:
        process.communicate()
        if process.returncode != 0:
            raise SystemExit("soak.py: the server does not answer full batches")


def slope(samples):
    """Bytes a second by least squares, and how far the samples are from that line (standard deviation)."""
    times, values = zip(*samples)
    at, value = statistics.fmean(times), statistics.fmean(values)
    squares = sum((t - at) ** 2 for t in times)
    rise = sum((t - at) * (v - value) for t, v in samples) / squares if squares else 0
    return rise, statistics.pstdev([v - value - rise * (t - at) for t, v in samples])


def busy(args, url, port, pid):
    """All loads at once. Returns memory samples, the loads' results, the nuisances."""
    nuisances = [Nuisance(port, seed) for seed in range(3)]
    loads = [load(args, url, "--closed", "--connections", "4", "--check"), load(args, url, "--rate", "5", "--batch", "16", "--check"),
             load(args, url, "--rate", "20", "--connections", "64")]
    for nuisance in nuisances:
        nuisance.start()
    samples, start = [], time.monotonic()
    while any(process.poll() is None for process in loads):
        time.sleep(2)
        samples.append((time.monotonic() - start, private_memory(pid)))
    for nuisance in nuisances:
        nuisance.over.set()
        nuisance.join(60)
    return samples, [json.loads(process.communicate()[0]) for process in loads], nuisances


def judge(args, samples, results, nuisances, before, after, idle):
    """Prints what was found, and yields what is wrong."""
    later = samples[len(samples) // 4:]
    rise, noise = slope(later)
    grown = rise * 600 / 1e6
    print(f"private memory: {samples[0][1] / 1e6:.1f} MB at first, {samples[-1][1] / 1e6:.1f} MB at last; slope {grown:+.2f} MB in ten minutes "
          f"(noise {noise / 1e3:.1f} kB)")
    print(f"descriptors: {before:.0f} before, {after:.0f} after; idle CPU: {100 * idle:.2f} %")
    for result in results:
        print(f"{result['arrivals']}: {result['requests']} requests, {result['texts_per_s']:.0f} texts/s, p99 {result['latency_ms']['p99']:.1f} ms, "
              f"refused {result['refused']}, errors {result['errors']}, different {result['different']}")
    print("nuisances:", dict(sum((nuisance.count for nuisance in nuisances), collections.Counter())))
    if not args.unwarmed and grown > 1 and rise * (later[-1][0] - later[0][0]) > 3 * noise:
        yield f"memory grows by {grown:.2f} MB in ten minutes"
    if after > before + 1:
        yield f"{after - before:.0f} descriptors stayed behind"
    if idle > 0.01:
        yield f"idle, it uses {100 * idle:.1f} % of a CPU"
    yield from (f"{result['errors']} errors, {result['different']} wrong answers" for result in results if result["errors"] or result["different"])
    yield from (text for nuisance in nuisances for text in nuisance.wrong[:5])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--retort", required=True)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--texts")
    parser.add_argument("--unwarmed", action="store_true", help="do not judge memory: less than a minute is too short for that")
    args = parser.parse_args()
    if not 10 <= args.seconds <= 600:
        parser.error("--seconds: from 10 to 600")
    with subprocess.Popen([args.retort, "serve", args.model, "--port", "0", "--json", "--idle-timeout", "5"], stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, text=True) as server:
        try:
            url = json.loads(server.stdout.readline())["url"]
            before = read_metrics(url)["process_open_fds"]
            fill(args, url)
            samples, results, nuisances = busy(args, url, int(url.rsplit(":", 1)[1]), server.pid)
            time.sleep(8)  # connections without a request end
            quiet = read_metrics(url)
            time.sleep(5)
            later = read_metrics(url)
            idle = (later["process_cpu_seconds_total"] - quiet["process_cpu_seconds_total"]) / 5
            wrong = list(judge(args, samples, results, nuisances, before, later["process_open_fds"], idle))
            server.send_signal(signal.SIGTERM)
            if server.wait(timeout=60) != 0:
                wrong.append(f"SIGTERM: exit code {server.returncode}")
        finally:
            if server.poll() is None:
                os.kill(server.pid, signal.SIGKILL)
    for text in wrong:
        print(f"wrong: {text}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
