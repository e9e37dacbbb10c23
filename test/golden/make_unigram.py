#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes unigram_models.json and unigram_cases.jsonl beside itself with Hugging Face tokenizers 0.23.3: Unigram, Metaspace
and the normalizers. The files are as those of make_tokenizer.py."""

import base64
import json
import os
import pathlib
import struct

import tokenizers
from make_tokenizer import compact, official

HERE = pathlib.Path(__file__).parent
SPECIAL = ["<s>", "<pad>", "</s>", "<unk>"]
PIECES = """▁ ▁a ▁ab ▁the ▁cat the cat s at c t h e a b ab abab x xx xxxx . .. .... ! ▁한국 한국 어 ᄒ ᅡ ᆫ é e ́ É ñ n ̃ ﬁ fi f i ½ 1 2 ⁄
Ⅷ VIII V I カ ガ ゙ ｶ Å ̊ A ~ ® ™ TM ▁x <mask> 中 国 👍 ̣ q ̇ İ ß `` " '' ' _ _a K""".split()
# What is mapped to what; of "a◌̀" the key "a◌̀" alone is reached, "①◌́" becomes what "①" does.
MAP = {"①": "1", "ﬁ": "fi", "Ⅷ": "VIII", "ｶ": "カ", "\t": " ", "\n": " ", "\u00a0": " ", "▁": " ", "\x01": "", "\x7f": "", "e\u0301": "é",
       "ｶ\uff9e": "ガ", "™": "TM", "\u212b": "Å", "\u1112\u1161": "하", "\ufdfa": "a" * 18, "½": "1⁄2", "b": "b"}


def darts(table):
    """A double array as darts-clone lays it out, and the strings."""
    strings, places = b"", {}
    for value in table.values():
        places.setdefault(value, len(strings))
        strings += value.encode() + b"\0"
    tree = {}
    for key, value in table.items():
        node = tree
        for byte in key.encode():
            node = node.setdefault(byte, {})
        node[None] = places[value]
    units, used, queue = {}, set(), [(0, 0, tree)]
    while queue:
        at, label, node = queue.pop(0)
        labels = [0 if byte is None else byte for byte in node]
        base = next(b for b in range(1, 1 << 20) if b not in used and not any((b ^ x) in units or (b ^ x) == 0 for x in labels))
        used.add(base)
        units[at] = label | (None in node) << 8 | (at ^ base) << 10
        for byte, child in node.items():
            units[base ^ (byte or 0)] = 1 << 31 | child if byte is None else 0
            if byte is not None:
                queue.append((base ^ byte, byte, child))
    count = (max(units) // 256 + 1) * 256
    return struct.pack("<I", 4 * count) + b"".join(struct.pack("<I", units.get(i, 0)) for i in range(count)) + strings


def token(content, *flags):
    return dict({"id": 0, "content": content},
                **{flag: flag in flags for flag in ("single_word", "lstrip", "rstrip", "normalized", "special")})


def ends(token_id):
    return {"id": token_id, "ids": [SPECIAL.index(token_id)], "tokens": [token_id]}


S, E = {"SpecialToken": {"id": "<s>", "type_id": 0}}, {"SpecialToken": {"id": "</s>", "type_id": 0}}
A, B = ({"Sequence": {"id": name, "type_id": 0}} for name in "AB")
TEMPLATE = {"type": "TemplateProcessing", "single": [S, A, E], "pair": [S, A, E, E, B, E],
            "special_tokens": {"<s>": ends("<s>"), "</s>": ends("</s>")}}
CHARSMAP = {"type": "Precompiled", "precompiled_charsmap": base64.b64encode(darts(MAP)).decode()}
SPACES = {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": "▁"}


def sequence(*parts):
    return {"type": "Sequence", "normalizers": list(parts)}


def model(normalizer, scheme="always", split=True, byte_fallback=False, added=(), mark="▁"):
    return {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [token(s, "special") for s in SPECIAL] + [token("<mask>", "special", "lstrip")] + list(added),
        "normalizer": normalizer,
        "pre_tokenizer": {"type": "Metaspace", "replacement": mark, "prepend_scheme": scheme, "split": split},
        "post_processor": TEMPLATE, "decoder": {"type": "Metaspace", "replacement": mark, "prepend_scheme": scheme},
        "model": {"type": "Unigram", "unk_id": 3, "byte_fallback": byte_fallback}}


MODELS = {
    "xlm": model(sequence(CHARSMAP, {"type": "Strip", "strip_left": False, "strip_right": True}, SPACES)),
    "charsmap": model(CHARSMAP, "first"),
    "bytes": model(CHARSMAP, "never", byte_fallback=True),
    "whole": model(None, "first", split=False),
    "mark": model({"type": "Lowercase"}, mark="_"),
    "nfc": model({"type": "NFC"}), "nfd": model({"type": "NFD"}), "nfkc": model({"type": "NFKC"}), "nfkd": model({"type": "NFKD"}),
    "albert": model(sequence({"type": "Replace", "pattern": {"String": "``"}, "content": '"'},
                             {"type": "Replace", "pattern": {"String": "''"}, "content": '"'}, {"type": "NFKD"},
                             {"type": "StripAccents"}, {"type": "Lowercase"}, CHARSMAP, SPACES)),
    "v5": model(sequence({"type": "Replace", "pattern": {"Regex": r"\s{2,}|[\n\r\t]"}, "content": " "}, {"type": "NFC"},
                         {"type": "Strip", "strip_left": True, "strip_right": True})),
    "nmt": model(sequence({"type": "Nmt"}, sequence({"type": "Prepend", "prepend": "ab"}), sequence())),
    "bert": model(sequence({"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "strip_accents": None,
                            "lowercase": True}, {"type": "NFC"})),
    "added": model(sequence(CHARSMAP, {"type": "Lowercase"}), added=[
        token("AB", "normalized"), token("ﬁ", "normalized", "rstrip"), token("cat", "single_word"), token("<y>", "rstrip", "lstrip"),
        token("中国", "normalized", "single_word"), token("new", "special", "normalized")]),
}
TEXTS = [
    "", " ", "  ", "the cat", " the  cat  ", "ab  ab   ab", "a", "a ", "\ta\tb\n", "a\r\nb", "\x01abc\x01 a", "\x01\x01", "a\x01\x7fb", "ﬁ\x01x", "\x01ﬁ",
    "①", "①\u0301", "e\u0301a", "e\u0301\u0323 e\u0323\u0301", "q\u0307\u0323q\u0323\u0307", "Cafe\u0301 é É", "a\u0300\u0316b", "ｶﾞ ｶ\u3099 ガ カ\u3099",
    "한국어 \u1112\u1161\u11ab국어 \u1112\u1161", "½ ⅷ Ⅷ ™ Å K", "....", ".....", "xxxxxxx", "xxx xx", "ababababa", "zzz", "z1z", "y<unk>y", "<s>a</s>",
    "a<mask>b", "a <mask> b", "<mask><mask>", "a  <mask>", "<MASK>", "▁", "▁a", " ▁a", "a▁b▁", "▁ ▁", "\u3000a\u00a0b\u2003", "İstanbul ß SS", "``a'' 'a'",
    "_a_b c", "👍🏻 👍", "\u0301", " \u0301a", "\ufdfa", "中国 a中国b 中 国", "AB ab aAB", "cat cats cat.", "<y> <y>  a", "new New NEW", "ﬁ  ﬁn", "a\u200bb\ufeff",
    "1, x, 1,2 [MASK] a [MASK]b [CLS]", "\r", "a\u0345\u0301", "\u0958 \u0374", "\ud55c\u11ab", "\u1100\u1161\u11a8\u11a8", "Ω Ω", "\u0600\u0301a", "a" * 70 + " " + "x" * 40,
]


def varint(value):
    out = b""
    while value > 127:
        out, value = out + bytes([value & 127 | 128]), value >> 7
    return out + bytes([value])


def field(number, value):
    """Of a message: text or bytes, a number of 32 bits, or a varint."""
    if isinstance(value, float):
        return varint(number << 3 | 5) + struct.pack("<f", value)
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    value = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(value)) + value


def sentencepiece(pieces, unknown):
    """A ModelProto; pieces are (text, score, type)."""
    out = b"".join(field(1, field(1, text) + field(2, score) + (field(3, kind) if kind != 1 else b"")) for text, score, kind in pieces)
    return out + field(2, field(3, 1) + field(40, unknown)) + field(3, field(1, "small") + field(2, darts(MAP)) + field(3, 1))


def single(value):
    return struct.unpack("<f", struct.pack("<f", value))[0]


def converted(vocab, unknown, added, parts, template):
    """What the converter of transformers 4 makes."""
    return {"version": "1.0", "truncation": None, "padding": None, "added_tokens": added, "normalizer": sequence(*parts),
            "pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True},
            "post_processor": template, "decoder": None, "model": {"type": "Unigram", "unk_id": unknown, "vocab": vocab}}


def pair_template(ids, cls, sep):
    place = lambda kind, name, type_id: {kind: {"id": name, "type_id": type_id}}
    a = [place("SpecialToken", cls, 0), place("Sequence", "A", 0), place("SpecialToken", sep, 0)]
    return {"type": "TemplateProcessing", "single": a, "pair": a + [place("Sequence", "B", 1), place("SpecialToken", sep, 1)],
            "special_tokens": {t: {"id": t, "ids": [ids[t]], "tokens": [t]} for t in (cls, sep)}}


def files(vocab):
    """A .model of each class, and the tokenizer.json that it stands for."""
    body = [(piece, single(score)) for piece, score in vocab if piece not in SPECIAL + ["<mask>", "AB"]] + [("1,", -2.5), ("x,", -2.5)]
    strip = lambda left: {"type": "Strip", "strip_left": left, "strip_right": True}
    spaces = {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "}
    specials = lambda names, mask: [token(n, "special") for n in names] + [token(*mask)]
    roberta = [CHARSMAP, strip(False), SPACES]
    typed = lambda names: [(n, 0.0, 2 if "unk" in n.lower() else 3) for n in names]
    plain = [(piece, score, 1) for piece, score in body]
    fairseq = sentencepiece([("<unk>", 0.0, 2), ("<s>", 0.0, 3), ("</s>", 0.0, 3)] + plain, 0)
    mask = ("<mask>", "special", "lstrip")
    xlm = [[n, 0.0] for n in SPECIAL] + [list(p) for p in body] + [["<mask>", 0.0]]
    camembert = [["<s>NOTUSED", 0.0], ["<pad>", 0.0], ["</s>NOTUSED", 0.0], ["<unk>", 0.0], ["<unk>NOTUSED", -100.0],
                 ["<s>", 0.0], ["</s>", 0.0]] + [list(p) for p in body] + [["<mask>", 0.0]]
    ends = lambda vocab: dict(TEMPLATE, special_tokens={t: {"id": t, "ids": [[p for p, _ in vocab].index(t)], "tokens": [t]} for t in ("<s>", "</s>")})
    lite, deberta = ["<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]"], ["[PAD]", "[CLS]", "[SEP]", "[UNK]"]
    albert = [[n, 0.0] for n in lite] + [[p, score - 100 if p == "1," else score] for p, score in body]
    v3 = [[n, 0.0] for n in deberta] + [list(p) for p in body]
    quotes = [{"type": "Replace", "pattern": {"String": q}, "content": '"'} for q in ("``", "''")]
    number = lambda vocab: {p: i for i, (p, _) in enumerate(vocab)}
    return {
        "spm-xlm": ("XLMRobertaTokenizer", fairseq, converted(xlm, 3, specials(SPECIAL, mask), roberta, ends(xlm))),
        "spm-camembert": ("CamembertTokenizerFast", fairseq, converted(camembert, 3, specials(["<s>", "<pad>", "</s>", "<unk>"], mask), roberta, ends(camembert))),
        "spm-albert": ("AlbertTokenizer", sentencepiece(typed(lite) + plain, 1), converted(
            albert, 1, specials(lite[:4], ("[MASK]", "special", "lstrip")),
            quotes + [{"type": "NFKD"}, {"type": "StripAccents"}, {"type": "Lowercase"}, CHARSMAP, spaces], pair_template(number(albert), "[CLS]", "[SEP]"))),
        "spm-deberta": ("DebertaV2Tokenizer", sentencepiece(typed(deberta) + plain, 3), converted(
            v3, 3, specials(deberta, ("[MASK]", "special")), [strip(True), CHARSMAP, spaces], pair_template(number(v3), "[CLS]", "[SEP]"))),
    }


def requests():
    for text in TEXTS:
        yield {"text": text}
    for text, pair in (("the cat", "ab ab ab"), ("", "a"), ("xxxx ab ab cat", "한국어 the cat the cat")):
        yield {"text": text, "pair": pair}
        for truncation in ("longest_first", "only_first", "only_second"):
            yield {"text": text, "pair": pair, "max_length": 9, "truncation": truncation}
        for direction in ("left", "right"):
            yield {"text": text, "pair": pair, "max_length": 8, "truncation": "longest_first", **({"direction": "left"} if direction == "left" else {})}
    for text in ("the cat the cat at s x", "ab <mask> 한국어 ..... x"):
        yield {"text": text, "max_length": 6, "truncation": "longest_first"}
        yield {"text": text, "max_length": 6, "truncation": "longest_first", "windows": True, "stride": 2}
    yield {"words": ["the", "cat", " a", "", "<mask>", "①"]}
    yield {"text": "the cat", "no_special": True}


def main():
    os.environ["RUST_BACKTRACE"] = "0"
    byte_pieces = [f"<0x{byte:02X}>" for byte in range(256)]
    vocab = [[piece, 0.0 if piece in SPECIAL else -1.0 - 0.25 * (i % 7) - (2.0 if len(piece) == 1 else 0.0)]
             for i, piece in enumerate(dict.fromkeys(SPECIAL + PIECES + byte_pieces))]
    with open(HERE / "unigram_models.json", "w", encoding="utf-8") as file:
        file.write('{"vocab": ' + compact(vocab) + ',\n"models": {\n')
        file.write(",\n".join(f'"{name}": ' + compact(m) for name, m in MODELS.items()) + '},\n"files": {\n')
        made = files(vocab)
        file.write(",\n".join(f'"{name}": ' + compact({"class": kind, "model": base64.b64encode(data).decode()})
                              for name, (kind, data, _) in made.items()) + "}}\n")
    with open(HERE / "unigram_cases.jsonl", "w", encoding="utf-8") as file:
        for name, settings in [*MODELS.items(), *((name, settings) for name, (_, _, settings) in made.items())]:
            whole = dict(settings, model=dict({"vocab": vocab}, **settings["model"]))
            tokenizer = tokenizers.Tokenizer.from_str(json.dumps(whole))
            for asked in requests():
                answer = official(tokenizer, asked)
                # Of a token that is looked for in the normalized text the library decodes what that became.
                if list(asked) == ["text"] and name != "added" and not name.startswith("spm"):
                    asked["decoded"] = tokenizer.decode(answer[0]["ids"])
                file.write(compact(dict(asked, model=name, expect=answer)) + "\n")


if __name__ == "__main__":
    main()
