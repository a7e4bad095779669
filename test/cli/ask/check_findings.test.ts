/** Findings as users meet them: ignored by flag and annotation, summed up, in JSON. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { runCommandLine } from '../../../src/cli/command_line.ts';
import { testIo } from '../test_io.ts';

const DIRECTORY = mkdtempSync(join(tmpdir(), 'sallyport-check-'));
afterAll(() => rmSync(DIRECTORY, { recursive: true, force: true }));

function policyOf(paths: readonly string[], annotations: Record<string, string> = {}): string {
  return JSON.stringify({
    apiVersion: 'cilium.io/v2',
    kind: 'CiliumNetworkPolicy',
    metadata: { name: 'api', annotations },
    spec: {
      endpointSelector: { matchLabels: { app: 'api' } },
      ingress: [
        {
          toPorts: [
            {
              ports: [{ port: '80', protocol: 'TCP' }],
              rules: { http: paths.map((path) => ({ path })) },
            },
          ],
        },
      ],
    },
  });
}

async function check(policy: string, ...flags: readonly string[]) {
  writeFileSync(join(DIRECTORY, 'p.yaml'), policy);
  const io = testIo({ cwd: DIRECTORY });
  const code = await runCommandLine(['check', 'p.yaml', ...flags], io);
  return { code, stdout: io.stdout.text, stderr: io.stderr.text };
}

describe('a finding is ignored', () => {
  const glob = policyOf(['/api/*', '/plain']);

  it('by --ignore, and then it does not count', async () => {
    expect(await check(glob)).toMatchObject({
      code: 1,
      stdout: expect.stringContaining('[glob-not-regex]'),
    });
    const ignored = await check(glob, '--ignore', 'glob-not-regex');
    expect(ignored.code).toBe(0);
    expect(ignored.stdout).not.toContain('glob-not-regex');
    expect(ignored.stdout).toContain('0 warnings, 1 notes, 1 ignored\n');
    const both = await check(glob, '--ignore', 'glob-not-regex,query-forgotten', '--strict');
    expect(both).toMatchObject({ code: 0, stdout: expect.stringContaining('2 ignored\n') });
  });

  it('by the annotation of its policy', async () => {
    const annotated = policyOf(['/api/*', '/plain'], {
      'sallyport.dev/ignore-findings': 'glob-not-regex, query-forgotten',
    });
    expect(await check(annotated, '--strict')).toMatchObject({
      code: 0,
      stdout: '1 file: 0 errors, 0 warnings, 0 notes, 2 ignored\n',
    });
  });

  it('an id that is not known ignores nothing, and is told', async () => {
    const annotated = policyOf(['/api/*'], { 'sallyport.dev/ignore-findings': 'glob-not-regx' });
    const { code, stdout } = await check(annotated);
    expect(code).toBe(1);
    expect(stdout).toContain(
      'no finding has the id "glob-not-regx"; did you mean glob-not-regex? [unknown-finding]',
    );
    expect(stdout).toContain('[glob-not-regex]');
    expect(await check(annotated, '--ignore', 'glob-not-regx')).toMatchObject({
      code: 2,
      stdout: '',
      stderr: expect.stringContaining('did you mean glob-not-regex?'),
    });
  });

  it('never when it is an error', async () => {
    const wrong = policyOf(['/a[']);
    expect(await check(wrong, '--ignore', 'invalid')).toMatchObject({ code: 2 });
    expect(await check(wrong)).toMatchObject({ code: 1 });
  });
});

describe('many findings', () => {
  const many = policyOf(Array.from({ length: 3000 }, (_, i) => `/plain-${i}`));

  it('of one kind are summed up, unless --all', async () => {
    const few = await check(many);
    expect(few.stdout.split('\n').length).toBeLessThan(20);
    expect(few.stdout).toContain('note: and 2997 more [query-forgotten]\n');
    expect(few.stdout).toContain('0 warnings, 3000 notes\n');
    const all = await check(many, '--all');
    expect(all.stdout.match(/\[query-forgotten\]/g)).toHaveLength(3000);
  });

  it('are all in JSON, each with its place, its id and what to write instead', async () => {
    const { stdout } = await check(many, '-o', 'json');
    const { findings } = JSON.parse(stdout) as { findings: readonly object[] };
    expect(findings).toHaveLength(3000);
    expect(findings[7]).toMatchObject({
      path: 'p.yaml',
      line: 1,
      field: 'ingress[0].toPorts[0].rules.http[7]',
      severity: 'note',
      id: 'query-forgotten',
      code: 'query-forgotten',
      instead: '/plain-7(\\?.*)?',
    });
  });
});
