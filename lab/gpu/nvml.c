/* Mock libnvidia-ml.so.1: as much of NVML as nvidia-ctk, nvidia-smi and a device plugin ask. One GPU, no MIG. */
#include "nvml.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "gpu.h"
#include "settings.h"

static int initialised;
static int gpu0;

#define NEED_INIT               \
    if (!initialised)           \
    return NVML_ERROR_UNINITIALIZED

static int copy_text(char *buffer, unsigned size, const char *text) {
    if (!buffer || !size)
        return NVML_ERROR_INVALID_ARGUMENT;
    if (strlen(text) >= size)
        return NVML_ERROR_INSUFFICIENT_SIZE;
    strcpy(buffer, text);
    return NVML_SUCCESS;
}

static int copy_setting(char *buffer, unsigned size, const char *key, const char *fallback) {
    char value[MOCK_VALUE_SIZE];
    NEED_INIT;
    return copy_text(buffer, size, mock_setting(key, fallback, value));
}

/* No node: no driver. A node that the device cgroup refuses gives Unknown Error (measured on an H100 in a container, as
 * the library makes the missing node itself there). The uvm node is CUDA's alone: NVML works without it (the same run). */
static int init(void) {
    char kernel[MOCK_VALUE_SIZE];
    int forced = mock_number("nvml", 0);
    if (forced)
        return forced;
    if (mock_number("nodes", 1)) {
        int error = gpu_node_error("/dev/nvidiactl", GPU_MAJOR);
        if (error)
            return error == ENOENT ? NVML_ERROR_DRIVER_NOT_LOADED : NVML_ERROR_UNKNOWN;
    }
    if (strcmp(mock_setting("kernel", DRIVER, kernel), DRIVER))
        return NVML_ERROR_LIB_RM_VERSION_MISMATCH;
    initialised = 1;
    return NVML_SUCCESS;
}

MOCK_EXPORT int nvmlInit(void) {
    return init();
}

MOCK_EXPORT int nvmlInit_v2(void) {
    return init();
}

MOCK_EXPORT int nvmlInitWithFlags(unsigned flags) {
    (void)flags;
    return init();
}

MOCK_EXPORT int nvmlShutdown(void) {
    NEED_INIT;
    initialised = 0;
    return NVML_SUCCESS;
}

MOCK_EXPORT const char *nvmlErrorString(int result) {
    switch (result) {
    case NVML_SUCCESS:
        return "Success";
    case NVML_ERROR_UNINITIALIZED:
        return "Uninitialized";
    case NVML_ERROR_INVALID_ARGUMENT:
        return "Invalid Argument";
    case NVML_ERROR_NOT_SUPPORTED:
        return "Not Supported";
    case NVML_ERROR_NO_PERMISSION:
        return "Insufficient Permissions";
    case NVML_ERROR_NOT_FOUND:
        return "Not Found";
    case NVML_ERROR_INSUFFICIENT_SIZE:
        return "Insufficient Size";
    case NVML_ERROR_DRIVER_NOT_LOADED:
        return "Driver Not Loaded";
    case NVML_ERROR_GPU_IS_LOST:
        return "GPU is lost";
    case NVML_ERROR_LIB_RM_VERSION_MISMATCH:
        return "Driver/library version mismatch";
    default:
        return "Unknown Error";
    }
}

MOCK_EXPORT int nvmlSystemGetDriverVersion(char *buffer, unsigned size) {
    NEED_INIT;
    return copy_text(buffer, size, DRIVER);
}

MOCK_EXPORT int nvmlSystemGetNVMLVersion(char *buffer, unsigned size) {
    return copy_text(buffer, size, "12." DRIVER);
}

MOCK_EXPORT int nvmlSystemGetCudaDriverVersion(int *version) {
    *version = CUDA_DRIVER_VERSION;
    return NVML_SUCCESS;
}

MOCK_EXPORT int nvmlSystemGetCudaDriverVersion_v2(int *version) {
    return nvmlSystemGetCudaDriverVersion(version);
}

/* Without /dev/nvidia0 there is no device, while the library itself works (measured on an H100: "No devices found."). */
MOCK_EXPORT int nvmlDeviceGetCount_v2(unsigned *count) {
    NEED_INIT;
    *count = (unsigned)mock_number("devices", 1);
    if (mock_number("nodes", 1) && gpu_node_error("/dev/nvidia0", GPU_MAJOR))
        *count = 0;
    return NVML_SUCCESS;
}

MOCK_EXPORT int nvmlDeviceGetCount(unsigned *count) {
    return nvmlDeviceGetCount_v2(count);
}

MOCK_EXPORT int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **device) {
    unsigned count = 0;
    NEED_INIT;
    nvmlDeviceGetCount_v2(&count);
    if (index || !count)
        return NVML_ERROR_INVALID_ARGUMENT;
    *device = &gpu0;
    return NVML_SUCCESS;
}

MOCK_EXPORT int nvmlDeviceGetHandleByIndex(unsigned index, void **device) {
    return nvmlDeviceGetHandleByIndex_v2(index, device);
}

MOCK_EXPORT int nvmlDeviceGetHandleByUUID(const char *uuid, void **device) {
    char own[MOCK_VALUE_SIZE];
    NEED_INIT;
    if (strcmp(uuid, mock_setting("uuid", GPU_UUID, own)))
        return NVML_ERROR_NOT_FOUND;
    return nvmlDeviceGetHandleByIndex_v2(0, device);
}

MOCK_EXPORT int nvmlDeviceGetUUID(void *device, char *buffer, unsigned size) {
    (void)device;
    return copy_setting(buffer, size, "uuid", GPU_UUID);
}

MOCK_EXPORT int nvmlDeviceGetName(void *device, char *buffer, unsigned size) {
    (void)device;
    return copy_setting(buffer, size, "name", GPU_NAME);
}

static int zero(unsigned *number) {
    NEED_INIT;
    *number = 0;
    return NVML_SUCCESS;
}

MOCK_EXPORT int nvmlDeviceGetMinorNumber(void *device, unsigned *minor) {
    (void)device;
    return zero(minor);
}

MOCK_EXPORT int nvmlDeviceGetIndex(void *device, unsigned *index) {
    (void)device;
    return zero(index);
}

MOCK_EXPORT int nvmlDeviceGetBrand(void *device, unsigned *brand) {
    (void)device;
    *brand = 1; /* NVML_BRAND_QUADRO */
    return NVML_SUCCESS;
}

MOCK_EXPORT int nvmlDeviceGetArchitecture(void *device, unsigned *architecture) {
    (void)device;
    *architecture = 4; /* NVML_DEVICE_ARCH_PASCAL */
    return NVML_SUCCESS;
}

MOCK_EXPORT int nvmlDeviceGetCudaComputeCapability(void *device, int *major, int *minor) {
    (void)device;
    *major = 6;
    *minor = 1;
    return NVML_SUCCESS;
}

MOCK_EXPORT int nvmlDeviceGetMemoryInfo(void *device, nvml_memory *memory) {
    (void)device;
    NEED_INIT;
    memory->total = (unsigned long long)mock_number("mem", GPU_MEMORY_MIB) << 20;
    memory->used = (unsigned long long)mock_number("mem_used", 0) << 20;
    memory->free = memory->total > memory->used ? memory->total - memory->used : 0;
    return NVML_SUCCESS;
}

static unsigned hex_number(const char *text, int digits) {
    unsigned number = 0;
    for (int i = 0; i < digits && text[i]; i++)
        number = number << 4 | (unsigned)(text[i] <= '9' ? text[i] - '0' : (text[i] | 0x20) - 'a' + 10);
    return number;
}

MOCK_EXPORT int nvmlDeviceGetPciInfo_v3(void *device, nvml_pci *pci) {
    char address[MOCK_VALUE_SIZE]; /* "0000:01:00.0" */
    (void)device;
    NEED_INIT;
    memset(pci, 0, sizeof *pci);
    mock_setting("pci", GPU_PCI, address);
    snprintf(pci->bus_id_legacy, sizeof pci->bus_id_legacy, "%.12s", address);
    snprintf(pci->bus_id, sizeof pci->bus_id, "0000%.12s", address);
    pci->domain = hex_number(address, 4);
    pci->bus = hex_number(address + 5, 2);
    pci->device = hex_number(address + 8, 2);
    pci->pci_device_id = 0x1c3010de; /* GP106GL [Quadro P2000], pci.ids */
    return NVML_SUCCESS;
}

MOCK_EXPORT int nvmlDeviceGetPciInfo_v2(void *device, nvml_pci *pci) {
    return nvmlDeviceGetPciInfo_v3(device, pci);
}

MOCK_EXPORT int nvmlDeviceGetPciInfo(void *device, nvml_pci *pci) {
    return nvmlDeviceGetPciInfo_v3(device, pci);
}

MOCK_EXPORT int nvmlDeviceGetMigMode(void *device, unsigned *current, unsigned *pending) {
    (void)device;
    (void)current;
    (void)pending;
    return NVML_ERROR_NOT_SUPPORTED;
}

MOCK_EXPORT int nvmlDeviceGetMaxMigDeviceCount(void *device, unsigned *count) {
    (void)device;
    return zero(count);
}

MOCK_EXPORT int nvmlDeviceIsMigDeviceHandle(void *device, unsigned *is_mig) {
    (void)device;
    return zero(is_mig);
}

/* The sessions hold locks on libnvidia-encode's file, which the driver lays beside this library's. */
static int open_sessions(void) {
    char path[4096];
    const char *own = mock_own_path();
    const char *slash = own ? strrchr(own, '/') : NULL;
    if (!slash)
        return 0;
    snprintf(path, sizeof path, "%.*s/libnvidia-encode.so." DRIVER, (int)(slash - own), own);
    return gpu_sessions(path);
}

MOCK_EXPORT int nvmlDeviceGetEncoderStats(void *device, unsigned *sessions, unsigned *fps, unsigned *latency) {
    (void)device;
    NEED_INIT;
    *sessions = (unsigned)open_sessions();
    *fps = *sessions ? (unsigned)mock_number("fps", 30) : 0;
    *latency = *sessions ? 1000 : 0; /* microseconds */
    return NVML_SUCCESS;
}

/* Pretended: a quarter of the encoder for each session; encoder_load=N says otherwise. */
MOCK_EXPORT int nvmlDeviceGetEncoderUtilization(void *device, unsigned *percent, unsigned *period) {
    (void)device;
    NEED_INIT;
    int sessions = open_sessions();
    *percent = (unsigned)mock_number("encoder_load", sessions > 4 ? 100 : sessions * 25);
    *period = 167000; /* microseconds */
    return NVML_SUCCESS;
}

MOCK_EXPORT int nvmlDeviceGetUtilizationRates(void *device, nvml_utilization *utilization) {
    (void)device;
    NEED_INIT;
    utilization->gpu = (unsigned)mock_number("gpu_load", 0);
    utilization->memory = 0;
    return NVML_SUCCESS;
}
