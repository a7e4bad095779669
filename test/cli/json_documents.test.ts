/** One vocabulary: version, kind and camelCase, wherever JSON comes from. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { runCommandLine } from '../../src/cli/command_line.ts';
import { ENDPOINTS, policyOf } from '../workers/running.ts';
import { testIo } from './test_io.ts';

let dir: string;

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'sallyport-json-'));
  writeFileSync(join(dir, 'api.yaml'), policyOf('/ok'));
  writeFileSync(join(dir, 'endpoints.yaml'), ENDPOINTS);
});

afterEach(() => rmSync(dir, { recursive: true, force: true }));

const SET = ['-p', 'api.yaml', '--endpoints', 'endpoints.yaml'];
const ASK = ['--endpoint', 'default/api', '--remote', 'default/client', '--port', '8080'];

describe('a JSON document', () => {
  it.each([
    { kind: 'Version', args: ['version'] },
    { kind: 'Findings', args: ['check', ...SET] },
    { kind: 'Explanation', args: ['explain', ...SET, ...ASK, '--path', '/no'] },
    { kind: 'Services', args: ['service', 'list', '--endpoints', 'endpoints.yaml'] },
  ])('$kind has version, kind and camelCase names, as YAML, too', async ({ kind, args }) => {
    const json: unknown = JSON.parse(await stdoutOf([...args, '-o', 'json']));
    expect(json).toMatchObject({ apiVersion: 'sallyport.dev/v1', kind });
    expect(namesOf(json).filter((name) => !/^[a-z][A-Za-z0-9]*$/.test(name))).toEqual([]);
    expect(parse(await stdoutOf([...args, '-o', 'yaml']))).toEqual(json);
  });
});

async function stdoutOf(args: readonly string[]): Promise<string> {
  const io = testIo({ cwd: dir });
  await runCommandLine(args, io);
  return io.stdout.text;
}

function namesOf(value: unknown): string[] {
  if (Array.isArray(value)) return value.flatMap(namesOf);
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([name, one]) => [name, ...namesOf(one)]);
}
