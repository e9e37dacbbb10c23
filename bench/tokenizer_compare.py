#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares the tokenizer with Hugging Face tokenizers on random texts.

    tokenizer_compare.py TOKENIZER_DUMP TOKENIZER.json [--count N] [--seed S] [--texts]

Needs the Python package tokenizers 0.23.3. TOKENIZER.json gives a real vocabulary; besides, vocabularies
of single characters are made, which show the normalised text character by character. Every model runs with
several settings of the normaliser and with added tokens of every kind; every request with its own
truncation, windows and flags. With --texts there are whole texts only, many more of them in the same time.
"""

import argparse
import contextlib
import json
import os
import random
import subprocess
import tempfile
import unicodedata

import tokenizers

STRATEGIES = ["longest_first", "only_first", "only_second"]
MARKS = [c for c in range(0x110000) if unicodedata.combining(chr(c))]
COMPOSED = [c for c in range(0x110000) if unicodedata.decomposition(chr(c))]
RANGES = [(0x20, 0x7E)] * 4 + [
    (0, 0x20),
    (0x7F, 0x24F),
    (0x250, 0x36F),
    (0x370, 0x5FF),
    (0x600, 0x8FF),
    (0x900, 0xDFF),
    (0xE00, 0x11FF),
    (0x1200, 0x18FF),
    (0x1A00, 0x1FFF),
    (0x2000, 0x206F),
    (0x2070, 0x2BFF),
    (0x2C00, 0x303F),
    (0x3040, 0x33FF),
    (0x3400, 0x9FFF),
    (0xA000, 0xABFF),
    (0xAC00, 0xD7A3),
    (0xE000, 0xFAFF),
    (0xFB00, 0xFFFF),
    (0x10000, 0x11FFF),
    (0x12000, 0x1FFFF),
    (0x20000, 0x2FA1F),
    (0x2B810, 0x2B930),
    (0xE0000, 0x10FFFF),
]
ADDED = [
    "[MASK]",
    "[SEP]",
    "<x>",
    "<xy>",
    "Foo Bar",
    "foo",
    "中国",
    "é",
    " lead",
    "trail ",
    "İz",
    "ab",
    "abc",
]


def character(rng):
    kind = rng.random()
    if kind < 0.12:
        return chr(rng.choice(MARKS))
    if kind < 0.2:
        return chr(rng.choice(COMPOSED))
    first, last = rng.choice(RANGES)
    point = rng.randint(first, last)
    return " " if 0xD800 <= point < 0xE000 else chr(point)


def text(rng, words, contents):
    out = []
    for _ in range(rng.choice([0, 1, 2, 5, 10, 30])):
        kind = rng.random()
        if kind < 0.35:
            out.append(rng.choice(words).removeprefix("##"))
        elif kind < 0.45 and contents:
            out.append(rng.choice(contents))
        elif kind < 0.6:
            out.append(rng.choice([" ", "\t", "\u00a0", "\u3000", "\x0b", "\u200b", ", ", "_", "\u0301"]))
        else:
            out.append("".join(character(rng) for _ in range(rng.choice([1, 1, 2, 4, 40]))))
        if rng.random() < 0.4:
            out.append(" ")
    return "".join(out)


def added_tokens(rng):
    """A few tokens with random flags."""
    flag = lambda: rng.random() < 0.4
    return [
        {
            "id": i,
            "content": content,
            "single_word": flag(),
            "lstrip": flag(),
            "rstrip": flag(),
            "normalized": flag(),
            "special": flag(),
        }
        for i, content in enumerate(rng.sample(ADDED, rng.randint(0, len(ADDED))))
    ]


def character_vocabulary(rng):
    points = (
        {rng.randint(first, last) for first, last in RANGES for _ in range(600)}
        | set(MARKS)
        | set(range(33, 0x250))
    )
    pieces = ["[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]", "foo", "##bar"]
    for c in sorted(points):
        if not 0xD800 <= c < 0xE000 and c not in (0, 10):
            pieces += [chr(c), "##" + chr(c)]
    return {piece: i for i, piece in enumerate(dict.fromkeys(pieces))}


def model(rng, base, vocab):
    flag = lambda likely: rng.random() < likely
    cls, sep = vocab["[CLS]"], vocab["[SEP]"]
    out = dict(base, truncation=None, padding=None, added_tokens=added_tokens(rng), decoder=None)
    out["normalizer"] = {
        "type": "BertNormalizer",
        "clean_text": flag(0.8),
        "handle_chinese_chars": flag(0.8),
        "strip_accents": rng.choice([None, True, False]),
        "lowercase": flag(0.6),
    }
    out["model"] = {
        "type": "WordPiece",
        "unk_token": "[UNK]",
        "continuing_subword_prefix": "##",
        "max_input_chars_per_word": rng.choice([100, 100, 5]),
        "vocab": vocab,
    }
    out["post_processor"] = {"type": "BertProcessing", "sep": ["[SEP]", sep], "cls": ["[CLS]", cls]}
    return out


def request(rng, words, contents):
    make = lambda: text(rng, words, contents)
    out = {"text": make()}
    if rng.random() < 0.2:
        out = {"words": [make() for _ in range(rng.randint(0, 6))]}
    elif rng.random() < 0.3:
        out["pair"] = make()
    if rng.random() < 0.5:
        out.update(max_length=rng.randint(4, 40), truncation=rng.choice(STRATEGIES))
        if "words" not in out and rng.random() < 0.5:
            out.update(windows=True, stride=rng.randint(0, 5))
    for flag in ("special_as_text", "no_special"):
        if rng.random() < 0.2:
            out[flag] = True
    return out


def describe(encoding):
    return {
        "ids": encoding.ids,
        "types": encoding.type_ids,
        "words": [-1 if w is None else w for w in encoding.word_ids],
        "offsets": [x for pair in encoding.offsets for x in pair],
    }


def official(tokenizer, asked):
    """What Hugging Face says; None when it refuses or panics."""
    tokenizer.encode_special_tokens = asked.get("special_as_text", False)
    tokenizer.no_truncation()
    special = not asked.get("no_special", False)
    try:
        if "max_length" in asked:
            tokenizer.enable_truncation(
                asked["max_length"], stride=asked.get("stride", 0), strategy=asked["truncation"]
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


def accepts(expected, got, asked):
    if expected == got:
        return True
    if not isinstance(got, dict) or got["error"] == "the paths differ":
        return False
    # Refused by us: what Hugging Face refuses too, and windows that are longer than the maximum or too many.
    longest = max((len(window["ids"]) for window in expected), default=0) if expected else 0
    return expected is None or longest > asked.get("max_length", 1 << 30) or len(expected) > 4096


def is_refused_early(asked):
    """Hugging Face refuses a stride that may be too long even where nothing has to be cut."""
    return "stride" in asked and asked["stride"] >= asked["max_length"] - 4


def answers_of(program, path, requests):
    lines = "".join(json.dumps(asked) + "\n" for asked in requests)
    return subprocess.run([program, path], input=lines, stdout=subprocess.PIPE, text=True, check=True).stdout.split("\n")[:-1]


def plain_texts(rng, words, contents, count):
    """Requests of nothing but a text, made of parts that several share: a tenth of the time that request() takes."""
    parts = [text(rng, words, contents)[: rng.choice([1, 3, 8, 20])] for _ in range(400)]
    parts += [character(rng) for _ in range(2000)] + rng.choices(words, k=400) + contents * 20 + [" "] * 300
    return [{"text": "".join(rng.choices(parts, k=rng.choice([0, 1, 2, 3, 5, 8, 13])))} for _ in range(count)]


def compare_texts(program, path, tokenizer, requests):
    """compare() of what plain_texts makes."""
    tokenizer.encode_special_tokens = False
    tokenizer.no_truncation()
    try:
        expected = tokenizer.encode_batch([asked["text"] for asked in requests])
    except BaseException as error:  # a text that the library does not take
        if isinstance(error, KeyboardInterrupt):
            raise
        return compare(program, path, tokenizer, requests)
    bad = 0
    for asked, encoding, line in zip(requests, expected, answers_of(program, path, requests), strict=True):
        got = json.loads(line)
        if got != [describe(encoding)]:
            bad += 1
            print("differs:", json.dumps(asked), "\n  official", describe(encoding), "\n  ours    ", got)
    return bad


def compare(program, path, tokenizer, requests, prepare=lambda answer: answer):
    bad = 0
    for asked, line in zip(requests, answers_of(program, path, requests), strict=True):
        expected, got = official(tokenizer, asked), json.loads(line)
        early = expected is None and is_refused_early(asked)
        if isinstance(got, list) and expected is not None:
            expected, got = prepare(expected), prepare(got)
        if not early and not accepts(expected, got, asked):
            bad += 1
            print("differs:", json.dumps(asked), "\n  official", expected, "\n  ours    ", got)
    return bad


@contextlib.contextmanager
def written(settings):
    """A tokenizer.json with these settings: its path."""
    with tempfile.NamedTemporaryFile("w", suffix=".json", encoding="utf-8") as file:
        json.dump(settings, file)
        file.flush()
        yield file.name


def compare_settings(args, settings, requests, prepare=lambda answer: answer):
    """How many answers differ; those of whole texts with args.texts."""
    with written(settings) as path:
        library = tokenizers.Tokenizer.from_file(path)
        if args.texts:
            return compare_texts(args.program, path, library, requests)
        return compare(args.program, path, library, requests, prepare)


def compare_until(title, count, batch):
    """Calls batch() until `count` requests are compared or 10 differ: it returns how many it compared and how many of them differ."""
    done = bad = 0
    while done < count and bad < 10:
        compared, differ = batch()
        done += compared
        bad += differ
    print(f"{title}{done} requests compared with tokenizers {tokenizers.__version__}, {bad} differ", flush=True)
    return bad


def arguments(count):
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("--count", type=int, default=count)
    parser.add_argument("--seed", type=int, default=1)
    os.environ["RUST_BACKTRACE"] = "0"
    return parser


def main():
    parser = arguments(20000)
    parser.add_argument("tokenizer")
    parser.add_argument("--texts", action="store_true")
    args = parser.parse_args()
    rng = random.Random(args.seed)
    base = json.load(open(args.tokenizer, encoding="utf-8"))
    vocabularies = [base["model"]["vocab"], character_vocabulary(rng)]

    def batch():
        vocab = rng.choice(vocabularies)
        settings = model(rng, base, vocab)
        contents = [token["content"] for token in settings["added_tokens"]]
        words = list(vocab)
        requests = plain_texts(rng, words, contents, 2000) if args.texts else [request(rng, words, contents) for _ in range(500)]
        wrong = compare_settings(args, settings, requests)
        if wrong:
            print("with", json.dumps({k: settings[k] for k in ("normalizer", "added_tokens")}))
        return len(requests), wrong

    raise SystemExit(compare_until("", args.count, batch) > 0)


if __name__ == "__main__":
    main()
