/* A libnvidia-ml.so with made-up GPUs: NVML's C interface as far as the agent uses it.
 *
 * Every value depends on the GPU and differs from all others, so that none can be mistaken for
 * another. The fake_ functions are how tests change the world. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <stdio.h>
#include <unistd.h>

#define MAX_GPUS 16
#define MAX_RULES 64
#define MAX_PROCESSES 256
#define OK 0
#define UNINITIALIZED 1
#define INVALID_ARGUMENT 2
#define INSUFFICIENT_SIZE 7
#define GPU_IS_LOST 15
#define MIB (1024ULL * 1024ULL)
#define NOT_AVAILABLE 0xFFFFFFFFFFFFFFFFULL

typedef unsigned long long u64;
typedef struct { int index; } device_t;
typedef struct { char function[64]; int gpu; int code; } rule_t;
typedef struct { unsigned pid; u64 used; unsigned gi, ci; } process_t;
typedef struct { int gpu; int graphics; process_t process; } listed_t;

static device_t devices[MAX_GPUS];
static int count = 1, count_from_environment = 1, initialized, init_code, init_calls;
static rule_t rules[MAX_RULES];
static int rule_count;
static listed_t listed[MAX_PROCESSES];
static int listed_count;
static u64 calls;
static unsigned throttle = 0x24;
static pthread_t caller;
static int callers;
static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;

void fake_reset(void) {
    count = 1; count_from_environment = 1; init_code = 0; rule_count = 0; listed_count = 0;
    calls = 0; callers = 0; throttle = 0x24; init_calls = 0; initialized = 0;
}
void fake_set_count(int n) { count = n; count_from_environment = 0; }
void fake_set_init(int code) { init_code = code; }
void fake_set_throttle(unsigned mask) { throttle = mask; }
/* function "*" means all that take a GPU; gpu -1 means all; the last rule that fits counts */
void fake_refuse(const char *function, int gpu, int code) {
    rule_t *rule = &rules[rule_count++ % MAX_RULES];
    snprintf(rule->function, sizeof rule->function, "%s", function);
    rule->gpu = gpu; rule->code = code;
}
void fake_add_process(int gpu, int graphics, unsigned pid, u64 used) {
    listed_t *one = &listed[listed_count++ % MAX_PROCESSES];
    one->gpu = gpu; one->graphics = graphics;
    one->process.pid = pid; one->process.used = used; one->process.gi = one->process.ci = 0xFFFFFFFF;
}
u64 fake_calls(void) { return calls; }
int fake_callers(void) { return callers; }
int fake_initialized(void) { return initialized; }
/* While the gate is shut, every call hangs, as calls into a broken driver do. */
void fake_shut_gate(void) { pthread_mutex_lock(&gate); }
void fake_open_gate(void) { pthread_mutex_unlock(&gate); }

static void called(void) {
    pthread_mutex_lock(&gate); pthread_mutex_unlock(&gate);
    calls++;
    if (!callers || !pthread_equal(caller, pthread_self())) { caller = pthread_self(); callers++; }
}
static int rule(const char *function, int gpu) {
    int code = OK, i;
    for (i = 0; i < rule_count && i < MAX_RULES; i++)
        if ((!strcmp(rules[i].function, function) || (gpu >= 0 && !strcmp(rules[i].function, "*")))
            && (rules[i].gpu < 0 || rules[i].gpu == gpu)) code = rules[i].code;
    return code;
}
static int enter(const char *function, device_t *device) {
    called();
    if (!initialized) return UNINITIALIZED;
    if (device && (device < devices || device >= devices + MAX_GPUS)) return INVALID_ARGUMENT;
    return rule(function, device ? device->index : -1);
}
#define ENTER(device) do { int code = enter(__func__, device); if (code) return code; } while (0)
#define I ((unsigned)device->index)

int nvmlInitWithFlags(unsigned flags) {
    const char *given = getenv("FAKE_NVML_GPUS");
    int i;
    (void)flags; called(); init_calls++;
    if (init_code) return init_code;
    for (i = 0; i < MAX_GPUS; i++) devices[i].index = i;
    if (given && count_from_environment) count = atoi(given);
    initialized++;
    return OK;
}
int nvmlShutdown(void) { called(); if (!initialized) return UNINITIALIZED; initialized--; return OK; }
int nvmlSystemGetDriverVersion(char *text, unsigned size) {
    ENTER(NULL); snprintf(text, size, "999.88.77"); return OK;
}
int nvmlDeviceGetCount_v2(unsigned *n) { ENTER(NULL); *n = (unsigned)count; return OK; }
int nvmlDeviceGetHandleByIndex_v2(unsigned index, device_t **device) {
    int code;
    if (index >= (unsigned)count) { called(); return INVALID_ARGUMENT; }
    code = enter(__func__, &devices[index]);
    if (code) return code;
    *device = &devices[index];
    return OK;
}
int nvmlDeviceGetUUID(device_t *device, char *text, unsigned size) {
    ENTER(device); snprintf(text, size, "GPU-00000000-0000-0000-0000-%012u", I); return OK;
}
int nvmlDeviceGetName(device_t *device, char *text, unsigned size) {
    ENTER(device); snprintf(text, size, "NVIDIA Fake %u", 3000 + I); return OK;
}
typedef struct {
    char legacy[16]; unsigned domain, bus, dev, id, subsystem; char bus_id[32];
} pci_t;
int nvmlDeviceGetPciInfo_v3(device_t *device, pci_t *pci) {
    ENTER(device); memset(pci, 0, sizeof *pci);
    snprintf(pci->bus_id, sizeof pci->bus_id, "00000000:%02X:00.0", 1 + I);
    return OK;
}
static u64 total(unsigned i) { return (24 + i) * 1024 * MIB; }
static u64 reserved(unsigned i) { return (300 + i) * MIB; }
static u64 used(unsigned i) { return (1000 + i) * MIB + 524289; }
typedef struct { unsigned version; u64 total, reserved, free, used; } memory2_t;
int nvmlDeviceGetMemoryInfo_v2(device_t *device, memory2_t *memory) {
    ENTER(device);
    if (memory->version != 0x02000028) return 25;
    memory->total = total(I); memory->reserved = reserved(I); memory->used = used(I);
    memory->free = total(I) - reserved(I) - used(I);
    return OK;
}
typedef struct { u64 total, free, used; } memory_t;
int nvmlDeviceGetMemoryInfo(device_t *device, memory_t *memory) {
    ENTER(device); memory->total = total(I); memory->used = used(I) + reserved(I);
    memory->free = memory->total - memory->used;
    return OK;
}
int nvmlDeviceGetUtilizationRates(device_t *device, unsigned rates[2]) {
    ENTER(device); rates[0] = 10 + I; rates[1] = 20 + I; return OK;
}
int nvmlDeviceGetTemperature(device_t *device, unsigned sensor, unsigned *degrees) {
    ENTER(device); if (sensor) return INVALID_ARGUMENT; *degrees = 40 + I; return OK;
}
int nvmlDeviceGetTemperatureThreshold(device_t *device, unsigned which, unsigned *degrees) {
    ENTER(device); if (which > 1) return INVALID_ARGUMENT;
    *degrees = (which ? 90 : 100) + I;
    return OK;
}
typedef struct {
    unsigned id, scope; long long timestamp, latency; unsigned type; int code;
    union { double d; unsigned ui; u64 ull; } value;
} field_t;
int nvmlDeviceGetFieldValues(device_t *device, int n, field_t *fields) {
    int i;
    ENTER(device);
    for (i = 0; i < n; i++) {
        fields[i].code = fields[i].id == 82 ? rule("memory temperature", device->index) : 3;
        fields[i].type = 1; fields[i].value.ui = 60 + I;
    }
    return OK;
}
int nvmlDeviceGetEncoderUtilization(device_t *device, unsigned *share, unsigned *period) {
    ENTER(device); *share = 30 + I; *period = 167000; return OK;
}
int nvmlDeviceGetDecoderUtilization(device_t *device, unsigned *share, unsigned *period) {
    ENTER(device); *share = 31 + I; *period = 167000; return OK;
}
int nvmlDeviceGetEncoderStats(device_t *device, unsigned *n, unsigned *fps, unsigned *latency) {
    ENTER(device); *n = 1 + I; *fps = 61 + I; *latency = 1500 + I; return OK;
}
int nvmlDeviceGetPowerUsage(device_t *device, unsigned *mw) {
    ENTER(device); *mw = 250123 + I; return OK;
}
int nvmlDeviceGetEnforcedPowerLimit(device_t *device, unsigned *mw) {
    ENTER(device); *mw = 350000 + 1000 * I; return OK;
}
int nvmlDeviceGetTotalEnergyConsumption(device_t *device, u64 *mj) {
    ENTER(device); *mj = 98765432109ULL + I; return OK;
}
int nvmlDeviceGetClockInfo(device_t *device, unsigned type, unsigned *mhz) {
    ENTER(device); *mhz = 1000 + 100 * type + I; return OK;
}
int nvmlDeviceGetMaxClockInfo(device_t *device, unsigned type, unsigned *mhz) {
    ENTER(device); *mhz = 2000 + 100 * type + I; return OK;
}
int nvmlDeviceGetNumFans(device_t *device, unsigned *n) { ENTER(device); *n = 2; return OK; }
int nvmlDeviceGetFanSpeed_v2(device_t *device, unsigned fan, unsigned *speed) {
    ENTER(device); if (fan > 1) return INVALID_ARGUMENT; *speed = 50 + 20 * fan + I; return OK;
}
int nvmlDeviceGetFanSpeed(device_t *device, unsigned *speed) {
    ENTER(device); *speed = 50 + I; return OK;
}
int nvmlDeviceGetPcieThroughput(device_t *device, unsigned counter, unsigned *kb) {
    ENTER(device); *kb = (counter ? 7000 : 5000) + I; return OK;
}
int nvmlDeviceGetPcieReplayCounter(device_t *device, unsigned *n) {
    ENTER(device); *n = 17 + I; return OK;
}
int nvmlDeviceGetCurrPcieLinkGeneration(device_t *device, unsigned *n) {
    ENTER(device); *n = 3; return OK;
}
int nvmlDeviceGetMaxPcieLinkGeneration(device_t *device, unsigned *n) {
    ENTER(device); *n = 5; return OK;
}
int nvmlDeviceGetCurrPcieLinkWidth(device_t *device, unsigned *n) { ENTER(device); *n = 8; return OK; }
int nvmlDeviceGetMaxPcieLinkWidth(device_t *device, unsigned *n) { ENTER(device); *n = 16; return OK; }
int nvmlDeviceGetEccMode(device_t *device, unsigned *now, unsigned *pending) {
    ENTER(device); *now = 1; *pending = 0; return OK;
}
int nvmlDeviceGetTotalEccErrors(device_t *device, unsigned type, unsigned counter, u64 *n) {
    ENTER(device); *n = 1000 + 100 * type + 10 * counter + I; return OK;
}
int nvmlDeviceGetCurrentClocksEventReasons(device_t *device, u64 *mask) {
    ENTER(device); *mask = throttle; return OK;
}
int nvmlDeviceGetCurrentClocksThrottleReasons(device_t *device, u64 *mask) {
    ENTER(device); *mask = throttle; return OK;
}
int nvmlDeviceGetPerformanceState(device_t *device, unsigned *state) {
    ENTER(device); *state = 2; return OK;
}
static int processes(device_t *device, int graphics, unsigned *n, process_t *found) {
    unsigned room = *n, i, have = 0;
    for (i = 0; i < (unsigned)listed_count && i < MAX_PROCESSES; i++)
        if (listed[i].gpu == device->index && listed[i].graphics == graphics) {
            if (found && have < room) found[have] = listed[i].process;
            have++;
        }
    *n = have;
    return have > room || (have && !found) ? INSUFFICIENT_SIZE : OK;
}
int nvmlDeviceGetComputeRunningProcesses_v3(device_t *device, unsigned *n, process_t *found) {
    ENTER(device); return processes(device, 0, n, found);
}
int nvmlDeviceGetGraphicsRunningProcesses_v3(device_t *device, unsigned *n, process_t *found) {
    ENTER(device); return processes(device, 1, n, found);
}
int nvmlDeviceGetRetiredPages(device_t *device, unsigned cause, unsigned *n, u64 *pages) {
    unsigned have = cause ? 1 : 3 + I, i;
    ENTER(device);
    if (!pages) { *n = have; return INSUFFICIENT_SIZE; }
    for (i = 0; i < have && i < *n; i++) pages[i] = i;
    *n = have;
    return OK;
}
int nvmlDeviceGetRemappedRows(device_t *device, unsigned *c, unsigned *u, unsigned *p, unsigned *f) {
    ENTER(device); *c = 4 + I; *u = 2; *p = 1; *f = 0; return OK;
}
int nvmlDeviceGetMigMode(device_t *device, unsigned *now, unsigned *pending) {
    ENTER(device); *now = 0; *pending = 0; return OK;
}
