#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The clients that people have, as tools/clients installs them, against the server. Prints TAP.

    clients.py RETORT SOURCE_ROOT EXAMPLES_FOLDER
"""
import glob
import importlib
import os
import pathlib
import sys

from server import Server, Skip, close, main, model, test

CLASSIFY, EMBED = "distilbert-classify", "package-mean"
TEXT = "a very good film"
cache = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
sys.path += glob.glob(f"{cache}/retort/clients/lib/python3*/site-packages")
os.environ["HF_HUB_OFFLINE"] = "1"
server = Server(model(CLASSIFY), model(EMBED))


def client(name):
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise Skip(f"{error}: run tools/clients") from error


@test
def triton():
    http, numpy = client("tritonclient.http"), client("numpy")
    triton = http.InferenceServerClient(server.url.split("//")[1])
    assert triton.is_server_live() and triton.is_server_ready() and triton.is_model_ready(CLASSIFY)
    index = triton.get_model_repository_index()
    assert [m["name"] for m in index] == [CLASSIFY, EMBED] and all(m["state"] == "READY" for m in index)

    texts = http.InferInput("text", [2], "BYTES")
    texts.set_data_from_numpy(numpy.array([TEXT, "bad"], dtype=object))
    before = triton.get_inference_statistics(CLASSIFY)["model_stats"][0]
    answer = triton.infer(CLASSIFY, [texts], outputs=[http.InferRequestedOutput("probabilities", binary_data=False)])
    probabilities = answer.as_numpy("probabilities")
    wanted = {label["label"]: label["score"] for label in server.post("/predict", {"inputs": TEXT})}
    for score, label in zip(sorted(probabilities[0]), sorted(wanted.values())):
        close(score, label, 2e-6)

    after = triton.get_inference_statistics(CLASSIFY, "1")["model_stats"][0]
    assert after["inference_count"] == before["inference_count"] + 2 + 1
    assert after["execution_count"] > before["execution_count"]
    assert after["inference_stats"]["success"]["count"] >= before["inference_stats"]["success"]["count"] + 1
    assert after["last_inference"] > 1.7e12
    assert [m["name"] for m in triton.get_inference_statistics()["model_stats"]] == [CLASSIFY, EMBED]


if __name__ == "__main__":
    with server:
        main()
