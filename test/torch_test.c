/* SPDX-License-Identifier: Apache-2.0
 * Torch checkpoints put together here byte by byte: zip archives with tricks, pickles that ask for more than
 * a state dict needs. */
#include "base/map.h"
#include "format/tensors.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static void check_error(retort_status status, retort_status wanted, const retort_error *err,
                        const char *fragment) {
    if (status != wanted || err->status != wanted || strstr(err->text, fragment) == NULL ||
        strchr(err->text, '\n') != NULL) {
        fail_msg("expected %d '%s', found %d '%s'", wanted, fragment, status, err->text);
    }
}

/* ---- Zip archives ---- */

typedef struct part {
    const char *name;
    const void *data;
    size_t size;
    uint16_t flags, method;
    uint32_t pretend_size, header_shift; /* added to what the directory says */
    const char *local_name;              /* NULL: the same */
} part;

static uint8_t archive[8192];
static size_t archive_size;

static void put(const void *data, size_t size) {
    assert_true(archive_size + size <= sizeof archive);
    memcpy(archive + archive_size, data, size);
    archive_size += size;
}
static void put16(uint32_t value) {
    put((uint8_t[]){(uint8_t)value, (uint8_t)(value >> 8)}, 2);
}
static void put32(uint32_t value) {
    put16(value & 0xffff);
    put16(value >> 16);
}

static void put_local(const part *p) {
    const char *name = p->local_name != NULL ? p->local_name : p->name;
    put32(0x04034b50);
    put16(0);
    put16(p->flags);
    put16(p->method);
    for (int i = 0; i < 4; i++) put32(0); /* time, CRC and sizes: left zero, as torch does */
    put16((uint32_t)strlen(name));
    put16(0);
    put(name, strlen(name));
    put(p->data, p->size);
}

static void put_central(const part *p, uint32_t header) {
    put32(0x02014b50);
    put32(0);
    put16(p->flags);
    put16(p->method);
    put32(0);
    put32(0);
    put32((uint32_t)p->size + p->pretend_size);
    put32((uint32_t)p->size + p->pretend_size);
    put16((uint32_t)strlen(p->name));
    for (int i = 0; i < 4; i++) put16(0);
    put32(0);
    put32(header + p->header_shift);
    put(p->name, strlen(p->name));
}

static void make_archive(const part *parts, size_t count, uint32_t pretend_count) {
    uint32_t headers[8];
    archive_size = 0;
    for (size_t i = 0; i < count; i++) {
        headers[i] = (uint32_t)archive_size;
        put_local(&parts[i]);
    }
    uint32_t directory = (uint32_t)archive_size;
    for (size_t i = 0; i < count; i++) put_central(&parts[i], headers[i]);
    uint32_t end = (uint32_t)archive_size;
    put32(0x06054b50);
    put32(0);
    put16((uint32_t)count + pretend_count);
    put16((uint32_t)count + pretend_count);
    put32(end - directory);
    put32(directory);
    put16(0);
}

/* ---- Pickles: {"a": a tensor of two floats} in pieces ---- */

#define START   "\x80\x02}X\1\0\0\0a"
#define REBUILD "ctorch._utils\n_rebuild_tensor_v2\n"
#define STORAGE                                                                                              \
    "(X\7\0\0\0storagectorch\nFloatStorage\nX\1\0\0\0"                                                       \
    "0"                                                                                                      \
    "X\3\0\0\0cpuK\2tQ"
#define TENSOR REBUILD "(" STORAGE "K\0K\2\x85K\1\x85\x89}tR"
#define WHOLE  START TENSOR "s."

static const float two[2] = {1.5f, -2.0f};

static retort_status read_pickle(rt_tensors *out, const char *pickle, size_t size, retort_error *err) {
    part parts[] = {{.name = "m/data.pkl", .data = pickle, .size = size},
                    {.name = "m/byteorder", .data = "little", .size = 6},
                    {.name = "m/data/0", .data = two, .size = sizeof two}};
    make_archive(parts, 3, 0);
    return rt_torch_parse(out, "x.bin", archive, archive_size, err);
}

static void test_whole(void **state) {
    rt_tensors tensors;
    retort_error err = {0};
    (void)state;
    if (read_pickle(&tensors, WHOLE, sizeof WHOLE - 1, &err) != RETORT_OK) fail_msg("%s", err.text);
    const rt_tensor *a = rt_tensors_find(&tensors, "a");
    assert_non_null(a);
    assert_int_equal(a->rank, 1);
    assert_int_equal(a->shape[0], 2);
    assert_memory_equal(a->data, two, sizeof two);
    rt_tensors_close(&tensors);
}

/* Python 2 numbers its memo from 1; state dicts may be nested; other values are passed over. */
static void test_variants(void **state) {
    static const char nested[] = "\x80\x02}q\1(X\5\0\0\0epochq\2K\3X\n\0\0\0state_dict"
                                 "ccollections\nOrderedDict\nq\3)Rq\4X\1\0\0\0aq\5" TENSOR "s}bU\1bNu.";
    static const char transposed[] = START REBUILD "(" STORAGE "K\0K\2K\1\x86K\1K\2\x86\x89}tRs.";
    static const char reversed[] = START "ctorch._utils\n_rebuild_parameter\n" REBUILD "(" STORAGE
                                         "K\1K\1\x85K\1\x85\x89}tR\x88}\x87Rs.";
    rt_tensors tensors;
    retort_error err = {0};
    (void)state;
    if (read_pickle(&tensors, nested, sizeof nested - 1, &err) != RETORT_OK) fail_msg("%s", err.text);
    assert_int_equal(tensors.count, 1);
    rt_tensors_close(&tensors);
    if (read_pickle(&tensors, transposed, sizeof transposed - 1, &err) != RETORT_OK) fail_msg("%s", err.text);
    assert_memory_equal(tensors.items[0].data, two, sizeof two);
    rt_tensors_close(&tensors);
    if (read_pickle(&tensors, reversed, sizeof reversed - 1, &err) != RETORT_OK) fail_msg("%s", err.text);
    assert_memory_equal(tensors.items[0].data, &two[1], sizeof two[1]);
    rt_tensors_close(&tensors);
}

static void test_never_runs(void **state) {
    static char pickle[256], path[64];
    rt_tensors tensors;
    retort_error err = {0};
    (void)state;
    snprintf(path, sizeof path, "/tmp/retort-never-%d", (int)getpid());
    int n = snprintf(pickle, sizeof pickle,
                     "\x80\x02"
                     "cos\nsystem\nU%c"
                     "touch %s\x85R.",
                     (int)strlen(path) + 6, path);
    check_error(read_pickle(&tensors, pickle, (size_t)n, &err), RETORT_UNSUPPORTED, &err,
                "asks for 'os.system', which no state dict needs; nothing was run");
    assert_false(rt_is_file(path));
}

#define CASE(pickle, status, fragment)                                                                       \
    { pickle, sizeof(pickle) - 1, status, fragment }
static const struct {
    const char *pickle;
    size_t size;
    retort_status status;
    const char *fragment;
} bad_pickles[] = {
    CASE("\x80\x02"
         "cbuiltins\neval\n.",
         RETORT_UNSUPPORTED, "'builtins.eval'"),
    CASE("\x80\x02"
         "ctorch\nload\n.",
         RETORT_UNSUPPORTED, "'torch.load'"),
    CASE("\x80\x02"
         "ctorch._utils\n_rebuild_tensor_v2x\n.",
         RETORT_UNSUPPORTED, "_rebuild_tensor_v2x"),
    CASE("\x80\x02(ios\nsystem\n.", RETORT_UNSUPPORTED, "opcode INST (0x69)"),
    CASE("\x80\x02"
         "X\2\0\0\0osX\6\0\0\0system\x93.",
         RETORT_UNSUPPORTED, "opcode STACK_GLOBAL (0x93)"),
    CASE("\x80\x02\x82\1.", RETORT_UNSUPPORTED, "opcode EXT1"),
    CASE("\x80\x02)\x81.", RETORT_UNSUPPORTED, "opcode NEWOBJ"),
    CASE("\x80\x02\xff.", RETORT_UNSUPPORTED, "opcode unknown (0xff)"),
    CASE("\x80\x03}.", RETORT_UNSUPPORTED, "protocol 3 is not supported"),
    CASE("\x80\x02}", RETORT_FORMAT, "no STOP"),
    CASE("\x80\x02.", RETORT_FORMAT, "stack is empty"),
    CASE("\x80\x02"
         "0",
         RETORT_UNSUPPORTED, "opcode POP"),
    CASE("\x80\x02Q.", RETORT_FORMAT, "stack is empty"),
    CASE("\x80\x02t.", RETORT_FORMAT, "no MARK is open"),
    CASE("\x80\x02(\x85.", RETORT_FORMAT, "stack is empty"),
    CASE("\x80\x02]K\1K\2s.", RETORT_FORMAT, "SETITEM on something else"),
    CASE("\x80\x02}(K\1u.", RETORT_FORMAT, "key without value"),
    CASE("\x80\x02}(K\1K\2e.", RETORT_FORMAT, "APPENDS on something else"),
    CASE("\x80\x02K\1}b.", RETORT_FORMAT, "BUILD on something else"),
    CASE("\x80\x02}q\5.", RETORT_FORMAT, "memo 5 after 0"),
    CASE("\x80\x02}r\xff\xff\xff\xff.", RETORT_FORMAT, "memo 4294967295 after 0"),
    CASE("\x80\x02h\0.", RETORT_FORMAT, "memo 0 of 0"),
    CASE("\x80\x02}q\1h\0.", RETORT_FORMAT, "memo 0 of 2"),
    CASE("\x80\x02X\xff\xff\xff\xff"
         "a.",
         RETORT_FORMAT, "text of 4294967295 bytes"),
    CASE("\x80\x02\x8a\x0b"
         "aaaaaaaaaaa.",
         RETORT_LIMIT, "integer of 11 bytes"),
    CASE("\x80\x02K\1)R.", RETORT_FORMAT, "REDUCE of something"),
    CASE("\x80\x02"
         "ccollections\nOrderedDict\n]\x85R.",
         RETORT_FORMAT, "OrderedDict is called with 1 arguments"),
    CASE("\x80\x02"
         "ctorch\nFloatStorage\n)R.",
         RETORT_FORMAT, "FloatStorage is called"),
    CASE("\x80\x02K\1Q.", RETORT_FORMAT, "persistent id"),
    CASE("\x80\x02"
         "ctorch\nDoubleStorage\nq\0(X\7\0\0\0storageh\0U\1"
         "0U\3cpuK\2tQ.",
         RETORT_UNSUPPORTED, "torch.DoubleStorage"),
    CASE("\x80\x02}.", RETORT_FORMAT, "no tensors"),
    CASE("\x80\x02K\1.", RETORT_FORMAT, "no state dict"),
    CASE(START REBUILD "(" STORAGE "K\0K\3\x85K\1\x85\x89}tRs.", RETORT_FORMAT,
         "shape [3], strides [1] at 0 does not fit storage '0' of 2"),
    CASE(START REBUILD "(" STORAGE "K\1K\2\x85K\1\x85\x89}tRs.", RETORT_FORMAT, "does not fit"),
    CASE(START REBUILD "(" STORAGE "K\0K\2\x85K\2\x85\x89}tRs.", RETORT_FORMAT, "does not fit"),
    CASE(START REBUILD "(" STORAGE "K\0K\x09\x85K\0\x85\x89}tRs.", RETORT_FORMAT, "does not fit"),
    CASE(START REBUILD "(" STORAGE "K\0K\2\x85J\xff\xff\xff\xff\x85\x89}tRs.", RETORT_FORMAT, "not a count"),
    CASE(START REBUILD "(" STORAGE
                       "K\0\x8a\x08\0\0\0\0\0\0\0\x40\x8a\x08\0\0\0\0\0\0\0\x40\x86K\1K\1\x86\x89}tRs.",
         RETORT_FORMAT, "does not fit"),
    CASE(START REBUILD "(" STORAGE "K\0K\2\x85)\x89}tRs.", RETORT_FORMAT, "1 dimensions and 0 strides"),
    CASE(START TENSOR "sX\1\0\0\0a" TENSOR "s.", RETORT_FORMAT, "tensor 'a' appears twice"),
    CASE("\x80\x02}X\3\0\0\0a\0b" TENSOR "s.", RETORT_FORMAT, "zero byte"),
    CASE(START REBUILD "((X\7\0\0\0storagectorch\nFloatStorage\nU\1"
                       "9U\3cpuK\2tQK\0K\2\x85K\1\x85\x89}tRs.",
         RETORT_FORMAT, "storage '9' is not in the archive"),
    CASE(START REBUILD "((X\7\0\0\0storagectorch\nHalfStorage\nU\1"
                       "0U\3cpuK\2tQK\0K\2\x85K\1\x85\x89}tRs.",
         RETORT_FORMAT, "expected 2 elements of f16, found 8 bytes"),
};
#undef CASE

static void test_pickles_refused(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof bad_pickles / sizeof *bad_pickles; i++) {
        rt_tensors tensors;
        retort_error err = {0};
        check_error(read_pickle(&tensors, bad_pickles[i].pickle, bad_pickles[i].size, &err),
                    bad_pickles[i].status, &err, bad_pickles[i].fragment);
        assert_null(tensors.items);
    }
}

static void test_pickles_cut_short(void **state) {
    (void)state;
    for (size_t size = 0; size + 1 < sizeof WHOLE; size++) {
        rt_tensors tensors;
        retort_error err = {0};
        assert_int_not_equal(read_pickle(&tensors, WHOLE, size, &err), RETORT_OK);
    }
}

static void test_zip_tricks(void **state) {
    static const struct {
        part last; /* beside a good data.pkl */
        uint32_t pretend_count;
        retort_status status;
        const char *fragment;
    } cases[] = {
        {{.name = "m/data/0", .data = two, .size = 8, .flags = 1},
         0,
         RETORT_UNSUPPORTED,
         "'m/data/0' is encrypted"},
        {{.name = "m/data/0", .data = two, .size = 8, .method = 8},
         0,
         RETORT_UNSUPPORTED,
         "'m/data/0' is compressed"},
        {{.name = "m/data/0", .data = two, .size = 8, .pretend_size = 8},
         0,
         RETORT_FORMAT,
         "'m/data/0' overlaps"},
        {{.name = "m/data/0", .data = two, .size = 8, .pretend_size = 1u << 30},
         0,
         RETORT_FORMAT,
         "sizes that cannot be"},
        {{.name = "m/data/0", .data = two, .size = 8, .header_shift = 1},
         0,
         RETORT_FORMAT,
         "not inside the file"},
        {{.name = "m/data/0", .data = two, .size = 8, .header_shift = 1u << 30},
         0,
         RETORT_FORMAT,
         "not inside the file"},
        {{.name = "m/data/0", .data = two, .size = 8, .local_name = "m/data/1"},
         0,
         RETORT_FORMAT,
         "another name in its local header"},
        {{.name = "m/data.pkl", .data = two, .size = 8}, 0, RETORT_FORMAT, "'m/data.pkl' appears twice"},
        {{.name = "m/data/0", .data = two, .size = 4},
         0,
         RETORT_FORMAT,
         "expected 2 elements of f32, found 4 bytes"},
        {{.name = "m/data/0", .data = two, .size = 8}, 1, RETORT_FORMAT, "3 entries in a directory of"},
        {{.name = "m/data/0", .data = two, .size = 8},
         60000,
         RETORT_FORMAT,
         "60002 entries in a directory of"},
        {{.name = "m/byteorder", .data = "big", .size = 3}, 0, RETORT_UNSUPPORTED, "big-endian"},
        {{.name = "m/constants.pkl", .data = "x", .size = 1}, 0, RETORT_UNSUPPORTED, "TorchScript"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        part parts[2] = {{.name = "m/data.pkl", .data = WHOLE, .size = sizeof WHOLE - 1}, cases[i].last};
        rt_tensors tensors;
        retort_error err = {0};
        make_archive(parts, 2, cases[i].pretend_count);
        check_error(rt_torch_parse(&tensors, "x.bin", archive, archive_size, &err), cases[i].status, &err,
                    cases[i].fragment);
    }
}

/* Two directory entries that share one local header, the trick of a zip bomb. */
static void test_zip_overlap(void **state) {
    part parts[2] = {{.name = "m/data.pkl", .data = WHOLE, .size = sizeof WHOLE - 1},
                     {.name = "m/data/0", .data = two, .size = 8}};
    rt_tensors tensors;
    retort_error err = {0};
    (void)state;
    make_archive(parts, 2, 0);
    put("tail", 4);
    check_error(rt_torch_parse(&tensors, "x.bin", archive, archive_size, &err), RETORT_FORMAT, &err,
                "something was appended");
    make_archive(parts, 2, 0);
    parts[1] = parts[0];
    parts[1].header_shift = (uint32_t) - (30 + 10 + (int)sizeof WHOLE - 1);
    make_archive(parts, 2, 0);
    check_error(rt_torch_parse(&tensors, "x.bin", archive, archive_size, &err), RETORT_FORMAT, &err,
                "overlaps");
    check_error(rt_torch_parse(&tensors, "x.bin", archive, 10, &err), RETORT_FORMAT, &err, "too short");
}

/* ---- Legacy ---- */

#define MAGIC   "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."
#define VERSION "\x80\x02M\xe9\x03."
#define LITTLE  "\x80\x02}X\r\0\0\0little_endian\x88s."
#define KEYS                                                                                                 \
    "\x80\x02]X\1\0\0\0"                                                                                     \
    "0a."
#define DATA   "\2\0\0\0\0\0\0\0\0\0\xc0\x3f\0\0\0\xc0"
#define LEGACY MAGIC VERSION LITTLE WHOLE KEYS DATA

static void test_legacy(void **state) {
    rt_tensors tensors;
    retort_error err = {0};
    (void)state;
    const uint8_t *data = (const uint8_t *)LEGACY;
    if (rt_torch_parse(&tensors, "x.bin", data, sizeof LEGACY - 1, &err) != RETORT_OK)
        fail_msg("%s", err.text);
    assert_memory_equal(rt_tensors_find(&tensors, "a")->data, two, sizeof two);
    rt_tensors_close(&tensors);
    for (size_t size = 2; size + 1 < sizeof LEGACY; size++) {
        assert_int_not_equal(rt_torch_parse(&tensors, "x.bin", data, size, &err), RETORT_OK);
    }
}

static void test_legacy_refused(void **state) {
#define CASE(bytes, status, fragment)                                                                        \
    { bytes, sizeof(bytes) - 1, status, fragment }
    static const struct {
        const char *bytes;
        size_t size;
        retort_status status;
        const char *fragment;
    } cases[] = {
        CASE(LEGACY "tail", RETORT_FORMAT, "4 bytes after the last storage"),
        CASE(MAGIC "\x80\x02M\xea\x03." LITTLE WHOLE KEYS DATA, RETORT_UNSUPPORTED, "not version 1001"),
        CASE(MAGIC VERSION "\x80\x02}X\r\0\0\0little_endian\x89s." WHOLE KEYS DATA, RETORT_UNSUPPORTED,
             "big-endian"),
        CASE(MAGIC VERSION LITTLE WHOLE "\x80\x02]." DATA, RETORT_FORMAT, "storage '0' has no data"),
        CASE(MAGIC VERSION LITTLE WHOLE "\x80\x02}." DATA, RETORT_FORMAT, "not the list of storages"),
        CASE(MAGIC VERSION LITTLE WHOLE "\x80\x02]K\1a." DATA, RETORT_FORMAT, "key is not a string"),
        CASE(MAGIC VERSION LITTLE WHOLE "\x80\x02]X\1\0\0\0"
                                        "1a." DATA,
             RETORT_FORMAT, "no tensor uses it"),
        CASE(MAGIC VERSION LITTLE WHOLE "\x80\x02]X\1\0\0\0"
                                        "0q\0ah\0a." DATA DATA,
             RETORT_FORMAT, "not for the first time"),
        CASE(MAGIC VERSION LITTLE WHOLE KEYS "\3" DATA, RETORT_FORMAT,
             "storage '0': expected 2 elements of f32, found"),
        CASE(MAGIC VERSION LITTLE "\x80\x02"
                                  "cposix\nsystem\n." KEYS DATA,
             RETORT_UNSUPPORTED, "'posix.system'"),
        CASE(MAGIC "\x80\x02"
                   "cposix\nsystem\n.",
             RETORT_UNSUPPORTED, "'posix.system'"),
    };
#undef CASE
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        rt_tensors tensors;
        retort_error err = {0};
        retort_status status =
            rt_torch_parse(&tensors, "x.bin", (const uint8_t *)cases[i].bytes, cases[i].size, &err);
        check_error(status, cases[i].status, &err, cases[i].fragment);
        assert_null(tensors.items);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole),
        cmocka_unit_test(test_variants),
        cmocka_unit_test(test_never_runs),
        cmocka_unit_test(test_pickles_refused),
        cmocka_unit_test(test_pickles_cut_short),
        cmocka_unit_test(test_zip_tricks),
        cmocka_unit_test(test_zip_overlap),
        cmocka_unit_test(test_legacy),
        cmocka_unit_test(test_legacy_refused),
    };
    return cmocka_run_group_tests_name("torch", tests, NULL, NULL);
}
