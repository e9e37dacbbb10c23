# SPDX-License-Identifier: Apache-2.0
"""Inputs of any size, a function a kind; each returns bytes."""
import io
import json
import math
import struct
import zipfile

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "##a", "b", " ", "\t", "\u1100", "##\u1161", "##\u11a8"]
NORMALIZER = {"type": "BertNormalizer"}


def text(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def tokenizer(pieces=(), added=(), processor=None):
    vocab = {piece: i for i, piece in enumerate([*WORDS, *pieces])}
    model = {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100, "vocab": vocab}
    return text({"version": "1.0", "added_tokens": list(added), "normalizer": NORMALIZER, "pre_tokenizer": {"type": "BertPreTokenizer"},
                 "post_processor": processor, "model": model})


def unigram(pieces=(), normalizer=None, **more):
    vocab = [[piece, -1.0 - len(piece) % 3] for piece in dict.fromkeys(["<unk>", "\u2581", "a", "ab", "ba", *pieces])]
    model = {"type": "Unigram", "unk_id": 0, "vocab": vocab, **more}
    return text({"version": "1.0", "added_tokens": [], "normalizer": normalizer, "pre_tokenizer": {"type": "Metaspace", "replacement": "\u2581"}, "model": model})


def steps():
    """Normalizers one after the other."""
    replace = {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": "\u2581"}
    parts = [{"type": kind} for kind in ("NFD", "NFKC", "StripAccents", "Lowercase", "Nmt")]
    return {"type": "Sequence", "normalizers": [*parts, replace, {"type": "Strip", "strip_left": True, "strip_right": True}]}


def bpe(merges=(), pieces=(), **more):
    vocab = dict.fromkeys([*WORDS[:4], "a", "b", *pieces, *("".join(pair) for pair in merges)])
    model = {"type": "BPE", "unk_token": "[UNK]", "vocab": {piece: i for i, piece in enumerate(vocab)}, "merges": list(merges)}
    return text({"version": "1.0", "added_tokens": [], "pre_tokenizer": None, "model": model, **more})


def merges(n):
    """Pairs of names."""
    return [[f"n{i}", f"m{i % 7}"] for i in range(n)]


def merge_parts(n):
    return [part for pair in merges(n) for part in pair]


DOUBLES = [["a" * 2**i] * 2 for i in range(8)]  # any run of the letter merges all the way up
TWICE = [["a", "b"], ["b", "a"], ["ab", "a"], ["a", "ba"], *DOUBLES]
SPLITS = {"pre_tokenizer": {"type": "Sequence", "pretokenizers": [
    {"type": "Digits", "individual_digits": True}, {"type": "Punctuation", "behavior": "Contiguous"},
    {"type": "Split", "pattern": {"Regex": r"\s+"}, "behavior": "MergedWithNext", "invert": True},
    {"type": "Split", "pattern": {"String": "aab"}, "behavior": "MergedWithPrevious", "invert": False}]}}
TRIMMED = {"post_processor": {"type": "ByteLevel", "trim_offsets": True},
           "added_tokens": [{"content": " ", "lstrip": True, "rstrip": True, "normalized": False}, {"content": "\t", "normalized": False}]}


def names(n):
    return [f"n{i}" for i in range(n)]


def flood(n):
    """Names that stand close together in a table by a hash without a key: FNV's, its multiplier the golden ratio."""
    slots, found, i, mask = 16, [], 0, (1 << 64) - 1
    while slots < n + n // 2:
        slots *= 2
    while len(found) < n:
        name, value, i = "", 0xCBF29CE484222325, i + 1
        rest = i
        while rest > 0:
            name, rest = name + chr(97 + rest % 26), rest // 26
        for byte in name.encode():
            value = (value ^ byte) * 0x9E3779B97F4A7C15 & mask
        value = (value ^ value >> 32) * 0xD6E8FEB86659FD93 & mask
        if ((value ^ value >> 32) & (slots - 1)) < slots // 16:
            found.append(name)
    return found


def safetensors(header):
    data = text(header)
    return struct.pack("<Q", len(data)) + data


# ---- Tokenizers ----


def added_tokens(n):
    added = [{"content": f"t{i}", "special": i % 2 == 0} for i in range(n)]
    special = {"[CLS]": {"id": "[CLS]", "ids": [2], "tokens": ["[CLS]"]}, "t1": {"id": "t1", "ids": [len(WORDS) + 1] * 64, "tokens": ["t1"] * 64}}
    parts = [{"SpecialToken": {"id": "t1", "type_id": 0}}] * 62
    single = [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}, *parts]
    pair = [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}, *parts]
    return tokenizer(added=added, processor={"type": "TemplateProcessing", "single": single, "pair": pair, "special_tokens": special})


def alike(n):
    """Added tokens that all begin as the text goes on."""
    return tokenizer(added=[{"content": "aaaa" + name, "normalized": False} for name in names(n)])


SPACES = [{"content": " ", "lstrip": True, "rstrip": True, "normalized": False}, {"content": "\t", "normalized": False}]
NORMALIZED = [{"content": " ", "lstrip": True, "rstrip": True, "normalized": True}, {"content": "aa", "normalized": True, "single_word": True}]

# ---- Weights ----


def torch(n):
    def word(value):
        data = value.encode()
        return b"X" + struct.pack("<I", len(data)) + data

    dictionary = b"ccollections\nOrderedDict\n)R"
    storage = lambda i: b"(" + word("storage") + b"ctorch\nFloatStorage\n" + word(str(i)) + word("cpu") + b"K\1tQ"
    tensor = lambda i: b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage(i) + b"K\0K\1\x85K\1\x85\x89" + dictionary + b"tR"
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("a/data.pkl", b"\x80\2" + dictionary + b"(" + b"".join(word(f"t{i}") + tensor(i) for i in range(n)) + b"u.")
        for i in range(n):
            archive.writestr(f"a/data/{i}", bytes(4))
    return out.getvalue()


def hdf5(n):
    """n links that all lie in the last of 40 n blocks of a heap."""
    rows, width, link = 40, n, b"\1\0\1x" + bytes(8)
    heap = 97
    table = heap + 142
    at_link = table + 21 + 8 * rows * width
    tree = at_link + len(link)
    leaf = tree + 26
    size = lambda row: 1 if row < 2 else 1 << (row - 1)
    place = sum(width * size(row) for row in range(rows - 1)) + (width - 1) * size(rows - 1)
    end = leaf + 6 + 14 * n + len(link) * n
    out = b"\x89HDF\r\n\x1a\n\2\x08\x08\0" + struct.pack("<4Q", 0, 2**64 - 1, end, 48) + bytes(4)
    out += b"OHDR\2\0\x16\2\x12\0\0\0\0" + struct.pack("<QQ", heap, tree)
    out = out.ljust(heap, b"\0") + b"FRHP\0" + struct.pack("<HHBI", 10, 0, 0, 255) + bytes(96)
    out += struct.pack("<HQQHHQH", width, 1, 1 << 38, 64, 0, table, rows)
    out = out.ljust(table, b"\0") + b"FHIB\0" + bytes(16 + 8 * (rows * width - 1)) + struct.pack("<Q", at_link) + link
    out += b"BTHD\0\5" + struct.pack("<IHHHQH", 512, 14, 0, 0, leaf, n) + b"BTLF\0\5"
    return out + (bytes(5) + struct.pack("<QB", place, len(link))) * n + bytes(len(link) * n)


def crc32c(data, table=[]):
    if not table:
        for i in range(256):
            for _ in range(8):
                i = i >> 1 ^ (0x82F63B78 if i & 1 else 0)
            table.append(i)
    value = 0xFFFFFFFF
    for byte in data:
        value = value >> 8 ^ table[(value ^ byte) & 255]
    value ^= 0xFFFFFFFF
    return ((value >> 15 | value << 17) + 0xA282EAD8) & 0xFFFFFFFF


def varint(n):
    return bytes([n]) if n < 128 else bytes([n & 127 | 128]) + varint(n >> 7)


def entry(key, value):
    return b"\0" + varint(len(key)) + varint(len(value)) + key + value


def end_of(block):
    return b"\0" + struct.pack("<I", crc32c(block + b"\0"))


def bundle(blocks, handles):
    """`blocks` are bytes of a file, `handles` of its blocks: (place, size)."""
    index = b"".join(entry(b"i%07d" % i, varint(at) + varint(size)) for i, (at, size) in enumerate(handles)) + bytes(4)
    footer = (varint(0) + varint(0) + varint(len(blocks)) + varint(len(index))).ljust(40, b"\0")
    return blocks + index + end_of(index) + footer + struct.pack("<Q", 0xDB4775248B80FB57)


HEADER = entry(b"", b"\x08\1") + bytes(4)


def bundle_entries(n):
    block = b"".join(entry(b"k%07d" % i, b"\x08\1\x12\4\x12\2\x08\0") for i in range(n)) + bytes(4)
    first = HEADER + end_of(HEADER)
    return bundle(first + block + end_of(block), [(0, len(HEADER)), (len(first), len(block))])


def bundle_blocks(n):
    """Each block is the value of the one entry of the block around it."""
    first = HEADER + end_of(HEADER)
    block, places = b"", []
    for i in reversed(range(n)):
        value = b"\x08\1\x7a" + varint(len(block)) + block
        whole = entry(b"k%07d" % i, value) + bytes(4)
        places = [(at + len(whole) - len(block) - 4, size) for at, size in places]
        block = whole + end_of(whole)
        places.insert(0, (0, len(whole)))
    return bundle(first + block, [(0, len(HEADER))] + [(len(first) + at, size) for at, size in places])


def field(number, data):
    """Of a protobuf message."""
    return varint(number << 3 | 2) + varint(len(data)) + data


def onnx(n, called=None, data=lambda i: field(9, bytes(4))):
    """n initializers and a chain of n nodes."""
    called = [name.encode() for name in called or [f"t{i}" for i in range(n)]]
    node = lambda i: field(1, b"x" if i == 0 else b"y%d" % (i - 1)) + field(1, called[i]) + field(2, b"y%d" % i) + field(3, b"n%d" % i) + field(4, b"Add")
    tensor = lambda i: b"\x08\1\x10\1" + field(8, called[i]) + data(i)
    shape = field(2, field(1, b"\x08\1"))
    value = lambda name: field(1, name) + field(2, field(1, b"\x08\1" + shape))
    graph = b"".join(field(1, node(i)) for i in range(n)) + field(2, b"g") + b"".join(field(5, tensor(i)) for i in range(n))
    graph += field(11, value(b"x")) + field(12, value(b"y%d" % (n - 1)))
    return b"\x08\x08" + field(7, graph) + field(8, b"\x10\x11")


def onnx_files(n):
    """Each initializer in a file of its own."""
    called = [f"{'d' * 200}{i}" for i in range(n)]
    external = lambda i: field(13, field(1, b"location") + field(2, called[i].encode())) + b"\x70\1"
    return {"model.onnx": onnx(n, data=external), **{name: bytes(4) for name in called}}


# ---- Folders ----


def weights(shapes):
    header, at = {}, 0
    for name, shape in shapes.items():
        end = at + 4 * math.prod(shape)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [at, end]}
        at = end
    return safetensors(header) + bytes(at)


def sharded(n, shards=10):
    files = [{f"t{i}": [1] for i in range(n) if i % shards == k} for k in range(shards)]
    index = {"weight_map": {name: f"{k}.safetensors" for k, file in enumerate(files) for name in file}}
    return {"model.safetensors.index.json": text(index), **{f"{k}.safetensors": weights(file) for k, file in enumerate(files)}}


def package(n):
    module = lambda name: {"type": f"sentence_transformers.models.{name}", "path": ""}
    sentences = {"prompts": {name: name for name in names(n)}, "default_prompt_name": f"n{n - 1}"}
    return {"modules.json": text([module("Transformer"), *[module("Dropout")] * n]), "config_sentence_transformers.json": text(sentences)}


def checkpoint(layers):
    """A classifier of that many layers."""
    shapes = {f"embeddings.{name}_embeddings.weight": [rows, 4] for name, rows in (("word", 6), ("position", 4), ("token_type", 2))}
    linears = ["attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense", "intermediate.dense", "output.dense"]
    stems = [f"encoder.layer.{i}.{name}" for i in range(layers) for name in linears] + ["pooler.dense"]
    norms = ["embeddings.LayerNorm", *[f"encoder.layer.{i}.{name}.LayerNorm" for i in range(layers) for name in ("attention.output", "output")]]
    shapes |= {f"{stem}.weight": [4, 4] for stem in stems} | {f"{stem}.bias": [4] for stem in stems}
    shapes |= {f"{norm}.{part}": [4] for norm in norms for part in ("weight", "bias")}
    shapes = {f"bert.{name}": shape for name, shape in shapes.items()} | {"classifier.weight": [3, 4], "classifier.bias": [3]}
    return {"config.json": bert(3, layers), "model.safetensors": weights(shapes)}


# ---- Graphs ----


def graph(nodes, constants, output):
    lines = ["graph level=0 mask_id=-1", "input x f32 [batch, 4]", *constants, *nodes, f"output {output}"]
    return "\n".join(lines).encode() + b"\n"


def chain(n, node):
    nodes = [f"c{i} = " + node.format("x" if i == 0 else f"c{i - 1}:0") for i in range(n)]
    return graph(nodes, ["const one f32 rows [] = {1}", "const w f32 rows [4, 4]", "const b f32 rows [4]"], f"c{n - 1}:0")


def layers(n):
    """n times what a layer of a network has: a product, a vector, an activation."""
    nodes = []
    for i in range(n):
        before = "x" if i == 0 else f"r{i - 1}:0"
        nodes += [f"m{i} = MatMul({before}, w)", f"a{i} = Add(m{i}:0, b)", f"r{i} = Relu(a{i}:0)"]
    return graph(nodes, ["const w f32 rows [4, 4]", "const b f32 rows [4]"], f"r{n - 1}:0")


def ragged(nodes, constants, output):
    lines = ["graph level=3 mask_id=-1", "input x f32 [tokens, 4]", *constants, *nodes, f"output {output}"]
    return "\n".join(lines).encode() + b"\n"


def selects(n):
    """n sums, each of the first tokens of a product of its own."""
    nodes = []
    for i in range(n):
        nodes += [f"m{i} = Linear(x, w)", f"f{i} = Select(m{i}:0) select=first"]
        nodes += [f"s{i} = Add({'f0' if i == 0 else f's{i - 1}'}:0, f{i}:0)"]
    return ragged(nodes, ["const w f32 rows [4, 4]"], f"s{n - 1}:0")


def gemms(n):
    """n products with one matrix, which each transposes for itself."""
    nodes = [f"g{i} = Gemm({'x' if i == 0 else f'g{i - 1}:0'}, w, b) trans_b=1" for i in range(n)]
    return graph(nodes, ["const w f32 rows [4, 4]", "const b f32 rows [4]"], f"g{n - 1}:0")


def narrow(n):
    """n sums, each of two products: of the sum before, and of what all read."""
    nodes = []
    for i in range(n):
        nodes += [f"a{i} = Linear({'x' if i == 0 else f's{i - 1}:0'}, w)", f"b{i} = Linear(x, w)", f"s{i} = Add(a{i}:0, b{i}:0)"]
    return ragged(nodes, ["const w f32 p16 [4, 4]"], f"s{n - 1}:0")


def matrices(n):
    """A chain of n products, each with a packed matrix of its own."""
    nodes = [f"m{i} = Linear({'x' if i == 0 else f'm{i - 1}:0'}, w{i})" for i in range(n)]
    return ragged(nodes, [f"const w{i} f32 p16 [4, 4]" for i in range(n)], f"m{n - 1}:0")


def constants(n, called=None):
    called = called or [f"v{i}" for i in range(n)]
    return graph([f"y = Add(x, {called[0]})"], [f"const {name} f32 rows [] = {{{i}}}" for i, name in enumerate(called)], "y:0")


def wide(n):
    """n sums, each of a value of its own with one that all share."""
    nodes = ["s = Relu(x)"]
    for i in range(n):
        nodes += [f"a{i} = Mul(s:0, v{i})", f"b{i} = Add({'s' if i == 0 else f'b{i - 1}'}:0, a{i}:0)"]
    return graph(nodes, [f"const v{i} f32 rows [] = {{{i + 2}}}" for i in range(n)], f"b{n - 1}:0")


def bert(labels, layers=1):
    return text({"model_type": "bert", "architectures": ["BertForSequenceClassification"], "num_hidden_layers": layers, "hidden_size": 4,
                 "num_attention_heads": 2, "intermediate_size": 4, "vocab_size": 6, "max_position_embeddings": 4, "type_vocab_size": 2,
                 "hidden_act": "gelu", "id2label": {str(i): f"label {i}" for i in range(labels)}})


def squad(n):
    questions = [{"question": f"q{i}", "answers": [{"text": "a"}]} for i in range(n)]
    return text({"data": [{"paragraphs": [{"context": "a b", "qas": questions}] + [{"context": "c", "qas": questions[:1]}] * n}]})
