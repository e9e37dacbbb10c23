/* SPDX-License-Identifier: Apache-2.0
 * TensorFlow's files: Keras's weights in HDF5 and google-research/bert's checkpoints. Small files of each
 * kind are in fuzz/corpus (fuzz/make_tensorflow.py), whole checkpoints in test/golden
 * (tools/make_checkpoints.py). */
#include "base/map.h"
#include "file/bundle.h"
#include "file/path.h"
#include "model/weights.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[64]; /* a temporary folder of this run */

static int make_folder(void **state) {
    (void)state;
    strcpy(folder, "/tmp/retort-tensorflow-test-XXXXXX");
    return mkdtemp(folder) != NULL ? 0 : -1;
}
static int remove_folder(void **state) {
    char command[128];
    (void)state;
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command);
}

static const char *at_root(const char *path) {
    static char out[RT_PATH_SIZE];
    const char *root = getenv("RETORT_ROOT");
    assert_true(rt_path_join(out, sizeof out, root != NULL ? root : ".", path));
    return out;
}

static void check_error(const char *what, retort_status status, retort_status wanted, const retort_error *err,
                        const char *fragment) {
    if (status != wanted || err->status != wanted || strstr(err->text, fragment) == NULL ||
        strchr(err->text, '\n') != NULL) {
        fail_msg("%s: expected %d '%s', found %d '%s'", what, wanted, fragment, status, err->text);
    }
}

/* A copy of its own size on the heap, where a sanitizer sees every step over its end. */
typedef struct bytes {
    uint8_t *data;
    size_t size;
} bytes;

static bytes load(const char *path) {
    rt_map map;
    retort_error err = {0};
    if (rt_map_open(&map, at_root(path), &err) != RETORT_OK) fail_msg("%s", err.text);
    bytes out = {malloc(map.size + 1), map.size};
    assert_non_null(out.data);
    memcpy(out.data, map.data, map.size);
    rt_map_close(&map);
    return out;
}

static bytes load_hdf5(const char *name) {
    char path[256];
    snprintf(path, sizeof path, "fuzz/corpus/hdf5/%s", name);
    return load(path);
}

/* ---- HDF5 ---- */

static void test_hdf5_reads(void **state) {
    static const struct {
        const char *file, *tensor;
        size_t count;
        retort_dtype dtype;
        int rank;
    } cases[] = {
        {"keras", "bert/m/bert/encoder/layer_._1/dense/kernel:0", 3, RETORT_F32, 2},
        {"compact", "bert/m/bert/dense/bias:0", 3, RETORT_F16, 1},
        {"dense", "bert/m/bert/encoder/layer_._11/dense/kernel:0", 13, RETORT_F32, 2},
        {"bfloat16", "a", 1, RETORT_BF16, 1},
        {"scalar", "a", 1, RETORT_F32, 0},
        {"no_elements", "a", 1, RETORT_F32, 2},
    };
    static const float two[2] = {1, 2};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        rt_tensors tensors;
        retort_error err = {0};
        float values[2] = {1, 2};
        size_t count;
        bytes file = load_hdf5(cases[i].file);
        if (rt_hdf5_parse(&tensors, "x", file.data, file.size, &err) != RETORT_OK) fail_msg("%s", err.text);
        const rt_tensor *t = rt_tensors_find(&tensors, cases[i].tensor);
        assert_non_null(t);
        assert_int_equal(tensors.count, cases[i].count);
        assert_int_equal(t->dtype, cases[i].dtype);
        assert_int_equal(t->rank, cases[i].rank);
        assert_true(rt_shape_count(t->shape, t->rank, &count) && count <= 2);
        assert_true(rt_to_f32(values, t->data, t->dtype, count));
        if (count == 2) assert_memory_equal(values, two, sizeof two);
        rt_tensors_close(&tensors);
        free(file.data);
    }
}

static void test_hdf5_refuses(void **state) {
    static const struct {
        const char *file;
        retort_status status;
        const char *fragment;
    } cases[] = {
        {"soft_link", RETORT_UNSUPPORTED, "x: '/': 'a' is a soft link; only hard links are read"},
        {"soft_link_new", RETORT_UNSUPPORTED, "x: '/': 'a' is a soft link"},
        {"external_link", RETORT_UNSUPPORTED, "x: '/': 'a' is an external link"},
        {"user_link", RETORT_UNSUPPORTED, "x: '/': 'a' is a user-defined link"},
        {"external_storage", RETORT_UNSUPPORTED, "x: '/a': its data is in another file"},
        {"virtual", RETORT_UNSUPPORTED, "x: '/a': expected contiguous storage, found virtual"},
        {"chunked", RETORT_UNSUPPORTED, "x: '/a': expected contiguous storage, found chunked"},
        {"gzip", RETORT_UNSUPPORTED, "x: '/a': expected contiguous storage, found chunked with filters"},
        {"integer", RETORT_UNSUPPORTED, "f32, f16 or bf16, found an integer of 4 bytes"},
        {"double", RETORT_UNSUPPORTED, "f32, f16 or bf16, found a float of 8 bytes"},
        {"big_endian", RETORT_UNSUPPORTED, "found a float of 4 bytes, big-endian"},
        {"string", RETORT_UNSUPPORTED, "found a variable length of 16 bytes"},
        {"named_type", RETORT_UNSUPPORTED, "x: '/a': expected a group or a dataset, found a named type"},
        {"null_space", RETORT_UNSUPPORTED, "x: '/a': its space is empty"},
        {"huge", RETORT_FORMAT, "x: '/a': [1099511627776, 1048576] was never written"},
        {"huge_written", RETORT_FORMAT, "x: '/a': shape [4611686018427387904, 2] is too big for any memory"},
        {"large_written", RETORT_FORMAT,
         "x: '/a': f32 [1099511627776, 2] needs 8796093022208 bytes, found 8"},
        {"many", RETORT_UNSUPPORTED, "x: '/': a group of this many members is not read"},
        {"unwritten", RETORT_FORMAT, "x: '/a': [1099511627776, 4] was never written"},
        {"cycle", RETORT_FORMAT, "parts of the file are used twice"},
        {"nothing", RETORT_FORMAT, "x: HDF5: no dataset in it"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        rt_tensors tensors;
        retort_error err = {0};
        bytes file = load_hdf5(cases[i].file);
        retort_status status = rt_hdf5_parse(&tensors, "x", file.data, file.size, &err);
        check_error(cases[i].file, status, cases[i].status, &err, cases[i].fragment);
        assert_null(tensors.items);
        free(file.data);
    }
}

static uint8_t touch(const rt_tensors *tensors) {
    uint8_t sum = 0;
    for (size_t i = 0; i < tensors->count; i++) {
        const rt_tensor *t = &tensors->items[i];
        size_t count;
        assert_true(rt_shape_count(t->shape, t->rank, &count));
        for (size_t n = 0; n < count * rt_dtype_size(t->dtype); n++) sum ^= ((const uint8_t *)t->data)[n];
    }
    return sum;
}

/* Every beginning of a file is refused; a changed byte gives an error or tensors that lie in the file. */
static void test_hdf5_spoilt(void **state) {
    static const char *const names[] = {"keras", "compact", "dense", "virtual"};
    (void)state;
    for (size_t f = 0; f < sizeof names / sizeof *names; f++) {
        rt_tensors tensors;
        retort_error err = {0};
        bytes file = load_hdf5(names[f]);
        for (size_t size = 0; size < file.size; size += size < 256 ? 1 : 61) {
            uint8_t *cut = malloc(size + 1);
            assert_non_null(cut);
            memcpy(cut, file.data, size);
            assert_int_not_equal(rt_hdf5_parse(&tensors, "x", cut, size, &err), RETORT_OK);
            free(cut);
        }
        for (size_t at = 0; at < file.size; at++) {
            for (unsigned change = 1; change < 256; change = change * 4 + 3) {
                file.data[at] ^= (uint8_t)change;
                if (rt_hdf5_parse(&tensors, "x", file.data, file.size, &err) == RETORT_OK) {
                    touch(&tensors);
                    rt_tensors_close(&tensors);
                }
                file.data[at] ^= (uint8_t)change;
            }
        }
        free(file.data);
    }
}

static void test_hdf5_superblock(void **state) {
    static const struct {
        size_t at;
        uint8_t value;
        const char *fragment;
    } cases[] = {
        {8, 4, "a superblock of a version above 3"},
        {13, 3, "addresses or lengths of other than 2, 4 or 8 bytes"},
        {14, 16, "addresses or lengths of other than 2, 4 or 8 bytes"},
        {24, 1, "a user block before the data"},
        {43, 1, "cut short: expected"},
        {71, 1, "cut short: a header of"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        rt_tensors tensors;
        retort_error err = {0};
        bytes file = load_hdf5("keras");
        file.data[cases[i].at] = cases[i].value;
        retort_status status = rt_hdf5_parse(&tensors, "x", file.data, file.size, &err);
        check_error("superblock", status, RETORT_FORMAT, &err, cases[i].fragment);
        free(file.data);
    }
}

/* ---- Checkpoints: an index put together here ---- */

typedef struct index_entry {
    const char *key, *value;
    size_t value_size;
} index_entry;

static rt_crc32c_table crc;
static const float numbers[4] = {1, -2, 3, 0.5f};

static void put_byte(rt_buffer *out, size_t byte) {
    rt_buffer_append(out, (uint8_t[]){(uint8_t)byte}, 1);
}
static void put32(rt_buffer *out, uint32_t n) {
    for (int i = 0; i < 4; i++) put_byte(out, n >> (8 * i) & 255u);
}

/* Numbers of the restarts, how the block is packed, its checksum. */
static void end_block(rt_buffer *out, size_t from) {
    put32(out, 0);
    put32(out, 1);
    put_byte(out, 0);
    put32(out, rt_bundle_mask(rt_crc32c(&crc, 0, (uint8_t *)out->data + from, out->length - from)));
}

static rt_buffer make_index(const index_entry *entries, size_t count) {
    rt_buffer out = {0};
    rt_crc32c_make(&crc);
    for (size_t i = 0; i < count; i++) {
        put_byte(&out, 0);
        put_byte(&out, strlen(entries[i].key));
        put_byte(&out, entries[i].value_size);
        rt_buffer_text(&out, entries[i].key);
        rt_buffer_append(&out, entries[i].value, entries[i].value_size);
    }
    size_t size = out.length + 8;
    end_block(&out, 0);
    size_t list = out.length;
    rt_buffer_append(&out, "\0\0\3\0", 4);
    put_byte(&out, (size & 127) | 128);
    put_byte(&out, size >> 7);
    size_t list_size = out.length - list + 8;
    end_block(&out, list);
    size_t footer = out.length;
    rt_buffer_append(&out, "\0\0", 2);
    put_byte(&out, (list & 127) | 128);
    put_byte(&out, list >> 7);
    put_byte(&out, list_size);
    while (out.length < footer + 40) put_byte(&out, 0);
    put32(&out, 0x8b80fb57u);
    put32(&out, 0xdb477524u);
    assert_false(out.failed);
    return out;
}

/* An entry's last field: the checksum of numbers[0…n). */
static void entry_with_crc(char *out, size_t *size, const char *fields, size_t fields_size, size_t bytes_) {
    rt_crc32c_make(&crc);
    uint32_t masked = rt_bundle_mask(rt_crc32c(&crc, 0, (const uint8_t *)numbers, bytes_));
    memcpy(out, fields, fields_size);
    out[fields_size] = 0x35;
    for (int i = 0; i < 4; i++) out[fields_size + 1 + (size_t)i] = (char)(masked >> (8 * i));
    *size = fields_size + 5;
}

#define HEADER                                                                                               \
    { "", "\x08\1", 2 }

/* One tensor: its key, and the fields of its entry; *data is its file. */
static retort_status read_one(rt_tensors *out, const char *key, const char *fields, size_t fields_size,
                              size_t in_data, retort_error *err) {
    char value[128];
    size_t size;
    entry_with_crc(value, &size, fields, fields_size, sizeof numbers);
    rt_buffer index = make_index((index_entry[]){HEADER, {key, value, size}}, 2);
    rt_map data = {.data = (const uint8_t *)numbers, .size = in_data};
    retort_status status = rt_bundle_parse(out, "x", (uint8_t *)index.data, index.length, &data, err);
    rt_buffer_free(&index);
    return status;
}

/* float (1), shape [2, 2], 16 bytes. */
#define SQUARE "\x08\1\x12\x08\x12\2\x08\2\x12\2\x08\2\x28\x10"

static void test_bundle_reads(void **state) {
    rt_tensors tensors;
    retort_error err = {0};
    (void)state;
    if (read_one(&tensors, "a/kernel", SQUARE, sizeof SQUARE - 1, sizeof numbers, &err) != RETORT_OK)
        fail_msg("%s", err.text);
    const rt_tensor *t = rt_tensors_find(&tensors, "a/kernel");
    assert_non_null(t);
    assert_int_equal(t->dtype, RETORT_F32);
    assert_int_equal(t->rank, 2);
    assert_ptr_equal(t->data, numbers);
    if (rt_weights_rename(&tensors, "x", &err) != RETORT_OK) fail_msg("%s", err.text);
    t = rt_tensors_find(&tensors, "a.weight");
    assert_non_null(t);
    assert_memory_equal(t->data, ((float[]){1, 3, -2, 0.5f}), sizeof numbers);
    rt_tensors_close(&tensors);
}

static void test_bundle_refuses(void **state) {
#define FIELDS(text) text, sizeof text - 1
    static const struct {
        const char *key, *fields;
        size_t fields_size, data;
        retort_status status;
        const char *fragment;
    } cases[] = {
        {"a", FIELDS(SQUARE), 15, RETORT_FORMAT, "x: tensor 'a': 16 bytes at 0 of data file 0, which has 15"},
        {"a", FIELDS(SQUARE "\x20\1"), 16, RETORT_FORMAT, "x: tensor 'a': 16 bytes at 1 of data file 0"},
        {"a", FIELDS(SQUARE "\x20\xff\xff\xff\xff\xff\xff\xff\xff\xff\1"), 16, RETORT_FORMAT,
         "bytes at 18446744073"},
        {"a", FIELDS(SQUARE "\x18\1"), 16, RETORT_FORMAT, "expected it in a file below 1, found 1"},
        {"a", FIELDS(SQUARE "\x28\x11"), 16, RETORT_FORMAT, "f32 [2, 2] needs 16 bytes, found 17"},
        {"a", FIELDS(SQUARE "\x3a\0"), 16, RETORT_UNSUPPORTED,
         "x: tensor 'a': a variable in slices is not read"},
        {"a", FIELDS(SQUARE "\x3b"), 16, RETORT_FORMAT, "x: tensor 'a': its entry or shape is malformed"},
        {"a", FIELDS("\x12\2\x18\1" SQUARE), 16, RETORT_FORMAT, "its entry or shape is malformed"},
        {"a", FIELDS(SQUARE "\x08\2"), 16, RETORT_UNSUPPORTED,
         "expected float, half or bfloat16, found double (type 2)"},
        {"a", FIELDS(SQUARE "\x08\x7f"), 16, RETORT_UNSUPPORTED, "found another (type 127)"},
        {"a", FIELDS("\x08\1\x12\x0a\x12\x08\x08\x80\x80\x80\x80\x80\x80\x40\x28\x10"), 16, RETORT_FORMAT,
         "f32 [281474976710656] needs 1125899906842624 bytes, found 16"},
        {"_CHECKPOINTABLE_OBJECT_GRAPH", FIELDS("\x08\7"), 16, RETORT_UNSUPPORTED,
         "x: a checkpoint of TensorFlow 2's objects"},
    };
#undef FIELDS
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        rt_tensors tensors;
        retort_error err = {0};
        retort_status status =
            read_one(&tensors, cases[i].key, cases[i].fields, cases[i].fields_size, cases[i].data, &err);
        check_error(cases[i].fragment, status, cases[i].status, &err, cases[i].fragment);
        assert_null(tensors.items);
    }
}

static void test_bundle_headers(void **state) {
    static const struct {
        index_entry entries[3];
        size_t count;
        retort_status status;
        const char *fragment;
    } cases[] = {
        {{HEADER}, 1, RETORT_FORMAT, "x: TensorFlow checkpoint: no tensors in it"},
        {{{"", "\x08\1\x10\1", 4}}, 1, RETORT_UNSUPPORTED, "written on a big-endian machine"},
        {{{"", "\x08\0", 2}}, 1, RETORT_LIMIT, "names 0 data files; expected 1 to 1000"},
        {{{"", "\x08", 1}}, 1, RETORT_FORMAT, "its header is malformed"},
        {{{"a", "\x08\1", 2}}, 1, RETORT_FORMAT, "its index does not begin with a header"},
        {{HEADER, {"b", "\x08\1", 2}, {"a", "\x08\1", 2}}, 3, RETORT_FORMAT, "tensor 'a' is out of order"},
        {{HEADER, {"b", "\x08\1", 2}, {"b", "\x08\1", 2}},
         3,
         RETORT_FORMAT,
         "tensor 'b' is out of order, or there twice"},
        {{{"", "\x08\2", 2}, {"b", "\x08\1", 2}}, 2, RETORT_FORMAT, "expected 1 data file, found 2"},
    };
    const rt_map data = {.data = (const uint8_t *)numbers, .size = sizeof numbers};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        rt_tensors tensors;
        retort_error err = {0};
        rt_buffer index = make_index(cases[i].entries, cases[i].count);
        retort_status status =
            rt_bundle_parse(&tensors, "x", (uint8_t *)index.data, index.length, &data, &err);
        check_error(cases[i].fragment, status, cases[i].status, &err, cases[i].fragment);
        rt_buffer_free(&index);
    }
}

/* Every byte of a real index counts: changed or missing, it is refused, but for those of the footer's padding
 * and of the list of blocks that are not used. */
static void test_bundle_spoilt(void **state) {
    static const char prefix[] = "test/golden/checkpoints/bert-classify-tensorflow/bert_model.ckpt";
    char path[256];
    retort_error err = {0};
    rt_tensors tensors;
    (void)state;
    snprintf(path, sizeof path, "%s.index", prefix);
    bytes index = load(path);
    snprintf(path, sizeof path, "%s.data-00000-of-00001", prefix);
    bytes data = load(path);
    const rt_map map = {.data = data.data, .size = data.size};
    for (size_t size = 0; size < index.size; size++) {
        uint8_t *cut = malloc(size + 1);
        assert_non_null(cut);
        memcpy(cut, index.data, size);
        assert_int_not_equal(rt_bundle_parse(&tensors, "x", cut, size, &map, &err), RETORT_OK);
        free(cut);
    }
    size_t passed = 0;
    for (size_t at = 0; at < index.size; at++) {
        index.data[at] ^= 1;
        if (rt_bundle_parse(&tensors, "x", index.data, index.size, &map, &err) == RETORT_OK) {
            passed++;
            rt_tensors_close(&tensors);
        }
        index.data[at] ^= 1;
    }
    assert_in_range(passed, 1, 60); /* the other block of the footer, 13 bytes, and its place; padding */
    data.data[1000] ^= 1;
    check_error("data", rt_bundle_parse(&tensors, "x", index.data, index.size, &map, &err), RETORT_FORMAT,
                &err, "its bytes do not have its checksum");
    free(index.data);
    free(data.data);
}

/* RFC 3720, B.4. */
static void test_crc32c(void **state) {
    uint8_t data[32] = {0};
    (void)state;
    rt_crc32c_make(&crc);
    assert_int_equal(rt_crc32c(&crc, 0, data, 32), 0x8a9136aau);
    for (size_t i = 0; i < 32; i++) data[i] = (uint8_t)i;
    assert_int_equal(rt_crc32c(&crc, 0, data, 32), 0x46dd794eu);
    assert_int_equal(rt_crc32c(&crc, rt_crc32c(&crc, 0, data, 13), data + 13, 19), 0x46dd794eu);
}

/* ---- Folders ---- */

static void write_text(const char *name, const char *text) {
    char path[RT_PATH_SIZE];
    assert_true(rt_path_join(path, sizeof path, folder, name));
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void test_newest(void **state) {
    static const struct {
        const char *text, *fragment;
    } cases[] = {
        {"", "checkpoint: expected it to begin with model_checkpoint_path"},
        {"model_checkpoint_path: \"a", "expected it to begin with model_checkpoint_path"},
        {"model_checkpoint_path: \"\"\n", "'' is no file name of the folder"},
        {"model_checkpoint_path: \"../x/\"\n", "'' is no file name of the folder"},
        {"model_checkpoint_path: \"a\\\\b\"\n", "'a\\\\b' is no file name of the folder"},
        {"model_checkpoint_path: \"/tmp/../gone-7\"\n", "/gone-7.index: cannot open"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        rt_tensors tensors;
        retort_error err = {0};
        write_text("checkpoint", cases[i].text);
        retort_status status = rt_tensors_open_folder(&tensors, folder, &err);
        assert_int_not_equal(status, RETORT_OK);
        check_error(cases[i].text, status, err.status, &err, cases[i].fragment);
    }
}

/* ---- Names ---- */

static void test_names(void **state) {
    static const struct {
        rt_naming naming;
        const char *name, *torch;
    } cases[] = {
        {RT_NAMES_KERAS, "bert/tf_bert_model_3/bert/encoder/layer_._11/attention/self/query/kernel:0",
         "bert.encoder.layer.11.attention.self.query.weight"},
        {RT_NAMES_KERAS, "bert/bert/embeddings/LayerNorm/gamma:0", "bert.embeddings.LayerNorm.weight"},
        {RT_NAMES_KERAS, "bert/embeddings/word_embeddings/weight:0",
         "bert.embeddings.word_embeddings.weight"},
        {RT_NAMES_KERAS, "distilbert/x/distilbert/embeddings/position_embeddings/embeddings:0",
         "distilbert.embeddings.position_embeddings.weight"},
        {RT_NAMES_KERAS, "distilbert/x/distilbert/transformer/layer_._0/sa_layer_norm/beta:0",
         "distilbert.transformer.layer.0.sa_layer_norm.bias"},
        {RT_NAMES_KERAS, "mlm___cls/tf_bert_for_masked_lm/mlm___cls/predictions/bias:0",
         "cls.predictions.bias"},
        {RT_NAMES_KERAS, "classifier/x/classifier/bias:0", "classifier.bias"},
        {RT_NAMES_TENSORFLOW, "bert/encoder/layer_7/intermediate/dense/bias",
         "bert.encoder.layer.7.intermediate.dense.bias"},
        {RT_NAMES_TENSORFLOW, "bert/embeddings/token_type_embeddings",
         "bert.embeddings.token_type_embeddings.weight"},
        {RT_NAMES_TENSORFLOW, "output_weights", "classifier.weight"},
        {RT_NAMES_TENSORFLOW, "cls/squad/output_bias", "qa_outputs.bias"},
        {RT_NAMES_TENSORFLOW, "cls/seq_relationship/output_weights", "cls.seq_relationship.weight"},
        {RT_NAMES_TENSORFLOW, "bert/layer_norm/beta", "bert.layer_norm.bias"},
        {RT_NAMES_TENSORFLOW, "bert/pooler/dense/kernel/adam_v", NULL},
        {RT_NAMES_TENSORFLOW, "global_step", NULL},
        {RT_NAMES_TENSORFLOW, "//", "//"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        rt_tensors tensors = {.naming = cases[i].naming};
        retort_error err = {0};
        rt_tensor t = {.name = cases[i].name, .data = numbers, .rank = 1, .shape = {4}};
        assert_int_equal(rt_tensors_add(&tensors, "x", &t, &err), RETORT_OK);
        assert_int_equal(rt_weights_rename(&tensors, "x", &err), RETORT_OK);
        assert_int_equal(tensors.count, cases[i].torch != NULL);
        if (cases[i].torch != NULL) assert_string_equal(tensors.items[0].name, cases[i].torch);
        rt_tensors_close(&tensors);
    }
}

/* Kernels of some versions have a dimension for the heads. */
static void test_heads_apart(void **state) {
    static const struct {
        const char *name;
        int rank;
        int64_t shape[3], torch[2];
        float first[3];
    } cases[] = {
        {"bert/x/bert/self/query/kernel:0", 3, {2, 3, 2}, {6, 2}, {0, 6, 1}},
        {"bert/x/bert/output/dense/kernel:0", 3, {2, 3, 2}, {2, 6}, {0, 2, 4}},
        {"bert/x/bert/self/query/bias:0", 2, {3, 4}, {12}, {0, 1, 2}},
        {"bert/x/bert/pooler/dense/kernel:0", 2, {3, 4}, {4, 3}, {0, 4, 8}},
        {"bert/x/bert/word_embeddings/weight:0", 2, {3, 4}, {3, 4}, {0, 1, 2}},
    };
    float counted[12];
    (void)state;
    for (size_t i = 0; i < 12; i++) counted[i] = (float)i;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        rt_tensors tensors = {.naming = RT_NAMES_KERAS};
        retort_error err = {0};
        rt_tensor t = {.name = cases[i].name, .data = counted, .rank = cases[i].rank};
        memcpy(t.shape, cases[i].shape, sizeof cases[i].shape);
        assert_int_equal(rt_tensors_add(&tensors, "x", &t, &err), RETORT_OK);
        assert_int_equal(rt_weights_rename(&tensors, "x", &err), RETORT_OK);
        t = tensors.items[0];
        assert_int_equal(t.rank, cases[i].torch[1] != 0 ? 2 : 1);
        assert_memory_equal(t.shape, cases[i].torch, (size_t)t.rank * sizeof *t.shape);
        assert_memory_equal(t.data, cases[i].first, sizeof cases[i].first);
        rt_tensors_close(&tensors);
    }
}

/* ---- Models ---- */

static void save_import(const char *checkpoint, int level, const char *path) {
    char source[256];
    retort_model *model = NULL;
    retort_error err = {0};
    retort_import_options options = RETORT_IMPORT_OPTIONS;
    options.level = level;
    snprintf(source, sizeof source, "test/golden/checkpoints/%s", checkpoint);
    if (retort_model_import(&model, at_root(source), &options, &err) != RETORT_OK) fail_msg("%s", err.text);
    if (retort_model_save(model, path, &err) != RETORT_OK) fail_msg("%s", err.text);
    retort_model_free(model);
}

/* Whatever the file's format, the same weights give the same model file, byte for byte. */
static void test_same_bytes(void **state) {
    static const char *const pairs[][2] = {
        {"distilbert-classify", "distilbert-classify-keras"},
        {"bert-classify", "bert-classify-keras"},
        {"bert-classify", "bert-classify-tensorflow"},
        {"bert-answer", "bert-answer-trained"},
    };
    char first[128], second[128];
    (void)state;
    snprintf(first, sizeof first, "%s/first.retort", folder);
    snprintf(second, sizeof second, "%s/second.retort", folder);
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        for (int level = 0; level <= 3; level += 3) {
            rt_tensors a, b;
            retort_error err = {0};
            save_import(pairs[i][0], level, first);
            save_import(pairs[i][1], level, second);
            assert_int_equal(rt_tensors_open(&a, first, &err), RETORT_OK);
            assert_int_equal(rt_tensors_open(&b, second, &err), RETORT_OK);
            assert_int_equal(a.count, b.count);
            for (size_t k = 0; k < a.count; k++) {
                const rt_tensor *x = &a.items[k], *y = &b.items[k];
                size_t count;
                assert_string_equal(x->name, y->name);
                assert_int_equal(x->dtype, y->dtype);
                assert_int_equal(x->rank, y->rank);
                assert_memory_equal(x->shape, y->shape, sizeof x->shape);
                assert_true(rt_shape_count(x->shape, x->rank, &count));
                assert_memory_equal(x->data, y->data, count * rt_dtype_size(x->dtype));
            }
            rt_tensors_close(&a);
            rt_tensors_close(&b);
        }
    }
}

/* Google's folders have no labels and no task in their configuration: the weights tell. */
static void test_google_config(void **state) {
    rt_encoder e;
    retort_error err = {0};
    const retort_task embed = RETORT_TASK_EMBED;
    const char *classify = "test/golden/checkpoints/bert-classify-tensorflow";
    (void)state;
    if (rt_encoder_open(&e, at_root(classify), NULL, &err) != RETORT_OK) fail_msg("%s", err.text);
    assert_int_equal(e.config.task, RETORT_TASK_CLASSIFY);
    assert_true(e.config.pooler);
    assert_int_equal(e.config.labels, 3);
    assert_string_equal(e.config.label_names[2], "LABEL_2");
    rt_encoder_close(&e);
    if (rt_encoder_open(&e, at_root(classify), &embed, &err) != RETORT_OK) fail_msg("%s", err.text);
    assert_null(e.output.weight);
    rt_encoder_close(&e);
    if (rt_encoder_open(&e, at_root("test/golden/checkpoints/bert-answer-trained"), NULL, &err) != RETORT_OK)
        fail_msg("%s", err.text);
    assert_int_equal(e.config.task, RETORT_TASK_ANSWER);
    rt_encoder_close(&e);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hdf5_reads),     cmocka_unit_test(test_hdf5_refuses),
        cmocka_unit_test(test_hdf5_spoilt),    cmocka_unit_test(test_hdf5_superblock),
        cmocka_unit_test(test_bundle_reads),   cmocka_unit_test(test_bundle_refuses),
        cmocka_unit_test(test_bundle_headers), cmocka_unit_test(test_bundle_spoilt),
        cmocka_unit_test(test_crc32c),         cmocka_unit_test(test_newest),
        cmocka_unit_test(test_names),          cmocka_unit_test(test_heads_apart),
        cmocka_unit_test(test_same_bytes),     cmocka_unit_test(test_google_config),
    };
    return cmocka_run_group_tests_name("tensorflow", tests, make_folder, remove_folder);
}
