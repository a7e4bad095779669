/** Who the sides of a recorded connection are, under a snapshot that may not be the one of its SYN. */
import { describe, expect, it } from 'vitest';
import { formatProblem } from '../../../src/control/decode/problem.ts';
import type { ConnectionMeta } from '../../../src/model/connection_meta.ts';
import { IDENTITY_WORLD, type Identity } from '../../../src/model/identity.ts';
import { DEFAULT_LIMITS } from '../../../src/model/limits.ts';
import type { PolicySnapshot } from '../../../src/policy/compiled/snapshot.ts';
import { confirmed } from '../../../src/proxy/resolve/recorded.ts';
import { resolveMeta } from '../../../src/proxy/resolve/resolve.ts';
import { identityCheck } from '../../../src/redirect/layout.ts';
import { createRe2Engine } from '../../../src/regex/re2_engine.ts';
import { BundleStore } from '../../support/bundle_store.ts';
import { address } from '../../support/plane_rig.ts';
import { RECORDED_LISTENER } from '../../support/redirected.ts';

const API = '10.0.0.7';
const CLIENT = '198.51.100.9';

/** Remotes by address; the judged endpoint is the API. */
const BEFORE = snapshotOf('');
const WITH_POD = snapshotOf(`  - { name: default/new, ip: ${CLIENT}, labels: { app: new } }`);
const WITH_OTHER = snapshotOf(`  - { name: default/x, ip: ${CLIENT}, labels: { app: other } }`);
const WITH_CIDR = snapshotOf('', '198.51.100.0/24');
const WITH_SMALLER_CIDR = snapshotOf('', '198.51.100.8/30');
const WITH_ALL = snapshotOf('', '0.0.0.0/0');
const API_IS_OTHER = snapshotOf('', '', 'other');

const HOST = 1 as Identity;

describe('the remote of a recorded connection', () => {
  const cases: readonly {
    readonly about: string;
    readonly recordedIn: PolicySnapshot;
    readonly identity?: Identity;
    readonly now: PolicySnapshot;
    readonly becomes: 'ended' | 'as recorded' | 'as known now';
  }[] = [
    { about: 'the world', recordedIn: BEFORE, now: BEFORE, becomes: 'as recorded' },
    {
      about: 'of the world, in a CIDR by now',
      recordedIn: BEFORE,
      now: WITH_CIDR,
      becomes: 'as known now',
    },
    {
      about: 'of a CIDR, in a smaller one by now',
      recordedIn: WITH_CIDR,
      now: WITH_SMALLER_CIDR,
      becomes: 'as known now',
    },
    {
      about: 'of a CIDR that is named still',
      recordedIn: WITH_CIDR,
      now: WITH_CIDR,
      becomes: 'as recorded',
    },
    {
      about: 'the world, all of which has a number by now',
      recordedIn: BEFORE,
      now: WITH_ALL,
      becomes: 'as known now',
    },
    { about: 'the world, an endpoint by now', recordedIn: BEFORE, now: WITH_POD, becomes: 'ended' },
    { about: 'an endpoint', recordedIn: WITH_POD, now: WITH_POD, becomes: 'as recorded' },
    { about: 'an endpoint that is gone', recordedIn: WITH_POD, now: BEFORE, becomes: 'ended' },
    {
      about: 'an endpoint, another by now',
      recordedIn: WITH_POD,
      now: WITH_OTHER,
      becomes: 'ended',
    },
    { about: 'the host', recordedIn: BEFORE, identity: HOST, now: BEFORE, becomes: 'as recorded' },
    {
      about: 'the host, in a CIDR',
      recordedIn: BEFORE,
      identity: HOST,
      now: WITH_CIDR,
      becomes: 'as recorded',
    },
    {
      about: 'the host, an endpoint by now',
      recordedIn: BEFORE,
      identity: HOST,
      now: WITH_POD,
      becomes: 'ended',
    },
  ];

  it.each(cases)('$about: $becomes', ({ recordedIn, identity, now, becomes }) => {
    const meta = recordedMeta(recordedIn, identity);
    const found = confirmed(meta, now);
    if (becomes === 'ended') expect(found).toBeNull();
    else if (becomes === 'as recorded') expect(found).toBe(meta);
    else expect(found?.remoteIdentity).toBe(now.ipcache.lookup(CLIENT));
  });

  it('whose number means other labels is nobody', () => {
    const meta = recordedMeta(WITH_POD);
    const recorded = meta.recorded;
    if (recorded === null) throw new Error('not recorded');
    const wrong = { ...recorded, source: { ...recorded.source, check: 1n } };
    expect(confirmed({ ...meta, recorded: wrong }, WITH_POD)).toBeNull();
  });
});

it('the judged endpoint’s address must be its own still', () => {
  expect(confirmed(recordedMeta(BEFORE), API_IS_OTHER)).toBeNull();
});

function recordedMeta(snapshot: PolicySnapshot, identity?: Identity): ConnectionMeta {
  const known = snapshot.ipcache.lookup(CLIENT);
  const source = identity ?? known ?? IDENTITY_WORLD;
  const destination = snapshot.ipcache.lookup(API) ?? IDENTITY_WORLD;
  const check = (of: Identity): bigint => identityCheck(snapshot.labels.labelsOf(of));
  const record = {
    timeNs: 1n,
    // As the kernel has it: the world by default has no entry, and so no check.
    source: {
      identity: source,
      check: source === IDENTITY_WORLD ? 0n : check(source),
      endpoint: 0,
    },
    destination: { identity: destination, check: check(destination), endpoint: 1 },
    generation: 1,
    isEgressJudged: false,
    isIngressJudged: true,
    ifindex: 7,
  };
  const ends = { source: address(`${CLIENT}:1234`), destination: address(`${API}:80`), record };
  return resolveMeta(1, ends, { options: RECORDED_LISTENER, snapshot, cilium: null });
}

function snapshotOf(endpoint: string, cidr = '', app = 'api'): PolicySnapshot {
  const endpoints = `endpoints:\n  - { name: default/api, ip: ${API}, labels: { app: ${app} } }\n${endpoint}\n`;
  const policy = `
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: { name: p, namespace: default }
spec:
  endpointSelector: { matchLabels: { app: ${app} } }
  ingress: [{ ${cidr === '' ? 'fromEntities: [world]' : `fromCIDR: [${cidr}]`} }]
`;
  const store = new BundleStore({
    regexEngine: createRe2Engine(DEFAULT_LIMITS),
    limits: DEFAULT_LIMITS,
  });
  const result = store.updateBundle({
    policies: [{ path: 'p.yaml', text: policy }],
    endpoints: { path: 'e.yaml', text: endpoints },
    secrets: null,
  });
  if (result.kind === 'rejected') throw new Error(result.problems.map(formatProblem).join('\n'));
  return store.current();
}
