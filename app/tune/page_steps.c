/* SPDX-License-Identifier: Apache-2.0
 * Where time, bytes and error are: of each layer, and of each step of the plan. */
#include "bench/per_layer_error.h"
#include "cli/plot.h"
#include "tune/page_parts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static double most_of(const json_t *rows, const char *name) {
    double most = 0;
    for (size_t i = 0; i < json_array_size(rows); i++)
        most = fmax(most, json_number_value(json_object_get(json_array_get(rows, i), name)));
    return most;
}

static void bar(FILE *to, const json_t *row, const char *name, const char *format, double scale,
                double most) {
    const json_t *value = json_object_get(row, name);
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

static void write_rows(FILE *to, const json_t *rows, const char *second) {
    double ms = most_of(rows, "ms"), bytes = most_of(rows, "weight_bytes"),
           error = most_of(rows, "relative_error"), kl = most_of(rows, "kl");
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i);
        const char *name = json_string_value(json_object_get(row, "name")),
                   *more = json_string_value(json_object_get(row, second));
        fputs("<tr><td>", to);
        plot_text(to, name != NULL ? name : "");
        fputs("</td><td>", to);
        plot_text(to, more != NULL ? more : "");
        fputs("</td>", to);
        bar(to, row, "ms", "%.2f", 1, ms);
        bar(to, row, "weight_bytes", "%.0f", 1e-3, bytes);
        bar(to, row, "relative_error", "%.2g", 1, error);
        bar(to, row, "kl", "%.2g", 1, kl);
        fputs("</tr>\n", to);
    }
}

/* ---- Layers ---- */

static void add_to(json_t *row, const json_t *step, const char *name) {
    double sum =
        json_number_value(json_object_get(row, name)) + json_number_value(json_object_get(step, name));
    json_object_set_new(row, name, json_real(sum));
}

/* Steps that follow each other in one layer: the sums of their times and bytes, and the errors of the last ones. */
static json_t *layers_of(const json_t *steps) {
    json_t *layers = json_array(), *row = NULL;
    for (size_t i = 0; i < json_array_size(steps); i++) {
        const json_t *step = json_array_get(steps, i);
        const char *name = json_string_value(json_object_get(step, "name")),
                   *last = json_string_value(json_object_get(row, "name"));
        if (name == NULL) continue;
        size_t n = layer_name_length(name);
        if (last == NULL || strlen(last) != n || strncmp(last, name, n) != 0) {
            row = json_pack("{s:s%, s:f, s:f}", "name", name, n, "ms", 0.0, "weight_bytes", 0.0);
            json_array_append_new(layers, row);
        }
        add_to(row, step, "ms");
        add_to(row, step, "weight_bytes");
        json_t *error = json_object_get(step, "relative_error");
        json_t *kl = json_object_get(step, "kl");
        if (json_is_number(error)) json_object_set(row, "relative_error", error);
        if (json_is_number(kl)) json_object_set(row, "kl", kl);
    }
    return layers;
}

static const char heading[] = "<th>ms</th><th>kB of weights read</th><th>error</th><th>KL</th></tr>\n";

void tune_page_steps(FILE *to, const tune *t) {
    const tune_claim *shown[TUNE_SHOWN];
    if (json_array_size(t->layers_of) == 0) return;
    json_t *layers = layers_of(t->layers_of);
    size_t count = tune_shown(t, shown);
    fprintf(to,
            "<h2>Where time, bytes and error are</h2><p>Of %s. Error: squared norm of the difference from "
            "the float "
            "model's rows by that of the rows, at the end of a layer; it adds up from layer to "
            "layer. KL: mean divergence of the answers where the float model goes on from a layer's end; the "
            "layer with the largest step up costs the most.</p><div "
            "class=\"scroll\"><table><tr><th>layer</th><th></th>%s",
            count > 0 ? tune_trial_of_claim(t, shown[0])->name : "the nearest miss", heading);
    write_rows(to, layers, "op");
    fprintf(to,
            "</table></div><details><summary>Each step</summary><div "
            "class=\"scroll\"><table><tr><th>step</th><th>operator</th>%s",
            heading);
    write_rows(to, t->layers_of, "op");
    fprintf(to, "</table></div></details>\n");
    json_decref(layers);
}
