/* SPDX-License-Identifier: MIT */
/* uservisor boot: the options. */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "base/direct.h"
#include "boot/boot.h"
#include "cli/cli.h"

static const char help_text[] =
	"Usage: uservisor boot [--engine ENGINE] --kernel FILE [--initrd FILE]\n"
	"                      [--append STRING] [--memory SIZE] [--cpus N]\n"
	"\n"
	"Boots a Linux kernel with its serial console in this terminal.\n"
	"\n"
	"  --engine ENGINE  soft: the software engine; kvm: the kernel's /dev/kvm; auto (the\n"
	"                   default): kvm if it runs guests well, else soft; mshv: the software\n"
	"                   engine as /dev/mshv; mshv-kernel: the kernel's /dev/mshv\n"
	"  --kernel FILE    a bzImage, or an ELF vmlinux with a PVH entry\n"
	"  --initrd FILE    an initial RAM disk\n"
	"  --append STRING  kernel options, after \"console=ttyS0 panic=-1\"\n"
	"  --memory SIZE    size of the RAM, with K, M, G or T (default 512M)\n"
	"  --cpus N         number of processors (default 1)\n"
	"  --introspect TOOL\n"
	"                   let a tool introspect the guest, by the KVMI protocol. It listens at\n"
	"                   unix:PATH or vsock:PORT; `man uservisor` has the options that may\n"
	"                   follow\n"
	"\n"
	"Keys: Ctrl-A x quits, Ctrl-A Ctrl-A sends Ctrl-A.\n"
	"\n"
	"Exit status: 0: the guest powered off; 2: wrong options or files; 3: the guest's kernel\n"
	"panicked (a reset after \"Kernel panic\" on the console); 4: reset or triple fault;\n"
	"5: an error of this machine or of the engine; 130: Ctrl-A x; 128+N: signal N.\n";

enum {
	OPT_ENGINE = 256,
	OPT_KERNEL,
	OPT_INITRD,
	OPT_APPEND,
	OPT_MEMORY,
	OPT_CPUS,
	OPT_INTROSPECT,
	OPT_HELP
};

static const struct option options[] = {
	{"engine", required_argument, NULL, OPT_ENGINE},
	{"kernel", required_argument, NULL, OPT_KERNEL},
	{"initrd", required_argument, NULL, OPT_INITRD},
	{"append", required_argument, NULL, OPT_APPEND},
	{"memory", required_argument, NULL, OPT_MEMORY},
	{"cpus", required_argument, NULL, OPT_CPUS},
	{"introspect", required_argument, NULL, OPT_INTROSPECT},
	{"help", no_argument, NULL, OPT_HELP},
	{NULL, 0, NULL, 0},
};

static void say(const char *sentence)
{
	cli_say("boot", "%s", sentence);
}

static int wrong_value(const char *option, const char *value, const char *advice)
{
	cli_say("boot", "%s '%s' is not valid: %s", option, value, advice);
	return EXIT_USAGE;
}

static int wrong_option(int option, char **argv)
{
	const char *word = argv[optind - 1];

	if (option == ':')
		cli_say("boot", "%s needs a value: see `uservisor boot --help`", word);
	else
		cli_say("boot", "'%s' is not an option: see `uservisor boot --help`", word);
	return EXIT_USAGE;
}

static int take_option(int option, char **argv, struct boot_config *c, const char **ret_tool)
{
	switch (option) {
	case OPT_ENGINE:
		c->engine = optarg;
		if (!boot_knows_engine(optarg))
			return wrong_value("--engine", optarg, "give soft, kvm, mshv or auto");
		return 0;
	case OPT_KERNEL: c->kernel = optarg; return 0;
	case OPT_INITRD: c->initrd = optarg; return 0;
	case OPT_APPEND: c->append = optarg; return 0;
	case OPT_MEMORY:
		if (!cli_parse_size(optarg, &c->memory))
			return wrong_value("--memory", optarg, "give a size such as 512M or 2G");
		return 0;
	case OPT_CPUS:
		if (!cli_parse_count(optarg, &c->cpus))
			return wrong_value("--cpus", optarg, "give a number such as 2");
		return 0;
	case OPT_INTROSPECT: *ret_tool = optarg; return 0;
	default: return wrong_option(option, argv);
	}
}

/* The tool sees what our engine runs, and nothing else. */
static int take_tool(const char *tool, struct boot_config *c)
{
	if (!strcmp(c->engine, "auto"))
		c->engine = "soft";
	if (strcmp(c->engine, "soft") && strcmp(c->engine, "mshv")) {
		cli_say("boot",
			"--introspect needs the software engine: give --engine soft or mshv");
		return EXIT_USAGE;
	}
	return cli_introspect("boot", tool) ? EXIT_USAGE : 0;
}

int cli_boot(int argc, char **argv)
{
	struct boot_config config = {
		.engine = "auto", .memory = 512ull << 20, .cpus = 1, .say = say};
	const char *tool = NULL;
	int option, r;

	while ((option = getopt_long(argc, argv, ":", options, NULL)) != -1) {
		if (option == OPT_HELP)
			return fputs(help_text, stdout) < 0;
		r = take_option(option, argv, &config, &tool);
		if (r)
			return r;
	}
	if (optind < argc) {
		cli_say("boot",
			"'%s' is an argument without an option: see `uservisor boot --help`",
			argv[optind]);
		return EXIT_USAGE;
	}
	if (!config.kernel) {
		cli_say("boot", "there is no kernel to boot: give --kernel FILE");
		return EXIT_USAGE;
	}
	direct_allow();
	r = tool ? take_tool(tool, &config) : 0;
	return r ? r : boot_run(&config);
}
