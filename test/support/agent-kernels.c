/* Prints the agent's answer about forced reseeds for kernels that are not here. */
#include "kernel.h"

static void print(const char *text)
{
	call(__NR_write, 1, (long)text, length_of(text), 0, 0);
}

static int program(int argc, char **argv, char **environment)
{
	static const struct { const char *release, *credit; int bits; } kernels[] = {
		{"3.16.0", "512", 512}, {"4.8.0", "512", 512}, {"4.13.16-1", "512", 512}, {"4.14.0", "127", 127}, {"4.14.0", "128", 128},
		{"5.10.0-30-amd64", "0", 0}, {"5.10.0-30-amd64", "512", 512}, {"5.18.0", "0", 0}, {"6.12.1+deb13", "0", 0},
		{"odd", "0", 0},
	};
	(void)argc, (void)argv, (void)environment, (void)running_kernel, (void)mix;
	for (unsigned i = 0; i < sizeof kernels / sizeof *kernels; i++) {
		const char *why = no_reseed(kernel_version(kernels[i].release), kernels[i].bits);
		print(kernels[i].release), print(" "), print(kernels[i].credit), print(": ");
		print(why ? why : "reseeds"), print("\n");
	}
	return 0;
}
