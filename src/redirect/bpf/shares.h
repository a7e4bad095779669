/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who may keep how much. What is remembered of connections is bounded, and no pod may push out what another
 * needs. Each table has two parts:
 *
 *     flows, records, turns, returns     so many seats for each holder, which only its own entries take
 *     spare_*                            an LRU that all share: what its holder's share has no room for
 *
 * A holder is who began the connection: an endpoint of ours; or, together, all who are none and reach the
 * same endpoint. A new entry looks at SEAT_TRIES seats of its holder by chance and takes the one whose entry
 * is needed least: none, one that is over, one that was never answered, the oldest. Whose seat is taken goes
 * on in the spare part. Nobody else's entry is touched, so a flood costs who sends it, or the endpoint that
 * it is sent to.
 *
 * Why the bound holds: an entry gets into a table while its seat is ours alone (`is_busy`) and names it, and
 * a seat names another only after the entry that it named has left the table. So a holder never has more
 * entries than seats, and there is room for the seats of HOLDERS_MAX.
 */
#ifndef SALLYPORT_SHARES_H
#define SALLYPORT_SHARES_H

#include "judge.h"
#include "maps.h"
#include "packet.h"

#define SEAT_TRIES 8

#define IS_OPENING (1ULL << 62)
#define IS_OPEN (1ULL << 63)

static __always_inline __u32 holder_of(__u32 source_endpoint, __u32 destination_endpoint)
{
	return source_endpoint ? source_endpoint : destination_endpoint | HOLDER_OUTSIDE;
}

/* How much an entry is needed; 0: not at all. */
static __always_inline __u64 need_of(const struct hold *hold, __u32 holder, __u64 now)
{
	if (!hold || hold->holder != holder || hold->state == HOLD_ENDED) return 0;
	if (hold->time_ns < now && now - hold->time_ns > FLOW_IDLE_TCP_NS) return 0;
	return (hold->state == HOLD_OPEN ? IS_OPEN : IS_OPENING) | hold->time_ns;
}

/* Which of the seats should be given up, in `place`. Null: there has never been anybody. */
static __always_inline struct seat *choose_seat(void *table, struct seat_key *place)
{
	__u32 seat_count = place->table == TABLE_FLOWS ? FLOW_SEATS : OTHER_SEATS;
	__u64 now = bpf_ktime_get_ns(), least = ~0ULL, need;
	__u32 start = bpf_get_prandom_u32();
	struct seat_key tried = *place;
	struct seat *seat, *chosen = 0;

	for (__u32 i = 0; i < SEAT_TRIES; i++) {
		tried.index = (start + i) % seat_count;
		seat = bpf_map_lookup_elem(&seats, &tried);
		need = seat ? need_of(bpf_map_lookup_elem(table, &seat->sitting), place->holder, now) : 0;
		if (need >= least) continue;
		least = need;
		place->index = tried.index;
		chosen = seat;
		if (need == 0) break;
	}
	return chosen;
}

/* Not on the stack, of which there is not enough where a turn begins. */
static const struct seat new_seat;

/* Null: another CPU has it at this moment, or there are more holders than HOLDERS_MAX. */
static __always_inline struct seat *lock_seat(struct seat *seat, const struct seat_key *place)
{
	if (!seat) {
		bpf_map_update_elem(&seats, place, &new_seat, BPF_NOEXIST);
		seat = bpf_map_lookup_elem(&seats, place);
	}
	if (!seat || __sync_val_compare_and_swap(&seat->is_busy, 0, 1) != 0) return 0;
	return seat;
}

/* A seat that names nobody who is in the table, ours alone until `leave_seat`; or null. */
static __noinline struct seat *take_seat(void *table, void *spare, struct seat_key *place)
{
	struct seat *seat = lock_seat(choose_seat(table, place), place);
	struct hold *hold;

	if (!seat) return 0;
	hold = bpf_map_lookup_elem(table, &seat->sitting);
	if (!hold || hold->holder != place->holder) return seat;
	if (need_of(hold, place->holder, bpf_ktime_get_ns()) != 0) count(COUNTER_DISPLACED);
	bpf_map_update_elem(spare, &seat->sitting, hold, BPF_ANY);
	bpf_map_delete_elem(table, &seat->sitting);
	return seat;
}

static __always_inline void leave_seat(struct seat *seat)
{
	__sync_val_compare_and_swap(&seat->is_busy, 1, 0);
}

/* What the tables have in common. A value begins with its `hold`. */
#define SHARED_TABLE(one, several, id)								       \
	static __always_inline struct one *find_##one(const struct tuple *key)			       \
	{											       \
		struct one *found = bpf_map_lookup_elem(&several, key);				       \
												       \
		return found ? found : bpf_map_lookup_elem(&spare_##several, key);		       \
	}											       \
												       \
	static __noinline void forget_##one(const struct tuple *key)				       \
	{											       \
		bpf_map_delete_elem(&several, key);						       \
		bpf_map_delete_elem(&spare_##several, key);					       \
	}											       \
												       \
	/* False: no room anywhere, which only a broken table has. */				       \
	static __noinline bool keep_##one(const struct tuple *key, struct one *value, __u32 holder)    \
	{											       \
		struct seat_key place = {.holder = holder, .table = id};			       \
		struct one *known = bpf_map_lookup_elem(&several, key);				       \
		bool is_kept = false;								       \
		struct seat *seat;								       \
												       \
		value->hold.holder = holder;							       \
		if (known && known->hold.holder == holder &&					       \
		    bpf_map_update_elem(&several, key, value, BPF_EXIST) == 0)			       \
			return true;								       \
		seat = take_seat(&several, &spare_##several, &place);				       \
		if (seat) {									       \
			seat->sitting = *key;							       \
			is_kept = bpf_map_update_elem(&several, key, value, BPF_ANY) == 0;	       \
			leave_seat(seat);							       \
		}										       \
		if (is_kept) return true;							       \
		bpf_map_delete_elem(&several, key);						       \
		return bpf_map_update_elem(&spare_##several, key, value, BPF_ANY) == 0;		       \
	}

SHARED_TABLE(flow, flows, TABLE_FLOWS)
SHARED_TABLE(record, records, TABLE_RECORDS)
SHARED_TABLE(turn, turns, TABLE_TURNS)
SHARED_TABLE(turn_back, returns, TABLE_RETURNS)

#endif
