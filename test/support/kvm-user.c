/* A library that uses KVM, for a VMM that loads it by dlopen. */
#include <sys/ioctl.h>

int request(int fd, unsigned long number, void *argument)
{
	return ioctl(fd, number, argument);
}
