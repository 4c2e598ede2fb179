/* SPDX-License-Identifier: MIT */
/* Memory that is a file without a name. */
#ifndef BASE_MEMFD_H
#define BASE_MEMFD_H

#include <sys/mman.h>

#include "base/types.h"

#ifndef MFD_EXEC
#define MFD_NOEXEC_SEAL 0x0008U
#define MFD_EXEC        0x0010U
#endif

/*
 * flag: MFD_EXEC or MFD_NOEXEC_SEAL, because vm.memfd_noexec may demand it or forbid the default; kernels before 6.3 do without. A
 * descriptor that is closed on exec, or -1 and errno.
 */
int memfd_open(const char *name, unsigned flag);
/* May it have this size? A file that becomes larger than the limit would be a signal. */
bool memfd_may_have(u64 size);

#endif
