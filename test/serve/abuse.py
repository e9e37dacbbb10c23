#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Clients that make the server hold much, or hold it up: what is bounded, refused and cut off. Prints TAP.

    abuse.py RETORT SOURCE_ROOT EXAMPLES_FOLDER
"""
import contextlib
import json
import os
import pathlib
import re
import socket
import time

from server import Server, Skip, main, model, test, wait_until

SMALL, EMBED, RANK = model("distilbert-classify"), model("package-mean"), model("bert-regression")


def request(path, body):
    data = json.dumps(body, ensure_ascii=False).encode()
    return b"POST %s HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % (path.encode(), len(data)) + data


def deaf(server, path, body):
    """A client that asks and does not read."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    host, port = server.url.split("//")[1].rsplit(":", 1)
    client.connect((host, int(port)))
    client.sendall(request(path, body))
    return client


def words(i):
    return " ".join("abcdefgh"[(i >> 3 * k) & 7] for k in range(6))


def held(server):
    return server.metric("retort_memory_bytes")


def rejected(server, reason):
    return sum(value for name, value in server.metrics().items() if name.startswith("retort_rejected_total") and f'reason="{reason}"' in name)


def private_memory(server):
    """0 with a sanitizer, whose own memory says nothing."""
    if os.environ.get("RETORT_SANITIZER", "none") != "none":
        return 0
    with open(f"/proc/{server.pid}/status", encoding="ascii") as file:
        return 1024 * int(re.search(r"RssAnon:\s*(\d+)", file.read())[1])


# ---- Answers ----


@test
def large_answers_come_in_parts_and_whole():
    texts = ["a b c " * n for n in (2, 3000, 1, 40)]
    with Server(SMALL) as server:
        parts = [server.post("/tokenize", {"inputs": text})[0] for text in texts]
        status, headers, data = server.send("POST", "/tokenize", {"inputs": texts})
        assert status == 200 and headers.get("transfer-encoding") == "chunked" and json.loads(data) == parts
        assert "content-length" in server.send("POST", "/tokenize", {"inputs": texts[0]})[1]
        labels = server.post("/predict", {"inputs": [[text] for text in texts] * 32})
        assert labels == [server.post("/predict", {"inputs": text}) for text in texts] * 32
    with Server(RANK) as server:
        long = [words(i) + " x" * 600 for i in range(40)]
        ranks = server.post("/rerank", {"query": "a", "texts": long, "return_text": True})
        assert sorted(rank["index"] for rank in ranks) == list(range(40)) and all(rank["text"] == long[rank["index"]] for rank in ranks)
    with Server(SMALL) as server:
        infer = server.post("/v2/models/distilbert-classify/infer", {"inputs": [{"name": "t", "datatype": "BYTES", "shape": [128], "data": texts * 32}]})
        assert [output["shape"][0] for output in infer["outputs"]] == [128] * len(infer["outputs"]) and len(infer["outputs"][0]["data"]) >= 128
    with Server(EMBED) as server:
        alone = [server.post("/embed", {"inputs": text})[0] for text in texts]
        assert server.post("/embed", {"inputs": texts * 32}) == alone * 32
        vectors = server.post("/v1/embeddings", {"input": texts * 32})["data"]
        assert [item["index"] for item in vectors] == list(range(128)) and [item["embedding"] for item in vectors] == alone * 32


@test
def answers_that_nobody_reads_pin_little():
    with Server(SMALL, "--request-memory", "64M", "--max-queue-tokens", 1 << 24) as server:
        server.post("/tokenize", {"inputs": "a b " * 50000})
        before = private_memory(server)
        with contextlib.ExitStack() as stack:
            for _ in range(30):  # an answer is of 7 MB
                stack.enter_context(deaf(server, "/tokenize", {"inputs": "a b " * 50000}))
            wait_until(lambda: server.metric("retort_inflight") >= 31 or rejected(server, "memory") > 0, "all have asked")
            time.sleep(0.5)
            assert held(server) < 64 << 20 and private_memory(server) - before < 64 << 20
            assert server.get("/health/live") and server.post("/predict", {"inputs": "small"})
        wait_until(lambda: held(server) < 1 << 20, "what they held is given back")
        assert private_memory(server) - before < 16 << 20


@test
def readers_that_stall_are_cut_off():
    with Server(SMALL, "--read-timeout", 4) as server, deaf(server, "/tokenize", {"inputs": "a b " * 50000}) as stalled:
        wait_until(lambda: rejected(server, "slow_client") == 1, "it is cut off")
        wait_until(lambda: held(server) < 1 << 20, "what it held is given back")
        data = b""
        with contextlib.suppress(OSError):
            while block := stalled.recv(1 << 16):
                data += block
        assert not data.endswith(b"0\r\n\r\n"), "what is cut off does not look whole"
        status, _, whole = server.send("POST", "/tokenize", {"inputs": "a b " * 50000})  # one that reads gets all
        assert status == 200 and len(json.loads(whole)[0]) > 100000


# ---- Bodies ----


@test
def bodies_beyond_the_budget_are_refused():
    with Server(SMALL, "--request-memory", "8M") as server, contextlib.ExitStack() as stack:
        head, answers = b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: 1999999\r\n\r\n", []
        for _ in range(10):  # each sends all but the last byte
            client = stack.enter_context(server.socket())
            client.sendall(head + b'{"inputs": "' + b"a" * (1999999 - 13))
            answers.append(client)
        wait_until(lambda: rejected(server, "memory") >= 5, "most are refused")
        assert held(server) <= 8 << 20 and server.metric("retort_memory_limit_bytes") == 8 << 20
        assert server.post("/predict", {"inputs": "a small one"}) and server.get("/health/live")
        statuses, waits = [], 0
        for client in answers:
            client.sendall(b"}")
            answer = client.recv(4096)
            statuses.append(answer.split()[1])
            waits += b"retry-after:" in answer.lower()
        assert statuses.count(b"429") >= 5 and waits == statuses.count(b"429") and set(statuses) <= {b"429", b"400"}, statuses
        wait_until(lambda: held(server) < 1 << 20, "what they held is given back")


@test
def parsed_values_are_counted():
    with Server(SMALL, "--request-memory", "4M") as server:
        status, headers, data = server.send("POST", "/v2/models/distilbert-classify/infer", b'{"inputs": [' + b"1," * 400000 + b"1]}")
        assert status == 429 and headers["retry-after"] and b"request_memory, which is 4194304" in data
        assert rejected(server, "memory") == 1
        server.post("/predict", {"inputs": "a"})


@test
def the_cache_counts_bytes():
    with Server(SMALL, "--request-memory", "1M", "--cache", 1 << 20) as server:
        for i in range(0, 6000, 100):
            server.post("/predict", {"inputs": [[words(k)] for k in range(i, i + 100)]})
        kept = server.metric("retort_cached_answers")
        cache = server.metrics()['retort_memory_bytes{use="cache"}']
        assert 100 < kept < 6000 and (1 << 17) < cache <= (1 << 20) / 4, (kept, cache)
        hits = server.metric("retort_cache_hits_total")
        server.post("/predict", {"inputs": words(5999)})
        assert server.metric("retort_cache_hits_total") == hits + 1


# ---- HTTP threads ----


def spent(server):
    """CPU time in seconds of the threads that read and write requests, which libmicrohttpd names, and of all others."""
    found = [0, 0]
    for task in pathlib.Path(f"/proc/{server.pid}/task").iterdir():
        with contextlib.suppress(FileNotFoundError):  # it has ended
            found[not (task / "comm").read_text().startswith("MHD-")] += int((task / "schedstat").read_text().split()[0]) / 1e9
    return found


@test
def long_bodies_hold_up_nobody():
    """Helpers read them, not the thread that all clients share, which only writes the answer of /tokenize, part by part. If it read
    them, the helpers would use next to no time."""
    if not os.path.exists("/proc/self/schedstat"):
        raise Skip("the system does not say what threads use")
    with Server(RANK, SMALL, "--http-threads", 1) as server:
        for path, body in (("/tokenize", {"inputs": "ab cd " * 330000}), ("/predict", {"inputs": "\uac01" * 600000}),
                           ("/rerank", {"query": "a b " * 200000, "texts": ["%d" % i for i in range(128)]}),
                           ("/predict", {"inputs": [["x y z " * 2500]] * 120})):
            before = spent(server)
            assert server.send("POST", path, json.dumps(body, ensure_ascii=False).encode())[0] == 200
            shared, helpers = (after - was for after, was in zip(spent(server), before))
            assert helpers > 0.1 * (shared + helpers), (path, shared, helpers)


@test
def tokens_of_tokenize_are_limited():
    with Server(SMALL, "--max-queue-tokens", 1000, "--max-batch-tokens", 100) as server:
        with deaf(server, "/tokenize", {"inputs": "a b " * 50000}):  # alone it always fits
            wait_until(lambda: server.metric("retort_tokenize_tokens") > 10000, "its answer has begun")
            error = server.post("/tokenize", {"inputs": "a b " * 400}, 429)["error"]
            assert "max_queue_tokens, which is 1000" in error and rejected(server, "queue_full") == 1
            server.post("/tokenize", {"inputs": "a b"})
        wait_until(lambda: server.send("POST", "/tokenize", {"inputs": "a b " * 400})[0] == 200, "there is room again")


main()
