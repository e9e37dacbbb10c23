#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes decode_cases.json beside itself with Hugging Face tokenizers 0.23.3: random ids of a small vocabulary, and the texts
that its decoders make of them."""
import copy
import json
import pathlib
import random

import tokenizers

PIECES = """[PAD] [UNK] [CLS] [SEP] a b do not n't n 't ' s 's 'm 've 're . ? ! , ##. ##ing ##s ## # @@x @@ é 中
<0x41> <0x0a> <0xC3> <0xA9> <0xE4> <0xB8> <0xAD> <0xFF> <0x80> ▁ ▁▁ ▁a b▁ <0xZ1>""".split()
ADDED = [" ' ", " do not ", "x . y", "## ,", "don 't"]
DECODERS = [None, {"type": "WordPiece", "prefix": "##", "cleanup": True}, {"type": "WordPiece", "prefix": "##", "cleanup": False},
            {"type": "WordPiece", "prefix": "@@", "cleanup": True}]
MARK, FALLBACK, FUSE = {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"}
STRIP = {"type": "Strip", "content": " ", "start": 1, "stop": 0}
DECODERS += [MARK, FALLBACK, FUSE, {"type": "Strip", "content": "b", "start": 1, "stop": 0},
             {"type": "Strip", "content": "s", "start": 0, "stop": 1}]
DECODERS += [{"type": "Sequence", "decoders": parts} for parts in ([], [MARK, FALLBACK, FUSE], [MARK, FALLBACK, FUSE, STRIP], [MARK, STRIP])]
DECODERS += [{"type": "WordPiece", "prefix": "", "cleanup": True}]


def added(text, at, special):
    return {"id": at, "content": text, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": special}


def main():
    specials = [added(piece, i, True) for i, piece in enumerate(PIECES[:4])]
    plain = [added(piece, len(PIECES) + i, False) for i, piece in enumerate(ADDED)]
    tokenizer = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": specials + plain,
                 "normalizer": {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "strip_accents": None, "lowercase": True},
                 "pre_tokenizer": {"type": "BertPreTokenizer"}, "post_processor": {"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]},
                 "decoder": None,
                 "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100,
                           "vocab": {piece: i for i, piece in enumerate(PIECES)}}}
    chance, cases = random.Random(1), []
    for decoder in DECODERS:
        library = tokenizers.Tokenizer.from_str(json.dumps({**copy.deepcopy(tokenizer), "decoder": decoder}))
        for i in range(60):
            first = 30 if decoder and decoder["type"] not in ("WordPiece",) and i % 3 > 0 else 0
            ids = [chance.randrange(first, len(PIECES) + len(ADDED)) for _ in range(i // 4)]
            skip = i % 2 == 0
            cases.append({"decoder": decoder, "ids": ids, "skip_special": skip, "text": library.decode(ids, skip_special_tokens=skip)})
    lines = ",\n".join(json.dumps(case, ensure_ascii=False) for case in cases)
    path = pathlib.Path(__file__).parent / "decode_cases.json"
    path.write_text(f'{{"tokenizer": {json.dumps(tokenizer, ensure_ascii=False)},\n"cases": [\n{lines}]}}\n', encoding="utf-8")


if __name__ == "__main__":
    main()
