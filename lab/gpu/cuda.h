/* Codes and state that the parts of the mock libcuda share. */
#ifndef MOCK_CUDA_H
#define MOCK_CUDA_H

#include <stddef.h>

enum cuda_code {
    CUDA_OK = 0,
    CUDA_INVALID_VALUE = 1,
    CUDA_OUT_OF_MEMORY = 2,
    CUDA_NOT_INITIALISED = 3,
    CUDA_NO_DEVICE = 100,
    CUDA_INVALID_DEVICE = 101,
    CUDA_INVALID_CONTEXT = 201,
    CUDA_NOT_SUPPORTED = 801,
    CUDA_DRIVER_MISMATCH = 803,
    CUDA_UNKNOWN = 999,
};

extern int cuda_initialised;

#define NEED_INIT           \
    if (!cuda_initialised)  \
    return CUDA_NOT_INITIALISED

/* The GPU's memory and how much of it this process has taken, in bytes. */
size_t cuda_memory_total(void);
size_t cuda_memory_used(void);

#endif
