/* Mock libcuda.so.1: initialisation, the device and contexts. */
#include "cuda.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <ffnvcodec/dynlink_cuda.h>

#include "gpu.h"
#include "settings.h"

int cuda_initialised;

/* What cuInit says of missing or stale nodes was measured on an H100: without nvidiactl or nvidia0 it is 100, without
 * nvidia-uvm or with a stale major of it 999. 803 for a kernel module of another version is the API reference's. */
static int init_error(void) {
    char kernel[MOCK_VALUE_SIZE];
    int forced = mock_number("cuinit", 0);
    if (forced)
        return forced;
    if (!mock_number("nodes", 1))
        return CUDA_OK;
    if (gpu_node_error("/dev/nvidiactl", GPU_MAJOR))
        return CUDA_NO_DEVICE;
    if (strcmp(mock_setting("kernel", DRIVER, kernel), DRIVER))
        return CUDA_DRIVER_MISMATCH;
    if (gpu_node_error("/dev/nvidia0", GPU_MAJOR))
        return CUDA_NO_DEVICE;
    if (gpu_node_error("/dev/nvidia-uvm", mock_number("uvm_major", 0)))
        return CUDA_UNKNOWN;
    return CUDA_OK;
}

MOCK_EXPORT int cuInit(unsigned flags) {
    (void)flags;
    int error = init_error();
    cuda_initialised = !error;
    return error;
}

MOCK_EXPORT int cuDriverGetVersion(int *version) {
    *version = CUDA_DRIVER_VERSION;
    return CUDA_OK;
}

MOCK_EXPORT int cuDeviceGetCount(int *count) {
    NEED_INIT;
    *count = mock_number("devices", 1);
    return CUDA_OK;
}

MOCK_EXPORT int cuDeviceGet(int *device, int ordinal) {
    NEED_INIT;
    if (ordinal < 0 || ordinal >= mock_number("devices", 1))
        return CUDA_INVALID_DEVICE;
    *device = ordinal;
    return CUDA_OK;
}

MOCK_EXPORT int cuDeviceGetName(char *buffer, int size, int device) {
    char name[MOCK_VALUE_SIZE];
    (void)device;
    NEED_INIT;
    snprintf(buffer, (size_t)size, "%s", mock_setting("name", GPU_NAME, name));
    return CUDA_OK;
}

MOCK_EXPORT int cuDeviceGetUuid(CUuuid *uuid, int device) {
    (void)device;
    NEED_INIT;
    gpu_uuid_bytes((unsigned char *)uuid);
    return CUDA_OK;
}

MOCK_EXPORT int cuDeviceGetUuid_v2(CUuuid *uuid, int device) {
    return cuDeviceGetUuid(uuid, device);
}

MOCK_EXPORT int cuDeviceComputeCapability(int *major, int *minor, int device) {
    (void)device;
    NEED_INIT;
    *major = 6; /* GP106 */
    *minor = 1;
    return CUDA_OK;
}

MOCK_EXPORT int cuDeviceTotalMem_v2(size_t *bytes, int device) {
    (void)device;
    NEED_INIT;
    *bytes = cuda_memory_total();
    return CUDA_OK;
}

MOCK_EXPORT int cuMemGetInfo_v2(size_t *free_bytes, size_t *total) {
    NEED_INIT;
    *total = cuda_memory_total();
    *free_bytes = *total > cuda_memory_used() ? *total - cuda_memory_used() : 0;
    return CUDA_OK;
}

/* CUdevice_attribute by number; what ffmpeg and its filters ask of a GP106. */
MOCK_EXPORT int cuDeviceGetAttribute(int *value, int attribute, int device) {
    (void)device;
    NEED_INIT;
    switch (attribute) {
    case 1: /* MAX_THREADS_PER_BLOCK */
        *value = 1024;
        break;
    case 10: /* WARP_SIZE */
        *value = 32;
        break;
    case 14: /* TEXTURE_ALIGNMENT */
        *value = 512;
        break;
    case 16: /* MULTIPROCESSOR_COUNT */
        *value = 8;
        break;
    case 33: /* PCI_BUS_ID */
        *value = 1;
        break;
    case 75: /* COMPUTE_CAPABILITY_MAJOR */
        *value = 6;
        break;
    case 76: /* COMPUTE_CAPABILITY_MINOR */
        *value = 1;
        break;
    default:
        *value = 0;
    }
    return CUDA_OK;
}

/* Contexts: a stack for each thread, as the real one keeps. */
enum { STACK_SIZE = 32 };
static __thread void *context_stack[STACK_SIZE];
static __thread int context_depth;
static int primary_context, primary_users;
static unsigned primary_flags;

MOCK_EXPORT int cuCtxPushCurrent_v2(void *context) {
    NEED_INIT;
    if (!context || context_depth == STACK_SIZE)
        return CUDA_INVALID_CONTEXT;
    context_stack[context_depth++] = context;
    return CUDA_OK;
}

MOCK_EXPORT int cuCtxPopCurrent_v2(void **context) {
    NEED_INIT;
    if (!context_depth)
        return CUDA_INVALID_CONTEXT;
    context_depth--;
    if (context)
        *context = context_stack[context_depth];
    return CUDA_OK;
}

MOCK_EXPORT int cuCtxCreate_v2(void **context, unsigned flags, int device) {
    (void)flags;
    (void)device;
    NEED_INIT;
    int error = mock_number("ctx", 0);
    if (error)
        return error;
    *context = malloc(16);
    return *context ? cuCtxPushCurrent_v2(*context) : CUDA_OUT_OF_MEMORY;
}

MOCK_EXPORT int cuCtxDestroy_v2(void *context) {
    NEED_INIT;
    while (context_depth && context_stack[context_depth - 1] == context)
        context_depth--;
    if (context != &primary_context)
        free(context);
    return CUDA_OK;
}

MOCK_EXPORT int cuCtxGetCurrent(void **context) {
    *context = context_depth ? context_stack[context_depth - 1] : NULL;
    return CUDA_OK;
}

MOCK_EXPORT int cuCtxSetCurrent(void *context) {
    if (context_depth)
        context_depth--;
    return context ? cuCtxPushCurrent_v2(context) : CUDA_OK;
}

MOCK_EXPORT int cuCtxSetLimit(int limit, size_t value) {
    (void)limit;
    (void)value;
    return CUDA_OK;
}

MOCK_EXPORT int cuCtxSynchronize(void) {
    return CUDA_OK;
}

MOCK_EXPORT int cuCtxGetDevice(int *device) {
    *device = 0;
    return CUDA_OK;
}

MOCK_EXPORT int cuDevicePrimaryCtxRetain(void **context, int device) {
    (void)device;
    NEED_INIT;
    int error = mock_number("ctx", 0);
    if (error)
        return error;
    primary_users++;
    *context = &primary_context;
    return CUDA_OK;
}

MOCK_EXPORT int cuDevicePrimaryCtxRelease(int device) {
    (void)device;
    if (primary_users)
        primary_users--;
    return CUDA_OK;
}

MOCK_EXPORT int cuDevicePrimaryCtxSetFlags(int device, unsigned flags) {
    (void)device;
    primary_flags = flags;
    return CUDA_OK;
}

MOCK_EXPORT int cuDevicePrimaryCtxGetState(int device, unsigned *flags, int *active) {
    (void)device;
    *flags = primary_flags;
    *active = primary_users > 0;
    return CUDA_OK;
}

MOCK_EXPORT int cuDevicePrimaryCtxReset(int device) {
    (void)device;
    primary_users = 0;
    return CUDA_OK;
}
