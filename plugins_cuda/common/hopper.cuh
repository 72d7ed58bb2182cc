// What sm_90 adds: copies that run beside the threads, and barriers with which blocks wait for each other.
#pragma once

#include <cstdint>

namespace trtconv
{

__device__ inline uint32_t sharedAddress(void const* pointer)
{
    return static_cast<uint32_t>(__cvta_generic_to_shared(pointer));
}

// A barrier in shared memory: a phase ends when all arrivals and all announced bytes have come.
struct AsyncBarrier
{
    uint64_t state;

    __device__ void initialise(uint32_t numArrivals)
    {
        asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(sharedAddress(this)), "r"(numArrivals));
    }

    __device__ void arrive()
    {
        asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(sharedAddress(this)) : "memory");
    }

    __device__ void arriveAndExpect(uint32_t numBytes)
    {
        asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(sharedAddress(this)), "r"(numBytes)
            : "memory");
    }

    // Waits for the end of the phase whose number has this parity.
    __device__ void wait(uint32_t parity)
    {
        asm volatile("{\n"
                     ".reg .pred done;\n"
                     "again:\n"
                     "mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n"
                     "@!done bra again;\n"
                     "}\n" ::"r"(sharedAddress(this)),
            "r"(parity)
            : "memory");
    }
};

// Makes initialised barriers known to the copy engine.
__device__ inline void publishBarriers()
{
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}

// Copies into shared memory; `barrier` counts the bytes as come. Addresses and size are multiples of 16.
__device__ inline void copyAsync(void* target, void const* source, uint32_t numBytes, AsyncBarrier& barrier)
{
    asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(
                     sharedAddress(target)),
        "l"(__cvta_generic_to_global(source)), "r"(numBytes), "r"(sharedAddress(&barrier))
        : "memory");
}

// Brings bytes into the L2 cache. Address and size are multiples of 16.
__device__ inline void prefetchAsync(void const* source, uint32_t numBytes)
{
    asm volatile("cp.async.bulk.prefetch.L2.global [%0], %1;" ::"l"(__cvta_generic_to_global(source)), "r"(numBytes)
        : "memory");
}

// Stores 8 bytes in another block of the cluster, at the same place as here; its `barrier` counts their arrival.
__device__ inline void storeAsync(double* target, double value, AsyncBarrier& barrier, uint32_t block)
{
    asm volatile("{\n"
                 ".reg .b32 target, barrier;\n"
                 "mapa.shared::cluster.u32 target, %0, %3;\n"
                 "mapa.shared::cluster.u32 barrier, %1, %3;\n"
                 "st.async.shared::cluster.mbarrier::complete_tx::bytes.b64 [target], %2, [barrier];\n"
                 "}\n" ::"r"(sharedAddress(target)),
        "r"(sharedAddress(&barrier)), "l"(__double_as_longlong(value)), "r"(block)
        : "memory");
}

// Stores 16 bytes likewise, at a multiple of 16.
__device__ inline void storeAsync(double2* target, double2 value, AsyncBarrier& barrier, uint32_t block)
{
    asm volatile("{\n"
                 ".reg .b32 target, barrier;\n"
                 "mapa.shared::cluster.u32 target, %0, %4;\n"
                 "mapa.shared::cluster.u32 barrier, %1, %4;\n"
                 "st.async.shared::cluster.mbarrier::complete_tx::bytes.v2.b64 [target], {%2, %3}, [barrier];\n"
                 "}\n" ::"r"(sharedAddress(target)),
        "r"(sharedAddress(&barrier)), "l"(__double_as_longlong(value.x)), "l"(__double_as_longlong(value.y)), "r"(block)
        : "memory");
}

// Tells the cluster that this warp, all of which calls it, has begun and that its published barriers are ready. The
// arrival of cooperative_groups takes a microsecond, as it waits for all of device memory.
__device__ inline void arriveAtCluster()
{
    asm volatile("barrier.cluster.arrive.relaxed.aligned;" ::: "memory");
}

__device__ inline void waitForCluster()
{
    asm volatile("barrier.cluster.wait.aligned;" ::: "memory");
}

__device__ inline uint32_t loadAcquired(uint32_t const* address)
{
    uint32_t value = 0;
    asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(value) : "l"(address) : "memory");
    return value;
}

__device__ inline void addReleased(uint32_t* address, uint32_t value)
{
    asm volatile("red.release.gpu.global.add.u32 [%0], %1;" ::"l"(address), "r"(value) : "memory");
}

} // namespace trtconv
