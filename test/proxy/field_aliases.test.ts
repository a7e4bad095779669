/**
 * Names that servers of the CGI family take for one: what a rule changed does not come back under another
 * spelling, nor behind the content, whichever HTTP version asked.
 */
import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { applyMutations, type HeaderMutation } from '../../src/model/decision.ts';
import { isAlias, isFixedField } from '../../src/model/field_alias.ts';
import {
  RESPONSE_TRAILERS,
  requestTrailers,
  trailerAction,
} from '../../src/model/trailer_fields.ts';
import { byHttp1, byHttp2 } from '../support/both_versions.ts';
import { closeRigs, cnp, type Rig, startRig } from '../support/plane_rig.ts';
import { OK } from '../support/raw_origin.ts';

afterEach(closeRigs);

const TOKEN = fc.string({
  unit: fc.constantFrom(...'abXY09-_.~!#'),
  minLength: 1,
  maxLength: 6,
});

/** What mod_cgi makes of a name. */
function variable(name: string): string {
  return name.toUpperCase().replace(/[^A-Z0-9]/g, '_');
}

describe('an alias', () => {
  it('is every other name that gives the same variable, and no other', () => {
    fc.assert(
      fc.property(TOKEN, TOKEN, (name, of) => {
        const isSame = name.toLowerCase() === of.toLowerCase();
        expect(isAlias(name, of)).toBe(!isSame && variable(name) === variable(of));
      }),
    );
  });

  it('of a field that a rule changes goes, whatever the change; others stay', () => {
    const kind = fc.constantFrom('add' as const, 'delete' as const, 'replace' as const);
    fc.assert(
      fc.property(fc.array(TOKEN), TOKEN, kind, (names, target, change) => {
        const name = target.toLowerCase();
        const mutation: HeaderMutation = { kind: change, name, value: 'rule' };
        const fields = names.flatMap((one) => [one, 'client']);
        const after = applyMutations(fields, [mutation]);
        const spelt = after.filter((_, i) => i % 2 === 0);
        expect(spelt.filter((one) => isAlias(one, name))).toEqual([]);
        const isOther = (one: string): boolean => variable(one) !== variable(name);
        expect(spelt.filter(isOther)).toEqual(names.filter(isOther));
      }),
    );
  });
});

describe('a trailer', () => {
  const changing = requestTrailers(['x-role'], 'allow');
  it.each([
    ['x-sum', changing, 'keep'],
    ['X-Role', changing, 'drop'],
    ['X_Role', changing, 'drop'],
    ['x.role', changing, 'drop'],
    ['Host', changing, 'refuse'],
    ['set-cookie', RESPONSE_TRAILERS, 'drop'],
    ['grpc-status', RESPONSE_TRAILERS, 'keep'],
    ['x_sum', requestTrailers([], 'allow'), 'keep'],
    ['x_sum', requestTrailers([], 'drop'), 'drop'],
    ['x_sum', requestTrailers([], 'refuse'), 'refuse'],
  ] as const)('%s by %o: %s', (name, rule, action) => {
    expect(trailerAction(name, rule)).toBe(action);
  });
});

describe('HTTP/1.1', () => {
  const MATCHES =
    '{ name: X-Role, value: user, mismatch: REPLACE }, { name: X-Debug, value: "no", mismatch: DELETE }';
  const POLICY = cnp(`, rules: { http: [{ path: /a, headerMatches: [${MATCHES}] }] }`);
  const POST = 'POST /a HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n';

  it('a rule that replaces a field takes its other spellings away, and its trailers', async () => {
    const rig = await startRig({ policy: POLICY, behaviour: { areTrailersForwarded: true } });
    const trailers = 'X-Role: admin\r\nX_Role: admin\r\nX_Debug: 1\r\nX-Sum: 5\r\n';
    const fields = 'X_Role: admin\r\nX-Role: admin\r\nx.role: admin\r\nX-Debug: 1\r\n';
    const text = await sent(rig, `${POST}${fields}\r\n1\r\nx\r\n0\r\n${trailers}\r\n`);
    expect(text).toBe(`${POST}X-Role: user\r\n\r\n1\r\nx\r\n0\r\nX-Sum: 5\r\n\r\n`);
  });

  it.each(['Transfer_Encoding', 'content.length', 'HOST', 'h.st'])(
    '%s: what would change the framing is known in any spelling, behind the check of the policy',
    (name) => {
      expect(isFixedField(name)).toBe(name !== 'h.st');
    },
  );

  it.each([
    '{ name: X-Role, value: user, mismatch: DELETE }',
    '{ name: X-Role, value: user, mismatch: LOG }',
    '{ name: X-Role, value: user, mismatch: REPLACE }',
    '{ name: X-Role, value: user, mismatch: ADD }',
  ])('a field that %s looked for in vain is no trailer either', async (match) => {
    const policy = cnp(`, rules: { http: [{ path: /a, headerMatches: [${match}] }] }`);
    const rig = await startRig({ policy, behaviour: { areTrailersForwarded: true } });
    const trailers = 'X-Role: admin\r\nX_Role: admin\r\nX-Sum: 5\r\n';
    const text = await sent(rig, `${POST}\r\n1\r\nx\r\n0\r\n${trailers}\r\n`);
    expect(text).toMatch(/\r\n1\r\nx\r\n0\r\nX-Sum: 5\r\n\r\n$/);
  });

  it('also where another rule of the path than the one that allows it looked for it', async () => {
    const other = '{ path: "/.*", headerMatches: [{ name: X-Role, value: user }] }';
    const policy = cnp(`, rules: { http: [${other}, { path: /a }] }`);
    const rig = await startRig({ policy, behaviour: { areTrailersForwarded: true } });
    const text = await sent(rig, `${POST}\r\n1\r\nx\r\n0\r\nX-Other: 1\r\nX-Role: user\r\n\r\n`);
    expect(text).toMatch(/\r\n0\r\nX-Other: 1\r\n/);
  });

  it('and one that a rule asks for is what the head has, whatever comes behind the content', async () => {
    const policy = cnp(', rules: { http: [{ path: /a, headers: ["X-Tenant: a"] }] }');
    const rig = await startRig({ policy, behaviour: { areTrailersForwarded: true } });
    const head = `${POST}X-Tenant: a\r\n\r\n1\r\nx\r\n0\r\n`;
    const text = await sent(rig, `${head}X-Tenant: b\r\nX-Sum: 5\r\n\r\n`);
    expect(text).toBe(`${head}X-Sum: 5\r\n\r\n`);
  });

  it.each([
    ['allow', /\r\nx_a: 1\r\n.*\r\nx_b: 1\r\n\r\n$/s],
    ['drop', /^(?!.*_).*\r\n0\r\n\r\n$/s],
  ] as const)('underscores %s: in head and trailers', async (underscores, seen) => {
    const rig = await startRig({ behaviour: { areTrailersForwarded: true, underscores } });
    expect(await sent(rig, `${POST}x_a: 1\r\n\r\n1\r\nx\r\n0\r\nx_b: 1\r\n\r\n`)).toMatch(seen);
  });

  it('underscores refuse: 400, and the origin sees nothing', async () => {
    const rig = await startRig({ behaviour: { underscores: 'refuse' } });
    const { text } = await rig.exchange(
      'GET /a?b_c HTTP/1.1\r\nhost: x\r\nx-a: a_b\r\nx_a: 1\r\n\r\n',
    );
    expect(text).toMatch(/^HTTP\/1\.1 400 /);
    expect(rig.recorder.summaries).toEqual(['error underscore-field 400 -']);
    expect(rig.origin.connections).toHaveLength(0);
  });
});

it.each(['allow', 'drop', 'refuse'] as const)(
  'underscores %s: one form of the head, whichever version asked',
  (underscores) => {
    const request = {
      method: 'GET',
      path: '/a_b',
      authority: 'x',
      fields: [
        ['x-a', 'a_b'],
        ['x_a', '1'],
      ],
    } as const;
    const one = byHttp1(request, underscores)?.fields() ?? null;
    expect(one).toEqual(
      { allow: ['x-a', 'a_b', 'x_a', '1'], drop: ['x-a', 'a_b'], refuse: null }[underscores],
    );
    expect(byHttp2(request, underscores)?.fields() ?? null).toEqual(one);
  },
);

/** What the origin gets of one request, which it answers. */
async function sent(rig: Rig, bytes: string): Promise<string> {
  const client = await rig.client();
  client.send(bytes);
  const origin = await rig.origin.connection();
  await origin.until('0\r\n');
  await origin.until('\r\n\r\n', 2);
  origin.send(OK);
  await client.until('ok');
  return origin.received;
}
