/*
 * For each name: asks the C library's resolver, and connects at once to what it says.
 *
 *     connect PATH NAME...    prints "NAME STATUS", "NAME unresolved", or "NAME lost ERRNO"
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

/* It only ends a hang. */
static const struct timeval PATIENCE = { .tv_sec = 60 };

static int status_of(int fd, const char *path, const char *name)
{
	char text[1024];
	int length, status = 0;

	length = snprintf(text, sizeof(text), "GET %s HTTP/1.1\r\nhost: %s\r\nconnection: close\r\n\r\n",
			  path, name);
	if (send(fd, text, length, MSG_NOSIGNAL) != length) return 0;
	length = recv(fd, text, sizeof(text) - 1, MSG_WAITALL);
	if (length <= 0) return 0;
	text[length] = 0;
	return sscanf(text, "HTTP/1.1 %d", &status) == 1 ? status : 0;
}

static void visit(const char *path, const char *name)
{
	struct addrinfo hints, *found;
	int fd, status = 0;

	memset(&hints, 0, sizeof(hints));
	hints.ai_family = AF_UNSPEC;
	hints.ai_socktype = SOCK_STREAM;
	if (getaddrinfo(name, "80", &hints, &found)) {
		printf("%s unresolved\n", name);
		return;
	}
	fd = socket(found->ai_family, SOCK_STREAM, 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &PATIENCE, sizeof(PATIENCE));
	errno = 0;
	if (!connect(fd, found->ai_addr, found->ai_addrlen)) status = status_of(fd, path, name);
	if (status) printf("%s %d\n", name, status);
	else printf("%s lost %d\n", name, errno);
	close(fd);
	freeaddrinfo(found);
}

int main(int count, char **words)
{
	int at;

	for (at = 2; at < count; at++) visit(words[1], words[at]);
	return 0;
}
