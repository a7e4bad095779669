/*
 * Dials what it is told to, one order a line, and answers with one line each:
 *
 *     tcp ADDRESS PORT       connect, getpeername, read to the end   peer PEER said TEXT
 *     udp ADDRESS PORT       sendto, recvfrom, with a new socket     from PEER said TEXT
 *     udpc ADDRESS PORT      connect, send, recvfrom, getpeername    from PEER peer PEER said TEXT
 *     talk ADDRESS PORT      as udp, always with the same socket of the address's family
 *     peer ADDRESS PORT      as udp, with a new socket that is connected to ADDRESS before
 *     held ADDRESS PORT      as udpc, with the same socket as long as none of its calls fails    said TEXT
 *     hear ADDRESS PORT      as held, but nothing is sent
 *     tie ADDRESS PORT       connect, and connect to AF_UNSPEC, of the socket of `talk`      tied
 *     many ADDRESS PORT N    N times as tcp                          ok N, and how often each TEXT was said
 *     time ADDRESS PORT N    N times connect() of UDP                ns N: of one, the median
 *     mark MARK              of sockets from now on (SO_MARK)        marked
 *
 * A call that fails: error ERRNO. ADDRESS is IPv6 if it has a colon, mapped IPv4 addresses as well.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static unsigned mark;

struct address {
	struct sockaddr_storage bytes;
	socklen_t length;
};

static struct address parse(const char *ip, int port)
{
	struct address address = { .length = sizeof(struct sockaddr_in) };
	struct sockaddr_in *ip4 = (struct sockaddr_in *)&address.bytes;
	struct sockaddr_in6 *ip6 = (struct sockaddr_in6 *)&address.bytes;

	if (!strchr(ip, ':')) {
		ip4->sin_family = AF_INET;
		ip4->sin_port = htons(port);
		inet_pton(AF_INET, ip, &ip4->sin_addr);
		return address;
	}
	address.length = sizeof(struct sockaddr_in6);
	ip6->sin6_family = AF_INET6;
	ip6->sin6_port = htons(port);
	inet_pton(AF_INET6, ip, &ip6->sin6_addr);
	return address;
}

static void print(const char *what, const struct address *address)
{
	char ip[INET6_ADDRSTRLEN];
	const struct sockaddr_in *ip4 = (const struct sockaddr_in *)&address->bytes;
	const struct sockaddr_in6 *ip6 = (const struct sockaddr_in6 *)&address->bytes;
	int is4 = address->bytes.ss_family == AF_INET;

	inet_ntop(address->bytes.ss_family, is4 ? (const void *)&ip4->sin_addr : &ip6->sin6_addr, ip, sizeof(ip));
	printf("%s %s %d ", what, ip, ntohs(is4 ? ip4->sin_port : ip6->sin6_port));
}

static int fail(int fd)
{
	printf("error %d\n", errno);
	if (fd >= 0) close(fd);
	return -1;
}

static int open_socket(const struct address *to, int type)
{
	struct timeval patience = { .tv_sec = 20 };
	int fd = socket(to->bytes.ss_family, type, 0);

	if (fd < 0) return fail(fd);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	if (mark && setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof(mark))) return fail(fd);
	return fd;
}

/* What is read is ended with a zero. -1: told. */
static int read_all(int fd, char *text, int size)
{
	int length = 0, got;

	while ((got = read(fd, text + length, size - 1 - length)) > 0) length += got;
	if (got < 0) return fail(fd);
	text[length] = 0;
	return length;
}

static void tcp(const char *ip, int port)
{
	struct address to = parse(ip, port), peer = { .length = sizeof(peer.bytes) };
	char text[256];
	int fd = open_socket(&to, SOCK_STREAM);

	if (fd < 0) return;
	if (connect(fd, (struct sockaddr *)&to.bytes, to.length)) {
		fail(fd);
		return;
	}
	getpeername(fd, (struct sockaddr *)&peer.bytes, &peer.length);
	if (read_all(fd, text, sizeof(text)) < 0) return;
	print("peer", &peer);
	printf("said %s\n", text);
	close(fd);
}

static void exchange(int fd, const struct address *to, int is_connected)
{
	struct address from = { .length = sizeof(from.bytes) }, peer = { .length = sizeof(peer.bytes) };
	char text[256];
	int got;

	if (is_connected ? connect(fd, (struct sockaddr *)&to->bytes, to->length) || send(fd, "?", 1, 0) < 0
			 : sendto(fd, "?", 1, 0, (struct sockaddr *)&to->bytes, to->length) < 0) {
		fail(-1);
		return;
	}
	got = recvfrom(fd, text, sizeof(text) - 1, 0, (struct sockaddr *)&from.bytes, &from.length);
	if (got < 0) {
		fail(-1);
		return;
	}
	text[got] = 0;
	print("from", &from);
	if (is_connected && !getpeername(fd, (struct sockaddr *)&peer.bytes, &peer.length)) print("peer", &peer);
	printf("said %s\n", text);
}

static void udp(const char *ip, int port, int is_connected)
{
	struct address to = parse(ip, port);
	int fd = open_socket(&to, SOCK_DGRAM);

	if (fd < 0) return;
	exchange(fd, &to, is_connected);
	close(fd);
}

static int kept_socket(const struct address *to)
{
	static int sockets[2] = { -1, -1 };
	int *fd = &sockets[to->bytes.ss_family == AF_INET];

	if (*fd < 0) *fd = open_socket(to, SOCK_DGRAM);
	return *fd;
}

static void talk(const char *ip, int port)
{
	struct address to = parse(ip, port);
	int fd = kept_socket(&to);

	if (fd >= 0) exchange(fd, &to, 0);
}

static void peer(const char *ip, int port)
{
	struct address to = parse(ip, port);
	int fd = open_socket(&to, SOCK_DGRAM);

	if (fd < 0) return;
	if (connect(fd, (struct sockaddr *)&to.bytes, to.length)) {
		fail(fd);
		return;
	}
	exchange(fd, &to, 0);
	close(fd);
}

static void held(const char *ip, int port, int is_asking)
{
	static int fd = -1;
	struct address to = parse(ip, port);
	char text[256];
	int got;

	if (fd < 0) {
		fd = open_socket(&to, SOCK_DGRAM);
		if (fd < 0) return;
		if (connect(fd, (struct sockaddr *)&to.bytes, to.length)) {
			fd = fail(fd);
			return;
		}
	}
	if ((is_asking && send(fd, "?", 1, 0) < 0) || (got = recv(fd, text, sizeof(text) - 1, 0)) < 0) {
		fd = fail(fd);
		return;
	}
	text[got] = 0;
	printf("said %s\n", text);
}

static void tie(const char *ip, int port)
{
	struct address to = parse(ip, port);
	struct sockaddr nobody = { .sa_family = AF_UNSPEC };
	int fd = kept_socket(&to);

	if (fd < 0) return;
	if (connect(fd, (struct sockaddr *)&to.bytes, to.length) || connect(fd, &nobody, sizeof(nobody)))
		fail(-1);
	else printf("tied\n");
}

static void many(const char *ip, int port, int times)
{
	struct address to = parse(ip, port);
	char texts[64][64], text[64];
	int counts[64] = { 0 }, known = 0;

	for (int i = 0; i < times; i++) {
		int fd = open_socket(&to, SOCK_STREAM), index = 0;

		if (fd < 0) return;
		if (connect(fd, (struct sockaddr *)&to.bytes, to.length)) {
			fail(fd);
			return;
		}
		if (read_all(fd, text, sizeof(text)) < 0) return;
		close(fd);
		while (index < known && strcmp(texts[index], text)) index++;
		if (index == known && known < 64) strcpy(texts[known++], text);
		counts[index % 64]++;
	}
	printf("ok %d", times);
	for (int i = 0; i < known; i++) printf(" %s=%d", texts[i], counts[i]);
	printf("\n");
}

static int compare(const void *a, const void *b)
{
	long long difference = *(const long long *)a - *(const long long *)b;

	return difference < 0 ? -1 : difference > 0;
}

static void time_connect(const char *ip, int port, int times)
{
	struct address to = parse(ip, port);
	long long *spent = malloc(times * sizeof(*spent));

	for (int i = 0; i < times; i++) {
		int fd = open_socket(&to, SOCK_DGRAM);
		struct timespec began, ended;

		if (fd < 0) return;
		clock_gettime(CLOCK_MONOTONIC, &began);
		if (connect(fd, (struct sockaddr *)&to.bytes, to.length)) {
			fail(fd);
			return;
		}
		clock_gettime(CLOCK_MONOTONIC, &ended);
		close(fd);
		spent[i] = (ended.tv_sec - began.tv_sec) * 1000000000LL + ended.tv_nsec - began.tv_nsec;
	}
	qsort(spent, times, sizeof(*spent), compare);
	printf("ns %lld\n", spent[times / 2]);
	free(spent);
}

int main(void)
{
	char line[256], order[16], ip[128];
	int port, times;

	while (fgets(line, sizeof(line), stdin)) {
		int words = sscanf(line, "%15s %127s %d %d", order, ip, &port, &times);

		if (words == 2 && !strcmp(order, "mark")) {
			mark = strtoul(ip, NULL, 0);
			printf("marked\n");
		} else if (words < 3) {
			return 2;
		} else if (!strcmp(order, "tcp")) {
			tcp(ip, port);
		} else if (!strcmp(order, "udp")) {
			udp(ip, port, 0);
		} else if (!strcmp(order, "udpc")) {
			udp(ip, port, 1);
		} else if (!strcmp(order, "talk")) {
			talk(ip, port);
		} else if (!strcmp(order, "peer")) {
			peer(ip, port);
		} else if (!strcmp(order, "held")) {
			held(ip, port, 1);
		} else if (!strcmp(order, "hear")) {
			held(ip, port, 0);
		} else if (!strcmp(order, "tie")) {
			tie(ip, port);
		} else if (!strcmp(order, "many")) {
			many(ip, port, times);
		} else if (!strcmp(order, "time")) {
			time_connect(ip, port, times);
		} else {
			return 2;
		}
		fflush(stdout);
	}
	return 0;
}
