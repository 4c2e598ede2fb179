/* SPDX-License-Identifier: MIT */
/* uservisor inspect: the options and the commands. */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/inspect/inspect.h"

static const char help_text[] =
	"Usage: uservisor inspect [OPTION]... ADDRESS COMMAND [ARGUMENT]...\n"
	"\n"
	"Looks into a running VM, or watches its guest, through KVMI. It listens at ADDRESS\n"
	"(unix:PATH, a path that begins with / or ., or vsock:PORT), where the VM connects:\n"
	"`uservisor boot --introspect ADDRESS` starts one that does. At the end the guest goes "
	"on.\n"
	"\n"
	"Commands:\n"
	"  info                    the VM, its vCPUs, and what it permits\n"
	"  regs [VCPU]             registers\n"
	"  read PLACE LENGTH       memory in hexadecimal, or into a file with --output\n"
	"  write PLACE HEX...      bytes into memory, or a file's with --input\n"
	"  dump FILE               all memory and registers as an ELF core file; --raw: memory "
	"only;\n"
	"                          --pause: stop the guest meanwhile\n"
	"  translate GVA           the physical address\n"
	"  watch PLACE [rwx]       accesses to a page (default rw)\n"
	"  break PLACE             when the guest comes to this instruction\n"
	"  trace KIND...           cr0, cr3, cr4, msr, exceptions (breakpoints and injected ones:\n"
	"                          KVMI has no others), hypercalls, descriptors, xsetbv, cpuid\n"
	"  step N                  the next N instructions of a vCPU\n"
	"  pause                   stops the guest until Ctrl-C, `resume`, or for --seconds\n"
	"  resume                  ends the `pause` at ADDRESS\n"
	"A PLACE is a number, behind gpa: if physical or gva: if virtual. Without either it is\n"
	"virtual for break and translate, and physical otherwise.\n"
	"\n"
	"  --json             each line is a JSON object\n"
	"  --vcpu N           this vCPU only (default: all; for addresses, 0)\n"
	"  --count N          end after N lines of watch, break or trace\n"
	"  --msr N            trace this MSR; may be repeated (default: those of system calls)\n"
	"  --value N          trace only writes of this value to control registers and MSRs\n"
	"  --length N         watch these bytes only, by the address of the access\n"
	"  --output FILE, --input FILE, --raw, --pause, --seconds N, --max-gpa N: see the "
	"commands\n"
	"  --dialect v5|v6    of the protocol (default v6, that of today's tools)\n"
	"  --wait N           seconds until a VM must have connected (default 30)\n"
	"  --timeout N        seconds for an answer (default 15)\n"
	"  --cookie-file FILE the secret that the VM expects\n"
	"\n"
	"Exit status: 0: done; 1: an error; 2: wrong options; 130: a signal before a VM "
	"connected.\n";

static const struct inspect_command {
	const char *name;
	int (*run)(struct inspect *in);
	int least, most; /* arguments */
	const char *form;
} commands[] = {
	{"info", inspect_info, 0, 0, "info"},
	{"regs", inspect_regs, 0, 1, "regs [VCPU]"},
	{"read", inspect_read, 2, 2, "read PLACE LENGTH"},
	{"write", inspect_write, 1, 1000, "write PLACE HEX..."},
	{"dump", inspect_dump, 1, 1, "dump FILE"},
	{"translate", inspect_translate, 1, 1, "translate GVA"},
	{"watch", inspect_watch, 1, 2, "watch PLACE [rwx]"},
	{"break", inspect_break, 1, 1, "break PLACE"},
	{"trace", inspect_trace, 1, 16, "trace KIND..."},
	{"step", inspect_step, 1, 1, "step N"},
	{"pause", inspect_pause, 0, 0, "pause"},
	{"resume", inspect_resume, 0, 0, "resume"},
};

enum {
	OPT_JSON = 256,
	OPT_VCPU,
	OPT_COUNT,
	OPT_MSR,
	OPT_VALUE,
	OPT_LENGTH,
	OPT_OUTPUT,
	OPT_INPUT,
	OPT_RAW,
	OPT_PAUSE,
	OPT_SECONDS,
	OPT_MAX_GPA,
	OPT_DIALECT,
	OPT_WAIT,
	OPT_TIMEOUT,
	OPT_COOKIE_FILE,
	OPT_HELP,
};

static const struct option options[] = {
	{"json", no_argument, NULL, OPT_JSON},
	{"vcpu", required_argument, NULL, OPT_VCPU},
	{"count", required_argument, NULL, OPT_COUNT},
	{"msr", required_argument, NULL, OPT_MSR},
	{"value", required_argument, NULL, OPT_VALUE},
	{"length", required_argument, NULL, OPT_LENGTH},
	{"output", required_argument, NULL, OPT_OUTPUT},
	{"input", required_argument, NULL, OPT_INPUT},
	{"raw", no_argument, NULL, OPT_RAW},
	{"pause", no_argument, NULL, OPT_PAUSE},
	{"seconds", required_argument, NULL, OPT_SECONDS},
	{"max-gpa", required_argument, NULL, OPT_MAX_GPA},
	{"dialect", required_argument, NULL, OPT_DIALECT},
	{"wait", required_argument, NULL, OPT_WAIT},
	{"timeout", required_argument, NULL, OPT_TIMEOUT},
	{"cookie-file", required_argument, NULL, OPT_COOKIE_FILE},
	{"help", no_argument, NULL, OPT_HELP},
	{NULL, 0, NULL, 0},
};

/* A number with an upper bound that an int of milliseconds, or the protocol, sets. */
static int take_small(const char *option, unsigned most, unsigned *ret)
{
	u64 value;

	if (!inspect_number(optarg, &value) || value > most)
		return inspect_usage(
			"%s '%s' is not valid: give a number up to %u", option, optarg, most);
	*ret = (unsigned)value;
	return 0;
}

static int take_number(const char *option, u64 *ret)
{
	if (!inspect_number(optarg, ret))
		return inspect_usage(
			"%s '%s' is not valid: give a number such as 10 or 0xa", option, optarg);
	return 0;
}

static int take_msr(struct inspect *in)
{
	if (in->n_msrs == INSPECT_MSRS)
		return inspect_usage("--msr can be given %d times only", INSPECT_MSRS);
	return take_small("--msr", UINT32_MAX, &in->msrs[in->n_msrs++]);
}

static int take_dialect(struct inspect *in)
{
	const bool v5 = !strcmp(optarg, "v5");

	if (!v5 && strcmp(optarg, "v6"))
		return inspect_usage("--dialect '%s' is not valid: give v5 or v6", optarg);
	in->dialect = v5 ? UVMI_V5 : UVMI_V6;
	return 0;
}

static int wrong_option(int option, char **argv)
{
	const char *word = argv[optind - 1];

	if (option == ':')
		return inspect_usage("%s needs a value: see `uservisor inspect --help`", word);
	return inspect_usage("'%s' is not an option: see `uservisor inspect --help`", word);
}

static int take_inspect_option(int option, char **argv, struct inspect *in)
{
	switch (option) {
	case OPT_JSON: in->json = true; return 0;
	case OPT_RAW: in->raw = true; return 0;
	case OPT_PAUSE: in->pause = true; return 0;
	case OPT_VCPU: return take_small("--vcpu", UINT16_MAX, &in->vcpu);
	case OPT_COUNT: return take_number("--count", &in->count);
	case OPT_MSR: return take_msr(in);
	case OPT_VALUE: in->has_value = true; return take_number("--value", &in->value);
	case OPT_LENGTH: return take_number("--length", &in->length);
	case OPT_OUTPUT: in->output = optarg; return 0;
	case OPT_INPUT: in->input = optarg; return 0;
	case OPT_SECONDS: return take_small("--seconds", 1000000, &in->seconds);
	case OPT_MAX_GPA: return take_number("--max-gpa", &in->max_gpa);
	case OPT_DIALECT: return take_dialect(in);
	case OPT_WAIT: return take_small("--wait", 1000000, &in->wait_s);
	case OPT_TIMEOUT: return take_small("--timeout", 1000000, &in->timeout_s);
	case OPT_COOKIE_FILE: in->cookie_file = optarg; return 0;
	default: return wrong_option(option, argv);
	}
}

static const struct inspect_command *find(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		if (!strcmp(commands[i].name, name))
			return &commands[i];
	return NULL;
}

static int run(struct inspect *in, const struct inspect_command *command)
{
	int status;

	if (command->run == inspect_resume)
		return inspect_resume(in);
	status = inspect_connect(in);
	if (!status)
		status = command->run(in);
	inspect_disconnect(in);
	return status;
}

static int take_words(struct inspect *in, int argc, char **argv)
{
	const struct inspect_command *command;

	if (argc < 2)
		return inspect_usage("give an address and a command, for example `uservisor "
				     "inspect ./vm.sock info`");
	in->address = argv[0];
	command = find(argv[1]);
	if (!command)
		return inspect_usage(
			"'%s' is not a command: see `uservisor inspect --help`", argv[1]);
	in->args = argv + 2;
	in->n_args = argc - 2;
	if (in->n_args < command->least || in->n_args > command->most)
		return inspect_usage(
			"wrong number of arguments: the command is `%s`", command->form);
	return run(in, command);
}

int cli_inspect(int argc, char **argv)
{
	struct inspect in = {.wait_s = 30, .timeout_s = 15, .vcpu = ALL_VCPUS, .signals = -1};
	int option, r;

	while ((option = getopt_long(argc, argv, ":", options, NULL)) != -1) {
		if (option == OPT_HELP)
			return fputs(help_text, stdout) < 0;
		r = take_inspect_option(option, argv, &in);
		if (r)
			return r;
	}
	return take_words(&in, argc - optind, argv + optind);
}
