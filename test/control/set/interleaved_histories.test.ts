/**
 * What the policy thread tells comes while a worker compiles, and is superseded, in any order: once nothing is under
 * way, each worker judges as one that is given the end of it at once, whenever it started, and none refused anything.
 */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { PolicyDocument } from '../../../src/control/decode/policy_document.ts';
import { PolicyChecker } from '../../../src/control/set/policy_checker.ts';
import { encodeBatch, type SentBatch } from '../../../src/control/worker/identity_wire.ts';
import {
  LiveSnapshot,
  type NumberedSet,
  newest,
  type PolicyUpdate,
} from '../../../src/control/worker/live_snapshot.ts';
import { encodeResolved } from '../../../src/control/worker/resolved_wire.ts';
import { IdentityAllocator } from '../../../src/policy/resolve/identity_allocator.ts';
import { EMPTY_INVENTORY, type Inventory } from '../../../src/policy/resolve/inventory.ts';
import {
  anyChange,
  type Change,
  changed,
  likeResident,
  RESIDENTS,
} from '../../support/inventory_changes.ts';
import {
  documentsOf,
  factsOf,
  freshOf,
  inputOf,
  limits,
  PATIENCE_MS,
  policies,
  regexEngine,
  STORE,
  samePrefixes,
  updateOf,
} from '../../support/policy_histories.ts';
import { runs } from '../../support/property_runs.ts';

const NONE = [null, null, null, null];

const history = fc.record({
  policies: samePrefixes,
  steps: fc.array(
    fc.record({
      changes: fc.oneof(
        fc.constant([]),
        { weight: 6, arbitrary: fc.array(likeResident, { minLength: 1, maxLength: 2 }) },
        fc.array(anyChange, { minLength: 1, maxLength: 2 }),
      ),
      residentGone: fc.constantFrom(...NONE, ...NONE, 0, 1, 2, 3),
      policies: fc.option(fc.oneof({ weight: 9, arbitrary: samePrefixes }, policies)),
      /** Of each worker. */
      turns: fc.tuple(fc.nat({ max: 4 }), fc.nat({ max: 60 })),
      event: fc.constantFrom('none', 'none', 'none', 'rest', 'start', 'launch', 'rebase'),
    }),
    { minLength: 4, maxLength: 12 },
  ),
});

it(
  'whatever comes while a worker compiles, it ends where one does that is given the end alone',
  () => {
    const seen = { rules: 0, wholes: 0, batches: 0, rests: 0, superseded: 0 };
    fc.assert(
      fc.property(history, ({ policies: first, steps }) => {
        const thread = new Thread(seen, documentsOf(first));
        for (const step of steps) {
          if (step.policies !== null) thread.offer({ documents: documentsOf(step.policies) });
          const gone = step.residentGone;
          const changes: readonly Change[] =
            gone === null
              ? step.changes
              : [...step.changes, { kind: 'gone', name: `resident-${gone}` }];
          if (changes.length > 0)
            thread.offer({ inventory: changes.reduce(changed, thread.inventory) });
          thread.supervised.pass(step.turns);
          thread.meets(step.event);
        }
        thread.meets('rest');
      }),
      runs(15),
    );
    expect(Math.min(...Object.values(seen))).toBeGreaterThan(2);
  },
  PATIENCE_MS,
);

type Seen = Record<'rules' | 'wholes' | 'batches' | 'rests' | 'superseded', number>;

class Thread {
  readonly supervised: Supervised;
  inventory = RESIDENTS.reduce(changed, EMPTY_INVENTORY);
  readonly #seen: Seen;
  readonly #allocator = new IdentityAllocator(limits);
  readonly #store = new PolicyChecker({ ...STORE, allocator: this.#allocator });
  #documents: readonly PolicyDocument[];
  /** That were given before the last input was taken. */
  #numbers: ReturnType<IdentityAllocator['given']> = [];

  constructor(seen: Seen, documents: readonly PolicyDocument[]) {
    this.#seen = seen;
    this.#documents = documents;
    this.supervised = new Supervised(seen);
    this.offer({});
  }

  offer(change: { documents?: readonly PolicyDocument[]; inventory?: Inventory }): void {
    const { documents = this.#documents, inventory = this.inventory } = change;
    const input = inputOf(documents, inventory);
    const before = this.#store.current().revision;
    const numbers = this.#allocator.given();
    const moved = before === 0 ? null : this.#store.move(input);
    const result = moved ?? this.#store.update(input);
    if ('kind' in result && result.kind === 'rejected') {
      expect(freshOf(input, numbers)).toBeNull();
      return;
    }
    this.#documents = documents;
    this.inventory = inventory;
    this.#numbers = moved === null ? numbers : this.#allocator.given();
    if (moved !== null) {
      this.#seen.batches += 1;
      if (moved.batch !== null) this.supervised.identities(encodeBatch(moved.batch));
      return;
    }
    if (!('revision' in result) || result.revision === before) return;
    this.#seen[result.isWhoSame ? 'rules' : 'wholes'] += 1;
    this.supervised.update(updateOf(result));
  }

  meets(event: string): void {
    if (event === 'launch') this.supervised.launch();
    if (event === 'start') this.supervised.begin();
    if (event === 'rebase') this.#rebase();
    if (event === 'rest') this.#rests();
  }

  #rebase(): void {
    const resolved = this.#store.resolved();
    if (resolved === null) throw new Error('no set');
    const set = { revision: this.#store.current().revision, parts: encodeResolved(resolved) };
    this.supervised.rebase(set, resolved.roster.sequence);
  }

  #rests(): void {
    this.#seen.rests += 1;
    const fresh = freshOf(inputOf(this.#documents, this.inventory), this.#numbers);
    if (fresh === null) throw new Error('a set that was taken is refused');
    const expected = stateOf(fresh);
    expect(stateOf(this.#store)).toEqual(expected);
    this.supervised.begin();
    for (const worker of this.supervised.rested()) expect(stateOf(worker)).toEqual(expected);
  }
}

function stateOf(holder: Pick<LiveSnapshot, 'current'>): unknown {
  const snapshot = holder.current();
  const endpoints = snapshot
    .endpoints()
    .map(({ name, endpointIps }) => `${name} ${endpointIps.join()}`)
    .sort();
  return { facts: factsOf(snapshot), endpoints };
}

/** What a supervisor keeps for workers that start, and those that run. */
class Supervised {
  readonly #seen: { superseded: number };
  #workers: TurnedWorker[] = [];
  /** Launched, and not so far as to take anything: with what came early. */
  #launched: Launched[] = [];
  #policy: NumberedSet | null = null;
  #batches: SentBatch[] = [];

  constructor(seen: { superseded: number }) {
    this.#seen = seen;
  }

  update(policy: PolicyUpdate): void {
    const before = this.#policy;
    if (policy.parts !== undefined) {
      this.#policy = policy;
      this.#batches = [];
    } else if (before === null) throw new Error('rules before a set');
    else this.#policy = newest(before, policy);
    if (before === null) this.#workers = [this.#started(), this.#started()];
    else for (const worker of this.#workers) worker.live.update(policy);
    this.#seen.superseded += this.#workers.filter((worker) => worker.isBusy).length;
    for (const one of this.#launched) {
      const { early } = one;
      one.early = early?.parts === undefined ? policy : newest(early, policy);
    }
  }

  identities(batch: SentBatch): void {
    this.#batches.push(batch);
    for (const worker of this.#workers) worker.live.identities(batch);
    for (const one of this.#launched) one.batches.push(batch);
  }

  rebase(policy: NumberedSet, sequence: number): void {
    this.#policy = policy;
    this.#batches = this.#batches.filter((batch) => batch.sequence > sequence);
  }

  pass(turns: readonly number[]): void {
    for (const [index, worker] of this.#workers.entries()) {
      for (let turn = turns[index % turns.length] ?? 0; turn > 0; turn--) worker.turn();
    }
  }

  launch(): void {
    if (this.#policy === null) return;
    this.#launched.push({ policy: this.#policy, batches: [...this.#batches], early: null });
  }

  /** Those that were launched, and one more. */
  begin(): void {
    this.launch();
    for (const { policy, batches, early } of this.#launched) {
      this.#workers.push(startedWith(early === null ? policy : newest(policy, early), batches));
    }
    this.#launched = [];
    this.#workers = this.#workers.slice(-5);
  }

  rested(): readonly LiveSnapshot[] {
    for (const worker of this.#workers) while (worker.turn());
    return this.#workers.map(({ live }) => live);
  }

  #started(): TurnedWorker {
    if (this.#policy === null) throw new Error('no set');
    return startedWith(this.#policy, this.#batches);
  }
}

interface Launched {
  readonly policy: NumberedSet;
  readonly batches: SentBatch[];
  early: PolicyUpdate | null;
}

function startedWith(policy: NumberedSet, batches: readonly SentBatch[]): TurnedWorker {
  const worker = new TurnedWorker();
  expect(worker.live.take(policy).kind).toBe('taken');
  for (const batch of batches) {
    if (batch.sequence > worker.live.sequence) worker.live.identities(batch);
  }
  return worker;
}

/** Compiles one step a turn, when it is told to. */
class TurnedWorker {
  readonly live: LiveSnapshot;
  readonly #waiting: (() => void)[] = [];
  #nowMs = 0;

  constructor() {
    this.live = new LiveSnapshot({
      regexEngine,
      limits,
      platform: {
        clock: { nowMs: () => this.#nowMs++, wallMs: () => 0 },
        soon: (task) => this.#waiting.push(task),
      },
      events: {
        onSwap: (_taken, done) => this.#waiting.push(done),
        onRefused: (revision, problems) => {
          throw new Error(`revision ${revision}: ${problems.join('; ')}`);
        },
        onIdentities: () => {},
        onServices: () => {},
        onServicesBroken: (_sequence, problem) => expect.fail(problem),
        onBroken: (sequence, problem) => {
          throw new Error(`batch ${sequence}: ${problem}`);
        },
      },
    });
  }

  get isBusy(): boolean {
    return this.#waiting.length > 0;
  }

  /** False when nothing is under way. */
  turn(): boolean {
    const task = this.#waiting.shift();
    task?.();
    return task !== undefined;
  }
}
