// SPDX-License-Identifier: Apache-2.0
/*
 * Which UDP sockets are connected to a backend, in whichever network namespace: an iterator over what the hooks of
 * Services remember (services.bpf.c). An object of its own, as an iterator needs the kernel's BTF, and nothing else
 * does. It does not look into the socket: the kernel lets programs under the GPL alone do so.
 */
#include <linux/bpf.h>
#include <linux/in.h>
#include <bpf/bpf_helpers.h>

#include "services/layout.h"

#define KEPT_MAX 65536

struct sock;

/* Of the kernel, as much as is read: libbpf finds where it is. */
struct bpf_iter__bpf_sk_storage_map {
	struct sock *sk;
	void *value;
} __attribute__((preserve_access_index));

/* By the socket's cookie. Made for one look. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, KEPT_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64);
	__type(value, struct connection);
} kept SEC(".maps");

SEC("iter/bpf_sk_storage_map")
int find_kept(struct bpf_iter__bpf_sk_storage_map *ctx)
{
	struct connection *connection = ctx->value;
	struct sock *sk = ctx->sk;
	struct connection copy;
	__u64 cookie;

	if (!sk || !connection || connection->dialled.protocol != IPPROTO_UDP) return 0;
	copy = *connection;
	cookie = bpf_get_socket_cookie(sk);
	bpf_map_update_elem(&kept, &cookie, &copy, BPF_ANY);
	return 0;
}

char _license[] SEC("license") = "Apache-2.0";
