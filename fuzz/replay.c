/* SPDX-License-Identifier: Apache-2.0
 * Stands in for libFuzzer in an ordinary build: runs every file of the folders given through the target
 * once, and, where the target has a mutator of its own, so many of what that makes of the file. The same
 * each time. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
__attribute__((weak)) size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size,
                                                     unsigned seed);

enum { MUTATIONS = 64, MORE_BYTES = 4096 };

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size) {
    (void)max_size;
    for (size_t i = 0; i < size; i += 97) data[i] ^= (uint8_t)(1 << i % 8);
    return size;
}

/* Each input in a block of its own, so that a sanitizer sees a read beyond it. */
static void run(const uint8_t *data, size_t size) {
    uint8_t *copy = malloc(size > 0 ? size : 1);
    if (copy == NULL) abort();
    memcpy(copy, data, size);
    LLVMFuzzerTestOneInput(copy, size);
    free(copy);
}

/* Every fourth is a change of the one before. */
static void run_mutations(const uint8_t *data, size_t size) {
    uint8_t *changed = calloc(size + MORE_BYTES, 1);
    size_t length = 0;
    if (changed == NULL) abort();
    for (unsigned i = 0; i < MUTATIONS; i++) {
        if (i % 4 == 0) memcpy(changed, data, length = size);
        length = LLVMFuzzerCustomMutator(changed, length, size + MORE_BYTES, i);
        run(changed, length);
    }
    free(changed);
}

static int replay_file(const char *path) {
    FILE *file = fopen(path, "rb");
    if (file == NULL) return 0;
    char *data = NULL;
    size_t size = 0;
    FILE *copy = open_memstream(&data, &size);
    char block[4096];
    for (size_t n; copy != NULL && (n = fread(block, 1, sizeof block, file)) > 0;) fwrite(block, 1, n, copy);
    fclose(file);
    if (copy == NULL || fclose(copy) != 0) abort();
    run((const uint8_t *)data, size);
    if (LLVMFuzzerCustomMutator != NULL) run_mutations((const uint8_t *)data, size);
    free(data);
    return 1;
}

int main(int argc, char **argv) {
    int files = 0;
    for (int i = 1; i < argc; i++) {
        DIR *folder = opendir(argv[i]);
        for (struct dirent *entry; folder != NULL && (entry = readdir(folder)) != NULL;) {
            char path[4096];
            if (entry->d_name[0] == '.') continue;
            snprintf(path, sizeof path, "%s/%s", argv[i], entry->d_name);
            files += replay_file(path);
        }
        if (folder != NULL) closedir(folder);
    }
    printf("replayed %d inputs\n", files);
    return files > 0 ? 0 : 1;
}
