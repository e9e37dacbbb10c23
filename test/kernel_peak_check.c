/* SPDX-License-Identifier: Apache-2.0
 * What the machine's peaks are measured with. */
#include "kernel_check.h"

#include <math.h>
#include <stdio.h>

/* All multiply-adds that a row says it did have added their one; and it does some in each round. */
static bool check_peak(const kernel_row *row, char *why, size_t size) {
    static const size_t rounds[] = {0, 1, 2, 7, 100, 1000};
    uint64_t each = 0;
    for (size_t i = 0; i < sizeof rounds / sizeof *rounds; i++) {
        guarded out = guarded_new(16 * sizeof(float));
        uint64_t operations = ((rt_peak_fn)row->fn)(rounds[i], 1, out.data);
        double sum = 0;
        for (int j = 0; j < 16; j++) sum += ((float *)out.data)[j];
        guarded_free(&out);
        if (i == 1) each = operations;
        bool right = operations == rounds[i] * each && (rounds[i] == 0 || each > 0);
        if (right && sum * 2 == (double)operations) continue;
        snprintf(why, size, "%zu rounds: %llu operations, sums of %.0f", rounds[i],
                 (unsigned long long)operations, sum);
        return false;
    }
    return true;
}

bool check_peak_f32(const kernel_row *row, char *why, size_t size) {
    return check_peak(row, why, size);
}
bool check_peak_bf16(const kernel_row *row, char *why, size_t size) {
    return check_peak(row, why, size);
}
bool check_peak_s8(const kernel_row *row, char *why, size_t size) {
    return check_peak(row, why, size);
}
bool check_peak_s4(const kernel_row *row, char *why, size_t size) {
    return check_peak(row, why, size);
}

bool check_read_sum(const kernel_row *row, char *why, size_t size) {
    for (size_t n = 0; n < 300; n++) {
        guarded x = guarded_new(n * sizeof(uint64_t));
        uint64_t *words = x.data;
        for (size_t i = 0; i < n; i++) words[i] = (uint64_t)random_u32() << 32 | random_u32();
        uint64_t want = ((rt_read_fn)row->ref)(n, words), got = ((rt_read_fn)row->fn)(n, words);
        guarded_free(&x);
        if (want == got) continue;
        snprintf(why, size, "the sum of %zu words differs from ref", n);
        return false;
    }
    return true;
}
