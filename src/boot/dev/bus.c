/* SPDX-License-Identifier: MIT */
/* Two sorted tables of ranges, one for each space, searched by halves. */
#include <string.h>

#include "boot/dev/bus.h"

static const struct {
	const char *what;
	u64 last;
} spaces[BUS_SPACES] = {
	[BUS_PORTS] = {"I/O ports", 0xffff},
	[BUS_MMIO] = {"addresses", ~0ull},
};

/* How many ranges begin at or below the address: only the last of them can hold it. */
static unsigned begun(const struct bus_map *map, u64 address)
{
	unsigned low = 0, high = map->count;

	while (low < high) {
		const unsigned middle = (low + high) / 2;

		if (map->ranges[middle].first <= address)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static const struct bus_range *find(const struct bus_map *map, u64 address)
{
	const unsigned n = begun(map, address);

	return n && address <= map->ranges[n - 1].last ? &map->ranges[n - 1] : NULL;
}

void bus_init(struct bus *b, void (*set_irq)(void *opaque, unsigned irq, bool level), void *opaque)
{
	*b = (struct bus){.set_irq = set_irq, .opaque = opaque};
}

static int not_a_range(enum bus_space space, const struct bus_range *r, struct failure *f)
{
	return failure_set(f,
		"the device %s wants the %s 0x%llx to 0x%llx, which do not exist: this is a bug, "
		"please report it",
		r->device, spaces[space].what, (unsigned long long)r->first,
		(unsigned long long)r->last);
}

static int overlaps(enum bus_space space, const struct bus_range *r, const struct bus_range *other,
	struct failure *f)
{
	return failure_set(f,
		"the device %s wants the %s 0x%llx to 0x%llx, but %s has 0x%llx to 0x%llx: leave "
		"one of the two out",
		r->device, spaces[space].what, (unsigned long long)r->first,
		(unsigned long long)r->last, other->device, (unsigned long long)other->first,
		(unsigned long long)other->last);
}

int bus_attach(
	struct bus *b, enum bus_space space, const struct bus_range *range, struct failure *f)
{
	struct bus_map *map = &b->maps[space];
	const unsigned at = begun(map, range->first);
	struct bus_range *place = &map->ranges[at];

	if (range->first > range->last || range->last > spaces[space].last)
		return not_a_range(space, range, f);
	if (at && place[-1].last >= range->first)
		return overlaps(space, range, &place[-1], f);
	if (at < map->count && place->first <= range->last)
		return overlaps(space, range, place, f);
	if (map->count == BUS_RANGES)
		return failure_set(
			f, "the device %s is one too many: leave out another", range->device);
	memmove(place + 1, place, (map->count - at) * sizeof(*place));
	*place = *range;
	map->count++;
	return 0;
}

u64 bus_read(const struct bus *b, enum bus_space space, u64 address, unsigned size)
{
	const struct bus_range *r = find(&b->maps[space], address);
	const u64 value =
		r && r->ops->read ? r->ops->read(r->opaque, address - r->first, size) : BUS_ONES;

	return size < 8 ? value & ((1ull << size * 8) - 1) : value;
}

enum bus_event bus_write(
	const struct bus *b, enum bus_space space, u64 address, unsigned size, u64 value)
{
	const struct bus_range *r = find(&b->maps[space], address);

	return r && r->ops->write ? r->ops->write(r->opaque, address - r->first, size, value)
				  : BUS_NOTHING;
}

void bus_irq(const struct bus *b, unsigned irq, bool level)
{
	b->set_irq(b->opaque, irq, level);
}
