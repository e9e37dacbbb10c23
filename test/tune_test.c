/* SPDX-License-Identifier: Apache-2.0
 * The forecast of tune against the exact distribution: rows that either model alone gets right are a multinomial draw. */
#include "tune/judge.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

/* The chances of each difference −width … width after m rows, of which each is −1 with chance `lost` and 1 with `won`; the caller
 * frees them. */
static double *differences(size_t m, double lost, double won, size_t width) {
    size_t n = 2 * width + 1;
    double *at = calloc(n, sizeof *at), *next = calloc(n, sizeof *next);
    assert_non_null(at);
    assert_non_null(next);
    at[width] = 1;
    for (size_t row = 0; row < m; row++) {
        for (size_t i = 0; i < n; i++) {
            next[i] =
                at[i] * (1 - lost - won) + (i + 1 < n ? at[i + 1] * lost : 0) + (i > 0 ? at[i - 1] * won : 0);
        }
        double *old = at;
        at = next;
        next = old;
    }
    free(next);
    return at;
}

/* The smallest difference that m rows stay at or below with this chance, in rows. */
static double quantile(size_t m, double lost, double won, double chance) {
    double rows = (double)m, below = 0;
    size_t width = (size_t)(10 * sqrt(rows * (lost + won)) + rows * fabs(won - lost) + 30), i = 0;
    double *at = differences(m, lost, won, width);
    for (; i < 2 * width; i++) {
        below += at[i];
        if (below >= chance) break;
    }
    free(at);
    return (double)i - (double)width;
}

/* Rows that the sealed test is expected to lose at most, by `lost` and `won` of n rows that select. */
static double forecast_rows(size_t n, size_t sealed, size_t lost, size_t won) {
    static tune t;
    double rows = (double)n, b = (double)lost / rows, c = (double)won / rows;
    tune_trial it = {.status = TUNE_DONE};
    t.split.sealed_rows = sealed;
    it.score = (tune_score){.n = n, .difference = c - b, .agreement = 1 - b - c};
    it.score.low = quantile(n, b, c, 0.025) / rows;
    it.score.high = quantile(n, b, c, 0.975) / rows;
    return tune_forecast(&t, &it) / 100 * (double)sealed;
}

static void forecast_is_within_a_row_of_the_exact_quantile(void **state) {
    static const struct {
        size_t n, sealed, lost, won;
    } cases[] = {{872, 872, 0, 0},    {300, 872, 0, 0},   {1500, 872, 3, 1}, {1500, 872, 12, 4},
                 {750, 1821, 15, 15}, {750, 1821, 25, 5}, {200, 1000, 4, 2}, {200, 200, 30, 10},
                 {1500, 3080, 20, 5}, {60, 53, 2, 0},     {400, 200, 0, 12}, {100, 100, 50, 0}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        /* As the sealed test does, it counts one more text that has changed; on either side, for no shift. */
        double n = (double)cases[i].n, lost = ((double)cases[i].lost + 0.5) / n,
               won = ((double)cases[i].won + 0.5) / n;
        double exact = -quantile(cases[i].sealed, lost, won, 0.05),
               found = forecast_rows(cases[i].n, cases[i].sealed, cases[i].lost, cases[i].won);
        assert_true(fabs(found - exact) < 1);
    }
}

static void what_is_unknown_is_never_forecast(void **state) {
    static tune t;
    tune_trial it = {.status = TUNE_DONE};
    (void)state;
    t.split.sealed_rows = 100;
    assert_true(isinf(tune_forecast(&t, &it))); /* no rows */
    it.score = (tune_score){.n = 100, .difference = (double)NAN};
    assert_true(isinf(tune_forecast(&t, &it)));
    it.score = (tune_score){.n = 100, .difference = 0, .low = 0, .high = 0, .agreement = 1};
    assert_true(tune_forecast(&t, &it) > 0); /* no change on a hundred rows is not proof of none */
    it.status = TUNE_FAILED;
    assert_true(isinf(tune_forecast(&t, &it)));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forecast_is_within_a_row_of_the_exact_quantile),
        cmocka_unit_test(what_is_unknown_is_never_forecast),
    };
    return cmocka_run_group_tests_name("tune", tests, NULL, NULL);
}
