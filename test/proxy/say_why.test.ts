/**
 * What is told of a request that was refused before it could be judged, and of a response that cannot be
 * used: the rule, and which request it was. Never a value of a field, never a password, never more than
 * so many bytes.
 */
import { afterEach, describe, expect, it } from 'vitest';
import type { RequestRecord } from '../../src/model/record.ts';
import { headers, SETTINGS_ACK, settings } from '../codec/http2/wire.ts';
import { POLICY } from '../observe/records.ts';
import { causeText } from '../support/http1_driver.ts';
import { wireClient } from '../support/http2_wire_peers.ts';
import { closeRigs, type Rig, startRig } from '../support/plane_rig.ts';
import { ReadableLines } from '../support/readable_lines.ts';

afterEach(closeRigs);

interface Line {
  readonly fault?: string;
  readonly detail?: string;
  readonly http?: Record<string, unknown>;
}

function lineOf(record: RequestRecord | undefined, isQueryLogged = false): Line {
  if (record === undefined) throw new Error('no record');
  const lines = new ReadableLines({ headers: [], isQueryLogged });
  lines.policyChanged(POLICY, ['sesame-secret']);
  return JSON.parse(lines.text(record)) as Line;
}

async function refused(request: string): Promise<RequestRecord> {
  const rig = await startRig();
  await rig.exchange(request);
  const [record] = await rig.recorder.untilRecords(1);
  return record as RequestRecord;
}

describe('a request over HTTP/1.1 that is refused', () => {
  it.each<[string, string, string, Record<string, unknown>]>([
    [
      'bad byte in the path',
      'GET /f\\a?token=x HTTP/1.1\r\nHost: svc\r\n\r\n',
      'path-character 6 0x5c',
      { version: 'HTTP/1.1', method: 'GET', host: 'svc', path: '/f\\a', status: 400 },
    ],
    [
      'a target with a space',
      'GET /a b HTTP/1.1\r\nhost:svc\r\n\r\n',
      'version-form 7 0x62',
      { version: 'HTTP/1.1', method: 'GET', host: 'svc', path: '/a b', status: 400 },
    ],
    [
      'LF line ends',
      'GET /a HTTP/1.1\nAccept: x\nHost: svc\n\n',
      'start-line-bare-lf 15 0x0a',
      { version: 'HTTP/1.1', method: 'GET', host: 'svc', path: '/a', status: 400 },
    ],
    [
      'no host',
      'GET /a HTTP/1.1\r\n\r\n',
      'host-missing',
      { version: 'HTTP/1.1', method: 'GET', path: '/a', status: 400 },
    ],
    [
      'a password in the host and in the target',
      'GET http://u:pw@svc/a HTTP/1.1\r\nHost: u:pw@svc\r\n\r\n',
      'host-userinfo',
      {
        version: 'HTTP/1.1',
        method: 'GET',
        host: '[redacted]@svc',
        path: 'http://[redacted]@svc/a',
        status: 400,
      },
    ],
    [
      'a secret of a policy',
      'GET /sesame-secret\\ HTTP/1.1\r\nHost: svc\r\n\r\n',
      'path-character 18 0x5c',
      { version: 'HTTP/1.1', method: 'GET', host: 'svc', path: '/[redacted]\\', status: 400 },
    ],
    ['bytes of another protocol', '\x80\x81\x82\r\n\r\n', '', { status: 400 }],
    [
      'a very long one',
      `GET /${'a'.repeat(40_000)} HTTP/1.1\r\nHost: svc\r\n\r\n`,
      'target-too-long',
      {
        version: 'HTTP/1.1',
        method: 'GET',
        path: `/${'a'.repeat(511)}`,
        truncated: true,
        status: 414,
      },
    ],
    [
      'a method of 10,000 bytes',
      `${'M'.repeat(10_000)} / HTTP/1.1\r\nHost: svc\r\n\r\n`,
      'method-too-long',
      {
        version: 'HTTP/1.1',
        method: 'M'.repeat(64),
        host: 'svc',
        path: '/',
        truncated: true,
        status: 501,
      },
    ],
  ])('%s', async (_, request, cause, http) => {
    const record = await refused(request);
    expect(causeText(record.cause)).toBe(cause);
    const line = lineOf(record);
    expect(line.http).toMatchObject(http);
    expect(line.detail).toBe(record.cause?.detail);
  });

  it('shows the query when the log does', async () => {
    const record = await refused('GET /a?b=\xc3 HTTP/1.1\r\nHost: svc\r\n\r\n');
    expect(lineOf(record, true).http?.['path']).toBe('/a?b=\u00c3');
    expect(lineOf(record).http?.['path']).toBe('/a');
  });

  it('names the rule that content after a good head breaks, with the head as it was judged', async () => {
    const record = await refused(
      'POST /a HTTP/1.1\r\nHost: svc\r\nTransfer-Encoding: chunked\r\n\r\n1;a=\x01\r\n',
    );
    expect(record).toMatchObject({ fault: 'malformed-chunk', partial: null });
    expect(causeText(record.cause)).toBe('chunk-extension-form 4 0x01');
    expect(record.head?.path).toBe('/a');
  });
});

describe('a request over HTTP/2 that is refused', () => {
  it('names the rule, the method, the host and the path', async () => {
    const rig = await startRig();
    const client = await wireClient(rig);
    const fields = [':method', 'GET', ':scheme', 'http', ':authority', 'svc', ':path', '/f\\a?b'];
    client.send(headers(1, fields));
    const [record] = await rig.recorder.untilRecords(1);
    expect(causeText(record?.cause ?? null)).toBe('path-character 2 0x5c');
    expect(lineOf(record).http).toMatchObject({
      version: 'HTTP/2',
      method: 'GET',
      host: 'svc',
      path: '/f\\a',
    });
  });

  it('names the rule that a connection breaks', async () => {
    const rig = await startRig();
    const client = await wireClient(rig);
    client.send(Buffer.concat([SETTINGS_ACK, settings([0x5, 1])]));
    const [record] = await rig.recorder.untilRecords(1);
    expect(record).toMatchObject({ fault: 'http2-error', partial: null });
    expect(record?.cause?.detail).toBe('h2-settings-value');
  });
});

describe('a response that cannot be used', () => {
  it.each([
    ['length-repeated', 'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n'],
    ['coding-unknown', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n'],
    ['status-range', 'HTTP/1.1 099 Odd\r\n\r\n'],
  ])('%s', async (detail, response) => {
    const rig: Rig = await startRig({ script: (connection) => connection.send(response) });
    await rig.exchange('GET /a HTTP/1.1\r\nHost: svc\r\n\r\n');
    const [record] = await rig.recorder.untilRecords(1);
    expect(record).toMatchObject({ fault: 'malformed-response', status: 502, partial: null });
    expect(record?.cause?.detail).toBe(detail);
    expect(lineOf(record)).toMatchObject({ detail, http: { path: '/a' } });
  });
});
