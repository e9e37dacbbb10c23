#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Requests that can be read in two ways, slow ones, too many of them. Prints TAP.

    strict.py RETORT SOURCE_ROOT EXAMPLES_FOLDER
"""
import json
import re
import resource
import signal
import socket
import time

from server import Server, cpu_seconds, main, model, test, wait_until

SMALL = model("distilbert-classify")
BODY = b'{"inputs": "a charming film"}'


def request(head=b"", body=BODY, method=b"POST", target=b"/predict", version=b"HTTP/1.1", host=b"Host: a\r\n", length=None):
    length = b"Content-Length: %d\r\n" % len(body) if length is None else length
    return method + b" " + target + b" " + version + b"\r\n" + host + head + length + b"\r\n" + body


CHUNKED = b"Transfer-Encoding: chunked\r\n"
CHUNKS = b"%x\r\n" % len(BODY) + BODY + b"\r\n0\r\n\r\n"
LONGER = b"Content-Length: %d\r\n" % (len(BODY) + 30)
OWN = b"Content-Length: %d\r\n" % len(BODY)

# what, request, status, words of the answer
ROWS = [
    ("plain", request(), 200, b"label"),
    ("in chunks", request(body=CHUNKS, length=CHUNKED), 200, b"label"),
    ("the same length twice", request(length=OWN + OWN), 200, b"label"),
    ("blanks and tabs before values", request(b"X-A: \t  b\r\nX-B:\r\n"), 200, b"label"),
    ("lines that end in LF alone", request().replace(b"\r\n", b"\n"), 200, b"label"),
    ("HTTP/1.0 without a host", request(version=b"HTTP/1.0", host=b""), 200, b"label"),
    ("the server named in the target", request(target=b"http://a:80/predict"), 200, b"label"),
    ("the same, in capitals", request(target=b"HTTP://a/predict"), 200, b"label"),
    ("the server named, and no path", request(method=b"GET", target=b"http://a", body=b"", length=b""), 200, b"ready"),
    ("a query with an escaped NUL", request(target=b"/predict?a=%00"), 200, b"label"),
    ("identity", request(b"Content-Encoding: identity\r\n"), 200, b"label"),
    ("two lengths", request(length=OWN + LONGER), 400, b"two different values"),
    ("two lengths, the other way round", request(length=LONGER + OWN), 400, b"two different values"),
    ("a list of lengths", request(length=OWN[:-2] + b", 5\r\n"), 400, b""),
    ("a length with a sign", request(length=b"Content-Length: +29\r\n"), 400, b""),
    ("a second length that is none", request(length=OWN + b"Content-Length: x\r\n"), 400, b"expected digits"),
    ("length and chunks", request(body=CHUNKS, length=CHUNKED + OWN), 400, b"exclude each other"),
    ("chunks and length", request(body=CHUNKS, length=OWN + CHUNKED), 400, b"exclude each other"),
    ("chunks twice", request(body=CHUNKS, length=CHUNKED * 2), 400, b"more than once"),
    ("chunks in HTTP/1.0", request(body=CHUNKS, length=CHUNKED, version=b"HTTP/1.0"), 400, b"HTTP/1.0"),
    ("a coding nobody knows", request(length=b"Transfer-Encoding: xchunked\r\n"), 501, b"xchunked"),
    ("two codings", request(body=CHUNKS, length=b"Transfer-Encoding: gzip, chunked\r\n"), 501, b"gzip, chunked"),
    ("no host", request(host=b""), 400, b"host"),
    ("two hosts", request(b"Host: b\r\n"), 400, b"more than once"),
    ("a blank before the colon", request(length=b"Content-Length : 5\r\n" + OWN), 400, b"name"),
    ("a header without a name", request(b": b\r\n"), 400, b""),
    ("a header without a colon", request(b"foo\r\n"), 400, b""),
    ("a header in two lines", request(b"X-A: b\r\n c\r\n"), 400, b"second line"),
    ("a length in two lines", request(length=b"Content-Len: 29\r\n gth\r\n"), 400, b""),
    ("the last header in two lines", request(length=OWN + b"X-A: b\r\n\tc\r\n"), 400, b"second line"),
    ("a NUL in the path", request(target=b"/predict\0x"), 400, b"NUL"),
    ("an escaped NUL in the path", request(target=b"/predict%00x"), 400, b"NUL"),
    ("a NUL in the method", request(method=b"POST\0x"), 400, b"NUL"),
    ("a NUL in a header", request(b"X-A: b\0c\r\n"), 400, b"NUL"),
    ("a NUL in a header's name", request(b"X-A\0b: c\r\n"), 400, b""),
    ("a NUL in the last header", request(length=OWN + b"X-A: b\0Content-Length: 5\r\n"), 400, b"NUL"),
    ("a blank in the path", request(target=b"/predict x"), 400, b"space in its path"),
    ("gzip", request(b"Content-Encoding: gzip\r\n"), 415, b"gzip"),
    ("deflate", request(b"Content-Encoding: deflate\r\n"), 415, b"deflate"),
    ("br", request(b"Content-Encoding: br\r\n"), 415, b"br"),
    ("identity and gzip", request(b"Content-Encoding: identity, gzip\r\n"), 415, b"identity, gzip"),
]


def answers(server, data, seconds=20):
    """All that the server sends until it closes or `seconds` are over, as (statuses, bytes)."""
    with server.socket() as connection:
        connection.settimeout(seconds)
        connection.sendall(data)
        found = b""
        try:
            while block := connection.recv(65536):
                found += block
        except (TimeoutError, ConnectionResetError):
            pass
    return [int(code) for code in re.findall(rb"HTTP/1.1 (\d{3}) ", found)], found


@test
def each_request_is_read_in_one_way():
    second = b"GET /nothing HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    with Server(SMALL) as server:
        wrong = []
        for what, data, status, words in ROWS:
            statuses, found = answers(server, data + second)
            # After a head that can be read in two ways nothing more is read, least of all a request inside of the first.
            expected = {status, 404} if status in (200, 415) and b"HTTP/1.0" not in data else {status}
            if set(statuses) != expected or statuses[0] != status or words not in found:
                wrong.append((what, statuses, found[:300]))
        assert not wrong, wrong
        found = answers(server, request(b"Content-Encoding: gzip\r\nConnection: close\r\n"))[1].lower()
        assert b"accept-encoding: identity" in found
        assert server.post("/predict", json.loads(BODY))


@test
def trickled_heads_and_bodies():
    """However they come, byte by byte: a head and a body have --read-timeout seconds each in all."""
    starts = {"first line": b"POST /pre", "head": b"POST /predict HTTP/1.1\r\nHost: a\r\nX-A: ",
              "body": b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n{",
              "second first line": request(method=b"GET", target=b"/health/live", body=b"", length=b"") + b"GET /hea"}
    with Server(SMALL, "--read-timeout", 2, "--idle-timeout", 60) as server:
        quiet = server.socket()
        open_ones, began, ended = {}, time.monotonic(), {}
        for name, data in starts.items():
            open_ones[name] = server.socket()
            open_ones[name].sendall(data)
        while open_ones and time.monotonic() - began < 60:
            time.sleep(0.2)
            for name, connection in list(open_ones.items()):
                try:
                    connection.sendall(b"x")
                    connection.setblocking(False)
                    while (block := connection.recv(4096)) and name.startswith("second"):
                        pass
                    assert block == b""
                except BlockingIOError:
                    connection.setblocking(True)
                    continue
                except OSError:
                    pass
                ended[name] = time.monotonic() - began
                open_ones.pop(name).close()
        assert not open_ones, f"still open: {list(open_ones)}"
        assert all(seconds >= 1.9 for seconds in ended.values()), ended
        quiet.sendall(request())  # a connection that has sent nothing may be idle for longer
        assert quiet.recv(4096).startswith(b"HTTP/1.1 200")
        quiet.close()
        wait_until(lambda: server.metric("retort_rejected_total") == len(starts), "all are counted")  # after they are cut off


@test
def connections_beyond_the_limit_are_told():
    with Server(SMALL, "--max-connections", 2) as server:
        held = [server.socket() for _ in range(2)]
        wait_until(lambda: server.send("GET", "/health/live")[0] == 503, "all places are taken")
        status, headers, _ = server.send("POST", "/predict", BODY)
        assert status == 503 and int(headers["retry-after"]) >= 1
        silent = [server.socket() for _ in range(150)]  # more than are taken at a time
        for connection in silent:
            found = connection.recv(4096)
            assert found.startswith(b"HTTP/1.1 503") and b"retry-after: 1" in found.lower(), found
            assert connection.recv(4096) == b""
            connection.close()
        for connection in held:
            connection.close()
        wait_until(lambda: server.send("GET", "/health/live")[0] == 200, "a place is free")
        assert server.metric("retort_rejected_total") >= 151


@test
def few_descriptors():
    for files, kept in ((32, 1), (120, 20)):
        def limit():
            resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
        with Server(SMALL, preexec=limit) as server:
            held = [server.socket() for _ in range(files + 10)]
            for connection in held[-5:]:  # all are taken, and told
                assert connection.recv(4096).startswith(b"HTTP/1.1 503")
            before = cpu_seconds(server.pid)
            time.sleep(0.5)
            assert cpu_seconds(server.pid) - before < 0.2, "it does not try again and again"
            for connection in held[:kept]:
                connection.sendall(request())
                assert connection.recv(4096).startswith(b"HTTP/1.1 200")
            server.process.send_signal(signal.SIGHUP)  # models are files as well
            for connection in held:
                connection.close()
            wait_until(lambda: server.send("GET", "/health/live")[0] == 200, "there are places again")
            wait_until(lambda: server.metric("retort_reloads_total") == 1, "it is loaded anew")
            assert f"the limit on open files, {files}" in server.stop()


@test
def log_lines_are_json():
    with Server(SMALL, "--access-log", "-") as server:
        head = b"X-Request-Id: a\x1b[2J\"b\r\nTraceparent: \x1b]0;x\x07\x7f\"\\\xc2\x9b31m\r\nConnection: close\r\n"
        for target in (b"/a%0a%1b[31m%22%7f%c2%9b", b"/\x1b[2J\"\xff", b"/v2/models/%1b%0a"):
            answers(server, request(head, target=target))
        server.process.send_signal(signal.SIGTERM)
        data = server.process.stdout.read()
        server.process.wait(20)
        lines = [json.loads(line) for line in data.splitlines()]
        assert len(lines) == 3 and {line["status"] for line in lines} <= {404, 405}, lines
        assert lines[0]["path"] == '/a\n\x1b[31m"\x7f\x9b' and lines[0]["traceparent"] == '\x1b]0;x\x07\x7f"\\\x9b31m'
        text = data.decode()
        assert not [c for c in text if (ord(c) < 0x20 and c != "\n") or 0x7F <= ord(c) < 0xA0]


main()
