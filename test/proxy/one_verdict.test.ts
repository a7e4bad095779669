/**
 * One verdict, whichever HTTP version asked: the same logical request by HTTP/1.1 and by HTTP/2, decoded by
 * each codec and judged by one policy, gets the same decision, and the same is sent upstream. A request that a
 * later policy cuts leaves the same record, too.
 */
import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { serialiseRequestHead } from '../../src/codec/http1/serialise.ts';
import type { Decision } from '../../src/model/decision.ts';
import type { Identity, Port, ProxyId } from '../../src/model/identity.ts';
import { plainHead, type RequestHead } from '../../src/model/request_head.ts';
import { decideRequest } from '../../src/policy/decide/decide.ts';
import { GET, headers } from '../codec/http2/wire.ts';
import { byHttp1, byHttp2, type LogicalRequest } from '../support/both_versions.ts';
import { wireClient } from '../support/http2_wire_peers.ts';
import { closeRigs, cnp, type Rig, startRig } from '../support/plane_rig.ts';
import { endpointPolicy, REMOTES, SECRETS } from '../support/random_policies.ts';
import type { RawClient } from '../support/raw_client.ts';
import { ADDRESS, compiled } from '../support/wire_policy.ts';

afterEach(closeRigs);

/** Of the alphabet of the random policies, and around it: dots, slashes, escapes, queries. */
const path = fc
  .array(
    fc.constantFrom('/', '/a', '/b', '/7', '/..', '/.', '//', '%61', '%2e', '?x=1', '#', '%2F', ''),
    { minLength: 1, maxLength: 5 },
  )
  .map((parts) => `/${parts.join('')}`.replace(/^\/\//, '/'));

const field: fc.Arbitrary<readonly [string, string]> = fc.oneof(
  { weight: 8, arbitrary: fc.tuple(fc.constantFrom('x-a', 'X-B', 'x-c'), value()) },
  { weight: 1, arbitrary: fc.constant(['content-type', 'application/grpc'] as const) },
  { weight: 1, arbitrary: fc.constant(['te', 'trailers'] as const) },
  { weight: 1, arbitrary: fc.constant(['cookie', 'a=1; b=2'] as const) },
);

function value(): fc.Arbitrary<string> {
  return fc.constantFrom('1', '2', '12', '', '1,2', '\xff', 'a b');
}

const request: fc.Arbitrary<LogicalRequest> = fc.record({
  method: fc.constantFrom('GET', 'POST', 'PUT', 'get'),
  path,
  authority: fc.constantFrom('a.test', 'a.test:80', 'A.test', 'b.test', 'u@a.test'),
  fields: fc.array(field, { maxLength: 5 }).map(withOneCookie),
});

/** Several are crumbs of one in HTTP/2 (RFC 9113 8.2.3), and what no client sends in HTTP/1.1. */
function withOneCookie(fields: readonly (readonly [string, string])[]) {
  const first = fields.findIndex(([name]) => name === 'cookie');
  return fields.filter(([name], i) => name !== 'cookie' || i === first);
}

/** What becomes of it: method, target and fields as the upstream reads them; null when nothing can. */
interface Outcome {
  readonly decision: Decision;
  readonly sent: readonly string[] | null;
}

function sentByHttp1(
  head: ReturnType<typeof byHttp1>,
  decision: Decision,
): readonly string[] | null {
  if (head === null || decision.verdict === 'deny') return null;
  try {
    const text = serialiseRequestHead(head, decision.mutations).toString('latin1');
    const [line = '', ...lines] = text.trimEnd().split('\r\n');
    const fields = lines.map((one) => one.split(/: ?(.*)/s));
    const host = fields.find(([name]) => name === 'host')?.[1] ?? '';
    return [line.replace(' HTTP/1.1', ''), host, ...regular(fields)];
  } catch {
    return null;
  }
}

function sentByHttp2(
  head: ReturnType<typeof byHttp2>,
  decision: Decision,
): readonly string[] | null {
  if (head === null || decision.verdict === 'deny') return null;
  const source = head.source(decision.mutations);
  if (source === null) return null;
  const fields: string[][] = [];
  for (let i = 0; i < source.fields.length; i += 2) fields.push(source.fields.slice(i, i + 2));
  const pseudo = new Map(fields.slice(0, 4) as [string, string][]);
  const line = `${pseudo.get(':method')} ${pseudo.get(':path')}`;
  return [line, pseudo.get(':authority') ?? '', ...regular(fields.slice(4))];
}

/** TE belongs to the hop: each version has its own way with it. */
function regular(fields: readonly (readonly string[])[]): string[] {
  return fields
    .map(([name = '', text = '']) => `${name.toLowerCase()}: ${text}`)
    .filter((one) => !/^(host|te|connection):/.test(one));
}

describe('one verdict', () => {
  it('and one form of what is sent, whichever HTTP version asked', () => {
    let allowed = 0;
    let denied = 0;
    fc.assert(
      fc.property(
        endpointPolicy,
        request,
        fc.constantFrom(...REMOTES),
        fc.constantFrom(80, 81),
        (policy, asked, remote, port) => {
          const view = compiled(policy, { secrets: SECRETS })
            .endpoint(ADDRESS)
            .port('ingress', 'TCP', port as Port)
            .view(0 as ProxyId, remote as Identity);
          const judge = (head: RequestHead): Decision => decideRequest(view, '', head);
          const [first, second] = [byHttp1(asked), byHttp2(asked)];
          expect(first === null).toBe(second === null);
          if (first === null || second === null) return;
          const one: Outcome = { decision: judge(first), sent: sentByHttp1(first, judge(first)) };
          const other: Outcome = {
            decision: judge(second),
            sent: sentByHttp2(second, judge(second)),
          };
          expect(other).toEqual(one);
          expect([second.path, second.redirectTo]).toEqual([first.path, first.redirectTo]);
          // And the same as of a head that no codec has seen, once the path is normal.
          const plain = plainHead({
            method: first.method,
            authority: first.authority,
            path: first.path,
            fields: [...first.fields()],
          });
          expect(judge(plain)).toEqual(one.decision);
          if (one.decision.verdict === 'allow') allowed++;
          else denied++;
        },
      ),
      { numRuns: 800 },
    );
    // Both are met often, or the property says little.
    expect(Math.min(allowed, denied)).toBeGreaterThan(20);
  });
});

const ALL = cnp('', { from: 'fromEntities: [all]' });
/** Names a CIDR for the first time, so that the client gets an identity which it did not have. */
const NEW_CIDR_DENIED = `${ALL}  ingressDeny:\n    - fromCIDR: [127.0.0.0/8]\n`;

const BY_ADDRESS = { identity: { kind: 'sources', sources: ['endpoints'] } } as const;

/** Every way in which a request, or what stands for one, is in hand when the policy changes. */
const IN_HAND: Readonly<Record<string, (rig: Rig) => Promise<void>>> = {
  'an HTTP/1.1 request in flight': async (rig) => {
    (await rig.client()).send('GET / HTTP/1.1\r\nhost: a.test\r\n\r\n');
    await (await rig.origin.connection()).until('\r\n\r\n');
  },
  'an HTTP/2 request in flight': async (rig) => {
    (await wireClient(rig)).send(headers(1, GET));
    await rig.origin.connection();
  },
};

describe('one record of a request that a later policy cuts, whichever HTTP version asked', () => {
  it.each(Object.entries(IN_HAND))(
    '%s: by the new policy, for the new identity',
    async (_, ask) => {
      const rig = await startRig({
        policy: ALL,
        listener: BY_ADDRESS,
      });
      await ask(rig);
      const before = rig.store.current().revision;
      rig.update(NEW_CIDR_DENIED);
      const [record] = await rig.recorder.untilRecords(1);
      expect(record).toMatchObject({ verdict: 'denied', fault: 'policy-changed' });
      expect(record?.policyRevision).toBe(before + 1);
      expect(record?.decision?.reason).toBe('denied-by-rule');
      expect(record?.meta.identitySource).toBe('endpoints');
      expect(record?.meta.remoteIdentity).toBeGreaterThan(255);
    },
  );

  it.each([
    ['an HTTP/1.1', (rig: Rig) => rig.client(), 'GET / HTTP/1.1\r\n\r\n'],
    ['an HTTP/2', (rig: Rig) => wireClient(rig), headers(1, GET.slice(0, 4))],
  ] as const)(
    '%s request without a host: by the policy of its moment, for the identity of its moment',
    async (_, connect, request) => {
      const rig = await startRig({ policy: ALL, listener: BY_ADDRESS });
      const client = await connect(rig);
      client.send(typeof request === 'string' ? request.slice(0, 5) : Buffer.alloc(0));
      await rig.recorder.untilOpened(1);
      await settled(client);
      const before = rig.store.current().revision;
      rig.update(cnp('', { from: 'fromCIDR: [127.0.0.0/8]' }));
      client.send(typeof request === 'string' ? request.slice(5) : request);
      const [record] = await rig.recorder.untilRecords(1);
      expect(record).toMatchObject({ verdict: 'error', policyRevision: before + 1 });
      expect(record?.meta.identitySource).toBe('endpoints');
    },
  );
});

/** The proxy has read something, so it knows which protocol this is. */
async function settled(client: RawClient): Promise<void> {
  // An HTTP/1.1 client is told nothing yet: a turn later its bytes are read, as those on loopback are.
  for (let i = 0; i < 50 && client.received === ''; i++) await new Promise(setImmediate);
}
