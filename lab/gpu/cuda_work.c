/* Mock libcuda.so.1: streams and events (all work is done at once), kernels (taken, never run), and the functions that
 * must be there for ffmpeg to load the library (dynlink_loader.h's LOAD_SYMBOL: one missing reads "Cannot load
 * libcuda.so.1"). */
#include <stdlib.h>

#include <ffnvcodec/dynlink_cuda.h>

#include "cuda.h"
#include "settings.h"

static int module;

MOCK_EXPORT int cuStreamCreate(void **stream, unsigned flags) {
    (void)flags;
    *stream = malloc(8);
    return *stream ? CUDA_OK : CUDA_OUT_OF_MEMORY;
}

MOCK_EXPORT int cuStreamDestroy_v2(void *stream) {
    free(stream);
    return CUDA_OK;
}

MOCK_EXPORT int cuEventCreate(void **event, unsigned flags) {
    return cuStreamCreate(event, flags);
}

MOCK_EXPORT int cuEventDestroy_v2(void *event) {
    free(event);
    return CUDA_OK;
}

MOCK_EXPORT int cuEventRecord(void *event, void *stream) {
    (void)event;
    (void)stream;
    return CUDA_OK;
}

/* scale_cuda, yadif_cuda and the like start and give back whatever the memory held. ptx=221 is a container without
 * libnvidia-ptxjitcompiler. */
MOCK_EXPORT int cuModuleLoadData(void **loaded, const void *image) {
    (void)image;
    NEED_INIT;
    int error = mock_number("ptx", 0);
    if (error)
        return error;
    *loaded = &module;
    return CUDA_OK;
}

MOCK_EXPORT int cuModuleGetFunction(void **function, void *loaded, const char *name) {
    (void)loaded;
    (void)name;
    *function = &module;
    return CUDA_OK;
}

MOCK_EXPORT int cuModuleGetGlobal(CUdeviceptr *pointer, size_t *size, void *loaded, const char *name) {
    (void)loaded;
    (void)name;
    *pointer = (CUdeviceptr)&module;
    *size = sizeof module;
    return CUDA_OK;
}

MOCK_EXPORT int cuTexObjectCreate(unsigned long long *texture, const void *resource, const void *desc, const void *view) {
    (void)resource;
    (void)desc;
    (void)view;
    *texture = 1;
    return CUDA_OK;
}

#define DONE_AT_ONCE(name)       \
    MOCK_EXPORT int name(void) { \
        return CUDA_OK;          \
    }
DONE_AT_ONCE(cuStreamQuery)
DONE_AT_ONCE(cuStreamSynchronize)
DONE_AT_ONCE(cuEventQuery)
DONE_AT_ONCE(cuEventSynchronize)
DONE_AT_ONCE(cuModuleUnload)
DONE_AT_ONCE(cuTexObjectDestroy)
DONE_AT_ONCE(cuLaunchKernel)

#define NOT_SUPPORTED(name)        \
    MOCK_EXPORT int name(void) {   \
        return CUDA_NOT_SUPPORTED; \
    }
NOT_SUPPORTED(cuStreamAddCallback)
NOT_SUPPORTED(cuLinkCreate)
NOT_SUPPORTED(cuLinkAddData)
NOT_SUPPORTED(cuLinkComplete)
NOT_SUPPORTED(cuLinkDestroy)
NOT_SUPPORTED(cuGLGetDevices_v2)
NOT_SUPPORTED(cuGraphicsGLRegisterImage)
NOT_SUPPORTED(cuGraphicsUnregisterResource)
NOT_SUPPORTED(cuGraphicsMapResources)
NOT_SUPPORTED(cuGraphicsUnmapResources)
NOT_SUPPORTED(cuGraphicsSubResourceGetMappedArray)
NOT_SUPPORTED(cuGraphicsResourceGetMappedPointer_v2)
NOT_SUPPORTED(cuArray3DCreate_v2)
NOT_SUPPORTED(cuArrayDestroy)
