#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs `retort load` against a small server on loopback that answers, refuses, stalls and breaks as its paths say. Prints TAP.

    load.py RETORT SOURCE_ROOT EXAMPLES_FOLDER
"""
import asyncio
import collections
import json
import signal
import subprocess
import sys
import threading
import time

sys.dont_write_bytecode = True
from harness import HERE, RETORT, fails, file, main, retort, rows, test, undisturbed, wait_until

GOOD = b'[{"label":"positive","score":0.99}]'
seen = collections.Counter()
bodies, heads, ports = [], [], set()


def answer(body=GOOD, status="200 OK", more=""):
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{more}\r\n".encode() + body


def chunked(body):
    parts = [body[:3], body[3:20], body[20:]]
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts)
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"


async def one(path, body, writer):
    """One request; False ends the connection."""
    count = seen[path] = seen[path] + 1
    if path == "/stall" and count == 100:
        time.sleep(0.5)  # the whole server stands still
    if path == "/never" and count > 1:
        await asyncio.sleep(20)
    if path == "/reset" and count % 10 == 0:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc")
        return False
    if path == "/forget" and count % 10 == 0:
        return False
    refuse = path == "/refuse" and count % 4 == 0
    busy = answer(b'{"error":"queue is full, 8 of 8","error_type":"overloaded"}', "429 Too Many Requests", "Retry-After: 1\r\n")
    special = {
        "/broken": answer(b'{"error":{"message":"no such field","type":"invalid_request"}}', "422 Unprocessable Entity"),
        "/garbage": b"SSH-2.0-OpenSSH_9.2\r\n", "/chunked": chunked(GOOD), "/until-close": b"HTTP/1.1 200 OK\r\n\r\n" + GOOD,
        "/close": answer(more="Connection: close\r\n"), "/differ": answer(b"%d" % (count // 100)), "/slow": answer(),
        "/interim": b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + answer(),
    }
    if path == "/slow":
        await asyncio.sleep(0.03)
    bytes_out = busy if refuse else special.get(path, answer())
    for at in range(0, len(bytes_out), 7) if path in ("/chunked", "/interim") else [0]:
        writer.write(bytes_out[at:at + 7] if path in ("/chunked", "/interim") else bytes_out)
        await writer.drain()
    return path not in ("/close", "/until-close", "/garbage")


async def connection(reader, writer):
    ports.add(writer.get_extra_info("peername"))
    try:
        keep = True
        while keep:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            length = int(next(line.split(":")[1] for line in head.split("\r\n") if line.lower().startswith("content-length:")))
            body = await reader.readexactly(length)
            heads.append(head)
            bodies.append(body)
            keep = await one(head.split(" ")[1], body, writer)
        await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    writer.close()


def start():
    """The server on a thread of its own, over TCP and a UNIX socket."""
    ready, loop = threading.Event(), asyncio.new_event_loop()
    found = {}

    async def serve():
        tcp = await asyncio.start_server(connection, "127.0.0.1", 0)
        await asyncio.start_unix_server(connection, HERE / "socket")
        found["port"] = tcp.sockets[0].getsockname()[1]
        ready.set()

    def run():
        asyncio.set_event_loop(loop)
        loop.run_until_complete(serve())
        loop.run_forever()
    threading.Thread(target=run, daemon=True).start()
    assert ready.wait(120)
    return f"http://127.0.0.1:{found['port']}"


URL = start()
SHORT = ("--duration", "0.5", "--warmup", "0.1")
COLD = ("--duration", "0.5", "--warmup", "0")  # all but the probe are counted, in whatever order they arrive


def load(path, *options, code=0):
    """The runs' JSON; every request must be accounted for."""
    seen.clear(), bodies.clear(), heads.clear()
    found = [json.loads(line) for line in retort("load", URL + path, *options, "--json", code=code)[0].splitlines()]
    for row in found:
        if "requests" in row:
            assert row["requests"] == sum(row["status"].values()) + sum(row["lost"].values()), row
    return found


@test
def constant_rate():
    @undisturbed
    def row():
        row, = load("/fast", "--rate", "200", "--duration", "1", "--warmup", "0.2", "--connections", "8", "--check")
        assert abs(row["answers_per_s"] - 200) < 10
        return row
    assert row["requests"] == 200 and row["status"] == {"200": 200} and row["errors"] == 0 and row["different"] == 0
    assert abs(row["good_per_s"] - 200) < 1 and row["texts_per_s"] == row["answers_per_s"]
    ms = row["latency_ms"]
    assert 0 < ms["p50"] <= ms["p90"] <= ms["p99"] <= ms["p99.9"] <= ms["max"] and row["lag_ms"]["p50"] < ms["max"]
    assert len(heads) == 241  # a probe, the warm-up, the run
    first, second = load("/fast", "--rate", "50,100", *SHORT, "--arrivals", "poisson")
    assert first["rate"] == 50 and second["rate"] == 100 and first["arrivals"] == "poisson"
    assert 5 < first["requests"] < 60 and second["requests"] != 50


@test
def stalls_are_not_left_out():
    """A stall of half a second concerns a quarter of the requests that are due in two seconds, and the latency says so.
    A closed loop asks nothing meanwhile: four of its requests were slow, which no percentile shows."""
    at = ("--duration", "2", "--warmup", "0", "--connections", "4")

    @undisturbed
    def open_loop():
        row, = load("/stall", "--rate", "100", *at)
        assert row["requests"] == 200 and row["latency_ms"]["p90"] > 200 and row["latency_ms"]["max"] > 450, row["latency_ms"]
        assert row["latency_ms"]["p50"] < 100

    @undisturbed
    def closed_loop():
        row, = load("/stall", "--closed", *at)
        assert row["arrivals"] == "closed" and row["latency_ms"]["p90"] < 100 < row["latency_ms"]["max"], row["latency_ms"]

    @undisturbed
    def with_a_deadline():
        row, = load("/stall", "--rate", "100", *at, "--deadline-ms", "100")
        assert 50 < row["good_per_s"] < 90 and row["deadline_ms"] == 100


@test
def refusals_are_not_errors():
    row, = load("/refuse", "--rate", "200", *COLD)
    assert row["status"] == {"200": 75, "429": 25} and row["refused"] == row["retry_after"] == 25 and row["errors"] == 0
    assert row["reasons"] == [{"status": 429, "text": "overloaded", "count": 25}] and row["refusal_ms"]["p50"] > 0
    assert row["good_per_s"] == 150


@test
def every_loss_has_a_name():
    row, = load("/reset", "--rate", "100", *COLD)
    assert row["lost"]["reset"] == row["errors"] == 5 and row["status"] == {"200": 45} and row["resent"] == 0
    row, = load("/forget", "--rate", "100", *COLD, "--connections", "3")
    assert row["resent"] >= 4 and row["errors"] == 0 and row["status"] == {"200": 50}, row
    row, = load("/forget", "--rate", "100", *COLD, "--connections", "500")  # a new one for each: not a kept one that ended
    assert row["resent"] == 0 and row["lost"]["reset"] >= 4
    row, = load("/never", "--rate", "1000", *COLD, "--timeout", "0.2", "--connections", "3", code=1)
    assert row["lost"]["timeout"] > 0 and row["lost"]["unsent"] > 0 and row["status"] == {}, row
    assert row["errors"] == 500 and row["latency_ms"]["p50"] >= 200, row
    row, = load("/differ", "--rate", "400", *SHORT, "--check", "--data", file("one.txt", "a\n"))
    assert row["different"] > 0, row
    assert load("/differ", "--rate", "400", *SHORT, "--data", HERE / "one.txt")[0]["different"] == 0


@test
def forms_of_http():
    for path in ("/chunked", "/until-close", "/close", "/interim"):
        row, = load(path, "--rate", "50", *SHORT, "--check", "--connections", "4")
        assert row["status"] == {"200": 25} and row["errors"] == row["resent"] == row["different"] == 0, row


@test
def connections_are_kept():
    ports.clear()
    load("/fast", "--rate", "200", *SHORT, "--connections", "5")
    assert len(ports) == 6  # and the probe's

    @undisturbed
    def a_connection_has_one_request_at_a_time():
        row, = load("/slow", "--closed", *SHORT, "--connections", "5")
        assert 80 < row["answers_per_s"] < 170 and row["latency_ms"]["p50"] >= 30


@test
def wire_forms():
    data = file("pairs.tsv", "label\tsentence1\tsentence2\n1\ta \"quoted\" text\tthe other\n0\tb\t\xe9\n")
    load("", "--rate", "20", *SHORT, "--data", data)
    assert heads[0].startswith("POST /predict HTTP/1.1\r\nHost: 127.0.0.1:") and "Content-Type: application/json" in heads[0]
    assert json.loads(bodies[0]) == {"inputs": ['a "quoted" text', "the other"]} and json.loads(bodies[2]) == {"inputs": ["b", "\xe9"]}
    load("", "--form", "hf", "--rate", "20", *SHORT, "--data", file("s.tsv", "sentence\tlabel\none\t1\n\ntwo\t0\r\n"))
    assert heads[0].startswith("POST / ") and [json.loads(b) for b in bodies[1:3]] == [{"inputs": t, "parameters": {}} for t in ("one", "two")]
    lines = file("lines.txt", "first\nsecond\r\nthird")
    load("", "--form", "openai", "--served-model-name", "m", "--rate", "20", *SHORT, "--data", lines, "--header", "Authorization: Bearer x")
    assert heads[0].startswith("POST /v1/embeddings ") and "\r\nAuthorization: Bearer x\r\n" in heads[0]
    assert json.loads(bodies[3]) == {"model": "m", "input": "third"}
    load("", "--form", "openai", "--rate", "20", *SHORT, "--data", lines)
    assert json.loads(bodies[0]) == {"input": "first"}
    load("", "--form", "oip", "--served-model-name", "m", "--rate", "20", *SHORT, "--data", lines)
    assert heads[0].startswith("POST /v2/models/m/infer ")
    assert json.loads(bodies[2])["inputs"] == [{"name": "text", "shape": [1], "datatype": "BYTES", "data": ["second"]}]
    for form, body in (("tei", {"inputs": "first", "model": "m"}), ("hf", {"inputs": "first", "parameters": {}, "model": "m"})):
        load("", "--form", form, "--served-model-name", "m", "--rate", "20", *SHORT, "--data", lines)
        assert json.loads(bodies[0]) == body
    for form, inputs in (("tei", [["first"], ["second"]]), ("hf", ["first", "second"])):
        row, = load("/fast", "--form", form, "--rate", "20", *SHORT, "--data", lines, "--batch", "2")
        assert json.loads(bodies[0])["inputs"] == inputs and row["texts_per_s"] == 2 * row["answers_per_s"]
    load("/embed?x=1", "--rate", "20", *SHORT)
    assert heads[0].startswith("POST /embed?x=1 ") and len({*bodies}) == len(bodies) - 1  # all different, the probe's once more
    retort("load", "http://localhost/fast", "--unix", HERE / "socket", "--rate", "20", *SHORT)


@test
def saturation():
    @undisturbed
    def three_connections():
        found = load("/slow", "--saturate", "--connections", "3", *SHORT)
        assert found[0]["arrivals"] == "closed" and 2 <= len(found) - 1 <= 8
        assert 50 < found[-1]["saturation_per_s"] < 105  # 30 ms each: 100


@test
def interrupted():
    """Ctrl-C ends a run early, and what was measured is printed."""
    seen.clear()
    with subprocess.Popen([RETORT, "load", URL + "/fast", "--rate", "100,200", "--duration", "60", "--warmup", "0.1", "--json"],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        wait_until(lambda: seen["/fast"] >= 100, "it is in the middle of a run")
        process.send_signal(signal.SIGINT)
        out, error = process.communicate(timeout=120)
    row = json.loads(out)  # one line: the second rate is not begun
    assert process.returncode == 1 and b"interrupted" in error
    assert 0.5 < row["seconds"] < 20 and abs(row["requests"] / row["seconds"] - 100) < 5 and row["status"] == {"200": row["requests"]}


@test
def table():
    out = retort("load", URL + "/refuse", "--rate", "40,80", *SHORT)[0].decode().splitlines()
    assert "4096 texts" in out[0] and out[1].split()[:3] == ["requests/s", "answers/s", "good/s"]
    assert sum("of 429: overloaded" in line for line in out) == 2
    runs = [line for line in out[2:] if line.split()[0] in ("40", "80")]
    assert len(runs) == 2 and all(len(line) == len(out[1]) for line in runs)


@test
def wrong_use():
    for words, args in (
        ("only plain HTTP", ("https://127.0.0.1/",)), ("port is no number", ("http://127.0.0.1:x",)), ("no usable host", ("http://:80",)),
        ("no usable path", (URL + "/a b",)), ("no ']'", ("http://[::1/",)), ("port is too large", ("127.0.0.1:123456789",)),
        ("--rate: expected", (URL, "--rate", "0")), ("--rate: expected", (URL, "--rate", "5,,6")), ("found 'x'", (URL, "--rate", "5,x")),
        ("exclude each other", (URL, "--rate", "5", "--closed")), ("between 0.05 and 600", (URL, "--duration", "601")),
        ("--header: expected", (URL, "--header", "none")), ("is not one of", (URL, "--form", "grpc")), ("longer than", (URL, "--unix", "x" * 200)),
        ("takes no pairs", (URL, "--form", "oip", "--data", file("p.tsv", "sentence1\tsentence2\na\tb\n"))),
        ("--form oip needs", (URL, "--form", "oip")),
        ("does not fit", (URL, "--form", "oip", "--served-model-name", "a b")),
        ("--served-model-name has no effect with --form oip and a path", (URL + "/v2/models/m/infer", "--form", "oip", "--served-model-name", "m")),
    ):
        fails(2, words, "load", *args)
    for path in ("nothing.txt", file("empty.txt", ""), file("header.tsv", "sentence\tlabel\n")):
        fails(3, str(path), "load", URL, "--data", path)
    fails(1, "the connection was refused", "load", "http://127.0.0.1:9")
    fails(1, "the answer was not HTTP", "load", URL + "/garbage")
    fails(1, "/broken answers 422: no such field", "load", URL + "/broken")
    fails(1, "the connection was refused", "load", URL, "--unix", HERE / "no-socket")
    fails(1, "cannot find this host", "load", "http://no-such-host.invalid/")


main()
