/* What the parts of the mock nvidia-smi share. */
#ifndef MOCK_SMI_H
#define MOCK_SMI_H

#include "nvml.h"

/* nvidia-smi's exit codes: its manual page, "RETURN VALUE"; 18 is NVML's own code, passed on as the real one does. */
enum smi_exit {
    SMI_OK = 0,
    SMI_INVALID_ARGUMENT = 2,
    SMI_NOT_FOUND = 6,
    SMI_DRIVER_NOT_LOADED = 9,
    SMI_NO_LIBRARY = 12,
    SMI_GPU_LOST = 15,
    SMI_VERSION_MISMATCH = 18,
    SMI_OTHER = 255,
};

/* libnvidia-ml.so.1's functions, loaded as the real tool loads them. */
struct nvml {
    int (*init)(void);
    int (*shutdown)(void);
    const char *(*error_string)(int);
    int (*driver_version)(char *, unsigned);
    int (*cuda_version)(int *);
    int (*count)(unsigned *);
    int (*handle)(unsigned, void **);
    int (*name)(void *, char *, unsigned);
    int (*uuid)(void *, char *, unsigned);
    int (*pci)(void *, nvml_pci *);
    int (*memory)(void *, nvml_memory *);
    int (*utilization)(void *, nvml_utilization *);
    int (*encoder_load)(void *, unsigned *, unsigned *);
    int (*encoder_stats)(void *, unsigned *, unsigned *, unsigned *);
};

/* `--query-gpu=fields` for the device: writes the CSV; returns an exit code. `format` is that of --format. */
int smi_query(const struct nvml *nvml, void *device, const char *fields, const char *format);

#endif
