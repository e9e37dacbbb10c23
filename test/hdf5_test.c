/* SPDX-License-Identifier: Apache-2.0
 * HDF5: small files of each kind are in fuzz/corpus/hdf5 (fuzz/make_tensorflow.py). */
#include "format/tensors.h"
#include "tensorflow_files.h"

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
        {"many", RETORT_UNSUPPORTED, "x: '/': a group of this many members is not supported"},
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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hdf5_reads),
        cmocka_unit_test(test_hdf5_refuses),
        cmocka_unit_test(test_hdf5_spoilt),
        cmocka_unit_test(test_hdf5_superblock),
    };
    return cmocka_run_group_tests_name("hdf5", tests, make_folder, remove_folder);
}
