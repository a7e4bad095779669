/** Nothing that anybody wrote into a policy, a request or a file name reaches a terminal as a control. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { runCommandLine } from '../../src/cli/command_line.ts';
import { paint, safeIo, shownWidth, yamlText } from '../../src/cli/terminal.ts';
import { shownLine, shownText } from '../../src/model/shown_text.ts';
import { createLogger } from '../../src/observe/log/logger.ts';
import { testIo } from './test_io.ts';

const DIRECTORY = mkdtempSync(join(tmpdir(), 'sallyport-terminal-'));
afterAll(() => rmSync(DIRECTORY, { recursive: true, force: true }));

/** Not the pattern of the code under test: by category, with the few that a terminal must get. */
const OBEYED = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u;

function withoutOwn(text: string): string {
  return text.replaceAll('\n', '').replaceAll('\u001b[31m', '').replaceAll('\u001b[0m', '');
}

const HOSTILE = [
  '\u001b[2J',
  '\u001b]0;owned\u0007',
  '\u009b31m',
  '\u0007',
  '\u202eevil\u202c',
  '\u2066x\u2069',
  '\u200f',
  '\u2028',
  '\u0085',
  '\u007f',
  '\r',
  '\nALLOWED by shop/api\n',
  '\u0000',
  '\u{13430}',
  '\u{e0041}',
  '\u{110bd}',
] as const;

const hostile = fc
  .array(fc.oneof(fc.constantFrom(...HOSTILE), fc.string({ unit: 'binary', maxLength: 4 })), {
    minLength: 1,
    maxLength: 3,
  })
  .map((parts) => parts.join('x'));

interface Hostile {
  readonly pattern: string;
  readonly label: string;
  readonly field: string;
  readonly file: string;
}

function policyOf({ pattern, label, field }: Hostile, isValid: boolean): string {
  const http = { path: `/${pattern}`, host: pattern, headers: [`x-${pattern} ${pattern}`] };
  return JSON.stringify({
    apiVersion: 'cilium.io/v2',
    kind: 'CiliumNetworkPolicy',
    metadata: { name: 'p', annotations: { 'sallyport.dev/ignore-findings': label } },
    spec: {
      endpointSelector: { matchLabels: { app: 'api' } },
      ...(isValid ? {} : { [field]: label }),
      ingress: [
        {
          fromEndpoints: [{ matchLabels: { app: isValid ? 'web' : label } }],
          toPorts: [{ ports: [{ port: '80', protocol: 'TCP' }], rules: { http: [http] } }],
        },
      ],
    },
  });
}

const ASK = ['--endpoint-label', 'app=api', '--label', 'app=web', '--path', '/x'];

function commands({ pattern, label, field, file }: Hostile): readonly (readonly string[])[] {
  const asked = [pattern, label, field].map((text) => text.replaceAll('\u0000', ''));
  const [text = ''] = asked;
  return [
    ['check', 'p.yaml'],
    ['check', 'p.yaml', '--all', '-o', 'yaml'],
    ['check', 'p.yaml', '-o', 'json'],
    ['check', `no${file}.yaml`],
    ['check', '--ignore', text],
    ['explain', '-p', 'p.yaml', ...ASK, '--header', `x-a: ${text}`, '--host', text],
    ['explain', '-p', 'p.yaml', ...ASK, '-o', 'yaml'],
    ['explain', '-p', 'p.yaml', ...ASK, '-o', 'json', '--sni', text],
    ['explain', '-p', 'p.yaml', '--request', text],
    ['explain', '-p', 'p.yaml', '--endpoint', text, '--identity', '2'],
    ['verdict', '-p', 'p.yaml'],
    ['test', 't.yaml'],
    ['bench', '-p', 'p.yaml', '--requests', `no${file}`],
    ['run', '-c', `no${file}.yaml`],
    ['run', '-c', 'p.yaml', '--check-config'],
    ['status', '--admin', text],
    ['fqdn', 'cache', 'list', '--admin', text],
    ['fqdn', 'cache', text],
    ['redirect', text],
    [text],
    ['help', text],
  ];
}

describe('a verb', () => {
  it('writes no control, direction mark or line of anybody else', async () => {
    const record = fc.record({ pattern: hostile, label: hostile, field: hostile, file: hostile });
    await fc.assert(
      fc.asyncProperty(record, fc.boolean(), async (texts, isValid) => {
        const policy = policyOf(texts, isValid);
        writeFileSync(join(DIRECTORY, 'p.yaml'), policy);
        const cases = [
          { name: texts.label, request: { endpoint: texts.pattern }, expect: 'allow' },
        ];
        const test = { about: texts.field, policies: [JSON.parse(policy)], cases };
        writeFileSync(join(DIRECTORY, 't.yaml'), JSON.stringify(test));
        for (const argv of commands(texts)) {
          const stdin = `${JSON.stringify({ [texts.field]: texts.label })}\n${texts.label}\n`;
          const io = testIo({ cwd: DIRECTORY, stdin });
          await runCommandLine(argv, { ...io, hasColour: true });
          for (const text of [io.stdout.text, io.stderr.text]) {
            const found = OBEYED.exec(withoutOwn(text.replaceAll(/\u001b\[(0|3[1236])m/g, '')));
            expect({ argv, found: found?.[0].codePointAt(0) }).toEqual({ argv, found: undefined });
            expect(text.split('\n')).not.toContain('ALLOWED by shop/api');
          }
        }
      }),
      { numRuns: 12 },
    );
  }, 120_000);
});

describe('the border', () => {
  it('lets no style of anybody else through, also beside our own', () => {
    const io = testIo();
    const safe = safeIo({ ...io, hasColour: true });
    safe.stdout.write(`${paint(safe, 'red', 'DENIED \u001b[32m')} \u001b[31mtext\n`);
    expect(io.stdout.text).toBe('\u001b[31mDENIED \\u001b[32m\u001b[0m \\u001b[31mtext\n');
  });

  it('counts no style as width', () => {
    expect(shownWidth(paint({ hasColour: true }, 'red', 'denied'))).toBe(6);
    expect(shownWidth('plain')).toBe(5);
  });

  it('keeps what JSON and YAML say', () => {
    fc.assert(
      fc.property(hostile, (text) => {
        const json = shownText(`${JSON.stringify({ [text]: text })}\n`);
        expect(JSON.parse(json)).toEqual({ [text]: text });
        expect(parse(shownText(yamlText({ a: [text] })))).toEqual({ a: [text] });
      }),
    );
  });

  it('leaves honest text as it is', () => {
    expect(shownText('größer – 日本語 🙂\n\tx')).toBe('größer – 日本語 🙂\n\tx');
    expect(shownLine('a\nb\tc')).toBe('a\\nb\\tc');
  });
});

describe('the log', () => {
  it('is ASCII, whatever is in it', () => {
    const lines: string[] = [];
    const log = createLogger({ level: 'info', write: (line) => lines.push(line) });
    for (const text of HOSTILE) log.info({ text, err: new Error(text) }, text);
    expect(lines).toHaveLength(HOSTILE.length);
    for (const [index, line] of lines.entries()) {
      expect(line).toMatch(/^[ -~]+\n$/);
      expect(JSON.parse(line)).toMatchObject({ text: HOSTILE[index], msg: HOSTILE[index] });
    }
  });
});
