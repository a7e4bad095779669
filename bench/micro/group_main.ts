/**
 * A process of its own for each group, so that no group is measured with what another has taught the
 * compiler. Takes an order as JSON, prints figures as JSON.
 */
import { bytesPerCall } from './allocation.ts';
import { repeated, type Series, sample, sunk, warmUp } from './sampling.ts';
import { type GroupName, loadGroup, type Work } from './work.ts';
import { YARDSTICKS } from './yardsticks.ts';

export interface Pair {
  readonly work: string;
  /** A yardstick, or another work of the group. */
  readonly of: string;
}

export interface GroupOrder {
  readonly group: GroupName;
  /** Run first, whatever is measured then. */
  readonly warm: readonly string[];
  readonly pairs: readonly Pair[];
  readonly rounds: number;
  /** How often the work is done where it is measured as done once. */
  readonly times: number;
  /** Works whose allocations are counted. */
  readonly allocating: readonly string[];
}

export interface GroupFigures {
  /** As the pairs. */
  readonly series: readonly Series[];
  /** As `allocating`. */
  readonly bytes: readonly number[];
  readonly sunk: number;
}

if (import.meta.main) {
  const order = JSON.parse(process.argv[2] ?? '') as GroupOrder;
  process.stdout.write(JSON.stringify(await figuresOf(order)));
}

async function figuresOf(order: GroupOrder): Promise<GroupFigures> {
  const works = await loadGroup(order.group);
  const named = (name: string): Work => {
    const work = YARDSTICKS[name] ?? works[name];
    if (work === undefined) throw new Error(`${order.group} has no work "${name}"`);
    return work;
  };
  warmUp(new Set([...order.warm, ...order.pairs.map(({ of }) => of)].map(named)));
  const series = order.pairs.map(({ work, of }) =>
    sample(repeated(named(work), order.times), named(of), order),
  );
  const bytes = order.allocating.map((name) => bytesPerCall(repeated(named(name), order.times)));
  return { series, bytes, sunk: sunk() };
}
