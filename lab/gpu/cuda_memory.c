/* Mock libcuda.so.1: "device memory" is host memory; copies are memmove. */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <ffnvcodec/dynlink_cuda.h>

#include "cuda.h"
#include "gpu.h"
#include "settings.h"

enum { ALIGNMENT = 512 }; /* of an allocation and of a row's pitch; the block's size is kept in front of it */

static size_t used;

size_t cuda_memory_total(void) {
    return (size_t)mock_number("mem", GPU_MEMORY_MIB) << 20;
}

size_t cuda_memory_used(void) {
    return __atomic_load_n(&used, __ATOMIC_RELAXED);
}

MOCK_EXPORT int cuMemAlloc_v2(CUdeviceptr *pointer, size_t size) {
    void *block;
    NEED_INIT;
    if (cuda_memory_used() + size > cuda_memory_total() || posix_memalign(&block, ALIGNMENT, size + ALIGNMENT))
        return CUDA_OUT_OF_MEMORY;
    *(size_t *)block = size;
    __atomic_add_fetch(&used, size, __ATOMIC_RELAXED);
    *pointer = (CUdeviceptr)((char *)block + ALIGNMENT);
    return CUDA_OK;
}

MOCK_EXPORT int cuMemFree_v2(CUdeviceptr pointer) {
    if (!pointer)
        return CUDA_OK;
    void *block = (void *)(pointer - ALIGNMENT);
    __atomic_sub_fetch(&used, *(size_t *)block, __ATOMIC_RELAXED);
    free(block);
    return CUDA_OK;
}

MOCK_EXPORT int cuMemAllocPitch_v2(CUdeviceptr *pointer, size_t *pitch, size_t width, size_t height, unsigned element) {
    (void)element;
    *pitch = (width + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
    return cuMemAlloc_v2(pointer, *pitch * height);
}

MOCK_EXPORT int cuMemAllocManaged(CUdeviceptr *pointer, size_t size, unsigned flags) {
    (void)flags;
    return cuMemAlloc_v2(pointer, size);
}

MOCK_EXPORT int cuMemsetD8Async(CUdeviceptr pointer, unsigned char value, size_t size, void *stream) {
    (void)stream;
    memset((void *)pointer, value, size);
    return CUDA_OK;
}

MOCK_EXPORT int cuMemcpy(CUdeviceptr to, CUdeviceptr from, size_t size) {
    memmove((void *)to, (void *)from, size);
    return CUDA_OK;
}

MOCK_EXPORT int cuMemcpyAsync(CUdeviceptr to, CUdeviceptr from, size_t size, void *stream) {
    (void)stream;
    return cuMemcpy(to, from, size);
}

/* Host and device pointers are one address space here. */
#define COPY(direction)                                                                                       \
    MOCK_EXPORT int cuMemcpy##direction##_v2(CUdeviceptr to, CUdeviceptr from, size_t size) {                 \
        return cuMemcpy(to, from, size);                                                                      \
    }                                                                                                         \
    MOCK_EXPORT int cuMemcpy##direction##Async_v2(CUdeviceptr to, CUdeviceptr from, size_t size, void *stream) { \
        return cuMemcpyAsync(to, from, size, stream);                                                         \
    }
COPY(HtoD)
COPY(DtoH)
COPY(DtoD)

MOCK_EXPORT int cuMemcpy2D_v2(const CUDA_MEMCPY2D *copy) {
    const char *from = copy->srcMemoryType == CU_MEMORYTYPE_HOST ? copy->srcHost : (const char *)copy->srcDevice;
    char *to = copy->dstMemoryType == CU_MEMORYTYPE_HOST ? copy->dstHost : (char *)copy->dstDevice;
    from += copy->srcY * copy->srcPitch + copy->srcXInBytes;
    to += copy->dstY * copy->dstPitch + copy->dstXInBytes;
    for (size_t row = 0; row < copy->Height; row++)
        memmove(to + row * copy->dstPitch, from + row * copy->srcPitch, copy->WidthInBytes);
    return CUDA_OK;
}

MOCK_EXPORT int cuMemcpy2DAsync_v2(const CUDA_MEMCPY2D *copy, void *stream) {
    (void)stream;
    return cuMemcpy2D_v2(copy);
}
