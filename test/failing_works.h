/* SPDX-License-Identifier: Apache-2.0
 * Each piece of work with its n-th allocation denied, for every n, alone and with all after it: it fails with a message, and
 * nothing leaks. */
#ifndef RT_TEST_FAILING_WORKS_H
#define RT_TEST_FAILING_WORKS_H

#include "failing_malloc.h"
#include "retort.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

typedef struct failing_work {
    const char *name;
    retort_status (*work)(retort_error *err);
} failing_work;

/* Whether the n-th allocation was asked for. */
static bool attempt(const failing_work *it, long n) {
    retort_error err = {0};
    atomic_store(&asked, 0);
    atomic_store(&live, 0);
    atomic_store(&fail_at, n);
    atomic_store(&armed, true);
    retort_status status = it->work(&err);
    atomic_store(&armed, false);
    bool failed = atomic_load(&asked) >= n;
    if (!failed && status != RETORT_OK) fail_msg("%s: %s", it->name, err.text);
    if (status != RETORT_OK && (err.text[0] == '\0' || err.status != status))
        fail_msg("%s: allocation %ld fails without a word", it->name, n);
    if (atomic_load(&live) != 0)
        fail_msg("%s: allocation %ld fails: %ld blocks leak", it->name, n, atomic_load(&live));
    return failed;
}

/* `least`: allocations that a piece of work asks for. */
static void every_allocation_fails(const failing_work *works, size_t count, long least) {
    for (size_t which = 0; which < count; which++) {
        retort_error err = {0};
        if (works[which].work(&err) != RETORT_OK) fail_msg("%s: %s", works[which].name, err.text);
        for (int all = 0; all < 2; all++) {
            atomic_store(&sticky, all == 1);
            long n = 1;
            while (attempt(&works[which], n)) n++;
            assert_true(n > least);
        }
    }
}

#endif
