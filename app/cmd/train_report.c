/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/train_report.h"
#include "cli/progress.h"
#include "cli/stats.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void train_report_begin(train_report *report, const cli_args *args) {
    *report = (train_report){.json = cli_has(args, CLI_JSON), .started = cli_now(), .stride = 1};
}

void train_report_free(train_report *report) {
    free(report->devs);
}

/* ---- For the plot ---- */

/* With every second point gone, twice as many steps fit. */
static void thin_out(train_report *r) {
    size_t kept = 0;
    for (size_t i = 1; i < r->loss_count; i += 2) r->losses[kept++] = r->losses[i];
    r->loss_count = kept;
    r->stride *= 2;
}

static void note_loss(train_report *r, const retort_train_progress *p) {
    r->steps = p->steps;
    if (p->step % r->stride != 0 || !isfinite(p->loss)) return;
    if (r->loss_count == TRAIN_MOST_POINTS) thin_out(r);
    if (p->step % r->stride == 0) r->losses[r->loss_count++] = (train_point){(double)p->step, p->loss};
}

static void note_dev(train_report *r, const retort_train_progress *p) {
    if (p->metric == NULL || !isfinite(p->dev)) return;
    snprintf(r->metric, sizeof r->metric, "%s", p->metric);
    if (r->dev_count == r->dev_capacity) {
        size_t capacity = r->dev_capacity > 0 ? 2 * r->dev_capacity : 16;
        train_point *more = realloc(r->devs, capacity * sizeof *more);
        if (more == NULL) return; /* the plot lacks a point */
        r->devs = more;
        r->dev_capacity = capacity;
    }
    r->devs[r->dev_count++] = (train_point){(double)p->step, p->dev};
}

/* ---- Lines ---- */

static void put_time(char *out, size_t size, double seconds) {
    if (seconds < 100) {
        snprintf(out, size, "%.0f s", seconds);
    } else if (seconds < 6000) {
        snprintf(out, size, "%.0f min", seconds / 60);
    } else {
        snprintf(out, size, "%.1f h", seconds / 3600);
    }
}

static void put_dev(char *out, size_t size, const retort_train_progress *p) {
    out[0] = '\0';
    if (p->metric == NULL || !isfinite(p->dev)) return;
    int n = snprintf(out, size, ", %s %.4f", p->metric, p->dev);
    if (p->dev != p->best) snprintf(out + n, size - (size_t)n, " (best %.4f)", p->best);
}

static void put_line(char *out, size_t size, const retort_train_progress *p) {
    char dev[96], left[32];
    put_dev(dev, sizeof dev, p);
    put_time(left, sizeof left, p->seconds_left);
    double epochs = p->step > 0 ? p->epoch * (double)p->steps / (double)p->step : p->epoch;
    snprintf(out, size, "epoch %.2f of %.3g, step %zu of %zu, loss %.4f%s, %.0f tokens/s, %s left", p->epoch,
             epochs, p->step, p->steps, p->loss, dev, p->tokens_per_second, left);
}

static void draw_line(const retort_train_progress *p) {
    static double last;
    char line[256];
    double now = cli_now();
    if (now - last < 0.1 || !isatty(STDERR_FILENO)) return;
    last = now;
    put_line(line, sizeof line, p);
    fprintf(stderr, "\r%.*s\033[K", 110, line);
    cli_progress_drawn(0);
}

static void print_epoch(train_report *r, const retort_train_progress *p) {
    char dev[96], left[32];
    if (!r->json) {
        put_dev(dev, sizeof dev, p);
        put_time(left, sizeof left, p->seconds_left);
        bool more = p->step < p->steps;
        cli_say("epoch %.3g, step %zu of %zu: loss %.4f%s; %.0f tokens/s%s%s%s", p->epoch, p->step, p->steps,
                p->loss, dev, p->tokens_per_second, more ? ", " : "", more ? left : "", more ? " left" : "");
        return;
    }
    json_t *json =
        json_pack("{s:s, s:o, s:I, s:I, s:o, s:o, s:o, s:o}", "event", "epoch", "epoch",
                  cli_json_real(p->epoch), "step", (json_int_t)p->step, "steps", (json_int_t)p->steps, "loss",
                  cli_json_real(p->loss), "rate", cli_json_real(p->rate), "tokens_per_second",
                  cli_json_real(p->tokens_per_second), "seconds", cli_json_real(cli_now() - r->started));
    if (p->metric != NULL) {
        json_object_set_new(json, "metric", json_string(p->metric));
        json_object_set_new(json, "dev", cli_json_real(p->dev));
        json_object_set_new(json, "best", cli_json_real(p->best));
    }
    if (cli_print_json(json) != CLI_DONE || cli_flush() != CLI_DONE) r->failed = true;
}

/* What comes before the steps may take longer than they do. */
static void print_recipe(train_report *r, const retort_train_progress *p) {
    double now = cli_now();
    bool begins = r->recipe_begun == 0, ends = !begins && p->step == p->steps;
    if (r->recipe_done || (!begins && !ends)) return;
    cli_progress_end();
    if (!r->json && begins) cli_say("the start: %s of the floats", r->recipe);
    if (!r->json && ends) cli_say("%s took %.0f s", r->recipe, now - r->recipe_begun);
    if (r->json) {
        json_t *json = json_pack("{s:s, s:s}", "event", "recipe", "recipe", r->recipe);
        if (ends) json_object_set_new(json, "seconds", cli_json_real(now - r->recipe_begun));
        if (cli_print_json(json) != CLI_DONE || cli_flush() != CLI_DONE) r->failed = true;
    }
    if (begins) r->recipe_begun = now;
    r->recipe_done = ends;
}

int train_report_progress(void *user, const retort_train_progress *progress) {
    train_report *r = user;
    if (strcmp(progress->what, "epoch") == 0) {
        note_dev(r, progress);
        print_epoch(r, progress);
    } else if (strcmp(progress->what, "train") == 0) {
        note_loss(r, progress);
        draw_line(progress);
    } else {
        if (strcmp(progress->what, "recipe") == 0) print_recipe(r, progress);
        cli_progress(NULL, progress->what, progress->step, progress->steps);
    }
    return cli_interrupted() || r->failed;
}
