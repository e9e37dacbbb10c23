#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares BPE, pre-tokenizers and post-processors with Hugging Face tokenizers on random texts, component by component.

    bpe_compare.py TOKENIZER_DUMP [--only COMPONENT] [--count N] [--seed S] [--texts]

Needs the Python package tokenizers 0.23.3. Vocabularies are made: characters or bytes, with merges that the library's trainer
finds in random texts, or with random ones, of which several may make the same piece. Every tokenizer has the component with
random settings, alone or in a Sequence, and other random ones around it; every request has its own truncation, windows and flags.
With --texts there are whole texts only, five times as many in the same time.
"""

import json
import random

import tokenizers
from tokenizer_compare import RANGES, added_tokens, arguments, compare_settings, compare_until, plain_texts, request, text
from tokenizers import models, pre_tokenizers, trainers

SPECIAL = ["<s>", "<pad>", "</s>", "<unk>"]
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
WORDS = "the cat's sat on we'll I'M mats, they've un able 12 1234567 don't\r\n\n x\t\ty -- ... 한국어 中国 été 'ſ '' a'b".split(" ")
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|%s| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
EXPRESSIONS = [GPT2, LLAMA % r"\p{N}{1,3}", LLAMA % r"\p{N}", r"\s+", r"\s", r"\p{N}", r"\p{N}+", r"\p{N}{1,3}"]
BEHAVIORS = ["Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"]


def byte_characters():
    """The character that spells each byte."""
    seen = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = iter(range(0x100, 0x200))
    return [chr(b) if b in seen else chr(next(others)) for b in range(256)]


SPELLED = byte_characters()
RAW = {c: b for b, c in enumerate(SPELLED)}


def split(rng):
    pattern = {"Regex": rng.choice(EXPRESSIONS)} if rng.random() < 0.7 else {"String": rng.choice([" ", "a", "--", "é", "\n", "aa"])}
    return {"type": "Split", "pattern": pattern, "behavior": rng.choice(BEHAVIORS), "invert": rng.random() < 0.3}


def byte_level(rng):
    flag = lambda: rng.random() < 0.5
    return {"type": "ByteLevel", "add_prefix_space": flag(), "trim_offsets": flag(), "use_regex": rng.random() < 0.7}


PRE_TOKENIZERS = {
    "Whitespace": lambda rng: {"type": "Whitespace"},
    "WhitespaceSplit": lambda rng: {"type": "WhitespaceSplit"},
    "BertPreTokenizer": lambda rng: {"type": "BertPreTokenizer"},
    "Punctuation": lambda rng: {"type": "Punctuation", "behavior": rng.choice(BEHAVIORS)},
    "Digits": lambda rng: {"type": "Digits", "individual_digits": rng.random() < 0.5},
    "Split": split,
    "ByteLevel": byte_level,
}


def pre_tokenizer(rng, only, in_bytes):
    """None, one, or a Sequence, with the wanted one in it; ByteLevel last."""
    names = [name for name in PRE_TOKENIZERS if name != "ByteLevel"]
    parts = [PRE_TOKENIZERS[rng.choice(names)](rng) for _ in range(rng.choice([0, 0, 1, 2]))]
    if only in names:
        parts.insert(rng.randint(0, len(parts)), PRE_TOKENIZERS[only](rng))
    if in_bytes:
        parts.append(byte_level(rng))
    if not parts and rng.random() < 0.5:
        return None
    if len(parts) == 1 and rng.random() < 0.7:
        return parts[0]
    if len(parts) > 1 and rng.random() < 0.2:
        parts = [{"type": "Sequence", "pretokenizers": parts[:1]}, *parts[1:]]
    return {"type": "Sequence", "pretokenizers": parts}


def template(rng):
    special = lambda name, type_id: {"SpecialToken": {"id": name, "type_id": type_id}}
    place = lambda name, type_id: {"Sequence": {"id": name, "type_id": type_id}}
    two = {"id": "two", "ids": [1, 2], "tokens": ["<pad>", "</s>"]}
    return {
        "type": "TemplateProcessing",
        "single": [special("<s>", 0)] * rng.randint(0, 1) + [place("A", 0)] + [special(rng.choice(["</s>", "two"]), 1)] * rng.randint(0, 1),
        "pair": [special("<s>", 0), place("A", 0), special("</s>", 0), place("B", 1)] + [special("two", 1)] * rng.randint(0, 1),
        "special_tokens": {"<s>": {"id": "<s>", "ids": [0], "tokens": ["<s>"]}, "</s>": {"id": "</s>", "ids": [2], "tokens": ["</s>"]},
                           "two": two},
    }


POST_PROCESSORS = {
    "RobertaProcessing": lambda rng: {"type": "RobertaProcessing", "sep": ["</s>", 2], "cls": ["<s>", 0],
                                      "trim_offsets": rng.random() < 0.7, "add_prefix_space": rng.random() < 0.5},
    "BertProcessing": lambda rng: {"type": "BertProcessing", "sep": ["</s>", 2], "cls": ["<s>", 0]},
    "TemplateProcessing": template,
    "ByteLevelProcessing": byte_level,
}


def post_processor(rng, only):
    name = only if only in POST_PROCESSORS else rng.choice([None, *POST_PROCESSORS])
    part = POST_PROCESSORS[name](rng) if name else None
    if part is None or rng.random() < 0.5:
        return part
    parts = [part]
    if name != "ByteLevelProcessing" and not part.get("trim_offsets"):
        parts.insert(rng.randint(0, name == "TemplateProcessing"), byte_level(rng))
    if name == "ByteLevelProcessing" and rng.random() < 0.5:
        parts.append(template(rng))
    return {"type": "Sequence", "processors": parts}


def train(rng, alphabet, in_bytes, settings):
    """Vocabulary and merges that the library's trainer finds in random texts."""
    made = tokenizers.Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False) if in_bytes else pre_tokenizers.WhitespaceSplit()
    affixes = {key: value for key, value in settings.items() if value and key in ("continuing_subword_prefix", "end_of_word_suffix")}
    trainer = trainers.BpeTrainer(vocab_size=rng.choice([300, 600, 1500]) + len(alphabet), special_tokens=SPECIAL, show_progress=False,
                                  initial_alphabet=alphabet, **affixes)
    made.train_from_iterator([text(rng, WORDS, []).replace("\0", "") + "".join(rng.choice("abcde é") for _ in range(50)) for _ in range(200)], trainer)
    model = json.loads(made.to_str())["model"]
    return model["vocab"], model["merges"]


def random_merges(rng, alphabet, settings):
    prefix = settings["continuing_subword_prefix"] or ""
    suffix = settings["end_of_word_suffix"] or ""
    plain = list(dict.fromkeys(alphabet))
    pieces = SPECIAL + plain + [prefix + c for c in plain if prefix] + [c + suffix for c in plain if suffix] + [prefix + c + suffix for c in plain if prefix and suffix]
    vocab = {piece: i for i, piece in enumerate(dict.fromkeys(pieces))}
    common, merges = [p for p in pieces[4:] if len(p) > 0 and any(c in p for c in "abcdeĠ 1")] or pieces[4:], {}
    for _ in range(rng.choice([0, 50, 1000])):
        left, right = rng.choice(common), rng.choice(common)
        if not right.startswith(prefix) or (left, right) in merges or (suffix and left.endswith(suffix)):
            continue
        joined = left + right[len(prefix):]
        if len(joined) > 40:
            continue
        merges[left, right] = None
        vocab.setdefault(joined, len(vocab))
        common.append(joined)
    return vocab, [list(pair) for pair in merges]


def model(rng, in_bytes):
    settings = {"type": "BPE", "dropout": None, "unk_token": rng.choice([None, "<unk>"]), "continuing_subword_prefix": rng.choice([None, ""]),
                "end_of_word_suffix": rng.choice([None, ""]), "fuse_unk": rng.random() < 0.5, "byte_fallback": False,
                "ignore_merges": rng.random() < 0.3}
    points = {rng.randint(first, last) for first, last in RANGES for _ in range(20)} | set(range(32, 127))
    alphabet = SPELLED if in_bytes else [chr(c) for c in sorted(points) if c and not 0xD800 <= c < 0xE000]
    affixed = not in_bytes and rng.random() < 0.3
    if affixed:
        settings["continuing_subword_prefix"] = rng.choice([None, "##", "@"])
        settings["end_of_word_suffix"] = rng.choice([None, "</w>", "@"])
    if not affixed and rng.random() < 0.5:
        vocab, merges = train(rng, alphabet, in_bytes, settings)
    else:
        vocab, merges = random_merges(rng, alphabet, settings)
    if not in_bytes and not affixed and rng.random() < 0.4:
        settings["byte_fallback"] = True
        for piece in BYTES[: rng.choice([256, 256, 200])]:
            vocab.setdefault(piece, len(vocab))
    return dict(settings, vocab=vocab, merges=[" ".join(pair) for pair in merges] if rng.random() < 0.3 and not any(" " in p for pair in merges for p in pair) else merges)


def tokenizer(rng, only):
    in_bytes = only == "ByteLevel" or (only not in ("BPE",) and rng.random() < 0.5) or rng.random() < 0.5
    return {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": added_tokens(rng),
        "normalizer": None if rng.random() < 0.8 else {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": False,
                                                      "strip_accents": rng.random() < 0.5, "lowercase": rng.random() < 0.5},
        "pre_tokenizer": pre_tokenizer(rng, only, in_bytes), "post_processor": post_processor(rng, only), "decoder": None,
        "model": model(rng, in_bytes),
    }


def readable(piece):
    """A piece as it stands in texts."""
    if all(c in RAW for c in piece):
        return bytes(RAW[c] for c in piece).decode(errors="ignore")
    return piece


def one_type(asked):
    """Without special tokens RobertaProcessing of the library leaves type 1 in further windows of the second text, and only there."""
    if "pair" in asked and "windows" in asked:
        asked.pop("no_special", None)
    return asked


def run(args, only):
    rng = random.Random(f"{args.seed} {only}")

    def batch():
        settings = tokenizer(rng, only)
        contents = [token["content"] for token in settings["added_tokens"]]
        words = WORDS + [readable(piece) for piece in settings["model"]["vocab"]]
        requests = plain_texts(rng, words, contents, 2000) if args.texts else [one_type(request(rng, words, contents)) for _ in range(500)]
        wrong = compare_settings(args, settings, requests)
        if wrong:
            settings["model"] = {key: value for key, value in settings["model"].items() if key not in ("vocab", "merges")}
            print("with", json.dumps(settings))
        return len(requests), wrong

    return compare_until(f"{only}: ", args.count, batch)


def main():
    parser = arguments(20000)
    parser.add_argument("--only", choices=["BPE", *PRE_TOKENIZERS, *POST_PROCESSORS])
    parser.add_argument("--texts", action="store_true")
    args = parser.parse_args()
    raise SystemExit(sum(run(args, only) for only in ([args.only] if args.only else ["BPE", *PRE_TOKENIZERS, *POST_PROCESSORS])) > 0)


if __name__ == "__main__":
    main()
