/* SPDX-License-Identifier: Apache-2.0
 * doctor: facts about this machine. */
#include "cmd/doctor.h"
#include "bench/busy.h"
#include "bench/peak.h"
#include "cli/text.h"
#include "cmd/doctor_serving.h"
#include "retort.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* Every provider; with the reason if it is not available. */
static json_t *engines_json(json_t *names) {
    json_t *engines = json_array();
    retort_provider_info info = {.size = sizeof info};
    for (size_t i = 0; retort_provider(i, &info) == RETORT_OK; i++) {
        if (info.found) json_array_append_new(names, json_string(info.name));
        json_array_append_new(engines, json_pack("{s:s, s:s, s:b, s:s, s:o, s:o}", "name", info.name, "help",
                                                 info.help, "found", info.found, "version", info.version,
                                                 "path", cli_json_text(info.path, strlen(info.path)),
                                                 "reason", cli_json_text(info.reason, strlen(info.reason))));
    }
    return engines;
}

static void print_engines(void) {
    retort_provider_info info = {.size = sizeof info};
    for (size_t i = 0; retort_provider(i, &info) == RETORT_OK; i++) {
        printf("%-11s %-20s ", i == 0 ? "providers" : "", info.name);
        if (!info.found) {
            printf("- (");
            cli_put(stdout, info.reason, strlen(info.reason));
            puts(")");
        } else {
            printf("%s%s", info.version, *info.path != '\0' ? "  " : "");
            cli_put_line(stdout, info.path);
        }
    }
}

/* Looks at the CPUs for a moment. */
static bench_busy look_around(void) {
    const struct timespec moment = {.tv_nsec = 200000000};
    bench_watch watch = bench_watch_start();
    nanosleep(&moment, NULL);
    return bench_watch_end(&watch);
}

static json_t *busy_json(const bench_busy *busy) {
    const char *advice = bench_busy_advice(busy);
    json_t *json =
        json_pack("{s:o, s:o, s:o}", "pressure", cli_json_real(bench_pressure()), "load",
                  cli_json_real(bench_load()), "advice", advice != NULL ? json_string(advice) : json_null());
    bench_set_busy(json, busy);
    return json;
}

static void print_busy(const bench_busy *busy) {
    double load = bench_load(), pressure = bench_pressure();
    const char *advice = bench_busy_advice(busy);
    if (busy->known) printf("busy        ");
    bench_print_busy(busy);
    if (isfinite(load)) printf("load        %.2f%s", load, isfinite(pressure) ? "" : "\n");
    if (isfinite(pressure))
        printf("%stasks waited for a CPU during %.0f %% of the last 10 seconds\n",
               isfinite(load) ? ", " : "load        ", 100 * pressure);
    if (advice != NULL) printf("advice      %s\n", advice);
}

/* Which weights to use here. 4 bits are never slower than 8. */
static void print_weights(const retort_machine *machine) {
    printf("weights     use 4 bits (quantize --recipe ptq+owq): half the file of 8 bits, %s\n",
           machine->unpacks ? "and as fast, because they are unpacked to int8 in memory (--unpack)"
                            : "and faster, because products take fewer instructions");
}

static cli_code print_doctor_json(const retort_machine *machine, const bench_busy *busy,
                                  const retort_peaks *peaks, const doctor_forms *forms) {
    json_t *names = json_array(), *engines = engines_json(names);
    json_t *json =
        json_pack("{s:o, s:s, s:s, s:i, s:i, s:i, s:o, s:i, s:o, s:o}", "cpu",
                  cli_json_text(machine->cpu, strlen(machine->cpu)), "features", machine->features, "isa",
                  machine->isa, "logical", machine->logical, "physical", machine->physical, "affinity",
                  machine->affinity, "quota", machine->quota > 0 ? json_real(machine->quota) : json_null(),
                  "threads", machine->threads, "providers", names, "engines", engines);
    json_object_set_new(json, "weights", json_pack("{s:i, s:b}", "bits", 4, "unpacked", machine->unpacks));
    json_object_set_new(json, "busy", busy_json(busy));
    if (peaks != NULL) json_object_set_new(json, "peaks", bench_json_peaks(peaks));
    if (forms != NULL) json_object_set_new(json, "serving", doctor_serving_json(forms));
    return cli_print_json(json);
}

static cli_code check_options(const cli_args *args) {
    static const cli_option_id measured[] = {CLI_THREADS, CLI_ISA};
    for (size_t i = 0; i < sizeof measured / sizeof *measured; i++) {
        if (!cli_has(args, measured[i]) || cli_has(args, CLI_PEAK) || cli_has(args, CLI_MODEL)) continue;
        cli_error("--%s needs --peak or --model", cli_options[measured[i]].name);
        return CLI_USAGE;
    }
    return CLI_DONE;
}

static void print_machine(const retort_machine *machine) {
    printf("cpu         %s\n", machine->cpu);
    printf("features    %s\n", *machine->features != '\0' ? machine->features : "none that retort uses");
    printf("isa         %s\n", machine->isa);
    printf("cpus        %d online, %d cores, %d for this process\n", machine->logical, machine->physical,
           machine->affinity);
    if (machine->quota > 0) printf("quota       %.2f CPUs (cgroup)\n", machine->quota);
    printf("threads     %d by default\n", machine->threads);
    print_weights(machine);
}

cli_code cmd_doctor(const cli_args *args) {
    retort_machine machine = {.size = sizeof machine};
    retort_peaks peaks = {.size = sizeof peaks};
    doctor_forms forms = {0};
    bool peak = cli_has(args, CLI_PEAK), serving = cli_has(args, CLI_MODEL);
    if (check_options(args) != CLI_DONE) return CLI_USAGE;
    if (retort_machine_describe(&machine) != RETORT_OK) {
        cli_error("doctor: cannot describe this machine");
        return CLI_FAILED;
    }
    bench_busy busy = look_around();
    cli_code code = peak ? bench_measure_peaks(&peaks, args) : CLI_DONE;
    if (code == CLI_DONE && serving) code = doctor_forms_measure(&forms, args);
    if (code == CLI_DONE && cli_has(args, CLI_JSON)) {
        code = print_doctor_json(&machine, &busy, peak ? &peaks : NULL, serving ? &forms : NULL);
    } else if (code == CLI_DONE) {
        print_machine(&machine);
        print_busy(&busy);
        if (!serving) print_engines();
        if (peak) bench_print_peaks(&peaks);
        if (serving) doctor_print_serving(&forms);
    }
    if (serving) doctor_forms_free(&forms);
    return code;
}
