/**
 * Policies, pods, nodes and Services change in any order: a store that makes only what differs, a worker that is told
 * only that, and one that starts later, judge as those do who are given the end of it at once.
 */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { PolicyChecker } from '../../../src/control/set/policy_checker.ts';
import { encodeBatch, type SentBatch } from '../../../src/control/worker/identity_wire.ts';
import {
  LiveSnapshot,
  type NumberedSet,
  newest,
  type PolicyUpdate,
} from '../../../src/control/worker/live_snapshot.ts';
import { IdentityAllocator } from '../../../src/policy/resolve/identity_allocator.ts';
import { EMPTY_INVENTORY } from '../../../src/policy/resolve/inventory.ts';
import { anyChange, changed, RESIDENTS } from '../../support/inventory_changes.ts';
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
  updateOf,
} from '../../support/policy_histories.ts';
import { runs } from '../../support/property_runs.ts';

const history = fc.record({
  policies,
  steps: fc.array(
    fc.record({
      changes: fc.oneof(
        fc.constant([]),
        fc.constant([]),
        fc.array(anyChange, { minLength: 1, maxLength: 2 }),
      ),
      policies: fc.option(policies),
      isStart: fc.boolean(),
    }),
    { minLength: 4, maxLength: 8 },
  ),
});

it(
  'whatever came before, the same verdicts are given as of the last of it alone',
  () => {
    const seen = { rules: 0, wholes: 0, batches: 0, starts: 0 };
    fc.assert(
      fc.property(history, (given) => {
        const allocator = new IdentityAllocator(limits);
        const store = new PolicyChecker({ ...STORE, allocator });
        const supervised = new Supervised();
        let documents = documentsOf(given.policies);
        let inventory = EMPTY_INVENTORY;
        const first = { changes: RESIDENTS, policies: null, isStart: true };
        for (const step of [first, ...given.steps]) {
          for (const one of step.changes) inventory = changed(inventory, one);
          if (step.policies !== null) documents = documentsOf(step.policies);
          const input = inputOf(documents, inventory);
          const numbers = allocator.given();
          const before = store.current();
          const moved = before.revision === 0 ? null : store.move(input);
          if (moved !== null) {
            seen.batches += 1;
            if (moved.batch !== null) supervised.identities(encodeBatch(moved.batch));
          } else {
            const result = store.update(input);
            if (result.kind === 'rejected') {
              expect(freshOf(input, numbers)).toBeNull();
              continue;
            }
            if (result.revision !== before.revision) {
              seen[result.isWhoSame ? 'rules' : 'wholes'] += 1;
              supervised.update(updateOf(result));
            }
          }
          const fresh = freshOf(input, moved === null ? numbers : allocator.given());
          if (fresh === null) throw new Error('a set that was taken is refused');
          const expected = factsOf(fresh.current());
          expect(factsOf(store.current())).toEqual(expected);
          expect(factsOf(supervised.worker.current())).toEqual(expected);
          if (!step.isStart) continue;
          seen.starts += 1;
          expect(factsOf(supervised.started().current())).toEqual(expected);
        }
      }),
      runs(15),
    );
    expect(Math.min(seen.rules, seen.wholes, seen.batches, seen.starts)).toBeGreaterThan(2);
  },
  PATIENCE_MS,
);

/** What a supervisor keeps for workers that start, and one that runs. */
class Supervised {
  readonly worker = workerOf();
  #policy: NumberedSet | null = null;
  #batches: SentBatch[] = [];

  update(policy: PolicyUpdate): void {
    const before = this.#policy;
    if (policy.parts !== undefined) {
      this.#policy = policy;
      this.#batches = [];
      if (before === null) expect(this.worker.take(policy).kind).toBe('taken');
    } else if (before === null) throw new Error('rules before a set');
    else this.#policy = newest(before, policy);
    if (before !== null) this.worker.update(policy);
  }

  identities(batch: SentBatch): void {
    this.#batches.push(batch);
    this.worker.identities(batch);
  }

  started(): LiveSnapshot {
    const worker = workerOf();
    if (this.#policy === null) throw new Error('no set');
    expect(worker.take(this.#policy).kind).toBe('taken');
    for (const batch of this.#batches) {
      if (batch.sequence > worker.sequence) worker.identities(batch);
    }
    return worker;
  }
}

/** Without anything in between: each set is in force when `update` returns. */
function workerOf(): LiveSnapshot {
  let nowMs = 0;
  return new LiveSnapshot({
    regexEngine,
    limits,
    platform: { clock: { nowMs: () => nowMs++, wallMs: () => 0 }, soon: (task) => task() },
    events: {
      onSwap: (_taken, done) => done(),
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
