#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The server under load and with clients that misbehave: limits, deadlines, batches, reload, the way down. Prints TAP.

    load.py RETORT SOURCE_ROOT EXAMPLES_FOLDER
"""
import concurrent.futures
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

from server import HERE, RETORT, TIMEOUT, Server, cpu_seconds, descriptors, fails, file, main, model, retort, test, wait_until

CLASSIFY, EMBED = "distilbert-classify", "package-mean"
SMALL = model(CLASSIFY)


def many(server, bodies, workers=8, path="/predict"):
    """Statuses and answers of requests sent side by side."""
    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        return list(pool.map(lambda body: server.send("POST", path, body), bodies))


FULL = 40  # tokens: what a text is cut to, and all that a batch of a HeldServer takes
FILLER = {"inputs": "film " * FULL}


class HeldServer(Server):
    """Its queue runs when it holds FULL tokens, or after ten seconds: on a slow machine, too, requests meet there."""

    def __init__(self, *more):
        super().__init__(SMALL, "--max-wait-us", 10000000, "--queue-timeout-ms", 0, "--max-batch-tokens", FULL, *more)

    def hold(self, bodies):
        """A thread that sends these requests side by side, which by now wait, and the list that its one result, their answers, goes to."""
        found = []
        before = self.metric("retort_queue_requests")
        sender = threading.Thread(target=lambda: found.append(many(self, bodies, len(bodies))))
        sender.start()
        wait_until(lambda: self.metric("retort_queue_requests") == before + len(bodies), "all wait")
        return sender, found

    def run_queue(self):
        self.post("/predict", FILLER)


def words(i):
    return " ".join("abcdefgh"[(i >> 3 * k) & 7] for k in range(6))


def raw_request(body, more=b""):
    return b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n%s\r\n" % (len(body), more) + body


# ---- Batches ----


@test
def answers_do_not_depend_on_the_load():
    texts = [words(i) for i in range(200)]
    with Server(SMALL, "--max-batch-tokens", 64) as server:
        alone = [server.send("POST", "/predict", {"inputs": text})[2] for text in texts]
        together = many(server, [{"inputs": text} for text in texts] + [{"inputs": [[t] for t in texts[i:i + 50]]} for i in range(0, 200, 50)], 16)
        assert [answer[2] for answer in together[:200]] == alone
        lists = [labels for answer in together[200:] for labels in json.loads(answer[2])]
        assert lists == [json.loads(answer) for answer in alone]


@test
def equal_texts_in_flight_are_computed_once():
    with HeldServer() as server:
        sender, found = server.hold([{"inputs": "the same text"}] * 20)
        server.run_queue()
        sender.join()
        assert len({answer[2] for answer in found[0]}) == 1 and {answer[0] for answer in found[0]} == {200}
        assert server.metric("retort_shared_total") == 19
        assert server.metric("retort_batch_sequences_sum") == 2 and server.metric("retort_texts_total") == 21  # and the filler
    with Server(SMALL) as server:
        same = server.post("/predict", {"inputs": [["twice"]] * 5})
        assert all(labels == same[0] for labels in same) and server.metric("retort_batch_sequences_sum") == 1


@test
def answers_are_kept():
    with Server(SMALL, "--cache", 3) as server:
        first = server.send("POST", "/predict", {"inputs": "one"})[2]
        for text in ("two", "three", "one", "four"):
            server.post("/predict", {"inputs": text})
        assert server.metric("retort_cache_hits_total") == 1 and server.metric("retort_cached_answers") == 3
        for text in ("one", "two"):  # two was the oldest
            server.post("/predict", {"inputs": text})
        assert server.metric("retort_cache_hits_total") == 2
        assert server.send("POST", "/predict", {"inputs": "one"})[2] == first
        assert server.metric("retort_batch_sequences_sum") == 5


@test
def waits_for_a_batch_when_told():
    with HeldServer("--threads", 1) as server:
        sender, found = server.hold([{"inputs": word} for word in "abcdef"])
        assert server.metric("retort_inference_seconds_count") == 0
        server.run_queue()
        sender.join()
        assert [answer[0] for answer in found[0]] == [200] * 6 and server.metric("retort_inference_seconds_count") == 2
    with Server(SMALL, "--max-wait-us", 200000) as server:
        started = time.monotonic()
        server.post("/predict", {"inputs": "a"})
        assert time.monotonic() - started >= 0.2
    with Server(SMALL) as server:  # not told to; a machine that stands still does so in few of ten requests
        assert min(queue_ms(server.send("POST", "/predict", {"inputs": "a"})) for _ in range(10)) < 50


def queue_ms(answer):
    return float(re.search(r"queue;dur=([\d.]+)", answer[1]["server-timing"])[1])


def overtakes(server, long, short):
    """Whether a request that comes after a long one has its answer in the first half of that one's batches. In order of arrival
    all of them would be run before."""
    def batches():
        return server.metric("retort_inference_seconds_count")
    before, found = batches(), []
    holder = threading.Thread(target=lambda: found.append(server.send("POST", *long)))
    holder.start()
    wait_until(lambda: server.metric("retort_queue_requests") > 0 or not holder.is_alive(), "the long one is in the queue")
    answer = server.send("POST", *short)
    then = batches() - before
    holder.join()
    count = batches() - before
    assert count > 40 and answer[0] == found[0][0] == 200, (count, answer, found)
    return then < count / 2, answer, found[0]


def overtakes_once(*requests):
    """The answers to both. A client that was kept from running may send its short one late: then it is tried again."""
    for _ in range(20):
        overtaken, *answers = overtakes(*requests)
        if overtaken:
            return answers
    raise AssertionError("the short one has waited for all of the long one, 20 times")


@test
def a_long_request_does_not_hold_up_a_short_one():
    # Batches of 64 tokens: the long request is of some 80 of them; the short one must get into one of the next.
    with Server(SMALL, "--max-batch-tokens", 64, "--max-client-batch-size", 512, "--isa", "ref", "--threads", 1) as server:
        overtakes_once(server, ("/predict", {"inputs": [[words(i) + " x"] for i in range(512)]}), ("/predict", {"inputs": "short"}))


@test
def several_models():
    with Server("--name", f"a={SMALL},b={model(EMBED)}", model("bert-multilabel")) as server:
        assert server.get("/info")["models"] == ["bert-multilabel", "a", "b"]
        one, other = server.post("/predict", {"inputs": "a", "model": "a"}), server.post("/predict", {"inputs": "a"})
        assert {x["label"] for x in one} != {x["label"] for x in other} or one != other
        assert server.post("/embed", {"inputs": "a"}) and server.post("/embed", {"inputs": "a", "model": "b"})
        assert "none" in server.post("/predict", {"inputs": "a", "model": "none"}, 404)["error"]
        assert "classifies" in server.post("/predict", {"inputs": "a", "model": "b"}, 404)["error"]
    with Server(model(EMBED)) as server:
        assert "classifies" in server.post("/predict", {"inputs": "a"}, 424)["error"]
    fails(2, "two models have the name", "serve", SMALL, SMALL)
    fails(2, "--name: expected N=FILE", "serve", "--name", "a")
    fails(2, "no model", "serve")
    fails(3, "No such file", "serve", HERE / "none.retort", "--port", "0")


# ---- Limits ----


@test
def overload_is_refused_with_a_time():
    for status in (429, 503):
        with HeldServer("--max-queue-tokens", 60, "--overload-status", status) as server:
            server.run_queue()  # how long a token takes is known
            sender, found = server.hold([{"inputs": words(0)}, {"inputs": words(1)}, {"inputs": words(2)}])
            code, headers, data = server.send("POST", "/predict", FILLER)
            error = json.loads(data)
            assert code == status and error["error_type"] == "overloaded" and "max_queue_tokens, which is 60" in error["error"]
            assert int(headers["retry-after"]) >= 1 and 0 < int(headers["retry-after-ms"]) <= 1000 * int(headers["retry-after"])
            assert server.metric("retort_rejected_total") == 1 and server.metric("retort_queue_tokens") == 24
            server.post("/predict", {"inputs": [[words(3)], [words(4)]]})  # there is room for it, and the batch is full
            sender.join()
            assert [answer[0] for answer in found[0]] == [200] * 3 and server.metric("retort_queue_tokens") == 0


@test
def a_text_of_many_windows_must_fit_into_the_queue():
    """It is run in one go, which neither its deadline nor its client's end interrupts."""
    long = "good film " * 200
    with Server(model("bert-tag"), "--max-queue-tokens", 300) as server:
        error = server.post("/", {"inputs": long}, 413)["error"]
        assert "text 0 has" in error and "max_queue_tokens is 300" in error
        server.post("/", {"inputs": long, "parameters": {"truncate": True}})
        server.post("/", {"inputs": "good film"})


@test
def a_request_larger_than_the_queue_goes_in_parts():
    """LangChain's OpenAIEmbeddings sends 1,000 texts at a time: half the queue's limit counts, and short requests get in between."""
    with Server(SMALL, model(EMBED), "--max-queue-tokens", 600, "--max-batch-tokens", 64, "--isa", "ref", "--threads", 1) as server:
        texts = [words(i) for i in range(1000)]
        sizes = [len(ids) for ids in server.post("/tokenize", {"inputs": texts[:20]})]
        assert sum(sizes) * 50 > 10 * 600
        between, large = overtakes_once(server, ("/v1/embeddings", {"input": texts, "model": EMBED}),
                                        ("/embed", {"inputs": "a short one", "model": EMBED}))
        vectors = [one["embedding"] for one in json.loads(large[2])["data"]]
        assert len(vectors) == 1000 and json.loads(large[2])["data"][999]["index"] == 999
        for i in (0, 1, 499, 999):
            assert server.post("/embed", {"inputs": texts[i], "model": EMBED}) == [vectors[i]]
        assert json.loads(between[2]) == server.post("/embed", {"inputs": "a short one", "model": EMBED})
        assert server.metric("retort_queue_tokens") == 0


@test
def requests_in_flight_are_limited():
    with HeldServer("--max-concurrent-requests", 2) as server:
        sender, found = server.hold([{"inputs": words(0)}, {"inputs": words(1)}])
        for _ in range(3):
            assert "max_concurrent_requests, which is 2" in server.post("/predict", FILLER, 429)["error"]
        server.process.send_signal(signal.SIGTERM)  # ends the wait
        sender.join()
        assert [answer[0] for answer in found[0]] == [200, 200]


@test
def deadlines():
    with HeldServer() as server:
        started = time.monotonic()
        error = server.post("/predict", {"inputs": "a"}, 504, X_Queue_Timeout_Ms="100")
        assert 0.1 <= time.monotonic() - started < 8 and "time limit" in error["error"]  # the wait for a full batch ends later
        assert server.metrics()[f'retort_rejected_total{{model="{CLASSIFY}",reason="deadline"}}'] == 1
        for wrong in ("0", "-1", "x", "1.5", ""):
            server.post("/predict", {"inputs": "a"}, 422, X_Queue_Timeout_Ms=wrong)
        server.post("/predict", FILLER, 200, X_Queue_Timeout_Ms="60000")
        assert server.metric("retort_queue_requests") == 0 and server.metric("retort_queue_tokens") == 0
    with Server(SMALL, "--max-wait-us", 10000000, "--queue-timeout-ms", 100) as server:
        server.post("/predict", {"inputs": "a"}, 504, X_Queue_Timeout_Ms="60000")


@test
def connections_are_limited():
    with Server(SMALL, "--max-connections", 2) as server:
        held = [server.socket() for _ in range(2)]
        for connection in held:
            connection.sendall(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n")
            assert b"200 OK" in connection.recv(4096)
        status, headers, data = server.send("GET", "/health")
        assert status == 503 and b"max_connections is 2" in data and headers["connection"].lower() == "close"
        for connection in held:
            connection.close()
        wait_until(lambda: server.send("GET", "/health")[0] == 200, "a place is free")


# ---- Clients that misbehave ----


@test
def large_bodies():
    with Server(SMALL, "--payload-limit", 1000) as server:
        before = server.metric("process_resident_memory_bytes")
        for size in (1001, 1 << 20, 100 << 20):
            with server.socket() as connection:
                connection.sendall(b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size)
                block = b"x" * (1 << 20)
                for at in range(0, size, len(block)):
                    connection.sendall(block[:size - at])
                assert b" 413 " in connection.recv(4096), size
        with server.socket() as connection:  # in chunks, without a length beforehand
            connection.sendall(b"POST /predict HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
            for _ in range(20):
                connection.sendall(b"100\r\n" + b"x" * 256 + b"\r\n")
            connection.sendall(b"0\r\n\r\n")
            assert b" 413 " in connection.recv(4096)
        with server.socket() as connection:  # the client asks before it sends
            connection.sendall(b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: 5000\r\nExpect: 100-continue\r\n\r\n")
            assert connection.recv(4096).startswith(b"HTTP/1.1 413")
        for length in (b"99999999999999999999999", b"-5", b"9223372036854775807"):
            with server.socket() as connection:
                connection.sendall(b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: " + length + b"\r\n\r\n")
                assert re.search(rb" (400|413) ", connection.recv(4096)), length
        assert server.metric("process_resident_memory_bytes") < before + (16 << 20)
        server.post("/predict", {"inputs": "a"})


@test
def slow_clients_are_cut_off():
    with Server(SMALL, "--read-timeout", 4, "--idle-timeout", 1) as server:
        slow = [server.socket() for _ in range(4)]
        slow[0].sendall(b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n")
        slow[1].sendall(b"POST /predict HTTP/1.1\r\n")
        started, dead = time.monotonic(), set()
        while len(dead) < 4 and time.monotonic() - started < 60:
            for i in set(range(4)) - dead:  # a byte now and then: never idle
                try:
                    slow[i].sendall(b"x")
                    slow[i].setblocking(False)
                    if slow[i].recv(100) == b"":
                        dead.add(i)
                except BlockingIOError:
                    pass
                except OSError:
                    dead.add(i)
                slow[i].setblocking(True)
            time.sleep(0.2)
        assert len(dead) == 4, dead
        server.post("/predict", {"inputs": "a"})
        wait_until(lambda: server.metric("retort_connections") == 1, "the server has let go of them")


@test
def clients_that_hang_up():
    with HeldServer() as server:
        fillers = 0

        def forgotten():
            nonlocal fillers
            server.run_queue()
            fillers += 1
            return server.metric("retort_queue_requests") == 0 and server.metric("retort_connections") == 1
        for i in range(20):
            connection = server.socket()
            connection.sendall(raw_request(json.dumps({"inputs": words(i % 4)}).encode()))
            if i % 2 == 0:  # reset in place of an orderly end
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.close()
        wait_until(lambda: server.metric("retort_queue_requests") >= 10, "those with an orderly end have been read")
        wait_until(forgotten, "all are forgotten")
        assert server.metrics()[f'retort_rejected_total{{model="{CLASSIFY}",reason="client_gone"}}'] >= 10
        # The queue does not look at clients in their first millisecond: what a late one of theirs asks may be computed.
        assert server.metric("retort_batch_sequences_sum") - fillers <= 2, "next to nothing of their four texts is computed"
    with Server(SMALL) as server:
        server.post("/predict", {"inputs": "a"})
        before = descriptors(server.pid)
        for part in (b"", b"POST", b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: 50\r\n\r\n{\"inp"):
            connection = server.socket()
            connection.sendall(part)
            connection.close()
        wait_until(lambda: descriptors(server.pid) <= before + 1, "no descriptor is left behind")
        for i in range(300):  # the end comes with the last bytes
            with server.socket() as connection:
                connection.sendall(raw_request(b'{"inputs": "a"}')[:-1 - i % 12])
                connection.shutdown(socket.SHUT_WR)
        wait_until(lambda: descriptors(server.pid) <= before + 1, "no descriptor is left behind")
        server.post("/predict", {"inputs": "a"})


@test
def rubbish_and_pipelines():
    with Server(SMALL) as server:
        for data in (b"\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"GET /" + b"a" * 100000 + b" HTTP/1.1\r\n\r\n",
                     b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 5000 + b"\r\n", b"\x00" * 100, b"POST /predict HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"):
            with server.socket() as connection:
                connection.settimeout(10)
                try:
                    connection.sendall(data)
                    connection.shutdown(socket.SHUT_WR)
                    answer = connection.recv(4096)
                    assert answer == b"" or answer.startswith(b"HTTP/1."), answer
                except OSError:
                    pass
        with server.socket() as connection:  # three requests at once are answered in their order
            connection.sendall(b"".join(raw_request(json.dumps({"inputs": text}).encode()) for text in ("a", "b", 1)))
            data = b""
            while len(re.findall(rb"HTTP/1.1 (\d+)", data)) < 3 or not data.endswith(b"}"):
                block = connection.recv(65536)
                assert block
                data += block
            assert re.findall(rb"HTTP/1.1 (\d+)", data) == [b"200", b"200", b"422"]
        server.post("/predict", {"inputs": "a"})


# ---- Life ----


@test
def idle_costs_nothing():
    with Server(SMALL) as server:
        server.post("/predict", {"inputs": "a"})
        with server.socket() as connection:  # an open connection must not, either
            connection.sendall(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n")
            connection.recv(4096)
            time.sleep(0.2)
            before = cpu_seconds(server.pid)
            time.sleep(2)
            assert cpu_seconds(server.pid) - before <= 0.02


@test
def reload_loses_nothing():
    path = HERE / "swapped.retort"
    shutil.copy(SMALL, path)
    new = HERE / "new.retort"
    retort("quantize", model(CLASSIFY), "-o", new, "--recipe", "int8")
    with Server(path, "--cache", 100) as server:
        first = server.send("POST", "/predict", {"inputs": "good film"})[2]
        stop, seen = threading.Event(), []

        def ask():
            with_connection = server.connect()
            while not stop.is_set():
                with_connection.request("POST", "/predict", '{"inputs":"good film"}')
                answer = with_connection.getresponse()
                seen.append((answer.status, answer.read()))
            with_connection.close()
        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        wait_until(lambda: len(seen) > 4, "all have begun to ask")
        shutil.copy(new, str(path) + ".part")
        os.replace(str(path) + ".part", path)
        for count in (1, 2, 3):
            server.process.send_signal(signal.SIGHUP)
            wait_until(lambda: server.metric("retort_reloads_total") == count, "it is loaded anew")
        for _ in range(20):  # asked again and again while it is at it
            server.process.send_signal(signal.SIGHUP)
        wait_until(lambda: server.metric("retort_reloads_total") >= 4, "it is loaded anew")
        file("swapped.retort.part", b"rubbish")
        os.replace(str(path) + ".part", path)
        server.process.send_signal(signal.SIGHUP)
        os.set_blocking(server.process.stderr.fileno(), False)
        heard = bytearray()
        wait_until(lambda: heard.extend(said(server)) or b"the old model stays" in heard, "the rubbish is refused")
        stop.set()
        for thread in threads:
            thread.join()
        last = server.send("POST", "/predict", {"inputs": "good film"})[2]
        assert {status for status, _ in seen} == {200} and len(seen) > 10
        assert last != first and {data for _, data in seen} == {first, last}
        assert server.metric("retort_reloads_total") <= 23 and server.get("/health/ready")
        server.stop()


def said(server):
    """What came to its standard error, which does not block, since the last time."""
    try:
        return os.read(server.process.stderr.fileno(), 1 << 16)
    except BlockingIOError:
        return b""


@test
def reload_reads_the_keys():
    path = file("reload-keys.txt", "old\n")
    with Server(SMALL, "--api-keys", path) as server:
        file("reload-keys.txt", "new\n")
        server.process.send_signal(signal.SIGHUP)
        wait_until(lambda: server.send("GET", "/info", headers={"Authorization": "Bearer new"})[0] == 200, "the new key works")
        assert server.send("GET", "/info", headers={"Authorization": "Bearer old"})[0] == 401
    fails(3, "no key in the file", "serve", SMALL, "--api-keys", file("empty.txt", "# none\n"), "--port", "0")


@test
def drains():
    with HeldServer("--drain-delay", 60) as server:
        sender, found = server.hold([{"inputs": "a"}])
        server.process.send_signal(signal.SIGTERM)
        wait_until(lambda: server.send("GET", "/health/ready")[0] == 503, "it says that it is not ready")
        assert server.send("GET", "/health/live")[0] == 200 and server.send("GET", "/v2/health/ready")[0] == 503
        status, headers, _ = server.send("GET", "/info")
        assert status == 200 and headers["connection"].lower() == "close"
        server.run_queue()
        sender.join()
        assert found[0][0][0] == 200
        server.process.send_signal(signal.SIGTERM)  # it need not wait for its minute
        assert server.process.wait(TIMEOUT) == 0


@test
def gives_up_what_does_not_end():
    with HeldServer("--drain-timeout", 1) as server:
        sender, found = server.hold([{"inputs": "a"}])
        started = time.monotonic()
        server.process.send_signal(signal.SIGINT)
        sender.join()
        assert server.process.wait(TIMEOUT) == 0 and time.monotonic() - started < 8  # the wait for a full batch ends later
        assert found[0][0][0] in (200, 503)


@test
def sockets():
    path = HERE / "retort.sock"
    with Server(SMALL, "--unix", path) as server:
        assert server.url == f"unix:{path}" and server.post("/predict", {"inputs": "a"})
        fails(3, "another server is listening there", "serve", SMALL, "--unix", path)
        server.stop()
    assert not path.exists()
    plain = file("plain.sock", "data")
    fails(3, "is not a socket", "serve", SMALL, "--unix", plain)
    assert pathlib.Path(plain).read_text() == "data"
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(str(path))
    stale.close()
    with Server(SMALL, "--unix", path) as server:  # nobody listens on that one
        server.get("/health")
    with Server(SMALL, "--reuse-port") as server:
        port = server.url.rsplit(":", 1)[1]
        second = subprocess.Popen([RETORT, "serve", SMALL, "--reuse-port", "--port", port, "--json"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert port.encode() in second.stdout.readline()
        second.terminate()
        assert second.wait(TIMEOUT) == 0
        second.stdout.close()
        fails(3, "Address already in use", "serve", SMALL, "--port", port)


@test
def systemd():
    told = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    told.bind(str(HERE / "notify.sock"))
    told.settimeout(TIMEOUT)
    given = socket.socket()
    given.bind(("127.0.0.1", 0))
    given.listen()

    def hand_over():
        os.dup2(given.fileno(), 3)
        os.set_inheritable(3, True)
        os.environ["LISTEN_PID"] = str(os.getpid())
    # exec keeps the process id that the variable names.
    script = "import os,sys; os.environ['LISTEN_PID'] = str(os.getpid()); os.execv(sys.argv[1], sys.argv[1:])"
    process = subprocess.Popen([sys.executable, "-c", script, RETORT, "serve", SMALL, "--json"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                               env={**os.environ, "LISTEN_FDS": "1", "NOTIFY_SOCKET": str(HERE / "notify.sock")}, preexec_fn=hand_over, pass_fds=(3,))
    assert json.loads(process.stdout.readline())["url"] == f"http://127.0.0.1:{given.getsockname()[1]}"
    assert told.recv(100) == b"READY=1"
    process.send_signal(signal.SIGHUP)
    assert told.recv(100).startswith(b"RELOADING=1\nMONOTONIC_USEC=") and told.recv(100) == b"READY=1"
    process.terminate()
    assert told.recv(100) == b"STOPPING=1" and process.wait(TIMEOUT) == 0
    process.stdout.close()
    told.close()
    given.close()


@test
def streams_and_threads():
    texts = [{"inputs": words(i)} for i in range(100)]
    with Server(SMALL) as server:
        wanted = [answer[2] for answer in many(server, texts)]
    with Server(SMALL, "--streams", 3, "--threads", 1, "--http-threads", 3) as server:
        assert [answer[2] for answer in many(server, texts, 16)] == wanted


@test
def no_op_says_so():
    with Server(SMALL, "--no-op") as server:
        labels = server.post("/predict", {"inputs": "a"})
        assert all(abs(label["score"] - 1 / 3) < 1e-6 for label in labels)
        assert "the model is NOT run" in server.stop()


main()
