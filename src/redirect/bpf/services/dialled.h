/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The address in the hands of a hook, read and written. ::ffff:a.b.c.d of an IPv6 socket is a.b.c.d: one Service,
 * whichever way it is dialled.
 */
#ifndef SALLYPORT_SERVICES_DIALLED_H
#define SALLYPORT_SERVICES_DIALLED_H

#include <stdbool.h>
#include <linux/bpf.h>
#include <linux/in.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "layout.h"

#define MAPPED_WORD bpf_htonl(0x0000ffff)

static __always_inline void write_word(struct ip *ip, int index, __u32 word)
{
	((__u32 *)ip->bytes)[index] = word;
}

static __always_inline __u32 word_of(const struct ip *ip, int index)
{
	return ((const __u32 *)ip->bytes)[index];
}

static __always_inline bool is_same(const struct place *a, const struct place *b)
{
	return word_of(&a->ip, 0) == word_of(&b->ip, 0) && word_of(&a->ip, 1) == word_of(&b->ip, 1) &&
	       word_of(&a->ip, 2) == word_of(&b->ip, 2) && word_of(&a->ip, 3) == word_of(&b->ip, 3) &&
	       a->port == b->port && a->family == b->family;
}

/* False: of a protocol that Services do not have, or that no hook is called for (SCTP). */
static __always_inline bool read_address(struct bpf_sock_addr *ctx, int family, struct place *place)
{
	__u32 protocol = ctx->protocol;

	if (protocol != IPPROTO_TCP && protocol != IPPROTO_UDP) return false;
	place->protocol = protocol;
	place->port = (__be16)ctx->user_port;
	place->family = family;
	if (family == FAMILY_IP4) {
		write_word(&place->ip, 0, ctx->user_ip4);
		return true;
	}
	__u32 first = ctx->user_ip6[0], second = ctx->user_ip6[1];
	__u32 third = ctx->user_ip6[2], fourth = ctx->user_ip6[3];
	if (first == 0 && second == 0 && third == MAPPED_WORD) {
		place->family = FAMILY_IP4;
		write_word(&place->ip, 0, fourth);
		return true;
	}
	write_word(&place->ip, 0, first);
	write_word(&place->ip, 1, second);
	write_word(&place->ip, 2, third);
	write_word(&place->ip, 3, fourth);
	return true;
}

static __always_inline void write_address(struct bpf_sock_addr *ctx, int family, const struct place *place)
{
	ctx->user_port = place->port;
	if (family == FAMILY_IP4) {
		ctx->user_ip4 = word_of(&place->ip, 0);
		return;
	}
	bool is_mapped = place->family == FAMILY_IP4;
	__u32 first = is_mapped ? 0 : word_of(&place->ip, 0), second = is_mapped ? 0 : word_of(&place->ip, 1);
	__u32 third = is_mapped ? MAPPED_WORD : word_of(&place->ip, 2);
	__u32 fourth = is_mapped ? word_of(&place->ip, 0) : word_of(&place->ip, 3);
	ctx->user_ip6[0] = first;
	ctx->user_ip6[1] = second;
	ctx->user_ip6[2] = third;
	ctx->user_ip6[3] = fourth;
}

#endif
