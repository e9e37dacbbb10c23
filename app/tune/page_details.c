/* SPDX-License-Identifier: Apache-2.0
 * What changed on the sealed rows: texts, confusion, reliability. */
#include "cli/plot.h"
#include "tune/page_parts.h"

#include <math.h>
#include <string.h>

static double number_of(const json_t *json, const char *name) {
    return json_number_value(json_object_get(json, name));
}

static void put_member(FILE *to, const json_t *json, const char *name) {
    const char *text = json_string_value(json_object_get(json, name));
    if (text != NULL) plot_text(to, text);
}

/* ---- Texts ---- */

/* What the change did, where the text has a label of its own. */
static const char *effect_of(const json_t *text) {
    const json_t *gold = json_object_get(text, "gold");
    if (!json_is_string(gold)) return "";
    if (json_equal(gold, json_object_get(text, "after"))) return "right now";
    return json_equal(gold, json_object_get(text, "before")) ? "wrong now" : "still wrong";
}

static void write_answer(FILE *to, const json_t *text, const char *label, const char *probability) {
    fputs("<td>", to);
    put_member(to, text, label);
    fprintf(to, " %.2f</td>", number_of(text, probability));
}

static void write_text(FILE *to, const json_t *text, bool labels) {
    fputs("<tr>", to);
    if (labels) {
        write_answer(to, text, "before", "before_probability");
        write_answer(to, text, "after", "after_probability");
        fprintf(to, "<td>%s</td>", effect_of(text));
    } else {
        fprintf(to, "<td>%.0f of %.0f</td><td>%.2g</td>", number_of(text, "changed_rows"),
                number_of(text, "rows"), number_of(text, "kl"));
    }
    fputs("<td class=\"text\">", to);
    put_member(to, text, "text");
    fputs("</td></tr>\n", to);
}

static void write_changed(FILE *to, const tune *t, const json_t *details) {
    const json_t *texts = json_object_get(details, "changed_texts");
    size_t shown = json_array_size(texts);
    double count = number_of(details, "changed");
    if (texts == NULL) return;
    bool labels = json_is_string(json_object_get(json_array_get(texts, 0), "after"));
    fprintf(to, "<h3>Answers that changed</h3><p>%.0f of %zu texts%s%s</p>\n", count, t->split.sealed_rows,
            count > (double)shown ? ", the surest of them:" : "", count > 0 ? "" : ".");
    if (shown == 0) return;
    fprintf(to, "<div class=\"scroll tall\"><table class=\"texts\"><tr>%s<th>text</th></tr>\n",
            labels ? "<th>float</th><th>now</th><th></th>" : "<th>changed</th><th>KL</th>");
    for (size_t i = 0; i < shown; i++) write_text(to, json_array_get(texts, i), labels);
    fprintf(to, "</table></div>\n");
}

/* ---- Confusion ---- */

/* Shaded by the share of the row: right answers in one colour, mistakes in another. */
static void write_matrix(FILE *to, const json_t *details, const char *which, const char *caption) {
    const json_t *names = json_object_get(details, "labels"),
                 *matrix = json_object_get(json_object_get(details, "confusion"), which);
    size_t n = json_array_size(names);
    fprintf(to,
            "<figure><figcaption>%s</figcaption><div class=\"scroll\"><table class=\"matrix\"><tr><th>is / "
            "got</th>",
            caption);
    for (size_t j = 0; j < n; j++) {
        fputs("<th>", to);
        plot_text(to, json_string_value(json_array_get(names, j)));
        fputs("</th>", to);
    }
    fputs("</tr>\n", to);
    for (size_t i = 0; i < n; i++) {
        const json_t *row = json_array_get(matrix, i);
        double sum = 0;
        for (size_t j = 0; j < n; j++) sum += json_number_value(json_array_get(row, j));
        fputs("<tr><td>", to);
        plot_text(to, json_string_value(json_array_get(names, i)));
        fputs("</td>", to);
        for (size_t j = 0; j < n; j++) {
            double count = json_number_value(json_array_get(row, j));
            fprintf(to, "<td class=\"%s\" style=\"--share:%.3f\">%.0f</td>", i == j ? "right" : "wrong",
                    sum > 0 ? count / sum : 0, count);
        }
        fputs("</tr>\n", to);
    }
    fputs("</table></div></figure>\n", to);
}

static void write_pairs(FILE *to, const json_t *pairs) {
    fprintf(to, "<div class=\"scroll\"><table><tr><th>label</th><th>taken "
                "for</th><th>float</th><th>now</th></tr>\n");
    for (size_t i = 0; i < json_array_size(pairs); i++) {
        const json_t *pair = json_array_get(pairs, i);
        fputs("<tr><td>", to);
        put_member(to, pair, "gold");
        fputs("</td><td>", to);
        put_member(to, pair, "given");
        fprintf(to, "</td><td>%.0f</td><td>%.0f</td></tr>\n", number_of(pair, "before"),
                number_of(pair, "after"));
    }
    fprintf(to, "</table></div>\n");
}

static void write_confusion(FILE *to, const json_t *details) {
    const json_t *pairs = json_object_get(details, "confused");
    if (json_object_get(details, "only_before") == NULL) return;
    fprintf(to,
            "<h3>Right and wrong</h3><p>%.0f texts only the float model gets right, %.0f only this one: so "
            "uneven a split "
            "would be chance with p = %.2g (McNemar's mid-p).</p>\n",
            number_of(details, "only_before"), number_of(details, "only_after"),
            number_of(details, "mcnemar"));
    if (json_array_size(pairs) > 0) write_pairs(to, pairs);
    if (json_object_get(details, "confusion") == NULL) return;
    fprintf(to, "<div class=\"plots\">");
    write_matrix(to, details, "before", "float");
    write_matrix(to, details, "after", "now");
    fprintf(to, "</div>\n");
}

/* ---- Reliability ---- */

enum { SIDE = 360, LEFT = 48, RIGHT = 14, TOP = 40, BOTTOM = 40 };

/* A line from bin to bin, and dots whose area is the share of texts in the bin. */
static void draw_bins(FILE *to, const json_t *bins, int colour, const plot_axis *x, const plot_axis *y) {
    double total = 0;
    for (size_t i = 0; i < json_array_size(bins); i++) total += number_of(json_array_get(bins, i), "n");
    fprintf(to, "<g class=\"c%d\"><polyline class=\"line c%d\" points=\"", colour, colour);
    for (int dots = 0; dots < 2; dots++) {
        for (size_t i = 0; i < json_array_size(bins); i++) {
            const json_t *it = json_array_get(bins, i);
            double n = number_of(it, "n"), across = plot_at(x, number_of(it, "probability")),
                   up = plot_at(y, number_of(it, "right"));
            if (n <= 0) continue;
            if (dots == 0) fprintf(to, "%.1f,%.1f ", across, up);
            if (dots == 1)
                fprintf(to,
                        "<circle fill-opacity=\".6\" cx=\"%.1f\" cy=\"%.1f\" r=\"%.1f\"><title>%.0f texts: "
                        "%.3f sure, %.3f right</title></circle>",
                        across, up, 2.5 + 11 * sqrt(n / total), n, number_of(it, "probability"),
                        number_of(it, "right"));
        }
        fputs(dots == 0 ? "\"/>" : "</g>\n", to);
    }
}

static void write_reliability(FILE *to, const json_t *details) {
    const json_t *bins = json_object_get(details, "bins"), *ece = json_object_get(details, "ece");
    if (bins == NULL) return;
    plot_axis x = plot_axis_of(0, 1, LEFT, SIDE - RIGHT), y = plot_axis_of(0, 1, SIDE - BOTTOM, TOP);
    fprintf(to,
            "<h3>How sure, how right</h3><p>Expected calibration error: %.4f of the float model, %.4f now. "
            "Dots are texts of about the "
            "same probability; on the diagonal, answers are as often right as they are "
            "sure.</p><figure class=\"square\"><svg "
            "viewBox=\"0 0 %d %d\" role=\"img\"><title>reliability</title>",
            number_of(ece, "before"), number_of(ece, "after"), SIDE, SIDE);
    plot_rows(to, &y, LEFT, SIDE - RIGHT);
    plot_columns(to, &x, SIDE - BOTTOM);
    fprintf(to,
            "<line class=\"diagonal\" x1=\"%d\" y1=\"%d\" x2=\"%d\" y2=\"%d\"/><g class=\"c6\"><circle "
            "cx=\"%d\" cy=\"10\" r=\"4\"/></g><text class=\"key\" x=\"%d\" y=\"14\">float</text><g "
            "class=\"c1\"><circle cx=\"%d\" cy=\"10\" r=\"4\"/></g><text class=\"key\" x=\"%d\" "
            "y=\"14\">now</text><text class=\"tick\" x=\"6\" y=\"%d\">share right</text><text "
            "class=\"tick\" text-anchor=\"end\" x=\"%d\" y=\"%d\">probability of the answer</text>\n",
            LEFT, SIDE - BOTTOM, SIDE - RIGHT, TOP, LEFT, LEFT + 8, LEFT + 70, LEFT + 78, TOP - 10,
            SIDE - RIGHT, SIDE - 6);
    draw_bins(to, json_object_get(bins, "before"), 6, &x, &y);
    draw_bins(to, json_object_get(bins, "after"), 1, &x, &y);
    fprintf(to, "</svg></figure>\n");
}

void tune_page_details(FILE *to, const tune *t) {
    const tune_claim *shown[TUNE_SHOWN];
    size_t count = tune_shown(t, shown);
    for (size_t i = 0; i < count; i++) {
        const char *name = tune_trial_of_claim(t, shown[i])->name;
        const json_t *details = json_object_get(t->details, name);
        if (json_object_size(details) == 0) continue;
        fprintf(to, "<h2>What changed: %s</h2>\n", name);
        write_changed(to, t, details);
        write_confusion(to, details);
        write_reliability(to, details);
    }
}
