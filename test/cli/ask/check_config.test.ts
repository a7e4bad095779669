/** `check -c`: whether `run` would start, without starting anything. `explain -c`, `verdict -c`: what it would decide. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { runCommandLine } from '../../../src/cli/command_line.ts';
import { policyOf } from '../../workers/running.ts';
import { testIo } from '../test_io.ts';

let dir: string;

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'sallyport-check-'));
  mkdirSync(join(dir, 'policies'));
  write('policies/api.yaml', policyOf('/ok'));
});

afterEach(() => rmSync(dir, { recursive: true, force: true }));

const BAD = policyOf('/ok').replace('toPorts', 'toPort');

describe('check -c', () => {
  it.each<{
    name: string;
    more?: string;
    harm?: () => void;
    args?: string[];
    code: number;
    out?: string;
    err?: string;
  }>([
    { name: 'all is well', code: 0, out: 'config.yaml: would start\n' },
    {
      name: 'a policy is bad',
      harm: () => write('policies/api.yaml', BAD),
      code: 1,
      out: 'config.yaml: would not start\n',
    },
    {
      name: 'a policy is bad, and state is kept',
      harm: () => write('policies/api.yaml', BAD),
      more: 'stateDir: state',
      code: 1,
      out: 'would start with the last good set in',
    },
    {
      name: 'the folder of policies is gone',
      harm: () => rmSync(join(dir, 'policies'), { recursive: true }),
      code: 1,
      out: 'policies: there is no such file or directory',
    },
    {
      name: 'there are no policies',
      harm: () => rmSync(join(dir, 'policies/api.yaml')),
      code: 1,
      out: 'no policies: everything is denied',
    },
    {
      name: 'there are no policies, as it is wanted',
      harm: () => rmSync(join(dir, 'policies/api.yaml')),
      more: 'allowEmptyPolicySet: true',
      code: 0,
      out: 'config.yaml: would start\n',
    },
    {
      name: 'the endpoints file is empty',
      harm: () => write('endpoints.yaml', ''),
      more: 'endpoints: endpoints.yaml',
      code: 1,
      out: 'endpoints.yaml: is empty',
    },
    {
      name: 'the access log has no folder',
      more: 'accessLog: { to: missing/access.log }\nstateDir: state',
      code: 1,
      out: 'cannot be written to (ENOENT)',
    },
    {
      name: 'policies come from a cluster, too, which cannot be asked',
      more: 'kubernetes: {}',
      code: 2,
      err: 'check: no API server is configured',
    },
    { name: 'a field is unknown', more: 'polices: []', code: 2, err: 'did you mean policies?' },
    {
      name: 'policies are named, too',
      args: ['-p', 'policies'],
      code: 2,
      err: 'give one or the other',
    },
    {
      name: 'there is no such file',
      args: [],
      harm: () => rmSync(join(dir, 'config.yaml')),
      code: 2,
      err: 'config.yaml',
    },
  ])('$name: exit code $code', async ({ more = '', harm, args = [], code, out = '', err = '' }) => {
    write('config.yaml', configOf(more));
    harm?.();
    const result = await run(['check', '-c', 'config.yaml', ...args]);
    expect(result).toMatchObject({
      code,
      stdout: expect.stringContaining(out),
      stderr: expect.stringContaining(err),
    });
  });

  it('says the same in JSON', async () => {
    write('config.yaml', configOf(''));
    write('policies/api.yaml', BAD);
    const { stdout } = await run(['check', '-c', 'config.yaml', '-o', 'json']);
    expect(JSON.parse(stdout)).toMatchObject({
      wouldStart: false,
      problems: [],
      findings: [{ id: 'invalid' }],
    });
  });
});

const ENDPOINTS = `endpoints:
  - { name: default/api, ip: 127.0.0.1, labels: { app: api } }
  - { name: default/host, ip: 10.0.0.9, labels: ["reserved:host"] }
`;
const API_POLICY = `apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: { name: api }
spec:
  endpointSelector: { matchLabels: { app: api } }
  ingress: [{ fromEntities: [world], toPorts: [{ ports: [{ port: "80", protocol: TCP }], rules: { http: [{ path: "/a.*" }] } }] }]
`;

describe('explain -c', () => {
  const ask = (...args: readonly string[]) =>
    run(['explain', '-c', 'config.yaml', '-o', 'json', '--endpoint', 'default/api', ...args]);

  beforeEach(() => {
    write('endpoints.yaml', ENDPOINTS);
    write('policies/api.yaml', API_POLICY);
  });

  it('asks what the configuration names, as it says', async () => {
    write('config.yaml', configOf('endpoints: endpoints.yaml'));
    expect(await ask('--identity', '2', '--path', '/ab')).toMatchObject({ code: 0 });
    expect(await ask('--identity', '2', '--path', '/b')).toMatchObject({ code: 1 });
    expect(await ask('--remote', 'default/host', '--path', '/b')).toMatchObject({ code: 0 });
    const more =
      'endpoints: endpoints.yaml\nredirect: { host: policy }\nlimits: { verdictWorkMax: 10000 }';
    write('config.yaml', configOf(more));
    expect(await ask('--remote', 'default/host', '--path', '/b')).toMatchObject({ code: 1 });
    const long = await ask('--identity', '2', '--path', `/a${'b'.repeat(8000)}`);
    expect(long).toMatchObject({ code: 1, stdout: expect.stringContaining('regex-budget') });
  });

  it('judges the path that the proxy would: normalised, unless the configuration says otherwise', async () => {
    write('config.yaml', configOf('endpoints: endpoints.yaml'));
    expect(await ask('--identity', '2', '--path', '/b/../ab')).toMatchObject({ code: 0 });
    write(
      'config.yaml',
      configOf('endpoints: endpoints.yaml\nbehaviour: { pathNormalisation: false }'),
    );
    expect(await ask('--identity', '2', '--path', '/b/../ab')).toMatchObject({ code: 1 });
  });

  it('does not answer without the policies of a cluster that it names', async () => {
    write('config.yaml', configOf('endpoints: endpoints.yaml\nkubernetes: {}'));
    const { code, stderr } = await ask('--identity', '2', '--path', '/ab');
    expect(code).toBe(2);
    expect(stderr).toContain('explain: no API server is configured');
  });

  it('takes no policies beside it, and tells of a configuration that cannot be read', async () => {
    write('config.yaml', configOf('endpoints: endpoints.yaml'));
    expect(await ask('-p', 'policies', '--identity', '2')).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('give one or the other'),
    });
    rmSync(join(dir, 'policies'), { recursive: true });
    expect(await ask('--identity', '2')).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('there is no such file or directory'),
    });
  });
});

describe('verdict -c', () => {
  const question = (remote: object, path: string) =>
    JSON.stringify({ endpoint: 'default/api', ...remote, port: 80, http: { method: 'GET', path } });
  const ask = async (lines: readonly string[], ...args: readonly string[]) => {
    const io = testIo({ cwd: dir, stdin: `${lines.join('\n')}\n` });
    const code = await runCommandLine(['verdict', '-c', 'config.yaml', ...args], io);
    const told = io.stdout.text.trim().split('\n');
    const answers =
      code === 0 ? told.map((line) => JSON.parse(line) as Record<string, unknown>) : [];
    return {
      code,
      verdicts: answers.map((one) => one['verdict'] ?? one['update']),
      err: io.stderr.text,
    };
  };
  const HOST = { remote: 'default/host' };
  const WORLD = { identity: 2 };

  beforeEach(() => {
    write('endpoints.yaml', ENDPOINTS);
    write('policies/api.yaml', API_POLICY);
  });

  it('judges by what the configuration names and as it says, also after a swap', async () => {
    write('other.yaml', API_POLICY);
    const lines = [
      question(WORLD, '/ab'),
      question(HOST, '/b'),
      question(WORLD, `/a${'b'.repeat(8000)}`),
    ];
    write('config.yaml', configOf('endpoints: endpoints.yaml'));
    expect((await ask(lines)).verdicts).toEqual(['allow', 'allow', 'allow']);
    const more =
      'endpoints: endpoints.yaml\nredirect: { host: policy }\nlimits: { verdictWorkMax: 10000 }';
    write('config.yaml', configOf(more));
    const swapped = [...lines, '{"policyFile":"other.yaml"}', ...lines];
    const expected = ['allow', 'deny', 'deny'];
    expect((await ask(swapped)).verdicts).toEqual([...expected, 'accepted', ...expected]);
  });

  it('takes no policies beside it', async () => {
    write('config.yaml', configOf('endpoints: endpoints.yaml'));
    expect(await ask([question(WORLD, '/ab')], '-p', 'policies')).toMatchObject({
      code: 2,
      err: expect.stringContaining('give one or the other'),
    });
  });
});

function configOf(more: string): string {
  return `policies: [policies/]
listeners:
  - { name: api, address: "127.0.0.1:0", direction: ingress, destination: "10.0.0.7:8080" }
${more}
`;
}

function write(name: string, text: string): void {
  writeFileSync(join(dir, name), text);
}

async function run(args: readonly string[]) {
  const io = testIo({ cwd: dir });
  const code = await runCommandLine(args, io);
  return { code, stdout: io.stdout.text, stderr: io.stderr.text };
}
