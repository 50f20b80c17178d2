/* A kernel that the driver compiles from PTX, on a million words, each result compared with the CPU's. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "work.h"

enum { WORDS = 1 << 20, THREADS = 256 };

/* y[i] = 1664525 * x[i] + (y[i] ^ i), modulo 2^32; sm_50 is the oldest that the drivers of Talos still take */
static const char kernel[] = ".version 6.0\n.target sm_50\n.address_size 64\n"
    ".visible .entry mix(.param .u64 px, .param .u64 py, .param .u32 pn) {\n"
    "  .reg .pred %p<2>;\n  .reg .b32 %r<12>;\n  .reg .b64 %d<8>;\n"
    "  ld.param.u64 %d1, [px];\n  ld.param.u64 %d2, [py];\n  ld.param.u32 %r1, [pn];\n"
    "  mov.u32 %r2, %ctaid.x;\n  mov.u32 %r3, %ntid.x;\n  mov.u32 %r4, %tid.x;\n"
    "  mad.lo.u32 %r5, %r2, %r3, %r4;\n"
    "  setp.ge.u32 %p1, %r5, %r1;\n  @%p1 bra done;\n"
    "  cvta.to.global.u64 %d1, %d1;\n  cvta.to.global.u64 %d2, %d2;\n"
    "  mul.wide.u32 %d3, %r5, 4;\n  add.u64 %d4, %d1, %d3;\n  add.u64 %d5, %d2, %d3;\n"
    "  ld.global.u32 %r6, [%d4];\n  ld.global.u32 %r7, [%d5];\n"
    "  xor.b32 %r8, %r7, %r5;\n  mad.lo.u32 %r9, %r6, 1664525, %r8;\n"
    "  st.global.u32 [%d5], %r9;\n"
    "done:\n  ret;\n}\n";

static uint32_t next(uint32_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    return *state ^= *state << 5;
}

static unsigned seed(void)
{
    unsigned value = 0;
    FILE *random = fopen("/dev/urandom", "rb");

    if (random && fread(&value, sizeof value, 1, random) != 1)
        value = 0;
    if (random)
        fclose(random);
    return value ? value : 1;
}

int compute(void)
{
    static uint32_t x[WORDS], y[WORDS], got[WORDS];
    const size_t bytes = sizeof x;
    unsigned count = WORDS, wrong = 0;
    uint32_t state = seed(), first = state;
    CUcontext context;
    CUmodule module;
    CUfunction function;
    CUdeviceptr gx, gy;
    void *arguments[] = {&gx, &gy, &count};
    CudaFunctions *cuda = start(&context);

    if (!cuda)
        return 1;
    for (int i = 0; i < WORDS; i++) {
        x[i] = next(&state);
        y[i] = next(&state);
    }
    if (FAILED(cuda, cuModuleLoadData(&module, kernel)) ||
        FAILED(cuda, cuModuleGetFunction(&function, module, "mix")) || FAILED(cuda, cuMemAlloc(&gx, bytes)) ||
        FAILED(cuda, cuMemAlloc(&gy, bytes)) || FAILED(cuda, cuMemcpyHtoD(gx, x, bytes)) ||
        FAILED(cuda, cuMemcpyHtoD(gy, y, bytes)) ||
        FAILED(cuda, cuLaunchKernel(function, WORDS / THREADS, 1, 1, THREADS, 1, 1, 0, NULL, arguments, NULL)) ||
        FAILED(cuda, cuMemcpyDtoH(got, gy, bytes)))
        return 1;
    for (uint32_t i = 0; i < WORDS; i++)
        wrong += got[i] != 1664525u * x[i] + (y[i] ^ i);
    printf("kernel: %d results from seed %u, %u wrong\n", WORDS, first, wrong);
    return wrong ? 1 : 0;
}
