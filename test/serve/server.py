# SPDX-License-Identifier: Apache-2.0
"""What the tests of the server share: a server on a free port of the loopback, and requests to it."""
import contextlib
import http.client
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "cli"))
from harness import GOLDEN, HERE, RETORT, Skip, checkpoint, close, fails, file, folder, main, model, retort, rows, test, undisturbed, wait_until, with_infinite_word, with_labels  # noqa: F401

TIMEOUT = 120  # of one answer, sanitizers included


class Server:
    """`retort serve` with the given words and options; ends with the `with` block."""

    def __init__(self, *words, env=None, pass_fds=(), preexec=None):
        environment = {**os.environ, **(env or {})}
        environment.pop("RETORT_ISA", None)
        port = () if "--unix" in words else ("--port", "0")
        self.process = subprocess.Popen([RETORT, "serve", *map(str, words), *port, "--json"], stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, env=environment, pass_fds=pass_fds, preexec_fn=preexec)
        line = self.process.stdout.readline()
        if not line:
            raise AssertionError("no server: " + self.process.stderr.read().decode())
        self.url = json.loads(line)["url"]
        self.pid = self.process.pid

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self.process.stderr.close()

    def stop(self, sent=signal.SIGTERM, code=0):
        self.process.send_signal(sent)
        output, error = self.process.communicate(timeout=TIMEOUT)
        assert self.process.returncode == code, f"exit code {self.process.returncode}: {error.decode()}"
        return error.decode()

    def connect(self):
        if self.url.startswith("unix:"):
            connection = http.client.HTTPConnection("localhost", timeout=TIMEOUT)
            connection.sock = socket.socket(socket.AF_UNIX)
            connection.sock.settimeout(TIMEOUT)
            connection.sock.connect(self.url[5:])
            return connection
        return http.client.HTTPConnection(self.url.split("//")[1], timeout=TIMEOUT)

    def socket(self):
        host, port = self.url.split("//")[1].rsplit(":", 1)
        return socket.create_connection((host, int(port)), timeout=TIMEOUT)

    def send(self, method, path, body=None, headers=None):
        """(status, headers, bytes) of an answer."""
        with contextlib.closing(self.connect()) as connection:
            data = body if body is None or isinstance(body, (bytes, str)) else json.dumps(body)
            connection.request(method, path, data, headers or {})
            answer = connection.getresponse()
            return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()

    def post(self, path, body, code=200, **headers):
        status, _, data = self.send("POST", path, body, {k.replace("_", "-"): v for k, v in headers.items()})
        assert status == code, f"{path}: {status}, expected {code}: {data[:300]}"
        return json.loads(data)

    def get(self, path, code=200, **headers):
        status, _, data = self.send("GET", path, None, {k.replace("_", "-"): v for k, v in headers.items()})
        assert status == code, f"{path}: {status}, expected {code}: {data[:300]}"
        return json.loads(data)

    def metrics(self):
        """{name with labels: value}"""
        text = self.send("GET", "/metrics")[2].decode()
        return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line[0] != "#"}

    def metric(self, name):
        """A metric's sum over its labels."""
        return sum(value for key, value in self.metrics().items() if re.match(re.escape(name) + r"(\{|$)", key))


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))
