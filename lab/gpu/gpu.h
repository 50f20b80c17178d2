/* The one GPU that the lab pretends: what it is, and whether its device nodes may be used. Facts in force are settings
 * (settings.h), these are their defaults: the seed's node. */
#ifndef MOCK_GPU_H
#define MOCK_GPU_H

#define GPU_NAME "Quadro P2000"
#define GPU_UUID "GPU-3b1f2c4d-5e6f-7a8b-9c0d-1e2f3a4b5c6d"
#define GPU_PCI "0000:01:00.0"
#define GPU_MEMORY_MIB 5120
#define GPU_MAJOR 195            /* nvidia-frontend: Linux's devices.txt */
#define CUDA_DRIVER_VERSION 12020 /* CUDA 12.2 belongs to the 535 branch */

/* Whether the node at `path` could be used: 0, else an errno: ENOENT not there or no character device, EPERM the device
 * cgroup forbids it, EACCES its mode or a nodev mount, ENXIO its major is not `major` (0: any).
 *
 * open() is the test although no driver answers: where everything is allowed and only the driver is missing, it fails
 * with ENXIO or ENODEV, which is as good as opened here. */
int gpu_node_error(const char *path, int major);

/* The 16 bytes of the GPU's UUID. */
void gpu_uuid_bytes(unsigned char bytes[16]);

/* How many NVENC sessions are open on the libnvidia-encode at `path`, over all processes and containers. */
int gpu_sessions(const char *path);

/* Takes a session slot on the library file at `path`: a descriptor to be closed when the session ends, -1 where `limit`
 * (0: none) is reached, -2 where the file cannot be opened. */
int gpu_session_open(const char *path, int limit);

#endif
