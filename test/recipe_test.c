/* SPDX-License-Identifier: Apache-2.0
 * The parts of recipes that calibrate activations, against plain restatements of them. */
#include "quant/range.h"
#include "quant_models.h"

#include <math.h>

static uint32_t state = 1;
static float random_float(void) { /* about normal: a sum of four */
    float sum = 0;
    for (int i = 0; i < 4; i++) {
        state = state * 1664525u + 1013904223u;
        sum += (float)(state >> 8) * 0x1p-24F - 0.5F;
    }
    return sum;
}

/* ---- Ranges ---- */

enum { VALUES = 5000 };

/* What rounding to 8 bits within a range loses of the values themselves. */
static double loss_of(const float *x, float least, float largest) {
    double loss = 0, step = ((double)largest - (double)least) / 254;
    for (size_t i = 0; i < VALUES; i++) {
        double v = fmin(fmax((double)x[i], (double)least), (double)largest);
        double back = (double)least + rint((v - (double)least) / step) * step;
        loss += (back - (double)x[i]) * (back - (double)x[i]);
    }
    return loss;
}

/* The range loses hardly more of the values than the best of a grid, whatever the order and the chunks. */
static void check_range(const float *x) {
    rt_spread *whole = calloc(1, sizeof *whole), *parts = calloc(1, sizeof *parts);
    float range[2], same[2], least = 0, largest = 0;
    assert_true(whole != NULL && parts != NULL);
    assert_true(rt_spread_add(whole, VALUES, x));
    for (size_t i = VALUES; i-- > 0;) assert_true(rt_spread_add(parts, 1, x + i));
    rt_spread_range(whole, range);
    rt_spread_range(parts, same);
    assert_memory_equal(range, same, sizeof range);
    for (size_t i = 0; i < VALUES; i++) least = fminf(least, x[i]);
    for (size_t i = 0; i < VALUES; i++) largest = fmaxf(largest, x[i]);
    double found = loss_of(x, range[0], range[1]);
    for (int i = 0; i < 20; i++) {
        for (int j = 0; j < 20; j++) {
            double loss = loss_of(x, least * (1 - 0.04F * (float)i), largest * (1 - 0.04F * (float)j));
            assert_true(found <= loss * 1.02 + 1e-12);
        }
    }
    free(whole);
    free(parts);
}

static void test_ranges(void **unused) {
    (void)unused;
    float x[VALUES];
    for (size_t i = 0; i < VALUES; i++) x[i] = random_float();
    check_range(x);
    for (size_t i = 0; i < VALUES; i++) x[i] = fmaxf(x[i], -0.17F) * 3;
    check_range(x);
    x[77] = 400; /* far out: clipped */
    check_range(x);
    for (size_t i = 0; i < VALUES; i++) x[i] = ldexpf(random_float(), (int)(i % 30) - 25);
    check_range(x);
}

static void test_ranges_of_nothing(void **unused) {
    (void)unused;
    rt_spread *s = calloc(1, sizeof *s);
    float zeros[3] = {0}, one[] = {1.5F}, bad[] = {1, NAN}, range[2];
    assert_non_null(s);
    rt_spread_range(s, range);
    assert_true(range[0] == 0 && range[1] == 0);
    assert_true(rt_spread_add(s, 3, zeros));
    rt_spread_range(s, range);
    assert_true(range[0] == 0 && range[1] == 0);
    assert_true(rt_spread_add(s, 1, one));
    rt_spread_range(s, range);
    assert_true(range[0] == 0 && range[1] > 1.4F && range[1] <= 1.5F);
    assert_false(rt_spread_add(s, 2, bad));
    free(s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ranges),
        cmocka_unit_test(test_ranges_of_nothing),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
