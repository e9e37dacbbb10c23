#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Four replicas behind HAProxy as deploy/haproxy.cfg has it, on loopback. While `retort load` asks, one is killed, one drained and
one reloaded: every request must be answered, and each answer be the one that the replica alone gives. Prints TAP; skips when
there is no haproxy.

    haproxy.py RETORT SOURCE_ROOT [LOAD]     LOAD: a second retort that runs the load
"""
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

RETORT, ROOT = sys.argv[1], pathlib.Path(sys.argv[2])
LOAD = sys.argv[3] if len(sys.argv) > 3 else RETORT
HAPROXY = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin")
TEXTS = ["a very good film", "bad acting", "the film", "very bad", "good", "a play of the", "acting , acting !", "is it good"]
SECONDS, RATE = 8, 200


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def ask(url, body=None):
    request = urllib.request.Request(url, json.dumps(body).encode() if body else None, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as reply:
        return reply.read()


def counter(url, name):
    """Sum of a metric over its labels."""
    return sum(float(line.split()[-1]) for line in ask(url + "/metrics").decode().splitlines() if re.match(name + r"[{ ]", line))


def wait_for(what, check, seconds=20):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if check():
                return
        except OSError:
            pass
        time.sleep(0.05)
    raise AssertionError(f"waited {seconds} s for {what}")


class Replica:
    """A server on a free port. It waits 20 ms for a batch to fill, so that there is always a request to be lost."""

    def __init__(self, model, folder, number):
        self.log = open(folder / f"replica{number}.log", "w", encoding="utf-8")
        self.process = subprocess.Popen([RETORT, "serve", model, "--port", "0", "--json", "--threads", "1", "--max-wait-us", "20000",
                                         "--drain-delay", "2"], stdout=subprocess.PIPE, stderr=self.log, text=True)
        self.url = json.loads(self.process.stdout.readline())["url"]

    def signal(self, number):
        self.process.send_signal(number)

    def stop(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self.log.close()


def configure(replicas, folder, port):
    """deploy/haproxy.cfg with this run's ports, and a socket that tells what it counted."""
    text = (ROOT / "deploy/haproxy.cfg").read_text(encoding="utf-8")
    text = text.replace("bind 127.0.0.1:8080", f"bind 127.0.0.1:{port}")
    text = text.replace("\nglobal\n", f"\nglobal\n    stats socket {folder}/stats mode 600\n", 1)
    for number, replica in enumerate(replicas, 1):
        text, found = re.subn(rf"127\.0\.0\.1:808{number}\b", replica.url.removeprefix("http://"), text)
        assert found == 1, f"replica {number} is not in deploy/haproxy.cfg"
    path = folder / "haproxy.cfg"
    path.write_text(text, encoding="utf-8")
    return path


def proxy_counts(folder):
    """Retries on the same replica and on another, as HAProxy counted them."""
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(folder / "stats"))
        client.sendall(b"show stat\n")
        text = b"".join(iter(lambda: client.recv(65536), b"")).decode()
    head, *lines = [line.split(",") for line in text.splitlines() if line]
    row = next(dict(zip(head, line)) for line in lines if line[0] == "replicas" and line[1] == "BACKEND")
    return {name: int(row[name] or 0) for name in ("wretr", "wredis")}


def disturb(replicas, began):
    """Kills the first, drains the second, reloads the third, two seconds apart."""
    killed, drained, reloaded, _ = replicas
    time.sleep(max(0, began + 2.5 - time.monotonic()))
    killed.signal(signal.SIGKILL)
    time.sleep(max(0, began + 4 - time.monotonic()))
    drained.signal(signal.SIGTERM)
    time.sleep(max(0, began + 5.5 - time.monotonic()))
    before = counter(reloaded.url, "retort_reloads_total")
    reloaded.signal(signal.SIGHUP)
    wait_for("the reload", lambda: counter(reloaded.url, "retort_reloads_total") == before + 1)
    assert drained.process.wait(timeout=20) == 0, "the drained replica did not exit with 0"


def run(model, folder):
    replicas, proxy, port = [], None, free_port()
    url = f"http://127.0.0.1:{port}"
    try:
        for number in range(1, 5):
            replicas.append(Replica(model, folder, number))
        alone = {text: ask(replicas[3].url + "/predict", {"inputs": text}) for text in TEXTS}
        data = folder / "texts.txt"
        data.write_text("\n".join(TEXTS) + "\n", encoding="utf-8")
        log = open(folder / "haproxy.log", "w", encoding="utf-8")
        proxy = subprocess.Popen([HAPROXY, "-db", "-f", str(configure(replicas, folder, port))], stderr=log)
        wait_for("the proxy", lambda: ask(url + "/health/ready"))
        began = time.monotonic()
        with subprocess.Popen([LOAD, "load", url, "--rate", str(RATE), "--duration", str(SECONDS), "--warmup", "1", "--connections",
                               "64", "--data", data, "--check", "--json"], stdout=subprocess.PIPE) as load:
            disturb(replicas, began)
            row = json.loads(load.stdout.read())
        after = {text: ask(url + "/predict", {"inputs": text}) for text in TEXTS}
        shares = [counter(replica.url, "retort_texts_total") for replica in replicas[2:]]
        return row, alone, after, shares, proxy_counts(folder)
    finally:
        if proxy is not None:
            proxy.terminate()
            proxy.wait()
            log.close()
        for replica in replicas:
            replica.stop()


def main():
    if HAPROXY is None:
        print("1..0 # SKIP haproxy is not installed")
        return 0
    with tempfile.TemporaryDirectory() as work:
        folder = pathlib.Path(work)
        model = folder / "model.retort"
        subprocess.run([RETORT, "import", ROOT / "test/golden/checkpoints/distilbert-classify", "-o", model], check=True, capture_output=True)
        row, alone, after, shares, counts = run(os.fspath(model), folder)
    ms = row["latency_ms"]
    print(f"1..4\n# {row['requests']} requests at {RATE}/s: p50 {ms['p50']:.1f}, p99 {ms['p99']:.1f}, max {ms['max']:.1f} ms; "
          f"the proxy asked another replica {counts['wredis']} times; status {row['status']}, lost {row['lost']}")
    tests = {
        "every request is answered": row["status"] == {"200": row["requests"]} and row["requests"] == RATE * SECONDS,
        "no answer is wrong": row["different"] == 0 and alone == after,
        "what the killed replica had is asked of another": counts["wredis"] > 0,
        "the others share the work": min(shares) > 0.25 * sum(shares),
    }
    for number, (name, passed) in enumerate(tests.items(), 1):
        print(f"{'ok' if passed else 'not ok'} {number} - {name}")
    return 0 if all(tests.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
