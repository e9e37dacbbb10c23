/* SPDX-License-Identifier: Apache-2.0 */
#include "tune/page.h"
#include "bench/page.h"
#include "cli/file.h"
#include "cli/plot.h"
#include "tune/choose.h"
#include "tune/judge.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- The sentence ---- */

/* By how much it is faster than the whole network in int8; NaN: that was not measured. */
static double times_int8(const tune *t, const tune_trial *it) {
    const tune_form *int8 = tune_find_form("int8");
    for (size_t i = 0; i < t->trial_count; i++) {
        const tune_trial *other = &t->trials[i];
        if (other->shape == TUNE_DENSE && other->form == int8) return it->speed.ratio / other->speed.ratio;
    }
    return (double)NAN;
}

static const char *times_of(int openings) {
    return openings == 1 ? "once" : openings == 2 ? "twice" : "several times";
}

void tune_sentence(char *out, size_t size, const tune *t, const tune_claim *c) {
    const tune_trial *it = &t->trials[c->trial];
    double fold = times_int8(t, it);
    char int8[64] = "";
    if (isfinite(fold)) snprintf(int8, sizeof int8, ", %.1fx faster than int8", fold);
    snprintf(out, size,
             "%.1f MB (%.1fx smaller), %.1fx faster than the input%s, %+.2f points (95 %%: >= %.2f), test "
             "opened %s",
             (double)it->bytes * 1e-6, (double)t->input_bytes / (double)it->bytes, it->speed.ratio, int8,
             100 * c->difference, 100 * c->bound, times_of(t->openings));
}

/* ---- Plots ---- */

enum { WIDTH = 520, HEIGHT = 320, LEFT = 56, RIGHT = 20, TOP = 24, BOTTOM = 40 };

typedef double (*measure_fn)(const tune *t, const tune_trial *it);

static double speed_of(const tune *t, const tune_trial *it) {
    (void)t;
    return it->speed.ratio;
}

static double megabytes_of(const tune *t, const tune_trial *it) {
    (void)t;
    return (double)it->bytes * 1e-6;
}

static bool is_drawn(const tune_trial *it) {
    return tune_offered(it) && isfinite(tune_loss(it)) && isfinite(it->speed.ratio);
}

static bool is_claimed(const tune *t, const tune_trial *it, int claim) {
    return claim >= 0 && &t->trials[t->claims[claim].trial] == it;
}

static void draw_dot(FILE *to, const tune *t, const tune_trial *it, double x, const plot_axis *y) {
    bool chosen = is_claimed(t, it, t->fastest) || is_claimed(t, it, t->smallest);
    double low = plot_at(y, fmax(100 * it->score.low, y->min)),
           high = plot_at(y, fmin(100 * it->score.high, y->max));
    double at = plot_at(y, fmax(-tune_loss(it), y->min));
    fprintf(to, "<g class=\"c%d\">", chosen ? 0 : tune_on_frontier(t, it) ? 1 : 6);
    if (isfinite(low) && isfinite(high))
        fprintf(to, "<line x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/>", x, x, low, high);
    fprintf(to, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"%d\"><title>%s: %+.2f points</title></circle>", x, at,
            chosen ? 6 : 4, it->name, -tune_loss(it));
    if (chosen)
        fprintf(to, "<text text-anchor=\"middle\" x=\"%.1f\" y=\"%.1f\">%s</text>", x, at - 10, it->name);
    fprintf(to, "</g>\n");
}

/* Points against the float model, by speed or by size; a dashed line at the floor. */
static void draw_plot(FILE *to, const tune *t, measure_fn of, const char *unit) {
    double most = 0, lowest = -2 * t->settings->floor, highest = t->settings->floor;
    for (size_t i = 0; i < t->trial_count; i++) {
        if (!is_drawn(&t->trials[i])) continue;
        most = fmax(most, of(t, &t->trials[i]));
        lowest = fmax(fmin(lowest, -tune_loss(&t->trials[i])), -12 * t->settings->floor);
        highest = fmax(highest, -tune_loss(&t->trials[i]));
    }
    plot_axis x = plot_axis_of(0, most * 1.1, LEFT, WIDTH - RIGHT),
              y = plot_axis_of(lowest, highest, HEIGHT - BOTTOM, TOP);
    double floor_at = plot_at(&y, -t->settings->floor);
    fprintf(to, "<svg viewBox=\"0 0 %d %d\" role=\"img\">", WIDTH, HEIGHT);
    plot_rows(to, &y, LEFT, WIDTH - RIGHT);
    plot_columns(to, &x, HEIGHT - BOTTOM);
    fprintf(to,
            "<text class=\"tick\" x=\"6\" y=\"14\">points</text><text class=\"tick\" text-anchor=\"end\" "
            "x=\"%d\" "
            "y=\"%d\">%s</text>\n",
            WIDTH - RIGHT, HEIGHT - 6, unit);
    fprintf(to, "<line class=\"floor\" x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/>\n", LEFT, WIDTH - RIGHT,
            floor_at, floor_at);
    for (size_t i = 0; i < t->trial_count; i++) {
        if (is_drawn(&t->trials[i])) draw_dot(to, t, &t->trials[i], plot_at(&x, of(t, &t->trials[i])), &y);
    }
    fprintf(to, "</svg>\n");
}

static void write_plots(FILE *to, const tune *t) {
    fprintf(to,
            "<h2>Accuracy, time and size</h2><p>Points against the float model on the %zu rows that select, "
            "with 95 %% "
            "intervals. <i class=\"c0\"></i>given <i class=\"c1\"></i>no other is better in all three "
            "<i class=\"c6\"></i>the others; dashed: the floor.</p><div class=\"plots\"><figure>",
            t->split.select_rows);
    draw_plot(to, t, speed_of, "times as fast as the input");
    fprintf(to, "</figure><figure>");
    draw_plot(to, t, megabytes_of, "file, MB");
    fprintf(to, "</figure></div>\n");
}

/* ---- Tables ---- */

static void cell(FILE *to, const char *format, double value) {
    fputs("<td>", to);
    if (isfinite(value)) fprintf(to, format, value);
    fputs("</td>", to);
}

static void write_claims(FILE *to, const tune *t) {
    fprintf(to,
            "<h2>The sealed test</h2><p>%zu rows, opened %s. The float model has %s %.4f there. One-sided 95 "
            "%% bounds; a "
            "claim holds if Holm's p-value over all claims is at most 0.05.</p>"
            "<div class=\"scroll\"><table><tr><th>model</th><th>verdict</th><th>%s</th><th>points</th><th>95 "
            "%%</th>"
            "<th>at least</th><th>p</th><th>Holm's p</th><th>agreement</th><th>KL</th></tr>\n",
            t->split.sealed_rows, times_of(t->openings), t->metric, t->sealed_value, t->metric);
    for (size_t i = 0; i < t->claim_count; i++) {
        const tune_claim *c = &t->claims[i];
        fprintf(to, "<tr><td>%s</td><td>%s</td>", t->trials[c->trial].name,
                c->proven ? "holds" : "not shown");
        cell(to, "%.4f", c->value);
        cell(to, "%+.2f", 100 * c->difference);
        fprintf(to, "<td>%+.2f to %+.2f</td>", 100 * c->low, 100 * c->high);
        cell(to, "%.2f", 100 * c->bound);
        cell(to, "%.3g", c->p);
        cell(to, "%.3g", c->adjusted);
        cell(to, "%.4f", c->agreement);
        cell(to, "%.3g", c->kl);
        fprintf(to, "</tr>\n");
    }
    fprintf(to, "</table></div>\n");
}

static void write_trials(FILE *to, const tune *t) {
    fprintf(to,
            "<h2>All that was tried</h2><p>On the rows that select; what failed or was left out says why.</p>"
            "<div "
            "class=\"scroll\"><table><tr><th>model</th><th>outcome</th><th>points</th><th>forecast</"
            "th><th>KL</th>"
            "<th>MB</th><th>times as fast</th><th>ms p50</th><th>ms "
            "p99</th><th>steps</th><th>seconds</th></tr>\n");
    for (size_t i = 0; i < t->trial_count; i++) {
        const tune_trial *it = &t->trials[i];
        fprintf(to, "<tr><td>%s</td><td>%s%s", it->name, tune_status_names[it->status],
                *it->why != '\0' ? ": " : "");
        plot_text(to, it->why);
        fputs("</td>", to);
        cell(to, "%+.2f", -tune_loss(it));
        cell(to, "%.2f", -tune_forecast(t, it));
        cell(to, "%.3g", it->score.kl);
        cell(to, "%.1f", it->bytes > 0 ? (double)it->bytes * 1e-6 : (double)NAN);
        cell(to, "%.2f", it->speed.ratio);
        cell(to, "%.2f", it->speed.ms_p50);
        cell(to, "%.2f", it->speed.ms_p99);
        cell(to, "%.0f", it->steps > 0 ? (double)it->steps : (double)NAN);
        cell(to, "%.0f", it->seconds);
        fprintf(to, "</tr>\n");
    }
    fprintf(to, "</table></div>\n");
}

/* ---- Steps of the plan ---- */

static double most_of(const json_t *steps, const char *name) {
    double most = 0;
    for (size_t i = 0; i < json_array_size(steps); i++)
        most = fmax(most, json_number_value(json_object_get(json_array_get(steps, i), name)));
    return most;
}

static void bar(FILE *to, const json_t *step, const char *name, const char *format, double scale,
                double most) {
    const json_t *value = json_object_get(step, name);
    fputs("<td>", to);
    if (json_is_number(value)) {
        double number = json_number_value(value);
        fprintf(to,
                "<svg viewBox=\"0 0 100 8\" style=\"width:6rem\"><rect class=\"bar\" width=\"%.1f\" "
                "height=\"8\"/></svg> ",
                most > 0 ? 100 * number / most : 0);
        fprintf(to, format, number * scale);
    }
    fputs("</td>", to);
}

static void write_steps(FILE *to, const tune *t) {
    const json_t *steps = t->layers_of;
    if (json_array_size(steps) == 0) return;
    double ms = most_of(steps, "ms"), bytes = most_of(steps, "weight_bytes"),
           error = most_of(steps, "relative_error");
    fprintf(to, "<h2>Where time, bytes and error are</h2><p>Steps of the model that is given, or of the "
                "nearest miss. Error: "
                "squared norm of the difference from the float model's rows by that of the rows.</p>"
                "<div "
                "class=\"scroll\"><table><tr><th>step</th><th>operator</th><th>ms</th><th>kB</th><th>error</"
                "th></tr>\n");
    for (size_t i = 0; i < json_array_size(steps); i++) {
        const json_t *step = json_array_get(steps, i);
        const char *name = json_string_value(json_object_get(step, "name")),
                   *op = json_string_value(json_object_get(step, "op"));
        fputs("<tr><td>", to);
        plot_text(to, name != NULL ? name : "");
        fputs("</td><td>", to);
        plot_text(to, op != NULL ? op : "");
        fputs("</td>", to);
        bar(to, step, "ms", "%.2f", 1, ms);
        bar(to, step, "weight_bytes", "%.0f", 1e-3, bytes);
        bar(to, step, "relative_error", "%.2g", 1, error);
        fputs("</tr>\n", to);
    }
    fprintf(to, "</table></div>\n");
}

/* ---- The rest ---- */

static void write_command(FILE *to, const json_t *words) {
    fputs("retort", to);
    for (size_t i = 0; i < json_array_size(words); i++) {
        const char *word = json_string_value(json_array_get(words, i));
        bool quotes = word != NULL && strpbrk(word, " '\"$*;&|<>()\\\t") != NULL;
        fputs(quotes ? " '" : " ", to);
        if (word != NULL) plot_text(to, word);
        if (quotes) fputc('\'', to);
    }
    fputc('\n', to);
}

static void write_commands(FILE *to, const tune *t) {
    int chosen[2] = {t->fastest, t->smallest};
    fprintf(to, "<h2>To remake them</h2>\n");
    for (size_t i = 0; i < 2; i++) {
        if (chosen[i] < 0 || (i == 1 && chosen[0] == chosen[1])) continue;
        const tune_trial *it = &t->trials[t->claims[chosen[i]].trial];
        fprintf(to, "<p>%s</p><pre>", it->name);
        for (size_t k = 0; k < json_array_size(it->commands); k++)
            write_command(to, json_array_get(it->commands, k));
        fprintf(to, "</pre>\n");
    }
}

static void write_machine(FILE *to, const tune *t) {
    const char *cpu = json_string_value(json_object_get(t->machine, "cpu")),
               *features = json_string_value(json_object_get(t->machine, "features"));
    fprintf(to, "<h2>The machine</h2><p>");
    plot_text(to, cpu != NULL ? cpu : "");
    fputs(", ", to);
    plot_text(to, features != NULL ? features : "");
    fprintf(to,
            ", %d threads, batches of %ld texts; %zu texts, in turns with the input. The tuning took %.0f "
            "s.</p>\n",
            (int)json_integer_value(json_object_get(t->machine, "threads")), t->settings->batch,
            t->split.speed_rows, tune_spent(t));
}

static void write_chosen(FILE *to, const tune *t) {
    char text[400];
    int chosen[2] = {t->fastest, t->smallest};
    static const char *const names[2] = {"fastest", "smallest"};
    for (size_t i = 0; i < 2; i++) {
        if (chosen[i] < 0) continue;
        tune_sentence(text, sizeof text, t, &t->claims[chosen[i]]);
        fprintf(to, "<p class=\"chosen\"><b>%s</b> (%s): ", names[i],
                t->trials[t->claims[chosen[i]].trial].name);
        plot_text(to, text);
        fputs("</p>\n", to);
    }
    if (chosen[0] < 0 && chosen[1] < 0)
        fprintf(to, "<p class=\"chosen\">Nothing is shown to lose less than %.3g points.</p>\n",
                t->settings->floor);
    fprintf(to,
            "<p>The %s of what holds on the sealed rows. Floor: %.3g points of %s; %zu rows train, %zu "
            "select, %zu were "
            "sealed.</p>\n",
            tune_goal_names[t->settings->goal], t->settings->floor, t->metric, t->split.train_rows,
            t->split.select_rows, t->split.sealed_rows);
}

static double busiest(const tune *t) {
    double most = (double)NAN;
    for (size_t i = 0; i < t->trial_count; i++) most = fmax(most, t->trials[i].speed.others);
    return most;
}

cli_code tune_page_write(const tune *t) {
    char path[TUNE_PATH], title[TUNE_PATH + 32];
    if (!tune_path(path, t->settings->folder, "", "report.html")) return CLI_USAGE;
    FILE *to = cli_create(path);
    if (to == NULL) return CLI_FAILED;
    snprintf(title, sizeof title, "retort tune %s", t->settings->model);
    page_begin(to, title);
    write_chosen(to, t);
    page_busy(to, busiest(t), (double)NAN);
    write_plots(to, t);
    write_claims(to, t);
    write_steps(to, t);
    write_trials(to, t);
    write_commands(to, t);
    write_machine(to, t);
    fprintf(to, "</html>\n");
    return cli_close(to, path, CLI_DONE);
}
