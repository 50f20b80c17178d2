/* Settings of the mock GPU, shared by all its libraries.
 *
 * A setting is a word "key=value"; blanks, commas, '%' and newlines in a value are written %XX. It is looked for in
 *   1. $MOCK_GPU: words separated by blanks;
 *   2. the file $MOCK_GPU_CTL, else /run/mock-gpu.conf;
 *   3. the trailer of this library's own file: its last TRAILER_SIZE bytes, "\nMOCKGPU key=value ...\n", padded with
 *      blanks. CDI bind-mounts the file, so a trailer that is rewritten in place on the host is seen at once in every
 *      container that has it, with nothing else injected.
 * It is read anew at each question, so a change acts on an encode that runs. lab/gpu/control.py writes the trailer and
 * lists the keys.
 *
 * Only symbol versions up to GLIBC_2.17 may be used by the libraries (no stat, dladdr, fcntl64, sscanf, atoi): they are
 * loaded by whatever C library the container brings.
 */
#ifndef MOCK_SETTINGS_H
#define MOCK_SETTINGS_H

#include <stddef.h>

#define MOCK_EXPORT __attribute__((visibility("default")))
#define MOCK_TRAILER_SIZE 512
#define MOCK_VALUE_SIZE 128

#ifndef DRIVER
#error "compile with -DDRIVER=\"535.247.01\": the version that the libraries say they are"
#endif

/* The value of `key`, or `fallback`, copied into `value`; returns `value`. */
const char *mock_setting(const char *key, const char *fallback, char value[MOCK_VALUE_SIZE]);

/* The value of `key` as a number, or `fallback` where it is not set. */
int mock_number(const char *key, int fallback);

/* A decimal number at `text`, its sign included; `*rest` (may be NULL) is set behind it. 0 where there is none. */
int mock_parse_number(const char *text, const char **rest);

/* Path of the file that this library was loaded from, or NULL. */
const char *mock_own_path(void);

#endif
