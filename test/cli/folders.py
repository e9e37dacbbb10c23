#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What else a checkpoint's folder says: how its settings change the answers, or are refused by name. Prints TAP.

    folders.py RETORT SOURCE_ROOT EXAMPLES_FOLDER
"""
import json
import math
import pathlib
import sys

sys.dont_write_bytecode = True
from harness import (HERE, checkpoint, close, fails, folder, main, read_safetensors, retort, rows, test, with_labels,
                     write_safetensors)

WORDS = "the of and to in is it was for on this that with not very good bad film great acting play".split()


def ids(path, text):
    return rows("tokenize", path, text)[0]["ids"]


def pieces(path, text):
    """Token ids without the first and the last."""
    return ids(path, text)[1:-1]


# ---- tokenizer settings ----


@test
def the_side_that_is_cut():
    text = " ".join(WORDS * 3)
    whole = pieces(folder("distilbert-classify", "whole", {"tokenizer_config.json": {"model_max_length": None}},
                          without=["tokenizer.json"]), " ".join(WORDS))
    for name, changes, without in [
        ("vocab", {"tokenizer_config.json": {"model_max_length": 12, "truncation_side": "left"}}, ["tokenizer.json"]),
        ("json", {"tokenizer_config.json": {"model_max_length": 12, "truncation_side": "left"}}, []),
        ("file", {"tokenizer_config.json": {"model_max_length": 12},
                  "tokenizer.json": {"truncation": {"direction": "Left", "max_length": 99, "strategy": "LongestFirst",
                                                    "stride": 0}}}, []),
    ]:
        left = folder("distilbert-classify", name, changes, without)
        assert pieces(left, text) == whole[-10:], name
        packed = HERE / f"{name}.retort"
        retort("import", left, "-o", packed)
        assert pieces(packed, text) == whole[-10:], name
    both = {**changes, "tokenizer_config.json": {"model_max_length": 12, "truncation_side": "right"}}
    assert pieces(folder("distilbert-classify", "both", both), text) == whole[:10]
    pair = rows("tokenize", HERE / "vocab", "--pairs", f"{text}\tgood film")[0]["ids"]
    assert len(pair) == 12


@test
def how_long_a_text_may_be():
    text = " ".join(WORDS * 3)
    old = {"tokenizer_config.json": {"model_max_length": None, "max_len": 16}}
    assert len(ids(folder("distilbert-classify", "old", old), text)) == 16
    new = {"tokenizer_config.json": {"model_max_length": 20, "max_len": 16}}
    assert len(ids(folder("distilbert-classify", "new", new), text)) == 20
    # A package's max_seq_length goes before the tokenizer's, also where it is the longer one.
    for stated, expected in ((44, 44), (8, 8), (99, 48)):
        package = folder("package-mean", "package", {"sentence_bert_config.json": {"max_seq_length": stated}})
        assert len(ids(package, text)) == expected


SETTINGS, FILE = "tokenizer_config.json", "tokenizer.json"


@test
def other_tokenizers():
    """A class that cuts texts otherwise is refused by its name, wherever the folder has it."""
    for name, changes in [
        ("config", {SETTINGS: {"tokenizer_class": "BertJapaneseTokenizer"}}),
        ("model", {SETTINGS: {"tokenizer_class": None}, "config.json": {"tokenizer_class": "BertJapaneseTokenizer"}}),
        ("key", {SETTINGS: {"tokenizer_class": None, "word_tokenizer_type": "mecab"}}),
    ]:
        for without in [], [FILE]:
            fails(3, "'BertJapaneseTokenizer'", "tokenize", folder("bert-classify", name, changes, without), "a")
    for name, settings, word in [
        ("kobert", {"tokenizer_class": "KoBertTokenizer"}, "'KoBertTokenizer'"),
        ("own", {"tokenizer_class": None, "auto_map": {"AutoTokenizer": ["own.KoBertTokenizer", None]}}, "'KoBertTokenizer'"),
        ("fast", {"tokenizer_class": "PreTrainedTokenizerFast"}, "'PreTrainedTokenizerFast'"),
        ("side", {"truncation_side": "middle"}, "truncation_side"),
    ]:
        fails(3, word, "tokenize", folder("bert-classify", name, {SETTINGS: settings}, [FILE]), "a")
    wanted = pieces(checkpoint("bert-classify"), "Good film")
    for name in ("BertTokenizerFast", "DistilBertTokenizer", "ElectraTokenizerFast"):
        for without in [], [FILE]:
            path = folder("bert-classify", name, {SETTINGS: {"tokenizer_class": name}}, without)
            assert pieces(path, "Good film") == wanted
    path = folder("bert-classify", "stated", {SETTINGS: {"tokenizer_class": "KoBertTokenizerFast"}})
    out, error = retort("tokenize", path, "Good film", "--json")
    assert json.loads(out)["ids"][1:-1] == wanted and "'KoBertTokenizerFast' is unknown" in error


@test
def byte_level_tokenizers():
    """Byte-level BPE needs a piece for each byte; a vocab.txt is no RobertaTokenizer's."""
    bpe = {"pre_tokenizer": {"type": "ByteLevel"}, "model": {"type": "BPE", "vocab": {"<s>": 0}, "merges": []}}
    for settings in {"tokenizer_class": "RobertaTokenizer"}, {"tokenizer_class": None}:
        path = folder("roberta-classify", "bpe", {FILE: bpe, SETTINGS: settings}, ["vocab.txt"])
        fails(3, "for byte 0x00", "import", path, "-o", HERE / "bpe.retort")
    path = folder("roberta-classify", "merges", {"vocab.json": {"<s>": 0}, "merges.txt": "", SETTINGS: {"tokenizer_class": "RobertaTokenizer"}},
                  [FILE, "vocab.txt"])
    fails(3, "for byte 0x00", "import", path, "-o", HERE / "bpe.retort")
    path = folder("roberta-classify", "words", {SETTINGS: {"tokenizer_class": "RobertaTokenizer"}}, [FILE])
    fails(3, "'RobertaTokenizer'", "import", path, "-o", HERE / "bpe.retort")


@test
def settings_that_tokenizer_json_has_otherwise():
    """transformers' BertTokenizer takes its own defaults in place of the file's: the file is followed, and said so."""
    normalizer = {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "strip_accents": None}
    cased, lower = {**normalizer, "lowercase": False}, {**normalizer, "lowercase": True}
    cases = [
        (cased, {"do_lower_case": None}, "do_lower_case is false", False),
        (cased, {"do_lower_case": False}, None, False),
        (cased, {"do_lower_case": True}, None, True),
        (cased, {"do_lower_case": None, "tokenizer_class": "PreTrainedTokenizerFast"}, None, False),
        (lower, {"do_lower_case": None}, None, True),
        ({**lower, "strip_accents": False}, {}, "strip_accents is false", True),
        ({**lower, "handle_chinese_chars": False}, {}, "tokenize_chinese_chars is false", True),
        ({"type": "Sequence", "normalizers": [cased]}, {"do_lower_case": None}, "do_lower_case is false", False),
    ]
    for normalizer, settings, warning, lowers in cases:
        path = folder("bert-classify", "file", {FILE: {"normalizer": normalizer}, SETTINGS: settings})
        packed = HERE / "file.retort"
        _, error = retort("import", path, "-o", packed)
        known = rows("info", packed)[0]["warnings"]
        assert (warning is None and known == [] and "warning" not in error) or (
            len(known) == 1 and warning in known[0] and f"retort: warning: {known[0]}" in error), (settings, known, error)
        assert (pieces(packed, "GOOD") == pieces(packed, "good")) == lowers
        assert ("warning " in retort("info", packed)[0].decode()) == (warning is not None)


@test
def sequences_of_one_part():
    file = json.loads(pathlib.Path(checkpoint("bert-classify"), FILE).read_text())
    one = {
        "normalizer": {"type": "Sequence", "normalizers": [file["normalizer"]]},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [file["pre_tokenizer"]]},
        "post_processor": {"type": "Sequence", "processors": [file["post_processor"]]},
    }
    path = folder("bert-classify", "sequences", {FILE: one})
    retort("import", path, "-o", HERE / "sequences.retort")
    for text in ("Good film, h\u00e8re", "a\tb"):
        for source in path, HERE / "sequences.retort":
            assert rows("tokenize", source, text) == rows("tokenize", checkpoint("bert-classify"), text)
    two = {"normalizer": {"type": "Sequence", "normalizers": [file["normalizer"], {"type": "NFQ"}]}}
    fails(3, 'normalizer "NFQ" is not supported, only BertNormalizer, Lowercase, NFC', "tokenize", folder("bert-classify", "two", {FILE: two}), "a")
    for parts in None, 5, [{"type": "NFC"}] * 65:
        wrong = folder("bert-classify", "list", {FILE: {"normalizer": {"type": "Sequence", "normalizers": parts}}})
        fails(3, "a Sequence must list 0 to 64 normalizers", "tokenize", wrong, "a")


# ---- files that are not read, names, modules ----


@test
def files_that_change_the_model():
    adapter = folder("bert-classify", "adapter", {"adapter_config.json": {"peft_type": "LORA"}})
    fails(3, "adapter_config.json, but neither adapter_model.safetensors", "run", adapter, "a")
    fails(3, "adapter_config.json, but neither adapter_model.safetensors", "import", adapter, "--task", "classify", "-o", HERE / "a.retort")


@test
def sizes_that_settings_state():
    """Beside config.json's own: what they say is compared with the tensors."""
    splade = folder("splade-max", "splade", {"1_SpladePooling/config.json": {"embedding_dimension": 99}})
    fails(3, "SpladePooling's embedding_dimension is 99; config.json says 100 pieces", "run", splade, "a")
    splade = folder("splade-max", "splade", {"1_SpladePooling/config.json": {"embedding_dimension": "x"}})
    fails(3, "'embedding_dimension' is no number of pieces", "run", splade, "a")
    fails(3, "expected [48, 32] from config.json", "run", folder("nomic-classify", "nomic", {"config.json": {"head_dim": 4}}), "a")
    groups = folder("albert-groups", "groups", {"config.json": {"num_hidden_groups": None}})
    fails(3, "config.json says 1 groups of layers ('num_hidden_groups', 1 where it is absent), the file has more", "run", groups, "a")
    texts = HERE / "texts.txt"
    texts.write_text("a\n")
    fails(2, "--texts: a file's name is empty", "import", checkpoint("bert-fill"), "--texts", f"{texts},", "-o", HERE / "none.retort")


def with_attributes(count):
    """The pickle of a LogisticRegression that has this many attributes, all of them None."""
    names = b"".join(b"\x8c\x04%04dN" % i for i in range(count))
    return b"\x80\x04csklearn.linear_model._logistic\nLogisticRegression\n)\x81}(" + names + b"ub."


@test
def heads_of_setfit():
    """Golden ones are compared in sentence_test; broken, compressed and foreign heads, and settings that do not fit."""
    name = "model_head.pkl"
    head = (pathlib.Path(checkpoint("setfit-classes")) / name).read_bytes()
    wrong = lambda changed: folder("setfit-classes", "setfit", {name: changed})
    retort("import", wrong(b"\x80\x02."), "--task", "embed", "-o", HERE / "setfit.retort")
    assert len(rows("run", HERE / "setfit.retort", "a")[0]["embedding"]) == 16
    fails(3, "its stack is empty", "run", wrong(b"\x80\x02."), "a")
    for size in (0, 1, 40, len(head) // 2, len(head) - 1):
        fails(3, name, "run", wrong(head[:size]), "a")
    for start in (b"\x78\x9c", b"\x1f\x8b\x08", b"BZh9", b"\xfd7zXZ", b"\x04\x22\x4d\x18"):
        fails(3, "compress=0) in Python writes what is read", "run", wrong(start + bytes(40)), "a")
    svc = head.replace(b"sklearn.linear_model._logistic\nLogisticRegression", b"sklearn.svm._classes\nSVC")
    fails(3, "asks for 'sklearn.svm._classes.SVC', which no logistic regression of scikit-learn needs; nothing was run", "run", wrong(svc), "a")
    fails(3, "without coef_, intercept_ and classes_ as arrays", "run", wrong(head.replace(b"coef_", b"koef_")), "a")
    fails(3, "a head for vectors of 16 numbers; the package makes ", "run", folder("package-dense", "setfit", {name: head}), "a")
    for settings, text in (({"labels": ["a", "b"]}, "'labels' has no name for class 2 of the head"), ({"labels": "a"}, "'labels' is not a list"),
                           ({"labels": ["a", "b", "c", "a"]}, "config_setfit.json: two classes have the name 'a'"),
                           ({"labels": None, "normalize_embeddings": 1}, "'normalize_embeddings' is neither true nor false")):
        fails(3, text, "run", folder("setfit-classes", "settings", {"config_setfit.json": settings}), "a")
    fails(3, "a LogisticRegression with more than 256 attributes", "run", wrong(with_attributes(257)), "a")
    fails(3, "without coef_, intercept_ and classes_ as arrays", "run", wrong(with_attributes(256)), "a")
    texts = (pathlib.Path(checkpoint("setfit-binary")) / name).read_bytes().replace("g\u00fct".encode("utf-32-le"), "bad".encode("utf-32-le"))
    fails(3, f"{name}: two classes have the name 'bad'", "run", folder("setfit-binary", "setfit", {name: texts}), "a")
    alone = folder("setfit-binary", "alone", {}, without=["config_setfit.json"])
    assert sorted(label["label"] for label in rows("run", alone, "a good film")[0]["labels"]) == ["bad", "g\u00fct"]


@test
def names_of_wrappers():
    wanted = rows("run", checkpoint("bert-classify"), "good film")
    for prefix in ("_orig_mod.", "module._orig_mod.", "_orig_mod.module.", "module."):
        path = folder("bert-classify", "wrapped")
        tensors = read_safetensors(path / "model.safetensors")
        write_safetensors(path / "model.safetensors", {prefix + name: tensor for name, tensor in tensors.items()})
        assert rows("run", path, "good film") == wanted


@test
def modules_without_effect():
    modules = json.loads(pathlib.Path(checkpoint("package-mean"), "modules.json").read_text())
    dropout = {"idx": 9, "name": "9", "path": "9_Dropout", "type": "sentence_transformers.models.Dropout"}
    for at in range(1, len(modules) + 1):
        path = folder("package-mean", "dropout", {"modules.json": [*modules[:at], dropout, *modules[at:]]})
        assert rows("run", path, "good film") == rows("run", checkpoint("package-mean"), "good film")
    lowers = {"sentence_bert_config.json": {"do_lower_case": True}, SETTINGS: {"do_lower_case": None}}
    for without in [], [FILE]:
        assert rows("run", folder("package-mean", "lowers", lowers, without), "Good") == rows("run", checkpoint("package-mean"), "good")
    cased = {**lowers, SETTINGS: {"do_lower_case": False}}
    fails(3, "do_lower_case, but the tokenizer keeps case", "run", folder("package-mean", "cased", cased), "a")


# ---- sentence-transformers ----

SENTENCES = "config_sentence_transformers.json"
PACKAGE = "package-old-dense"  # max pooling, a Dense layer, vectors of 8 numbers that are not of length 1


def vector(model, text, *options):
    return rows("run", model, text, *options)[0]["embedding"]


@test
def prompts():
    plain = checkpoint(PACKAGE)
    settings = {"prompts": {"query": "very good ", "document": "", "half": "ba"}, "default_prompt_name": "query"}
    path = folder(PACKAGE, "prompts", {SENTENCES: settings})
    retort("import", path, "-o", HERE / "prompts.retort")
    retort("quantize", HERE / "prompts.retort", "-o", HERE / "prompts8.retort")
    assert vector(HERE / "prompts8.retort", "film") == vector(HERE / "prompts8.retort", "very good film", "--prompt-name", "")
    for source in path, HERE / "prompts.retort":
        assert vector(source, "film") == vector(plain, "very good film") != vector(plain, "film")
        for name, before in (("query", "very good "), ("half", "ba"), ("document", ""), ("", "")):
            assert vector(source, "film", "--prompt-name", name) == vector(plain, before + "film"), name
        assert rows("tokenize", source, "film") == rows("tokenize", plain, "film")
        ranked = ("--prompt-name", "document", "film", "good")
        own = rows("run", source, "--query", "film", "--query-prompt-name", "query", *ranked)
        assert own == rows("run", source, "--query", "very good film", *ranked) != rows("run", source, "--query", "film", *ranked)
        fails(2, "no prompt 'bogus'", "run", source, "--query", "a", "--query-prompt-name", "bogus", "b")
        fails(2, "--query-prompt-name needs --query", "run", source, "--query-prompt-name", "query", "b")
        fails(2, "no prompt 'bogus'; known are: query, document, half", "run", source, "film", "--prompt-name", "bogus")
    known = rows("info", HERE / "prompts8.retort")[0]
    assert known["prompts"] == settings["prompts"] and known["default_prompt"] == "query" and known["similarity"] == "cosine"
    assert b"prompt *    query: very good \n" in retort("info", HERE / "prompts.retort")[0]
    data = HERE / "pairs.tsv"
    data.write_text("sentence1\tsentence2\tscore\ngood\tbad\t1\ngreat film\tfilm\t2\nacting\tplay was\t3\n")
    with_prompt, without = (rows("eval", path, "--data", data, "--prompt-name", name, "--logits", HERE / "logits")[0] and
                            (HERE / "logits").read_bytes() for name in ("query", "document"))
    assert with_prompt != without
    for change, words in (
        ({"prompts": {"a": 1}}, "prompt 'a' is not a string"),
        ({"prompts": ["a"]}, "prompts is not an object"),
        ({"prompts": {}, "default_prompt_name": "a"}, "default_prompt_name 'a' is not one of the prompts"),
        ({"prompts": {"a": "b"}, "default_prompt_name": ["a"]}, "default_prompt_name is not a string"),
        ({"similarity_fn_name": "jaccard"}, "similarity_fn_name 'jaccard'"),
        ({"truncate_dim": 0}, "truncate_dim"),
    ):
        fails(3, words, "run", folder(PACKAGE, "wrong", {SENTENCES: change}), "a")


@test
def prompts_that_are_not_pooled():
    source = checkpoint("package-unpooled")
    golden = json.loads((pathlib.Path(source) / "golden.json").read_text())
    skips, pooled = HERE / "skips.retort", folder("package-unpooled", "pooled", {"1_Pooling/config.json": {"include_prompt": True}})
    retort("import", source, "-o", skips)
    for name, wanted in golden["prompted"].items():
        found = rows("run", skips, *golden["prompt_texts"], "--prompt-name", name)
        for row, numbers in zip(found, wanted):
            assert all(abs(a - b) < 1e-5 for a, b in zip(row["embedding"], numbers)), name
    assert vector(skips, "film") == vector(pooled, "film")
    assert vector(skips, "film", "--prompt-name", "query") != vector(pooled, "film", "--prompt-name", "query")
    quantized, data = HERE / "skips8.retort", HERE / "unpooled.tsv"
    retort("quantize", skips, "-o", quantized)
    assert vector(quantized, "film", "--prompt-name", "query") != vector(quantized, "this is: film")
    data.write_text("sentence1\tsentence2\tscore\ngood\tbad\t1\ngreat film\tfilm\t2\nacting\tplay was\t3\n")
    logits = [rows("eval", model, "--data", data, "--prompt-name", "query", "--logits", HERE / "logits") and
              (HERE / "logits").read_bytes() for model in (skips, pooled)]
    assert logits[0] != logits[1]
    # what cannot leave tokens out says why
    chosen = {SENTENCES: {"prompts": {"query": "good "}, "default_prompt_name": "query"}}
    first = {"1_Pooling/config.json": {"pooling_mode": "cls", "include_prompt": False, "embedding_dimension": 16}}
    fails(1, "versions of sentence-transformers disagree", "run", folder("package-unpooled", "first", {**first, **chosen}), "a")
    fails(1, "only the provider native", "run", source, "a", "--prompt-name", "query", "--provider", "onnxruntime")
    retort("import", source, "--level", "2", "-o", HERE / "skips2.retort")
    fails(1, "below level 3", "run", HERE / "skips2.retort", "a", "--prompt-name", "query")
    assert len(vector(HERE / "skips2.retort", "a")) == 80
    assert "does not pool the tokens of its prompts" in retort("export", skips, "-o", HERE / "skips.onnx")[1]
    assert retort("export", pooled, "-o", HERE / "pooled.onnx")[1] == ""
    fails(3, "default prompt 'query'", "train", folder("package-unpooled", "default", chosen), "--data", data, "-o", HERE / "no.retort")


@test
def sparse_vectors():
    path = checkpoint("splade-max")
    golden = json.loads((pathlib.Path(path) / "golden.json").read_text())
    retort("import", path, "-o", HERE / "splade.retort")
    for source in path, HERE / "splade.retort":
        for row, wanted in zip(rows("run", source, *golden["texts"]), golden["outputs"]):
            assert sorted(item["index"] for item in row["sparse"]) == [i for i, value in enumerate(wanted) if value > 0]
            values = [item["value"] for item in row["sparse"]]
            assert values == sorted(values, reverse=True) and all(abs(item["value"] - wanted[item["index"]]) < 1e-5 for item in row["sparse"])
    info = rows("info", HERE / "splade.retort")[0]
    assert info["sparse"] and info["similarity"] == "dot" and info["labels"] == len(golden["outputs"][0])
    best = rows("run", path, golden["texts"][0], "--top", "2")[0]["sparse"]
    assert len(best) == 2
    line = retort("run", path, golden["texts"][0], "--top", "2")[0].decode().rstrip("\n").split("\t")
    assert line[0::2] == [item["piece"] for item in best] and float(line[1]) == round(best[0]["value"], 6)
    ranked = rows("run", path, "--query", golden["texts"][0], *golden["texts"][1:])
    dots = [sum(x * y for x, y in zip(golden["outputs"][0], row)) for row in golden["outputs"][1:]]
    assert [row["index"] for row in ranked] == sorted(range(len(dots)), key=lambda i: -dots[i])
    for change, words in (({"pooling_strategy": "mean"}, "pooling_strategy 'mean'"), ({"activation_function": "gelu"}, "activation_function 'gelu'")):
        fails(3, words, "run", folder("splade-max", "wrong", {"1_SpladePooling/config.json": change}), "a")


@test
def static_embeddings():
    path = checkpoint("static-model2vec")
    golden = json.loads((pathlib.Path(path) / "golden.json").read_text())
    retort("import", path, "-o", HERE / "static.retort")
    for text, wanted, ids in zip(golden["texts"], golden["outputs"], golden["ids"]):
        assert all(abs(a - b) < 1e-5 for a, b in zip(vector(HERE / "static.retort", text), wanted))
        assert rows("tokenize", HERE / "static.retort", text)[0]["ids"] == ids
    assert rows("info", HERE / "static.retort")[0]["layers"] == 0
    fails(3, "a static embedding has no matrices", "quantize", HERE / "static.retort", "-o", HERE / "no.retort")
    fails(3, "a static embedding only embeds", "import", path, "--task", "classify", "-o", HERE / "no.retort")
    fails(3, "a static embedding has no matrices", "import", path, "--dtype", "bf16", "-o", HERE / "no.retort")
    tokenizer = json.loads((pathlib.Path(path) / "tokenizer.json").read_text())
    cut = folder("static-model2vec", "cut", {"tokenizer.json": {"truncation": {"direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0}}})
    assert tokenizer["truncation"] is None and vector(cut, "the good film") == vector(path, "the good")
    fails(3, "mapping of piece 0 is", "run", rewritten("static-model2vec", "mapping", lambda data: data[:0] + bytes([255] * 8) + data[8:]), "a")


def rewritten(name, tensor, change):
    """A copy of a checkpoint with other bytes of a tensor."""
    path = pathlib.Path(folder(name, "rewritten"))
    data = (path / "model.safetensors").read_bytes()
    length = int.from_bytes(data[:8], "little")
    first, last = (8 + length + at for at in json.loads(data[8:8 + length])[tensor]["data_offsets"])
    (path / "model.safetensors").write_bytes(data[:first] + change(data[first:last]) + data[last:])
    return path


@test
def cross_encoders():
    path, plain = checkpoint("cross-tanh"), checkpoint("cross-identity")
    assert rows("info", path)[0]["activation"] == "Tanh" and rows("info", path)[0]["prompts"] == {"query": "this is: ", "other": "that "}
    for name, before in (("query", "this is: "), ("other", "that "), ("", "")):
        got = rows("run", path, "--pairs", "--prompt-name", name, stdin=b"good film\tbad\n")[0]
        same = rows("run", path, "--pairs", "--prompt-name", "", stdin=f"{before}good film\tbad\n".encode())[0]
        assert got == same and abs(got["labels"][0]["score"] - math.tanh(got["logits"][0])) < 1e-6
    for change, words in (({"sbert_ce_default_activation_function": "my.Act"}, "sbert_ce_default_activation_function 'my.Act'"),
                          ({"sentence_transformers": {"activation_fn": "os.abort"}}, "sentence_transformers.activation_fn 'os.abort'")):
        fails(3, words, "run", folder("bert-regression", "wrong", {"config.json": change}), "a")
    fails(3, "activation_fn 'a.B'", "run", folder("cross-tanh", "wrong", {SENTENCES: {"model_type": "CrossEncoder", "activation_fn": "a.B"}}), "a")
    shrink = folder("cross-identity", "shrink", {"config.json": {"sentence_transformers": {"activation_fn": "torch.nn.modules.activation.GELU"}}})
    retort("import", shrink, "-o", HERE / "shrink.retort")
    got = rows("run", HERE / "shrink.retort", "good")[0]
    logit = got["logits"][0]
    assert abs(got["labels"][0]["score"] - logit * 0.5 * (1 + math.erf(logit / 2**0.5))) < 1e-6
    assert "activation" not in rows("info", checkpoint("bert-regression"))[0]
    data, texts = HERE / "scored.tsv", ["good", "bad film", "acting", "a", "the play", "very good"]
    for source in shrink, plain, path:
        scores = [row["labels"][0]["score"] for row in rows("run", source, *texts)]
        data.write_text("sentence\tscore\n" + "".join(f"{text}\t{score}\n" for text, score in zip(texts, scores)))
        assert rows("eval", source, "--data", data)[0]["value"] > 0.9999


@test
def shorter_vectors():
    texts = ["good film", "a", "very bad acting"]
    for name in PACKAGE, "package-mean":
        whole = [row["embedding"] for row in rows("run", checkpoint(name), *texts)]
        path = folder(name, "short", {SENTENCES: {"truncate_dim": 3}})
        retort("import", path, "-o", HERE / "short.retort")
        for source in path, HERE / "short.retort":
            assert [row["embedding"] for row in rows("run", source, *texts)] == [row[:3] for row in whole]
        assert rows("info", HERE / "short.retort")[0]["labels"] == 3
        long = folder(name, "long", {SENTENCES: {"truncate_dim": 999}})
        assert [row["embedding"] for row in rows("run", long, *texts)] == whole


@test
def similarities():
    texts = ["good film", "bad film", "acting was great", "the play", "a"]
    functions = {
        None: lambda a, b: sum(x * y for x, y in zip(a, b)) / math.sqrt(sum(x * x for x in a) * sum(y * y for y in b)),
        "dot": lambda a, b: sum(x * y for x, y in zip(a, b)),
        "euclidean": lambda a, b: -math.dist(a, b),
        "manhattan": lambda a, b: -sum(abs(x - y) for x, y in zip(a, b)),
    }
    query = vector(checkpoint(PACKAGE), "great film")
    for name, function in functions.items():
        path = folder(PACKAGE, "similarity", {SENTENCES: {"similarity_fn_name": name}})
        retort("import", path, "-o", HERE / "similarity.retort")
        wanted = {text: function(query, vector(path, text)) for text in texts}
        for source in path, HERE / "similarity.retort":
            found = rows("run", source, "--query", "great film", *texts)
            assert [row["text"] for row in found] == sorted(texts, key=lambda text: -wanted[text])
            for row in found:
                close(row["score"], wanted[row["text"]], 1e-5)


@test
def plain_encoders():
    """Without modules.json: the mean, as sentence-transformers takes such a folder, and not of length 1."""
    assert abs(math.hypot(*vector(checkpoint("bert-embed"), "good film")) - 1) > 0.1
    close(math.hypot(*vector(checkpoint("package-mean"), "good film")), 1, 1e-6)


# ---- labels ----


@test
def fewer_pieces():
    texts, less = HERE / "texts.tsv", HERE / "less.retort"
    texts.write_text("sentence\tlabel\ngood film\t1\nnot a bad play\t0\n", encoding="utf-8")
    made = rows("import", checkpoint("bert-fill"), "--languages", "ko", "--texts", f"{texts},{texts}", "-o", less)[0]
    known = made["vocabulary"]
    assert known["languages"] == "ko" and known["texts"] == 4 and known["identical"] == 1 == known["identical_unseen"], known
    assert known["pieces"] < known["pieces_before"]
    info = rows("info", less)[0]
    assert info["vocabulary"] == known and info["vocab"] == known["pieces"], info
    assert "tokenised identically: 100.00 % of these 4 texts" in retort("info", less)[0].decode()
    whole, now = (rows("tokenize", path, "not a bad play")[0] for path in (checkpoint("bert-fill"), less))
    assert now["offsets"] == whole["offsets"] and now["ids"] != whole["ids"]
    assert "vocabulary" not in rows("info", checkpoint("bert-fill"))[0]
    fails(2, "language 'xx' is not known; known are af am", "import", checkpoint("bert-fill"), "--languages", "xx", "-o", less)
    (HERE / "empty.jsonl").write_text('{"text": ""}\n{"text": ""}\n')
    fails(2, "texts: all 2 are empty", "import", checkpoint("bert-fill"), "--texts", HERE / "empty.jsonl", "-o", HERE / "again.retort")
    fails(2, "--languages is for checkpoints", "import", less, "--languages", "ko", "-o", HERE / "again.retort")
    trained = HERE / "less-trained.retort"
    said = retort("train", checkpoint("bert-fill"), "--languages", "ko", "--texts", f"{texts},{texts}", "--data", texts, "--steps", "2", "-o", trained)[1]
    assert f"vocabulary: {known['pieces']} of {known['pieces_before']} pieces stay; of 4 texts 100.00 % are tokenized as before" in said, said
    info = rows("info", trained)[0]
    assert info["task"] == "classify" and info["vocabulary"] == known and info["vocab"] == known["pieces"], info
    fails(2, "--texts is for checkpoints", "train", less, "--texts", texts, "--data", texts, "-o", HERE / "again.retort")
    retort("export", less, "-o", HERE / "less.onnx")
    assert rows("info", HERE / "less.onnx")[0]["vocabulary"] == known
    graph = folder("bert-fill", "graph") / "model.onnx"
    retort("export", checkpoint("bert-fill"), "-o", graph)
    fails(3, "keeps its vocabulary", "import", graph, "--languages", "ko", "-o", HERE / "again.retort")


@test
def one_label():
    sigmoid = lambda logit: 1 / (1 + math.exp(-logit))
    for name, problem, function in [
        ("none", None, sigmoid),
        ("single", "single_label_classification", sigmoid),
        ("several", "multi_label_classification", sigmoid),
        ("regression", "regression", lambda logit: logit),
    ]:
        answer = rows("run", with_labels("bert-classify", name, 1, problem_type=problem), "good film")[0]
        close(answer["labels"][0]["score"], function(answer["logits"][0]), 1e-6)
    data = HERE / "values.tsv"
    data.write_text("sentence\tscore\ngood film\t0.1\nbad\t2\nacting\t3\n")
    assert rows("eval", HERE / "none", "--data", data)[0]["metric"] == "spearman"


if __name__ == "__main__":
    main()
