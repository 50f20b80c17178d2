/* Device nodes, identity and session count of the pretended GPU; see gpu.h. */
#define _GNU_SOURCE
#include "gpu.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "settings.h"

/* Open file description locks, <fcntl.h> with _GNU_SOURCE; by number and by syscall(), as the fcntl wrapper is fcntl64
 * since GLIBC_2.28. */
enum { OFD_GETLK = 36, OFD_SETLK = 37 };

/* Each session holds a read lock on one byte far behind the library's end. All users of one file (one inode,
 * bind-mounted into every container) see each other's locks, and the kernel drops them when a process dies. */
static const long first_slot = 1L << 40;
enum { SLOTS = 64 };

int gpu_node_error(const char *path, int wanted_major) {
    struct stat found;
    if (syscall(SYS_newfstatat, AT_FDCWD, path, &found, 0) || !S_ISCHR(found.st_mode))
        return ENOENT;
    int node = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK);
    if (node >= 0)
        close(node);
    else if (errno != ENXIO && errno != ENODEV)
        return errno;
    if (wanted_major && (int)major(found.st_rdev) != wanted_major)
        return ENXIO;
    return 0;
}

static int hex_value(char c) {
    return c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10;
}

void gpu_uuid_bytes(unsigned char bytes[16]) {
    char value[MOCK_VALUE_SIZE];
    const char *at = mock_setting("uuid", GPU_UUID, value);
    if (!strncmp(at, "GPU-", 4))
        at += 4;
    memset(bytes, 0, 16);
    for (int digit = 0; digit < 32 && *at; at++) {
        if (*at == '-')
            continue;
        bytes[digit / 2] |= (unsigned char)(hex_value(*at) << (digit % 2 ? 0 : 4));
        digit++;
    }
}

/* Counts the taken slots of an open library file; `*free_slot` is the first free one, or -1. */
static int taken_slots(int file, int *free_slot) {
    int taken = 0;
    *free_slot = -1;
    for (int i = 0; i < SLOTS; i++) {
        struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = first_slot + i, .l_len = 1};
        if (syscall(SYS_fcntl, file, OFD_GETLK, &lock))
            break;
        if (lock.l_type != F_UNLCK)
            taken++;
        else if (*free_slot < 0)
            *free_slot = i;
    }
    return taken;
}

int gpu_sessions(const char *path) {
    int free_slot;
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return 0;
    int taken = taken_slots(file, &free_slot);
    close(file);
    return taken;
}

int gpu_session_open(const char *path, int limit) {
    int slot;
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0)
        return -2;
    flock(file, LOCK_EX); /* counting and taking are one step */
    int taken = taken_slots(file, &slot);
    if (slot < 0 || (limit && taken >= limit)) {
        close(file);
        return -1;
    }
    struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = first_slot + slot, .l_len = 1};
    syscall(SYS_fcntl, file, OFD_SETLK, &lock);
    flock(file, LOCK_UN);
    return file;
}
