/** What goes on and what does not, and that a permit is good for nothing but what was judged. */
import { Socket } from 'node:net';
import { describe, expect, it } from 'vitest';
import { NO_FIELDS, NO_MUTATIONS } from '../../../src/model/decision.ts';
import { IDENTITY_WORLD } from '../../../src/model/identity.ts';
import type { PermitFacts } from '../../../src/model/permit.ts';
import { PLAIN_SOCKETS } from '../../../src/platform/sockets.ts';
import { denyAllSnapshot } from '../../../src/policy/compile/compile.ts';
import type { PolicySnapshot } from '../../../src/policy/compiled/snapshot.ts';
import {
  Admission,
  admittedFields,
  admittedMutations,
} from '../../../src/proxy/judge/admission.ts';
import { PolicySubject } from '../../../src/proxy/judge/policy_subject.ts';
import { connect } from '../../../src/proxy/transport/connect.ts';
import { address, allow, deny, meta } from '../../observe/records.ts';
import { permitFor } from '../../support/permits.ts';

const CONNECTION = meta({ upstream: address('10.0.0.7:8080') });
const CHANGED = allow({
  mutations: [{ kind: 'add', name: 'x-a', value: '1' }],
  judgedFields: ['x-a'],
});

function nothing(): PolicySnapshot {
  return denyAllSnapshot({ ipcache: { lookup: () => null }, labels: { labelsOf: () => [] } });
}

function admission(isDryRun: boolean) {
  let snapshot: PolicySnapshot = nothing();
  const subject = new PolicySubject(CONNECTION, {
    currentSnapshot: () => snapshot,
    identity: { kind: 'fixed', identity: IDENTITY_WORLD },
    cilium: null,
  });
  const change = (): void => {
    snapshot = nothing();
    subject.judgeConnection();
  };
  return { made: new Admission(subject, isDryRun), change, current: () => snapshot };
}

describe('an admission', () => {
  it('gives an allow its permit, with what was permitted', () => {
    const { made, current } = admission(false);
    expect(made.denialOf(CHANGED)).toBeNull();
    expect(made.permitFor(CHANGED)).toEqual({
      connectionId: CONNECTION.connectionId,
      remoteIdentity: CONNECTION.remoteIdentity,
      secondIdentity: null,
      upstream: CONNECTION.upstream,
      revision: 0,
      judgedBy: current(),
      isDryRun: false,
    });
    expect(admittedMutations(CHANGED)).toBe(CHANGED.mutations);
    expect(admittedFields(CHANGED)).toBe(CHANGED.judgedFields);
  });

  it('gives a denial none', () => {
    const { made } = admission(false);
    const denial = deny();
    expect(made.permitFor(denial)).toBeNull();
    expect(made.denialOf(denial)).toBe(denial);
  });

  it('lets a denial through in dry-run, as it came, and says so', () => {
    const { made } = admission(true);
    const denial = deny({ mutations: CHANGED.mutations });
    expect(made.denialOf(denial)).toBeNull();
    expect(made.permitFor(denial)).toMatchObject({ isDryRun: true });
    expect(made.permitFor(CHANGED)).toMatchObject({ isDryRun: false });
    expect(admittedMutations(denial)).toBe(NO_MUTATIONS);
    expect(admittedFields(denial)).toBe(NO_FIELDS);
  });

  it('makes one for each policy, not for each request', () => {
    const { made, change, current } = admission(false);
    const first = made.permitFor(CHANGED);
    expect(made.permitFor(allow())).toBe(first);
    change();
    expect(made.permitFor(allow())).not.toBe(first);
    expect(made.permitFor(allow())?.judgedBy).toBe(current());
  });
});

describe('a permit', () => {
  const IN_FORCE = {};
  const wrong: readonly [what: string, changes: Partial<PermitFacts>][] = [
    ['connection', { connectionId: CONNECTION.connectionId + 1 }],
    ['destination', { upstream: address('10.0.0.7:8081') }],
    ['destination', { upstream: address('10.0.0.8:8080') }],
    ['policy', { judgedBy: {} }],
  ];

  it.each(wrong)('of another %s connects nothing: %j', (what, changes) => {
    const { asked, options } = sockets();
    const permit = permitFor(CONNECTION, IN_FORCE, changes);
    expect(() => connect(permit, CONNECTION, options)).toThrow(what);
    expect(asked).toEqual([]);
  });

  it('connects what it was made for', () => {
    const { asked, options } = sockets();
    connect(permitFor(CONNECTION, IN_FORCE), CONNECTION, options);
    expect(asked).toEqual([CONNECTION.upstream]);
  });

  function sockets() {
    const asked: unknown[] = [];
    const connectTo = (target: unknown): Socket => {
      asked.push(target);
      return new Socket();
    };
    const options = {
      sockets: { ...PLAIN_SOCKETS, connect: connectTo },
      currentSnapshot: () => IN_FORCE,
      bufferBytesMax: 65_536,
      onRead: () => {},
      sender: null,
    };
    return { asked, options };
  }
});
