#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares Unigram, Metaspace and the normalizers with Hugging Face tokenizers on random texts, component by component.

    unigram_compare.py TOKENIZER_DUMP [--map TOKENIZER.json]… [--only TYPE] [--count N] [--seed S] [--texts]

Needs the Python package tokenizers 0.23.3. Each --map gives a character map for Precompiled, and its vocabulary. Other
vocabularies are made: characters, short strings of them with scores that often tie, and the pieces of bytes, which show
the normalized text byte by byte. --count requests go to each component, alone and in a Sequence with others; every
request has its own truncation, windows and flags, every tokenizer its own added tokens. With --texts there are whole texts only. Scores have few digits: of decimals with
17 the library reads every tenth one unit in the last place off (none of XLM-R's), and other ways win where sums tie.
"""

import json
import random

from tokenizer_compare import MARKS, RANGES, added_tokens, arguments, compare_settings, compare_until, plain_texts, request

SPECIAL = ["<s>", "<pad>", "</s>", "<unk>"]
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
TEXT = ["<mask>", "<s>", "▁", " ▁", "  ", "   ", " \n", "\r\n", "ﬁ", "①", "ｶﾞ", "e\u0301", "a\u0300\u0316", "한", "\u1112\u1161\u11ab", "``", "''", "Ⅷ",
        "\x01", "\x7f", "™", "\u00b4", "１２", "....", "xxxx"]


def replace(rng):
    pattern = rng.choice([{"Regex": " {2,}"}, {"Regex": r"\s{2,}|[\n\r\t]"}, {"String": "``"}, {"String": " "},
                          {"String": rng.choice(["a", "aa", "\u0301", "é", "aba"])}])
    return {"type": "Replace", "pattern": pattern, "content": rng.choice([" ", "▁", "", '"', "ab ", "\u0301x"])}


def strip(rng):
    return {"type": "Strip", "strip_left": rng.random() < 0.6, "strip_right": rng.random() < 0.6}


def bert(rng):
    flag = lambda: rng.random() < 0.6
    return {"type": "BertNormalizer", "clean_text": flag(), "handle_chinese_chars": flag(),
            "strip_accents": rng.choice([None, True, False]), "lowercase": flag()}


NORMALIZERS = {
    **{name: lambda rng, name=name: {"type": name} for name in ("NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents", "Nmt")},
    "Strip": strip,
    "Replace": replace,
    "Prepend": lambda rng: {"type": "Prepend", "prepend": rng.choice(["▁", "ab", " "])},
    "BertNormalizer": bert,
}


def sequence(rng, kinds, most=4):
    parts = [kinds[rng.choice(sorted(kinds))](rng) for _ in range(rng.randint(0, most))]
    # More than one map is not supported.
    maps = [i for i, part in enumerate(parts) if "Precompiled" in json.dumps(part)[:200]]
    return {"type": "Sequence", "normalizers": [part for i, part in enumerate(parts) if i not in maps[1:]]}


BEFORE = [{"type": "WhitespaceSplit"}, {"type": "Punctuation", "behavior": "Isolated"}, {"type": "Digits", "individual_digits": True}]


def pre_tokenizer(rng):
    if rng.random() < 0.8:
        return metaspace(rng)
    return {"type": "Sequence", "pretokenizers": rng.sample(BEFORE, rng.randint(0, 2)) + [metaspace(rng)]}


def metaspace(rng):
    return {"type": "Metaspace", "replacement": rng.choice(["▁"] * 5 + ["_"]),
            "prepend_scheme": rng.choice(["always", "first", "never"]), "split": rng.random() < 0.8}


def vocabulary(rng):
    """Pieces and scores; unknown is one of the first four."""
    points = {rng.randint(first, last) for first, last in RANGES for _ in range(60)} | set(rng.sample(MARKS, 60)) | set(range(32, 127))
    letters = [chr(c) for c in sorted(points) if not 0xD800 <= c < 0xE000 and c not in (0, 10)]
    pieces = SPECIAL + ["▁"] + BYTES * (rng.random() < 0.5) + letters
    for _ in range(rng.choice([0, 300, 3000])):
        pool = rng.choice([letters, list("ab▁"), list("abcdefgh▁ .,x")])
        pieces.append("".join(rng.choice(pool) for _ in range(rng.randint(2, 5))))
    if rng.random() < 0.2:
        pieces.append(rng.choice(pieces))  # of equal pieces the last counts
    scores = rng.choice([lambda p: -float(rng.randint(1, 4)), lambda p: round(-3.0 * rng.random(), 9), lambda p: -2.0 - 0.1 * len(p)])
    return [[piece, 0.0 if piece in SPECIAL else scores(piece)] for piece in dict.fromkeys(pieces)] + [
        [piece, scores(piece)] for piece in pieces[len(set(pieces)) :]]


def model(rng, normalizer, vocab):
    ids = {piece: i for i, (piece, _) in enumerate(vocab)}
    special = lambda token: {"id": token, "ids": [ids[token]], "tokens": [token]}
    place = lambda kind, name, type_id=0: {kind: {"id": name, "type_id": type_id}}
    ends = [place("SpecialToken", "<s>"), place("SpecialToken", "</s>")]
    return {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": added_tokens(rng), "normalizer": normalizer,
        "pre_tokenizer": pre_tokenizer(rng), "decoder": None,
        "post_processor": {
            "type": "TemplateProcessing", "single": [ends[0], place("Sequence", "A"), ends[1]],
            "pair": [ends[0], place("Sequence", "A"), ends[1], ends[1], place("Sequence", "B"), ends[1]],
            "special_tokens": {"<s>": special("<s>"), "</s>": special("</s>")}},
        "model": {"type": "Unigram", "unk_id": ids["<unk>"], "vocab": vocab, "byte_fallback": rng.random() < 0.6},
    }


def same_types(windows):
    """Of further windows of a pair the library gives the second text type 1, whatever the template says."""
    return [dict(window, types=0) if i > 0 else window for i, window in enumerate(windows or [])]


def run(rng, args, name, make, vocabularies):
    def batch():
        settings = model(rng, make(rng), rng.choice(vocabularies)(rng))
        contents = [token["content"] for token in settings["added_tokens"]] + TEXT
        words = [piece for piece, _ in rng.sample(settings["model"]["vocab"], 50)] + TEXT
        requests = plain_texts(rng, words, contents, args.batch) if args.texts else [request(rng, words, contents) for _ in range(args.batch)]
        wrong = compare_settings(args, settings, requests, same_types)
        if wrong:
            print("with", json.dumps({k: settings[k] for k in ("normalizer", "pre_tokenizer", "added_tokens")})[:2000])
        return len(requests), wrong

    return compare_until(f"{name}: ", args.count, batch)


def main():
    parser = arguments(100000)
    parser.add_argument("--map", action="append", default=[])
    parser.add_argument("--only", action="append")
    parser.add_argument("--batch", type=int, default=1000, help="requests per tokenizer")
    parser.add_argument("--texts", action="store_true")
    args = parser.parse_args()
    rng = random.Random(args.seed)
    kinds, vocabularies = dict(NORMALIZERS), [vocabulary] * 3
    for path in args.map:
        settings = json.load(open(path, encoding="utf-8"))
        normalizer = settings["normalizer"]
        parts = [part for part in normalizer.get("normalizers", [normalizer]) if part["type"] == "Precompiled"]
        kinds[f"Precompiled of {path}"] = lambda rng, part=parts[0]: part
        if len(settings["model"]["vocab"]) < 10000:
            vocabularies.append(lambda rng, vocab=settings["model"]["vocab"]: vocab)
    rows = {name: (lambda rng, make=make: make(rng) if rng.random() < 0.7 else
                   {"type": "Sequence", "normalizers": [make(rng), sequence(rng, NORMALIZERS, 2)]}) for name, make in kinds.items()}
    rows["Sequence"] = lambda rng: sequence(rng, dict(kinds, Sequence=lambda rng: sequence(rng, NORMALIZERS, 2)))
    rows["none (Metaspace, Unigram)"] = lambda rng: None
    bad = sum(run(rng, args, name, make, vocabularies) for name, make in rows.items() if not args.only or name.split()[0] in args.only)
    raise SystemExit(bad > 0)


if __name__ == "__main__":
    main()
