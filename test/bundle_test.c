/* SPDX-License-Identifier: Apache-2.0
 * TensorFlow's checkpoints, put together here, and a golden one spoilt. */
#include "format/bundle.h"
#include "arch/weights.h"
#include "tensorflow_files.h"

/* ---- Checkpoints: an index put together here ---- */

typedef struct index_entry {
    const char *key, *value;
    size_t value_size;
} index_entry;

static rt_crc32c_table crc;

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
         "x: tensor 'a': a variable in slices is not supported"},
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
         "tensor 'b' is out of order or appears twice"},
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

static void test_newest(void **state) {
    static const struct {
        const char *text, *fragment;
    } cases[] = {
        {"", "checkpoint: expected it to begin with model_checkpoint_path"},
        {"model_checkpoint_path: \"a", "expected it to begin with model_checkpoint_path"},
        {"model_checkpoint_path: \"\"\n", "'' is not the name of a file in the folder"},
        {"model_checkpoint_path: \"../x/\"\n", "'' is not the name of a file in the folder"},
        {"model_checkpoint_path: \"a\\\\b\"\n", "'a\\\\b' is not the name of a file in the folder"},
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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bundle_reads),   cmocka_unit_test(test_bundle_refuses),
        cmocka_unit_test(test_bundle_headers), cmocka_unit_test(test_bundle_spoilt),
        cmocka_unit_test(test_crc32c),         cmocka_unit_test(test_newest),
    };
    return cmocka_run_group_tests_name("bundle", tests, make_folder, remove_folder);
}
