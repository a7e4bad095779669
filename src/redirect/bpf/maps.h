/* SPDX-License-Identifier: Apache-2.0 */
/* The maps and their bounds. What is in force hangs on a generation: see layout.h. */
#ifndef SALLYPORT_MAPS_H
#define SALLYPORT_MAPS_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "layout.h"

/* Two generations lie in the tables while one is changed for the other: half of each bound is usable. */
#define INTERFACES_MAX 32768
#define ADDRESSES_MAX 524288
#define ENDPOINTS_MAX 16384
#define PORTS_MAX 262144
#define VERDICTS_MAX 1048576
#define BEHIND_ENTRIES_MAX 262144

/* Twice as many as endpoints: what they begin, and what others begin with them. */
#define HOLDERS_MAX 1024
/* Seats of one holder (shares.h): of flows, and of records, turns and returns each. */
#define FLOW_SEATS 512
#define OTHER_SEATS 256
#define SEATS_MAX (HOLDERS_MAX * (FLOW_SEATS + 3 * OTHER_SEATS))

/* What there is room for beside the seats. */
#define RECORDS_MAX 262144
#define FLOWS_MAX 262144
#define TURNS_MAX 65536

/* Places of one way, and ways: what it keeps there cannot take those of others. */
#define FRAGMENT_PLACES 64
#define REFUSAL_PLACES 16
#define WAYS_MAX 1024
#define RATES_MAX 16384
/* Many times what all holders may send while a worker gets to its sockets (proxy.h). */
#define DATAGRAMS_MAX 65536

#define SECOND_NS 1000000000ULL

/* Connections that one holder may open to the proxy: in a second, and at once after silence. */
#define CONNECTIONS_PER_SECOND 10000ULL
#define CONNECTIONS_BURST 10000ULL

/* How long a flow without packets is remembered. TCP: longer than two hours of keep-alive silence. */
#define FLOW_IDLE_TCP_NS (8000ULL * SECOND_NS)
#define FLOW_IDLE_OTHER_NS (120ULL * SECOND_NS)
/* A flow's time is written no more often: each write takes the cache line from the other CPUs. */
#define FLOW_TOUCH_NS SECOND_NS
/* Fragments of one packet come within this time (RFC 791, 8200: a reassembly ends after 15..60 s). */
#define FRAGMENT_NS (30ULL * SECOND_NS)

struct fragment_key {
	struct way way;
	__u32 place;
};

/* Which packet was fragmented. */
struct fragment_name {
	struct ip source;
	struct ip destination;
	__be32 id;
	__u8 family;
	__u8 protocol; /* 0 for IPv6, where the number alone names the packet */
	__u16 pad;
};

/* What only the first fragment says. */
struct fragment_value {
	struct fragment_name name;
	__u64 time_ns;
	__be16 source_port;
	__be16 destination_port;
	__be16 port;
	__u8 protocol;
	__u8 pad;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct settings);
} settings SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, INTERFACES_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct interface_key);
	__type(value, struct interface_value);
} interfaces SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, ADDRESSES_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct address_key);
	__type(value, struct address_value);
} addresses SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, ENDPOINTS_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct endpoint_key);
	__type(value, struct endpoint_value);
} endpoints SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, PORTS_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct port_key);
	__type(value, struct port_value);
} ports SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, VERDICTS_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct verdict_key);
	__type(value, struct verdict_value);
} verdicts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, BEHIND_ENTRIES_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct behind_key);
	__type(value, struct behind_value);
} behind SEC(".maps");

/* Which connection has which seat: shares.h. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, SEATS_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct seat_key);
	__type(value, struct seat);
} seats SEC(".maps");

/* A record that is gone fails closed. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, HOLDERS_MAX * OTHER_SEATS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct tuple);
	__type(value, struct record);
} records SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, HOLDERS_MAX * FLOW_SEATS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct tuple);
	__type(value, struct flow);
} flows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, HOLDERS_MAX * OTHER_SEATS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct tuple);
	__type(value, struct turn);
} turns SEC(".maps");

/* By the tuple with which the connection comes in again. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, HOLDERS_MAX * OTHER_SEATS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct tuple);
	__type(value, struct turn_back);
} returns SEC(".maps");

/* LRU: what is looked up stays, what nobody asks for goes first. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, RECORDS_MAX);
	__type(key, struct tuple);
	__type(value, struct record);
} spare_records SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, FLOWS_MAX);
	__type(key, struct tuple);
	__type(value, struct flow);
} spare_flows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, TURNS_MAX);
	__type(key, struct tuple);
	__type(value, struct turn);
} spare_turns SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, TURNS_MAX);
	__type(key, struct tuple);
	__type(value, struct turn_back);
} spare_returns SEC(".maps");

/*
 * Read when the datagram is, a moment later, and by nobody after that. No seats are needed: each holder has its rate.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, DATAGRAMS_MAX);
	__type(key, struct tuple);
	__type(value, struct record);
} datagrams SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_SOCKMAP);
	__uint(max_entries, 4 * LISTENER_SLOTS);
	__type(key, __u32);
	__type(value, __u64);
} listeners SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, COUNTER_COUNT);
	__type(key, __u32);
	__type(value, __u64);
} counters SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, WAYS_MAX * REFUSAL_PLACES);
	__type(key, struct refusal_key);
	__type(value, struct refusal_value);
} refusals SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, WAYS_MAX * FRAGMENT_PLACES);
	__type(key, struct fragment_key);
	__type(value, struct fragment_value);
} fragments SEC(".maps");

/* By holder (shares.h): until when it has used up its share of new connections, and of datagrams. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, RATES_MAX);
	__type(key, __u32);
	__type(value, __u64);
} rates SEC(".maps");

#endif
