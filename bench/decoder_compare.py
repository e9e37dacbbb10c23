#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares the decoders with Hugging Face tokenizers on random ids of random vocabularies, decoder by decoder.

    decoder_compare.py TOKENIZER_DUMP [--only DECODER] [--count N] [--seed S]

Needs the Python package tokenizers 0.23.3. Pieces are random Unicode, alone and beside what the decoders look for: prefixes,
suffixes, spelled bytes, spaces, punctuation. Added tokens stand among them.
"""

import json
import random

import tokenizers
from bpe_compare import BYTES, SPELLED
from tokenizer_compare import added_tokens, answers_of, arguments, character, compare_until, written

MARKS = ["##", "@@", "▁", "Ġ", "</w>", " ", ".", " .", "'", "'s", "n't", " do not", "do not", "?", "!", ",", "b", "s", "▁▁", "", "", "", ""]
REPLACE, FALLBACK, FUSE = {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"}


def strip(rng):
    """Of the beginning, as after Fuse, or of the end."""
    start = rng.randint(0, 2)
    return {"type": "Strip", "content": rng.choice([" ", "s", "b", "▁"]), "start": start, "stop": 0 if start else 1}


def metaspace(rng):
    return {"type": "Metaspace", "replacement": rng.choice("▁▁_"), "prepend_scheme": rng.choice(["always", "first", "never"]), "split": True}


def sequence(rng):
    fused = [*([REPLACE] if rng.random() < 0.8 else []), *([FALLBACK] if rng.random() < 0.8 else []), FUSE]
    fused += [{"type": "Strip", "content": " ", "start": 1, "stop": 0}] if rng.random() < 0.5 else []
    return {"type": "Sequence", "decoders": rng.choice([fused, fused, [], [REPLACE], [REPLACE, FALLBACK]])}


DECODERS = {
    "none": lambda rng: None,
    "WordPiece": lambda rng: {"type": "WordPiece", "prefix": rng.choice(["##", "##", "@@", ""]), "cleanup": rng.random() < 0.6},
    "BPEDecoder": lambda rng: {"type": "BPEDecoder", "suffix": rng.choice(["</w>", "@@", "s"])},
    "ByteLevel": lambda rng: {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
    "Metaspace": metaspace,
    "Replace": lambda rng: REPLACE,
    "ByteFallback": lambda rng: FALLBACK,
    "Fuse": lambda rng: FUSE,
    "Strip": strip,
    "Sequence": sequence,
}


def vocabulary(rng, name):
    pieces = ["[UNK]", "[CLS]", "[SEP]", "[PAD]"] + [m for m in MARKS if m]
    for _ in range(800):
        body = "".join(character(rng) for _ in range(rng.choice([1, 1, 2, 4])))
        if name == "ByteLevel":
            body = "".join(SPELLED[b] for b in body.encode()) if rng.random() < 0.7 else body + rng.choice(SPELLED)
        pieces.append(rng.choice(MARKS) + body + rng.choice(MARKS))
    pieces += BYTES if name in ("ByteFallback", "Sequence") else rng.sample(BYTES, 20)
    pieces += SPELLED
    return {piece: i for i, piece in enumerate(dict.fromkeys(p for p in pieces if p and "\n" not in p and "\0" not in p))}


def settings_of(rng, name):
    vocab = vocabulary(rng, name)
    return {"version": "1.0", "truncation": None, "padding": None, "added_tokens": added_tokens(rng), "normalizer": None,
            "pre_tokenizer": {"type": "BertPreTokenizer"}, "post_processor": None, "decoder": DECODERS[name](rng),
            "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100, "vocab": vocab}}


def ids_of(rng, size, groups):
    """Ids of all pieces, or of one kind of them: bytes, say, which follow one another."""
    first, last = rng.choice(groups)
    return [rng.randrange(first, last) if rng.random() < 0.9 else rng.randrange(size) for _ in range(rng.choice([0, 1, 2, 3, 5, 8, 13]))]


def run(args, name):
    rng = random.Random(f"{args.seed} {name}")

    def batch():
        settings = settings_of(rng, name)
        library = tokenizers.Tokenizer.from_str(json.dumps(settings))
        size = library.get_vocab_size()
        pieces = list(settings["model"]["vocab"])
        at = [pieces.index(p) for p in (BYTES[0], SPELLED[0]) if p in pieces]
        groups = [(0, size), (0, size), *((i, min(i + 256, size)) for i in at)]
        requests = [{"decode": ids_of(rng, size, groups), "skip_special": rng.random() < 0.5} for _ in range(2000)]
        with written(settings) as path:
            answers = answers_of(args.program, path, requests)
        wrong = 0
        for asked, line in zip(requests, answers, strict=True):
            expected = library.decode(asked["decode"], skip_special_tokens=asked["skip_special"])
            if json.loads(line) != {"text": expected}:
                wrong += 1
                print("differs:", json.dumps([library.id_to_token(i) for i in asked["decode"]]), json.dumps(settings["decoder"]), asked["skip_special"],
                      "\n  official", json.dumps(expected), "\n  ours    ", line)
        return len(requests), wrong

    return compare_until(f"{name}: ", args.count, batch)


def main():
    parser = arguments(100000)
    parser.add_argument("--only", choices=list(DECODERS))
    args = parser.parse_args()
    raise SystemExit(sum(run(args, name) for name in ([args.only] if args.only else DECODERS)) > 0)


if __name__ == "__main__":
    main()
