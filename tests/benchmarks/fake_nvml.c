/* A stand-in for NVIDIA's management library with two GPUs, for tests of the ctypes calls. */
#include <string.h>

typedef struct { unsigned gpu, memory; } utilization_t;
typedef struct { unsigned long long total, free, used; } memory_t;
static int gpus[2];

int nvmlInit_v2(void) { return 0; }
int nvmlShutdown(void) { return 0; }
int nvmlDeviceGetCount_v2(unsigned *count) { *count = 2; return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **handle) {
    *handle = &gpus[index];
    return index < 2 ? 0 : 2;
}
static int wrong(void *handle) { return handle == &gpus[0] || handle == &gpus[1] ? 0 : 2; }
int nvmlDeviceGetName(void *h, char *name, unsigned length) {
    strncpy(name, "Fake GPU 9000", length);
    return wrong(h);
}
int nvmlDeviceGetUtilizationRates(void *h, utilization_t *u) { u->gpu = 73; u->memory = 21; return wrong(h); }
int nvmlDeviceGetMemoryInfo(void *h, memory_t *m) {
    m->total = 8ULL << 30; m->free = 6ULL << 30; m->used = 2ULL << 30;
    return wrong(h);
}
int nvmlDeviceGetTemperature(void *h, int sensor, unsigned *c) { *c = 61; return sensor ? 2 : wrong(h); }
/* The second is that of a laptop, which does not know its power. */
int nvmlDeviceGetPowerUsage(void *h, unsigned *mw) { *mw = 87500; return h == &gpus[1] ? 3 : wrong(h); }
/* Not supported, as on GPUs before Volta. */
int nvmlDeviceGetTotalEnergyConsumption(void *h, unsigned long long *mj) { *mj = 0; (void)h; return 3; }
int nvmlDeviceGetClockInfo(void *h, int which, unsigned *mhz) { *mhz = which == 1 ? 1410 : 5001; return wrong(h); }
int nvmlDeviceGetCurrentClocksThrottleReasons(void *h, unsigned long long *bits) { *bits = 0x21; return wrong(h); }
