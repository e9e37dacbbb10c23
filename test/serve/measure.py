#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`retort load` against `retort serve`: every wire form, a UNIX socket, keys, overload, and the soak for some seconds. Prints TAP.

    measure.py RETORT SOURCE_ROOT EXAMPLES_FOLDER
"""
import pathlib
import re
import subprocess
import sys

sys.dont_write_bytecode = True
from server import HERE, RETORT, Server, fails, file, main, model, rows, test, undisturbed

ROOT = pathlib.Path(sys.argv[2])
CLASSIFY, EMBED = model("distilbert-classify"), model("package-mean")
TEXTS = file("measured.txt", "\n".join(f"a {a} {b} film" for a in ("very", "good", "bad", "the") for b in ("good", "bad", "acting", "play")))
SHORT = ("--duration", "0.5", "--warmup", "0.2", "--data", TEXTS, "--check", "--connections", "8")


def measure(url, *options):
    found, = rows("load", url, *SHORT, *options)
    assert found["requests"] == sum(found["status"].values()) + sum(found["lost"].values())
    return found


@test
def every_form_is_answered():
    with Server("--name", f"labels={CLASSIFY},vectors={EMBED}", "--max-client-batch-size", 4) as server:
        for path, form in (("", "tei"), ("", "hf"), ("/embed", "tei"), ("/rerank", None), ("", "openai"), ("", "oip")):
            if form is None:
                fails(1, "/rerank answers 422", "load", server.url + path, "--rate", "100", *SHORT)
                continue
            more = ("--served-model-name", "labels" if form == "oip" else "vectors") if form in ("openai", "oip") else ()
            found = measure(server.url + path, "--rate", "100", "--form", form, *more)
            assert found["status"] == {"200": 50} and found["different"] == 0, (form, found["status"], found["reasons"])
        for form in ("tei", "hf", "oip"):
            found = measure(server.url, "--closed", "--form", form, "--served-model-name", "labels", "--batch", "4")
            assert set(found["status"]) == {"200"} and found["different"] == 0 and found["texts_per_s"] == 4 * found["answers_per_s"]
        fails(1, "answers 422: more inputs than max_client_batch_size", "load", server.url, "--batch", "5", *SHORT)
        for form in ("tei", "hf", "openai", "oip"):
            fails(1, "answers 404", "load", server.url, "--form", form, "--served-model-name", "nobody", *SHORT)
        server.stop()


@test
def keys_and_sockets():
    keys, path = file("keys.txt", "secret\n"), HERE / "measured.sock"
    with Server(CLASSIFY, "--api-keys", keys, "--unix", path) as server:
        found = measure("http://localhost", "--unix", path, "--rate", "100", "--header", "Authorization: Bearer secret")
        assert found["status"] == {"200": 50}
        fails(1, "answers 401: an API key is required", "load", "http://localhost", "--unix", path, *SHORT)
        server.stop()


@test
def overload_is_told_from_errors():
    """Four requests fit into the server, which waits 50 ms for more: what comes beyond 80 a second is refused with a time to wait."""
    with Server(CLASSIFY, "--max-concurrent-requests", 4, "--max-wait-us", 50000, "--max-batch-requests", 64) as server:
        @undisturbed
        def found():
            found = measure(server.url, "--rate", "400", "--connections", "64")
            assert found["refused"] > 50 and found["status"]["200"] > 8, found["status"]
            return found
        assert found["refused"] == found["status"]["429"] == found["retry_after"] and found["errors"] == 0, found["status"]
        assert found["reasons"][0] == {"status": 429, "text": "overloaded", "count": found["refused"]}
        server.stop()


@test
def soaks():
    for _ in range(3):
        done = subprocess.run([sys.executable, ROOT / "bench/soak.py", CLASSIFY, "--retort", RETORT, "--seconds", "10", "--unwarmed"],
                              capture_output=True, text=True, timeout=200)
        print("# " + done.stdout.replace("\n", "\n# ").rstrip("# \n"), flush=True)
        if not re.fullmatch("wrong: /health/live took .*\n", done.stderr):  # a machine that stood still; never for three times
            break
    assert done.returncode == 0, done.stderr


main()
