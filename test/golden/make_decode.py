#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes decode_cases.json beside itself with Hugging Face tokenizers 0.23.3: random ids of a small vocabulary, and the texts
that its decoders make of them."""
import copy
import json
import pathlib
import random

import tokenizers

PIECES = """[PAD] [UNK] [CLS] [SEP] a b do not n't n 't ' s 's 'm 've 're . ? ! , ##. ##ing ##s ## # @@x @@ é 中""".split()
ADDED = [" ' ", " do not ", "x . y", "## ,", "don 't"]
DECODERS = [None, {"type": "WordPiece", "prefix": "##", "cleanup": True}, {"type": "WordPiece", "prefix": "##", "cleanup": False},
            {"type": "WordPiece", "prefix": "@@", "cleanup": True}]


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
            ids = [chance.randrange(len(PIECES) + len(ADDED)) for _ in range(i // 4)]
            skip = i % 2 == 0
            cases.append({"decoder": decoder, "ids": ids, "skip_special": skip, "text": library.decode(ids, skip_special_tokens=skip)})
    lines = ",\n".join(json.dumps(case, ensure_ascii=False) for case in cases)
    path = pathlib.Path(__file__).parent / "decode_cases.json"
    path.write_text(f'{{"tokenizer": {json.dumps(tokenizer, ensure_ascii=False)},\n"cases": [\n{lines}]}}\n', encoding="utf-8")


if __name__ == "__main__":
    main()
