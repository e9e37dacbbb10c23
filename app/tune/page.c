/* SPDX-License-Identifier: Apache-2.0 */
#include "tune/page.h"
#include "bench/page.h"
#include "cli/file.h"
#include "cli/plot.h"
#include "tune/judge.h"
#include "tune/page_parts.h"
#include "tune/sealed.h"
#include "tune/trial.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- The sentence ---- */

/* By how much it is faster than the whole network in int8; NaN: that was not measured. */
static double times_int8(const tune *t, const tune_trial *it) {
    const tune_trial *int8 = tune_trial_find(t, TUNE_DENSE, tune_find_form("int8"), 0);
    return int8 != NULL ? it->speed.ratio / int8->speed.ratio : (double)NAN;
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

/* ---- Tables ---- */

static void write_claims(FILE *to, const tune *t) {
    fprintf(to,
            "<h2>The sealed test</h2><p>%zu rows, opened %s. The float model has %s %.4f there. One-sided 95 "
            "%% bounds; the "
            "claims were tested in the order of the table, the safest by the rows that select first, until "
            "one failed: a "
            "claim holds if its p and all above it are at most 0.05, divided by the openings.</p>\n",
            t->split.sealed_rows, times_of(t->openings), t->metric, t->sealed_value);
    tune_page_forest(to, t);
    fprintf(to,
            "<div class=\"scroll\"><table><tr><th>model</th><th>verdict</th><th>%s</th><th>points</th><th>95 "
            "%%</th>"
            "<th>at least</th><th>p</th><th>p in turn</th><th>agreement</th><th>KL</th></tr>\n",
            t->metric);
    for (size_t i = 0; i < t->claim_count; i++) {
        const tune_claim *c = &t->claims[i];
        fprintf(to, "<tr><td>%s</td><td>%s</td>", t->trials[c->trial].name,
                c->proven ? "holds" : "not shown");
        tune_cell(to, "%.4f", c->value);
        tune_cell(to, "%+.2f", 100 * c->difference);
        fprintf(to, "<td>%+.2f to %+.2f</td>", 100 * c->low, 100 * c->high);
        tune_cell(to, "%.2f", 100 * c->bound);
        tune_cell(to, "%.3g", c->p);
        tune_cell(to, "%.3g", c->adjusted);
        tune_cell(to, "%.4f", c->agreement);
        tune_cell(to, "%.3g", c->kl);
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
            "<th>MB</th><th>times as fast</th><th>ms a text</th><th>steps</th><th>seconds</th></tr>\n");
    for (size_t i = 0; i < t->trial_count; i++) {
        const tune_trial *it = &t->trials[i];
        fprintf(to, "<tr><td>%s</td><td>%s%s", it->name, tune_status_names[it->status],
                *it->why != '\0' ? ": " : "");
        plot_text(to, it->why);
        fputs("</td>", to);
        tune_cell(to, "%+.2f", -tune_loss(it));
        tune_cell(to, "%.2f", -tune_forecast(t, it));
        tune_cell(to, "%.3g", it->score.kl);
        tune_cell(to, "%.1f", it->bytes > 0 ? (double)it->bytes * 1e-6 : (double)NAN);
        tune_cell(to, "%.2f", it->speed.ratio);
        tune_cell(to, "%.3g", it->speed.ms_p50 / (double)t->split.speed_rows);
        tune_cell(to, "%.0f", it->steps > 0 ? (double)it->steps : (double)NAN);
        tune_cell(to, "%.0f", it->seconds);
        fprintf(to, "</tr>\n");
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

static double busiest(const tune *t) {
    double most = (double)NAN;
    for (size_t i = 0; i < t->trial_count; i++) most = fmax(most, t->trials[i].speed.others);
    return most;
}

/* How far the rounds of one model's speed lie apart. */
static double widest(const tune *t) {
    double most = (double)NAN;
    for (size_t i = 0; i < t->trial_count; i++) {
        const tune_speed *speed = &t->trials[i].speed;
        most = fmax(most, (speed->high - speed->low) / speed->ratio);
    }
    return most;
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
            "s.</p>\n<p>",
            (int)json_integer_value(json_object_get(t->machine, "threads")), t->settings->batch,
            t->split.speed_rows, tune_spent(t));
    if (isfinite(busiest(t)))
        fprintf(to, "While speeds were measured, other processes used up to %.0f %% of the CPUs. ",
                100 * busiest(t));
    if (isfinite(widest(t)))
        fprintf(to, "Rounds of one model's speed lie up to %.0f %% apart.", 100 * widest(t));
    fprintf(to, "</p>\n");
}

static void write_chosen(FILE *to, const tune *t) {
    char text[400];
    int chosen[2] = {t->fastest, t->smallest};
    bool same = chosen[0] >= 0 && chosen[0] == chosen[1];
    const char *const names[2] = {same ? "fastest and smallest" : "fastest", "smallest"};
    for (size_t i = 0; i < 2; i++) {
        if (chosen[i] < 0 || (i == 1 && same)) continue;
        tune_sentence(text, sizeof text, t, &t->claims[chosen[i]]);
        fprintf(to, "<p class=\"chosen\"><b>%s</b> (%s): ", names[i],
                tune_trial_of_claim(t, &t->claims[chosen[i]])->name);
        plot_text(to, text);
        fputs("</p>\n", to);
    }
    if (chosen[0] < 0 && chosen[1] < 0)
        fprintf(to, "<p class=\"chosen\">Nothing is shown to lose less than %.3g points.</p>\n",
                t->settings->floor);
    fprintf(to, "<p>Floor: %.3g points of %s. %zu rows train, %zu select, %zu were sealed.</p>\n",
            t->settings->floor, t->metric, t->split.train_rows, t->split.select_rows, t->split.sealed_rows);
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
    tune_page_plots(to, t);
    tune_page_why(to, t);
    write_claims(to, t);
    tune_page_details(to, t);
    tune_page_steps(to, t);
    tune_page_road(to, t);
    write_trials(to, t);
    write_commands(to, t);
    write_machine(to, t);
    fprintf(to, "</html>\n");
    return cli_close(to, path, CLI_DONE);
}
