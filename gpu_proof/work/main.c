/* gpu-work cuda | decode FILE | encode: proofs by work, started inside a container. */
#include <stdio.h>
#include <string.h>

#include "work.h"

int failed(CudaFunctions *cuda, CUresult result, const char *call)
{
    const char *name = "?", *text = "";

    if (result == CUDA_SUCCESS)
        return 0;
    cuda->cuGetErrorName(result, &name);
    cuda->cuGetErrorString(result, &text);
    fprintf(stderr, "%s failed -> %s: %s\n", call, name, text);
    return 1;
}

CudaFunctions *start(CUcontext *context)
{
    CudaFunctions *cuda = NULL;
    CUdevice device;
    char name[96] = "";

    if (cuda_load_functions(&cuda, NULL) < 0) {
        fprintf(stderr, "Cannot load libcuda.so.1\n");
        return NULL;
    }
    if (FAILED(cuda, cuInit(0)) || FAILED(cuda, cuDeviceGet(&device, 0)) ||
        FAILED(cuda, cuDeviceGetName(name, sizeof name, device)) || FAILED(cuda, cuCtxCreate(context, 0, device)))
        return NULL;
    fprintf(stderr, "cuInit(0) = 0, device 0: %s\n", name);
    return cuda;
}

int main(int count, char **words)
{
    if (count == 2 && !strcmp(words[1], "cuda"))
        return compute();
    if (count == 3 && !strcmp(words[1], "decode"))
        return decode(words[2]);
    if (count == 2 && !strcmp(words[1], "encode"))
        return encode();
    fprintf(stderr, "usage: gpu-work cuda | decode FILE | encode\n");
    return 2;
}
