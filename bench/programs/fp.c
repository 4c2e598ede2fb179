/* SPDX-License-Identifier: MIT */
/*
 * Floating point and vectors. Results are compared bit for bit between environments, so nothing here
 * may be contracted or reordered: no fused multiply-add, no fast math.
 */
#include <immintrin.h>
#include <math.h>
#include <string.h>

#include "ubench.h"

#define DIM 128

static float a[DIM][DIM], b[DIM][DIM], c[DIM][DIM];

static void prepare_matrix(void)
{
	for (int i = 0; i < DIM; i++)
		for (int j = 0; j < DIM; j++) {
			a[i][j] = (float)((i * 7 + j * 3) % 17) * 0.25f;
			b[i][j] = (float)((i * 5 + j * 11) % 13) * 0.5f;
		}
}

static u64 matrix_checksum(void)
{
	u64 sum = 0;

	for (int i = 0; i < DIM; i++)
		for (int j = 0; j < DIM; j++) {
			u32 bits;
			memcpy(&bits, &c[i][j], 4);
			sum = mix(sum, bits);
		}
	return sum;
}

static u64 run_mm_scalar(u64 n)
{
	while (n--)
		for (int i = 0; i < DIM; i++)
			for (int j = 0; j < DIM; j++) {
				float s = 0;
				for (int k = 0; k < DIM; k++)
					s += a[i][k] * b[k][j];
				c[i][j] = s;
			}
	return matrix_checksum();
}

static u64 run_mm_sse2(u64 n)
{
	while (n--)
		for (int i = 0; i < DIM; i++)
			for (int j = 0; j < DIM; j += 4) {
				__m128 s = _mm_setzero_ps();
				for (int k = 0; k < DIM; k++)
					s = _mm_add_ps(s, _mm_mul_ps(_mm_set1_ps(a[i][k]),
								  _mm_loadu_ps(&b[k][j])));
				_mm_storeu_ps(&c[i][j], s);
			}
	return matrix_checksum();
}

__attribute__((target("avx2"))) static void multiply_avx2(void)
{
	for (int i = 0; i < DIM; i++)
		for (int j = 0; j < DIM; j += 8) {
			__m256 s = _mm256_setzero_ps();
			for (int k = 0; k < DIM; k++)
				s = _mm256_add_ps(s, _mm256_mul_ps(_mm256_set1_ps(a[i][k]),
							     _mm256_loadu_ps(&b[k][j])));
			_mm256_storeu_ps(&c[i][j], s);
		}
}

static u64 run_mm_avx2(u64 n)
{
	while (n--)
		multiply_avx2();
	return matrix_checksum();
}

/* Five bodies under gravity, one step at a time, in the type given. */
#define NBODY(type, root, name)                                                                    \
	struct body_##name {                                                                       \
		type x, y, z, vx, vy, vz, m;                                                       \
	};                                                                                         \
	static u64 run_##name(u64 n)                                                               \
	{                                                                                          \
		struct body_##name s[5];                                                           \
		for (int i = 0; i < 5; i++)                                                        \
			s[i] = (struct body_##name){(type)(i * 3 + 1), (type)(i * i) / 4,          \
				(type)(7 - i), (type)i / 8, (type)(2 - i) / 16, (type)1 / (i + 2), \
				(type)(i + 1) / 2};                                                \
		for (u64 step = 0; step < n * 100; step++) {                                       \
			for (int i = 0; i < 5; i++)                                                \
				for (int j = i + 1; j < 5; j++) {                                  \
					type dx = s[i].x - s[j].x, dy = s[i].y - s[j].y,           \
					     dz = s[i].z - s[j].z;                                 \
					type d2 = dx * dx + dy * dy + dz * dz + (type)0.01;        \
					type mag = (type)0.001 / (d2 * root(d2));                  \
					s[i].vx -= dx * s[j].m * mag;                              \
					s[i].vy -= dy * s[j].m * mag;                              \
					s[i].vz -= dz * s[j].m * mag;                              \
					s[j].vx += dx * s[i].m * mag;                              \
					s[j].vy += dy * s[i].m * mag;                              \
					s[j].vz += dz * s[i].m * mag;                              \
				}                                                                  \
			for (int i = 0; i < 5; i++) {                                              \
				s[i].x += s[i].vx * (type)0.001;                                   \
				s[i].y += s[i].vy * (type)0.001;                                   \
				s[i].z += s[i].vz * (type)0.001;                                   \
			}                                                                          \
		}                                                                                  \
		double x = (double)s[0].x + (double)s[4].vz;                                       \
		u64 bits;                                                                          \
		memcpy(&bits, &x, 8);                                                              \
		return bits;                                                                       \
	}

NBODY(double, __builtin_sqrt, nbody)
NBODY(long double, __builtin_sqrtl, nbody_x87)

static u64 run_mandel(u64 n)
{
	u64 sum = 0;

	while (n--)
		for (int py = 0; py < 32; py++)
			for (int px = 0; px < 32; px++) {
				double cr = px / 16.0 - 1.5, ci = py / 16.0 - 1.0, x = 0, y = 0;
				int i = 0;
				for (; i < 100 && x * x + y * y < 4; i++) {
					double t = x * x - y * y + cr;
					y = 2 * x * y + ci;
					x = t;
				}
				sum += (u64)i;
			}
	return sum;
}

const struct workload fp_workloads[] = {
	{"mm_scalar", "fp", "128x128 float product, scalar SSE", run_mm_scalar, prepare_matrix, 2},
	{"mm_sse2", "fp", "128x128 float product, SSE", run_mm_sse2, prepare_matrix, 4},
	{"mm_avx2", "fp", "128x128 float product, AVX2", run_mm_avx2, prepare_matrix, 8, "avx2"},
	{"nbody", "fp", "100 steps of 5 bodies, double", run_nbody, NULL, 2},
	{"nbody_x87", "fp", "100 steps of 5 bodies, x87", run_nbody_x87, NULL, 2},
	{"mandel", "fp", "32x32 points, double", run_mandel},
	{0},
};
