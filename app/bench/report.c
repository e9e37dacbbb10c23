/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/report.h"
#include "bench/page.h"
#include "bench/plot.h"
#include "cli/file.h"
#include "cli/plot.h"

#include <math.h>
#include <stdio.h>

/* Colours that the colour-blind can tell apart (Okabe and Ito), native's first. */
static const char *const style =
    ":root{color-scheme:light "
    "dark;--ink:#1b1f24;--soft:#667;--line:#ddd;--page:#fff;--c0:#d55e00;--c1:#0072b2;"
    "--c2:#009e73;--c3:#cc79a7;--c4:#8a6d00;--c5:#6b4fbb;--c6:#444}"
    "@media(prefers-color-scheme:dark){:root{--ink:#e6e6e6;--soft:#9aa;--line:#3a3f45;--page:#16191d;--c0:#"
    "ff8c42;"
    "--c1:#56b4e9;--c2:#2fd0a0;--c3:#e39bc4;--c4:#e0c040;--c5:#a58cf0;--c6:#bbb}}"
    "body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--page);max-width:1120px;"
    "margin:2rem auto;padding:0 1rem}h1{font-size:1.5rem}h2{font-size:1.1rem;margin:2rem 0 .5rem}"
    "p{color:var(--soft)}table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}"
    "td,th{padding:.25rem .6rem;text-align:right;border-bottom:1px solid var(--line);white-space:nowrap}"
    "th{font-weight:600;color:var(--soft)}td:first-child,th:first-child,td:nth-child(2),th:nth-child(2)"
    "{text-align:left}.plots{display:grid;grid-template-columns:repeat(auto-fill,minmax(460px,1fr));gap:1rem}"
    "figure{margin:0}figcaption{color:var(--soft)}svg{width:100%;font:12px system-ui,sans-serif}"
    ".grid{stroke:var(--line)}.tick{fill:var(--soft)}.scroll{overflow-x:auto}"
    "i{display:inline-block;width:.7em;height:.7em;border-radius:50%;margin-right:.5em}b{font-weight:600}";

static void write_style(FILE *to) {
    fprintf(to, "<style>%s", style);
    for (int i = 0; i < 7; i++) {
        fprintf(
            to,
            ".c%d circle,.c%d text{fill:var(--c%d)}.c%d line{stroke:var(--c%d)}i.c%d{background:var(--c%d)}",
            i, i, i, i, i, i, i);
    }
    fprintf(to, "</style>\n");
}

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

static void write_entrants(FILE *to, const bench_run *c) {
    bool accuracy = false;
    for (size_t i = 0; i < c->count; i++) accuracy = accuracy || isfinite(c->items[i].value);
    fprintf(to,
            "<h2>Models and engines</h2><div class=\"scroll\"><table><tr><th>model</th><th>engine</th>"
            "<th>version</th><th>file, MB</th><th>load, ms</th><th>peak, MB</th>"
            "<th>difference</th>%s</tr>\n",
            accuracy ? "<th>accuracy</th><th>KL</th>" : "");
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

static void write_page(FILE *to, const bench_run *c, const char *title) {
    fprintf(to,
            "<!DOCTYPE html>\n<html lang=\"en\"><meta charset=\"utf-8\">"
            "<meta name=\"viewport\" content=\"width=device-width\"><title>%s</title>\n",
            title);
    write_style(to);
    fprintf(to, "<h1>%s</h1><p>", title);
    plot_text(to, c->machine.cpu);
    fprintf(
        to,
        ", %s, %d threads. The same inputs for all, who were warm and took turns; lower is better. Load time "
        "and peak memory are those of a process that has nothing else.</p>\n",
        c->machine.features, c->threads);
    write_entrants(to, c);
    write_times(to, c);
    fprintf(to, "<h2>Median time and size of the file</h2><div class=\"plots\"%s>\n",
            c->result_count == 1 ? " style=\"grid-template-columns:minmax(0,760px)\"" : "");
    for (size_t r = 0; r < c->result_count; r++) {
        fprintf(to, "<figure><figcaption>");
        write_cell_name(to, c, &c->results[r].cell);
        fprintf(to, "</figcaption>");
        page_plot(to, c, &c->results[r]);
        fprintf(to, "</figure>\n");
    }
    fprintf(to, "</div></html>\n");
}

cli_code bench_report(const bench_run *c, const char *title, const char *path) {
    FILE *to = cli_create(path);
    if (to == NULL) return CLI_FAILED;
    write_page(to, c, title);
    return cli_close(to, path, CLI_DONE);
}
