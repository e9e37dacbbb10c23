#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Four replicas behind HAProxy as deploy/haproxy.cfg has it, on loopback. While `retort load` asks, one is killed, one drained and
one reloaded: every request must be answered, and each answer be the one that a replica alone gives. Prints TAP; skips when there
is no haproxy.

    haproxy.py RETORT SOURCE_ROOT EXAMPLES_FOLDER
"""
import contextlib
import json
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request

sys.dont_write_bytecode = True
from server import HERE, RETORT, TIMEOUT, Server, Skip, file, main, model, test, wait_until

ROOT = pathlib.Path(sys.argv[2])
HAPROXY = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin")
TEXTS = ["a very good film", "bad acting", "the film", "very bad", "good", "a play of the", "acting , acting !", "is it good"]
SECONDS, RATE = 8, 200


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def configure(replicas, port):
    """deploy/haproxy.cfg with this run's ports, and a socket that tells what it counted."""
    text = (ROOT / "deploy/haproxy.cfg").read_text(encoding="utf-8")
    text = text.replace("bind 127.0.0.1:8080", f"bind 127.0.0.1:{port}").replace(
        "\nglobal\n", f"\nglobal\n    stats socket {HERE}/stats mode 600\n", 1)
    for number, replica in enumerate(replicas, 1):
        text, found = re.subn(rf"127\.0\.0\.1:808{number}\b", replica.url.removeprefix("http://"), text)
        assert found == 1, f"replica {number} is not in deploy/haproxy.cfg"
    return file("haproxy.cfg", text)


@contextlib.contextmanager
def proxied(replicas):
    """The URL of HAProxy before the replicas."""
    port = free_port()
    with open(HERE / "haproxy.log", "w", encoding="utf-8") as log:
        with subprocess.Popen([HAPROXY, "-db", "-f", configure(replicas, port)], stderr=log) as process:
            try:
                wait_until(lambda: answers(port), "HAProxy answers")
                yield f"http://127.0.0.1:{port}"
            finally:
                process.terminate()


def answers(port):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health/ready", timeout=5) as reply:
            return reply.status == 200
    except OSError:
        return False


def predict(url, text):
    request = urllib.request.Request(url + "/predict", json.dumps({"inputs": text}).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=TIMEOUT) as reply:
        return reply.read()


def redispatched():
    """How often HAProxy asked another replica for what one did not answer."""
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(HERE / "stats"))
        client.sendall(b"show stat\n")
        text = b"".join(iter(lambda: client.recv(65536), b"")).decode()
    head, *lines = [line.split(",") for line in text.splitlines() if line]
    return next(int(row["wredis"]) for row in (dict(zip(head, line)) for line in lines) if row["# pxname"] == "replicas" and row["svname"] == "BACKEND")


def disturb(replicas):
    """Kills the first with requests in its queue, drains the second, reloads the third, while the load goes on: each after a quarter
    of what the fourth is going to answer."""
    killed, drained, reloaded, steady = replicas
    before, share = steady.metric("retort_texts_total"), RATE * SECONDS / 4
    for quarter, replica, sent in ((1, killed, signal.SIGKILL), (2, drained, signal.SIGTERM), (3, reloaded, signal.SIGHUP)):
        wait_until(lambda: steady.metric("retort_texts_total") - before >= quarter * share / 4, "the load goes on")
        wait_until(lambda: replica.metric("retort_queue_requests") > 0, "something waits in it")
        replica.process.send_signal(sent)
    wait_until(lambda: reloaded.metric("retort_reloads_total") == 1, "the model is loaded anew")
    assert drained.process.wait(timeout=TIMEOUT) == 0, "the drained replica did not end with 0"


def disturbed_load(replicas):
    """What `retort load` found, what the proxy answers after it, and what it asked again."""
    data = file("texts.txt", "\n".join(TEXTS) + "\n")
    with proxied(replicas) as url:
        with subprocess.Popen([RETORT, "load", url, "--rate", str(RATE), "--duration", str(SECONDS), "--warmup", "1", "--data", data,
                               "--check", "--json"], stdout=subprocess.PIPE) as load:
            disturb(replicas)
            found = json.loads(load.stdout.read())
        return found, [predict(url, text) for text in TEXTS], redispatched()


@test
def nothing_is_lost_behind_a_proxy():
    """Replicas wait 100 ms for a batch to fill, so that there is always a request to be lost."""
    if HAPROXY is None:
        raise Skip("no haproxy")
    with contextlib.ExitStack() as stack:
        replicas = [stack.enter_context(Server(model("distilbert-classify"), "--threads", 1, "--max-wait-us", 100000, "--drain-delay", 2))
                    for _ in range(4)]
        alone = [predict(replicas[3].url, text) for text in TEXTS]
        found, after, again = disturbed_load(replicas)
        shares = [replica.metric("retort_texts_total") for replica in replicas[2:]]
    ms = found["latency_ms"]
    print(f"# {found['requests']} requests at {RATE}/s: p50 {ms['p50']:.1f}, p99 {ms['p99']:.1f}, max {ms['max']:.1f} ms; {again} asked of "
          "another replica")
    assert found["status"] == {"200": RATE * SECONDS} and found["errors"] == 0, (found["status"], found["lost"])
    assert found["resent"] == 0, f"{found['resent']} requests had to be sent again"
    assert found["different"] == 0 and after == alone, "an answer is wrong"
    assert again > 0, "the killed replica had nothing to lose"
    assert min(shares) > 0.25 * sum(shares), f"the work is not shared: {shares}"


main()
