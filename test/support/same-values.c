/* Preloaded: getrandom of every process that starts gives the same values, as a source that is seeded alike in each would. */
#include <stdint.h>
#include <string.h>
#include <sys/types.h>

ssize_t getrandom(void *to, size_t length, unsigned flags)
{
	static uint64_t count;
	size_t done, part;

	(void)flags;
	for (done = 0; done < length; done += part) {
		/* The finaliser of splitmix64: distinct values that pass for random ones. */
		uint64_t value = ++count * 0x9e3779b97f4a7c15;

		value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9;
		value = (value ^ value >> 27) * 0x94d049bb133111eb;
		value ^= value >> 31;
		part = length - done < sizeof(value) ? length - done : sizeof(value);
		memcpy((char *)to + done, &value, part);
	}
	return (ssize_t)length;
}
