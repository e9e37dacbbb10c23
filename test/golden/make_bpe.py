#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes bpe_models.json, bpe_cases.jsonl and bpe_decode.json beside itself with Hugging Face tokenizers 0.23.3.

The models are tokenizer.json files with vocabularies that the library's trainer makes of a few invented sentences. A case is a
request and, in "expect", the encodings that the library gives, as in tokenizer_cases.jsonl.
"""

import json
import os
import pathlib
import random

import tokenizers
from make_tokenizer import compact, official, token
from tokenizers import models, pre_tokenizers, trainers

HERE = pathlib.Path(__file__).parent
SPECIAL = ["<s>", "<pad>", "</s>", "<unk>"]
CORPUS = ["The ferryman's lamp burns low; we'll wait until the tide has turned.", "Nine otters slept under the old bridge, and didn't wake at noon.",
          "I've counted 1234 pebbles, 56 shells and 7 feathers by the river.", "A kettle sings in the kitchen while the kitten is singing, too.",
          "나룻배 등불이 낮게 탄다. 우리는 물때를 기다린다.", "渡し守の灯が低く燃える。", "Le passeur allume sa lampe à l'été naissant."] * 3
LLAMA = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
TEXTS = ["", " ", "the otter's lamp", "The  ferryman\tsings\n\n the   song ", "We'LL we'll I'Ve 'sx ''s don't 'ſo", "12345 1 23 ½ ²", "한국어 나룻배 등불", "e\u0301té été\u0301",
         "a\u0000b\u0085c\u00a0d\u200be\u3000f", "x--y...z!? (the)", "😀 the😀lamp", "渡し守の灯", "\r\n \r\n a \n", "<s>the</s> <mask> lamp  <mask>", "the-final--countdown",
         "zzzzqqqq xyzzy", "xyz" * 30, "the lamp " * 3, "nine NINE  New\tYork new york", "\ufeffthe \U0001f1f0\U0001f1f7 ñ"]


def train(pre_tokenizer, size, in_bytes=True, **settings):
    made = tokenizers.Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizer
    alphabet = pre_tokenizers.ByteLevel.alphabet() if in_bytes else []
    trainer = trainers.BpeTrainer(vocab_size=size, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False, **settings)
    made.train_from_iterator(CORPUS, trainer)
    return json.loads(made.to_str())["model"]


def byte_level(prefix=False, trim=True, regex=True):
    return {"type": "ByteLevel", "add_prefix_space": prefix, "trim_offsets": trim, "use_regex": regex}


def roberta(trim=True, prefix=False):
    return {"type": "RobertaProcessing", "sep": ["</s>", 2], "cls": ["<s>", 0], "trim_offsets": trim, "add_prefix_space": prefix}


def settings(model, pre_tokenizer, post_processor=None, added=(), decoder=None, **more):
    tokens = [token(s, "special") for s in SPECIAL] + [token("<mask>", "special", "lstrip")] + list(added)
    return {"version": "1.0", "truncation": None, "padding": None, "added_tokens": tokens, "normalizer": None, "pre_tokenizer": pre_tokenizer,
            "post_processor": post_processor, "decoder": decoder, "model": dict(model, **more)}


def sequence(*parts):
    return {"type": "Sequence", "pretokenizers": list(parts)}


def split(pattern, behavior, invert=False):
    return {"type": "Split", "pattern": pattern, "behavior": behavior, "invert": invert}


def make_models():
    byte = train(pre_tokenizers.ByteLevel(add_prefix_space=False), 420)
    letters = train(pre_tokenizers.WhitespaceSplit(), 260, in_bytes=False)
    ends = train(pre_tokenizers.BertPreTokenizer(), 260, in_bytes=False, end_of_word_suffix="</w>", continuing_subword_prefix="@@")
    with_bytes = dict(letters, vocab={**letters["vocab"], **{f"<0x{b:02X}>": len(letters["vocab"]) + b for b in range(256)}})
    flags = [token("new", "single_word", "normalized"), token("York", "rstrip"), token("lamp", "lstrip", "rstrip")]
    template = {"type": "TemplateProcessing",
                "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
                "pair": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
                "special_tokens": {"<s>": {"id": "<s>", "ids": [0], "tokens": ["<s>"]}}}
    return {
        "roberta": settings(byte, byte_level(), roberta()),
        "prefix": settings(byte, byte_level(prefix=True), roberta(prefix=True), flags),
        "untrimmed": settings(byte, byte_level(trim=False), roberta(trim=False), flags),
        "llama": settings(byte, sequence(split({"Regex": LLAMA}, "Isolated"), byte_level(regex=False)),
                          {"type": "Sequence", "processors": [byte_level(), template]}, ignore_merges=True),
        "words": settings(byte, sequence({"type": "Digits", "individual_digits": True}, {"type": "Punctuation", "behavior": "Contiguous"},
                                         {"type": "WhitespaceSplit"}, byte_level(prefix=True)), byte_level()),
        "unknown": settings(letters, {"type": "Whitespace"}, None, unk_token="<unk>"),
        "fused": settings(letters, sequence({"type": "Whitespace"}, {"type": "Digits", "individual_digits": False}), unk_token="<unk>", fuse_unk=True),
        "dropped": settings(letters, sequence()),
        "fallback": settings(with_bytes, split({"String": " "}, "MergedWithNext"), unk_token="<unk>", fuse_unk=True, byte_fallback=True),
        "ends": settings(ends, {"type": "BertPreTokenizer"}, unk_token="<unk>"),
        "removed": settings(letters, split({"String": "-"}, "Removed"), unk_token="<unk>"),
        "previous": settings(letters, split({"String": "-"}, "MergedWithPrevious"), unk_token="<unk>"),
        "inverted": settings(letters, split({"Regex": r"\s+"}, "MergedWithNext", invert=True), unk_token="<unk>"),
    }


def requests(names):
    for name in names:
        for text in TEXTS:
            yield name, {"text": text}
        yield name, {"text": "the lamp", "pair": " we'll wait"}
        yield name, {"words": ["the", " lamp", "", "didn't"]}
    for name in ["roberta", "prefix", "llama"]:
        for direction in [{}, {"direction": "left"}]:
            for length in [5, 8]:
                cut = {"max_length": length, "truncation": "longest_first", **direction}
                yield name, {"text": CORPUS[0], **cut}
                yield name, {"text": CORPUS[0], "pair": CORPUS[2], **cut}
                yield name, {"text": CORPUS[0], **cut, "stride": 1, "windows": True}
    yield "roberta", {"text": "the", "pair": CORPUS[2], "max_length": 12, "truncation": "only_second", "stride": 2, "windows": True}
    yield "roberta", {"text": "the lamp", "pair": "low", "no_special": True}
    yield "roberta", {"text": "a <mask> </s>", "special_as_text": True}


def decode_cases(made):
    """Ids and what the library's decoders make of them."""
    chance, cases = random.Random(1), []
    for decoder in [{"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}, {"type": "BPEDecoder", "suffix": "e"}]:
        library = tokenizers.Tokenizer.from_str(json.dumps({**made, "decoder": decoder}))
        for i in range(60):
            ids = [chance.randrange(library.get_vocab_size()) for _ in range(i // 4)]
            if i % 3 == 0:
                ids = library.encode(chance.choice(TEXTS)).ids
            skip = i % 2 == 0
            text = library.decode(ids[:60], skip_special_tokens=skip)
            if "\0" not in text:  # the files have no escape for it
                cases.append({"decoder": decoder, "ids": ids[:60], "skip_special": skip, "text": text})
    return cases


def main():
    os.environ["RUST_BACKTRACE"] = "0"
    made = make_models()
    libraries = {name: tokenizers.Tokenizer.from_str(json.dumps(settings)) for name, settings in made.items()}
    # Equal vocabularies are written once.
    vocabularies = []
    for settings in made.values():
        whole = {key: settings["model"][key] for key in ("vocab", "merges")}
        if whole not in vocabularies:
            vocabularies.append(whole)
        settings["model"] = {**{k: v for k, v in settings["model"].items() if k not in whole}, "vocabulary": vocabularies.index(whole)}
    with open(HERE / "bpe_models.json", "w", encoding="utf-8") as out:
        lines = ",\n".join(f"{compact(name)}:{compact(settings)}" for name, settings in made.items())
        out.write("{\"vocabularies\":[\n" + ",\n".join(map(compact, vocabularies)) + "],\n\"models\":{\n" + lines + "}}\n")
    with open(HERE / "bpe_cases.jsonl", "w", encoding="utf-8") as out:
        for name, asked in requests(made):
            out.write(compact(dict(model=name, **asked, expect=official(libraries[name], asked))) + "\n")
    roberta = json.loads(libraries["roberta"].to_str())
    lines = ",\n".join(map(compact, decode_cases(roberta)))
    (HERE / "bpe_decode.json").write_text(f'{{"tokenizer":{compact(roberta)},\n"cases":[\n{lines}]}}\n', encoding="utf-8")


if __name__ == "__main__":
    main()
