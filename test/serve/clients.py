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

from server import Server, Skip, close, main, model, test, wait_until

CLASSIFY, EMBED = "distilbert-classify", "package-mean"
TEXT = "a very good film"
cache = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
sys.path += glob.glob(f"{cache}/retort/clients/lib/python3*/site-packages")
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

    config = triton.get_model_config(CLASSIFY)
    assert config["max_batch_size"] >= 1000 and config["input"][0] == {"name": "text", "data_type": "TYPE_STRING", "dims": [1]}
    assert [output["dims"] for output in config["output"]] == [[3], [3], [1]], config
    meta = triton.get_model_metadata(CLASSIFY)
    for kind in "input", "output":
        assert [tensor["name"] for tensor in config[kind]] == [tensor["name"] for tensor in meta[kind + "s"]]

    texts = http.InferInput("text", [2], "BYTES")
    texts.set_data_from_numpy(numpy.array([TEXT, "bad"], dtype=object))
    before = triton.get_inference_statistics(CLASSIFY)["model_stats"][0]
    answer = triton.infer(CLASSIFY, [texts], outputs=[http.InferRequestedOutput("probabilities", binary_data=False)])
    probabilities = answer.as_numpy("probabilities")
    wanted = {label["label"]: label["score"] for label in server.post("/predict", {"inputs": TEXT})}
    for score, label in zip(sorted(probabilities[0]), sorted(wanted.values())):
        close(score, label, 2e-6)

    def answers():
        return triton.get_inference_statistics(CLASSIFY, "1")["model_stats"][0]["inference_stats"]["success"]["count"]
    # An answer is counted after its client has it.
    wait_until(lambda: answers() > before["inference_stats"]["success"]["count"], "the answer is counted")
    after = triton.get_inference_statistics(CLASSIFY, "1")["model_stats"][0]
    assert after["inference_count"] == before["inference_count"] + 2 + 1
    assert after["execution_count"] > before["execution_count"]
    assert after["last_inference"] > 1.7e12
    assert [m["name"] for m in triton.get_inference_statistics()["model_stats"]] == [CLASSIFY, EMBED]


@test
def hugging_face():
    hub = client("huggingface_hub")
    for url in (f"{server.url}/models/{CLASSIFY}", f"{server.url}/v2/models/{CLASSIFY}"):
        labels = hub.InferenceClient(model=url).text_classification(TEXT, top_k=2)
        wanted = server.post("/predict", {"inputs": TEXT})
        assert [label.label for label in labels] == [label["label"] for label in wanted[:2]]
    url = f"{server.url}/models/{EMBED}"
    assert hub.InferenceClient(provider="hf-inference").get_endpoint_info(model=url)["model_id"] == EMBED
    wanted = server.post("/similarity", {"inputs": {"source_sentence": TEXT, "sentences": ["good", TEXT]}})
    vector = server.post("/embed", {"inputs": TEXT, "normalize": False})[0]
    for path in f"/models/{EMBED}", f"/models/{EMBED}/pipeline/sentence-similarity":
        assert hub.InferenceClient(model=server.url + path).sentence_similarity(TEXT, ["good", TEXT]) == wanted
    for path in f"/models/{EMBED}", f"/models/{EMBED}/pipeline/feature-extraction":
        embedder = hub.InferenceClient(model=server.url + path)
        for found, value in zip(embedder.feature_extraction(TEXT, normalize=False)[0], vector):
            close(float(found), value, 2e-6)
    with Server(model("bert-classify")) as judge:  # its labels are those of an NLI model by name
        labels = hub.InferenceClient(model=f"{judge.url}/models/bert-classify").zero_shot_classification(TEXT, ["good", "bad"])
        ranked = judge.post("/", {"inputs": TEXT, "parameters": {"candidate_labels": ["good", "bad"]}})
        assert [(one.label, one.score) for one in labels] == list(zip(ranked["labels"], ranked["scores"]))
    with Server(model(EMBED)) as alone:
        assert hub.InferenceClient(model=alone.url).sentence_similarity(TEXT, ["good", TEXT]) == wanted


@test
def openai():
    library = client("openai")
    for url in server.url, server.url + "/v1":
        with library.OpenAI(base_url=url, api_key="none") as openai_client:
            assert [m.id for m in openai_client.models.list()] == [CLASSIFY, EMBED]
            assert openai_client.models.retrieve(EMBED).id == EMBED
            vectors = openai_client.embeddings.create(model=EMBED, input=[TEXT, "bad"])  # base64 beneath
            for found, value in zip(vectors.data[0].embedding, server.post("/embed", {"inputs": TEXT})[0]):
                close(found, value, 2e-6)
            try:
                openai_client.embeddings.create(model="other", input=TEXT)
            except library.NotFoundError as error:
                assert "no model has the name 'other'" in str(error)
            else:
                raise AssertionError("an unknown model has answered")


@test
def cohere():
    library = client("cohere")
    documents = ["bad", TEXT, "good film"]
    with Server(model("bert-regression")) as ranker:
        wanted = ranker.post("/rerank", {"query": "film", "texts": documents})
        for kind in library.Client, library.ClientV2:
            answer = kind(api_key="none", base_url=ranker.url).rerank(model="any", query="film", documents=documents, top_n=2)
            assert [(one.index, one.relevance_score) for one in answer.results] == [(one["index"], one["score"]) for one in wanted[:2]]


if __name__ == "__main__":
    with server:
        main()
