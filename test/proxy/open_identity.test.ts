/** Who the remote of an open connection is, when the policies that say so change. */
import { afterEach, describe, expect, it } from 'vitest';
import { closeRigs, cnp, startRig } from '../support/plane_rig.ts';
import { answerHeads } from '../support/raw_origin.ts';

afterEach(closeRigs);

const GET = 'GET /a HTTP/1.1\r\nhost: x\r\n\r\n';
const ALL = cnp('', { from: 'fromEntities: [all]' });
const NEW_CIDR_DENIED = `${ALL}  ingressDeny:\n    - fromCIDR: [127.0.0.0/8]\n`;
const NEW_CIDR_HTTP = `${cnp(', rules: { http: [{ path: /b }] }', { from: 'fromCIDR: [127.0.0.0/8]' })}`;
const BY_SOURCES = { identity: { kind: 'sources', sources: ['endpoints'] } } as const;

describe('the identity of an open connection', () => {
  it('is looked up again: a CIDR that a new policy denies closes it', async () => {
    const rig = await startRig({ policy: ALL, listener: BY_SOURCES, script: answerHeads });
    const client = await rig.client();
    client.send(GET);
    await client.until('ok');
    expect(rig.recorder.records[0]?.meta).toMatchObject({
      remoteIdentity: 2,
      identitySource: 'none',
    });
    rig.update(NEW_CIDR_DENIED);
    expect((await client.over()).how).toBe('reset');
    const [, closed] = rig.recorder.records;
    expect(closed).toMatchObject({ verdict: 'denied', fault: 'policy-changed' });
    expect(closed?.meta.identitySource).toBe('endpoints');
    expect(closed?.meta.remoteIdentity).toBeGreaterThan(255);
  });

  it('is looked up again: rules for a new CIDR judge its next request', async () => {
    const rig = await startRig({ policy: ALL, listener: BY_SOURCES, script: answerHeads });
    const client = await rig.client();
    client.send(GET);
    await client.until('ok');
    rig.update(NEW_CIDR_HTTP);
    client.send(GET);
    await client.until('denied\r\n');
    client.send(GET.replace('/a', '/b'));
    await client.until('ok', 2);
    const identities = rig.recorder.records.map(({ meta }) => meta.remoteIdentity);
    expect(identities[1]).toBe(identities[2]);
    expect(identities[1]).not.toBe(identities[0]);
  });

  it('that the listener fixes stays what it is', async () => {
    const policy = cnp('');
    const rig = await startRig({ policy, script: answerHeads });
    const client = await rig.client();
    client.send(GET);
    await client.until('ok');
    rig.update(`${policy}  ingressDeny:\n    - fromCIDR: [127.0.0.0/8]\n`);
    client.send(GET);
    await client.until('ok', 2);
    expect(rig.recorder.records.map(({ meta }) => meta.remoteIdentity)).toEqual([43, 43]);
  });
});
