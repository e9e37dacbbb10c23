#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The wire forms of the server, and what they answer to wrong requests. Prints TAP.

    wire.py RETORT SOURCE_ROOT EXAMPLES_FOLDER
"""
import base64
import concurrent.futures
import json
import math
import pathlib
import re
import shutil
import signal
import struct

from server import GOLDEN, HERE, Server, checkpoint, close, file, folder, main, model, rows, test, wait_until, with_infinite_word, with_labels

CLASSIFY, EMBED = "distilbert-classify", "package-mean"
TEXT = "a very good film"
server = Server(model(CLASSIFY), model(EMBED), "--max-client-batch-size", 8, "--payload-limit", 20000)


def expected(name, text):
    """What `retort run` says to a text."""
    answer = rows("run", model(name), *(["--pairs"] if "\t" in text else []), text)[0]
    return answer["embedding"] if "embedding" in answer else {label["label"]: label["score"] for label in answer["labels"]}


def same_labels(found, wanted, tolerance=2e-6):
    assert [label["score"] for label in found] == sorted((label["score"] for label in found), reverse=True)
    assert {label["label"] for label in found} == set(wanted)
    for label in found:
        close(label["score"], wanted[label["label"]], tolerance)


def unit(vector):
    size = math.sqrt(sum(x * x for x in vector))
    return [x / size for x in vector]


def same_vector(found, wanted, tolerance=2e-6):
    assert len(found) == len(wanted)
    for a, b in zip(found, wanted):
        close(a, b, tolerance)


# ---- Text Embeddings Inference ----


@test
def predict():
    good, pair = expected(CLASSIFY, TEXT), expected(CLASSIFY, "good\tbad")
    same_labels(server.post("/predict", {"inputs": TEXT}), good)
    same_labels(server.post("/predict", {"inputs": [TEXT]}), good)
    same_labels(server.post("/predict", {"inputs": ["good", "bad"]}), pair)
    batch = server.post("/predict", {"inputs": [[TEXT], ["good", "bad"], [TEXT]]})
    assert len(batch) == 3 and batch[0] == batch[2]
    same_labels(batch[0], good)
    same_labels(batch[1], pair)
    raw = server.post("/predict", {"inputs": TEXT, "raw_scores": True, "truncate": None})
    logits = rows("run", model(CLASSIFY), TEXT)[0]["logits"]
    for value in (label["score"] for label in raw):
        assert min(abs(value - logit) for logit in logits) < 1e-5
    for name in ("bert-multilabel", "bert-regression"):
        with Server(model(name)) as other:
            same_labels(other.post("/predict", {"inputs": TEXT}), expected(name, TEXT))


@test
def truncation():
    long = "good film bad acting " * 40
    limit = server.get("/info")["max_input_length"]
    cut = server.post("/predict", {"inputs": long})
    same_labels(cut, expected(CLASSIFY, long))
    assert server.post("/predict", {"inputs": long, "truncate": True, "truncation_direction": "Right"}) == cut
    left = server.post("/predict", {"inputs": long, "truncate": True, "truncation_direction": "left"})
    words = long.split()
    assert left == server.post("/predict", {"inputs": " ".join(words[-(limit - 2):])}) or left != cut
    error = server.post("/predict", {"inputs": long, "truncate": False}, 422)
    assert f"max_input_length is {limit}" in error["error"] and error["error_type"] == "tokenizer"
    assert re.search(r"text 0 has \d{3} tokens", error["error"])
    assert server.metric("retort_truncated_total") >= 3
    for inputs, cut in (([["good"]], None), ([[long], ["good"], [long]], "2")):
        assert server.send("POST", "/predict", {"inputs": inputs})[1].get("x-truncated") == cut
    for texts, cut in ((["good"], None), ([long, "good", long], 2)):
        usage = server.post("/v1/embeddings", {"input": texts, "model": EMBED})["usage"]
        assert usage.get("truncated") == cut and usage["prompt_tokens"] == usage["total_tokens"], usage
        answer = server.post(f"/v2/models/{CLASSIFY}/infer", {"inputs": [{"name": "text", "datatype": "BYTES", "shape": [len(texts)], "data": texts}]})
        assert answer.get("parameters") == (cut and {"truncated": cut}), answer
        with Server(model("bert-regression")) as other:
            ranked = other.post("/v1/rerank", {"query": "good", "documents": texts})
            assert ranked["usage"].get("truncated") == cut, ranked["usage"]
    with Server(model(CLASSIFY), "--auto-truncate", "false") as strict:
        strict.post("/predict", {"inputs": long}, 422)
        same_labels(strict.post("/predict", {"inputs": long, "truncate": True}), expected(CLASSIFY, long))


@test
def answers_are_finite():
    """A text without a finite answer gets 424; others of the same batch, and the server's health, do not mind."""
    with Server(with_infinite_word(CLASSIFY, "bad")) as other:
        for _ in range(4):
            error = other.post("/predict", {"inputs": [["good"], ["a bad film"], ["film"]]}, code=424)
            assert error["error_type"] == "backend" and "text 1: " in error["error"] and "not finite" in error["error"]
        same_labels(other.post("/predict", {"inputs": "good"}), expected(CLASSIFY, "good"))
        assert other.send("GET", "/health")[0] == 200
    with Server(with_infinite_word("bert-tag", "bad")) as other:
        assert "not finite" in other.post("/", {"inputs": "a bad film"}, code=424)["error"]


@test
def embed():
    wanted = expected(EMBED, TEXT)
    same_vector(server.post("/embed", {"inputs": TEXT})[0], unit(wanted))
    two = server.post("/embed", {"inputs": [TEXT, "bad"], "normalize": False})
    same_vector(two[0], wanted)
    same_vector(two[1], expected(EMBED, "bad"))
    assert len(server.post("/embed", {"inputs": TEXT, "dimensions": 4})[0]) == 4


@test
def what_is_asked_of_vectors():
    changes = {"config_sentence_transformers.json": {"prompts": {"query": "very good "}, "similarity_fn_name": "dot"}}
    plain = expected("package-old-dense", "film")
    wanted = expected("package-old-dense", "very good film")
    with Server(folder("package-old-dense", "asked", changes)) as other:
        for path, body in (("/embed", {"inputs": "film", "normalize": False}),
                           ("/", {"inputs": "film", "parameters": {"normalize": False}})):
            same_vector(other.post(path, body)[0], plain)
            named = {**body, "prompt_name": "query"} if path != "/" else {**body, "parameters": {**body["parameters"], "prompt_name": "query"}}
            same_vector(other.post(path, named)[0], wanted)
        same_vector(other.post("/v1/embeddings", {"input": "film", "prompt_name": "query"})["data"][0]["embedding"], unit(wanted))
        dot = other.post("/similarity", {"inputs": {"source_sentence": "a", "sentences": ["film"]}, "prompt_name": "query"})
        close(dot[0], sum(x * y for x, y in zip(expected("package-old-dense", "very good a"), wanted)), 1e-5)
        for path, body, code in (("/embed", {"inputs": "a"}, 422), ("/", {"inputs": "a"}, 422), ("/v1/embeddings", {"input": "a"}, 400)):
            for wrong, words in (({"prompt_name": "bogus"}, "no prompt 'bogus'; it has: query"), ({"dimensions": 9}, "dimensions is 9: the model's vectors have 8")):
                assert words in str(other.post(path, {**body, **wrong}, code)["error"]), path
            other.post(path, {**body, "dimensions": 8})
    with Server(folder("package-old-dense", "own", {"config_sentence_transformers.json": {
            "prompts": {"query": "very good "}, "default_prompt_name": "query", "truncate_dim": 5}})) as other:
        same_vector(other.post("/embed", {"inputs": "film", "normalize": False})[0], wanted[:5])
        same_vector(other.post("/v1/embeddings", {"input": "film"})["data"][0]["embedding"], unit(wanted[:5]))
        assert other.get("/info")["model_type"]["embedding"]["dimensions"] == 5
    unpooled = json.loads((GOLDEN / "checkpoints/package-unpooled/golden.json").read_text())
    with Server(checkpoint("package-unpooled")) as other:  # one batch, whose texts have different prompts
        asked = {"inputs": unpooled["prompt_texts"], "normalize": False}
        with concurrent.futures.ThreadPoolExecutor() as pool:
            answers = list(pool.map(lambda name: (name, other.post("/embed", {**asked, "prompt_name": name})), list(unpooled["prompted"]) * 3))
        for name, vectors in answers:
            for vector, wanted in zip(vectors, unpooled["prompted"][name]):
                same_vector(vector, wanted)
    with Server(model("bert-embed")) as other:  # a plain encoder: the mean, of length 1 when asked for
        same_vector(other.post("/embed", {"inputs": "film", "normalize": False})[0], expected("bert-embed", "film"))
        same_vector(other.post("/embed", {"inputs": "film"})[0], unit(expected("bert-embed", "film")))


@test
def rerank():
    texts = ["good film", "bad", "a"]
    error = server.post("/rerank", {"query": "good", "texts": texts}, 424)
    assert "3 labels, expected 1 or 2" in error["error"] and error["error_type"] == "backend"
    with Server(with_labels(CLASSIFY, "two", 2)) as two:
        found = two.post("/rerank", {"query": "good", "texts": texts, "return_text": True})
        rerank_fits(found, two.post("/rerank", {"query": "good", "texts": texts, "raw_scores": True}), texts)
        for item in found:
            labels = two.post("/predict", {"inputs": ["good", item["text"]]})
            close(item["score"], next(label["score"] for label in labels if label["label"] == "LABEL_1"), 2e-6)
    with Server(with_labels("bert-classify", "one", 1)) as one:
        found = one.post("/rerank", {"query": "good", "texts": texts, "return_text": True})
        raw = one.post("/rerank", {"query": "good", "texts": texts, "raw_scores": True})
        rerank_fits(found, raw, texts)
        for a, b in zip(found, raw):
            assert a["index"] == b["index"]
            close(a["score"], 1 / (1 + math.exp(-b["score"])))
            close(a["score"], one.post("/predict", {"inputs": ["good", a["text"]]})[0]["score"], 2e-6)


@test
def embed_sparse():
    """As Text Embeddings Inference writes them: the numbers of the golden file that are not 0."""
    golden = json.loads((pathlib.Path(checkpoint("splade-max")) / "golden.json").read_text())
    with Server(model("splade-max")) as other:
        found = other.post("/embed_sparse", {"inputs": golden["texts"]})
        for row, wanted in zip(found, golden["outputs"]):
            assert [item["index"] for item in row] == [i for i, value in enumerate(wanted) if value > 0]
            for item in row:
                close(item["value"], wanted[item["index"]], 1e-5)
        assert other.post("/embed_sparse", {"inputs": golden["texts"][0]}) == found[:1]
        assert "/embed_sparse" in other.post("/embed", {"inputs": "a"}, 424)["error"]
        assert "/embed_sparse" in other.post("/v1/embeddings", {"input": "a"}, 400)["error"]["message"]
        a, b = golden["outputs"][:2]
        dot = other.post("/similarity", {"inputs": {"source_sentence": golden["texts"][0], "sentences": [golden["texts"][1]]}})
        close(dot[0], sum(x * y for x, y in zip(a, b)), 1e-4)
    with Server(model("distilbert-classify")) as other:
        error = other.post("/v1/embeddings", {"input": "a"}, 400)["error"]
        assert error["type"] == "invalid_request_error", error
        assert error["message"] == "/v1/embeddings needs a model that embeds; the one that is served answers /predict", error
    assert "not sparse: /embed" in server.post("/embed_sparse", {"inputs": "a"}, 424)["error"]


@test
def cross_encoders():
    """Scores are those of CrossEncoder.predict, which the golden file has."""
    for name in "cross-identity", "cross-tanh", "cross-labels":
        golden = json.loads((pathlib.Path(checkpoint(name)) / "golden.json").read_text())
        with Server(model(name)) as other:
            for pair, scores, logits in zip(golden["texts"], golden["scores"], golden["outputs"]):
                for function, wanted in (False, scores), (True, logits):
                    found = other.post("/predict", {"inputs": pair, "raw_scores": function})
                    for a, b in zip(sorted(label["score"] for label in found), sorted(wanted)):
                        close(a, b, 1e-5)
                ranked = other.post("/rerank", {"query": pair[0], "texts": [pair[1]]})[0]["score"]
                close(ranked, scores[0] if len(scores) == 1 else 1 / (1 + math.exp(logits[0] - logits[1])), 1e-5)


def rerank_fits(found, raw, texts):
    """The same texts, each list best first."""
    assert sorted(item["index"] for item in raw) == [0, 1, 2]
    assert sorted(item["index"] for item in found) == [0, 1, 2]
    assert [item["text"] for item in found] == [texts[item["index"]] for item in found]
    assert [item["score"] for item in found] == sorted((item["score"] for item in found), reverse=True)
    assert [item["score"] for item in raw] == sorted((item["score"] for item in raw), reverse=True)


@test
def a_pair_is_cut_at_the_left():
    words = TEXT.split() * 30
    with Server(model("bert-regression")) as other:
        room = other.get("/info")["max_input_length"] - 3 - 1  # [CLS], [SEP] twice, and the query's one word
        ask = {"query": "good", "raw_scores": True}
        for direction, rest in (("Left", words[-room:]), ("Right", words[:room])):
            cut = other.post("/rerank", {**ask, "texts": [" ".join(words)], "truncation_direction": direction})
            assert cut == other.post("/rerank", {**ask, "texts": [" ".join(rest)]}), direction
    left = HERE / "left"
    shutil.copytree(checkpoint(CLASSIFY), left)
    settings = json.loads((left / "tokenizer_config.json").read_text())
    (left / "tokenizer_config.json").write_text(json.dumps({**settings, "truncation_side": "left"}))
    with Server(left) as other:
        room = other.get("/info")["max_input_length"] - 2
        for direction, rest in ((None, words[-room:]), ("left", words[-room:]), ("right", words[:room])):
            cut = other.post("/predict", {"inputs": " ".join(words), "truncation_direction": direction})
            assert cut == other.post("/predict", {"inputs": " ".join(rest)}), direction


@test
def similarity():
    found = server.post("/similarity", {"inputs": {"source_sentence": TEXT, "sentences": [TEXT, "bad"]}})
    a, b = unit(expected(EMBED, TEXT)), unit(expected(EMBED, "bad"))
    close(found[0], 1, 1e-6)
    close(found[1], sum(x * y for x, y in zip(a, b)), 1e-5)


@test
def tokenize():
    text = "Caf\u00e9 [SEP] goo \U0001f600d"
    wanted = rows("tokenize", model(CLASSIFY), text, "--special-as-text")[0]
    found = server.post("/tokenize", {"inputs": text})[0]
    assert [token["id"] for token in found] == wanted["ids"]
    assert found[0]["special"] and found[-1]["special"] and not any(token["special"] for token in found[1:-1])
    for token in found[1:-1]:
        assert token["text"] == text[token["start"]:token["stop"]]
    bare = server.post("/tokenize", {"inputs": [text, "a"], "add_special_tokens": False})
    assert bare[0] == found[1:-1] and len(bare[1]) == 1


@test
def info_and_health():
    info = server.get("/info")
    assert info["model_id"] == CLASSIFY and info["max_client_batch_size"] == 8 and info["models"] == [CLASSIFY, EMBED]
    assert info["model_dtype"] == "float32" and info["recipe"] == "fp32"
    labels = info["model_type"]["classifier"]
    assert {v: int(k) for k, v in labels["id2label"].items()} == labels["label2id"]
    for path in ("/health", "/health/live", "/health/ready", "/ping", "/"):
        assert server.get(path)["status"] in ("live", "ready")
    status, headers, page = server.send("GET", "/", headers={"Accept": "text/html,*/*"})
    assert status == 200 and page.startswith(b"<!doctype html>") and headers["content-type"].startswith("text/html")
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy
    assert server.send("HEAD", "/health")[0] == 200


@test
def types_of_weights():
    wide = model("distilbert-wide")
    made = {"bfloat16": ("import", checkpoint("distilbert-wide"), "--dtype", "bf16"), "int8": ("quantize", wide),
            "int4": ("quantize", wide, "--recipe", "int4", "--embeddings", 8),
            "int3": ("quantize", wide, "--recipe", "int4", "--bits", 3, "--embeddings", 8),
            "int2": ("quantize", wide, "--recipe", "int4", "--bits", 2, "--embeddings", 8)}
    for dtype, words in made.items():
        rows(*words, "-o", HERE / f"{dtype}.retort")
        recipe = rows("info", HERE / f"{dtype}.retort")[0]["recipe"]
        with Server(HERE / f"{dtype}.retort") as other:
            info = other.get("/info")
            assert (info["model_dtype"], info["recipe"]) == (dtype, recipe), (dtype, info)


@test
def headers_of_answers():
    _, headers, _ = server.send("POST", "/predict", {"inputs": TEXT}, {"X-Request-Id": "abc-1"})
    assert headers["x-request-id"] == "abc-1" and headers["x-compute-tokens"] == "6"
    assert headers["x-compute-characters"] == str(len(TEXT)) and int(headers["x-total-time"]) >= 0
    parts = dict(part.strip().split(";dur=") for part in headers["server-timing"].split(","))
    assert float(parts["total"]) >= float(parts["inference"]) > 0
    _, first, _ = server.send("GET", "/health", headers={"X-Request-Id": "no good \u00e9"})
    _, second, _ = server.send("GET", "/health")
    assert re.fullmatch(r"[0-9a-f]{16}", first["x-request-id"]) and first["x-request-id"] != second["x-request-id"]


# ---- Hugging Face, OpenAI, Open Inference Protocol ----


@test
def hugging_face():
    good = expected(CLASSIFY, TEXT)
    same_labels(server.post("/", {"inputs": TEXT}), good)
    nested = server.post("/", {"inputs": TEXT, "parameters": {}})
    assert len(nested) == 1
    same_labels(nested[0], good)
    both = server.post("/", {"inputs": [TEXT, {"text": "good", "text_pair": "bad"}], "parameters": {"top_k": 1}})
    assert [len(labels) for labels in both] == [1, 1] and both[0][0] == nested[0][0]
    sigmoid = server.post("/", {"inputs": TEXT, "parameters": {"function_to_apply": "sigmoid"}})[0]
    plain = server.post("/", {"inputs": TEXT, "parameters": {"function_to_apply": "none"}})[0]
    for a, b in zip(sigmoid, plain):
        close(a["score"], 1 / (1 + math.exp(-b["score"])), 1e-6)
    server.post("/", {"inputs": TEXT, "parameters": {"function_to_apply": "relu"}}, 422)
    vector = server.post("/", {"inputs": TEXT, "model": EMBED})[0]
    same_vector(vector, unit(expected(EMBED, TEXT)))


@test
def entities_answers_guesses():
    with Server(model("bert-tag"), model("distilbert-answer"), model("bert-fill"), "--cache", 10) as parts:
        text = "this was a very good film , with great acting !"
        wanted = rows("run", model("bert-tag"), text)[0]["entities"]
        found = parts.post("/", {"inputs": text})
        assert [(e["start"], e["end"], e["entity_group"], e["word"]) for e in found] == [(e["start"], e["end"], e["label"], e["text"]) for e in wanted]
        for a, b in zip(found, wanted):
            close(a["score"], b["score"], 1e-6)
        assert parts.post("/", {"inputs": [text, "a", text], "parameters": {}}) == [found, parts.post("/", {"inputs": "a"}), found]
        assert parts.post("/", {"inputs": text.upper()})[0]["word"].isupper(), "equal ids are not equal texts"
        question, context = "is this good ?", "the film is good " * 30
        body = {"inputs": {"question": question, "context": context}, "model": "distilbert-answer"}
        wanted = rows("run", model("distilbert-answer"), question + "\t" + context)[0]
        found = parts.post("/", body)
        assert found["answer"] == wanted["answer"] == context[found["start"]:found["end"]]
        close(found["score"], wanted["score"], 1e-6)
        assert parts.post("/", {**body, "inputs": [body["inputs"]]}) == [found]
        for wrong in ("a", {"question": "a"}, {"context": "a"}, {"question": 1, "context": "a"}, {"question": question * 50, "context": "a"}):
            assert parts.post("/", {**body, "inputs": wrong}, 422)["error"]
        text = "a very [MASK] film"
        wanted = rows("run", model("bert-fill"), text, "--top", 3)[0]["fill"][0]
        found = parts.post("/", {"inputs": text, "parameters": {"top_k": 3}, "model": "bert-fill"})
        assert [(g["token"], g["token_str"]) for g in found] == [(g["id"], g["piece"]) for g in wanted]
        assert found[0]["sequence"] == text.replace("[MASK]", found[0]["token_str"].removeprefix("##"))
        assert len(parts.post("/", {"inputs": text, "model": "bert-fill"})) == 5
        assert [len(g) for g in parts.post("/", {"inputs": text + " [MASK]", "model": "bert-fill"})] == [5, 5]
        assert "mask" in parts.post("/", {"inputs": "a film", "model": "bert-fill"}, 422)["error"]
        assert len(parts.post("/", {"inputs": text, "parameters": {"top_k": 1000}, "model": "bert-fill"})) == 100
        assert "expected 1 to 1000" in parts.post("/", {"inputs": text, "parameters": {"top_k": 1001}, "model": "bert-fill"}, 422)["error"]
        assert parts.get("/info")["task"] == "tag" and "mask_token" not in parts.get("/info")
        assert parts.get("/models/bert-fill/info")["mask_token"] == "[MASK]"
        refused = parts.post("/v2/models/bert-fill/infer", {"inputs": [text_input("a")]}, 404)["error"]
        assert refused.startswith("/v2/models/bert-fill/infer needs a model that classifies, embeds or tags"), refused
        parts.post("/predict", {"inputs": "a"}, 424)
        assert parts.post("/tokenize", {"inputs": "a"})


def same_answer(found, wanted, inputs, where):
    """As a pipeline's, but for the words of entities, which are the text's own and not made of pieces."""
    if isinstance(wanted, list):
        assert len(found) == len(wanted), (where, found, wanted)
        for a, b in zip(found, wanted):
            same_answer(a, b, inputs, where)
    elif isinstance(wanted, dict):
        assert found.keys() == wanted.keys(), (where, found, wanted)
        for key, value in wanted.items():
            if key == "word" and "entity_group" in wanted:
                value = inputs[wanted["start"]:wanted["end"]]
            same_answer(found[key], value, inputs, where)
    elif isinstance(wanted, float):
        assert abs(found - wanted) < 2e-5, (where, found, wanted)
    else:
        assert found == wanted, (where, found, wanted)


@test
def parameters_like_transformers():
    cases = json.loads((GOLDEN / "parameters.json").read_text())
    names = sorted({case["model"] for case in cases})
    with Server(*map(model, names)) as all_tasks:
        for case in cases:
            body = {key: case[key] for key in ("inputs", "parameters", "model")}
            found = all_tasks.post("/", body)
            if "function_to_apply" in case["parameters"] or isinstance(found[0] if isinstance(found, list) and found else None, list) \
                    and case["model"] in ("bert-classify", "bert-multilabel"):
                found = found[0]  # huggingface_hub takes the first of a list of lists
            same_answer(found, case["answer"], case["inputs"], body)


@test
def parameters_are_checked():
    with Server(model("bert-tag"), model("bert-answer"), model("bert-fill"), model("bert-classify"), "--max-client-batch-size", 128) as parts:
        question = {"question": "is this good ?", "context": "a film"}
        for name, inputs, parameters, words in (
                ("bert-tag", TEXT, {"aggregation_strategy": "bogus"}, "'bogus' is not one of none|simple|first|average|max"),
                ("bert-tag", TEXT, {"aggregation_strategy": 3}, "expected a string"),
                ("bert-tag", TEXT, {"aggregation_strategy": "none", "stride": 3}, "stride 3"),
                ("bert-tag", TEXT, {"stride": 40}, "do not advance"),
                ("bert-tag", TEXT, {"ignore_labels": [1]}, "a string or a list of strings"),
                ("bert-tag", TEXT, {"top_k": 3}, "unknown field 'parameters.top_k': expected one of aggregation_strategy"),
                ("bert-answer", question, {"top_k": 0}, "parameters.top_k is 0: expected 1 to 1000"),
                ("bert-answer", question, {"doc_stride": 30, "max_seq_len": 20}, "do not advance"),
                ("bert-answer", question, {"max_seq_len": 1000}, "the model takes at most"),
                ("bert-answer", question, {"align_to_words": "yes"}, "expected a boolean"),
                ("bert-answer", question, {"candidate_labels": ["a"]}, "unknown field"),
                ("bert-fill", "a [MASK]", {"targets": []}, "empty"),
                ("bert-fill", "a [MASK]", {"targets": [" "]}, "has no piece"),
                ("bert-fill", "a [MASK]", {"targets": [["a"]]}, "a string or a list of strings"),
                ("bert-classify", TEXT, {"hypothesis_template": "{}"}, "unknown field"),
                ("bert-classify", TEXT, {"candidate_labels": []}, "at least one label"),
                ("bert-classify", TEXT, {"candidate_labels": " , "}, "at least one label"),
                ("bert-classify", TEXT, {"candidate_labels": ["a"], "hypothesis_template": "no place"}, "expected one {}"),
                ("bert-classify", TEXT, {"candidate_labels": ["a"], "top_k": 1}, "unknown field"),
                ("bert-classify", TEXT, {"candidate_labels": ["a" * 900000], "hypothesis_template": "{0}" * 300000}, "exceed 16777216 bytes"),
                ("bert-classify", TEXT, {"candidate_labels": ["a"] * 100, "hypothesis_template": " " * 400000 + "{}"}, "exceed 16777216 bytes"),
                ("bert-classify", {"text": "a", "text_pair": "b"}, {"candidate_labels": ["a"]}, "hypothesis is the second text"),
                ("bert-classify", TEXT, {"candidate_labels": ["a"] * 200}, "max_client_batch_size, which is 128"),
                ("bert-classify", TEXT, {"function_to_apply": "relu"}, "not one of softmax|sigmoid|none")):
            error = parts.post("/", {"inputs": inputs, "parameters": parameters, "model": name}, 422)["error"]
            assert words in error, (parameters, error)
        wanted = parts.post("/", {"inputs": TEXT, "parameters": {}, "model": "bert-tag"})
        for same in ({"aggregation_strategy": "SIMPLE"}, {"grouped_entities": True}, {"ignore_labels": "O"}):
            assert parts.post("/", {"inputs": TEXT, "parameters": same, "model": "bert-tag"}) == wanted
        none = parts.post("/", {"inputs": TEXT, "parameters": {"grouped_entities": False}, "model": "bert-tag"})
        assert none and all("entity" in token for token in none)
        two = parts.post("/", {"inputs": [TEXT, "bad"], "parameters": {"candidate_labels": ["good", "bad"]}, "model": "bert-classify"})
        one = parts.post("/", {"inputs": "bad", "parameters": {"candidate_labels": ["good", "bad"]}, "model": "bert-classify"})
        assert two[1] == one and two[0]["sequence"] == TEXT and sorted(one["labels"]) == ["bad", "good"]
        cut = {"question": "is this good ? " * 3, "context": "a good film"}
        short = {"question": "is this good ?", "context": "a good film"}
        assert parts.post("/", {"inputs": cut, "parameters": {"max_question_len": 4}, "model": "bert-answer"}) == \
            parts.post("/", {"inputs": short, "parameters": {}, "model": "bert-answer"})


@test
def long_texts_are_tagged_to_their_end():
    text = "a very good film , with great acting and a bad play . " * 8
    with Server(model("bert-tag")) as tags:
        limit = tags.get("/info")["max_input_length"]
        whole = tags.post("/", {"inputs": text, "parameters": {}})
        assert whole[-1]["end"] > len(text) * 0.9 and [e["start"] for e in whole] == sorted(e["start"] for e in whole)
        tokens = tags.post("/", {"inputs": text, "parameters": {"aggregation_strategy": "none", "ignore_labels": []}})
        wanted = [token for token in tags.post("/tokenize", {"inputs": text})[0] if not token["special"]]
        assert [(t["start"], t["end"]) for t in tokens] == [(t["start"], t["stop"]) for t in wanted] and len(tokens) > 2 * limit
        assert [t["index"] for t in tokens] == list(range(1, len(tokens) + 1))
        tokens_of = lambda more: int(tags.send("POST", "/", {"inputs": text, "parameters": more})[1]["x-compute-tokens"])
        windows = -(-len(tokens) // (limit - 2))
        assert tokens_of({"stride": 0}) == windows * limit and tokens_of({"truncate": True}) == limit
        assert tokens_of({"stride": limit - 3}) == (len(tokens) - (limit - 2) + 1) * limit, "a window a token is not for nothing"
        cut = tags.post("/", {"inputs": text, "parameters": {"aggregation_strategy": "none", "ignore_labels": [], "truncate": True}})
        assert cut == tokens[:limit - 2]


@test
def protocol_v2_tags():
    texts = ["this was a very good film", "a"]
    with Server(model("bert-tag"), model("bert-fill")) as tags:
        meta = tags.get("/v2/models/bert-tag")
        assert [i["name"] for i in meta["inputs"]] == ["text"] and [o["name"] for o in meta["outputs"]] == ["label_ids", "labels", "scores", "offsets"]
        assert tags.get("/v2/models/bert-fill")["inputs"] == tags.get("/v2/models/bert-fill")["outputs"] == []
        outputs = {o["name"]: o for o in tags.post("/v2/models/bert-tag/infer", {"inputs": [text_input(*texts)]})["outputs"]}
        assert [o["datatype"] for o in outputs.values()] == [o["datatype"] for o in meta["outputs"]]
        names = tags.get("/info")["model_type"]["classifier"]["id2label"]
        tokens = tags.post("/", {"inputs": texts[0], "parameters": {"aggregation_strategy": "none", "ignore_labels": []}, "model": "bert-tag"})
        n = len(tokens)
        assert outputs["label_ids"]["shape"] == [2, n] and outputs["offsets"]["shape"] == [2, n, 2]
        assert [names[str(i)] for i in outputs["label_ids"]["data"][:n]] == outputs["labels"]["data"][:n] == [t["entity"] for t in tokens]
        assert outputs["scores"]["data"][:n] == [t["score"] for t in tokens]
        assert outputs["offsets"]["data"][:2 * n] == [x for t in tokens for x in (t["start"], t["end"])]
        assert outputs["label_ids"]["data"][n + 1:] == [-100] * (n - 1) and outputs["labels"]["data"][n + 1:] == [""] * (n - 1)
        only = tags.post("/v2/models/bert-tag/infer", {"inputs": [text_input("a")], "outputs": [{"name": "label_ids"}]})["outputs"]
        assert [o["name"] for o in only] == ["label_ids"]
        for wrong in ({"inputs": [text_input("a")], "outputs": [{"name": "logits"}]}, {"inputs": [text_input("a", "b", shape=[1, 2])]}, {"inputs": [{"name": "input_ids", "shape": [1, 1], "datatype": "INT64", "data": [5]}]},
                      {"inputs": [text_input("a")], "outputs": [{"name": "scores", "parameters": {"classification": 1}}]}):
            assert tags.post("/v2/models/bert-tag/infer", wrong, 400)["error"]
        unknown = {"inputs": [text_input("a")], "outputs": [{"name": "logits"}]}
        assert "it has label_ids, labels, scores, offsets" in tags.post("/v2/models/bert-tag/infer", unknown, 400)["error"]


@test
def openai():
    wanted = unit(expected(EMBED, TEXT))
    answer = server.post("/v1/embeddings", {"input": TEXT, "model": EMBED})
    same_vector(answer["data"][0]["embedding"], wanted)
    assert answer["object"] == "list" and answer["model"] == EMBED and answer["usage"] == {"prompt_tokens": 6, "total_tokens": 6}
    coded = server.post("/v1/embeddings", {"input": [TEXT, "bad"], "model": EMBED, "encoding_format": "base64"})["data"]
    assert [item["index"] for item in coded] == [0, 1]
    bits = base64.b64decode(coded[0]["embedding"], validate=True)
    assert list(struct.unpack(f"<{len(bits) // 4}f", bits)) == [struct.unpack("f", struct.pack("f", x))[0] for x in answer["data"][0]["embedding"]]
    ids = [token["id"] for token in server.post("/tokenize", {"inputs": TEXT, "model": EMBED})[0]]
    assert server.post("/v1/embeddings", {"input": ids, "model": EMBED})["data"][0] == answer["data"][0]
    assert server.post("/v1/embeddings", {"input": [ids, ids], "model": EMBED})["data"][1]["embedding"] == answer["data"][0]["embedding"]
    assert len(server.post("/v1/embeddings", {"input": TEXT, "model": EMBED, "dimensions": 3})["data"][0]["embedding"]) == 3
    for wrong, code in ({"input": TEXT, "model": "gpt"}, 404), ({"input": TEXT, "model": CLASSIFY}, 404), ({"input": 7, "model": EMBED}, 400), \
            ({"input": [ids, "a"], "model": EMBED}, 400), ({"input": [1e3], "model": EMBED}, 400), \
            ({"input": TEXT, "model": EMBED, "dimensions": 1000}, 400), ({"input": [10 ** 9], "model": EMBED}, 400):
        error = server.post("/v1/embeddings", wrong, code)["error"]
        assert set(error) == {"message", "type", "param", "code"} and error["message"]
    models = server.get("/v1/models")["data"]
    assert {item["id"] for item in models} == {CLASSIFY, EMBED}
    assert [server.get(f"/v1/models/{item['id']}") for item in models] == models
    assert "'none'" in server.get("/v1/models/none", 404)["error"]["message"]
    with Server(model(EMBED)) as only:  # one model: its name does not matter
        only.post("/v1/embeddings", {"input": TEXT, "model": "text-embedding-3-small"})


def infer(body, name=CLASSIFY, code=200):
    return server.post(f"/v2/models/{name}/infer", body, code)


def text_input(*texts, shape=None, name="anything"):
    return {"name": name, "shape": shape or [len(texts)], "datatype": "BYTES", "data": list(texts)}


@test
def protocol_v2():
    assert "classification" in server.get("/v2")["extensions"]
    assert server.get("/v2/health/live")["live"] and server.get("/v2/health/ready")["ready"]
    meta = server.get(f"/v2/models/{CLASSIFY}/versions/1")
    assert {output["name"] for output in meta["outputs"]} == {"logits", "probabilities", "label"}
    assert server.get(f"/v2/models/{EMBED}/ready")["ready"]
    assert server.get("/v2/models/none", 404)["error"] and server.get("/v2/models/none/ready", 404)["error"]
    answer = infer({"id": "x", "inputs": [text_input(TEXT, "bad")]})
    assert answer["id"] == "x" and answer["model_name"] == CLASSIFY
    outputs = {output["name"]: output for output in answer["outputs"]}
    assert outputs["logits"]["shape"] == [2, 3] and outputs["label"]["shape"] == [2]
    same = {name: score for name, score in zip(("negative", "neutral", "positive"), outputs["probabilities"]["data"][:3])}
    for name, score in expected(CLASSIFY, TEXT).items():
        close(same[name], score, 2e-6)
    classes = infer({"inputs": [text_input(TEXT, shape=[1, 1])], "outputs": [{"name": "logits", "parameters": {"classification": 2}}]})
    value, index, label = classes["outputs"][0]["data"][0].split(":")
    assert classes["outputs"][0]["shape"] == [1, 2] and label == outputs["label"]["data"][0] and float(value) == outputs["logits"]["data"][int(index)]
    vector = infer({"inputs": [text_input(TEXT)]}, EMBED)["outputs"][0]
    assert vector["name"] == "embedding"
    same_vector(vector["data"], expected(EMBED, TEXT))


@test
def protocol_v2_ids():
    ids = [[token["id"] for token in tokens] for tokens in server.post("/tokenize", {"inputs": [TEXT, "bad"]})]
    width = max(map(len, ids))
    padded = [row + [0] * (width - len(row)) for row in ids]
    mask = [[1] * len(row) + [0] * (width - len(row)) for row in ids]
    wanted = infer({"inputs": [text_input(TEXT, "bad")]})["outputs"]

    def tensors(*named):
        return [{"name": n, "shape": [2, width], "datatype": "INT64", "data": d} for n, d in named]
    nested = infer({"inputs": tensors(("input_ids", padded), ("attention_mask", mask))})["outputs"]
    flat = infer({"inputs": tensors(("attention_mask", sum(mask, [])), ("input_ids", sum(padded, [])), ("token_type_ids", [0] * 2 * width))})["outputs"]
    assert nested == wanted and flat == wanted
    for wrong in ([text_input(TEXT, shape=[2])], [text_input(TEXT, shape=[-1])], [text_input(TEXT, shape=[1, 2])], [text_input(TEXT, shape=[1, 0])],
                  [text_input(5)], [], [text_input(TEXT), text_input(TEXT)], tensors(("input_ids", [5] * 3)), tensors(("input_ids", [[5] * width, [5]])),
                  tensors(("input_ids", [[10 ** 6] * width] * 2)), tensors(("input_ids", [[-1] * width] * 2)), tensors(("input_ids", [[1.5] * width] * 2)),
                  tensors(("input_ids", padded), ("attention_mask", [[1, 0] + [1] * (width - 2)] * 2)),
                  tensors(("input_ids", padded), ("attention_mask", [[0] * width] * 2)), tensors(("input_ids", [[[]] * width] * 2)),
                  tensors(("input_ids", [[]] * 2 * width)), tensors(("input_ids", padded), ("token_type_ids", [[9] * width] * 2))):
        assert set(infer({"inputs": wrong}, code=400)) == {"error"}
    for value in ("NaN", "Infinity", "1e999", "null", "true", '"5"', "99999999999999999999"):
        body = '{"inputs": [{"name": "input_ids", "shape": [1, 2], "datatype": "INT64", "data": [5, %s]}]}' % value
        assert server.post(f"/v2/models/{CLASSIFY}/infer", body, 400)["error"]
    infer({"inputs": [text_input(TEXT)], "outputs": [{"name": "nothing"}]}, code=400)
    infer({"inputs": [text_input(TEXT)]}, "none", 404)


@test
def protocol_v2_bytes():
    def send(inputs, data, length=None, code=200):
        head = json.dumps({"inputs": inputs}).encode()
        status, _, answer = server.send("POST", f"/v2/models/{CLASSIFY}/infer", head + data,
                                        {"Inference-Header-Content-Length": str(len(head) if length is None else length)})
        assert status == code, (status, answer)
        return json.loads(answer)
    texts = [TEXT.encode(), "caf\u00e9".encode()]
    data = b"".join(struct.pack("<I", len(text)) + text for text in texts)
    named = {"name": "x", "shape": [2], "datatype": "BYTES", "parameters": {"binary_data_size": len(data)}}
    wanted = infer({"inputs": [text_input(TEXT, "caf\u00e9")]})["outputs"]
    assert send([named], data)["outputs"] == wanted
    ids = [token["id"] for token in server.post("/tokenize", {"inputs": TEXT})[0]]
    tensors = [{"name": n, "shape": [1, len(ids) + 1], "datatype": t, "parameters": {"binary_data_size": (len(ids) + 1) * w}}
               for n, t, w in (("attention_mask", "INT64", 8), ("input_ids", "INT32", 4))]
    raw = struct.pack(f"<{len(ids) + 1}q", *[1] * len(ids), 0) + struct.pack(f"<{len(ids) + 1}i", *ids, 0)
    assert send(tensors, raw)["outputs"] == infer({"inputs": [text_input(TEXT)]})["outputs"]
    pair = [{**named, "shape": [1, 2]}]
    assert send(pair, data)["outputs"] == infer({"inputs": [text_input(TEXT, "caf\u00e9", shape=[1, 2])]})["outputs"]
    for inputs, bad in ([named], data[:-1]), (pair, data[:-1]), ([named], b""), (tensors, raw[:-1]), ([{**named, "parameters": {"binary_data_size": 5}}], data), \
            ([{**named, "shape": [3]}], data), ([{**named, "parameters": {"binary_data_size": -1}}], data), \
            ([{**tensors[1], "parameters": {"binary_data_size": 5}}], raw), ([{**tensors[1], "shape": [9, 9]}], raw):
        assert send(inputs, bad, code=400)["error"]
    for length in (0, -1, 10 ** 6, "x", ""):
        send([named], data, length, 400)


@test
def protocol_v2_pairs():
    infer = f"/v2/models/{CLASSIFY}/infer"
    logits = {pair: rows("run", model(CLASSIFY), "--pairs", "\t".join(pair))[0]["logits"] for pair in ((TEXT, "bad"), ("good", "film"), ("bad", "good"))}
    flat = [text for pair in logits for text in pair]
    for data in (flat, [list(pair) for pair in logits]):
        answer = server.post(infer, {"inputs": [{**text_input(shape=[3, 2]), "data": data}], "outputs": [{"name": "logits"}]})["outputs"][0]
        assert answer["shape"] == [3, 3], answer
        for found, wanted in zip(answer["data"], [logit for row in logits.values() for logit in row]):
            close(found, wanted, 2e-6)
    for shape, data in ([1, 3], ["a", "b", "c"]), ([2, 2], ["a", "b", "c"]), ([1, 2], ["a", 1]), ([1, 2], [["a"]]):
        assert server.post(infer, {"inputs": [{**text_input(shape=shape), "data": data}]}, 400)["error"]


@test
def protocol_v2_padding():
    """Of token ids, at the end or, as tokenizers with padding_side left have it, in front: it is cut off."""
    ids = [token["id"] for token in server.post("/tokenize", {"inputs": TEXT})[0]]

    def infer(mask, code=200):
        n, row = len(mask), iter(ids)
        tensors = {"input_ids": [next(row) if one else 0 for one in mask], "attention_mask": mask}
        return server.post(f"/v2/models/{CLASSIFY}/infer", {"inputs": [
            {"name": name, "shape": [1, n], "datatype": "INT64", "data": data} for name, data in tensors.items()]}, code)

    plain = infer([1] * len(ids))["outputs"]
    for left, right in (0, 3), (2, 0), (2, 3):
        assert infer([0] * left + [1] * len(ids) + [0] * right)["outputs"] == plain
    assert "padding must be at the ends" in infer([1] * (len(ids) - 1) + [0, 1], 400)["error"]
    assert "no token" in infer([0, 0], 400)["error"]


@test
def models_in_the_path():
    labels = server.post(f"/models/{CLASSIFY}", {"inputs": TEXT, "parameters": {}})
    assert labels == server.post("/", {"inputs": TEXT, "parameters": {}}) == server.post(f"/v2/models/{CLASSIFY}", {"inputs": TEXT, "parameters": {}})
    assert server.post(f"/models/{EMBED}", {"inputs": TEXT, "model": EMBED}) == server.post("/embed", {"inputs": TEXT})
    assert "names a different model" in server.post(f"/models/{EMBED}", {"inputs": TEXT, "model": CLASSIFY}, 422)["error"]
    assert "'none'" in server.post("/models/none", {"inputs": TEXT}, 404)["error"]
    cosines = {"inputs": {"source_sentence": TEXT, "sentences": ["good", TEXT]}}
    assert server.post(f"/models/{EMBED}", cosines) == server.post("/similarity", cosines)
    error = server.post(f"/models/{EMBED}", {**cosines, "parameters": {"normalize": True}}, 422)["error"]
    assert "normalize" in error
    assert server.post("/", cosines) == server.post("/similarity", cosines)  # the first model that a body is for
    assert server.get(f"/models/{EMBED}/info")["model_id"] == EMBED
    assert "'none'" in server.get("/models/none/info", 404)["error"]
    assert server.get("/models") == server.get("/v1/models")
    assert server.post("/embeddings", {"input": TEXT, "model": EMBED}) == server.post("/v1/embeddings", {"input": TEXT, "model": EMBED})


@test
def documents_ranked():
    """Cohere's and Jina's form; where a body has documents also at /rerank."""
    texts = [TEXT, "bad", "good film"]
    with Server(model("bert-regression")) as ranker:
        wanted = ranker.post("/rerank", {"query": "film", "texts": texts, "return_text": True})
        body = {"model": "any", "query": "film", "documents": [TEXT, {"text": "bad"}, "good film"]}
        for path in "/v1/rerank", "/v2/rerank", "/rerank":
            answer = ranker.post(path, body)
            assert answer["results"] == [{"index": one["index"], "relevance_score": one["score"], "document": {"text": one["text"]}} for one in wanted]
            assert answer["id"] and answer["usage"]["total_tokens"] > 0
            short = ranker.post(path, {**body, "top_n": 1, "return_documents": False})["results"]
            assert short == [{"index": wanted[0]["index"], "relevance_score": wanted[0]["score"]}]
            assert len(ranker.post(path, {**body, "top_n": 9})["results"]) == 3
            code = 422 if path == "/rerank" else 400
            for wrong in {"documents": []}, {"documents": "a"}, {"documents": [1]}, {"documents": [{"text": 1}]}, {"documents": [{"title": "a"}]}, \
                    {"top_n": 0}, {"rank_fields": ["a"]}, {"texts": ["a"]}:
                ranker.post(path, {**body, **wrong}, 400 if wrong == {"documents": []} else code)
        for wrong in {"top_n": 1}, {"return_documents": False}:
            error = ranker.post("/rerank", {"query": "film", "texts": texts, **wrong}, 422)["error"]
            assert next(iter(wrong)) in error
        assert "return_documents" in ranker.post("/rerank", {**body, "return_text": True}, 422)["error"]


@test
def decode():
    ids = [token["id"] for token in server.post("/tokenize", {"inputs": TEXT})[0]]
    assert server.post("/decode", {"ids": ids}) == [TEXT]
    assert server.post("/decode", {"ids": [ids, ids[1:2], []]}) == [TEXT, TEXT.split()[0], ""]
    assert server.post("/decode", {"ids": ids, "skip_special_tokens": False}) == [f"[CLS] {TEXT} [SEP]"]
    for wrong in [10 ** 6], [-1], [2 ** 40], [[5], [10 ** 6]]:
        assert "which is not an id of the vocabulary" in server.post("/decode", {"ids": wrong}, 422)["error"]
    for wrong in "a", 5, ["a"], [[5], 5], [5, [5]], [1.5], None:
        server.post("/decode", {"ids": wrong}, 422)
    server.post("/decode", {"ids": []}, 400)
    with Server(model(CLASSIFY), "--max-queue-tokens", 100) as small:
        assert "max_queue_tokens is 100" in small.post("/decode", {"ids": [5] * 101}, 413)["error"]


@test
def pages_of_other_origins():
    page, ask = {"origin": "https://a.example"}, {"access-control-request-method": "POST", "access-control-request-headers": "content-type"}
    assert server.send("OPTIONS", "/predict", None, {**page, **ask})[0] == 405
    assert "access-control-allow-origin" not in server.send("GET", "/health", None, page)[1]
    for origins, found in ("*", "*"), ("https://b.example,https://a.example", "https://a.example"), ("https://a.example.org,http://a.example", None):
        with Server(model(CLASSIFY), "--cors-allow-origin", origins, "--api-keys", file("cors-keys", "secret\n")) as open_server:
            status, headers, body = open_server.send("OPTIONS", "/predict", None, {**page, **ask})
            assert status == 204 and body == b"" and headers.get("access-control-allow-origin") == found
            assert ("access-control-allow-headers" in headers) == (found is not None)
            status, headers, _ = open_server.send("POST", "/predict", {"inputs": "a"}, {**page, "authorization": "Bearer secret"})
            assert status == 200 and headers.get("access-control-allow-origin") == found and headers.get("vary") == (None if found == "*" else "origin")
            assert open_server.send("POST", "/predict", {"inputs": "a"}, page)[0] == 401
            assert open_server.send("OPTIONS", "/predict")[0] == 405


@test
def embed_all():
    """The vectors of tokens, whose mean is the text's."""
    texts = [TEXT, "bad", TEXT]
    vectors = server.post("/embed_all", {"inputs": texts})
    assert vectors[0] == vectors[2] and server.post("/embed_all", {"inputs": "bad"}) == vectors[1:2]
    assert [len(rows) for rows in vectors] == [len(ids) for ids in server.post("/tokenize", {"inputs": texts})]
    for rows_of_text, wanted in zip(vectors, server.post("/embed", {"inputs": texts})):
        same_vector(unit([sum(column) / len(rows_of_text) for column in zip(*rows_of_text)]), wanted)
    with Server(model("package-dense"), model(CLASSIFY)) as first:
        assert "prune-rows" in first.post("/embed_all", {"inputs": TEXT}, 424)["error"]
        assert first.post("/embed_all", {"inputs": TEXT, "model": CLASSIFY}, 404)["error"]
    with Server(model("package-dense", without="prune-rows")) as whole:
        assert len(whole.post("/embed_all", {"inputs": TEXT})[0]) == len(vectors[0])


# ---- Wrong requests ----


@test
def malformed():
    for body in (b"", b"{", b'{"inputs": "a"', b"[1,", b'{"inputs": "a"} x', b'{"inputs": "\xff"}', b'{"inputs": "\xed\xa0\x80"}', b'{"inputs": "\\ud800"}',
                 b'{"inputs": "a", "inputs": "b"}', b'{"inputs": NaN}', b'{"inputs": 1e999}', b"[" * 2000, b'{"inputs": "a\nb"}', b"\x00", b'{"inputs": "a"}\x00',
                 b"nul", b'{"a"', b'{"inputs": "a\\', b'{"inputs": "\\u12', b"-", b"01", b'{"inputs":"a",}', b"\xef\xbb\xbf{}"):
        error = server.post("/predict", body, 400)
        assert error["error"].startswith("JSON: line 1 column") and error["error_type"] == "validation", (body, error)
    server.post("/predict", json.dumps({"inputs": "\U0001f600\u0000 \\ \" caf\u00e9"}))
    server.post("/predict", '{"inputs": "\\ud83d\\ude00\\u0000"}')


@test
def wrong_types():
    for body in ({}, {"inputs": None}, {"inputs": 7}, {"inputs": {"a": 1}}, {"inputs": ["a", 1]}, {"inputs": [["a"], "b"]}, {"inputs": [["a", "b", "c"]]},
                 {"inputs": ["a", "b", "c"]}, {"inputs": [[["a"]]]}, {"inputs": [[]]}, {"inputs": "a", "truncate": 1}, {"inputs": "a", "raw_scores": "yes"},
                 {"inputs": "a", "truncation_direction": "up"}, {"inputs": "a", "model": 3}, [], b'"a"', 7, b"null"):
        assert server.post("/predict", body, 422)["error_type"] == "validation", body
    for path, body in ("/embed", {"inputs": [1]}), ("/embed", {"inputs": "a", "dimensions": 0}), ("/embed", {"inputs": "a", "normalize": 1}), \
            ("/rerank", {"query": "a"}), ("/rerank", {"query": 1, "texts": ["a"]}), ("/similarity", {"inputs": "a"}), \
            ("/similarity", {"inputs": {"source_sentence": "a", "sentences": "b"}}), ("/tokenize", {"inputs": {}}), ("/", {"inputs": {}, "parameters": {}}), \
            ("/", {"inputs": "a", "parameters": 7}), ("/", {"inputs": "a", "parameters": {"top_k": 0}}):
        assert server.post(path, body, 422)["error"], (path, body)
    assert server.post("/predict", {"inputs": []}, 400)["error_type"] == "empty"
    assert server.post("/embed", {"inputs": []}, 400)["error_type"] == "empty"


@test
def unknown_fields_are_refused_by_name():
    """In every object of every route; the schema of /openapi.json says what is known, and that nothing else is."""
    document = server.get("/openapi.json")
    schemas = document["components"]["schemas"]
    forms = {name: schema for name, schema in schemas.items() if schema.get("additionalProperties") is False}
    bodies = {"/predict": {"inputs": "a"}, "/embed": {"inputs": "a"}, "/rerank": {"query": "a", "texts": ["a"]}, "/tokenize": {"inputs": "a"},
              "/similarity": {"inputs": {"source_sentence": "a", "sentences": ["b"]}, "parameters": {}}, "/": {"inputs": "a"},
              "/v1/embeddings": {"input": "a", "model": EMBED}, "/v2/models/{model}/infer": {"inputs": [text_input("a")]},
              "/v2/models/{model}/versions/{version}/infer": {"inputs": [text_input("a")]}, "/embeddings": {"input": "a", "model": EMBED},
              "/decode": {"ids": [5]}, "/embed_all": {"inputs": "a"}, "/embed_sparse": {"inputs": "a"}, "/v1/rerank": {"query": "a", "documents": ["a"]}, "/v2/rerank": {"query": "a", "documents": ["a"]},
              "/models/{model}": {"inputs": "a"}, "/v2/models/{model}": {"inputs": "a"},
              "/models/{model}/pipeline/feature-extraction": {"inputs": "a"}, "/models/{model}/pipeline/sentence-similarity": {
                  "inputs": {"source_sentence": "a", "sentences": ["b"]}}}
    with_body = {path: methods["post"] for path, methods in document["paths"].items() if "requestBody" in methods.get("post", {})}
    assert set(with_body) == set(bodies), "every route with a body is tried"
    for path, operation in with_body.items():
        name = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].rsplit("/", 1)[1]
        assert name in forms and set(bodies[path]) <= set(forms[name]["properties"]), path
        real = path.replace("{model}", EMBED if "pipeline" in path else CLASSIFY).replace("{version}", "1")
        unsuited = 400 if path.startswith("/v") else 424
        server.post(real, bodies[path], unsuited if path.endswith(("/rerank", "/embed_sparse")) else 200)  # a model of three labels is no reranker
        code = 400 if path.endswith(("/embeddings", "/infer")) or re.match("/v./rerank", path) else 422  # OpenAI's form and the protocol
        error = server.post(real, {**bodies[path], "no_such": 1}, code)["error"]
        message = error["message"] if isinstance(error, dict) else error
        assert "unknown field 'no_such'" in message and next(iter(bodies[path])) in message, message
    for path, body, name, code in (
            ("/similarity", {"inputs": {"source_sentence": "a", "sentences": ["b"], "x": 1}}, "inputs.x", 422),
            ("/similarity", {**bodies["/similarity"], "parameters": {"normalize": True}}, "parameters.normalize", 422),
            ("/", {"inputs": "a", "parameters": {"topk": 1}}, "parameters.topk", 422),
            ("/", {"inputs": "a", "normalize": True}, "normalize", 422),  # the model classifies
            ("/", {"inputs": "a", "raw_scores": True, "model": EMBED}, "raw_scores", 422),
            ("/", {"inputs": {"text": "a", "pair": "b"}, "parameters": {}}, "inputs.pair", 422),
            (f"/v2/models/{CLASSIFY}/infer", {"inputs": [{**text_input("a"), "x": 1}]}, "inputs.x", 400),
            (f"/v2/models/{CLASSIFY}/infer", {"inputs": [{**text_input("a"), "parameters": {"x": 1}}]}, "inputs.parameters.x", 400),
            (f"/v2/models/{CLASSIFY}/infer", {"inputs": [text_input("a")], "parameters": {"priority": 1}}, "parameters.priority", 400),
            (f"/v2/models/{CLASSIFY}/infer", {"inputs": [text_input("a")], "outputs": [{"name": "logits", "k": 1}]}, "outputs.k", 400),
            (f"/v2/models/{CLASSIFY}/infer", {"inputs": [text_input("a")], "outputs": [{"name": "logits", "parameters": {"k": 1}}]}, "outputs.parameters.k", 400)):
        assert f"unknown field '{name}'" in server.post(path, body, code)["error"], (path, body)


@test
def fields_that_clients_send():
    """What official clients send beside what a route needs: known, and said to be without effect."""
    plain = server.post("/", {"inputs": TEXT, "parameters": {}})
    options = {"wait_for_model": True, "use_cache": False}
    assert server.post("/", {"inputs": TEXT, "parameters": {}, "options": options, "model": CLASSIFY}) == plain
    assert server.post("/", {"inputs": TEXT, "parameters": {"truncation": True, "padding": "longest", "top_k": None}}) == plain
    vector = {"inputs": TEXT, "model": EMBED, "normalize": True, "truncate": True, "truncation_direction": "Right", "encoding_format": "float"}
    assert server.post("/", vector) == server.post("/embed", {"inputs": TEXT})
    assert "not one of float" in server.post("/", {**vector, "encoding_format": "base64"}, 422)["error"]
    assert server.post("/v1/embeddings", {"input": TEXT, "model": EMBED, "user": "me", "encoding_format": None})["data"]
    triton = {"inputs": [{**text_input(TEXT), "parameters": {"content_type": "str"}}], "parameters": {"binary_data_output": True},
              "outputs": [{"name": "logits", "parameters": {"binary_data": True}}]}
    assert infer(triton)["outputs"][0]["name"] == "logits"
    assert server.get("/openapi.json")["components"]["schemas"]["EmbeddingsRequest"]["properties"]["user"]["x-unused"]


@test
def limits_say_their_name():
    too_many = server.post("/predict", {"inputs": [["a"]] * 9}, 422)
    assert "max_client_batch_size, which is 8" in too_many["error"]
    too_large = server.post("/predict", {"inputs": "a" * 20000}, 413)
    assert "payload_limit is 20000" in too_large["error"]
    members = {f"k{i}": i for i in range(100)}
    assert "members" in server.post("/predict", members, 400)["error"]


@test
def paths_and_methods():
    assert "openapi" in server.get("/nothing", 404)["error"]
    assert "openapi" in server.get("/v1/nothing", 404)["error"]["message"]
    assert server.get("/v2/models//ready", 404)["error"]
    for method, path, allow in ("PATCH", "/", "GET, HEAD, POST"), ("GET", "/predict", "POST"), ("PUT", "/predict", "POST"), ("DELETE", "/health", "GET, HEAD"), ("POST", "/metrics", "GET, HEAD"):
        status, headers, _ = server.send(method, path, b"{}" if method == "POST" else None)
        assert status == 405 and headers["allow"] == allow, (method, path, status)
    server.post("/nothing", {"a": 1}, 404)
    assert server.post("/v2/models/none/infer", {"inputs": [text_input("a")]}, 404)["error"]


@test
def special_tokens_are_text():
    plain = server.post("/tokenize", {"inputs": "a [SEP] b"})[0]
    assert len([token for token in plain if token["special"]]) == 2
    assert server.post("/predict", {"inputs": "a [SEP] b"}) != server.post("/predict", {"inputs": ["a", "b"]})
    with Server(model(CLASSIFY), "--keep-special") as open_server:
        kept = open_server.post("/tokenize", {"inputs": "a [SEP] b"})[0]
        assert len(kept) < len(plain)


@test
def padding_that_positions_skip():
    """RoBERTa: it counts no position. In a text [PAD] is text, unless special tokens are kept."""
    for keep in False, True:
        with Server(model("roberta-answer"), *["--keep-special"] * keep) as server:
            body = {"inputs": {"question": "was it good", "context": "this was a good [PAD] film"}}
            server.post("/", body, 200)
    with Server(model("roberta-classify")) as server:
        def infer(ids, code):
            tensor = {"name": "input_ids", "shape": [1, len(ids)], "datatype": "INT64", "data": ids}
            return server.post("/v2/models/roberta-classify/infer", {"inputs": [tensor]}, code)
        infer([0, 9, 2], 200)
        infer([0, 1, 2], 200)
        assert server.post("/predict", {"inputs": [["a", "b"]]}, 200)


@test
def metrics_count():
    with Server(model(CLASSIFY)) as fresh:
        for _ in range(3):
            fresh.post("/predict", {"inputs": [["a"], ["b"]]})
        fresh.post("/predict", {}, 422)
        # A request ends, and is counted, after its client has the answer.
        wait_until(lambda: fresh.metrics()["retort_inflight"] == 1, "only the scrape itself in flight")
        found = fresh.metrics()
        assert found['retort_requests_total{method="POST",route="/predict",code="200"}'] == 3
        assert found['retort_requests_total{method="POST",route="/predict",code="422"}'] == 1
        name = f'{{model="{CLASSIFY}"}}'
        assert found["retort_texts_total" + name] == 6
        for family in ("request_duration_seconds", "tokenize_seconds", "queue_wait_seconds", "inference_seconds", "batch_sequences", "batch_tokens"):
            counts = [value for key, value in found.items() if key.startswith(f"retort_{family}_bucket")]
            assert counts == sorted(counts) and counts[-1] == found[f"retort_{family}_count{name}"] >= 1, family
        assert f'retort_request_duration_seconds_bucket{{model="{CLASSIFY}",le="5e-05"}}' in found
        assert found["process_resident_memory_bytes"] > 1e6 and found["process_open_fds"] > 3
        text = fresh.send("GET", "/metrics")[2].decode().splitlines()
        families = [line.split()[2] for line in text if line.startswith("# TYPE")]
        assert len(families) == len(set(families)) and len([line for line in text if line.startswith("# HELP")]) == len(families)
        last = None
        for line in text:  # the lines of a family stand together, behind its TYPE
            if line.startswith("# TYPE"):
                last = line.split()[2]
            elif line[0] != "#":
                assert re.match(last + r"(_bucket|_sum|_count)?[{ ]", line), line


@test
def openapi_has_every_route():
    document = server.get("/openapi.json")
    assert document["openapi"].startswith("3.") and len(document["paths"]) > 20
    references = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(document)))
    assert references <= set(document["components"]["schemas"])
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            path_tried = path.replace("{model}", CLASSIFY).replace("{version}", "1")
            status, headers, _ = server.send(method.upper(), path_tried, b"{}" if method == "post" else None)
            assert str(status) in operation["responses"], (method, path, status)
            assert operation["summary"]


@test
def keys():
    path = file("keys.txt", "# two\nfirst-key\n\nsecond-key \n")
    with Server(model(CLASSIFY), "--api-keys", path) as locked:
        body = {"inputs": "a"}
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "first-key"}, {"Authorization": "Bearer first-ke"}, {"Authorization": "Bearer " + "x" * 300}):
            status, answer, _ = locked.send("POST", "/predict", body, headers)
            assert status == 401 and answer["www-authenticate"] == "Bearer"
        for key in ("first-key", "second-key"):
            locked.post("/predict", body, Authorization="Bearer " + key)
        assert locked.send("GET", "/info")[0] == 401 and locked.send("GET", "/health")[0] == 200 and locked.send("GET", "/metrics")[0] == 200
        assert locked.get("/openapi.json")["security"]


@test
def sequences_of_guesses_are_their_ids_decoded():
    """Of one mask without special tokens, of several with them; the guess may be the first piece, go on within a word or be special."""
    with Server(model("bert-fill"), "--keep-special") as server:
        for text in ("a [MASK] film", "[MASK] film", "a [MASK]", "[MASK]", "a [MASK] b [MASK]", "[MASK] [MASK]"):
            ids = [token["id"] for token in server.post("/tokenize", {"inputs": text})[0]]
            masks = [i for i, token in enumerate(server.post("/tokenize", {"inputs": text})[0]) if token["text"] == "[MASK]"]
            found = server.post("/", {"inputs": text, "parameters": {"top_k": 100}})
            for mask, guesses in zip(masks, found if len(masks) > 1 else [found], strict=True):
                assert len(guesses) == 100 and any(guess["token_str"].startswith("##") for guess in guesses)
                whole = [ids[:mask] + [guess["token"]] + ids[mask + 1:] for guess in guesses]
                assert [guess["sequence"] for guess in guesses] == server.post("/decode", {"ids": whole, "skip_special_tokens": len(masks) == 1})


@test
def metrics_escape_what_files_say():
    """A line end in a model file's recipe would write lines of its own into /metrics."""
    data = pathlib.Path(model("distilbert-classify")).read_bytes()
    size = int.from_bytes(data[:8], "little")
    head = json.loads(data[8:8 + size])
    origin = json.loads(head["__metadata__"]["retort.origin"])
    head["__metadata__"]["retort.origin"] = json.dumps({**origin, "recipe": '"} 1\nfalse_metric{x="\x1b[31m\r\\'})
    text = json.dumps(head).encode()
    text += b" " * (-(8 + len(text)) % 64)
    changed = file("odd-recipe.retort", len(text).to_bytes(8, "little") + text + data[8 + size:])
    with Server(changed) as server:
        server.post("/predict", {"inputs": "a"})
        lines = server.send("GET", "/metrics")[2].decode().split("\n")
    assert all(re.fullmatch(r'|# .*|[a-z_]+({([a-z_]+="([^"\\\x00-\x1f]|\\["\\n])*",?)*})? [-+.0-9a-zA-Z]+', line) for line in lines), lines
    assert any(line.startswith('retort_model_info{model="odd-recipe",recipe="\\"} 1\\nfalse_metric{x=\\"') for line in lines), lines


@test
def access_log():
    path = HERE / "access.log"
    with Server(model(CLASSIFY), "--access-log", path) as logged:
        trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
        logged.post("/predict", {"inputs": "a b"}, X_Request_Id="id-1", traceparent=trace)
        logged.post("/predict", {"inputs": 1}, 422)
        moved = HERE / "access.log.1"
        wait_until(lambda: len(path.read_text().splitlines()) == 2, "the lines are written")
        path.rename(moved)
        logged.process.send_signal(signal.SIGHUP)
        wait_until(path.exists, "the log is opened anew")
        logged.get("/health")
        logged.stop()
    assert json.loads(path.read_text().splitlines()[-1])["path"] == "/health"
    path = moved
    lines = sorted(map(json.loads, path.read_text().splitlines()), key=lambda line: line["status"])  # two threads
    assert [line["status"] for line in lines] == [200, 422]
    assert lines[0]["request_id"] == "id-1" and lines[0]["traceparent"] == trace and lines[0]["texts"] == 1 and lines[0]["tokens"] == 4
    assert lines[0]["model"] == CLASSIFY and lines[0]["duration_us"] > 0 and lines[1]["error"] and "a b" not in path.read_text()
    assert path.stat().st_mode & 0o007 == 0


with server:  # it ends with the tests
    main()
