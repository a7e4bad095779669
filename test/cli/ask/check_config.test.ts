/** `check -c`: whether `run` would start, without starting anything. */
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
