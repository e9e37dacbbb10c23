/* SPDX-License-Identifier: Apache-2.0
 * What the parts of the HTML page share. */
#include "bench/page.h"
#include "cli/plot.h"

#include <math.h>
#include <string.h>

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
    "main{display:block}.warn{border-left:4px solid var(--c0);padding-left:.8rem;color:var(--ink)}"
    ".chosen{font-size:1.15rem;color:var(--ink)}pre{overflow-x:auto;background:var(--line);padding:.6rem;"
    "color:var(--ink)}"
    ".floor{stroke:var(--c0);stroke-dasharray:5 4}.bar{fill:var(--c1)}.key{fill:var(--ink)}"
    ".diagonal{stroke:var(--soft);stroke-dasharray:3 "
    "4}.line{fill:none;stroke-width:1.5}.wide{min-width:620px;"
    "max-width:860px}.square{max-width:460px}.tall{max-height:28rem;overflow-y:auto}h3{font-size:1rem;margin:"
    "1.4rem "
    "0 .3rem}.texts td.text{text-align:left;white-space:normal;min-width:16rem}.texts td,.texts "
    "th{text-align:left}"
    ".matrix{width:auto}.matrix td:nth-child(n+2),.matrix th:nth-child(n+2){text-align:right}"
    ".right{background:color-mix(in srgb,var(--c1) calc(var(--share)*60%),transparent)}"
    ".wrong{background:color-mix(in srgb,var(--c0) "
    "calc(var(--share)*60%),transparent)}summary{cursor:pointer;"
    "color:var(--soft)}ul{padding-left:1.2rem}"
    "@media(max-width:600px){body{font-size:14px;margin:1rem "
    "auto}.plots{grid-template-columns:minmax(0,1fr)}.plots svg{font-size:15px}"
    ".texts tr{display:block;border-bottom:1px solid var(--line)}.texts td{display:inline-block;border:0}"
    ".texts td.text{display:block}.texts th{display:none}}"
    "@media "
    "print{:root{color-scheme:light;--ink:#000;--soft:#444;--line:#bbb;--page:#fff}body{max-width:none}"
    "figure,tr{break-inside:avoid}.scroll,.tall{overflow:visible;max-height:none}pre{white-space:pre-wrap}}"
    "i{display:inline-block;width:.7em;height:.7em;border-radius:50%;margin-right:.5em}b{font-weight:600}";

static void write_style(FILE *to) {
    fprintf(to, "<style>%s", style);
    for (int i = 0; i < 7; i++) {
        fprintf(to,
                ".c%d circle,.c%d text{fill:var(--c%d)}.c%d line,.c%d polyline{stroke:var(--c%d)}"
                "i.c%d{background:var(--c%d)}",
                i, i, i, i, i, i, i, i);
    }
    fprintf(to, "</style>\n");
}

void page_begin(FILE *to, const char *title) {
    fprintf(to, "<!DOCTYPE html>\n<html lang=\"en\"><meta charset=\"utf-8\">"
                "<meta name=\"viewport\" content=\"width=device-width\"><title>");
    plot_text(to, title);
    fprintf(to, "</title>\n");
    write_style(to);
    fprintf(to, "<h1>");
    plot_text(to, title);
    fprintf(to, "</h1>\n");
}

void page_busy(FILE *to, double others, double steal) {
    static const double busy_from = 0.1;
    if (isfinite(steal) && steal >= busy_from)
        fprintf(to,
                "<p class=\"warn\">The hypervisor took %.0f %% of the CPUs meanwhile: do not trust these "
                "times.</p>\n",
                100 * steal);
    if (isfinite(others) && others >= busy_from)
        fprintf(to,
                "<p class=\"warn\">The machine was busy: other processes used %.0f %% of the CPUs meanwhile. "
                "Ratios hold "
                "better than times.</p>\n",
                100 * others);
}

size_t page_colour(const bench_engine *it) {
    static const char *const known[] = {"native",   "onnxruntime",      "onnxruntime:openvino",
                                        "openvino", "onnxruntime:cuda", "onnxruntime:tensorrt",
                                        "torch"};
    size_t count = sizeof known / sizeof *known, index = 0;
    while (index + 1 < count && strcmp(known[index], it->provider) != 0) index++;
    return index;
}
