/* Mock nvidia-smi: `--query-gpu=FIELD,... --format=csv[,noheader][,nounits]`. Names, units and layout are those of
 * nvidia-smi --help-query-gpu; the seed shows `Quadro P2000, 535.247.01, 5120 MiB`. The sentence for a missing --format
 * is from memory. */
#include <stdio.h>
#include <string.h>

#include "smi.h"

enum { TEXT_SIZE = 128, MAX_FIELDS = 32 };

typedef void (*write_field)(const struct nvml *nvml, void *device, char *text);

static void name(const struct nvml *nvml, void *device, char *text) {
    nvml->name(device, text, TEXT_SIZE);
}

static void uuid(const struct nvml *nvml, void *device, char *text) {
    nvml->uuid(device, text, TEXT_SIZE);
}

static void driver_version(const struct nvml *nvml, void *device, char *text) {
    (void)device;
    nvml->driver_version(text, TEXT_SIZE);
}

static void index_of(const struct nvml *nvml, void *device, char *text) {
    (void)nvml;
    (void)device;
    strcpy(text, "0");
}

static void count(const struct nvml *nvml, void *device, char *text) {
    unsigned devices = 0;
    (void)device;
    nvml->count(&devices);
    snprintf(text, TEXT_SIZE, "%u", devices);
}

static void bus_id(const struct nvml *nvml, void *device, char *text) {
    nvml_pci pci = {0};
    nvml->pci(device, &pci);
    snprintf(text, TEXT_SIZE, "%s", pci.bus_id);
}

static void mebibytes(unsigned long long bytes, char *text) {
    snprintf(text, TEXT_SIZE, "%llu", bytes >> 20);
}

static nvml_memory memory_of(const struct nvml *nvml, void *device) {
    nvml_memory memory = {0};
    nvml->memory(device, &memory);
    return memory;
}

static void memory_total(const struct nvml *nvml, void *device, char *text) {
    mebibytes(memory_of(nvml, device).total, text);
}

static void memory_used(const struct nvml *nvml, void *device, char *text) {
    mebibytes(memory_of(nvml, device).used, text);
}

static void memory_free(const struct nvml *nvml, void *device, char *text) {
    mebibytes(memory_of(nvml, device).free, text);
}

static void gpu_load(const struct nvml *nvml, void *device, char *text) {
    nvml_utilization load = {0};
    nvml->utilization(device, &load);
    snprintf(text, TEXT_SIZE, "%u", load.gpu);
}

static void memory_load(const struct nvml *nvml, void *device, char *text) {
    nvml_utilization load = {0};
    nvml->utilization(device, &load);
    snprintf(text, TEXT_SIZE, "%u", load.memory);
}

static void encoder_load(const struct nvml *nvml, void *device, char *text) {
    unsigned percent = 0, period = 0;
    nvml->encoder_load(device, &percent, &period);
    snprintf(text, TEXT_SIZE, "%u", percent);
}

static void encoder_number(const struct nvml *nvml, void *device, char *text, int which) {
    unsigned numbers[3] = {0};
    nvml->encoder_stats(device, &numbers[0], &numbers[1], &numbers[2]);
    snprintf(text, TEXT_SIZE, "%u", numbers[which]);
}

static void encoder_sessions(const struct nvml *nvml, void *device, char *text) {
    encoder_number(nvml, device, text, 0);
}

static void encoder_fps(const struct nvml *nvml, void *device, char *text) {
    encoder_number(nvml, device, text, 1);
}

static void encoder_latency(const struct nvml *nvml, void *device, char *text) {
    encoder_number(nvml, device, text, 2);
}

static const struct field {
    const char *name, *also, *unit;
    write_field write;
} fields[] = {
    {"name", "gpu_name", "", name},
    {"uuid", "gpu_uuid", "", uuid},
    {"index", NULL, "", index_of},
    {"count", NULL, "", count},
    {"driver_version", NULL, "", driver_version},
    {"pci.bus_id", "gpu_bus_id", "", bus_id},
    {"memory.total", NULL, "MiB", memory_total},
    {"memory.used", NULL, "MiB", memory_used},
    {"memory.free", NULL, "MiB", memory_free},
    {"utilization.gpu", NULL, "%", gpu_load},
    {"utilization.memory", NULL, "%", memory_load},
    {"utilization.encoder", NULL, "%", encoder_load},
    {"encoder.stats.sessionCount", NULL, "", encoder_sessions},
    {"encoder.stats.averageFps", NULL, "", encoder_fps},
    {"encoder.stats.averageLatency", NULL, "", encoder_latency},
};

static const struct field *field_named(const char *asked) {
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        if (!strcmp(asked, fields[i].name) || (fields[i].also && !strcmp(asked, fields[i].also)))
            return &fields[i];
    return NULL;
}

/* Whether a comma-separated list has `word`. */
static int has_word(const char *list, const char *word) {
    size_t length = strlen(word);
    for (const char *at = list; at && *at; at = strchr(at, ','), at = at ? at + 1 : NULL)
        if (!strncmp(at, word, length) && (at[length] == ',' || !at[length]))
            return 1;
    return 0;
}

static void print_header(const struct field **asked, char *const *names, int fields_asked, int units) {
    for (int i = 0; i < fields_asked; i++) {
        printf("%s%s", i ? ", " : "", names[i]);
        if (units && *asked[i]->unit)
            printf(" [%s]", asked[i]->unit);
    }
    printf("\n");
}

static void print_row(const struct nvml *nvml, void *device, const struct field **asked, int fields_asked, int units) {
    for (int i = 0; i < fields_asked; i++) {
        char text[TEXT_SIZE] = "[N/A]";
        asked[i]->write(nvml, device, text);
        printf("%s%s", i ? ", " : "", text);
        if (units && *asked[i]->unit)
            printf(" %s", asked[i]->unit);
    }
    printf("\n");
}

int smi_query(const struct nvml *nvml, void *device, const char *query, const char *format) {
    char names[1024], *parts[MAX_FIELDS], *rest = NULL;
    const struct field *asked[MAX_FIELDS];
    int fields_asked = 0;
    if (!format || !has_word(format, "csv")) {
        printf("\"--format=\" switch is missing. Please check --help or nvidia-smi documentation.\n");
        return SMI_INVALID_ARGUMENT;
    }
    snprintf(names, sizeof names, "%s", query);
    for (char *part = strtok_r(names, ", ", &rest); part && fields_asked < MAX_FIELDS; part = strtok_r(NULL, ", ", &rest)) {
        asked[fields_asked] = field_named(part);
        if (!asked[fields_asked]) {
            printf("Field \"%s\" is not a valid field to query.\n\n", part);
            return SMI_INVALID_ARGUMENT;
        }
        parts[fields_asked++] = part;
    }
    int units = !has_word(format, "nounits");
    if (!has_word(format, "noheader"))
        print_header(asked, parts, fields_asked, units);
    print_row(nvml, device, asked, fields_asked, units);
    return SMI_OK;
}
