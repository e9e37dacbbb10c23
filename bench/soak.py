#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Keeps a server busy with everything that clients do, and watches what grows.

usage: soak.py MODEL.retort --retort BINARY [--seconds 600] [--texts F.tsv] [--unwarmed]

Single texts, batches, clients that break their requests, close early, send slowly, ask for large answers and do not read them, send
long texts of many pieces, or huge batches, all at once, bounded in time, on the loopback. Every two
seconds the server's private memory is read (RssAnon; pages of the mapped model come as words are met). Pages of the session's
planned memory come when a batch of that size is first met: so many texts are sent first that batches are full. All the while another
process asks for /health/live. Exit status 1 when
after the first quarter private memory grows by more than 1 MB in ten minutes beyond its noise, when at any time all memory (RSS) is more than it was once
batches were full and --request-memory, when an answer to /health/live takes 100 ms (less what its threads
waited for a CPU that others have), when descriptors stay behind, when an answer is wrong, when a broken request
gets another status than it should, or when the server, once idle, uses more than 1 % of a CPU.
"""
import argparse
import collections
import glob
import json
import multiprocessing
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


def memory(pid, kind):
    """RssAnon: private; VmRSS: all; VmHWM: all at its most."""
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return 1024 * int(re.search(kind + r":\s*(\d+)", file.read())[1])


def waited(tasks):
    """Seconds that threads have waited for a CPU, the longest of them."""
    most = 0
    for task in tasks:
        try:
            with open(f"{task}/schedstat", encoding="ascii") as file:
                most = max(most, int(file.read().split()[1]) / 1e9)
        except OSError:
            pass
    return most


def http_threads(pid):
    """libmicrohttpd names its threads."""
    def name(task):
        with open(f"{task}/comm", encoding="ascii") as file:
            return file.read()
    return [task for task in glob.glob(f"/proc/{pid}/task/*") if name(task).startswith("MHD-")]


def probe(port, pid, over, out):
    """A process of its own asks for /health/live, 20 times a second: (time, less the wait for a CPU) of each, at its end."""
    tasks, times = http_threads(pid), []
    while not over.wait(0.05):
        before, mine, start = [waited([task]) for task in tasks], waited(["/proc/self"]), time.monotonic()
        with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
            client.sendall(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
            live = client.recv(4096).startswith(b"HTTP/1.1 200 ")
        took = time.monotonic() - start
        wait = max([waited([task]) - was for task, was in zip(tasks, before)], default=0) + waited(["/proc/self"]) - mine
        times.append((took, max(0, took - wait)) if live else (30, 30))
    out.send(times)


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

    def ask(self, body, path, statuses):
        """All of an answer is read, and thrown away."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=60) as client:
            client.sendall(post(json.dumps(body, ensure_ascii=False).encode(), path))
            head, buffer = client.recv(4096), bytearray(1 << 18)
            while client.recv_into(buffer):
                pass
        if head[9:12] not in statuses:
            self.wrong.append(f"{path}: expected {statuses}, got {head[:40]!r}")

    def pieces(self):
        text = self.random.choice(["\uac01", "\uac01 ", "e\u0301\u0316", "a ", "[SEP]", "\u4e2d", "x"]) * self.random.randrange(1000, 40000)
        self.ask({"inputs": text}, self.random.choice(["/predict", "/tokenize"]), (b"200", b"429", b"504"))

    def batches(self):
        few = ["huge %d " % self.random.randrange(1000) * self.random.randrange(1500) for _ in range(2)]
        texts = [[self.random.choice(few)] for _ in range(128)]  # not more than two are computed: it is no overload
        self.ask({"inputs": texts}, "/predict", (b"200", b"429", b"504"))
        self.ask({"inputs": [["a"]] * 60000}, "/predict", (b"422", b"429"))

    def pairs(self):
        self.ask({"inputs": [["one long text " * 5000, "and %d" % i] for i in range(3)]}, "/predict", (b"200", b"429", b"504"))

    def hold(self, data, count):
        """So many connections are held for a while, and their answers not read."""
        held = []
        for _ in range(count):
            client = socket.socket()
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.settimeout(30)
            held.append(client)
            client.connect(("127.0.0.1", self.port))
            client.sendall(data)
        self.over.wait(self.random.uniform(0, 3))
        for client in held:
            client.close()

    def deaf(self):
        self.hold(post(json.dumps({"inputs": "nobody reads this " * self.random.randrange(1000, 20000)}).encode(), "/tokenize"), 20)

    def heads(self):
        self.hold(b"POST /predict HTTP/1.1\r\nHost: x\r\nX-Long: " + b"x" * self.random.randrange(8000), 20)

    def bodies(self):
        self.hold(post(b'{"inputs": "' + b"a" * 1900000 + b'"}')[:-self.random.randrange(1, 1000000)], 20)

    def run(self):
        light = [self.broken, self.vanishing, self.slow, self.empty, self.unknown]
        heavy = [self.pieces, self.batches, self.pairs, self.deaf, self.heads, self.bodies]
        while not self.over.wait(0.01):
            kind = self.random.choice(heavy if self.random.random() < 0.1 else light)
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
    """All loads at once. Returns memory samples, the loads' results, the nuisances, and the times of /health/live."""
    over, (times, end) = multiprocessing.Event(), multiprocessing.Pipe(duplex=False)
    prober = multiprocessing.Process(target=probe, args=(port, pid, over, end), daemon=True)
    prober.start()
    nuisances = [Nuisance(port, seed) for seed in range(3)]
    loads = [load(args, url, "--closed", "--connections", "4", "--check"), load(args, url, "--rate", "5", "--batch", "16", "--check"),
             load(args, url, "--rate", "20", "--connections", "64")]
    for nuisance in nuisances:
        nuisance.start()
    samples, start = [], time.monotonic()
    while any(process.poll() is None for process in loads):
        time.sleep(2)
        samples.append((time.monotonic() - start, memory(pid, "RssAnon")))
    for nuisance in nuisances:
        nuisance.over.set()
        nuisance.join(60)
    over.set()
    probes = times.recv() if times.poll(60) else []
    prober.join(60)
    return samples, [json.loads(process.communicate()[0]) for process in loads], nuisances, probes


def judge_bounds(args, most, full, probes):
    """What holds at every moment."""
    allowed, times, own = full + (args.request_memory << 20), [took for took, _ in probes], [less for _, less in probes]
    print(f"memory: {full / 1e6:.1f} MB when batches were full, {most / 1e6:.1f} MB at most, {allowed / 1e6:.1f} MB allowed")
    if not probes:
        yield "/health/live was not answered"
        return
    print(f"/health/live: {len(probes)} times, median {1e3 * statistics.median(times):.1f} ms, at most {1e3 * max(times):.1f} ms, "
          f"{1e3 * max(own):.1f} ms without waiting for a CPU")
    if most > allowed and os.environ.get("RETORT_SANITIZER", "none") == "none":  # whose own memory says nothing
        yield f"memory: {most / 1e6:.1f} MB, {allowed / 1e6:.1f} MB are allowed"
    if max(own) >= 0.1:
        yield f"/health/live took {1e3 * max(own):.0f} ms"


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
    parser.add_argument("--request-memory", type=int, default=128, help="MB: the server's option of this name")
    parser.add_argument("--unwarmed", action="store_true", help="do not judge memory: less than a minute is too short for that")
    args = parser.parse_args()
    if not 10 <= args.seconds <= 600:
        parser.error("--seconds: from 10 to 600")
    with subprocess.Popen([args.retort, "serve", args.model, "--port", "0", "--json", "--idle-timeout", "5", "--queue-timeout-ms", "60000",
                           "--request-memory", f"{args.request_memory}M"], stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, text=True) as server:
        try:
            url = json.loads(server.stdout.readline())["url"]
            before = read_metrics(url)["process_open_fds"]
            fill(args, url)
            full = memory(server.pid, "VmRSS")
            samples, results, nuisances, probes = busy(args, url, int(url.rsplit(":", 1)[1]), server.pid)
            most = memory(server.pid, "VmHWM")
            time.sleep(8)  # connections without a request end
            quiet = read_metrics(url)
            time.sleep(5)
            later = read_metrics(url)
            idle = (later["process_cpu_seconds_total"] - quiet["process_cpu_seconds_total"]) / 5
            wrong = list(judge(args, samples, results, nuisances, before, later["process_open_fds"], idle))
            wrong += judge_bounds(args, most, full, probes)
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
