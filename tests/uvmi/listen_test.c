/* SPDX-License-Identifier: MIT */
/* Listening, greetings and cookies. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "rig.h"

static char folder[] = "/tmp/uvmi-test-XXXXXX", path[64];

static int setup(void **state)
{
	if (!mkdtemp(folder))
		return -1;
	snprintf(path, sizeof(path), "%s/vm.sock", folder);
	return 0;
}

static int teardown(void **state)
{
	return rmdir(folder);
}

static int dial(void)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	const int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	strcpy(a.sun_path, path);
	assert_return_code(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	return fd;
}

static void addresses(void **state)
{
	static const char *const wrong[] = {"", "x", "tmp/x", "unix:", "vsock:", "vsock:x",
		"vsock:-1", "vsock:1x", "vsock:4294967295", "vsock:99999999999999999999", "tcp:1"};
	char longest[300] = "/";
	struct uvmi_listener *l = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
		assert_int_equal(uvmi_listen(wrong[i], &l), -EINVAL);
	memset(longest + 1, 'x', 200);
	assert_int_equal(uvmi_listen(longest, &l), -ENAMETOOLONG);
	assert_int_equal(uvmi_listen("/nonexistent/x", &l), -ENOENT);
	assert_int_equal(uvmi_listen(folder, &l), -EEXIST);
	assert_null(l);
	uvmi_listener_close(NULL);
	uvmi_close(NULL);
}

static void files(void **state)
{
	struct uvmi_listener *l, *second = NULL;
	char address[80];
	struct stat st;
	FILE *f;

	snprintf(address, sizeof(address), "unix:%s", path);
	assert_int_equal(uvmi_listen(address, &l), 0);
	assert_return_code(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(uvmi_listen(path, &second), -EADDRINUSE);
	assert_int_equal(close(uvmi_listener_fd(l)), 0); /* as if its process had been killed */
	assert_int_equal(uvmi_listen(path, &second), 0);
	uvmi_listener_close(second);
	assert_int_equal(stat(path, &st), -1);
	f = fopen(path, "w");
	assert_non_null(f);
	fclose(f);
	assert_int_equal(uvmi_listen(path, &second), -EEXIST);
	assert_return_code(stat(path, &st), 0);
	unlink(path);
	free(l);
}

static void *connect_and_serve(void *mock)
{
	const int fd = dial();

	mock_serve(mock, fd);
	close(fd);
	return NULL;
}

static void accepts(void **state)
{
	const struct uvmi_options o = {.dialect = DIALECT, .timeout_ms = 5000};
	struct uvmi_listener *l;
	struct uvmi *s;
	struct mock m;
	pthread_t thread;

	assert_int_equal(uvmi_listen(path, &l), 0);
	assert_int_equal(uvmi_accept(l, &o, 1, &s), -ETIMEDOUT);
	mock_init(&m, &(struct mock_config){.v5 = V5, .name = "a VM", .vcpus = 1});
	for (int i = 0; i < 3; i++) { /* it comes again */
		pthread_create(&thread, NULL, connect_and_serve, &m);
		assert_int_equal(uvmi_accept(l, &o, 5000, &s), 0);
		assert_string_equal(uvmi_vm(s)->name, "a VM");
		assert_int_equal(uvmi_vm(s)->start_time, 1543622400);
		assert_int_equal(uvmi_vm(s)->uuid[1], 0x11);
		assert_int_equal(uvmi_vm(s)->max_gpa, 0);
		assert_int_equal(uvmi_get_dialect(s), DIALECT);
		uvmi_close(s);
		pthread_join(thread, NULL);
	}
	mock_free(&m);
	uvmi_listener_close(l);
}

/* The other dialect's VM does not know the first command. */
static void wrong_dialect(void **state)
{
	const struct uvmi_options o = {.dialect = DIALECT, .timeout_ms = 5000};
	struct uvmi_listener *l;
	struct uvmi *s;
	struct mock m;
	pthread_t thread;

	assert_int_equal(uvmi_listen(path, &l), 0);
	mock_init(&m, &(struct mock_config){.v5 = !V5, .vcpus = 1});
	pthread_create(&thread, NULL, connect_and_serve, &m);
	assert_int_equal(uvmi_accept(l, &o, 5000, &s), -ENOSYS);
	pthread_join(thread, NULL);
	mock_free(&m);
	uvmi_listener_close(l);
}

/* sha1sum of "abc" (FIPS 180's example), of nothing, and of lengths about the end of a block */
static void cookies(void **state)
{
	static const struct {
		const char *cookie, *hash;
	} cases[] = {
		{"abc", "a9993e364706816aba3e25717850c26c9cd0d89d"},
		{"", "da39a3ee5e6b4b0d3255bfef95601890afd80709"},
		{"0123456789012345678901234567890123456789012345678901234",
			"9f3a4ce7f66b1b74c34da2c5d732c39f81e0f8df"},
		{"01234567890123456789012345678901234567890123456789012345",
			"0a40b8fbdaafb7c29651618ac15d27e772287130"},
		{"0123456789012345678901234567890123456789012345678901234567890123",
			"cf0800f7644ace3cb4c3fa33388d3ba0ea3c8b6e"},
		{"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
			"84983e441c3bd26ebaae4aa1f95129e5e54670f1"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct uvmi_options o = {.dialect = DIALECT,
			.timeout_ms = 50,
			.cookie = cases[i].cookie,
			.cookie_size = strlen(cases[i].cookie)};
		struct kvmi_introspector2qemu answer;
		u8 hash[64];
		struct uvmi *s;
		int fds[2];

		assert_return_code(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
		wire_greeting(fds[0]);
		assert_int_equal(uvmi_adopt(fds[1], &o, &s), -ETIMEDOUT);
		assert_int_equal(recv(fds[0], &answer, sizeof(answer), 0), sizeof(answer));
		assert_int_equal(answer.struct_size, 24);
		assert_int_equal(wire_bytes(cases[i].hash, hash), 20);
		assert_memory_equal(answer.cookie_hash, hash, 20);
		close(fds[0]);
		close(fds[1]);
	}
}

static void wrong_cookie(void **state)
{
	const u8 hash[20] = {1};
	const struct uvmi_options o = {
		.dialect = DIALECT, .timeout_ms = 5000, .cookie = "abc", .cookie_size = 3};
	struct uvmi_listener *l;
	struct uvmi *s;
	struct mock m;
	pthread_t thread;

	assert_int_equal(uvmi_listen(path, &l), 0);
	mock_init(&m, &(struct mock_config){.v5 = V5, .vcpus = 1, .cookie_hash = hash});
	pthread_create(&thread, NULL, connect_and_serve, &m);
	assert_int_equal(uvmi_accept(l, &o, 5000, &s), -EACCES);
	pthread_join(thread, NULL);
	mock_free(&m);
	uvmi_listener_close(l);
}

/* A VM may say more than is known, within bounds, or less. */
static void greetings(void **state)
{
	const u32 sizes[] = {31, 32, 95, 96, 104, 65536, 65537, 0, 4, 0xffffffff};
	static u8 all[70000];

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		const struct uvmi_options o = {.dialect = DIALECT, .timeout_ms = 50};
		const bool good = sizes[i] >= 32 && sizes[i] <= 65536;
		struct kvmi_qemu2introspector g = {.struct_size = sizes[i]};
		const u32 version[4] = {1};
		struct wire w = {.v5 = V5};
		struct uvmi *s;
		int fds[2];

		memset(g.name, 'n', sizeof(g.name)); /* without an end */
		memcpy(all, &g, sizeof(g));
		memcpy(all + sizeof(g), "\x00\x10\0\0\0\0\0", 8);
		assert_return_code(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
		w.fd = fds[0];
		wire_put(w.fd, all,
			MIN(sizes[i], sizeof(all) / 4 * 4) < 4 ? 4
							       : MIN(sizes[i], (u32)sizeof(all)));
		wire_answer(&w, V5 ? KVMI_GET_VERSION : KVMI_V6_GET_VERSION, 0, version,
			sizeof(version));
		assert_int_equal(uvmi_adopt(fds[1], &o, &s), good ? 0 : -EPROTO);
		if (good) {
			assert_int_equal(strlen(uvmi_vm(s)->name), MIN(sizes[i] - 32, 63u));
			assert_int_equal(uvmi_vm(s)->max_gpa, sizes[i] >= 104 ? 0x1000 : 0);
			uvmi_close(s);
		} else
			close(fds[1]);
		close(fds[0]);
	}
}

static void not_a_socket(void **state)
{
	struct uvmi *s;
	int fds[2];

	assert_return_code(pipe(fds), 0);
	assert_int_equal(uvmi_adopt(fds[0], NULL, &s), -ENOTSOCK);
	assert_int_equal(
		uvmi_adopt(fds[0], &(struct uvmi_options){.dialect = (enum uvmi_dialect)7}, &s),
		-EINVAL);
	close(fds[0]);
	close(fds[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ONLY_V6(addresses),
		ONLY_V6(files),
		BOTH(accepts),
		BOTH(wrong_dialect),
		ONLY_V6(cookies),
		BOTH(wrong_cookie),
		BOTH(greetings),
		ONLY_V6(not_a_socket),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
