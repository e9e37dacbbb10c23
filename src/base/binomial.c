/* SPDX-License-Identifier: Apache-2.0 */
#include "base/binomial.h"

#include <math.h>

/* lgamma writes to a variable that all threads share. */
static double log_factorial(double n) {
    int sign;
    return lgamma_r(n + 1, &sign);
}

/* P(X <= count) of n draws with this share, 0 < share < 1 and count < n: the sum of terms from the largest down, until they
 * no longer count. */
static double tail(uint64_t count, uint64_t n, double share) {
    double all = (double)n, mean = all * share, odds = share / (1 - share);
    uint64_t top = mean < (double)count ? (uint64_t)mean : count; /* where the largest term is */
    double from = (double)top, sum = 0;
    double largest = exp(log_factorial(all) - log_factorial(from) - log_factorial(all - from) +
                         from * log(share) + (all - from) * log1p(-share));
    double term = largest;
    for (uint64_t i = 0; i <= top && term > sum * 1e-17; i++) {
        double k = (double)(top - i);
        sum += term;
        term *= k / ((all - k + 1) * odds);
    }
    term = largest;
    for (uint64_t i = top + 1; i <= count && term > sum * 1e-17; i++) {
        double k = (double)i;
        term *= (all - k + 1) * odds / k;
        sum += term;
    }
    return sum;
}

/* The share at which the tail falls below the limit; it falls as the share rises. */
static double solve(uint64_t count, uint64_t n, double limit) {
    double low = 0, high = 1;
    for (int i = 0; i < 60; i++) {
        double middle = (low + high) / 2;
        if (tail(count, n, middle) > limit) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return high;
}

double rt_binomial_upper(uint64_t count, uint64_t n, double confidence) {
    return count >= n ? 1 : solve(count, n, 1 - confidence);
}

/* `count` or more of the one kind are n - count or fewer of the other. */
double rt_binomial_lower(uint64_t count, uint64_t n, double confidence) {
    return count == 0 ? 0 : 1 - solve(n - count, n, 1 - confidence);
}

uint64_t rt_binomial_fewest(double share, double confidence) {
    return (uint64_t)ceil(log1p(-confidence) / log1p(-share) - 1e-9);
}
