/** A request that waits for its connection to the upstream is judged by the policy in force when it is sent. */
import { afterEach, describe, expect, it } from 'vitest';
import { PLAIN_SOCKETS } from '../../src/platform/sockets.ts';
import { clientHello } from '../support/client_hello.ts';
import { allowHttp, closeRigs, cnp, type Rig, startRig } from '../support/plane_rig.ts';
import { OK } from '../support/raw_origin.ts';

afterEach(closeRigs);

const POST = 'POST /a HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n\r\nbody';
const GET_B = 'GET /b HTTP/1.1\r\nhost: x\r\n\r\n';

describe('a policy that changes while a request waits for its connection', () => {
  it('and denies it: answered here, content and all, not a byte upstream; the connection goes on', async () => {
    const { rig } = await flipped(allowHttp('* /a', '* /b'), allowHttp('* /b'));
    const client = await rig.client();
    client.send(POST);
    await client.until('denied\r\n');
    client.send(GET_B);
    const origin = await rig.origin.connection();
    await origin.until('\r\n\r\n');
    origin.send(OK);
    await client.until('ok');
    expect(rig.origin.received).toBe(GET_B);
    expect(rig.recorder.summaries).toEqual([
      'denied no-http-rule-matched 403 /a',
      'forwarded allowed 200 /b',
    ]);
  });

  it('and changes other fields: sent as the one in force wants it', async () => {
    const rule = (name: string): string =>
      cnp(
        `, rules: { http: [{ path: /a, headerMatches: [{ name: ${name}, value: v, mismatch: ADD }] }] }`,
      );
    const { rig } = await flipped(rule('x-before'), rule('x-after'));
    const client = await rig.client();
    client.send(POST);
    const origin = await rig.origin.connection();
    await origin.until('body');
    expect(origin.received).toBe(POST.replace('\r\n\r\n', '\r\nx-after: v\r\n\r\n'));
    origin.send(OK);
    await client.until('ok');
    expect(rig.recorder.records[0]?.policyRevision).toBe(2);
  });

  it('and still allows it: sent as it is', async () => {
    const { rig } = await flipped(allowHttp('* /a'), allowHttp('POST /a'));
    const client = await rig.client();
    client.send(POST);
    const origin = await rig.origin.connection();
    await origin.until('body');
    expect(origin.received).toBe(POST);
  });

  it('and denies the retry of a request: nothing of it goes out on the fresh connection', async () => {
    const both = allowHttp('* /a', '* /b');
    const rig = await startRig({ policy: both });
    const client = await rig.client();
    client.send(GET_B);
    const origin = await rig.origin.connection();
    await origin.until('\r\n\r\n');
    origin.send(OK);
    await client.until('ok');
    client.send(GET_B);
    await origin.until('\r\n\r\n', 2);
    rig.update(allowHttp('* /a'));
    origin.end();
    await client.until('denied\r\n');
    expect(
      rig.origin.connections
        .slice(1)
        .map(({ received }) => received)
        .join(''),
    ).toBe('');
  });

  it('and puts HTTP rules on the port of a TLS connection: reset, not a byte upstream', async () => {
    const { rig } = await flipped(cnp(', serverNames: ["a.test"]'), allowHttp('* /b'));
    const client = await rig.client();
    client.send(clientHello('a.test'));
    expect((await client.over()).how).toBe('reset');
    expect(rig.origin.received).toBe('');
    expect(rig.recorder.summaries.at(-1)).toMatch(/^denied policy-changed /);
  });
});

/** The second policy comes into force when the first request begins to connect. */
async function flipped(before: string, after: string): Promise<{ rig: Rig }> {
  let isArmed = true;
  const rig = await startRig({
    policy: before,
    sockets: {
      listen: (server, options) => PLAIN_SOCKETS.listen(server, options),
      connect: (target, options) => {
        const socket = PLAIN_SOCKETS.connect(target, options);
        if (isArmed) queueMicrotask(() => rig.update(after));
        isArmed = false;
        return socket;
      },
    },
  });
  return { rig };
}
