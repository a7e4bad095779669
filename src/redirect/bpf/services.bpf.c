// SPDX-License-Identifier: Apache-2.0
/*
 * Services, translated at the socket: who dials the address of a Service gets a backend before any packet is made, so
 * policy sees the backend, and the node's NAT has nothing to do. Programs of a cgroup; the way of an address:
 *
 *     connect(), sendto() ─► frontends ─┬─ none ─► as it is: no Service, or left to kube-proxy
 *                                       ├─ without backends ─► ECONNREFUSED; sendto(): EPERM
 *                                       └─► a backend ─► the socket remembers whom it dialled
 *     recvfrom(), getpeername() ◄─ whom it dialled ◄─ the socket remembers ◄─ the backend
 *
 * No hook stands at SCTP's connect(). No socket needs bind() to be watched: as with kube-proxy, a NodePort is no
 * socket, and who listens on its number is not reached by it.
 *
 * The hooks of connect and sendmsg hold the socket's lock, as do those of recvmsg and getpeername: what a socket
 * remembers is read and written by one of them at a time.
 */
#include <stdbool.h>
#include <linux/bpf.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "services/layout.h"
#include "services/maps.h"
#include "services/dialled.h"
#include "services/choice.h"

#define PROCEED 1
#define REFUSE 0
#define ECONNREFUSED 111
#define LOOKS 3
/* sk_state of what is connected, UDP as well. */
#define ESTABLISHED 1

/* As layout.h of the redirect has them. */
#define MARK_MAGIC_MASK 0x0F00
#define MARK_PROXY_INGRESS 0x0A00
#define MARK_PROXY_EGRESS 0x0B00

enum outcome {
	OUTCOME_NONE,
	OUTCOME_CHOSEN,
	OUTCOME_REFUSED,
	OUTCOME_CHANGING,
};

static __always_inline void count_refused(enum outcome outcome)
{
	count(outcome == OUTCOME_REFUSED ? COUNTER_REFUSED : COUNTER_UNSETTLED);
}

/*
 * The proxy's own connections for others go where it was permitted to go, and nowhere else. In a pod the mark says
 * nothing: there it may be anybody's.
 */
static __always_inline bool is_proxy(struct bpf_sock_addr *ctx)
{
	struct bpf_sock *sk = ctx->sk;
	struct settings *known;
	__u32 magic, zero = 0;

	if (!sk) return false;
	magic = sk->mark & MARK_MAGIC_MASK;
	if (magic != MARK_PROXY_INGRESS && magic != MARK_PROXY_EGRESS) return false;
	known = bpf_map_lookup_elem(&settings, &zero);
	return known && known->host_netns == bpf_get_netns_cookie(ctx);
}

/* Of a socket, where 0.0.0.0 is its own loopback. */
static __always_inline bool read_dialled(struct bpf_sock_addr *ctx, int family, struct place *dialled)
{
	if (!read_address(ctx, family, dialled)) return false;
	if (dialled->family == FAMILY_IP4 && word_of(&dialled->ip, 0) == 0)
		write_word(&dialled->ip, 0, bpf_htonl(0x7f000001));
	return true;
}

static __always_inline enum outcome outcome_of(enum found found, const struct frontend_value *frontend)
{
	if (found == FOUND_NONE) return OUTCOME_NONE;
	if (found == FOUND_CHANGING) return OUTCOME_CHANGING;
	return frontend->count == 0 ? OUTCOME_REFUSED : OUTCOME_CHOSEN;
}

static __always_inline enum outcome choose(struct bpf_sock_addr *ctx, const struct place *dialled,
					   struct choice *choice)
{
	enum found found = find_frontend(ctx, dialled, &choice->frontend);
	enum outcome outcome = outcome_of(found, &choice->frontend);

	if (outcome != OUTCOME_CHOSEN) return outcome;
	if (!choose_backend(ctx, &choice->frontend, &choice->backend)) return OUTCOME_CHANGING;
	return place_of(choice->backend, &choice->place) ? OUTCOME_CHOSEN : OUTCOME_CHANGING;
}

static __always_inline void remember_connection(struct bpf_sock *sk, const struct place *dialled,
						const struct place *backend)
{
	struct connection *kept = bpf_sk_storage_get(&connected, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);

	if (!kept) {
		count(COUNTER_FORGOTTEN);
		return;
	}
	kept->dialled = *dialled;
	kept->backend = *backend;
}

static __always_inline int connect_to(struct bpf_sock_addr *ctx, int family)
{
	struct place dialled = {};
	struct choice choice = {};
	enum outcome outcome = OUTCOME_CHANGING;
	struct bpf_sock *sk = ctx->sk;

	if (!sk || is_proxy(ctx) || !read_dialled(ctx, family, &dialled)) return PROCEED;
	for (int look = 0; look < LOOKS && outcome == OUTCOME_CHANGING; look++)
		outcome = choose(ctx, &dialled, &choice);
	if (outcome == OUTCOME_NONE) {
		/* It may have been connected to a Service before. */
		bpf_sk_storage_delete(&connected, sk);
		return PROCEED;
	}
	if (outcome != OUTCOME_CHOSEN) {
		count_refused(outcome);
		/* As an RST does, or an ICMP "port unreachable". */
		bpf_set_retval(-ECONNREFUSED);
		return REFUSE;
	}
	remember_connection(sk, &dialled, &choice.place);
	write_address(ctx, family, &choice.place);
	count(COUNTER_CONNECTED);
	return PROCEED;
}

static __always_inline struct talk *find_talk(struct talks *kept, const struct place *dialled)
{
	if (!kept) return NULL;
	for (int i = 0; i < TALKS; i++) {
		struct talk *talk = &kept->talk[i];

		if (is_same(&talk->connection.dialled, dialled)) return talk;
	}
	return NULL;
}

/* What is sent to a backend by its own address is answered by that. */
static __always_inline void forget_talks_with(struct talks *kept, const struct place *backend)
{
	if (!kept) return;
	for (int i = 0; i < TALKS; i++) {
		struct talk *talk = &kept->talk[i];

		if (is_same(&talk->connection.backend, backend)) *talk = (struct talk){};
	}
}

/* The choice of a socket stays while the backend is there. */
static __always_inline enum outcome choose_for_talk(struct bpf_sock_addr *ctx, const struct place *dialled,
						    struct talk *had, struct choice *choice)
{
	enum found found = find_frontend(ctx, dialled, &choice->frontend);
	enum outcome outcome = outcome_of(found, &choice->frontend);

	if (outcome != OUTCOME_CHOSEN) return outcome;
	if (had && is_backend(&choice->frontend, had->table, had->backend)) {
		choice->backend = had->backend;
		choice->place = had->connection.backend;
		return OUTCOME_CHOSEN;
	}
	if (!choose_backend(ctx, &choice->frontend, &choice->backend)) return OUTCOME_CHANGING;
	if (!place_of(choice->backend, &choice->place)) return OUTCOME_CHANGING;
	if (had && had->backend != choice->backend) count(COUNTER_CHOSEN_ANEW);
	return OUTCOME_CHOSEN;
}

/* Its place is that of the Service that was not sent to for the longest time. */
static __always_inline struct talk *oldest_talk(struct talks *kept)
{
	struct talk *oldest = &kept->talk[0];

	for (int i = 1; i < TALKS; i++) {
		struct talk *talk = &kept->talk[i];

		if (talk->sent < oldest->sent) oldest = talk;
	}
	return oldest;
}

static __always_inline void remember_talk(struct bpf_sock *sk, const struct place *dialled,
					  const struct choice *choice)
{
	struct talks *kept = bpf_sk_storage_get(&talks, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	struct talk *talk;

	if (!kept) {
		count(COUNTER_FORGOTTEN);
		return;
	}
	talk = find_talk(kept, dialled);
	if (!talk) talk = oldest_talk(kept);
	kept->sent += 1;
	talk->sent = kept->sent;
	talk->connection.dialled = *dialled;
	talk->connection.backend = choice->place;
	talk->table = choice->frontend.table;
	talk->backend = choice->backend;
}

/*
 * True: it goes to the peer of a connected socket, by the peer's name. So it goes to the backend that the socket is
 * connected to, as it hears no other one.
 */
static __always_inline bool find_peer(struct bpf_sock *sk, const struct place *dialled, struct place *backend)
{
	struct connection *kept = bpf_sk_storage_get(&connected, sk, NULL, 0);

	if (!kept) return false;
	if (sk->state != ESTABLISHED) {
		/* No hook stands where connect() takes a peer away (AF_UNSPEC). */
		bpf_sk_storage_delete(&connected, sk);
		return false;
	}
	if (!is_same(&kept->dialled, dialled)) return false;
	*backend = kept->backend;
	return true;
}

static __always_inline int send_to(struct bpf_sock_addr *ctx, int family)
{
	struct place dialled = {};
	struct choice choice = {};
	enum outcome outcome = OUTCOME_CHANGING;
	struct bpf_sock *sk = ctx->sk;
	struct talks *kept;
	struct talk *talk;

	if (!sk || is_proxy(ctx) || !read_dialled(ctx, family, &dialled)) return PROCEED;
	if (find_peer(sk, &dialled, &choice.place)) {
		write_address(ctx, family, &choice.place);
		count(COUNTER_SENT);
		return PROCEED;
	}
	kept = bpf_sk_storage_get(&talks, sk, NULL, 0);
	talk = find_talk(kept, &dialled);
	for (int look = 0; look < LOOKS && outcome == OUTCOME_CHANGING; look++)
		outcome = choose_for_talk(ctx, &dialled, talk, &choice);
	if (outcome == OUTCOME_NONE) {
		forget_talks_with(kept, &dialled);
		return PROCEED;
	}
	if (outcome != OUTCOME_CHOSEN) {
		count_refused(outcome);
		/* EPERM, as of kube-proxy's REJECT. Some do not hear ECONNREFUSED where nothing is connected (Java). */
		return REFUSE;
	}
	remember_talk(sk, &dialled, &choice);
	write_address(ctx, family, &choice.place);
	count(COUNTER_SENT);
	return PROCEED;
}

/* True: `place` is what the socket got for it, and is now what it dialled. */
static __always_inline bool restore_connection(struct bpf_sock *sk, struct place *place)
{
	struct connection *kept = bpf_sk_storage_get(&connected, sk, NULL, 0);

	if (!kept || !is_same(&kept->backend, place)) return false;
	*place = kept->dialled;
	return true;
}

/* Of several Services that lead to one backend it is the one that was sent to last. */
static __always_inline bool restore_talk(struct bpf_sock *sk, struct place *place)
{
	struct talks *kept = bpf_sk_storage_get(&talks, sk, NULL, 0);
	struct place dialled = {};
	__u64 sent = 0;

	if (!kept) return false;
	for (int i = 0; i < TALKS; i++) {
		struct talk *talk = &kept->talk[i];

		if (talk->sent <= sent || !is_same(&talk->connection.backend, place)) continue;
		sent = talk->sent;
		dialled = talk->connection.dialled;
	}
	if (sent == 0) return false;
	*place = dialled;
	return true;
}

static __always_inline int receive_from(struct bpf_sock_addr *ctx, int family)
{
	struct place from = {};
	struct bpf_sock *sk = ctx->sk;

	if (!sk || !read_address(ctx, family, &from)) return PROCEED;
	if (restore_talk(sk, &from) || restore_connection(sk, &from)) write_address(ctx, family, &from);
	return PROCEED;
}

static __always_inline int name_peer(struct bpf_sock_addr *ctx, int family)
{
	struct place peer = {};
	struct bpf_sock *sk = ctx->sk;

	if (!sk || !read_address(ctx, family, &peer)) return PROCEED;
	if (restore_connection(sk, &peer)) write_address(ctx, family, &peer);
	return PROCEED;
}

SEC("cgroup/connect4")
int connect4(struct bpf_sock_addr *ctx)
{
	return connect_to(ctx, FAMILY_IP4);
}

SEC("cgroup/connect6")
int connect6(struct bpf_sock_addr *ctx)
{
	return connect_to(ctx, FAMILY_IP6);
}

SEC("cgroup/sendmsg4")
int sendmsg4(struct bpf_sock_addr *ctx)
{
	return send_to(ctx, FAMILY_IP4);
}

SEC("cgroup/sendmsg6")
int sendmsg6(struct bpf_sock_addr *ctx)
{
	return send_to(ctx, FAMILY_IP6);
}

SEC("cgroup/recvmsg4")
int recvmsg4(struct bpf_sock_addr *ctx)
{
	return receive_from(ctx, FAMILY_IP4);
}

SEC("cgroup/recvmsg6")
int recvmsg6(struct bpf_sock_addr *ctx)
{
	return receive_from(ctx, FAMILY_IP6);
}

SEC("cgroup/getpeername4")
int getpeername4(struct bpf_sock_addr *ctx)
{
	return name_peer(ctx, FAMILY_IP4);
}

SEC("cgroup/getpeername6")
int getpeername6(struct bpf_sock_addr *ctx)
{
	return name_peer(ctx, FAMILY_IP6);
}

char _license[] SEC("license") = "Apache-2.0";
