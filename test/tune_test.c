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

static tune_trial scored(double points, double half_width, double kl) {
    tune_trial it = {.status = TUNE_DONE};
    it.score = (tune_score){.n = 800, .difference = points / 100, .kl = kl};
    it.score.low = it.score.difference - half_width / 100;
    it.score.high = it.score.difference + half_width / 100;
    return it;
}

static void kl_decides_where_the_rows_cannot(void **state) {
    (void)state;
    tune_trial far = scored(-0.25, 1.2, 0.096), near = scored(-0.62, 1.2, 0.045);
    assert_true(tune_closer(&near, &far) && !tune_closer(&far, &near));
    tune_trial good = scored(0.13, 0.5, 0.0036), bad = scored(-0.87, 0.5, 0.0022);
    assert_true(tune_closer(&good, &bad) && !tune_closer(&bad, &good));
    tune_trial unknown = scored(0.2, 1.2, (double)NAN);
    assert_true(tune_closer(&unknown, &far) && !tune_closer(&far, &unknown));
    assert_false(tune_closer(&far, &far));
}

static void claims_are_tested_in_turn(void **state) {
    (void)state;
    static tune t;
    static const double p[] = {0.001, 0.04, 0.2, 0.001, 0.01, 0.03};
    static const int opening[] = {1, 1, 1, 1, 2, 2};
    static const double once[] = {0.001, 0.04, 0.2, 0.2}, twice[] = {0.002, 0.08, 0.4, 0.4, 0.02, 0.06};
    for (size_t i = 0; i < 6; i++) t.claims[i] = (tune_claim){.opening = opening[i], .p = p[i]};
    t.claim_count = 4;
    t.openings = 1;
    tune_adjust(&t);
    for (size_t i = 0; i < 4; i++) {
        assert_true(fabs(t.claims[i].adjusted - once[i]) < 1e-12);
        assert_int_equal(t.claims[i].proven, i < 2); /* the last: after one that failed */
    }
    t.claim_count = 6;
    t.openings = 2;
    tune_adjust(&t);
    for (size_t i = 0; i < 6; i++) {
        assert_true(fabs(t.claims[i].adjusted - twice[i]) < 1e-12);
        assert_int_equal(t.claims[i].proven, i == 0 || i == 4);
    }
}

/* Models that lose the floor, in tunings of five claims: p-values of equal chance, that go together or not. A procedure that looked at
 * the least of them would be seen to fail. */
static void a_false_claim_is_as_rare_as_it_says(void **state) {
    (void)state;
    enum { TUNINGS = 20000, CLAIMS = 5 };
    static tune t;
    uint64_t random = 1;
    for (int together = 0; together < 2; together++) {
        double wrong = 0, peeking = 0;
        for (int run = 0; run < TUNINGS; run++) {
            double least = 1;
            t.claim_count = CLAIMS;
            t.openings = 1;
            for (size_t i = 0; i < CLAIMS; i++) {
                random = random * 6364136223846793005u + 1442695040888963407u;
                double p = (double)(random >> 11) * 0x1p-53;
                t.claims[i] = (tune_claim){.opening = 1, .p = together != 0 && i > 0 ? t.claims[0].p : p};
                least = fmin(least, t.claims[i].p);
            }
            tune_adjust(&t);
            bool any = false;
            for (size_t i = 0; i < CLAIMS; i++) any |= t.claims[i].proven;
            wrong += any;
            peeking += least <= TUNE_LEVEL;
        }
        double limit = TUNE_LEVEL + 3 * sqrt(TUNE_LEVEL * (1 - TUNE_LEVEL) / TUNINGS);
        assert_true(wrong / TUNINGS <= limit);
        assert_true(wrong / TUNINGS > TUNE_LEVEL / 2);
        if (together == 0) assert_true(peeking / TUNINGS > 4 * TUNE_LEVEL);
    }
}

static void a_busy_machine_misleads(void **state) {
    (void)state;
    for (double others = 0; others <= 1; others += 0.25) {
        tune_speed speed = {.others = others};
        assert_int_equal(tune_speed_misleads(&speed), others > 0);
    }
    assert_false(tune_speed_misleads(&(tune_speed){.others = 0.05}));
    assert_false(tune_speed_misleads(&(tune_speed){.others = NAN}));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forecast_is_within_a_row_of_the_exact_quantile),
        cmocka_unit_test(what_is_unknown_is_never_forecast),
        cmocka_unit_test(kl_decides_where_the_rows_cannot),
        cmocka_unit_test(claims_are_tested_in_turn),
        cmocka_unit_test(a_false_claim_is_as_rare_as_it_says),
        cmocka_unit_test(a_busy_machine_misleads),
    };
    return cmocka_run_group_tests_name("tune", tests, NULL, NULL);
}
