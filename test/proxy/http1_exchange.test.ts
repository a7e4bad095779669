/** Requests and responses through the whole data plane: what each side sees, byte for byte. */
import { afterEach, describe, expect, it } from 'vitest';
import { allowHttp, closeRigs, startRig } from '../support/plane_rig.ts';
import { answerHeads, OK } from '../support/raw_origin.ts';

afterEach(closeRigs);

const DENIED =
  'HTTP/1.1 403 Forbidden\r\ncontent-length: 15\r\ncontent-type: text/plain\r\n\r\nAccess denied\r\n';

describe('one request at a time', () => {
  it('goes through as it is when a rule allows it', async () => {
    const rig = await startRig({ policy: allowHttp('GET /a'), script: answerHeads });
    const client = await rig.client();
    const head = 'GET /a HTTP/1.1\r\nhost: x\r\nx-Mixed: Case\r\n\r\n';
    client.send(head);
    expect(await client.until('ok')).toBe(OK);
    expect(rig.origin.received).toBe(head);
    expect(rig.recorder.summaries).toEqual(['forwarded allowed 200 /a']);
  });

  it('is answered here when no rule allows it, and the connection goes on', async () => {
    const rig = await startRig({ policy: allowHttp('GET /a'), script: answerHeads });
    const client = await rig.client();
    client.send('GET /b HTTP/1.1\r\nhost: x\r\n\r\n');
    expect(await client.until('denied\r\n')).toBe(DENIED);
    client.send('GET /a HTTP/1.1\r\nhost: x\r\n\r\n');
    expect(await client.until('ok')).toBe(DENIED + OK);
    expect(rig.origin.received).toBe('GET /a HTTP/1.1\r\nhost: x\r\n\r\n');
    expect(rig.recorder.summaries).toEqual([
      'denied no-http-rule-matched 403 /b',
      'forwarded allowed 200 /a',
    ]);
  });
});
