/* The work that a container does on the GPU: each function prints what it saw and returns the exit code. */
#pragma once

#include <ffnvcodec/dynlink_loader.h>

int compute(void);
int decode(const char *path);
int encode(void);

/* The driver's library loaded and a context made on the first GPU; says why not as FFmpeg would, and returns NULL. */
CudaFunctions *start(CUcontext *context);
/* 0, or 1 after saying which call failed and the driver's name for it. */
int failed(CudaFunctions *cuda, CUresult result, const char *call);
#define FAILED(cuda, call) failed(cuda, (cuda)->call, #call)
