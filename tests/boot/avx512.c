/* SPDX-License-Identifier: MIT */
/*
 * For a guest: processes that keep values of their own in what AVX-512 adds to the registers, while others run on their
 * processor and signals come. Prints a line and ends with 0; 77 if the processor has none.
 */
#include <cpuid.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define PROCESSES 6
#define TURNS     3000

struct held {
	unsigned char zmm1[64], zmm20[64];
	unsigned long k3;
};

static int have_avx512(void)
{
	unsigned a, b = 0, c, d;

	return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b >> 16 & 1) && (b >> 30 & 1);
}

/* A handler that uses all of them. */
static void on_signal(int signo)
{
	__asm__ volatile("vpternlogd $0xff, %%zmm20, %%zmm20, %%zmm20\n\t"
			 "vpternlogd $0xff, %%zmm1, %%zmm1, %%zmm1\n\t"
			 "kxnorq %%k3, %%k3, %%k3"
			 :
			 :
			 : "xmm1", "memory");
}

/* Registers loaded, a system call, registers stored: nothing of the compiler's in between. */
static void through_call(struct held *h, long number, long first, long second)
{
	__asm__ volatile("vmovdqu64 %0, %%zmm1\n\tvmovdqu64 %1, %%zmm20\n\tkmovq %2, %%k3\n\t"
			 "syscall\n\t"
			 "vmovdqu64 %%zmm1, %0\n\tvmovdqu64 %%zmm20, %1\n\tkmovq %%k3, %2\n\t"
			 "vzeroupper"
			 : "+m"(h->zmm1), "+m"(h->zmm20), "+m"(h->k3), "+a"(number)
			 : "D"(first), "S"(second)
			 : "rcx", "r11", "memory", "xmm1");
}

static int one_process(int n)
{
	struct held own, h;

	memset(&own, n, sizeof(own));
	for (int turn = 0; turn < TURNS; turn++) {
		h = own;
		if (turn % 500)
			through_call(&h, SYS_sched_yield, 0, 0);
		else
			through_call(&h, SYS_kill, getpid(), SIGUSR1);
		if (memcmp(&h, &own, sizeof(h)))
			return 1;
	}
	return 0;
}

int main(void)
{
	struct sigaction sa = {.sa_handler = on_signal};
	int status, bad = 0;

	if (!have_avx512()) {
		puts("no AVX-512");
		return 77;
	}
	sigaction(SIGUSR1, &sa, NULL);
	for (int n = 1; n <= PROCESSES; n++)
		if (!fork())
			_exit(one_process(n));
	while (wait(&status) > 0)
		bad += status != 0;
	printf("%d of %d processes have lost something\n", bad, PROCESSES);
	return bad != 0;
}
