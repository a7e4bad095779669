/* Prints the IPv4 addresses that the C library's resolver finds for a name; none: nothing. */
#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>

int main(int count, char **words)
{
	struct addrinfo hints, *found, *one;
	char text[INET_ADDRSTRLEN];

	if (count != 2) return 2;
	memset(&hints, 0, sizeof(hints));
	hints.ai_family = AF_UNSPEC;
	hints.ai_socktype = SOCK_STREAM;
	if (getaddrinfo(words[1], NULL, &hints, &found)) return 1;
	for (one = found; one; one = one->ai_next) {
		if (one->ai_family != AF_INET) continue;
		inet_ntop(AF_INET, &((struct sockaddr_in *)one->ai_addr)->sin_addr, text, sizeof(text));
		puts(text);
	}
	return 0;
}
