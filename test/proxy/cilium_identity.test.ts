/** Identities by Cilium's own maps: which source is asked when, and what open connections keep. */
import { afterEach, describe, expect, it } from 'vitest';
import type { Identity } from '../../src/model/identity.ts';
import type { IdentitySourceName } from '../../src/proxy/plane/options.ts';
import { closeRigs, cnp, ENDPOINTS, type Rig, startRig } from '../support/plane_rig.ts';
import { answerHeads } from '../support/raw_origin.ts';

afterEach(closeRigs);

const GET = 'GET /a HTTP/1.1\r\nhost: x\r\n\r\n';
const ONCE = GET.replace('\r\n\r\n', '\r\nconnection: close\r\n\r\n');
const CLIENT = 43 as Identity;
const OTHER = 44 as Identity;
const ALL: readonly IdentitySourceName[] = ['bpf-conntrack', 'bpf-ipcache', 'endpoints'];
/** The client of these tests is 127.0.0.1. */
const KNOWN = ENDPOINTS.replace('10.0.0.8', '127.0.0.1');

class Cilium {
  bySource: Identity | null = null;
  byAddress: Identity | null = null;
  readonly asked: string[] = [];

  sourceOf(): Identity | null {
    this.asked.push('conntrack');
    return this.bySource;
  }

  identityOf(): Identity | null {
    this.asked.push('ipcache');
    return this.byAddress;
  }

  close(): void {}
}

describe('the first source that knows', () => {
  it.each([
    {
      bySource: CLIENT,
      byAddress: OTHER,
      endpoints: ENDPOINTS,
      source: 'bpf-conntrack',
      status: 200,
    },
    { bySource: null, byAddress: CLIENT, endpoints: ENDPOINTS, source: 'bpf-ipcache', status: 200 },
    { bySource: OTHER, byAddress: CLIENT, endpoints: KNOWN, source: 'bpf-conntrack', status: 0 },
    { bySource: null, byAddress: OTHER, endpoints: KNOWN, source: 'bpf-ipcache', status: 0 },
    { bySource: null, byAddress: null, endpoints: KNOWN, source: 'endpoints', status: 200 },
    { bySource: null, byAddress: null, endpoints: ENDPOINTS, source: 'none', status: 0 },
  ])('$source: $status', async ({ bySource, byAddress, endpoints, source, status }) => {
    const { rig } = await start({ bySource, byAddress }, endpoints);
    await rig.exchange(ONCE);
    expect(rig.recorder.records).toHaveLength(1);
    expect(rig.recorder.records[0]).toMatchObject({ status, meta: { identitySource: source } });
  });
});

describe('an open connection', () => {
  it('keeps whom conntrack named: it is a fact of the connection', async () => {
    const { rig, cilium } = await start({ bySource: CLIENT }, ENDPOINTS);
    const client = await rig.client();
    client.send(GET);
    await client.until('ok');
    cilium.bySource = OTHER;
    rig.update(cnp(', rules: { http: [{ path: /a }, { path: /b }] }'));
    client.send(GET);
    await client.until('ok', 2);
    expect(rig.recorder.records[1]?.meta.remoteIdentity).toBe(CLIENT);
  });

  it('is judged by whom its address belongs to, once the policy is another', async () => {
    const { rig, cilium } = await start({ byAddress: CLIENT }, ENDPOINTS);
    const client = await rig.client();
    client.send(GET);
    await client.until('ok');
    cilium.byAddress = OTHER;
    rig.update(cnp(', rules: { http: [{ path: /a }, { path: /b }] }'));
    await client.over();
    expect(rig.recorder.closed).toEqual(['policy-changed']);
  });
});

it('at egress conntrack is not asked: it names the endpoint itself', async () => {
  const { rig, cilium } = await start({ bySource: CLIENT, byAddress: OTHER }, KNOWN, 'egress');
  await rig.exchange(ONCE);
  expect(new Set(cilium.asked)).toEqual(new Set(['ipcache']));
  expect(rig.recorder.records[0]?.meta).toMatchObject({ remoteIdentity: OTHER });
});

async function start(
  known: { readonly bySource?: Identity | null; readonly byAddress?: Identity | null },
  endpoints: string,
  direction: 'ingress' | 'egress' = 'ingress',
): Promise<{ readonly rig: Rig; readonly cilium: Cilium }> {
  const cilium = Object.assign(new Cilium(), known);
  const rig = await startRig({
    cilium,
    endpoints,
    policy: cnp(', rules: { http: [{ path: /a }] }'),
    script: answerHeads,
    listener: { direction, identity: { kind: 'sources', sources: ALL } },
  });
  return { rig, cilium };
}
