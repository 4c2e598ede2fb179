/* SPDX-License-Identifier: MIT */
/*
 * A partition from the open device to where its processors are made. The order is part of the test: host properties,
 * creation with masks that are 1 for what is not wanted, the one early property, initialisation, properties, memory,
 * interrupts.
 */
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>

#include "tests/mshv/vmm/acpi.h"
#include "tests/mshv/vmm/vmm.h"

/* What a guest should have of the hypervisor; what the hypervisor does not offer is taken away. */
#define WANTED_FEATURES 0x0020004006400ffbull

/* XSAVE features that nobody has asked for: all but those up to AVX2 and FMA, and compaction. */
#define UNWANTED_XSAVE 0xffffffffffffe7e0ull
#define BANK1_NESTED   BIT64(6)

long vmm_failed(const char *what, long r)
{
	fprintf(stderr, "mshv-vmm: %s: %s (hypervisor's status 0x%x)\n", what, strerror((int)-r),
		root_last.status);
	return r;
}

/* ---- the host ---- */

int vmm_open(struct vmm *vmm)
{
	long r;

	vmm->device = port_open();
	if (vmm->device < 0)
		return (int)vmm_failed("opening /dev/mshv", vmm->device);
	r = root_property_get(vmm->device, HV_PROPERTY_PROCESSOR_FEATURES0, &vmm->host_features[0]);
	if (r >= 0)
		r = root_property_get(
			vmm->device, HV_PROPERTY_PROCESSOR_FEATURES1, &vmm->host_features[1]);
	return r < 0 ? (int)vmm_failed("reading the host's processor features", r) : 0;
}

/* ---- the partition ---- */

static int create(struct vmm *vmm)
{
	const struct mshv_create_partition_v2 how = {
		.pt_flags = PT_FLAG(LAPIC) | PT_FLAG(X2APIC) | PT_FLAG(GPA_SUPER_PAGES) |
			    PT_FLAG(CPU_AND_XSAVE_FEATURES),
		.pt_isolation = MSHV_PT_ISOLATION_NONE,
		.pt_num_cpu_fbanks = MSHV_NUM_CPU_FEATURES_BANKS,
		.pt_cpu_fbanks = {~vmm->host_features[0], ~vmm->host_features[1] | BANK1_NESTED},
		.pt_disabled_xsave = UNWANTED_XSAVE,
	};

	vmm->partition = root_partition_create(vmm->device, &how);
	return vmm->partition;
}

static long early_properties(struct vmm *vmm)
{
	u64 offered;
	long r = root_property_get_mask(
		vmm->device, HV_PROPERTY_ASSIGNABLE_SYNTHETIC_PROC_FEATURES, &offered);

	if (r < 0)
		return r;
	vmm->synthetic = WANTED_FEATURES & offered;
	return root_property_set(
		vmm->partition, HV_PROPERTY_SYNTHETIC_PROC_FEATURES, vmm->synthetic);
}

/* Unknown MSRs are ignored, and time stands still until the machine starts. */
static long late_properties(struct vmm *vmm)
{
	long r = root_property_set(
		vmm->partition, HV_PROPERTY_UNIMPLEMENTED_MSR_ACTION, HV_MSR_ACTION_IGNORE);

	return r < 0 ? r : root_property_set(vmm->partition, HV_PROPERTY_TIME_FREEZE, 1);
}

/* What it looks at afterwards; the features must be those that were set. */
static long read_properties(struct vmm *vmm)
{
	static const u32 codes[] = {HV_PROPERTY_PROCESSOR_XSAVE_FEATURES,
		HV_PROPERTY_PROCESSOR_FEATURES0, HV_PROPERTY_PROCESSOR_FEATURES1,
		HV_PROPERTY_SYNTHETIC_PROC_FEATURES};
	u64 value = 0;
	long r = 0;

	for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(codes); i++)
		r = root_property_get(vmm->partition, codes[i], &value);
	if (r >= 0 && value != vmm->synthetic)
		fprintf(stderr, "mshv-vmm: features 0x%llx were set, 0x%llx are there\n",
			(unsigned long long)vmm->synthetic, (unsigned long long)value);
	if (r >= 0)
		r = root_property_get(vmm->partition, HV_PROPERTY_PROCESSOR_VENDOR, &vmm->vendor);
	return r;
}

int vmm_create_partition(struct vmm *vmm)
{
	long r = create(vmm);

	if (r < 0)
		return (int)vmm_failed("creating the partition", r);
	r = early_properties(vmm);
	if (r < 0)
		return (int)vmm_failed("setting the synthetic features", r);
	r = root_partition_initialize(vmm->partition);
	if (r < 0)
		return (int)vmm_failed("initialising the partition", r);
	r = late_properties(vmm);
	if (r < 0)
		return (int)vmm_failed("setting properties", r);
	r = read_properties(vmm);
	return r < 0 ? (int)vmm_failed("reading properties", r) : 0;
}

/* ---- memory ---- */

/*
 * In three regions: below the ACPI tables, those, which the guest may not write to, and above. Writes of the guest to
 * the tables come to us and are ignored.
 */
int vmm_map_memory(struct vmm *vmm)
{
	const u64 size = vmm->options.memory;
	const struct {
		u64 from, to;
		unsigned flags;
	} parts[] = {
		{0, GPA_ACPI, MAP_WX}, {GPA_ACPI, GPA_ACPI_END, MAP_X}, {GPA_HIGH, size, MAP_WX}};
	u8 *base = mmap(NULL, size, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	long r = base == MAP_FAILED ? -1 : 0;

	vmm->ram = (struct ram){.base = base, .size = size};
	for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(parts); i++)
		r = root_memory_map(vmm->partition, parts[i].from, parts[i].to - parts[i].from,
			base + parts[i].from, parts[i].flags);
	if (r >= 0) /* refused by some hypervisors, which is no harm */
		root_property_set(vmm->partition, HV_PROPERTY_PROCESSORS_PER_SOCKET, 1);
	return r < 0 ? (int)vmm_failed("mapping memory", r) : 0;
}

/* ---- devices ---- */

static void set_irq(void *opaque, unsigned irq, bool level)
{
	struct vmm *vmm = opaque;

	intr_set_line(&vmm->intr, irq, level);
}

static long add_doorbell(struct vmm *vmm)
{
	const struct mshv_user_ioeventfd bell = {.addr = DOORBELL_GPA, .fd = vmm->doorbell};

	return root_ioeventfd_set(vmm->partition, &bell);
}

int vmm_add_devices(struct vmm *vmm)
{
	struct failure f;
	long r;

	bus_init(&vmm->bus, set_irq, vmm);
	vmm->doorbell = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	r = intr_init(&vmm->intr, vmm->partition);
	if (r >= 0)
		r = intr_connect(&vmm->intr);
	if (r < 0)
		return (int)vmm_failed("connecting the IOAPIC", r);
	r = add_doorbell(vmm);
	if (r < 0)
		return (int)vmm_failed("adding a doorbell", r);
	if (devices_init(&vmm->devices, &vmm->bus, &f) < 0 ||
		intr_attach(&vmm->intr, &vmm->bus, &f) < 0) {
		fprintf(stderr, "mshv-vmm: %s\n", f.text);
		return -1;
	}
	return 0;
}
