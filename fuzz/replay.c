/* SPDX-License-Identifier: Apache-2.0
 * Stands in for libFuzzer in an ordinary build: runs every file of the folders given through the target,
 * once. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay_file(const char *path) {
    FILE *file = fopen(path, "rb");
    if (file == NULL) return 0;
    char *data = NULL;
    size_t size = 0;
    FILE *copy = open_memstream(&data, &size);
    char block[4096];
    for (size_t n; copy != NULL && (n = fread(block, 1, sizeof block, file)) > 0;) fwrite(block, 1, n, copy);
    fclose(file);
    if (copy != NULL && fclose(copy) == 0) LLVMFuzzerTestOneInput((const uint8_t *)data, size);
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
