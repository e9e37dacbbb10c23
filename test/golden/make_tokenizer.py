#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes tokenizer_models.json and tokenizer_cases.jsonl beside itself with Hugging Face tokenizers 0.23.3.

Models are tokenizer.json files over one small vocabulary. A case is a request and, in "expect", the
encodings that the official library gives, each as "ids", "types" (absent: all 0), "words" (-1: none) and
"offsets" (flat); null when it refuses.
"""

import json
import os
import pathlib

import tokenizers

HERE = pathlib.Path(__file__).parent
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = """the cat sat on mat un ##aff ##able ##s ##ing play ##ed The Cat Ünder ünder under résumé resume İ ı ß ss ##ß
 i ##i σ ##σ ς Σ ο ##ο δ ##δ κ k K ##k ##\u0307 \u0307 e é ##e ##é ##\u0301 fi ﬁ ² 2 ##2 中 国 國 㐀 豈 𠀀 日 本
 か ##か が ##が ゙ ᄒ ##ᅡ ##ᆫ ᄀ ##ᅳ 한 글 ##글 ! ? . , ' $ ` = < ; # ## [ ] _ - “ – 。 € 😀 a ##a b ##b c ##c
 x ##x y foo bar ##bar Foo Bar @@ab @@a""".split()
FLAGS = ["single_word", "lstrip", "rstrip", "normalized", "special"]


def token(content, *flags):
    return dict({"id": 0, "content": content}, **{flag: flag in flags for flag in FLAGS})


def normalizer(lower, strip=None, clean=True, ideographs=True):
    return {
        "type": "BertNormalizer",
        "clean_text": clean,
        "handle_chinese_chars": ideographs,
        "strip_accents": strip,
        "lowercase": lower,
    }


def special(*names):
    return {"id": names[0], "ids": [SPECIAL.index(n) for n in names], "tokens": list(names)}


def place(kind, name, type_id):
    return {kind: {"id": name, "type_id": type_id}}


BERT = {"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]}
TEMPLATE = {
    "type": "TemplateProcessing",
    "single": [place("Sequence", "A", 1), place("SpecialToken", "[SEP]", 0)],
    "pair": [
        place("SpecialToken", "[CLS]", 1),
        place("Sequence", "A", 0),
        place("SpecialToken", "[SEP]", 0),
        place("Sequence", "B", 0),
        place("SpecialToken", "[SEP]", 1),
    ],
    "special_tokens": {"[SEP]": special("[SEP]", "[MASK]"), "[CLS]": special("[CLS]")},
}
ADDED = [
    token("[MASK]", "special", "lstrip"),
    token("[SEP]", "special"),
    token("<x>", "single_word"),
    token("<y>", "rstrip"),
    token("<yy>", "lstrip", "rstrip"),
    token("Foo Bar", "normalized"),
    token("中国", "normalized"),
    token("under", "normalized", "single_word"),
    token("É", "normalized", "lstrip"),
    token("new", "special", "normalized", "rstrip"),
]


def model(normalizer, post_processor=BERT, added=None, prefix="##", word_max=100):
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [token(s, "special") for s in SPECIAL] if added is None else added,
        "normalizer": normalizer,
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": post_processor,
        "decoder": None,
        "model": {
            "type": "WordPiece",
            "unk_token": "[UNK]",
            "continuing_subword_prefix": prefix,
            "max_input_chars_per_word": word_max,
        },
    }


MODELS = {
    "uncased": model(normalizer(True)),
    "cased": model(normalizer(False)),
    "lower_keeps_accents": model(normalizer(True, strip=False)),
    "cased_strips_accents": model(normalizer(False, strip=True)),
    "unclean": model(normalizer(True, clean=False, ideographs=False)),
    "no_normalizer": model(None, post_processor=None),
    "template": model(normalizer(True), post_processor=TEMPLATE),
    "added": model(normalizer(True), added=ADDED),
    "prefix": model(normalizer(True), prefix="@@", word_max=5),
}
NORMALIZERS = ["uncased", "cased", "lower_keeps_accents", "cased_strips_accents", "unclean"]

TEXTS = [
    "",
    " ",
    "The cat sat on the mat.",
    "unaffable cats playing!",
    "Ünder résumé re\u0301sume\u0301",
    "İi İ ı ẞß ﬁ ² Ⅷ",
    "ΟΔΟΣ οδος Kk",
    "a\x0bb a\x00b a\x85b a\u200db a\u00adb a\ufeffb a\ufffdb",
    "a\u00a0b\u3000c\u2028a\tb\r\nc\x1fa",
    "中国國㐀豈𠀀日本",
    "中\u0301国 a中b",
    "\U0002b820\U0002b920",
    "かが カガ か\u3099",
    "한글 한",
    "“the” – cat。€ 😀😀 a€b",
    "≠ ≮ \u037e \u1fef",
    "e\u0301 a\u0300\u0316b a\u0316\u0300b \u0301e",
    "e\u0327\u0301\u0323\u0307\u034f\u0345\u0591",
    "a\u302e\u0301b a\u1dfb\u0316b \u1885a \u1734b \ua9bda",
    "\u166da\u2e43b\u2e52c\u1c7ea",
    "\U00010d50 \ua7cb \u1c89",
    "\U00011938a \U000110cda \U000e0041a \ue000a",
    "é" * 34 + " " + "한" * 34,
    "x" * 100 + " " + "x" * 101,
    "a_b-c `$=<;#",
    "[MASK] [mask] a[MASK]b [SEP]",
    "\u08d4\u0316\u0301a\U0001e000b",
    "cat" + "\u0323\u0301" * 20 + "s",
]
ADDED_TEXTS = [
    "a [MASK] b",
    "a [MASK]b[SEP]",
    "<x> a<x> <x>b _<x> <x>. <x>é 中<x>",
    "<y>  a <y> <y>",
    "a  <yy>  <y> b <yyy>",
    "foo bar FOO BAR fooo bar foo\u00a0bar Foo\u200b Bár",
    "中国 中 国 中国中国",
    "under Ünder sunder under_ under!",
    "a é e É e\u0301b",
    "new  a NEW b",
    "[mask] [MASK  ]",
    "<",
    "  <y>",
    "<yy> <yy>",
]
LONG = "the cat sat on the mat the cat played"


def requests():
    for text in TEXTS:
        for name in NORMALIZERS if not text.isascii() else ["uncased", "cased"]:
            yield name, {"text": text}
    for text in ADDED_TEXTS:
        yield "added", {"text": text}
    for text in ["[MASK] a <x>", "new [SEP]", "a [MASK] É"]:
        yield "added", {"text": text, "special_as_text": True}
    for text in ["[SEP] a [MASK]", "a[CLS]"]:
        yield "uncased", {"text": text, "special_as_text": True}
    for text in ["abab", "foobar", "aaa", "cccccc"]:
        yield "prefix", {"text": text}
    for name in ["uncased", "template", "no_normalizer"]:
        yield name, {"text": "the cat", "pair": "sat on"}
        yield name, {"text": "the cat", "pair": ""}
        yield name, {"text": "the cat", "pair": "sat on", "no_special": True}
        yield name, {"text": "the cat", "no_special": True}
    for length in [2, 3, 4, 7, 20]:
        yield "uncased", {"text": LONG, "max_length": length, "truncation": "longest_first"}
        yield "uncased", {"text": LONG, "max_length": length, "truncation": "only_second"}
        yield "template", {"text": LONG, "max_length": length, "truncation": "only_first"}
    for first, second in [(LONG, "a b c"), ("a b c", LONG), (LONG, LONG)]:
        for length in [3, 8, 9, 14]:
            for strategy in ["longest_first", "only_first", "only_second"]:
                yield "uncased", {"text": first, "pair": second, "max_length": length, "truncation": strategy}
    for length, stride in [(6, 0), (6, 2), (5, 2), (11, 3), (20, 0)]:
        yield "uncased", {
            "text": LONG,
            "max_length": length,
            "truncation": "longest_first",
            "stride": stride,
            "windows": True,
        }
        yield "uncased", {
            "text": "a b",
            "pair": LONG,
            "max_length": length + 3,
            "truncation": "only_second",
            "stride": stride,
            "windows": True,
        }
    yield "uncased", {
        "text": "a b c a",
        "pair": "b c a",
        "max_length": 7,
        "truncation": "longest_first",
        "stride": 1,
        "windows": True,
    }
    left = {"direction": "left", "truncation": "longest_first"}
    for length in [2, 3, 7, 20]:
        yield "uncased", {"text": LONG, "max_length": length, **left}
        yield "template", {"text": LONG, "max_length": length, **left}
    for first, second in [(LONG, "a b c"), ("a b c", LONG), (LONG, LONG)]:
        for strategy in ["longest_first", "only_first", "only_second"]:
            yield "uncased", {"text": first, "pair": second, "max_length": 9, **left, "truncation": strategy}
    for length, stride in [(6, 0), (6, 2), (11, 3), (20, 0)]:
        yield "uncased", {"text": LONG, "max_length": length, **left, "stride": stride, "windows": True}
        windows = {"max_length": length + 3, "stride": stride, "windows": True}
        yield "uncased", {"text": "a b", "pair": LONG, **left, "truncation": "only_second", **windows}
    yield "uncased", {"words": ["The", "cats", "sat", "unaffable"], "max_length": 5, **left}
    for words in [["The", "cats", "sat"], ["unaffable", "", "a b", "中国", "é[MASK]"], []]:
        yield "uncased", {"words": words}
        yield "cased", {"words": words, "max_length": 5, "truncation": "longest_first"}


def describe(encoding):
    types = {"types": encoding.type_ids} if any(encoding.type_ids) else {}
    return {
        "ids": encoding.ids,
        **types,
        "words": [-1 if w is None else w for w in encoding.word_ids],
        "offsets": [x for pair in encoding.offsets for x in pair],
    }


def official(tokenizer, asked):
    tokenizer.encode_special_tokens = asked.get("special_as_text", False)
    tokenizer.no_truncation()
    special = not asked.get("no_special", False)
    try:
        if "max_length" in asked:
            tokenizer.enable_truncation(
                asked["max_length"],
                stride=asked.get("stride", 0),
                strategy=asked["truncation"],
                direction=asked.get("direction", "right"),
            )
        if "words" in asked:
            encoding = tokenizer.encode(asked["words"], is_pretokenized=True, add_special_tokens=special)
        else:
            encoding = tokenizer.encode(asked["text"], asked.get("pair"), add_special_tokens=special)
    except BaseException as error:  # a Rust panic is a BaseException
        if isinstance(error, KeyboardInterrupt):
            raise
        return None
    return [describe(e) for e in [encoding] + (encoding.overflowing if asked.get("windows") else [])]


def compact(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def main():
    os.environ["RUST_BACKTRACE"] = "0"
    pieces = list(dict.fromkeys(SPECIAL + WORDS))
    vocab = {piece: i for i, piece in enumerate(pieces)}
    made = {}
    for name, settings in MODELS.items():
        settings = dict(settings, model=dict(settings["model"], vocab=vocab))
        made[name] = tokenizers.Tokenizer.from_str(json.dumps(settings))
    with open(HERE / "tokenizer_models.json", "w", encoding="utf-8") as out:
        lines = ",\n".join(f"{compact(name)}:{compact(settings)}" for name, settings in MODELS.items())
        out.write(f'{{"pieces":{compact(pieces)},\n"models":{{\n{lines}}}}}\n')
    with open(HERE / "tokenizer_cases.jsonl", "w", encoding="utf-8") as out:
        for name, asked in requests():
            out.write(compact(dict(model=name, **asked, expect=official(made[name], asked))) + "\n")


if __name__ == "__main__":
    main()
