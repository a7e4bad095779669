/**
 * Batches of identities in the kernel's tables: what they leave behind is what tables made of the end of the history
 * say, and a loader that dies among them leaves nothing that both states deny.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type IpPrefix, parsePrefix } from '../../src/model/address.ts';
import type { Identity } from '../../src/model/identity.ts';
import type { PolicySnapshot } from '../../src/policy/compiled/snapshot.ts';
import { IdentityLedger } from '../../src/policy/identity/ledger.ts';
import { SubjectNumbers } from '../../src/policy/identity/subject_numbers.ts';
import { kernelDelta } from '../../src/policy/kernel/kernel_delta.ts';
import { type KernelTable, kernelTable } from '../../src/policy/kernel/kernel_table.ts';
import { NO_BEHIND_CHANGES } from '../../src/redirect/behind.ts';
import { encodeSettings } from '../../src/redirect/layout.ts';
import { planOf } from '../../src/redirect/plan.ts';
import type { TableDelta } from '../../src/redirect/table_delta.ts';
import { TableUpdater } from '../../src/redirect/table_updater.ts';
import { allocatorOf } from '../support/allocator.ts';
import {
  ADDRESSES,
  anyInventory,
  anySpecs,
  freshlyCompiled,
  PORTS,
} from '../support/identity_history.ts';
import { KernelModel, planInputOf } from '../support/kernel_model.ts';
import { runs } from '../support/property_runs.ts';
import { fakeMaps } from './fake_node.ts';

const TCP = 6;

describe('deltas in the tables in force', () => {
  it('end where tables made of the end of the history are; death among them lets nothing through that both deny', () => {
    let changeCount = 0;
    fc.assert(
      fc.property(
        anySpecs,
        fc.array(anyInventory, { minLength: 2, maxLength: 5 }),
        (specs, all) => {
          const kept = { allocator: allocatorOf(1000), subjects: new SubjectNumbers() };
          const [first, ...later] = all;
          const start = freshlyCompiled(specs, first as (typeof all)[0], kept);
          if (start === null) return;
          const ledger = new IdentityLedger(start.whole);
          const scene = new Scene(start.snapshot);
          for (const inventory of later) {
            const fresh = freshlyCompiled(specs, inventory, kept);
            if (fresh === null) throw new Error('a conflict that an inventory made');
            const batch = ledger.become(fresh.whole);
            if (batch === null) continue;
            const after = scene.snapshot.after(batch, fresh.snapshot.node.workloads);
            const change = { before: scene.snapshot, after, batches: [batch] };
            const delta = kernelDelta(scene.table, change);
            if (delta === null) {
              scene.putInForce(after);
              continue;
            }
            changeCount += 1;
            const labelsOf = (identity: Identity) => after.labels.labelsOf(identity);
            scene.change({ ...delta, labelsOf, behind: NO_BEHIND_CHANGES }, after);
            expect(scene.verdicts()).toEqual(verdictsOf(modelOfPlan(after)));
          }
        },
      ),
      runs(25),
    );
    expect(changeCount).toBeGreaterThan(0);
  });
});

/** Prefix length → identity, of prefixes that all hold one address. */
const anyOwners = fc
  .array(fc.tuple(fc.constantFrom(32, 25, 24, 8), fc.integer({ min: 1, max: 9 })))
  .map((owners) => new Map(owners));

describe('prefixes within each other', () => {
  it('give an address to who had it before or to who has it after, at each write', () => {
    fc.assert(
      fc.property(anyOwners, anyOwners, (before, after) => {
        let budget = Number.POSITIVE_INFINITY;
        const maps = fakeMaps(() => {
          if (budget-- <= 0) throw new Error('killed');
        });
        maps.settings.update(
          Buffer.alloc(4),
          encodeSettings({ generation: 7, isHostJudged: false }),
        );
        const updater = new TableUpdater(maps);
        const ownerOf = (): number => KernelModel.in(maps, 7).side(INNERMOST).identity;
        updater.change(addressDelta(new Map(), before));
        const had = ownerOf();
        const delta = addressDelta(before, after);
        const seen: number[] = [];
        for (;;) {
          budget = seen.length;
          try {
            updater.change(delta);
            break;
          } catch (error) {
            expect(String(error)).toContain('killed');
            budget = Number.POSITIVE_INFINITY;
            seen.push(ownerOf());
          }
        }
        const owners = [had, ownerOf()];
        for (const owner of seen) expect(owners).toContain(owner);
      }),
      runs(300),
    );
  });
});

const INNERMOST = '192.0.2.5';

function addressDelta(
  before: ReadonlyMap<number, number>,
  after: ReadonlyMap<number, number>,
): TableDelta {
  const changed = [...after].filter(([length, identity]) => before.get(length) !== identity);
  const gone = [...before.keys()].filter((length) => !after.has(length));
  return {
    verdicts: [],
    addresses: changed.map(([length, identity]) => ({
      prefix: prefixAround(length),
      identity: identity as Identity,
    })),
    goneAddresses: gone.map(prefixAround),
    goneVerdicts: [],
    labelsOf: () => [],
    behind: NO_BEHIND_CHANGES,
  };
}

function prefixAround(length: number): IpPrefix {
  const options = { allowBare: false, allowHostBits: true };
  return parsePrefix(`${INNERMOST}/${length}`, options) as IpPrefix;
}

class Scene {
  snapshot: PolicySnapshot;
  table: KernelTable;
  #budget = Number.POSITIVE_INFINITY;
  readonly #maps = fakeMaps(() => {
    if (this.#budget-- <= 0) throw new Error('killed');
  });

  constructor(snapshot: PolicySnapshot) {
    this.snapshot = snapshot;
    this.table = this.putInForce(snapshot);
  }

  putInForce(snapshot: PolicySnapshot): KernelTable {
    const updater = new TableUpdater(this.#maps);
    updater.putInForce(planOf(planInputOf(snapshot)));
    updater.removeOthers();
    this.snapshot = snapshot;
    this.table = kernelTable(snapshot, { isDnsAllowed: false });
    return this.table;
  }

  /** Dies at each write, as far as it comes, and begins again: the same writes may be made twice. */
  change(delta: TableDelta, after: PolicySnapshot): void {
    const before = this.verdicts();
    const end = verdictsOf(modelOfPlan(after));
    for (let alive = 0; ; alive++) {
      this.#budget = alive;
      try {
        new TableUpdater(this.#maps).change(delta);
        break;
      } catch (error) {
        expect(String(error)).toContain('killed');
        this.#budget = Number.POSITIVE_INFINITY;
        this.verdicts().forEach((verdict, at) => {
          expect([before[at], end[at]]).toContain(verdict);
        });
      }
    }
    this.#budget = Number.POSITIVE_INFINITY;
    this.snapshot = after;
  }

  /** What a kernel finds in the maps now. */
  verdicts(): readonly string[] {
    const { generation } = new TableUpdater(this.#maps);
    return verdictsOf(KernelModel.in(this.#maps, generation));
  }
}

function modelOfPlan(snapshot: PolicySnapshot): KernelModel {
  return KernelModel.of(planOf(planInputOf(snapshot)));
}

function verdictsOf(model: KernelModel): readonly string[] {
  return ADDRESSES.flatMap((ip) => {
    const { endpoint } = model.side(ip);
    if (endpoint === 0) return [`${ip} is no endpoint of this node`];
    return (['ingress', 'egress'] as const).flatMap((direction) =>
      PORTS.flatMap((port) =>
        ADDRESSES.map((remoteIp) => {
          const remote = model.side(remoteIp).identity as Identity;
          const policy = model.policyOf(endpoint, direction);
          const verdict = model.verdict(policy, { protocol: TCP, port, remote });
          return `${ip} ${direction} ${port} ${remoteIp}: ${verdict}`;
        }),
      ),
    );
  });
}
