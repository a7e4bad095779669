/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the programs of Services share with user space: keys and values of their maps. `services/layout.ts` of the
 * redirect is its twin, and `test/redirect/kernel/services_layout.test.ts` compares sizes and offsets with the BTF of
 * the compiled object. A change here is a change of SERVICES_LAYOUT_VERSION: pins of another version are never re-used.
 *
 *     dialled ─► frontends[address, port, protocol] ─► table, count      the address of a Service, or
 *                frontends[any of the node, port, ...]                   node_addresses[address]: a NodePort
 *                  slots[table, 0..count-1] ─► backend                   a change is a new table, put in
 *                  backends[number]         ─► address, port             force by one write to the frontend
 *                  slots[0, 0..1]           ─► the numbers of a table and of a backend that were given last: none is
 *                                              given again, as sockets remember them
 *
 *     affinity[Service's port, client]  which backend the client had, and when
 *     connected[socket]                 what a connected socket dialled, and what it got
 *     talks[socket]                     the same of a UDP socket that is not connected, for the last of them
 */
#ifndef SALLYPORT_SERVICES_LAYOUT_H
#define SALLYPORT_SERVICES_LAYOUT_H

#include <linux/types.h>

#define SERVICES_LAYOUT_VERSION 1

#define FAMILY_IP4 4
#define FAMILY_IP6 6

/* frontend_key.scope */
#define SCOPE_ADDRESS 0
#define SCOPE_NODE 1 /* every address of this node; the key's own address is zero */

/* frontend_value.flags: one client gets one backend, by a hash of who it is. */
#define FRONTEND_HASHED 1

/* Services that a UDP socket can talk to at once, and still be told of each whom it dialled. */
#define TALKS 8

/* IPv4 in the first four bytes, the others zero. */
struct ip {
	__u8 bytes[16];
} __attribute__((aligned(4)));

struct place {
	struct ip ip;
	__be16 port;
	__u8 family;
	__u8 protocol; /* of a backend: 0 */
};

struct settings {
	__u64 host_netns; /* cookie of the host's network namespace */
};

struct frontend_key {
	struct place place;
	__u32 scope;
};

struct frontend_value {
	__u32 table;
	__u32 count; /* 0: refused at once */
	__u64 group; /* the Service's port: all its frontends have one, so affinity holds for all of them */
	__u32 affinity_ms; /* 0: none */
	__u32 flags;
};

struct slot_key {
	__u32 table;
	__u32 slot;
};

struct slot_value {
	__u32 backend;
};

struct backend_key {
	__u32 backend;
};

struct node_address_key {
	struct ip ip;
	__u32 family;
};

struct affinity_key {
	__u64 group;
	__u64 client; /* cookie of its network namespace: a pod has one, and so has the host */
};

struct affinity_value {
	__u32 table; /* in which the backend was when it was last asked for */
	__u32 backend;
	__u64 used_ns;
};

struct connection {
	struct place dialled;
	struct place backend;
};

struct talk {
	struct connection connection;
	__u32 table;
	__u32 backend;
	__u64 sent; /* of `talks.sent` when it was last sent to; 0: nobody */
};

struct talks {
	struct talk talk[TALKS];
	__u64 sent;
};

enum counter {
	COUNTER_CONNECTED,
	COUNTER_SENT,
	COUNTER_REFUSED, /* no backend */
	COUNTER_KEPT, /* by affinity */
	COUNTER_CHOSEN_ANEW, /* the backend of a UDP socket had gone */
	COUNTER_FORGOTTEN, /* no memory for whom the socket dialled: it is told the backend's address */
	COUNTER_UNSETTLED, /* the tables changed at each look: refused */
	COUNTER_COUNT,
};

#endif
