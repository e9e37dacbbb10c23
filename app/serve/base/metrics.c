/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/base/metrics.h"
#include "cli/utf8.h"

#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static const struct {
    const char *name;
    double unit, first;
    const char *help;
} histograms[] = {
#define HISTOGRAM_ROW(id, name, unit, first, help) {name, unit, first, help},
    SRV_HISTOGRAMS(HISTOGRAM_ROW)
#undef HISTOGRAM_ROW
};
static const struct {
    const char *name, *help;
} counters[] = {
#define COUNTER_ROW(id, name, help) {name, help},
    SRV_COUNTERS(COUNTER_ROW)
#undef COUNTER_ROW
};
const char *const srv_reason_names[SRV_REASON_COUNT] = {
#define REASON_ROW(id, name) name,
    SRV_REASONS(REASON_ROW)
#undef REASON_ROW
};

void srv_observe(srv_model_metrics *metrics, srv_histogram_id id, unsigned long long value) {
    srv_histogram *histogram = &metrics->histograms[id];
    double bound = histograms[id].first * histograms[id].unit;
    int bucket = 0;
    while (bucket < SRV_BUCKETS && (double)value > bound) {
        bucket++;
        bound *= 2;
    }
    srv_count(&histogram->buckets[bucket], 1);
    srv_count(&histogram->sum, value);
}

srv_histogram_sum srv_histogram_read(const srv_model_metrics *metrics, srv_histogram_id id) {
    const srv_histogram *histogram = &metrics->histograms[id];
    srv_histogram_sum total = {.sum = atomic_load_explicit(&histogram->sum, memory_order_relaxed)};
    for (int i = 0; i <= SRV_BUCKETS; i++)
        total.count += atomic_load_explicit(&histogram->buckets[i], memory_order_relaxed);
    return total;
}

void srv_metrics_head(srv_out *out, const char *name, const char *type, const char *help) {
    srv_out_format(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* The text format has three escapes; anything else that is not plain text becomes U+FFFD. */
void srv_metrics_text(srv_out *out, const char *value) {
    const unsigned char *at = (const unsigned char *)value, *end = at + strlen(value);
    for (size_t n; at<end; at += n> 0 ? n : 1) {
        n = utf8_length(at, (size_t)(end - at));
        bool control = n == 0 || *at < ' ' || *at == 0x7F || (n == 2 && at[0] == 0xC2 && at[1] < 0xA0);
        if (*at == '\n') {
            srv_out_text(out, "\\n");
        } else if (control) {
            srv_out_text(out, "\xef\xbf\xbd");
        } else {
            if (*at == '"' || *at == '\\') srv_out_text(out, "\\");
            srv_out_bytes(out, (const char *)at, n);
        }
    }
}

static void print_histogram(srv_out *out, srv_histogram_id id, const srv_metrics_source *model) {
    const srv_histogram *histogram = &model->metrics->histograms[id];
    const char *name = histograms[id].name;
    double bound = histograms[id].first;
    unsigned long long count = 0;
    for (int i = 0; i < SRV_BUCKETS; i++) {
        count += atomic_load_explicit(&histogram->buckets[i], memory_order_relaxed);
        srv_out_format(out, "%s_bucket{model=\"%s\",le=\"%.9g\"} %llu\n", name, model->name, bound, count);
        bound *= 2;
    }
    count += atomic_load_explicit(&histogram->buckets[SRV_BUCKETS], memory_order_relaxed);
    double sum = (double)atomic_load_explicit(&histogram->sum, memory_order_relaxed) / histograms[id].unit;
    srv_out_format(out, "%s_bucket{model=\"%s\",le=\"+Inf\"} %llu\n", name, model->name, count);
    srv_out_format(out, "%s_sum{model=\"%s\"} %.9g\n%s_count{model=\"%s\"} %llu\n", name, model->name, sum,
                   name, model->name, count);
}

void srv_metrics_print(srv_out *out, const srv_metrics_source *models, size_t n) {
    for (int id = 0; id < SRV_HISTOGRAM_COUNT; id++) {
        srv_metrics_head(out, histograms[id].name, "histogram", histograms[id].help);
        for (size_t i = 0; i < n; i++) print_histogram(out, (srv_histogram_id)id, &models[i]);
    }
    for (int id = 0; id < SRV_COUNTER_COUNT; id++) {
        srv_metrics_head(out, counters[id].name, "counter", counters[id].help);
        for (size_t i = 0; i < n; i++) {
            srv_out_format(out, "%s{model=\"%s\"} %llu\n", counters[id].name, models[i].name,
                           atomic_load_explicit(&models[i].metrics->counters[id], memory_order_relaxed));
        }
    }
    srv_metrics_head(out, "retort_rejected_total", "counter", "requests refused or given up, by reason");
    for (int id = 0; id < SRV_REASON_COUNT; id++) {
        for (size_t i = 0; i < n; i++) {
            srv_out_format(out, "retort_rejected_total{model=\"%s\",reason=\"%s\"} %llu\n", models[i].name,
                           srv_reason_names[id],
                           atomic_load_explicit(&models[i].metrics->rejected[id], memory_order_relaxed));
        }
    }
}

static int count_descriptors(void) {
    DIR *folder = opendir("/proc/self/fd");
    int n = 0;
    if (folder == NULL) return -1;
    // cppcheck-suppress readdirCalled ; no other thread has this folder
    while (readdir(folder) != NULL) n++;
    closedir(folder);
    return n - 3; /* ".", ".." and the folder's own */
}

/* Resident pages, from /proc/self/statm; 0 if it cannot be read. */
static long resident_pages(void) {
    long size = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file == NULL) return 0;
    if (fscanf(file, "%ld %ld", &size, &resident) != 2) resident = 0;
    fclose(file);
    return resident;
}

void srv_metrics_process(srv_out *out) {
    struct rusage usage = {0};
    getrusage(RUSAGE_SELF, &usage);
    double cpu = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                 1e-6 * (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
    srv_metrics_head(out, "process_cpu_seconds_total", "counter", "user and system time");
    srv_out_format(out, "process_cpu_seconds_total %.6f\n", cpu);
    srv_metrics_head(out, "process_resident_memory_bytes", "gauge", "memory, mapped model files included");
    srv_out_format(out, "process_resident_memory_bytes %lld\n",
                   (long long)resident_pages() * sysconf(_SC_PAGESIZE));
    srv_metrics_head(out, "process_open_fds", "gauge", "open descriptors");
    srv_out_format(out, "process_open_fds %d\n", count_descriptors());
}
