/* getaddrinfo of whatever libc this is linked with: the addresses of a name, one a line; the error when there is none. */
#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

int main(int argc, char **argv)
{
	struct addrinfo hints, *found = NULL, *one;
	char text[INET6_ADDRSTRLEN];
	int error;

	if (argc != 2)
		return 2;
	memset(&hints, 0, sizeof(hints));
	hints.ai_socktype = SOCK_STREAM;
	error = getaddrinfo(argv[1], NULL, &hints, &found);
	if (error != 0) {
		printf("%s\n", error == EAI_NONAME ? "no such name" : error == EAI_AGAIN ? "try again" : gai_strerror(error));
		return 0;
	}
	for (one = found; one != NULL; one = one->ai_next) {
		const void *address = one->ai_family == AF_INET6
			? (const void *)&((struct sockaddr_in6 *)(void *)one->ai_addr)->sin6_addr
			: (const void *)&((struct sockaddr_in *)(void *)one->ai_addr)->sin_addr;
		printf("%s\n", inet_ntop(one->ai_family, address, text, sizeof(text)));
	}
	freeaddrinfo(found);
	return 0;
}
