/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/streams.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* Parts under way: enough for the other streams to go on while one does not run for some time slices. */
enum { PARTS_A_STREAM = 4, MOST_BYTES = 1 << 24 };

typedef struct stream {
    cli_streams *streams;
    pthread_t thread;
    void *worker; /* NULL before the first part */
} stream;

struct cli_streams {
    const cli_stream_calls *calls;
    stream *list; /* [started] */
    size_t started;
    pthread_mutex_t lock;      /* of the rest */
    pthread_cond_t work, done; /* for streams; for the caller */
    cli_part *parts;           /* [capacity] a ring */
    size_t capacity;
    size_t dropped, taken, put; /* parts so far: given back, begun by a stream, put */
    size_t bytes;               /* of the texts under way */
    bool closing;
};

/* ---- Parts ---- */

cli_code cli_part_begin(cli_part *part) {
    part->out = open_memstream(&part->output, &part->output_length);
    part->messages = open_memstream(&part->message, &part->message_length);
    if (part->out == NULL || part->messages == NULL) return cli_no_memory();
    cli_messages_to(part->messages);
    return CLI_DONE;
}

void cli_part_end(cli_part *part) {
    bool failed = ferror(part->out) != 0;
    failed = fclose(part->out) != 0 || failed;
    part->out = NULL;
    if (failed) part->code = cli_no_memory();
    cli_messages_to(NULL);
    if (fclose(part->messages) != 0) part->message_length = 0;
    part->messages = NULL;
}

void cli_part_clear(cli_part *part) {
    if (part->out != NULL) fclose(part->out);
    if (part->messages != NULL) fclose(part->messages);
    free(part->output);
    free(part->message);
    free(part->copies);
    free(part->bytes);
    *part = (cli_part){0};
}

/* Lines of the standard input are gone once others are read. */
static bool copy_texts(cli_part *part) {
    for (size_t i = 0; i < part->count; i++) part->size += part->texts[i].length + part->texts[i].pair_length;
    part->copies = calloc(part->count + 1, sizeof *part->copies);
    part->bytes = malloc(part->size + 1);
    if (part->copies == NULL || part->bytes == NULL) return false;
    char *to = part->bytes;
    for (size_t i = 0; i < part->count; i++) {
        retort_text text = part->texts[i];
        if (text.length > 0) memcpy(to, text.text, text.length);
        text.text = to;
        to += text.length;
        if (text.pair_length > 0) memcpy(to, text.pair, text.pair_length);
        if (text.pair != NULL) text.pair = to;
        to += text.pair_length;
        part->copies[i] = text;
    }
    part->texts = part->copies;
    return true;
}

/* ---- Streams ---- */

static void run_part(stream *s, cli_part *part) {
    const cli_stream_calls *calls = s->streams->calls;
    cli_code code = CLI_DONE;
    cli_messages_to(part->messages);
    if (s->worker == NULL) code = calls->open(calls->user, &s->worker);
    if (code == CLI_DONE && part->count > 0) code = calls->run(s->worker, part);
    if (code != CLI_DONE) part->code = code;
    cli_part_end(part);
}

static void *work(void *user) {
    stream *s = user;
    cli_streams *streams = s->streams;
    pthread_mutex_lock(&streams->lock);
    while (!streams->closing) {
        if (streams->taken == streams->put) {
            pthread_cond_wait(&streams->work, &streams->lock);
            continue;
        }
        cli_part *part = &streams->parts[streams->taken++ % streams->capacity];
        pthread_mutex_unlock(&streams->lock);
        run_part(s, part);
        pthread_mutex_lock(&streams->lock);
        part->done = true;
        if (part == &streams->parts[streams->dropped % streams->capacity])
            pthread_cond_signal(&streams->done);
    }
    pthread_mutex_unlock(&streams->lock);
    return NULL;
}

cli_code cli_streams_open(cli_streams **out, size_t count, const cli_stream_calls *calls) {
    cli_streams *streams = calloc(1, sizeof *streams);
    if (streams == NULL) return cli_no_memory();
    streams->calls = calls;
    streams->capacity = PARTS_A_STREAM * count;
    streams->list = calloc(count, sizeof *streams->list);
    streams->parts = calloc(streams->capacity, sizeof *streams->parts);
    pthread_mutex_init(&streams->lock, NULL);
    pthread_cond_init(&streams->work, NULL);
    pthread_cond_init(&streams->done, NULL);
    cli_code code = streams->list != NULL && streams->parts != NULL ? CLI_DONE : cli_no_memory();
    while (code == CLI_DONE && streams->started < count) {
        stream *s = &streams->list[streams->started];
        s->streams = streams;
        int failed = pthread_create(&s->thread, NULL, work, s);
        if (failed == 0) {
            streams->started++;
        } else {
            cli_error("thread %zu of %zu cannot be started: %s", streams->started + 1, count,
                      strerror(failed));
            code = CLI_FAILED;
        }
    }
    if (code != CLI_DONE) {
        cli_streams_close(streams);
        return code;
    }
    *out = streams;
    return CLI_DONE;
}

void cli_streams_close(cli_streams *streams) {
    if (streams == NULL) return;
    pthread_mutex_lock(&streams->lock);
    streams->closing = true;
    pthread_cond_broadcast(&streams->work);
    pthread_mutex_unlock(&streams->lock);
    for (size_t i = 0; i < streams->started; i++) {
        pthread_join(streams->list[i].thread, NULL);
        streams->calls->close(streams->list[i].worker);
    }
    for (size_t i = 0; streams->parts != NULL && i < streams->capacity; i++)
        cli_part_clear(&streams->parts[i]);
    pthread_cond_destroy(&streams->done);
    pthread_cond_destroy(&streams->work);
    pthread_mutex_destroy(&streams->lock);
    free(streams->parts);
    free(streams->list);
    free(streams);
}

size_t cli_streams_count(const cli_streams *streams) {
    return streams != NULL ? streams->put - streams->dropped : 0;
}

bool cli_streams_full(const cli_streams *streams) {
    size_t count = cli_streams_count(streams);
    return count == streams->capacity || (count > 0 && streams->bytes >= MOST_BYTES);
}

cli_part *cli_streams_next(cli_streams *streams) {
    return &streams->parts[streams->put % streams->capacity];
}

void cli_streams_put(cli_streams *streams) {
    cli_part *part = cli_streams_next(streams);
    if (!copy_texts(part)) {
        part->count = 0;
        part->code = cli_no_memory();
    }
    cli_messages_to(NULL);
    pthread_mutex_lock(&streams->lock);
    streams->bytes += part->size;
    streams->put++;
    pthread_cond_signal(&streams->work);
    pthread_mutex_unlock(&streams->lock);
}

const cli_part *cli_streams_oldest(cli_streams *streams, bool wait) {
    const cli_part *part = &streams->parts[streams->dropped % streams->capacity];
    pthread_mutex_lock(&streams->lock);
    while (wait && !part->done) pthread_cond_wait(&streams->done, &streams->lock);
    bool done = part->done;
    pthread_mutex_unlock(&streams->lock);
    return done ? part : NULL;
}

void cli_streams_drop(cli_streams *streams) {
    pthread_mutex_lock(&streams->lock);
    cli_part *part = &streams->parts[streams->dropped++ % streams->capacity];
    streams->bytes -= part->size;
    cli_part_clear(part);
    pthread_mutex_unlock(&streams->lock);
}
