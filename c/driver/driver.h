/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* commonhv.ko: the two halves of the driver: the hypervisor's offer (main.c) and the generation (generation.c). */
#ifndef COMMONHV_DRIVER_H
#define COMMONHV_DRIVER_H

#include <linux/device.h>
#include <linux/platform_device.h>
#include <linux/types.h>
#include "commonhv.h"

/* 512 bits: twice the size of a key of the kernel's generator. */
#define COMMONHV_VALUES 8

extern struct commonhv commonhv_offer;

/* One MSR on the current CPU: CommonHV's are the same on every vCPU. 0, or a negative error number where it raises #GP. */
int commonhv_rdmsr(u32 index, u64 *value);
int commonhv_wrmsr(u32 index, u64 value);
/* Fills COMMONHV_VALUES random values, or fails and wipes them where the RNG faults or its values repeat. */
int commonhv_read_values(u64 *values);

/* The generation. `generation_probe` registers page and devices until `dev` is unbound. */
int generation_probe(struct device *dev);
void generation_shutdown(struct platform_device *pdev);
int generation_read(u64 *now);
u64 generation_reseeded(void);
bool generation_page_registered(void);
extern const struct dev_pm_ops generation_pm_ops;

/* With vmgenid=1: an ACPI table for the kernel's own vmgenid driver; the event has it run the kernel's fork notifiers. */
void vmgenid_probe(void);
void vmgenid_event(void);

#endif
