/* SPDX-License-Identifier: Apache-2.0 */
#include "shim.h"

#include <jansson.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct sql_model {
    char *path;
    retort_model *model;
    retort_session *session;
    retort_info info;
    float *row;      /* [labels] scores, or the vector */
    uint32_t *order; /* [labels] */
    char *json;      /* of the last answer */
    pthread_mutex_t busy;
    sql_model *next;
};

/* Models are only added: a pointer to one stays valid. */
static sql_model *models;
static pthread_mutex_t opening = PTHREAD_MUTEX_INITIALIZER;

/* The texts may be anyone's, so they are escaped, and cut behind a whole character. */
static retort_status fail(retort_error *err, retort_status status, const char *before, const char *text) {
    enum { MOST_BEFORE = 200 };
    err->status = status;
    retort_escape(err->text, MOST_BEFORE, before, strlen(before));
    size_t n = strlen(err->text);
    retort_escape(err->text + n, sizeof err->text - n, text, strlen(text));
    return status;
}

static retort_status no_memory(retort_error *err) {
    return fail(err, RETORT_NOMEM, "", retort_status_text(RETORT_NOMEM));
}

/* ---- Models ---- */

static void free_model(sql_model *m) {
    retort_session_close(m->session);
    retort_model_free(m->model);
    pthread_mutex_destroy(&m->busy);
    free(m->path);
    free(m->row);
    free(m->order);
    free(m);
}

static retort_status open_session(sql_model *m, retort_unpack unpack, retort_error *err) {
    retort_session_options options = RETORT_SESSION_OPTIONS;
    options.threads = 1;
    options.unpack = unpack;
    options.special_as_text = true; /* texts come from anyone */
    return retort_session_open(&m->session, m->model, &options, err);
}

static retort_status open_model(sql_model **out, const char *path, retort_unpack unpack, retort_error *err) {
    sql_model *m = calloc(1, sizeof *m);
    if (m == NULL) return no_memory(err);
    pthread_mutex_init(&m->busy, NULL);
    m->info.size = sizeof m->info;
    m->path = strdup(path);
    retort_status status = m->path != NULL ? retort_model_load(&m->model, path, err) : no_memory(err);
    if (status == RETORT_OK) status = open_session(m, unpack, err);
    if (status == RETORT_OK) {
        retort_model_info(m->model, &m->info);
        m->row = calloc((size_t)m->info.labels, sizeof *m->row);
        m->order = calloc((size_t)m->info.labels, sizeof *m->order);
        if (m->row == NULL || m->order == NULL) status = no_memory(err);
    }
    if (status == RETORT_OK)
        *out = m;
    else
        free_model(m);
    return status;
}

/* A name of letters, digits, "_" and "-": it cannot leave the folders. */
static bool is_name(const char *word) {
    size_t length = strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-");
    return length > 0 && word[length] == '\0';
}

static retort_status find_model(char path[4096], const char *name, const sql_source *source,
                                retort_error *err) {
    enum { SIZE = 4096 };
    if (*name == '\0') return fail(err, RETORT_ARGUMENT, "", "the name of the model is empty");
    if (!is_name(name)) {
        if (!source->paths)
            return fail(err, RETORT_ARGUMENT, name,
                        ": this is no name of a model: it has letters, digits, '_' and '-' only");
        return snprintf(path, SIZE, "%s", name) < SIZE
                   ? RETORT_OK
                   : fail(err, RETORT_LIMIT, "", "the path of the model is too long");
    }
    const char *folders = source->folders;
    bool fits = strlen(name) < SIZE;
    for (const char *at = folders; fits && at != NULL && *at != '\0';) {
        size_t length = strcspn(at, ":");
        int n = snprintf(path, SIZE, "%.*s/%s.retort", (int)length, at, name);
        if (length > 0 && n < SIZE && access(path, F_OK) == 0) return RETORT_OK;
        at += length + (at[length] == ':');
    }
    const char *where = folders != NULL && *folders != '\0' ? folders : "any folder: none is set";
    char what[128];
    snprintf(what, sizeof what, "there is no %.100s.retort in ", name);
    return fail(err, RETORT_IO, what, where);
}

retort_status sql_acquire(sql_model **out, const char *name, const sql_source *source, retort_error *err) {
    char path[4096];
    sql_model *m;
    retort_status status = find_model(path, name, source, err);
    if (status != RETORT_OK) return status;
    pthread_mutex_lock(&opening);
    for (m = models; m != NULL && strcmp(m->path, path) != 0;) m = m->next;
    if (m == NULL) {
        status = open_model(&m, path, source->unpack, err);
        if (status == RETORT_OK) {
            m->next = models;
            models = m;
        }
    }
    pthread_mutex_unlock(&opening);
    if (status != RETORT_OK) return status;
    pthread_mutex_lock(&m->busy);
    *out = m;
    return RETORT_OK;
}

void sql_release(sql_model *model) {
    if (model == NULL) return;
    free(model->json);
    model->json = NULL;
    pthread_mutex_unlock(&model->busy);
}

/* ---- Answers ---- */

static retort_status check_task(const sql_model *m, retort_task task, const char *what, retort_error *err) {
    if (m->info.task == task) return RETORT_OK;
    return fail(err, RETORT_ARGUMENT, m->path, what);
}

static retort_status classify(sql_model *m, const char *text, size_t length, retort_error *err) {
    retort_text one = {.text = text, .length = length};
    size_t n = (size_t)m->info.labels;
    retort_status status = check_task(m, RETORT_TASK_CLASSIFY, ": the model does not classify", err);
    if (status == RETORT_OK) status = retort_classify(m->session, &one, 1, m->row, NULL, n, err);
    if (status == RETORT_OK) retort_best(m->row, n, m->order, n);
    return status;
}

static const char *label_of(const sql_model *m, size_t index, char scratch[32]) {
    const char *label = retort_model_label(m->model, (int64_t)index);
    if (label != NULL) return label;
    snprintf(scratch, 32, "LABEL_%zu", index);
    return scratch;
}

retort_status sql_label(sql_model *m, const char *text, size_t length, const char **label, float *score,
                        retort_error *err) {
    char scratch[32];
    retort_status status = classify(m, text, length, err);
    if (status != RETORT_OK) return status;
    free(m->json); /* the label may be in scratch */
    m->json = strdup(label_of(m, m->order[0], scratch));
    *label = m->json;
    *score = m->row[m->order[0]];
    return m->json != NULL ? RETORT_OK : no_memory(err);
}

retort_status sql_scores(sql_model *m, const char *text, size_t length, const char **json,
                         retort_error *err) {
    char scratch[32];
    retort_status status = classify(m, text, length, err);
    if (status != RETORT_OK) return status;
    json_t *object = json_object();
    for (size_t i = 0; i < (size_t)m->info.labels; i++) {
        const char *label = label_of(m, m->order[i], scratch);
        if (json_object_get(object, label) == NULL) /* of labels of one name, the highest */
            json_object_set_new(object, label, json_real((double)m->row[m->order[i]]));
    }
    free(m->json);
    m->json = object != NULL ? json_dumps(object, JSON_COMPACT | JSON_REAL_PRECISION(9)) : NULL;
    json_decref(object);
    *json = m->json;
    return m->json != NULL ? RETORT_OK : no_memory(err);
}

retort_status sql_embed(sql_model *m, const char *text, size_t length, const float **vector, size_t *n,
                        retort_error *err) {
    retort_text one = {.text = text, .length = length};
    *n = (size_t)m->info.labels;
    *vector = m->row;
    retort_status status = check_task(m, RETORT_TASK_EMBED, ": the model does not embed", err);
    return status == RETORT_OK ? retort_embed(m->session, &one, 1, m->row, *n, err) : status;
}
