/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/report.h"
#include "bench/page.h"
#include "bench/plot.h"
#include "cli/file.h"
#include "cli/plot.h"

#include <math.h>
#include <stdio.h>

static void write_cell_name(FILE *to, const bench_run *c, const bench_cell *cell) {
    if (cell->seq > 0) {
        fprintf(to, "%ld × %ld tokens", cell->batch, cell->seq);
    } else {
        fprintf(to, "%zu texts, batches of %ld", c->texts, cell->batch);
    }
}

static void write_names(FILE *to, const bench_run *c, size_t index) {
    const bench_engine *it = &c->items[index];
    fprintf(to, "<tr><td>");
    plot_text(to, it->name);
    fprintf(to, "</td><td><i class=\"c%zu\"></i>%s</td>", page_colour(it), it->provider);
}

static void write_real(FILE *to, const char *format, double value) {
    fprintf(to, "<td>");
    if (isfinite(value)) {
        fprintf(to, format, value);
    } else {
        fprintf(to, "–");
    }
    fprintf(to, "</td>");
}

static bool has_accuracy(const bench_run *c) {
    bool accuracy = false;
    for (size_t i = 0; i < c->count; i++) accuracy = accuracy || isfinite(c->items[i].value);
    return accuracy;
}

static void write_entrants(FILE *to, const bench_run *c) {
    bool accuracy = has_accuracy(c);
    fprintf(to,
            "<h2>Models and engines</h2><div class=\"scroll\"><table><tr><th>model</th><th>engine</th>"
            "<th>version</th><th>file, MB</th><th>load, ms</th><th>peak, MB</th>"
            "<th>difference</th>%s</tr>\n",
            accuracy ? "<th>metric</th><th>KL</th>" : "");
    for (size_t i = 0; i < c->count; i++) {
        const bench_engine *it = &c->items[i];
        if (it->missing) continue;
        write_names(to, c, i);
        fprintf(to, "<td>%s</td>", it->version);
        write_real(to, "%.1f", (double)it->bytes * 1e-6);
        write_real(to, "%.0f", it->load_ms);
        write_real(to, "%.0f", it->peak_mb);
        write_real(to, "%.1e", it->difference);
        if (accuracy) write_real(to, "%.4f", it->value);
        if (accuracy) write_real(to, "%.1e", it->kl);
        fprintf(to, "</tr>\n");
    }
    fprintf(to, "</table></div>\n");
}

static double fastest(const bench_run *c, const bench_result *result) {
    double best = INFINITY;
    for (size_t i = 0; i < c->count; i++) {
        if (!c->items[i].missing) best = fmin(best, result->times[i].p50);
    }
    return best;
}

/* One column per cell: the median with p90 and p99. */
static void write_times(FILE *to, const bench_run *c) {
    fprintf(to, "<h2>Milliseconds: median (p90, p99)</h2><div class=\"scroll\"><table><tr><th>model</th>"
                "<th>engine</th>");
    for (size_t r = 0; r < c->result_count; r++) {
        fprintf(to, "<th>");
        write_cell_name(to, c, &c->results[r].cell);
        fprintf(to, "</th>");
    }
    fprintf(to, "</tr>\n");
    for (size_t i = 0; i < c->count; i++) {
        if (c->items[i].missing) continue;
        write_names(to, c, i);
        for (size_t r = 0; r < c->result_count; r++) {
            const bench_times *times = &c->results[r].times[i];
            bool best = times->p50 <= fastest(c, &c->results[r]);
            fprintf(to, "<td>%s%.2f%s (%.2f, %.2f)</td>", best ? "<b>" : "", times->p50, best ? "</b>" : "",
                    times->p90, times->p99);
        }
        fprintf(to, "</tr>\n");
    }
    fprintf(to, "</table></div>\n");
}

/* The busiest of all measurements. */
static void write_busy(FILE *to, const bench_run *c) {
    double others = NAN, steal = NAN;
    for (size_t r = 0; r < c->result_count; r++) {
        const bench_busy *busy = &c->results[r].busy;
        if (!busy->known) continue;
        others = fmax(others, busy->others);
        steal = fmax(steal, busy->steal);
    }
    page_busy(to, others, steal);
}

static void write_plots(FILE *to, const bench_run *c, page_measure measure, const char *title) {
    fprintf(to,
            "<h2>%s</h2><p>Dots are medians, and the lines above them go to the 99th percentile.</p><div "
            "class=\"plots\"%s>\n",
            title, c->result_count == 1 ? " style=\"grid-template-columns:minmax(0,760px)\"" : "");
    for (size_t r = 0; r < c->result_count; r++) {
        fprintf(to, "<figure><figcaption>");
        write_cell_name(to, c, &c->results[r].cell);
        fprintf(to, "</figcaption>");
        page_plot(to, c, &c->results[r], measure);
        fprintf(to, "</figure>\n");
    }
    fprintf(to, "</div>\n");
}

static void write_page(FILE *to, const bench_run *c, const char *title) {
    page_begin(to, title);
    fprintf(to, "<p>");
    plot_text(to, c->machine.cpu);
    fprintf(
        to,
        ", %s, %d threads. The same inputs for all, who were warm and took turns; lower is better. Load time "
        "and peak memory are those of a process that has nothing else.</p>\n",
        c->machine.features, c->threads);
    write_busy(to, c);
    write_entrants(to, c);
    write_times(to, c);
    write_plots(to, c, PAGE_BY_SIZE, "Time by size of the file");
    if (has_accuracy(c)) write_plots(to, c, PAGE_BY_METRIC, "Time by accuracy");
    fprintf(to, "</html>\n");
}

cli_code bench_report(const bench_run *c, const char *title, const char *path) {
    FILE *to = cli_create(path);
    if (to == NULL) return CLI_FAILED;
    write_page(to, c, title);
    return cli_close(to, path, CLI_DONE);
}
