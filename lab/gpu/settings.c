/* Reading of the mock GPU's settings; see settings.h. */
#define _GNU_SOURCE
#include "settings.h"

#include <fcntl.h>
#include <link.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char marker[] = "\nMOCKGPU ";

/* dl_iterate_phdr's callback: stops at the object whose segments hold this very function. dladdr would be shorter, but
 * its symbol version moved to GLIBC_2.34. */
static int is_own_object(struct dl_phdr_info *object, size_t size, void *path) {
    (void)size;
    uintptr_t here = (uintptr_t)&is_own_object;
    for (int i = 0; i < object->dlpi_phnum; i++) {
        uintptr_t start = object->dlpi_addr + object->dlpi_phdr[i].p_vaddr;
        uintptr_t end = start + object->dlpi_phdr[i].p_memsz;
        if (object->dlpi_phdr[i].p_type == PT_LOAD && here >= start && here < end) {
            *(const char **)path = object->dlpi_name;
            return 1;
        }
    }
    return 0;
}

const char *mock_own_path(void) {
    const char *path = NULL;
    dl_iterate_phdr(is_own_object, &path);
    return path;
}

static int hex_digit(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

static void unquote(char *text) {
    char *out = text;
    for (const char *in = text; *in; in++) {
        if (in[0] == '%' && hex_digit(in[1]) >= 0 && hex_digit(in[2]) >= 0) {
            *out++ = (char)(hex_digit(in[1]) << 4 | hex_digit(in[2]));
            in += 2;
        } else {
            *out++ = *in;
        }
    }
    *out = 0;
}

static int find(const char *text, const char *key, char value[MOCK_VALUE_SIZE]) {
    size_t key_length = strlen(key);
    for (const char *at = text; (at = strstr(at, key)) != NULL; at += key_length) {
        if ((at != text && !strchr(" ,\n", at[-1])) || at[key_length] != '=')
            continue;
        const char *start = at + key_length + 1;
        size_t length = strcspn(start, " ,\n");
        if (length >= MOCK_VALUE_SIZE)
            length = MOCK_VALUE_SIZE - 1;
        memcpy(value, start, length);
        value[length] = 0;
        unquote(value);
        return 1;
    }
    return 0;
}

/* Reads the file's first bytes, or its last `tail` ones, as text: NULs become newlines. */
static int read_text(const char *path, long tail, char *text, size_t size) {
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return 0;
    if (tail)
        lseek(file, -tail, SEEK_END);
    ssize_t length = read(file, text, size - 1);
    close(file);
    if (length < 0)
        return 0;
    for (ssize_t i = 0; i < length; i++)
        if (!text[i])
            text[i] = '\n';
    text[length] = 0;
    return 1;
}

const char *mock_setting(const char *key, const char *fallback, char value[MOCK_VALUE_SIZE]) {
    char text[2048];
    const char *words = getenv("MOCK_GPU");
    if (words && find(words, key, value))
        return value;
    const char *control = getenv("MOCK_GPU_CTL");
    if (read_text(control ? control : "/run/mock-gpu.conf", 0, text, sizeof text) && find(text, key, value))
        return value;
    const char *own = mock_own_path();
    if (own && read_text(own, MOCK_TRAILER_SIZE, text, sizeof text)) {
        const char *trailer = strstr(text, marker);
        if (trailer && find(trailer, key, value))
            return value;
    }
    size_t length = strlen(fallback);
    if (length >= MOCK_VALUE_SIZE)
        length = MOCK_VALUE_SIZE - 1;
    memcpy(value, fallback, length);
    value[length] = 0;
    return value;
}

int mock_parse_number(const char *text, const char **rest) {
    int negative = *text == '-', number = 0;
    if (negative)
        text++;
    for (; *text >= '0' && *text <= '9'; text++)
        number = number * 10 + (*text - '0');
    if (rest)
        *rest = text;
    return negative ? -number : number;
}

int mock_number(const char *key, int fallback) {
    char value[MOCK_VALUE_SIZE];
    mock_setting(key, "", value);
    return *value ? mock_parse_number(value, NULL) : fallback;
}
