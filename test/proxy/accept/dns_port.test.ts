/** A port with DNS rules only: nothing here parses DNS, so no byte of any protocol goes upstream. */
import { afterEach, describe, expect, it } from 'vitest';
import { clientHello } from '../../support/client_hello.ts';
import { closeRigs, startRig } from '../../support/plane_rig.ts';
import { compiled, dns, endpoint, port, rule } from '../../support/wire_policy.ts';

afterEach(closeRigs);

const policy = endpoint([port('8080', [rule('names', { l7: dns('*') })])]);
const snapshot = compiled({ ...policy, endpointIps: ['10.0.0.7'] });
const QUESTION = Buffer.from('001d000101000001000000000000016104746573740000010001', 'hex');

describe('a port with DNS rules', () => {
  const cases: readonly [string, Buffer, string][] = [
    ['TLS', clientHello('a.test'), 'denied not-judgeable 0 -'],
    [
      'HTTP/1.1',
      Buffer.from('GET / HTTP/1.1\r\nHost: a.test\r\n\r\n'),
      'denied no-http-rule-matched 403 /',
    ],
  ];
  it.each(cases)('lets no %s through', async (_about, bytes, summary) => {
    const rig = await startRig({ currentSnapshot: () => snapshot });
    const client = await rig.client();
    client.send(bytes);
    client.end();
    await client.over();
    expect(rig.recorder.summaries).toEqual([summary]);
    expect(rig.origin.connections).toEqual([]);
  });

  it('lets no DNS over TCP through', async () => {
    const rig = await startRig({ currentSnapshot: () => snapshot });
    const client = await rig.client();
    client.send(QUESTION);
    await client.over();
    expect(rig.origin.connections).toEqual([]);
  });
});
