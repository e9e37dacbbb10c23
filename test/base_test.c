/* SPDX-License-Identifier: Apache-2.0
 * Unit tests of src/base. */
#include "base/cpu.h"
#include "base/cursor.h"
#include "base/hash.h"
#include "base/map.h"
#include "base/memory.h"
#include "base/names.h"
#include "base/tensor.h"
#include "base/thread.h"

#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- Errors ---- */

static void status_texts_differ(void **state) {
    (void)state;
    assert_string_equal(retort_status_text(RETORT_OK), "ok");
    assert_string_equal(retort_status_text((retort_status)7), "unknown status");
    for (int i = 0; i >= -8; i--) {
        for (int j = i - 1; j >= -8; j--) {
            assert_string_not_equal(retort_status_text((retort_status)i),
                                    retort_status_text((retort_status)j));
        }
    }
}

static void errors_carry_text(void **state) {
    (void)state;
    retort_error err = {0};
    assert_int_equal(rt_fail(&err, RETORT_FORMAT, "tensor %s: %d", "w", 3), RETORT_FORMAT);
    assert_int_equal(err.status, RETORT_FORMAT);
    assert_string_equal(err.text, "tensor w: 3");
    assert_int_equal(rt_fail_in(&err, RETORT_IO, "model.bin"), RETORT_FORMAT);
    assert_string_equal(err.text, "model.bin: tensor w: 3");
    assert_int_equal(rt_fail(NULL, RETORT_LIMIT, "nobody listens"), RETORT_LIMIT);
    assert_int_equal(rt_fail_in(NULL, RETORT_LIMIT, "nobody"), RETORT_LIMIT);
    assert_int_equal(rt_fail_nomem(&err, 77), RETORT_NOMEM);
    assert_non_null(strstr(err.text, "77"));
}

static void long_errors_are_cut(void **state) {
    (void)state;
    char text[2000];
    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = '\0';
    struct {
        retort_error err;
        char canary;
    } box = {.canary = 'c'};
    rt_fail(&box.err, RETORT_IO, "%s", text);
    rt_fail_in(&box.err, RETORT_IO, text);
    assert_int_equal(strlen(box.err.text), sizeof box.err.text - 1);
    assert_int_equal(box.canary, 'c');
}

/* ---- Hashes and names ---- */

/* SipHash-1-3 of 0, 1, 2, … under the key 00 01 … 0f, as Rust's standard library tests it; and what
 * Python 3.11 says to hash(b"hello world, this is") with PYTHONHASHSEED=0. */
static void hashes_are_siphash_1_3(void **state) {
    (void)state;
    static const struct {
        size_t length;
        uint64_t hash;
    } rows[] = {{0, 0xABAC0158050FC4DC}, {1, 0xC9F49BF37D57CA93},  {2, 0x82CB9B024DC7D44D},
                {3, 0x8BF80AB8E7DDF7FB}, {4, 0xCF75576088D38328},  {7, 0xD3927D989BB11140},
                {8, 0x369095118D299A8E}, {15, 0xD320D86D2A519956}, {31, 0x2370DD1F8C21D1BC},
                {63, 0x9D199062B7BBB3A8}};
    uint8_t bytes[64];
    rt_hash_key key, zero = {{0, 0}};
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t)i;
    memcpy(&key, bytes, sizeof key);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_int_equal(rt_hash(key, bytes, rows[i].length), rows[i].hash);
    }
    assert_int_equal(rt_hash(zero, "hello world, this is", 20), 487517429792856518);
}

static void hash_keys_differ(void **state) {
    (void)state;
    rt_hash_key one = rt_hash_key_new(), other = rt_hash_key_new();
    assert_memory_not_equal(&one, &other, sizeof one);
}

static void names_are_found(void **state) {
    (void)state;
    enum { COUNT = 1000 };
    static char texts[COUNT][8];
    rt_names names = {0};
    int known;
    assert_int_equal(rt_names_find(&names, "n1", 2), -1);
    for (int i = 0; i < COUNT; i++) {
        snprintf(texts[i], sizeof texts[i], "n%d", i);
        assert_true(rt_names_add(&names, texts[i], i, &known));
        assert_int_equal(known, -1);
    }
    assert_true(rt_names_add(&names, "n7", COUNT, &known));
    assert_int_equal(known, 7);
    for (int i = 0; i < COUNT; i++) assert_int_equal(rt_names_find(&names, texts[i], strlen(texts[i])), i);
    assert_int_equal(rt_names_find(&names, "n10000", 6), -1);
    assert_int_equal(rt_names_find(&names, "n10000", 3), 10);
    assert_int_equal(rt_names_find(&names, "n1\0", 3), -1);
    rt_names_free(&names);
}

/* ---- Memory ---- */

static void sizes_are_checked(void **state) {
    (void)state;
    size_t out = 5;
    assert_true(rt_mul(SIZE_MAX / 2, 2, &out));
    assert_int_equal(out, SIZE_MAX - 1);
    assert_false(rt_mul(SIZE_MAX / 2 + 1, 2, &out));
    assert_true(rt_add(SIZE_MAX - 1, 1, &out));
    assert_false(rt_add(SIZE_MAX, 1, &out));
    assert_int_equal(rt_round_up(0, 64), 0);
    assert_int_equal(rt_round_up(1, 64), 64);
    assert_int_equal(rt_round_up(64, 64), 64);
    assert_null(rt_calloc(SIZE_MAX / 2, 3));
    assert_null(rt_alloc_aligned(SIZE_MAX - 10));
    void *nothing = rt_calloc(0, 8);
    assert_non_null(nothing);
    free(nothing);
    void *aligned = rt_alloc_aligned(100);
    assert_int_equal((uintptr_t)aligned % 64, 0);
    free(aligned);
}

static void grow_doubles_or_changes_nothing(void **state) {
    (void)state;
    int *array = NULL;
    size_t capacity = 0;
    for (int i = 0; i < 1000; i++) {
        assert_true(rt_grow((void **)&array, &capacity, (size_t)i + 1, sizeof *array));
        array[i] = i;
    }
    assert_int_equal(capacity, 1024);
    for (int i = 0; i < 1000; i++) assert_int_equal(array[i], i);
    int *before = array;
    assert_false(rt_grow((void **)&array, &capacity, SIZE_MAX / 2, sizeof *array));
    assert_false(rt_grow((void **)&array, &capacity, SIZE_MAX, 1));
    assert_ptr_equal(array, before);
    assert_int_equal(capacity, 1024);
    free(array);
}

static void arena_aligns_and_zeroes(void **state) {
    (void)state;
    rt_arena arena = {0};
    unsigned char *blocks[2000];
    size_t sizes[2000];
    for (size_t i = 0; i < 2000; i++) {
        sizes[i] = i % 7 == 0 ? 100 + i * 50 : i % 90;
        blocks[i] = rt_arena_calloc(&arena, sizes[i], 1);
        assert_non_null(blocks[i]);
        assert_int_equal((uintptr_t)blocks[i] % (sizes[i] >= 64 ? 64 : 16), 0);
        for (size_t j = 0; j < sizes[i]; j++) assert_int_equal(blocks[i][j], 0);
        memset(blocks[i], (int)(i % 251), sizes[i]);
    }
    for (size_t i = 0; i < 2000; i++) { /* nobody wrote into a neighbour */
        for (size_t j = 0; j < sizes[i]; j++) assert_int_equal(blocks[i][j], i % 251);
    }
    assert_null(rt_arena_calloc(&arena, SIZE_MAX / 2, 3));
    assert_null(rt_arena_calloc(&arena, SIZE_MAX, 1));
    assert_string_equal(rt_arena_text(&arena, "wordpiece", 4), "word");
    assert_string_equal(rt_arena_text(&arena, NULL, 0), "");
    assert_null(rt_arena_text(&arena, "x", SIZE_MAX));
    rt_arena_free(&arena);
    assert_null(arena.blocks);
    rt_arena_free(&arena);
}

static void buffer_keeps_its_cap(void **state) {
    (void)state;
    rt_buffer buffer = {.limit = 10};
    rt_buffer_text(&buffer, "12345");
    rt_buffer_format(&buffer, "%d%s", 67, "890");
    assert_false(buffer.failed);
    assert_string_equal(buffer.data, "1234567890");
    rt_buffer_append(&buffer, "", 0);
    assert_false(buffer.failed);
    rt_buffer_text(&buffer, "x");
    assert_true(buffer.failed);
    assert_int_equal(buffer.length, 10);
    assert_string_equal(buffer.data, "1234567890");
    rt_buffer_free(&buffer);
    assert_int_equal(buffer.limit, 10);
    rt_buffer_format(&buffer, "%s", "12345678901");
    assert_true(buffer.failed);
    rt_buffer_text(&buffer, "1"); /* a failed buffer stays failed */
    assert_true(buffer.failed);
    assert_int_equal(buffer.length, 0);
    rt_buffer_free(&buffer);

    rt_buffer huge = {0};
    rt_buffer_append(&huge, "x", SIZE_MAX);
    assert_true(huge.failed);
    rt_buffer_free(&huge);
}

static void cursor_stops_at_the_end(void **state) {
    (void)state;
    const uint8_t bytes[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    rt_cursor c = rt_cursor_make(bytes, sizeof bytes);
    uint8_t u8;
    uint16_t u16;
    uint32_t u32;
    uint64_t u64;
    assert_true(rt_take_u8(&c, &u8) && u8 == 1);
    assert_true(rt_take_u16(&c, &u16) && u16 == 0x0302);
    assert_true(rt_take_u32(&c, &u32) && u32 == 0x07060504u);
    assert_true(rt_take_u64(&c, &u64) && u64 == 0x0f0e0d0c0b0a0908ull);
    assert_int_equal(rt_cursor_left(&c), 0);
    assert_false(rt_take_u8(&c, &u8));
    assert_non_null(rt_take(&c, 0));

    c = rt_cursor_make(bytes, 7); /* one byte short of a u64: nothing is taken */
    assert_false(rt_take_u64(&c, &u64));
    assert_null(rt_take(&c, 8));
    assert_null(rt_take(&c, SIZE_MAX));
    assert_int_equal(rt_cursor_left(&c), 7);
    c = rt_cursor_make(bytes, 3);
    assert_false(rt_take_u32(&c, &u32));
    assert_ptr_equal(rt_take(&c, 3), bytes);
    assert_false(rt_take_u16(&c, &u16));
}

/* ---- Tensors ---- */

static void shapes_are_counted(void **state) {
    (void)state;
    size_t count = 9;
    assert_true(rt_shape_count(NULL, 0, &count) && count == 1);
    assert_true(rt_shape_count((int64_t[]){2, 384}, 2, &count) && count == 768);
    assert_true(rt_shape_count((int64_t[]){INT64_MAX, 0, INT64_MAX}, 2, &count) && count == 0);
    assert_false(rt_shape_count((int64_t[]){3, -1}, 2, &count));
    assert_false(rt_shape_count((int64_t[]){INT64_MAX, 3}, 2, &count));
    char text[16];
    assert_string_equal(rt_shape_text(text, sizeof text, (int64_t[]){2, 384}, 2), "[2, 384]");
    assert_string_equal(rt_shape_text(text, sizeof text, NULL, 0), "[]");
    rt_shape_text(text, sizeof text, (int64_t[]){1234567, 1234567, 1234567}, 3);
    assert_int_equal(strlen(text), sizeof text - 1);
    assert_string_equal(retort_dtype_name(RETORT_BF16), "bf16");
    assert_string_equal(retort_dtype_name((retort_dtype)99), "unknown");
    assert_int_equal(rt_dtype_size(RETORT_F16), 2);
    assert_int_equal(rt_dtype_size(RETORT_I64), 8);
}

static uint32_t bits_of(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}
static float from_bits(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* IEEE 754 binary16 by its definition, in double. */
static double half_value(uint32_t half) {
    int exponent = (int)(half >> 10 & 31);
    double fraction = half & 1023, sign = half & 0x8000 ? -1 : 1;
    if (exponent == 31) return fraction != 0 ? NAN : sign * INFINITY;
    return sign * (exponent == 0 ? ldexp(fraction, -24) : ldexp(1024 + fraction, exponent - 25));
}

static void f16_is_exact_for_every_value(void **state) {
    (void)state;
    for (uint32_t half = 0; half <= 0xffff; half++) {
        float got = rt_f16_to_f32((uint16_t)half);
        double wanted = half_value(half);
        if (isnan(wanted)) {
            assert_true(isnan(got));
        } else if (bits_of(got) != bits_of((float)wanted)) {
            fail_msg("f16 %04x: got %a, expected %a", half, (double)got, wanted);
        }
    }
}

/* All 65,536 values, and every place where rounding turns: just below, at and just above the middle between
 * a value and its neighbour away from zero. */
static void bf16_rounds_to_nearest_even(void **state) {
    (void)state;
    for (uint32_t high = 0; high <= 0xffff; high++) {
        float exact = rt_bf16_to_f32((uint16_t)high);
        assert_int_equal(bits_of(exact), high << 16);
        if ((high & 0x7fff) > 0x7f80) { /* NaN stays NaN and becomes quiet */
            assert_int_equal(rt_f32_to_bf16(exact), high | 0x40);
            assert_true(isnan(rt_bf16_to_f32(rt_f32_to_bf16(from_bits(high << 16 | 0xffff)))));
            continue;
        }
        assert_int_equal(rt_f32_to_bf16(exact), high);
        if ((high & 0x7fff) == 0x7f80) continue;
        assert_int_equal(rt_f32_to_bf16(from_bits(high << 16 | 0x0001)), high);
        assert_int_equal(rt_f32_to_bf16(from_bits(high << 16 | 0x7fff)), high);
        assert_int_equal(rt_f32_to_bf16(from_bits(high << 16 | 0x8000)), high + (high & 1));
        assert_int_equal(rt_f32_to_bf16(from_bits(high << 16 | 0x8001)), high + 1);
        assert_int_equal(rt_f32_to_bf16(from_bits(high << 16 | 0xffff)), high + 1);
    }
    assert_true(isnan(rt_bf16_to_f32(rt_f32_to_bf16(from_bits(0x7f800001))))); /* not rounded to infinity */
}

static void floats_are_read_unaligned(void **state) {
    (void)state;
    const uint8_t bytes[] = {0xee, 0x00, 0x3c, 0x00, 0xc0}; /* from byte 1: f16 1, -2; bf16 0x3c00, -2 */
    float out[2];
    assert_true(rt_to_f32(out, bytes + 1, RETORT_F16, 2));
    assert_true(out[0] == 1.0f && out[1] == -2.0f);
    assert_true(rt_to_f32(out, bytes + 1, RETORT_BF16, 2));
    assert_true(out[0] == 0x1p-7f && out[1] == -2.0f);
    assert_true(rt_to_f32(out, bytes + 1, RETORT_F32, 1));
    assert_int_equal(bits_of(out[0]), 0xc0003c00u);
    assert_false(rt_to_f32(out, bytes, RETORT_I32, 1));
}

/* ---- Files ---- */

static char folder[] = "/tmp/retort-base-XXXXXX";

static int make_folder(void **state) {
    (void)state;
    return mkdtemp(folder) == NULL;
}

static int entries(const char *path) {
    int count = 0;
    DIR *dir = opendir(path);
    assert_non_null(dir);
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) count += entry->d_name[0] != '.';
    closedir(dir);
    return count;
}

/* A process that is killed leaves nothing behind where the file system has files without a name. */
static void a_killed_writer_leaves_nothing(void **unused) {
    (void)unused;
    char place[] = "/tmp/retort-killed-XXXXXX", path[64];
    assert_non_null(mkdtemp(place));
    snprintf(path, sizeof path, "%s/file", place);
    rt_writer writer;
    assert_int_equal(rt_writer_open(&writer, path, NULL), RETORT_OK);
    bool unnamed = !writer.named;
    rt_writer_abort(&writer);
    pid_t child = fork();
    if (child == 0) {
        rt_writer_open(&writer, path, NULL);
        rt_writer_write(&writer, "half", 4, NULL);
        raise(SIGKILL);
    }
    assert_int_equal(waitpid(child, NULL, 0), child);
    if (unnamed) assert_int_equal(entries(place), 0);
    assert_int_equal(rt_writer_open(&writer, path, NULL), RETORT_OK);
    assert_int_equal(rt_writer_write(&writer, "whole", 5, NULL), RETORT_OK);
    assert_int_equal(rt_writer_commit(&writer, NULL), RETORT_OK);
    rt_writer_abort(&writer);
    assert_int_equal(entries(place), 1);
    unlink(path);
    assert_int_equal(symlink("nowhere", path), 0);
    retort_error err;
    assert_int_equal(rt_writer_open(&writer, path, &err), RETORT_IO);
    assert_non_null(strstr(err.text, "a dangling link"));
    rt_writer_abort(&writer);
    unlink(path);
    assert_int_equal(rmdir(place), 0);
}

static int remove_folder(void **state) {
    (void)state;
    return rmdir(folder);
}

static const char *path_of(const char *name) {
    static char path[256];
    assert_true(rt_path_join(path, sizeof path, folder, name));
    return path;
}

static void write_file(const char *path, const void *data, size_t size) {
    rt_writer writer;
    assert_int_equal(rt_writer_open(&writer, path, NULL), RETORT_OK);
    assert_int_equal(rt_writer_write(&writer, data, size, NULL), RETORT_OK);
    assert_int_equal(writer.written, size);
    assert_int_equal(rt_writer_commit(&writer, NULL), RETORT_OK);
    rt_writer_abort(&writer);
}

static void assert_file(const char *path, const void *data, size_t size) {
    rt_map map;
    assert_int_equal(rt_map_open(&map, path, NULL), RETORT_OK);
    assert_int_equal(map.size, size);
    assert_non_null(map.data);
    assert_memory_equal(map.data, data, size);
    rt_map_close(&map);
    rt_map_close(&map);
}

static void files_are_written_and_mapped(void **state) {
    (void)state;
    const char *path = path_of("file");
    mode_t mask = umask(027);
    write_file(path, "first", 5);
    umask(mask);
    struct stat info;
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0640);
    assert_file(path, "first", 5);
    write_file(path, "", 0);
    assert_file(path, "", 0);
    assert_true(rt_is_file(path) && !rt_is_folder(path));
    assert_true(rt_is_folder(folder) && !rt_is_file(folder));
    assert_int_equal(entries(folder), 1);
    assert_int_equal(unlink(path), 0);
    assert_false(rt_is_file(path) || rt_is_folder(path));
}

static void only_regular_files_are_mapped(void **state) {
    (void)state;
    rt_map map;
    retort_error err = {0};
    assert_int_equal(rt_map_open(&map, path_of("missing"), &err), RETORT_IO);
    assert_non_null(strstr(err.text, "missing"));
    assert_int_equal(rt_map_open(&map, folder, &err), RETORT_IO);
    const char *pipe_path = path_of("pipe");
    assert_int_equal(mkfifo(pipe_path, 0600), 0);
    assert_int_equal(rt_map_open(&map, pipe_path, &err), RETORT_IO); /* does not wait for a writer */
    assert_non_null(strstr(err.text, "regular"));
    assert_int_equal(unlink(pipe_path), 0);
}

static void paths_are_joined(void **state) {
    (void)state;
    char out[8];
    assert_true(rt_path_join(out, sizeof out, "a", "b"));
    assert_string_equal(out, "a/b");
    assert_true(rt_path_join(out, sizeof out, "a/", "b"));
    assert_string_equal(out, "a/b");
    assert_false(rt_path_join(out, sizeof out, "folder", "x"));
}

/* A disk that is full: what was there stays, and nothing is left beside it. */
static void a_failed_write_leaves_the_old_file(void **state) {
    (void)state;
    static const char block[8192];
    const char *path = path_of("file");
    write_file(path, "old", 3);
    struct rlimit limit, small;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    small = limit;
    small.rlim_cur = 4096 + 100;
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    rt_writer writer;
    retort_error err = {0};
    retort_status opened = rt_writer_open(&writer, path, NULL);
    retort_status status = rt_writer_write(&writer, block, sizeof block, &err);
    if (status == RETORT_OK) status = rt_writer_commit(&writer, &err);
    setrlimit(RLIMIT_FSIZE, &limit);
    signal(SIGXFSZ, handler);
    assert_int_equal(opened, RETORT_OK);
    assert_int_equal(status, RETORT_IO);
    assert_non_null(strstr(err.text, path));
    assert_non_null(strstr(err.text, strerror(EFBIG)));
    rt_writer_abort(&writer);
    assert_file(path, "old", 3);
    assert_int_equal(entries(folder), 1);
    assert_int_equal(unlink(path), 0);
}

static void writers_fail_with_a_word(void **state) {
    (void)state;
    rt_writer writer;
    retort_error err = {0};
    assert_int_equal(rt_writer_open(&writer, path_of("no/such/folder"), &err), RETORT_IO);
    assert_non_null(strstr(err.text, "no/such/folder"));
    rt_writer_abort(&writer);

    const char *path = path_of("taken"); /* a folder stands where the file should go */
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(rt_writer_open(&writer, path, &err), RETORT_IO);
    assert_non_null(strstr(err.text, "not a regular file"));
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(rt_writer_open(&writer, path, &err), RETORT_OK);
    assert_int_equal(mkdir(path, 0700), 0); /* and now it appears while the file is written */
    assert_int_equal(rt_writer_write(&writer, "x", 1, &err), RETORT_OK);
    assert_int_equal(rt_writer_commit(&writer, &err), RETORT_IO);
    rt_writer_abort(&writer);
    rt_writer_abort(&writer);
    assert_int_equal(entries(folder), 1);
    assert_int_equal(rmdir(path), 0);

    assert_int_equal(rt_writer_open(&writer, path, &err), RETORT_OK); /* given up before the end */
    rt_writer_abort(&writer);
    assert_int_equal(entries(folder), 0);
}

/* ---- CPU ---- */

static void tiers_are_selected(void **state) {
    (void)state;
    size_t count, accepted = 0;
    const rt_isa *tiers = rt_isa_list(&count);
    uint32_t features, have = rt_cpu_features();
    const char *isa;
    retort_error err = {0};
    for (size_t i = 0; i < count; i++) {
        retort_status status = rt_isa_select(tiers[i].name, &features, &isa, &err);
        bool can = (tiers[i].needs & ~have) == 0;
        assert_int_equal(status, can ? RETORT_OK : RETORT_UNSUPPORTED);
        if (!can) continue;
        accepted++;
        assert_string_equal(isa, tiers[i].name);
        assert_int_equal(features, have & tiers[i].allows);
    }
    assert_true(accepted >= 1 && accepted < count); /* no CPU has both x86 and Arm tiers */
    assert_int_equal(rt_isa_select("ref", &features, NULL, NULL), RETORT_OK);
    assert_int_equal(features, 0);
    assert_int_equal(rt_isa_select("mmx", &features, &isa, &err), RETORT_ARGUMENT);
    assert_non_null(strstr(err.text, "mmx"));
}

static void environment_caps_the_tier(void **state) {
    (void)state;
    char *saved = getenv("RETORT_ISA") == NULL ? NULL : strdup(getenv("RETORT_ISA"));
    uint32_t features;
    const char *isa, *best;
    unsetenv("RETORT_ISA");
    assert_int_equal(rt_isa_select(NULL, &features, &best, NULL), RETORT_OK);
    setenv("RETORT_ISA", "ref", 1);
    assert_int_equal(rt_isa_select(NULL, &features, &isa, NULL), RETORT_OK);
    assert_string_equal(isa, "ref");
    assert_int_equal(rt_isa_select("", &features, &isa, NULL), RETORT_OK);
    assert_string_equal(isa, best);
    setenv("RETORT_ISA", "nonsense", 1);
    assert_int_equal(rt_isa_select(NULL, &features, &isa, NULL), RETORT_ARGUMENT);
    unsetenv("RETORT_ISA");
    if (saved != NULL) setenv("RETORT_ISA", saved, 1);
    free(saved);
}

static void threads_follow_affinity(void **state) {
    (void)state;
    cpu_set_t all, one;
    assert_int_equal(sched_getaffinity(0, sizeof all, &all), 0);
    int before = rt_cpu_threads();
    assert_in_range(before, 1, CPU_COUNT(&all));
    CPU_ZERO(&one);
    for (size_t cpu = 0; cpu < CPU_SETSIZE && CPU_COUNT(&one) == 0; cpu++) {
        if (CPU_ISSET(cpu, &all)) CPU_SET(cpu, &one);
    }
    assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
    int converted = rt_cpu_threads();
    assert_int_equal(sched_setaffinity(0, sizeof all, &all), 0);
    assert_int_equal(converted, 1);
}

static void machine_is_described(void **state) {
    (void)state;
    retort_machine machine = {.size = sizeof machine};
    assert_int_equal(retort_machine_describe(&machine), RETORT_OK);
    assert_true(machine.logical >= 1 && machine.physical >= 1 && machine.physical <= machine.logical);
    assert_in_range(machine.threads, 1, machine.affinity);
    assert_non_null(machine.isa);
    assert_true(machine.cpu[0] != '\0');
    assert_int_equal(retort_machine_describe(NULL), RETORT_ARGUMENT);
    machine.size = 1;
    assert_int_equal(retort_machine_describe(&machine), RETORT_ARGUMENT);
}

static void text_is_escaped(void **unused) {
    (void)unused;
    static const struct {
        const char *text, *safe;
    } cases[] = {
        {"", ""},
        {"plain, caf\xc3\xa9, \xed\x95\x9c\xea\xb5\xad, \xf0\x9f\x98\x80",
         "plain, caf\xc3\xa9, \xed\x95\x9c\xea\xb5\xad, \xf0\x9f\x98\x80"},
        {"\x1b[2Ja\nb\tc\rd\x7f\a", "\\u001b[2Ja\\nb\\tc\\rd\\u007f\\u0007"},
        {"\xc2\x9b\x31m", "\\u009b1m"},                       /* a control character of C1: CSI */
        {"\xe2\x80\xaeoot\xe2\x81\xa9", "\\u202eoot\\u2069"}, /* turns the order of writing */
        {"\xff\xc0\xaf\xed\xa0\x80\xe2\x82", "\\xff\\xc0\\xaf\\xed\\xa0\\x80\\xe2\\x82"},
        {"C:\\new", "C:\\new"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char out[128];
        size_t length = strlen(cases[i].text), need = strlen(cases[i].safe);
        assert_int_equal(retort_escape(out, sizeof out, cases[i].text, length), need);
        assert_string_equal(out, cases[i].safe);
        assert_int_equal(retort_escape(NULL, 0, cases[i].text, length), need);
        assert_int_equal(retort_escape(out, sizeof out, cases[i].safe, need), need); /* stays as it is */
        for (size_t capacity = 1; capacity <= need; capacity++) { /* cut between characters */
            memset(out, 'z', sizeof out);
            assert_int_equal(retort_escape(out, capacity, cases[i].text, length), need);
            size_t kept = strlen(out);
            assert_true(kept < capacity && memcmp(out, cases[i].safe, kept) == 0);
            assert_true((cases[i].safe[kept] & 0xC0) != 0x80);
        }
    }
    retort_error err;
    rt_fail(&err, RETORT_FORMAT, "%s: bad", "\x1b[2J\nname");
    assert_string_equal(err.text, "\\u001b[2J\\nname: bad");
    char korean[600] = "";
    for (size_t i = 0; i + 3 < sizeof korean; i += 3) memcpy(korean + i, "\xed\x95\x9c", 4);
    rt_fail(&err, RETORT_FORMAT, "a%s", korean);
    assert_true(strlen(err.text) % 3 == 1 && strlen(err.text) > 500 && strstr(err.text, "\\x") == NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(status_texts_differ),
        cmocka_unit_test(errors_carry_text),
        cmocka_unit_test(text_is_escaped),
        cmocka_unit_test(long_errors_are_cut),
        cmocka_unit_test(hashes_are_siphash_1_3),
        cmocka_unit_test(hash_keys_differ),
        cmocka_unit_test(names_are_found),
        cmocka_unit_test(sizes_are_checked),
        cmocka_unit_test(grow_doubles_or_changes_nothing),
        cmocka_unit_test(arena_aligns_and_zeroes),
        cmocka_unit_test(buffer_keeps_its_cap),
        cmocka_unit_test(cursor_stops_at_the_end),
        cmocka_unit_test(shapes_are_counted),
        cmocka_unit_test(f16_is_exact_for_every_value),
        cmocka_unit_test(bf16_rounds_to_nearest_even),
        cmocka_unit_test(floats_are_read_unaligned),
        cmocka_unit_test(files_are_written_and_mapped),
        cmocka_unit_test(only_regular_files_are_mapped),
        cmocka_unit_test(paths_are_joined),
        cmocka_unit_test(a_failed_write_leaves_the_old_file),
        cmocka_unit_test(a_killed_writer_leaves_nothing),
        cmocka_unit_test(writers_fail_with_a_word),
        cmocka_unit_test(tiers_are_selected),
        cmocka_unit_test(environment_caps_the_tier),
        cmocka_unit_test(threads_follow_affinity),
        cmocka_unit_test(machine_is_described),
    };
    return cmocka_run_group_tests_name("base", tests, make_folder, remove_folder);
}
