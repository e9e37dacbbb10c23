/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/busy.h"
#include "cli/output.h"

#include <math.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static double own_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Adds the line "cpu3 user nice system idle iowait irq softirq steal …" of /proc/stat if it is of one of the CPUs. */
static void add_line(bench_watch *w, const char *line, const cpu_set_t *cpus) {
    enum { IDLE = 3, IOWAIT = 4, STEAL = 7, COLUMNS = 8 };
    unsigned long long ticks[COLUMNS] = {0};
    unsigned cpu;
    int n = sscanf(line, "cpu%u %llu %llu %llu %llu %llu %llu %llu %llu", &cpu, &ticks[0], &ticks[1],
                   &ticks[2], &ticks[3], &ticks[4], &ticks[5], &ticks[6], &ticks[7]);
    double tick = 1 / (double)sysconf(_SC_CLK_TCK);
    if (n <= IDLE + 1 || cpu >= CPU_SETSIZE || !CPU_ISSET(cpu, cpus)) return;
    w->cpus++;
    for (int i = 0; i < COLUMNS; i++) w->total += (double)ticks[i] * tick;
    w->idle += (double)(ticks[IDLE] + ticks[IOWAIT]) * tick;
    w->steal += (double)ticks[STEAL] * tick;
}

bench_watch bench_watch_start(void) {
    bench_watch w = {0};
    cpu_set_t cpus;
    char line[512];
    FILE *file = sched_getaffinity(0, sizeof cpus, &cpus) == 0 ? fopen("/proc/stat", "re") : NULL;
    if (file == NULL) return w;
    while (fgets(line, sizeof line, file) != NULL) add_line(&w, line, &cpus);
    fclose(file);
    w.own = own_seconds();
    return w;
}

bench_busy bench_watch_end(const bench_watch *from) {
    static const double least = 0.1; /* of each CPU: its time is counted in ticks of 10 ms */
    bench_watch to = bench_watch_start();
    double total = to.total - from->total, steal = to.steal - from->steal;
    double used = total - (to.idle - from->idle) - steal - (to.own - from->own);
    bench_busy busy = {.cpus = to.cpus};
    busy.known = to.cpus > 0 && to.cpus == from->cpus && total >= least * to.cpus;
    if (!busy.known) return busy;
    busy.others = fmin(fmax(used / total, 0), 1);
    busy.steal = fmin(fmax(steal / total, 0), 1);
    return busy;
}

void bench_print_busy(const bench_busy *busy) {
    if (!busy->known) return;
    printf("other processes used %.0f %% of the %d CPU%s", 100 * busy->others, busy->cpus,
           busy->cpus == 1 ? "" : "s");
    if (busy->steal >= 0.005) printf(", the hypervisor took %.0f %%", 100 * busy->steal);
    puts("");
}

void bench_set_busy(json_t *line, const bench_busy *busy) {
    json_object_set_new(line, "others", cli_json_real(busy->known ? busy->others : NAN));
    json_object_set_new(line, "steal", cli_json_real(busy->known ? busy->steal : NAN));
}

/* The machine's; in a container that hides it, the control group's. */
double bench_pressure(void) {
    static const char *const paths[] = {"/proc/pressure/cpu", "/sys/fs/cgroup/cpu.pressure"};
    double percent = NAN;
    for (size_t i = 0; i < sizeof paths / sizeof *paths && isnan(percent); i++) {
        FILE *file = fopen(paths[i], "re");
        if (file == NULL) continue;
        if (fscanf(file, "some avg10=%lf", &percent) != 1) percent = NAN;
        fclose(file);
    }
    return percent / 100;
}

double bench_load(void) {
    double load;
    FILE *file = fopen("/proc/loadavg", "re");
    if (file == NULL) return NAN;
    if (fscanf(file, "%lf", &load) != 1) load = NAN;
    fclose(file);
    return load;
}

const char *bench_busy_advice(const bench_busy *busy) {
    static const double busy_from = 0.1;
    if (!busy->known) return NULL;
    if (busy->steal >= busy_from)
        return "the hypervisor takes these CPUs away at times: do not trust times measured "
               "here; ask for dedicated CPUs";
    if (busy->others >= busy_from)
        return "other processes use these CPUs: measure when they are idle, or give retort CPUs of its own "
               "(taskset, cpuset)";
    return NULL;
}
