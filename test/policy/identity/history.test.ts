/**
 * A history of batches and a fresh compile of its end say the same: what a worker decides, what explain says, and
 * what a kernel finds in its tables.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  IDENTITY_WORLD,
  type Identity,
  type Port,
  type ProxyId,
} from '../../../src/model/identity.ts';
import { plainHead } from '../../../src/model/request_head.ts';
import type { PolicySnapshot } from '../../../src/policy/compiled/snapshot.ts';
import { decideConnection, decideRequest } from '../../../src/policy/decide/decide.ts';
import { explainRequest } from '../../../src/policy/decide/explain.ts';
import { IdentityLedger } from '../../../src/policy/identity/ledger.ts';
import { SubjectNumbers } from '../../../src/policy/identity/subject_numbers.ts';
import { allocatorOf } from '../../support/allocator.ts';
import {
  ADDRESSES,
  anyInventory,
  anySpecs,
  freshlyCompiled,
  METHODS,
  PORTS,
} from '../../support/identity_history.ts';
import { modelOf } from '../../support/kernel_model.ts';
import { runs } from '../../support/property_runs.ts';

const DIRECTIONS = ['ingress', 'egress'] as const;
const TCP = 6;

describe('a history of batches', () => {
  it('ends where a fresh compile of its end is', () => {
    let batchCount = 0;
    fc.assert(
      fc.property(
        anySpecs,
        fc.array(anyInventory, { minLength: 2, maxLength: 5 }),
        (specs, all) => {
          const kept = { allocator: allocatorOf(1000), subjects: new SubjectNumbers() };
          const [first, ...later] = all;
          const start = freshlyCompiled(specs, first as (typeof all)[0], kept);
          if (start === null) return;
          // Rules that were made with their remotes do not say which of them are about names, which a kernel is not told.
          const hasNames = specs.some(({ rules }) =>
            rules.some(({ peers }) => peers?.some(({ kind }) => kind === 'fqdn')),
          );
          const ledger = new IdentityLedger(start.whole);
          let snapshot = start.snapshot;
          for (const inventory of later) {
            const fresh = freshlyCompiled(specs, inventory, kept);
            if (fresh === null) throw new Error('a conflict that an inventory made');
            // Views that connections have asked for must not be answered with later.
            const told = verdictsOf(snapshot);
            const before = snapshot;
            const batch = ledger.become(fresh.whole);
            if (batch !== null) snapshot = snapshot.after(batch, fresh.snapshot.node.workloads);
            batchCount += batch === null ? 0 : 1;
            for (const other of [fresh.plain, fresh.snapshot]) {
              expect(verdictsOf(snapshot)).toEqual(verdictsOf(other));
              if (hasNames && other === fresh.plain) continue;
              expect(kernelVerdictsOf(snapshot)).toEqual(kernelVerdictsOf(other));
            }
            // What a decision holds on to is of its own moment.
            expect(verdictsOf(before)).toEqual(told);
          }
        },
      ),
      runs(20),
    );
    expect(batchCount).toBeGreaterThan(0);
  });
});

function verdictsOf(snapshot: PolicySnapshot): readonly string[] {
  const shadow = snapshot.shadow === null ? [] : verdictsOf(snapshot.shadow);
  return [...questions(snapshot), ...shadow];
}

function* questions(snapshot: PolicySnapshot): Generator<string> {
  for (const ip of ADDRESSES) {
    const endpoint = snapshot.endpoint(ip);
    yield `${ip} ${endpoint.name}`;
    if (!endpoint.isKnown) continue;
    for (const direction of DIRECTIONS) {
      for (const port of PORTS) {
        const rules = endpoint.port(direction, 'TCP', port as Port);
        for (const remoteIp of ADDRESSES) {
          const remote = snapshot.ipcache.lookup(remoteIp) ?? IDENTITY_WORLD;
          const view = rules.view(0 as ProxyId, remote);
          const about = `${ip} ${direction} ${port} ${remoteIp}`;
          const connection = decideConnection(view, '');
          const requests = METHODS.map((method) => {
            const head = plainHead({ method, path: '/', authority: 'test' });
            const decision = decideRequest(view, '', head);
            expect(explainRequest(view, '', head).decision.verdict).toBe(decision.verdict);
            return `${decision.verdict} ${decision.rule?.policy ?? decision.reason}`;
          });
          yield `${about}: ${connection.verdict} ${view.hasL7Rules} ${requests.join(' ')}`;
        }
      }
    }
  }
}

function kernelVerdictsOf(snapshot: PolicySnapshot): readonly string[] {
  const model = modelOf(snapshot);
  const verdicts: string[] = [];
  for (const ip of ADDRESSES) {
    const { endpoint, identity } = model.side(ip);
    verdicts.push(`${ip} ${identity}`);
    if (endpoint === 0) continue;
    for (const direction of DIRECTIONS) {
      const policy = model.policyOf(endpoint, direction);
      for (const port of PORTS) {
        for (const remoteIp of ADDRESSES) {
          const remote = model.side(remoteIp).identity as Identity;
          const verdict = model.verdict(policy, { protocol: TCP, port, remote });
          verdicts.push(`${ip} ${direction} ${port} ${remoteIp}: ${verdict}`);
        }
      }
    }
  }
  return verdicts;
}
