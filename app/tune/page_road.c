/* SPDX-License-Identifier: Apache-2.0
 * Why the models that are given are, and why faster and smaller ones are not. */
#include "cli/plot.h"
#include "tune/choose.h"
#include "tune/judge.h"
#include "tune/page_parts.h"

enum { MOST_ROADS = 6 };

static size_t count_within(const tune *t, size_t *offered) {
    size_t within = 0;
    *offered = 0;
    for (size_t i = 0; i < t->trial_count; i++) {
        *offered += tune_offered(&t->trials[i]);
        within += tune_offered(&t->trials[i]) && tune_forecast(t, &t->trials[i]) <= t->settings->floor;
    }
    return within;
}

static void write_one(FILE *to, const tune *t, const char *most, int index) {
    if (index < 0) return;
    const tune_claim *c = &t->claims[index];
    const tune_trial *it = tune_trial_of_claim(t, c);
    fprintf(to,
            "<p><b>%s</b> is the %s of what is proven: %.2f times as fast as the input, %.1f MB. The rows "
            "that select "
            "let expect %+.2f points or better; the sealed ones show %+.2f, and at least %+.2f with 95 %% "
            "confidence: %.2f above the floor.</p>\n",
            it->name, most, it->speed.ratio, (double)it->bytes * 1e-6, -tune_forecast(t, it),
            100 * c->difference, 100 * c->bound, 100 * c->bound + t->settings->floor);
}

void tune_page_why(FILE *to, const tune *t) {
    size_t offered, within = count_within(t, &offered);
    fprintf(to,
            "<h2>Why these</h2><p>%zu model%s made, measured, and neither slower nor larger than the input; "
            "of %zu the rows that select let expect no more than the floor. Times within 3 %% count as "
            "equal: then "
            "the smaller file is taken.</p>\n",
            offered, offered == 1 ? " was" : "s were", within);
    write_one(to, t, t->fastest == t->smallest ? "fastest and the smallest" : "fastest", t->fastest);
    if (t->smallest != t->fastest) write_one(to, t, "smallest", t->smallest);
}

/* ---- Not taken ---- */

static const tune_claim *claim_of(const tune *t, const tune_trial *it) {
    for (size_t i = 0; i < t->claim_count; i++) {
        if (tune_trial_of_claim(t, &t->claims[i]) == it) return &t->claims[i];
    }
    return NULL;
}

/* In speed or in size, than everything that is given for it. */
static bool is_tempting(const tune *t, const tune_trial *it) {
    const tune_claim *claim = claim_of(t, it);
    if (!tune_offered(it) || (claim != NULL && claim->proven)) return false;
    bool faster =
             t->fastest < 0 || it->speed.ratio > tune_trial_of_claim(t, &t->claims[t->fastest])->speed.ratio,
         smaller = t->smallest < 0 || it->bytes < tune_trial_of_claim(t, &t->claims[t->smallest])->bytes;
    return faster || smaller;
}

static void write_road(FILE *to, const tune *t, const tune_trial *it) {
    const tune_claim *claim = claim_of(t, it);
    double forecast = tune_forecast(t, it);
    fprintf(to, "<li><b>%s</b>: %.2f times as fast, %.1f MB, but ", it->name, it->speed.ratio,
            (double)it->bytes * 1e-6);
    if (claim != NULL) {
        fprintf(to, "the sealed rows show no more than %+.2f points (p %.2g in its turn).",
                100 * claim->bound, claim->adjusted);
    } else if (forecast > t->settings->floor) {
        fprintf(to, "%+.2f points on the rows that select, where %+.2f or better was to be expected of it.",
                -tune_loss(it), -forecast);
    } else {
        fprintf(to, "not tested: within 3 %% of the time of what was.");
    }
    fputs("</li>\n", to);
}

/* Into the list, which is in the order of forecasts. */
static void insert(const tune *t, const tune_trial **roads, size_t n, const tune_trial *it) {
    for (; n > 0 && tune_forecast(t, roads[n - 1]) > tune_forecast(t, it); n--) roads[n] = roads[n - 1];
    roads[n] = it;
}

void tune_page_road(FILE *to, const tune *t) {
    const tune_trial *roads[TUNE_MOST_TRIALS];
    size_t n = 0, failed = 0, dropped = 0;
    for (size_t i = 0; i < t->trial_count; i++) {
        const tune_trial *it = &t->trials[i];
        if (is_tempting(t, it)) insert(t, roads, n++, it);
        failed += it->status == TUNE_FAILED;
        dropped += it->status == TUNE_DROPPED;
    }
    fprintf(to, "<h2>The road not taken</h2>\n");
    if (n > 0) fprintf(to, "<p>Faster or smaller, the nearest misses first:</p><ul>\n");
    for (size_t i = 0; i < n && i < MOST_ROADS; i++) write_road(to, t, roads[i]);
    if (n > 0) fprintf(to, "</ul>\n");
    fprintf(to, "<p>%s", n == 0 ? "Nothing that was made is faster or smaller. " : "");
    if (n > MOST_ROADS) fprintf(to, "%zu more are in the table below. ", n - MOST_ROADS);
    if (dropped > 0)
        fprintf(to, "%zu %s left out as slower or larger than the input. ", dropped,
                dropped == 1 ? "was" : "were");
    if (failed > 0) fprintf(to, "%zu failed. ", failed);
    fprintf(to, "%s</p>\n",
            t->exhausted ? "Everything on the list was tried."
                         : "The time was over before everything on the list was tried: the same command with "
                           "a larger --budget goes on.");
}
