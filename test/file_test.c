/* SPDX-License-Identifier: Apache-2.0
 * JSON, safetensors and torch checkpoints: what is read, and every kind of file that must be refused. */
#include "base/map.h"
#include "format/json.h"
#include "format/path.h"
#include "format/tensors.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[64]; /* a temporary folder of this run */

static int make_folder(void **state) {
    (void)state;
    strcpy(folder, "/tmp/retort-file-test-XXXXXX");
    return mkdtemp(folder) != NULL ? 0 : -1;
}
static int remove_folder(void **state) {
    char command[128];
    (void)state;
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command);
}

static const char *path_of(const char *name) {
    static char path[RT_PATH_SIZE];
    assert_true(rt_path_join(path, sizeof path, folder, name));
    return path;
}

static void write_bytes(const char *name, const void *data, size_t size) {
    FILE *file = fopen(path_of(name), "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

/* One line that holds `fragment`. */
static void check_error(retort_status status, retort_status wanted, const retort_error *err,
                        const char *fragment) {
    if (status != wanted || err->status != wanted || strstr(err->text, fragment) == NULL ||
        strchr(err->text, '\n') != NULL) {
        fail_msg("expected %d '%s', found %d '%s'", wanted, fragment, status, err->text);
    }
}

/* ---- JSON ---- */

static void test_json_reads(void **state) {
    static const char text[] =
        " {\"d\": \"\\u00e9\\ud83d\\ude00\\t/\\/\", \"e\": [true, false, null, [], {}, \"\", -0.25e1],"
        "\"a\": 1000000000000000019884624838656, \"b\": [-12345678901234567890, 1.5, 7],"
        " \"c\": \"\\\"12345678901234567890\"}";
    json_t *root;
    (void)state;
    assert_int_equal(rt_json_parse(&root, "x.json", text, strlen(text), NULL), RETORT_OK);
    assert_string_equal(json_string_value(json_object_get(root, "d")), "\u00e9\U0001f600\t//");
    const json_t *e = json_object_get(root, "e");
    assert_int_equal(json_array_size(e), 7);
    assert_true(json_is_true(json_array_get(e, 0)) && json_is_null(json_array_get(e, 2)));
    assert_string_equal(json_string_value(json_array_get(e, 5)), "");
    assert_true(json_real_value(json_array_get(e, 6)) == -2.5);
    assert_true(json_real_value(json_object_get(root, "a")) > 0.99e30);
    assert_true(json_real_value(json_array_get(json_object_get(root, "b"), 0)) == -12345678901234567890.0);
    assert_int_equal(json_integer_value(json_array_get(json_object_get(root, "b"), 2)), 7);
    assert_string_equal(json_string_value(json_object_get(root, "c")), "\"12345678901234567890");
    json_decref(root);
}

static void test_json_refuses(void **state) {
    static const struct {
        const char *text;
        retort_status status;
        const char *fragment;
    } cases[] = {
        {"", RETORT_FORMAT, "x.json: empty"},
        {" \n", RETORT_FORMAT, "x.json: line 2 column 1: cut short"},
        {"{\"a\": 1,\n \"a\": 2}", RETORT_FORMAT,
         "x.json: line 2 column 5: a key that the object has already"},
        {"{\"a\": 1} tail", RETORT_FORMAT, "column 10: something follows"},
        {"{\"a\": 1}}", RETORT_FORMAT, "something follows"},
        {"{\"a\": tru\n}", RETORT_FORMAT, "x.json: line 1 column 7: a value was expected"},
        {"{\"a\": \"\xff\"}", RETORT_FORMAT, "not UTF-8"},
        {"[\"\xc0\x80\"]", RETORT_FORMAT, "not UTF-8"},
        {"[\"\xed\xa0\x80\"]", RETORT_FORMAT, "not UTF-8"},
        {"[\"\xf4\x90\x80\x80\"]", RETORT_FORMAT, "not UTF-8"},
        {"[\"\xe2\x82\"]", RETORT_FORMAT, "not UTF-8"},
        {"[\"a\nb\"]", RETORT_FORMAT, "control character"},
        {"[\"a", RETORT_FORMAT, "no end"},
        {"[\"\\x\"]", RETORT_FORMAT, "unknown escape"},
        {"[\"\\u0000\"]", RETORT_FORMAT, "U+0000"},
        {"[\"\\ud800\"]", RETORT_FORMAT, "no character"},
        {"[\"\\ud800\\u0041\"]", RETORT_FORMAT, "no character"},
        {"[\"\\u12g4\"]", RETORT_FORMAT, "no character"},
        {"[1,]", RETORT_FORMAT, "a value was expected"},
        {"[1 2]", RETORT_FORMAT, "',' or ']'"},
        {"{\"a\" 1}", RETORT_FORMAT, "':' was expected"},
        {"{a: 1}", RETORT_FORMAT, "a key in quotes"},
        {"{\"a\": 1", RETORT_FORMAT, "',' or '}'"},
        {"[01]", RETORT_FORMAT, "not a number"},
        {"[1.]", RETORT_FORMAT, "not a number"},
        {"[-]", RETORT_FORMAT, "not a number"},
        {"[1e+]", RETORT_FORMAT, "not a number"},
        {"[NaN]", RETORT_FORMAT, "a value was expected"},
        {"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[", RETORT_LIMIT,
         "nested too deep"},
        {"{\"a\": 1e999}", RETORT_FORMAT, "beyond what a double holds"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        json_t *root = NULL;
        retort_error err = {0};
        retort_status status = rt_json_parse(&root, "x.json", cases[i].text, strlen(cases[i].text), &err);
        check_error(status, cases[i].status, &err, cases[i].fragment);
        assert_null(root);
    }
}

/* ---- safetensors ---- */

static uint8_t bytes[1 << 16];

static size_t put_u64(uint8_t *out, uint64_t value) {
    for (int i = 0; i < 8; i++) out[i] = (uint8_t)(value >> 8 * i);
    return 8;
}

/* A file of a header and `data` zero bytes. */
static size_t safetensors(const char *header, size_t data) {
    size_t length = strlen(header);
    put_u64(bytes, length);
    memcpy(bytes + 8, header, length);
    memset(bytes + 8 + length, 0, data);
    return 8 + length + data;
}

#define F32_2 "{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}"

static void test_safetensors_reads(void **state) {
    rt_tensors tensors;
    (void)state;
    size_t size = safetensors(" {\"b\":" F32_2 ",\"__metadata__\":{\"k\":\"v\"},"
                              "\"a\":{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[8,16]},"
                              "\"e\":{\"dtype\":\"BF16\",\"shape\":[0,9],\"data_offsets\":[16,16]}}  ",
                              16);
    assert_int_equal(rt_safetensors_parse(&tensors, "x", bytes, size, NULL), RETORT_OK);
    assert_int_equal(tensors.count, 3);
    assert_string_equal(tensors.items[0].name, "a");
    const rt_tensor *b = rt_tensors_find(&tensors, "b");
    assert_int_equal(b->dtype, RETORT_F32);
    assert_ptr_equal(b->data, bytes + size - 16);
    assert_int_equal(rt_tensors_find(&tensors, "a")->rank, 0);
    assert_null(rt_tensors_find(&tensors, "c"));
    assert_string_equal(rt_tensors_metadata(&tensors, "k"), "v");
    assert_null(rt_tensors_metadata(&tensors, "other"));
    rt_tensors_close(&tensors);
}

static void test_safetensors_refuses(void **state) {
    static const struct {
        const char *header;
        size_t data;
        retort_status status;
        const char *fragment;
    } cases[] = {
        {"{\"a\":" F32_2 "}", 7, RETORT_FORMAT, "tensor 'a': data at 0 to 8 of 7 bytes"},
        {"{\"a\":" F32_2 "}", 9, RETORT_FORMAT, "expected 8 bytes of tensors, found 9"},
        {"{\"a\":" F32_2 ",\"a\":" F32_2 "}", 8, RETORT_FORMAT, "a key that the object has already"},
        {"{\"a\":" F32_2 ",\"b\":" F32_2 "}", 8, RETORT_FORMAT, "overlaps"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[4,12]}}", 12, RETORT_FORMAT,
         "a hole before it"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,8]}}", 8, RETORT_FORMAT,
         "[3] needs 12 bytes, found 8"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,8]}}", 8,
         RETORT_FORMAT, "too big"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[-2],\"data_offsets\":[0,8]}}", 8, RETORT_FORMAT,
         "dimension 0 is not a count"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2.0],\"data_offsets\":[0,8]}}", 8, RETORT_FORMAT,
         "dimension 0 is not a count"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,2],\"data_offsets\":[0,8]}}", 8, RETORT_FORMAT,
         "at most 8"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,0]}}", 8, RETORT_FORMAT,
         "data at 8 to 0"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,9223372036854775807]}}", 8,
         RETORT_FORMAT, "not two counts"},
        {"{\"a\":{\"dtype\":\"F8_E4M3\",\"shape\":[8],\"data_offsets\":[0,8]}}", 8, RETORT_UNSUPPORTED,
         "dtype F8_E4M3"},
        {"{\"a\":{\"shape\":[2],\"data_offsets\":[0,8]}}", 8, RETORT_FORMAT, "dtype is missing"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8],\"x\":1}}", 8, RETORT_FORMAT,
         "a key other than"},
        {"{\"a\":[1]}", 0, RETORT_FORMAT, "is not an object"},
        {"{\"__metadata__\":{\"k\":1}}", 0, RETORT_FORMAT, "is not text"},
        {"{\"\":" F32_2 "}", 8, RETORT_LIMIT, "name of 0 bytes"},
        {"[1]", 0, RETORT_FORMAT, "not an object"},
        {"{\"a\":", 0, RETORT_FORMAT, "line 1 column"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        rt_tensors tensors;
        retort_error err = {0};
        size_t size = safetensors(cases[i].header, cases[i].data);
        check_error(rt_safetensors_parse(&tensors, "x", bytes, size, &err), cases[i].status, &err,
                    cases[i].fragment);
        assert_null(tensors.items);
    }
}

static void test_safetensors_refuses_lengths(void **state) {
    static const uint64_t lengths[] = {1ULL << 63, UINT64_MAX, 9, 1ULL << 32};
    rt_tensors tensors;
    retort_error err = {0};
    (void)state;
    memcpy(bytes + 8, "{}      ", 8);
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        put_u64(bytes, lengths[i]);
        check_error(rt_safetensors_parse(&tensors, "x", bytes, 16, &err), RETORT_FORMAT, &err,
                    "cut short: a header of");
    }
    for (size_t size = 0; size < 8; size++) {
        check_error(rt_safetensors_parse(&tensors, "x", bytes, size, &err), RETORT_FORMAT, &err, "cut short");
    }
}

/* ---- the writer ---- */

static float numbers[64];
static const rt_tensor written[] = {{"z", numbers, RETORT_F32, 2, {2, 16}},
                                    {"a \"q\" é", numbers + 32, RETORT_BF16, 1, {32}},
                                    {"last", numbers + 48, RETORT_F32, 1, {3}}};

static void test_write_and_read(void **state) {
    const char *keys[] = {"k", "graph"}, *values[] = {"v", "line\nline"};
    char first[RT_PATH_SIZE];
    rt_tensors tensors;
    retort_error err = {0};
    (void)state;
    for (int i = 0; i < 64; i++) numbers[i] = (float)i;
    strcpy(first, path_of("first.safetensors"));
    assert_int_equal(rt_safetensors_write(first, written, 3, keys, values, 2, &err), RETORT_OK);
    assert_int_equal(rt_safetensors_write(path_of("second.safetensors"), written, 3, keys, values, 2, &err),
                     RETORT_OK);
    assert_int_equal(rt_tensors_open(&tensors, first, &err), RETORT_OK);
    assert_int_equal(tensors.count, 3);
    for (size_t i = 0; i < 3; i++) {
        const rt_tensor *found = rt_tensors_find(&tensors, written[i].name);
        assert_non_null(found);
        assert_int_equal((uintptr_t)found->data % 64, 0);
        assert_memory_equal(found->data, written[i].data, i == 2 ? 12 : 64);
        assert_memory_equal(found->shape, written[i].shape, sizeof found->shape);
    }
    assert_string_equal(rt_tensors_metadata(&tensors, "graph"), "line\nline");
    rt_map again;
    assert_int_equal(rt_map_open(&again, path_of("second.safetensors"), &err), RETORT_OK);
    assert_int_equal(again.size, tensors.maps[0].size);
    assert_memory_equal(again.data, tensors.maps[0].data, again.size); /* depends on the arguments alone */
    rt_map_close(&again);
    rt_tensors_close(&tensors);
}

static void test_write_refuses(void **state) {
    rt_tensor odd[2] = {{"a", numbers, RETORT_F32, 1, {3}}, {"b", numbers, RETORT_F32, 1, {16}}};
    rt_tensor twice[2] = {{"a", numbers, RETORT_F32, 1, {16}}, {"a", numbers, RETORT_F32, 1, {16}}};
    rt_tensor negative = {"a", numbers, RETORT_F32, 1, {-1}}, invalid = {"\xff", numbers, RETORT_F32, 1, {1}};
    retort_error err = {0};
    (void)state;
    const char *path = path_of("refused.safetensors");
    check_error(rt_safetensors_write(path, odd, 2, NULL, NULL, 0, &err), RETORT_ARGUMENT, &err,
                "'a' has 12 bytes");
    check_error(rt_safetensors_write(path, twice, 2, NULL, NULL, 0, &err), RETORT_ARGUMENT, &err,
                "the name 'a' is given twice");
    check_error(rt_safetensors_write(path, &negative, 1, NULL, NULL, 0, &err), RETORT_ARGUMENT, &err,
                "shape or a dtype");
    check_error(rt_safetensors_write(path, &invalid, 1, NULL, NULL, 0, &err), RETORT_ARGUMENT, &err,
                "not UTF-8");
    assert_false(rt_is_file(path));
    check_error(rt_safetensors_write("/nonexistent/x", written, 3, NULL, NULL, 0, &err), RETORT_IO, &err,
                "/nonexistent/x");
}

/* A disk that is full after 256 bytes: the old file stays, nothing is left beside it. */
static void test_write_full_disk(void **state) {
    struct rlimit saved, small;
    retort_error err = {0};
    char command[128];
    (void)state;
    write_bytes("kept.safetensors", "old", 3);
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &saved);
    small = (struct rlimit){256, saved.rlim_max};
    setrlimit(RLIMIT_FSIZE, &small);
    retort_status status = rt_safetensors_write(path_of("kept.safetensors"), written, 3, NULL, NULL, 0, &err);
    setrlimit(RLIMIT_FSIZE, &saved);
    check_error(status, RETORT_IO, &err, "kept.safetensors: cannot write: File too large");
    rt_map map;
    assert_int_equal(rt_map_open(&map, path_of("kept.safetensors"), &err), RETORT_OK);
    assert_int_equal(map.size, 3);
    rt_map_close(&map);
    snprintf(command, sizeof command, "test $(ls %s | grep -c kept) -eq 1", folder);
    assert_int_equal(system(command), 0);
}

/* ---- formats and folders ---- */

static void test_formats_refused(void **state) {
    static char tar[512];
    static const struct {
        const char *data;
        size_t size;
        retort_status status;
        const char *fragment;
    } cases[] = {
        {"", 0, RETORT_FORMAT, "the file is empty"},
        {tar, sizeof tar, RETORT_UNSUPPORTED, "a tar archive"},
        {"\x89HDF\r\n\x1a\n", 8, RETORT_FORMAT, "HDF5: cut short"},
        {"version https://git-lfs.github.com/spec/v1\n", 43, RETORT_UNSUPPORTED, "Git LFS pointer"},
        {"\x80\x04\x95", 3, RETORT_UNSUPPORTED, "pickle protocol 4 is not supported"},
        {"\x80\x02K\x01.", 5, RETORT_FORMAT, "not one that torch.save wrote"},
        {"hello world", 11, RETORT_FORMAT, "neither safetensors, a torch checkpoint nor HDF5"},
    };
    (void)state;
    memcpy(tar + 257, "ustar", 5);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        rt_tensors tensors;
        retort_error err = {0};
        write_bytes("weights", cases[i].data, cases[i].size);
        check_error(rt_tensors_open(&tensors, path_of("weights"), &err), cases[i].status, &err,
                    cases[i].fragment);
    }
}

static void test_index_names(void **state) {
    static const struct {
        const char *index, *fragment;
    } cases[] = {
        {"{\"weight_map\":{\"a\":\"../other/model.safetensors\"}}", "not the name of a file in the folder"},
        {"{\"weight_map\":{\"a\":\"/etc/passwd\"}}", "not the name of a file in the folder"},
        {"{\"weight_map\":{\"a\":\"..\"}}", "not the name of a file in the folder"},
        {"{\"weight_map\":{\"a\":\"\"}}", "not the name of a file in the folder"},
        {"{\"weight_map\":{\"a\":\"b\\\\c\"}}", "not the name of a file in the folder"},
        {"{\"weight_map\":{\"a\":3}}", "not the name of a file in the folder"},
        {"{\"weight_map\":{}}", "names 0 files"},
        {"{}", "'weight_map' is missing"},
        {"{\"weight_map\":{\"a\":\"gone.safetensors\"}}", "gone.safetensors: cannot open"},
        {"{\"weight_map\":{\"a\":\"s1\",\"c\":\"s1\"}}", "tensor 'c' is not in 's1'"},
        {"{\"weight_map\":{\"a\":\"s1\",\"b\":\"s2\"}}", "tensor 'a' appears twice"},
    };
    (void)state;
    write_bytes("s1", bytes, safetensors("{\"a\":" F32_2 "}", 8));
    write_bytes("s2", bytes, safetensors("{\"a\":" F32_2 "}", 8));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        rt_tensors tensors;
        retort_error err = {0};
        write_bytes("model.safetensors.index.json", cases[i].index, strlen(cases[i].index));
        retort_status status = rt_tensors_open_folder(&tensors, folder, &err);
        check_error(status, err.status, &err, cases[i].fragment);
        assert_int_not_equal(status, RETORT_OK);
        assert_null(tensors.items);
    }
    unlink(path_of("model.safetensors.index.json"));
}

static void test_folder_without_weights(void **state) {
    rt_tensors tensors;
    retort_error err = {0};
    (void)state;
    check_error(rt_tensors_open_folder(&tensors, "/nonexistent", &err), RETORT_IO, &err,
                "/nonexistent: no such folder");
    write_bytes("rust_model.ot", "x", 1);
    write_bytes("flax_model.msgpack", "x", 1);
    check_error(rt_tensors_open_folder(&tensors, folder, &err), RETORT_UNSUPPORTED, &err,
                "found flax_model.msgpack, rust_model.ot; supported are model.safetensors, ");
    check_error(rt_tensors_open_folder(&tensors, path_of("rust_model.ot"), &err), RETORT_IO, &err,
                "not a folder");
    assert_null(rt_tensors_folder_file(folder));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_json_reads),
        cmocka_unit_test(test_json_refuses),
        cmocka_unit_test(test_safetensors_reads),
        cmocka_unit_test(test_safetensors_refuses),
        cmocka_unit_test(test_safetensors_refuses_lengths),
        cmocka_unit_test(test_write_and_read),
        cmocka_unit_test(test_write_refuses),
        cmocka_unit_test(test_write_full_disk),
        cmocka_unit_test(test_formats_refused),
        cmocka_unit_test(test_index_names),
        cmocka_unit_test(test_folder_without_weights),
    };
    return cmocka_run_group_tests_name("file", tests, make_folder, remove_folder);
}
