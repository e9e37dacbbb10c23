/* SPDX-License-Identifier: Apache-2.0
 * Backward pass of attention. With p = softmax(scale q k^T) and y = p v:
 *   dv += p^T dy
 *   dp  = dy v^T
 *   ds  = p * (dp - sum over the keys of p * dp)
 *   dq += scale ds k
 *   dk += scale ds^T q */
#include "grad/tape.h"

#include <math.h>

/* One head of one sequence; dk may be dv. */
typedef struct head {
    size_t queries, keys, dim;
    const float *q, *k, *v, *dy;
    float *dq, *dk, *dv;
    size_t ldq, ldk, ldv, ldy;
    float scale;
    float *p, *dp; /* [keys] scratch */
} head;

static float dot(size_t n, const float *a, const float *b) {
    float lanes[RT_PANEL] = {0}, sum = 0;
    size_t i = 0;
    for (; i + RT_PANEL <= n; i += RT_PANEL) {
        for (size_t l = 0; l < RT_PANEL; l++) lanes[l] += a[i + l] * b[i + l];
    }
    for (; i < n; i++) sum += a[i] * b[i];
    for (size_t l = 0; l < RT_PANEL; l++) sum += lanes[l];
    return sum;
}

static void add_scaled(size_t n, float factor, const float *x, float *y) {
    for (size_t i = 0; i < n; i++) y[i] += factor * x[i];
}

static void probabilities(const head *h, const float *q) {
    float most = -INFINITY, sum = 0;
    for (size_t j = 0; j < h->keys; j++) {
        h->p[j] = h->scale * dot(h->dim, q, h->k + j * h->ldk);
        most = h->p[j] > most ? h->p[j] : most;
    }
    for (size_t j = 0; j < h->keys; j++) {
        h->p[j] = expf(h->p[j] - most);
        sum += h->p[j];
    }
    for (size_t j = 0; j < h->keys; j++) h->p[j] /= sum;
}

static void back_head(const head *h) {
    for (size_t i = 0; i < h->queries; i++) {
        const float *q = h->q + i * h->ldq, *dy = h->dy + i * h->ldy;
        float *dq = h->dq + i * h->ldq, mean = 0;
        probabilities(h, q);
        for (size_t j = 0; j < h->keys; j++) {
            h->dp[j] = dot(h->dim, dy, h->v + j * h->ldv);
            mean += h->p[j] * h->dp[j];
        }
        for (size_t j = 0; j < h->keys; j++) {
            float ds = h->scale * h->p[j] * (h->dp[j] - mean);
            add_scaled(h->dim, h->p[j], dy, h->dv + j * h->ldv);
            add_scaled(h->dim, ds, h->k + j * h->ldk, dq);
            add_scaled(h->dim, ds, q, h->dk + j * h->ldk);
        }
    }
}

/* Where q, k and v are, in values or gradients: columns of one value, of two, or three values. */
typedef struct operands {
    float *q, *k, *v;
} operands;

static float *input(const rt_tape *tape, const rt_step *step, int index, bool grad) {
    return grad ? tape->grad[step->in[index].value]
                : rt_place_at(&step->in[index], &tape->executor.workers[0]);
}

static operands find(const rt_tape *tape, const rt_step *step, bool grad) {
    size_t hidden = step->as.attention.heads * step->as.attention.dim;
    float *first = input(tape, step, 0, grad);
    if (step->as.attention.parts == 1) return (operands){first, first + hidden, first + 2 * hidden};
    float *second = input(tape, step, 1, grad);
    if (step->as.attention.parts == 2) return (operands){first, second, second + hidden};
    return (operands){first, second, input(tape, step, 2, grad)};
}

static rt_range query_rows(const rt_tape *tape, const rt_step *step, size_t b) {
    const rt_chunk *chunk = tape->chunk;
    size_t start = (size_t)chunk->starts[b];
    if (step->as.attention.select == RT_SELECT_FIRST) return (rt_range){b, b + 1};
    if (step->as.attention.select == RT_SELECT_ALL)
        return (rt_range){start, start + (size_t)chunk->lengths[b]};
    return (rt_range){(size_t)chunk->mask_token_starts[b], (size_t)chunk->mask_token_starts[b + 1]};
}

/* All heads of a sequence as queries of one attention over x. */
static head shared_head(const rt_tape *tape, const rt_step *step, size_t b) {
    size_t n = step->as.attention.dim, heads = step->as.attention.heads,
           start = (size_t)tape->chunk->starts[b];
    size_t at = b * heads * n;
    const float *x = (const float *)rt_tape_at(tape, &step->in[ATTENTION_KV]) + start * n;
    float *dx = tape->grad[step->in[ATTENTION_KV].value] + start * n;
    return (head){.queries = heads,
                  .dim = n,
                  .q = (const float *)rt_tape_at(tape, &step->in[ATTENTION_Q]) + at,
                  .k = x,
                  .v = x,
                  .dy = tape->grad[step->out[0].value] + at,
                  .dq = tape->grad[step->in[ATTENTION_Q].value] + at,
                  .dk = dx,
                  .dv = dx,
                  .ldq = n,
                  .ldk = n,
                  .ldv = n,
                  .ldy = n};
}

static head own_head(const rt_tape *tape, const rt_step *step, size_t b, size_t index) {
    const rt_attention_step *attention = &step->as.attention;
    size_t hidden = attention->heads * attention->dim, column = index * attention->dim;
    size_t start = (size_t)tape->chunk->starts[b], parts = (size_t)attention->parts;
    size_t ldq = parts == 1 ? 3 * hidden : hidden, ldk = parts == 3 ? hidden : (4 - parts) * hidden;
    operands x = find(tape, step, false), dx = find(tape, step, true);
    rt_range rows = query_rows(tape, step, b);
    size_t q_at = rows.from * ldq + column, k_at = start * ldk + column;
    return (head){.queries = rows.to - rows.from,
                  .dim = attention->dim,
                  .q = x.q + q_at,
                  .k = x.k + k_at,
                  .v = x.v + k_at,
                  .dy = tape->grad[step->out[0].value] + rows.from * hidden + column,
                  .dq = dx.q + q_at,
                  .dk = dx.k + k_at,
                  .dv = dx.v + k_at,
                  .ldq = ldq,
                  .ldk = ldk,
                  .ldv = ldk,
                  .ldy = hidden};
}

/* Each sequence belongs to one worker. */
static void back_sequences(rt_tape *tape, const rt_step *step, int part, int parts) {
    size_t heads = step->as.attention.shared ? 1 : step->as.attention.heads;
    for (size_t b = (size_t)part; b < tape->chunk->batch; b += (size_t)parts) {
        for (size_t i = 0; i < heads; i++) {
            head h = step->as.attention.shared ? shared_head(tape, step, b) : own_head(tape, step, b, i);
            h.keys = (size_t)tape->chunk->lengths[b];
            h.scale = step->as.attention.scale;
            h.p = tape->room.scores + 2 * (size_t)part * rt_round_up(tape->plan.positions, RT_PANEL);
            h.dp = h.p + rt_round_up(tape->plan.positions, RT_PANEL);
            back_head(&h);
        }
    }
}

void rt_tape_attention(rt_tape *tape, const rt_step *step) {
    for (int i = 0; i < step->node->input_count; i++) {
        if (step->in[i].value >= 0) rt_tape_grad(tape, step->in[i].value);
    }
    rt_tape_run(tape, step, back_sequences);
}
