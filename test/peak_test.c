/* SPDX-License-Identifier: Apache-2.0
 * Measuring what the machine reaches. Its figures depend on what else runs, so only what always holds is
 * asked for. */
#include "base/cpu.h"

#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

static void caches_are_told(void **state) {
    (void)state;
    uint64_t bytes[RT_CACHES];
    rt_cpu_caches(bytes);
    for (int i = 0; i < RT_CACHES; i++) assert_true(bytes[i] >= 4096 && bytes[i] < (uint64_t)1 << 40);
    assert_true(bytes[0] <= bytes[1] && bytes[1] <= bytes[2]);
}

static void cores_are_listed(void **state) {
    (void)state;
    enum { MOST = 1024 };
    int cpus[MOST], count = rt_cpu_cores(cpus, MOST);
    cpu_set_t set;
    assert_int_equal(sched_getaffinity(0, sizeof set, &set), 0);
    assert_in_range(count, 1, MOST);
    for (int i = 0; i < count; i++) {
        assert_true(CPU_ISSET((size_t)cpus[i], &set));
        assert_true(i == 0 || cpus[i] > cpus[i - 1]);
    }
    cpus[0] = -1;
    assert_int_equal(rt_cpu_cores(cpus, 0), count);
    assert_int_equal(cpus[0], -1);
}

static void check_rate(retort_rate rate) {
    assert_true(rate.one > 0 && rate.one < 1e18 && rate.all > 0 && rate.all < 1e18);
}

static void check_peaks(const char *isa, int threads) {
    retort_peaks peaks = {.size = sizeof peaks};
    retort_error err = {0};
    if (retort_machine_measure(isa, threads, &peaks, &err) != RETORT_OK) fail_msg("%s", err.text);
    assert_int_equal(peaks.size, sizeof peaks);
    assert_int_equal(peaks.threads, threads);
    check_rate(peaks.f32);
    check_rate(peaks.bf16);
    check_rate(peaks.s8);
    check_rate(peaks.s4);
    for (int level = RETORT_L1; level <= RETORT_DRAM; level++) check_rate(peaks.read[level]);
    assert_true(peaks.barrier > 0 && peaks.wake > 0 && peaks.seconds > 0);
    assert_memory_equal(peaks.f32_kernel, "peak_f32_", 9);
    assert_memory_equal(peaks.bf16_kernel, "peak_bf16_", 10);
    assert_memory_equal(peaks.s8_kernel, "peak_s8_", 8);
    assert_memory_equal(peaks.s4_kernel, "peak_s4_", 8);
    if (isa != NULL) assert_string_equal(peaks.isa, isa);
}

static void peaks_are_measured(void **state) {
    (void)state;
    cpu_set_t before, after;
    assert_int_equal(sched_getaffinity(0, sizeof before, &before), 0);
    check_peaks(NULL, 2);
    check_peaks("ref", 1);
    assert_int_equal(sched_getaffinity(0, sizeof after, &after), 0);
    assert_true(CPU_EQUAL(&before, &after)); /* the caller may run where it might before */
}

static void bad_arguments_are_refused(void **state) {
    (void)state;
    retort_error err = {0};
    retort_peaks peaks = {.size = sizeof peaks - 1};
    assert_int_equal(retort_machine_measure(NULL, 0, NULL, &err), RETORT_ARGUMENT);
    assert_int_equal(retort_machine_measure(NULL, 0, &peaks, &err), RETORT_ARGUMENT);
    assert_non_null(strstr(err.text, "retort_peaks_init sets it"));
    peaks.size = sizeof peaks;
    assert_int_equal(retort_machine_measure(NULL, -1, &peaks, &err), RETORT_ARGUMENT);
    assert_int_equal(retort_machine_measure(NULL, 1025, &peaks, &err), RETORT_ARGUMENT);
    assert_non_null(strstr(err.text, "1025 threads: expected 1 to 1024"));
    assert_int_equal(retort_machine_measure("sse", 1, &peaks, &err), RETORT_ARGUMENT);
    assert_true(peaks.threads == 0 && peaks.seconds == 0); /* untouched */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(caches_are_told),
        cmocka_unit_test(cores_are_listed),
        cmocka_unit_test(peaks_are_measured),
        cmocka_unit_test(bad_arguments_are_refused),
    };
    return cmocka_run_group_tests_name("peak", tests, NULL, NULL);
}
