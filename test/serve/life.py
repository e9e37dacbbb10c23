#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The server's states and what signals do in each, with clients, logs and pipes that hold things up. Prints TAP.

    life.py RETORT SOURCE_ROOT EXAMPLES_FOLDER
"""
import contextlib
import fcntl
import json
import os
import signal
import socket
import subprocess
import threading
import time

from server import HERE, RETORT, Server, file, main, model, test, wait_until

SMALL = model("distilbert-classify")
HUP, TERM, INT = signal.SIGHUP, signal.SIGTERM, signal.SIGINT
SLACK = 20  # seconds to close on a busy machine or with a sanitizer; what would be waited for takes 30 and more


def ends(server, within, code=0):
    """That the process ends of itself in so many seconds, and how."""
    try:
        found = getattr(server, "process", server).wait(within + SLACK)
    except subprocess.TimeoutExpired:
        raise AssertionError(f"it has not ended within {within} + {SLACK} seconds") from None
    assert found == code, f"exit code {found}"


def state(server):
    return next(key.split('"')[1] for key, value in server.metrics().items() if key.startswith("retort_state{") and value == 1)


def refuses(server):
    """Whether its socket is closed: it has taken the first signal to end."""
    try:
        server.socket().close()
    except OSError:
        return True
    return False


def reloads(server, name="distilbert-classify"):
    return server.metrics()[f'retort_reloads_total{{model="{name}"}}']


def fifo(name):
    path = HERE / name
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    return path


def full_pipe():
    """(read end, write end) of a pipe that takes nothing more."""
    read, write = os.pipe()
    os.set_blocking(write, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(write, b"x" * 65536)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(write, b"x")
    os.set_blocking(write, True)
    return read, write


def slow_reader(server, name=None):
    """A connection that has asked for a large answer and reads none of it."""
    host, port = server.url.split("//")[1].rsplit(":", 1)
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.settimeout(60)
    connection.connect((host, int(port)))
    body = json.dumps({"inputs": "a " * 60000, **({"model": name} if name else {})}).encode()
    connection.sendall(b"POST /tokenize HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    assert connection.recv(12) == b"HTTP/1.1 200"  # it is being answered
    return connection


@contextlib.contextmanager
def waiting_request(server):
    """A request that its server, which waits long for batches to fill, has in its queue; its answers' statuses."""
    found = []

    def ask():
        with contextlib.suppress(OSError):
            found.append(server.send("POST", "/predict", {"inputs": "a"})[0])
    asker = threading.Thread(target=ask)
    asker.start()
    wait_until(lambda: server.metric("retort_queue_requests") == 1, "it waits")
    yield found
    asker.join()


def start_without_waiting(*words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL):
    return subprocess.Popen([RETORT, "serve", *map(str, words), "--port", "0", "--json"], stdout=stdout, stderr=stderr)


@contextlib.contextmanager
def started(*words, **more):
    process = start_without_waiting(*words, **more)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()


def blocks_signals(process):
    """Whether it has taken the signals over: before that they end it as they end any process."""
    with open(f"/proc/{process.pid}/status") as status:
        mask = next(int(line.split()[1], 16) for line in status if line.startswith("SigBlk:"))
    return mask >> (TERM - 1) & 1


# ---- Each state and each signal ----


@test
def starting():
    for signals in ((TERM,), (INT,), (HUP, TERM), (TERM, TERM), (INT, HUP)):
        with started(SMALL, "--api-keys", fifo("starting")) as process:
            wait_until(lambda: blocks_signals(process), "it listens to signals")
            for sent in signals:
                process.send_signal(sent)
                time.sleep(0.02)
            ends(process, 0)
    with started(SMALL, "--api-keys", fifo("starting")) as process:  # asked to reload before it is up
        wait_until(lambda: blocks_signals(process), "it listens to signals")
        process.send_signal(HUP)
        for keys in ("one\n", "two\n"):
            (HERE / "starting").write_text(keys)  # opens once the server reads
            if keys == "one\n":
                url = json.loads(process.stdout.readline())["url"]
        server = Server.__new__(Server)
        server.url = url
        wait_until(lambda: server.send("GET", "/info", headers={"Authorization": "Bearer two"})[0] == 200, "the reload follows the start")
        process.send_signal(TERM)
        ends(process, 0)


@test
def serving():
    for signals in ((TERM,), (INT,), (TERM, TERM), (TERM, HUP), (HUP, TERM), (TERM, INT, TERM, HUP)):
        for pause in (0, 0.003):
            with Server(SMALL) as server:
                for sent in signals:
                    server.process.send_signal(sent)
                    time.sleep(pause)
                ends(server, 0)
    with Server(SMALL) as server:
        assert state(server) == "serving"
        for count in (1, 2):
            server.process.send_signal(HUP)
            wait_until(lambda: reloads(server) == count and state(server) == "serving", "it is loaded anew")


@test
def reloading():
    for signals in ((TERM,), (INT,), (HUP, TERM), (TERM, TERM), (TERM, HUP)):
        (HERE / "reloading-keys").unlink(missing_ok=True)
        keys = file("reloading-keys", "key\n")
        with Server(SMALL, "--api-keys", keys, "--drain-timeout", 60) as server:
            fifo("reloading-keys")  # nobody writes: the reload does not get on
            server.process.send_signal(HUP)
            wait_until(lambda: state(server) == "reloading", "it reloads")
            server.post("/predict", {"inputs": "a"}, Authorization="Bearer key")
            for sent in signals:
                server.process.send_signal(sent)
                time.sleep(0.02)
            ends(server, 0)


@test
def draining():
    for signals in ((), (HUP,), (TERM,), (INT,), (TERM, TERM)):
        timeout = 60 if set(signals) & {TERM, INT} else 1
        with Server(SMALL, "--max-wait-us", 10000000, "--drain-timeout", timeout) as server, waiting_request(server) as found:
            started_at = time.monotonic()
            server.process.send_signal(TERM)
            wait_until(lambda: refuses(server), "it drains")  # equal signals at once are one
            for sent in signals:
                server.process.send_signal(sent)
                time.sleep(0.1)
            ends(server, 0 if timeout == 60 else timeout)
            assert timeout == 60 or time.monotonic() - started_at >= timeout
        assert found in ([503], [200]), found  # refused, or taken into a last batch
    for signals in ((TERM,), (INT, INT)):  # in the time before the socket closes
        with Server(SMALL, "--drain-delay", 60) as server:
            server.process.send_signal(TERM)
            wait_until(lambda: state(server) == "draining", "it drains")
            for sent in signals:
                server.process.send_signal(sent)
                time.sleep(0.02)
            ends(server, 0)


# ---- Clients ----


@test
def a_slow_reader_holds_up_neither_reload_nor_end():
    for signals in ((TERM,), (HUP, TERM), (HUP, HUP, INT)):
        with Server(SMALL, "--drain-timeout", 1) as server, slow_reader(server):
            for count, sent in enumerate(signals, 1):
                server.process.send_signal(sent)
                if sent == HUP:
                    wait_until(lambda: reloads(server) == count and state(server) == "serving", "it is loaded anew")
                    server.post("/predict", {"inputs": "a"})
            ends(server, 1)
    with Server(SMALL, "--drain-timeout", 60) as server, slow_reader(server):  # a second signal does not wait either
        server.process.send_signal(HUP)
        wait_until(lambda: reloads(server) == 1, "it is loaded anew")
        server.process.send_signal(TERM)
        wait_until(lambda: refuses(server), "it drains")
        assert server.process.poll() is None
        server.process.send_signal(TERM)
        ends(server, 1)


@test
def a_slow_reader_of_one_model_does_not_hold_up_the_next():
    with Server("--name", f"a={SMALL},b={SMALL}") as server:
        slow = slow_reader(server, "a")
        server.process.send_signal(HUP)
        wait_until(lambda: reloads(server, "a") == reloads(server, "b") == 1, "both are loaded anew")
        wait_until(lambda: server.metric("retort_retired_models") == 1, "the reader's model is still there, and b's goes at once")
        slow.close()
        wait_until(lambda: server.metric("retort_retired_models") == 0, "it goes with its last user")
        assert server.stop()


@test
def slow_readers_are_cut_off_while_it_drains():
    with Server(SMALL, "--drain-timeout", 60, "--read-timeout", 4) as server, slow_reader(server):
        server.process.send_signal(TERM)
        ends(server, 6)


# ---- Logs and pipes ----


def requests(server, count):
    with server.socket() as connection:
        connection.sendall(b"GET /health/live HTTP/1.1\r\nHost: a\r\n\r\n" * count)
        data = b""
        while data.count(b"HTTP/1.1 200") < count:
            block = connection.recv(65536)
            assert block
            data += block


@test
def a_log_nobody_reads():
    path = fifo("log")
    with Server(SMALL, "--access-log", path, "--drain-timeout", 1) as server:
        requests(server, 10)
        with open(path) as log:
            lines = [json.loads(log.readline()) for _ in range(10)]
        assert {line["path"] for line in lines} == {"/health/live"}
        server.process.send_signal(HUP)  # without a reader
        wait_until(lambda: reloads(server) == 1, "it is loaded anew")
        requests(server, 1000)  # more than a pipe holds
        server.process.send_signal(TERM)
        ends(server, 1)


@test
def blocked_standard_output():
    with Server(SMALL, "--access-log", "-", "--drain-timeout", 1) as server:
        requests(server, 1000)
        server.process.send_signal(HUP)
        wait_until(lambda: reloads(server) == 1, "it is loaded anew")
        server.process.send_signal(TERM)
        ends(server, 1)
        data = server.process.stdout.read()  # what the pipe took, in whole lines
        assert data.endswith(b"}\n") and all(json.loads(line) for line in data.splitlines())


@test
def blocked_from_the_start():
    for stream in ("stdout", "stderr"):
        read, write = full_pipe()
        with started(SMALL, **{"stdout": subprocess.DEVNULL, stream: write}) as process:
            wait_until(lambda: blocks_signals(process), "it listens to signals")
            time.sleep(0.3)
            process.send_signal(TERM)
            ends(process, 1)
        os.close(read)
        os.close(write)


@test
def keys_come_through_a_pipe():
    path = fifo("keys")
    writer = threading.Thread(target=lambda: path.write_text("# ours\nkey\n"))
    writer.start()
    with Server(SMALL, "--api-keys", path) as server:
        writer.join()
        assert server.send("GET", "/info")[0] == 401
        assert server.send("GET", "/info", headers={"Authorization": "Bearer key"})[0] == 200


@test
def a_full_disk_takes_no_half_line():
    # A limit on the file's size ends writes in the middle as a full disk does.
    path, limit = HERE / "short.log", 10000
    script = "import os,resource,signal,sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); " \
             f"resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit})); os.execv(sys.argv[1], sys.argv[1:])"
    process = subprocess.Popen(["python3", "-c", script, RETORT, "serve", SMALL, "--port", "0", "--json", "--access-log", str(path)],
                               stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        server = Server.__new__(Server)
        server.url = json.loads(process.stdout.readline())["url"]
        requests(server, 100)
        wait_until(lambda: server.metric("retort_log_lines_lost_total") > 50, "lines are counted")
        data = path.read_bytes()
        lines = [json.loads(line) for line in data.splitlines()]
        assert 10 < len(lines) < 100 and data.endswith(b"}\n") and len(data) <= limit, (len(lines), len(data))
        os.truncate(path, 0)  # space again, as after rotation
        requests(server, 1)
        told = sum(line.get("count", 0) for line in lines)
        wait_until(lambda: told + sum(json.loads(line).get("count", 0) for line in path.read_bytes().splitlines()) > 50,
                   "it says how many are missing")
        assert json.loads(path.read_bytes().splitlines()[0]).get("request_id"), "whole from the first line on"
        process.send_signal(TERM)
        ends(process, 0)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@test
def logs_are_rotated():
    path, old = HERE / "rotated.log", HERE / "rotated.log.1"
    with Server(SMALL, "--access-log", path) as server:
        requests(server, 3)
        wait_until(lambda: path.read_bytes().count(b"\n") == 3, "lines are written")
        path.rename(old)
        server.process.send_signal(HUP)
        wait_until(lambda: path.exists() and reloads(server) == 1, "the new one is there")
        requests(server, 3)
        wait_until(lambda: path.read_bytes().count(b"/health/live") == 3, "lines go to the new one")
        assert old.read_bytes().count(b"/health/live") == 3


main()
