# SPDX-License-Identifier: Apache-2.0
"""Answers of every task, bit for bit those of `retort run`."""
import importlib.util
import os
import pickle
import shutil
import subprocess
import sys
import warnings

from harness import HERE, checkpoint, file, main, raises, retort, test

import numpy

import retort_cpu
from retort_cpu import Error, Model, import_, pipeline

TEXTS = ["good", "a bad film", "the plot [SEP] is thin", "Café, good " * 30, "", "x"]


def same(numbers, texts):
    """Whether float32 numbers are those that the command printed, with 9 digits."""
    return numpy.array_equal(numpy.asarray(numbers, numpy.float32), numpy.asarray(texts, numpy.float32))


@test
def classify():
    for name in ("bert-classify", "distilbert-multilabel", "bert-regression"):
        model = Model(file(name))
        scores, logits = model.scores(TEXTS), model.logits(TEXTS)
        assert scores.dtype == logits.dtype == numpy.float32 and scores.shape == (len(TEXTS), len(model.labels))
        assert scores.flags.c_contiguous and scores.flags.owndata
        answers = model.classify(TEXTS, top_k=None)
        for i, row in enumerate(retort("run", file(name), *TEXTS)):
            assert same(logits[i], row["logits"]), name
            assert [a["label"] for a in answers[i]] == [a["label"] for a in row["labels"]]
            assert same([a["score"] for a in answers[i]], [a["score"] for a in row["labels"]])
        assert model.classify(TEXTS[0]) == answers[0][:1]
        assert numpy.array_equal(model.scores(TEXTS[1]), scores[1])
        assert numpy.array_equal(model.scores(TEXTS, batch_size=2), scores)


@test
def many_texts_and_pairs():
    model = Model(file("bert-classify"))
    many = [TEXTS[i % 4] for i in range(3000)]
    seen = []
    scores = model.scores(many, progress=lambda *state: seen.append(state))
    assert numpy.array_equal(scores, model.scores(TEXTS[:4])[numpy.arange(3000) % 4])
    assert len(seen) > 2 and seen[-1] == ("texts", 3000, 3000)
    pair = model.scores(("good", "film"))
    assert pair.shape == (3,) and numpy.array_equal(model.scores([("good", "film"), "good"])[0], pair)
    assert model.scores([]).shape == (0, 3) and model.classify([]) == []


@test
def embed():
    model = Model(file("bert-embed"))
    vectors = model.embed(TEXTS)
    for vector, row in zip(vectors, retort("run", file("bert-embed"), *TEXTS)):
        assert same(vector, row["embedding"])
    assert numpy.array_equal(model.encode(TEXTS, batch_size=3), vectors)
    assert numpy.array_equal(model.encode(TEXTS[0]), vectors[0])
    unit = model.encode(TEXTS, normalize_embeddings=True)
    assert numpy.allclose(numpy.linalg.norm(unit, axis=1), 1, atol=1e-6)
    assert numpy.allclose(model.similarity(vectors, vectors), unit @ unit.T, atol=1e-6)
    assert model.embed(TEXTS, dimensions=4).shape == (len(TEXTS), 4)
    raises(Error, "dimensions 0", model.embed, TEXTS, dimensions=0)
    raises(Error, "convert_to_tensor", model.encode, TEXTS, convert_to_tensor=True)


@test
def prompts():
    folder = HERE / "prompted"
    shutil.copytree(checkpoint("package-mean"), folder, dirs_exist_ok=True)
    (folder / "config_sentence_transformers.json").write_text('{"prompts": {"query": "the plot "}, "default_prompt_name": null}')
    model = Model(folder)
    assert model.prompts == {"query": "the plot "}
    named = model.encode("good film", prompt_name="query")
    assert not numpy.array_equal(named, model.encode("good film"))
    assert numpy.array_equal(named, model.encode("good film", prompt="the plot "))
    assert numpy.array_equal(named, model.encode(["good film"], prompt_name="query")[0])
    raises(Error, "nobody", model.encode, "good", prompt_name="nobody")


@test
def tag():
    model = Model(file("bert-tag"))
    texts = ["good film", "the plot is thin é good"]
    for text, row in zip(texts, retort("run", file("bert-tag"), *texts)):
        found = model.tag(text)
        assert [(e["entity_group"], e["start"], e["end"]) for e in found] == [(e["label"], e["start"], e["end"]) for e in row["entities"]]
        assert same([e["score"] for e in found], [e["score"] for e in row["entities"]])
        assert all(e["word"] == text[e["start"]:e["end"]] for e in found)
    single = model.tag(texts, "none", ignore=("no label",))
    assert [e["index"] for e in single[0]] == [1, 2]
    assert model.tag(texts)[1] == model.tag(texts[1])
    raises(Error, "aggregation 'best'", model.tag, texts, "best")


@test
def answer():
    model = Model(file("bert-answer"))
    context = "a film the plot is good and é bad"
    rows = retort("run", file("bert-answer"), f"good?\t{context}", "--top", 3)[0]["answers"]
    found = model.answer("good?", context, top_k=3)
    assert [(a["answer"], a["start"], a["end"]) for a in found] == [(a["answer"], a["start"], a["end"]) for a in rows]
    assert same([a["score"] for a in found], [a["score"] for a in rows])
    assert all(context[a["start"]:a["end"]] == a["answer"] for a in found)


@test
def fill():
    model = Model(file("bert-fill"))
    row = retort("run", file("bert-fill"), "[MASK] good [MASK]", "--top", 4)[0]
    found = model.fill("[MASK] good [MASK]", top_k=4)
    assert len(found) == 2 and [len(f) for f in found] == [4, 4]
    assert same([[g["score"] for g in f] for f in found], [[g["score"] for g in mask] for mask in row["fill"]])
    only = model.fill(["good [MASK]"], targets=["good", "bad"])[0]
    assert {g["token_str"] for g in only} == {"good", "bad"}
    raises(Error, "made to fill", model.scores, "good")


@test
def tokens():
    model = Model(file("bert-classify"))
    tokens = model.tokenize(("Good film", "é"))
    row = retort("tokenize", file("bert-classify"), "Good film")[0]
    assert model.tokenize("Good film")["ids"].tolist() == row["ids"]
    assert tokens["types"].tolist()[-1] == 1 and tokens["offsets"].shape == (len(tokens["ids"]), 2)
    assert model.decode(model.tokenize("good film")["ids"]) == "good film"
    assert model.piece(-1) is None


@test
def pipelines():
    classify = pipeline("text-classification", file("bert-classify"))
    assert set(classify("good")[0]) == {"label", "score"} and len(classify(["good", "bad"])) == 2
    assert len(classify("good", top_k=None)) == 3 and len(classify(["good"], top_k=2)[0]) == 2
    assert classify({"text": "good", "text_pair": "film"})[0] == classify(("good", "film"))[0]
    soft = classify("good", top_k=None, function_to_apply="softmax")
    assert [a["label"] for a in soft] == [a["label"] for a in classify("good", top_k=None)]
    assert pipeline("ner", file("bert-tag"), aggregation_strategy="simple")("good film") == Model(file("bert-tag")).tag("good film")
    assert set(pipeline("question-answering", file("bert-answer"))(question="good?", context="good film")) == {"score", "start", "end", "answer"}
    assert len(pipeline("fill-mask", file("bert-fill"))("[MASK]", top_k=2)) == 2
    zero = pipeline("zero-shot-classification", file("bert-classify"))("good film", candidate_labels="film, plot")
    assert set(zero["labels"]) == {"film", "plot"} and abs(sum(zero["scores"]) - 1) < 1e-5
    raises(Error, "expected one of text-classification", pipeline, "translation", file("bert-classify"))
    raises(Error, "made to classify", pipeline, "ner", file("bert-classify"))


@test
def errors():
    raises(Error, "no such file or folder", Model, "nothing.retort")
    broken = HERE / "broken.retort"
    broken.write_bytes(b"no model")
    error = raises(Error, "broken.retort", Model, broken)
    assert error.status == "FORMAT" and pickle.loads(pickle.dumps(error)).status == "FORMAT"
    model = Model(file("bert-classify"))
    raises(TypeError, "expected a str, or a pair of them, found int", model.scores, [1])
    raises(TypeError, "second text of a pair, found int", model.scores, [("a", 1)])
    raises(Error, "top_k 0", model.classify, "good", top_k=0)
    raises(Error, "threads", Model(file("bert-classify"), threads=5000).scores, "good")
    raises(Error, "embed: the model was made to classify", model.embed, "good")
    assert model.scores("lone \ud800 surrogate").shape == (3,)


@test
def pickled_by_path():
    model = Model(file("bert-classify"), threads=1)
    again = pickle.loads(pickle.dumps(model))
    assert numpy.array_equal(again.scores(TEXTS), model.scores(TEXTS)) and again._options == model._options
    raises(TypeError, "save it", pickle.dumps, retort_cpu.quantize(model))


@test
def arguments_of_other_types_are_named():
    model, path = Model(file("distilbert-classify")), file("distilbert-classify")
    for wrong, words in (({"threads": "2"}, "threads '2': expected a whole number, or 0 or None"), ({"threads": 2.5}, "threads 2.5: expected a whole number"),
                         ({"isa": 3}, "isa: expected a str, found int"), ({"special_as_text": "no"}, "special_as_text 'no': expected True or False")):
        raises(TypeError, words, Model, path, **wrong)
    raises(Error, "threads -1: expected at least 1, or 0 or None", Model, path, threads=-1)
    for source in (None, 3, model):
        raises(TypeError, f"model: expected a path, or the name of a model, found {type(source).__name__}", Model, source)
    assert Model(path.encode()).classify("good") == model.classify("good")
    raises(TypeError, "batch_size '8': expected a whole number, or None", model.classify, "good", batch_size="8")
    raises(TypeError, "top_k 1.5: expected a whole number, or None for all", model.classify, "good", top_k=1.5)
    raises(TypeError, "tokenize: expected a str, or a tuple of two, found list", model.tokenize, ["good", "film"])
    raises(TypeError, "found set", model.classify, {"good", "bad"})
    embedder = Model(file("bert-embed"))
    raises(TypeError, "dimensions 2.5: expected a whole number, or None for all", embedder.embed, "good", dimensions=2.5)
    raises(TypeError, "prompt 3: expected a str, or None", embedder.encode, "good", prompt=3)
    raises(TypeError, "similarity: expected vectors, as embed gives them, not texts", embedder.similarity, ["good"], ["bad"])
    raises(Error, "is imported already: Model(path) opens it", import_, path)
    frame = type("DataFrame", (), {"columns": ["text"], "shape": (1, 1), "__iter__": lambda self: iter(self.columns)})()
    raises(TypeError, "found a DataFrame: give one of its columns", model.classify, frame)


@test
def pipelines_take_what_those_of_transformers_take():
    model = Model(file("distilbert-classify"))
    classify, wanted = pipeline("text-classification", model, device="cpu"), [row[0] for row in model.classify(["good", "bad"])]
    assert classify(["good", "bad"], padding=True, batch_size=1) == classify(iter(["good", "bad"]), device=-1) == wanted
    assert repr(classify).startswith("<retort_cpu.Pipeline text-classification: <retort_cpu.Model ")
    raises(Error, "device 'cuda': retort runs on CPUs: expected 'cpu'", pipeline, "text-classification", model, device="cuda")
    raises(Error, "device 0: retort runs on CPUs", pipeline, "text-classification", model, device=0)
    raises(Error, "batch_size 0: expected at least 1", classify, ["good"], batch_size=0)
    raises(Error, "batch_size 0: expected at least 1", classify, ["good"], batch_size=0, function_to_apply="none")
    raises(TypeError, "expected one text, or a list of texts, found 2 arguments", classify, "good", "bad")
    raises(TypeError, "expected one text, or a list of texts, found 0 arguments", classify)
    raises(TypeError, "found NoneType", classify, None)
    answer = pipeline("question-answering", file("bert-answer"))
    asked = {"question": "good?", "context": "good film"}
    assert answer([asked, asked]) == [answer(asked), answer(**asked)]
    raises(TypeError, "expected {'question': …, 'context': …}, found dict", answer, {"question": "good?"})
    raises(TypeError, "found str: 'good?'", answer, "good?")


@test
def the_command():
    done = subprocess.run([sys.executable, "-m", "retort_cpu", "--version"], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0 and retort_cpu.__version__ in done.stdout, done.stderr
    done = subprocess.run([sys.executable, "-m", "retort_cpu", "run", file("bert-classify"), "good", "--json"], capture_output=True, text=True,
                          timeout=300)
    assert done.returncode == 0 and "labels" in done.stdout
    done = subprocess.run([sys.executable, "-m", "retort_cpu", "nothing"], capture_output=True, text=True, timeout=300)
    assert done.returncode == 2


@test
def what_was_wrong_is_said():
    model, embedder = Model(file("bert-classify")), Model(file("bert-embed"))
    for texts in (3, None, b"good", {"good": 1}):
        raises(TypeError, "expected a str, a pair of them, or a list of these", model.scores, texts)
    if importlib.util.find_spec("retort_cpu_sentiment") is None and "RETORT_MODELS" not in os.environ:
        raises(Error, "no model of that name: pip install retort-cpu-sentiment has it", Model, "sentiment")
    raises(TypeError, "text 1: expected a str, or a pair of them, found NoneType", model.classify, ["good", None])
    for size in (0, -3):
        raises(Error, f"batch_size {size}: expected at least 1", model.scores, ["good"], batch_size=size)
        raises(Error, f"batch_size {size}: expected at least 1", embedder.encode, ["good"], batch_size=size)
    assert numpy.array_equal(embedder.encode(("good", "bad")), embedder.encode(["good", "bad"]))  # a tuple is a list there
    tagger, reader, guesser = (Model(file(f"bert-{task}")) for task in ("tag", "answer", "fill"))
    raises(TypeError, "found a pair", tagger.tag, ("good", "bad"))
    raises(TypeError, "tag: ignore: expected a list of str, found 'ORG'", tagger.tag, "good", ignore="ORG")
    raises(TypeError, "answer: context: expected a str, found NoneType", reader.answer, "what", None)
    for name in ("top_k", "max_answer_len"):
        raises(Error, f"{name} 0: expected at least 1", reader.answer, "what", "a film", **{name: 0})
    raises(Error, "top_k 0: expected at least 1", guesser.fill, "the [MASK]", 0)
    assert len(guesser.fill("the [MASK]", 1 << 40)) == guesser.info["vocab"]
    assert guesser.fill("the [MASK]", targets="film") == guesser.fill("the [MASK]", targets=["film"])


@test
def no_language_inference():
    model = Model(file("bert-classify"))
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        model.zero_shot("good", ["film", "plot"])
        pipeline("zero-shot-classification", model)("good", "film, plot")
    assert len(seen) == 2 and all("begins with 'entail'" in str(it.message) and it.filename == __file__ for it in seen), seen
    raises(TypeError, "zero_shot: labels: expected a list of str, found 'film'", model.zero_shot, "good", "film")


@test
def options_of_pipelines():
    model = Model(file("bert-classify"))
    assert pipeline("text-classification", model, truncation=True)("good") == pipeline("text-classification", model)("good", truncation=True)
    raises(Error, "has no option 'topk'; it has top_k,", pipeline, "text-classification", model, topk=2)
    raises(Error, "has no option 'topk'", pipeline("text-classification", model), "good", topk=2)
    raises(Error, "truncation: texts are always cut", pipeline("text-classification", model), "good", truncation=False)
    raises(Error, "expected {'text': …}", pipeline("text-classification", model), {"txt": "good"})
    answers = pipeline("question-answering", file("bert-answer"))(question="what", context="a good film", top_k=2, max_answer_len=2)
    assert answers == Model(file("bert-answer")).answer("what", "a good film", 2, max_answer_len=2)



@test
def numbers_that_c_would_cut():
    model, reader = Model(file("bert-classify")), Model(file("bert-answer"))
    raises(Error, "max_length -1: expected 0 or more, or None for the default", model.tokenize, "a good film", max_length=-1)
    raises(Error, "max_length 18446744073709551618: is too large", model.tokenize, "a good film", max_length=2**64 + 2)
    raises(Error, "threads 4294967297: is too large", Model, file("bert-classify"), threads=2**32 + 1)
    raises(Error, "18446744073709551617: is too large", reader.answer, "what", "a film",
           max_answer_len=2**64 + 1)
    raises(Error, "external_over -1: expected 0 or more", model.export, HERE / "x.onnx", external_over=-1)
    raises(TypeError, "threads '2': expected a whole number", Model, file("bert-classify"), threads="2")
    raises(TypeError, "top_k 1.5: expected a whole number", model.classify, "good", 1.5)
    assert model.piece(2**32 + 5) is None and model.piece(-1) is None and model.piece(5) is not None
    raises(TypeError, "expected a list of whole numbers", model.decode, [[5, 6, 7]])
    raises(TypeError, "expected a list of whole numbers", model.decode, [5.7])
    raises(Error, "1099511627781 is no piece", model.decode, numpy.array([2**40 + 5]))
    raises(Error, "-1 is no piece", model.decode, [5, -1])
    assert model.decode([]) == "" and model.decode(numpy.array([5, 6], numpy.uint8)) == model.decode([5, 6])


@test
def strings_that_c_would_cut():
    model, embedder = Model(file("bert-classify")), Model(file("bert-embed"))
    raises(TypeError, "isa: expected a str, found int: 3", Model, file("bert-classify"), isa=3)  # an address to ctypes
    raises(TypeError, "hypothesis: expected a str", model.zero_shot, "good", ["film"], hypothesis=3)
    raises(TypeError, "zero_shot: expected a str, found tuple", model.zero_shot, ("good", "bad"), ["film"])
    raises(Error, "prompt_name 'x\\x00y': has a NUL character", embedder.embed, "good", prompt_name="x\0y")
    raises(Error, "has a NUL character", model.save, f"{HERE}/cut\0.retort")
    raises(Error, "has a NUL character", Model(file("bert-tag")).tag, "good", ignore=["O\0"])
    assert not (HERE / "cut").exists()
    class Frame:  # of pandas: iterates over the names of its columns
        shape = (2, 1)

        def __iter__(self):
            return iter(["body"])
    raises(TypeError, "expected a str, a pair of them, or a list of these, found Frame", model.scores, Frame())
    zero_shot = pipeline("zero-shot-classification", model)
    assert zero_shot("good", "film,, plot, ") == zero_shot("good", ["film", "plot"])
    assert numpy.array_equal(model.zero_shot("good", (label for label in ("film", "plot"))), model.zero_shot("good", ["film", "plot"]))


main()
