import { describe, expect, it } from 'vitest';
import type { CredentialResult } from '../../../src/kube/access/credentials.ts';
import { ExecCredentials, type ExecPlugin } from '../../../src/kube/access/exec_plugin.ts';
import { fixedText } from '../../../src/kube/access/reread_text.ts';
import { DEFAULT_LIMITS } from '../../../src/model/limits.ts';
import { ManualPlatform } from '../../support/manual_platform.ts';

const V1 = 'client.authentication.k8s.io/v1';

/** A plugin that runs this script of the shell. */
function plugin(script: string, more: Partial<ExecPlugin> = {}): ExecPlugin {
  return {
    owner: 'config: users[joe].user',
    apiVersion: V1,
    command: 'sh',
    args: ['-c', script, 'sh', 'first', 'second word'],
    env: new Map([['GREETING', 'hello']]),
    installHint: '',
    cluster: null,
    ...more,
  };
}

function credentials(
  script: string,
  more: Partial<ExecPlugin> = {},
  { platform = new ManualPlatform(), timeoutMs = 20_000 } = {},
): ExecCredentials {
  return new ExecCredentials(plugin(script, more), {
    env: { PATH: '/usr/bin:/bin', GREETING: 'none', INHERITED: 'yes' },
    clock: platform.clock,
    limits: DEFAULT_LIMITS,
    timeoutMs,
  });
}

const token = (expression: string, more = ''): string =>
  `printf '{"kind":"ExecCredential","apiVersion":"${V1}","status":{"token":"%s"${more}}}' "${expression}"`;

function authorizationOf(result: CredentialResult): string | null {
  return result.kind === 'error' ? result.message : result.credential.authorization;
}

describe('an exec plugin', () => {
  it('gets its arguments and its environment over ours', async () => {
    const given = credentials(token('$1/$2/$GREETING/$INHERITED'));
    expect(authorizationOf(await given.current())).toBe('Bearer first/second word/hello/yes');
  });

  it('is told about the cluster if it asks, and never that it may ask a user', async () => {
    const cluster = {
      fields: { server: 'https://x', config: { a: 1 } },
      authorities: fixedText('ca'),
    };
    const script = `I=$(printf %s "$KUBERNETES_EXEC_INFO" | base64 -w0); ${token('$I')}`;
    const told = async (given: ExecCredentials): Promise<unknown> => {
      const text = authorizationOf(await given.current())?.replace('Bearer ', '') ?? '';
      return JSON.parse(Buffer.from(text, 'base64').toString());
    };
    expect(await told(credentials(script))).toEqual({
      kind: 'ExecCredential',
      apiVersion: V1,
      spec: { interactive: false },
    });
    expect(await told(credentials(script, { cluster }))).toMatchObject({
      spec: {
        interactive: false,
        cluster: {
          server: 'https://x',
          config: { a: 1 },
          'certificate-authority-data': Buffer.from('ca').toString('base64'),
        },
      },
    });
  });

  it('gives client certificates, too', async () => {
    const result = await credentials(
      `echo '{"kind":"ExecCredential","apiVersion":"${V1}","status":{"clientCertificateData":"c","clientKeyData":"k"}}'`,
    ).current();
    expect(result).toEqual({
      kind: 'credential',
      credential: { authorization: null, certificate: { certificate: 'c', key: 'k' } },
    });
  });

  it('is asked once for all who wait, and again once what it gave is over or refused', async () => {
    const platform = new ManualPlatform();
    const expiry = new Date(platform.clock.wallMs() + 60_000).toISOString();
    const given = credentials(
      token('$(date +%s%N)', `,"expirationTimestamp":"${expiry}"`),
      {},
      { platform },
    );
    const [first, same] = await Promise.all([given.current(), given.current()]);
    expect(authorizationOf(same)).toBe(authorizationOf(first));
    platform.advance(59_000);
    expect(authorizationOf(await given.current())).toBe(authorizationOf(first));
    given.renew({ authorization: authorizationOf(first), certificate: null });
    const second = await given.current();
    expect(authorizationOf(second)).not.toBe(authorizationOf(first));
    // Another one who was refused the first one.
    given.renew({ authorization: authorizationOf(first), certificate: null });
    expect(authorizationOf(await given.current())).toBe(authorizationOf(second));
    platform.advance(2_000);
    expect(authorizationOf(await given.current())).not.toBe(authorizationOf(second));
  });

  it.each<[string, string, Partial<ExecPlugin>]>([
    [
      '',
      'exec plugin "no-such-plugin": not found; get it from https://x',
      {
        command: 'no-such-plugin',
        installHint: 'get it from https://x\n',
      },
    ],
    ['echo sorry >&2; exit 3', 'exec plugin "sh": it failed with 3: sorry', {}],
    ['echo secret', 'exec plugin "sh": its output is no JSON', {}],
    ['echo "{}"', 'exec plugin "sh": its output is no ExecCredential', {}],
    [
      token('t'),
      'exec plugin "sh": it must answer with apiVersion client.authentication.k8s.io/v1beta1',
      {
        apiVersion: 'client.authentication.k8s.io/v1beta1',
      },
    ],
    [token(''), 'exec plugin "sh": it gave neither a token nor a client certificate', {}],
    [
      token('t', ',"clientKeyData":"k"'),
      'exec plugin "sh": it gave only one of clientCertificateData and clientKeyData',
      {},
    ],
    [
      token('t', ',"expirationTimestamp":"soon"'),
      'exec plugin "sh": its expirationTimestamp is no time',
      {},
    ],
  ])('%# that fails is told, without what it gave', async (script, message, more) => {
    const result = await credentials(script, more).current();
    expect(authorizationOf(result)).toBe(`config: users[joe].user: ${message}`);
  });

  it('gets no terminal and no more time than it may have', async () => {
    expect(authorizationOf(await credentials(`cat; ${token('t')}`).current())).toBe('Bearer t');
    const slow = await credentials('sleep 60', {}, { timeoutMs: 200 }).current();
    expect(authorizationOf(slow)).toContain('no credentials within kubeCredentialTimeoutMs (200)');
  });
});
