/* Mock nvidia-smi: the real one's words on the mock libnvidia-ml.so.1, which it loads at run time as the real one does.
 * It fails as the real one does; texts of failing initialisation are NVIDIA's own, those of a missing device or node
 * were measured on an H100. */
#define _GNU_SOURCE
#include "smi.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static int load(struct nvml *nvml) {
    void *library = dlopen("libnvidia-ml.so.1", RTLD_NOW);
    if (!library)
        return 0;
    const struct {
        void *function;
        const char *name;
    } wanted[] = {
        {&nvml->init, "nvmlInit_v2"},
        {&nvml->shutdown, "nvmlShutdown"},
        {&nvml->error_string, "nvmlErrorString"},
        {&nvml->driver_version, "nvmlSystemGetDriverVersion"},
        {&nvml->cuda_version, "nvmlSystemGetCudaDriverVersion"},
        {&nvml->count, "nvmlDeviceGetCount_v2"},
        {&nvml->handle, "nvmlDeviceGetHandleByIndex_v2"},
        {&nvml->name, "nvmlDeviceGetName"},
        {&nvml->uuid, "nvmlDeviceGetUUID"},
        {&nvml->pci, "nvmlDeviceGetPciInfo_v3"},
        {&nvml->memory, "nvmlDeviceGetMemoryInfo"},
        {&nvml->utilization, "nvmlDeviceGetUtilizationRates"},
        {&nvml->encoder_load, "nvmlDeviceGetEncoderUtilization"},
        {&nvml->encoder_stats, "nvmlDeviceGetEncoderStats"},
    };
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        void *found = dlsym(library, wanted[i].name);
        if (!found)
            return 0;
        memcpy(wanted[i].function, &found, sizeof found);
    }
    return 1;
}

static int explain_init(const struct nvml *nvml, int error) {
    switch (error) {
    case NVML_ERROR_DRIVER_NOT_LOADED:
        printf("NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver. "
               "Make sure that the latest NVIDIA driver is installed and running.\n\n");
        return SMI_DRIVER_NOT_LOADED;
    case NVML_ERROR_LIB_RM_VERSION_MISMATCH:
        /* the branch and release alone: 535.247 of 535.247.01 */
        printf("Failed to initialize NVML: %s\nNVML library version: %.7s\n", nvml->error_string(error), DRIVER);
        return SMI_VERSION_MISMATCH;
    case NVML_ERROR_GPU_IS_LOST:
        printf("Failed to initialize NVML: %s\n", nvml->error_string(error));
        return SMI_GPU_LOST;
    default:
        printf("Failed to initialize NVML: %s\n", nvml->error_string(error));
        return SMI_OTHER;
    }
}

static int list(const struct nvml *nvml, void *device) {
    char name[128] = "", uuid[128] = "";
    nvml->name(device, name, sizeof name);
    nvml->uuid(device, uuid, sizeof uuid);
    printf("GPU 0: %s (UUID: %s)\n", name, uuid);
    return SMI_OK;
}

/* The table of driver branch 535. Fan, temperature and power are a resting P2000's, and mean nothing here. */
static int summary(const struct nvml *nvml, void *device) {
    static const char line[] = "+---------------------------------------------------------------------------------------+";
    static const char columns[] = "-----------------------------------------+----------------------+----------------------";
    char name[128] = "", driver[128] = "", when[64];
    int cuda = 0;
    nvml_pci pci = {0};
    nvml_memory memory = {0};
    nvml_utilization load = {0};
    time_t now = time(NULL);
    nvml->name(device, name, sizeof name);
    nvml->driver_version(driver, sizeof driver);
    nvml->cuda_version(&cuda);
    nvml->pci(device, &pci);
    nvml->memory(device, &memory);
    nvml->utilization(device, &load);
    strftime(when, sizeof when, "%a %b %e %H:%M:%S %Y", localtime(&now));
    printf("%s       \n%s\n", when, line);
    printf("| NVIDIA-SMI %-21s  Driver Version: %-12s CUDA Version: %2d.%-5d |\n", driver, driver, cuda / 1000,
           cuda % 1000 / 10);
    printf("|%s+\n", columns);
    printf("| GPU  Name                 Persistence-M | Bus-Id        Disp.A | Volatile Uncorr. ECC |\n");
    printf("| Fan  Temp   Perf          Pwr:Usage/Cap |         Memory-Usage | GPU-Util  Compute M. |\n");
    printf("|                                         |                      |               MIG M. |\n");
    printf("|=========================================+======================+======================|\n");
    printf("|   0  %-29s  Off | %-16s Off |                  N/A |\n", name, pci.bus_id);
    printf("| 44%%   35C    P8               4W /  75W | %6lluMiB / %5lluMiB | %6u%%      Default |\n", memory.used >> 20,
           memory.total >> 20, load.gpu);
    printf("|                                         |                      |                  N/A |\n");
    printf("+%s+\n%89s\n%s\n", columns, "", line);
    printf("| %-85s |\n", "Processes:");
    printf("|  GPU   GI   CI        PID   Type   Process name                            GPU Memory |\n");
    printf("|        ID   ID                                                             Usage      |\n");
    printf("|=======================================================================================|\n");
    printf("| %-85s |\n%s\n", " No running processes found", line);
    return SMI_OK;
}

/* The value of `--name=value` or `-n value`; moves `*at` over the latter's. */
static const char *option(char **arguments, int *at, const char *name, const char *letter) {
    const char *word = arguments[*at];
    size_t length = strlen(name);
    if (!strncmp(word, name, length) && word[length] == '=')
        return word + length + 1;
    if (letter && !strcmp(word, letter) && arguments[*at + 1])
        return arguments[++*at];
    return NULL;
}

int main(int count, char **arguments) {
    struct nvml nvml;
    const char *query = NULL, *format = NULL, *value;
    int wants_list = 0;
    unsigned devices = 0;
    void *device;
    for (int i = 1; i < count; i++) {
        if (!strcmp(arguments[i], "-L") || !strcmp(arguments[i], "--list-gpus")) {
            wants_list = 1;
        } else if ((value = option(arguments, &i, "--query-gpu", NULL))) {
            query = value;
        } else if ((value = option(arguments, &i, "--format", NULL))) {
            format = value;
        } else if (!(value = option(arguments, &i, "--id", "-i"))) {
            printf("Invalid combination of input arguments. Please run 'nvidia-smi -h' for help.\n\n");
            return SMI_INVALID_ARGUMENT;
        }
    }
    if (!load(&nvml)) {
        printf("NVIDIA-SMI couldn't find libnvidia-ml.so library in your system. Please make sure that the NVIDIA Display "
               "Driver is properly installed and present in your system.\n"
               "Please also try adding directory that contains libnvidia-ml.so to your system PATH.\n");
        return SMI_NO_LIBRARY;
    }
    int error = nvml.init();
    if (error)
        return explain_init(&nvml, error);
    if (nvml.count(&devices) || !devices || nvml.handle(0, &device)) {
        printf(wants_list ? "No devices found.\n" : "No devices were found\n");
        return SMI_NOT_FOUND;
    }
    if (wants_list)
        return list(&nvml, device);
    return query ? smi_query(&nvml, device, query, format) : summary(&nvml, device);
}
