/** What the configuration says and what is said about a wrong one: file, line, column, field. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Config } from '../../src/config/config.ts';
import { decodeConfig, loadConfig } from '../../src/config/load.ts';
import { type FlagOverride, settableFields, variableName } from '../../src/config/overrides.ts';
import { DEFAULT_LIMITS } from '../../src/model/limits.ts';
import { DEFAULT_BEHAVIOUR } from '../../src/proxy/plane/options.ts';

const LISTENERS = 'listeners:\n  - { name: a, address: 127.0.0.1:0, direction: ingress }\n';

describe('defaults', () => {
  it('are those of the limits and of the behaviour', () => {
    const config = accepted(LISTENERS);
    expect(config.limits).toEqual(DEFAULT_LIMITS);
    expect(config.behaviour).toEqual(DEFAULT_BEHAVIOUR);
    expect(config).toMatchObject({
      admin: { kind: 'none' },
      logLevel: 'info',
      accessLog: { to: { kind: 'stdout' }, headers: [], isQueryLogged: false, allowSampling: 1 },
      policyPaths: [],
      endpointsPath: null,
      listeners: [
        {
          proxyId: 0,
          destination: { kind: 'local-address' },
          upstream: { kind: 'original-destination' },
          identity: { kind: 'sources', sources: ['endpoints'] },
        },
      ],
    });
    expect(config.workerCount).toBeGreaterThanOrEqual(1);
  });
});

describe('values', () => {
  it.each([
    ['10s', 10_000],
    ['500ms', 500],
    ['2m', 120_000],
    ['1h', 3_600_000],
    [1234, 1234],
  ])('idleTimeoutMs: %s is %d ms', (text, value) => {
    expect(accepted(`${LISTENERS}limits: { idleTimeoutMs: ${text} }`).limits.idleTimeoutMs).toBe(
      value,
    );
  });

  it.each([
    ['2KiB', 2048],
    ['1MiB', 1048576],
    ['5000B', 5000],
  ])('headBytesMax: %s is %d bytes', (text, value) => {
    expect(accepted(`${LISTENERS}limits: { headBytesMax: ${text} }`).limits.headBytesMax).toBe(
      value,
    );
  });

  it('relative paths start at the directory of the file, those of flags at the working directory', () => {
    const text = `${LISTENERS}policies: [p/, /abs]\nendpoints: e.yaml\naccessLog: { to: a.log }\n`;
    const config = accepted(text, {
      flags: [{ flag: '--secrets', field: 'secrets', value: 's.yaml' }],
    });
    expect(config.policyPaths).toEqual(['/etc/sallyport/p', '/abs']);
    expect(config.endpointsPath).toBe('/etc/sallyport/e.yaml');
    expect(config.accessLog.to).toEqual({ kind: 'file', path: '/etc/sallyport/a.log' });
    expect(config.secretsPath).toBe('/home/user/s.yaml');
  });

  it('an alias stands for its anchor', () => {
    const text = 'listeners:\n  - &l { name: a, address: 127.0.0.1:0, direction: &d ingress }\n';
    expect(
      accepted(`${text}  - { name: b, address: 127.0.0.1:0, direction: *d }\n`).listeners[1],
    ).toMatchObject({ direction: 'ingress' });
  });
});

describe('precedence', () => {
  const file = `${LISTENERS}workers: 1\nlimits: {}\n`;
  const variable = { SALLYPORT_WORKERS: '2', SALLYPORT_LIMITS_HEAD_BYTES_MAX: '2KiB' };
  const flag: FlagOverride[] = [{ flag: '--workers', field: 'workers', value: '3' }];

  it('flag over environment over file over default', () => {
    expect(accepted(file).workerCount).toBe(1);
    expect(accepted(file, { env: variable }).workerCount).toBe(2);
    expect(accepted(file, { env: variable, flags: flag }).workerCount).toBe(3);
    expect(accepted(file, { env: variable }).limits.headBytesMax).toBe(2048);
  });

  it.each([
    ['present and empty', 'kubernetes:', {}, 'host'],
    ['NODE_NAME', 'kubernetes:', { NODE_NAME: 'node-1' }, 'node-1'],
    [
      'its own variable',
      'kubernetes:',
      { NODE_NAME: 'node-1', SALLYPORT_KUBERNETES_NODE_NAME: 'node-2' },
      'node-2',
    ],
    ['a variable alone', '', { SALLYPORT_KUBERNETES_NODE_NAME: 'node-2' }, 'node-2'],
    ['the file', 'kubernetes: { nodeName: node-3 }', { NODE_NAME: 'node-1' }, 'node-3'],
  ])('the name of the node in a cluster: %s', (_about, text, env, nodeName) => {
    const { kubernetes } = accepted(`${LISTENERS}\n${text}`, { env });
    const expected = nodeName === 'host' ? hostname().toLowerCase() : nodeName;
    expect(kubernetes).toMatchObject({ nodeName: expected, clusterName: 'default' });
  });

  it('a cluster without any policy is open, and a folder without any is not', () => {
    const isOpen = (text: string): boolean => accepted(`${LISTENERS}\n${text}`).isEmptySetOpen;
    expect(isOpen('kubernetes:')).toBe(true);
    expect(isOpen('kubernetes:\npolicies: [policies/]')).toBe(false);
    expect(isOpen('policies: [policies/]')).toBe(false);
    expect(accepted(LISTENERS).kubernetes).toBeNull();
  });

  it('a list in the environment is separated by commas', () => {
    const env = { SALLYPORT_POLICIES: 'a.yaml, b/', SALLYPORT_ACCESS_LOG_HEADERS: 'x-a,x-b' };
    const config = accepted(file, { env });
    expect(config.policyPaths).toEqual(['/home/user/a.yaml', '/home/user/b']);
    expect(config.accessLog.headers).toEqual(['x-a', 'x-b']);
  });

  it('every field but the listeners has a variable, and no two share one', () => {
    const names = [...settableFields().keys()].map(variableName);
    expect(names).toContain('SALLYPORT_BEHAVIOUR_DENIAL_SHOW_REASON');
    expect(names.some((name) => name.includes('LISTENERS'))).toBe(false);
    expect(new Set(names).size).toBe(names.length);
  });

  it('variables that Kubernetes makes for a Service are not ours', () => {
    const env = {
      SALLYPORT_SERVICE_HOST: '10.0.0.1',
      SALLYPORT_PORT: 'tcp://10.0.0.1:80',
      SALLYPORT_ADMIN_SERVICE_PORT_HTTP: '80',
      SALLYPORT_ADMIN_PORT_9901_TCP_ADDR: '10.0.0.1',
    };
    expect(accepted(file, { env }).workerCount).toBe(1);
  });
});

describe('a wrong configuration names file, line, column, field, what was found and what is allowed', () => {
  const cases: readonly (readonly [string, string, string])[] = [
    ['not YAML', 'listeners: [', 'c.yaml:1:13: '],
    ['a key twice', `${LISTENERS}workers: 1\nworkers: 2\n`, 'c.yaml:4:1: Map keys must be unique'],
    ['nothing', '', 'c.yaml:1:1: listeners: is missing'],
    ['a text', 'hello', 'c.yaml:1:1: must be a mapping; found "hello"'],
    ['two documents', `${LISTENERS}---\n${LISTENERS}`, 'c.yaml:'],
    [
      'a misspelt field',
      `listners: []\n${LISTENERS}`,
      'c.yaml:1:1: listners: unknown field; did you mean listeners?',
    ],
    [
      'a misspelt limit',
      `${LISTENERS}limits:\n  headByteMax: 1\n`,
      'c.yaml:4:3: limits.headByteMax: unknown field; did you mean headBytesMax?',
    ],
    [
      'out of range',
      `${LISTENERS}limits:\n  headFieldCountMax: 0\n`,
      'c.yaml:4:22: limits.headFieldCountMax: must be an integer from 1 to 10000; found 0',
    ],
    [
      'out of range with a unit',
      `${LISTENERS}limits: { idleTimeoutMs: 25h }\n`,
      'c.yaml:3:26: limits.idleTimeoutMs: must be an integer from 100 to 86400000 (milliseconds)',
    ],
    [
      'a listener without direction',
      'listeners:\n  - name: a\n    address: 127.0.0.1:0\n',
      'c.yaml:2:5: listeners[0].direction: is missing',
    ],
    [
      'a port in place of an address',
      'listeners:\n  - name: a\n    address: 8080\n    direction: ingress\n',
      'c.yaml:3:14: listeners[0].address: must be an address with a port',
    ],
    [
      'who began a connection, asked about whom it goes to',
      'listeners:\n  - { name: a, address: 127.0.0.1:0, direction: egress, identity: [bpf-conntrack] }\n',
      'c.yaml:2:67: listeners[0].identity: bpf-conntrack needs direction: ingress: it knows who began a connection, not whom it goes to',
    ],
    [
      'two listeners of one name',
      `${LISTENERS}  - { name: a, address: 127.0.0.1:0, direction: egress }\n`,
      'c.yaml:3:13: listeners[1].name: "a" is the name of another listener',
    ],
    [
      'two listeners on one address',
      'listeners:\n  - { name: a, address: 127.0.0.1:80, direction: egress }\n  - { name: b, address: 127.0.0.1:80, direction: egress }\n',
      'c.yaml:3:25: listeners[1].address: 127.0.0.1:80 is the address of another listener',
    ],
    [
      'an upstream that is the listener',
      'listeners:\n  - { name: a, address: 127.0.0.1:80, direction: egress, upstream: 127.0.0.1:80 }\n',
      'listeners[0].upstream: 127.0.0.1:80 is the listener itself',
    ],
    [
      'an original destination that is the listener',
      'listeners:\n  - { name: a, address: 127.0.0.1:80, direction: egress, destination: 127.0.0.1:80 }\n',
      'listeners[0].destination: 127.0.0.1:80 is the listener itself',
    ],
    [
      'PROXY headers from anybody',
      'listeners:\n  - { name: a, address: 0.0.0.0:80, direction: egress, destination: proxy-protocol }\n',
      'listeners[0].trustedProxies: is required: other machines reach 0.0.0.0:80',
    ],
    [
      'trusted proxies without their headers',
      'listeners:\n  - { name: a, address: 127.0.0.1:80, direction: egress, trustedProxies: [10.0.0.0/8] }\n',
      'listeners[0].trustedProxies: needs destination: proxy-protocol',
    ],
    [
      'DNS questions to an endpoint',
      'listeners:\n  - { name: a, protocol: dns, address: 127.0.0.1:53, direction: ingress, destination: 10.0.0.10:53 }\n',
      'listeners[0].direction: with protocol: dns must be egress',
    ],
    [
      'DNS questions by record to one server',
      'listeners:\n  - { name: a, protocol: dns, address: 127.0.0.1:53, direction: by-record, destination: 10.0.0.10:53, identity: [redirect-record] }\n',
      'listeners[0].destination: with direction: by-record must be local-address',
    ],
    [
      'DNS questions to nobody',
      'listeners:\n  - { name: a, protocol: dns, address: 127.0.0.1:53, direction: egress }\n',
      'listeners[0].destination: with protocol: dns must be the address of the DNS server',
    ],
    ...['10.96.0.10', 'local'].map((text): readonly [string, string, string] => [
      `the destination ${text}`,
      `listeners:\n  - { name: a, protocol: dns, address: 127.0.0.1:53, direction: egress, destination: ${text} }\n`,
      'destination: must be one of local-address, proxy-protocol, or an address with a port, such as 127.0.0.1:8080',
    ]),
    [
      'an upstream without its port',
      'listeners:\n  - { name: a, address: 127.0.0.1:80, direction: egress, upstream: localhost }\n',
      'upstream: must be "original-destination", or an address with a port, such as 127.0.0.1:8080',
    ],
    [
      'DNS questions with a PROXY header',
      'listeners:\n  - { name: a, protocol: dns, address: 127.0.0.1:53, direction: egress, destination: proxy-protocol }\n',
      'listeners[0].destination: with protocol: dns must be the address of the DNS server',
    ],
    [
      'DNS questions of other addresses',
      'listeners:\n  - { name: a, protocol: dns, address: 127.0.0.1:53, direction: egress, transparent: true, destination: 10.0.0.10:53 }\n',
      'listeners[0].transparent: is not for protocol: dns',
    ],
    [
      'a DNS server that is the listener',
      'listeners:\n  - { name: a, protocol: dns, address: 127.0.0.1:53, direction: egress, destination: 127.0.0.1:53 }\n',
      'listeners[0].destination: 127.0.0.1:53 is the listener itself',
    ],
    [
      'a record without its listener',
      'listeners:\n  - { name: a, address: 127.0.0.1:0, direction: ingress, identity: [redirect-record] }\n',
      'listeners[0].identity: redirect-record needs direction: by-record',
    ],
    [
      'a listener by record that asks somebody else',
      'listeners:\n  - { name: a, address: 127.0.0.1:1, direction: by-record, identity: [redirect-record, endpoints] }\n',
      'listeners[0].identity: with direction: by-record must be [redirect-record]',
    ],
    [
      'a listener by record with a fixed destination',
      'listeners:\n  - { name: a, address: 127.0.0.1:1, direction: by-record, identity: [redirect-record], destination: 10.0.0.1:1 }\n',
      'listeners[0].destination: with direction: by-record must be local-address',
    ],
    [
      'a listener by record with a fixed upstream',
      'listeners:\n  - { name: a, address: 127.0.0.1:1, direction: by-record, identity: [redirect-record], upstream: 10.0.0.1:1 }\n',
      'listeners[0].upstream: with direction: by-record must be original-destination',
    ],
    [
      'two listeners by record of one family',
      'listeners:\n  - { name: a, address: 127.0.0.1:1, direction: by-record, identity: [redirect-record] }\n  - { name: b, address: 127.0.0.1:2, direction: by-record, identity: [redirect-record] }\n',
      'listeners[1].direction: another listener is by-record for IPv4 already',
    ],
    [
      'more workers than slots',
      'workers: 33\nlisteners:\n  - { name: a, address: 127.0.0.1:1, direction: by-record, identity: [redirect-record] }\n',
      'listeners[0].direction: by-record has room for 32 workers, not for 33',
    ],
    [
      'a transparent listener whose upstream cannot be shown the client',
      'listeners:\n  - { name: a, address: 127.0.0.1:1, direction: ingress, transparent: true, upstream: "[::1]:2" }\n',
      'listeners[0].upstream: with transparent must be IPv4',
    ],
    [
      'a transparent listener with a fixed destination',
      'listeners:\n  - { name: a, address: 127.0.0.1:1, direction: ingress, transparent: true, destination: 10.0.0.1:1 }\n',
      'listeners[0].transparent: needs destination: local-address',
    ],
    [
      'an admin server for everyone',
      `admin: 0.0.0.0:9901\n${LISTENERS}`,
      'c.yaml:1:8: admin: 0.0.0.0:9901 can be reached from other machines',
    ],
    [
      'back-off bounds the wrong way round',
      `${LISTENERS}limits: { restartBackoffMinMs: 5s, restartBackoffMaxMs: 1s }\n`,
      'limits.restartBackoffMinMs: must not be above restartBackoffMaxMs',
    ],
    ['an alias of nothing', 'listeners: *none\n', 'c.yaml:1:12: '],
    [
      'an alias of itself',
      'listeners: &l [*l]\n',
      'c.yaml:1:15: aliases nest lists and maps deeper than 100',
    ],
  ];

  it.each(cases)('%s', (_name, text, message) => {
    expect(rejected(text)[0]).toContain(message);
  });

  it('every problem is told, in order', () => {
    const problems = rejected('workers: 0\nlogLevel: loud\nlisteners: []\n');
    expect(problems.map((problem) => problem.split(': ')[1])).toEqual([
      'workers',
      'logLevel',
      'listeners',
    ]);
  });

  it('a flag and a variable are named in the place of the file', () => {
    const env = { SALLYPORT_WORKERS: 'many', SALLYPORT_LOGLEVEL: 'info' };
    const flags = [
      { flag: '--set limits.nope', field: 'limits.nope', value: '1' },
      { flag: '--log-level', field: 'logLevel', value: 'loud' },
    ];
    expect(rejected(LISTENERS, { env, flags })).toEqual([
      'SALLYPORT_WORKERS: workers: must be an integer from 1 to 256; found "many"',
      '--log-level: logLevel: must be one of trace, debug, info, warn, error, silent; found "loud"',
      'SALLYPORT_LOGLEVEL: unknown variable; did you mean SALLYPORT_LOG_LEVEL?',
      '--set limits.nope: limits.nope: unknown field',
    ]);
  });

  it('an admin server that others reach needs a word', () => {
    const config = accepted(`admin: 0.0.0.0:9901\nadminAllowRemote: true\n${LISTENERS}`);
    expect(config.admin).toMatchObject({ kind: 'tcp', address: { ip: '0.0.0.0' } });
  });
});

describe('the file', () => {
  it('that is missing, a directory, or not named is told in one line', () => {
    const dir = mkdtempSync(join(tmpdir(), 'sallyport-config-'));
    try {
      writeFileSync(join(dir, 'c.yaml'), LISTENERS);
      const load = (path: string | null, env = {}) =>
        loadConfig({ path, env, cwd: dir, flags: [] });
      expect(load('none.yaml')).toEqual({
        kind: 'rejected',
        problems: ['none.yaml: no such file'],
      });
      expect(load('.')).toEqual({ kind: 'rejected', problems: ['.: is a directory'] });
      expect(load(null)).toMatchObject({ kind: 'rejected' });
      expect(load('c.yaml')).toMatchObject({
        kind: 'config',
        config: { path: join(dir, 'c.yaml') },
      });
      expect(load(null, { SALLYPORT_CONFIG: 'c.yaml' })).toMatchObject({ kind: 'config' });
    } finally {
      rmSync(dir, { recursive: true });
    }
  });
});

interface Surroundings {
  readonly env?: Readonly<Record<string, string>>;
  readonly flags?: readonly FlagOverride[];
}

function accepted(text: string, surroundings: Surroundings = {}): Config {
  const result = check(text, surroundings);
  if (result.kind === 'rejected') throw new Error(result.problems.join('\n'));
  return result.config;
}

function rejected(text: string, surroundings: Surroundings = {}): readonly string[] {
  const result = check(text, surroundings);
  if (result.kind === 'config') throw new Error('was accepted');
  return result.problems;
}

function check(text: string, surroundings: Surroundings): ReturnType<typeof decodeConfig> {
  return decodeConfig(text, {
    path: '/etc/sallyport/c.yaml',
    shownPath: 'c.yaml',
    cwd: '/home/user',
    env: surroundings.env ?? {},
    flags: surroundings.flags ?? [],
  });
}
