/** The command line as a user sees it: what goes to stdout, what to stderr, which exit code. */
import { describe, expect, it } from 'vitest';
import { type FlagSpec, parseVerbArgs, type VerbSpec, verbHelp } from '../../src/cli/args.ts';
import { runCommandLine } from '../../src/cli/command_line.ts';
import { VERBS } from '../../src/cli/verbs.ts';
import { testIo } from './test_io.ts';

describe('help', () => {
  it.each(['help', '--help', '-h'])('%s lists every verb on stdout, exit 0', async (word) => {
    const { code, stdout, stderr } = await check(word);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    for (const verb of VERBS) expect(stdout).toContain(`  ${verb.spec.name} `);
  });

  it.each(VERBS.map((verb) => verb.spec.name))('%s --help tells its flags', async (name) => {
    const long = await check(name, '--help');
    expect(long).toMatchObject({ code: 0, stderr: '' });
    expect(long.stdout).toContain(`Usage: sallyport ${name}`);
    expect(await check(name, '-h')).toEqual(long);
    expect(await check('help', name)).toEqual(long);
    const spec = VERBS.find((verb) => verb.spec.name === name)?.spec;
    for (const flag of spec?.flags ?? []) expect(long.stdout).toContain(`--${flag.name}`);
  });

  it('no two flags of a verb share a name or a letter', () => {
    for (const { spec } of VERBS) {
      const names = [...spec.flags.map((flag) => flag.name), 'help', 'no-color'];
      const letters = ['h', ...spec.flags.flatMap((flag) => flag.short ?? [])];
      expect(new Set(names).size, spec.name).toBe(names.length);
      expect(new Set(letters).size, spec.name).toBe(letters.length);
    }
  });
});

describe('version', () => {
  it.each([['-V'], ['--version'], ['version']])('%s', async (word) => {
    expect(await check(word)).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/^sallyport \d+\.\d+\.\d+ \(node \d+/),
    });
  });

  it('-o json is JSON', async () => {
    const { stdout } = await check('version', '-o', 'json');
    expect(JSON.parse(stdout)).toMatchObject({ node: process.versions.node });
  });
});

describe('a usage error is one line on stderr, exit 2', () => {
  const cases: readonly (readonly [readonly string[], string])[] = [
    [[], 'no verb'],
    [['rnu'], 'unknown verb "rnu"; did you mean run?'],
    [['help', 'rnu'], 'unknown verb "rnu"; did you mean run?'],
    [['xyzzy'], 'unknown verb "xyzzy"; `sallyport help` lists them'],
    [['version', '--ouptut', 'json'], 'unknown flag --ouptut; did you mean --output?'],
    [['version', '--xyzzy'], 'unknown flag --xyzzy'],
    [['version', '-x'], 'unknown flag -x'],
    [['version', '-o'], '-o needs a FORMAT'],
    [['version', '-o', '--no-color'], '-o needs a FORMAT'],
    [['version', '-o', 'xml'], '-o: "xml" is none of table, json, yaml'],
    [['version', '-o', 'json', '-o', 'yaml'], '-o is given twice'],
    [['version', '--no-color=1'], '--no-color takes no value'],
    [['version', 'extra'], 'unexpected argument "extra"'],
    [['run'], 'no configuration'],
    [['run', '-c', '/nonexistent/c.yaml'], '/nonexistent/c.yaml: no such file'],
    [['run', '-c', 'x', '--set', 'workers'], '--set needs FIELD=VALUE'],
  ];

  it.each(cases)('%j', async (argv, message) => {
    const { code, stdout, stderr } = await check(...argv);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toContain(message);
    expect(stderr.split('\n').length).toBe(2);
  });
});

describe('arguments', () => {
  const file: FlagSpec = { name: 'file', short: 'f', value: 'FILE', isRepeated: true, about: 'x' };
  const spec: VerbSpec = {
    name: 'v',
    about: 'About',
    argumentsForm: 'ONE [TWO]',
    argumentCountMin: 1,
    argumentCountMax: 2,
    flags: [file, { name: 'quiet', short: 'q', about: 'y' }],
    examples: [],
  };

  it('a repeated flag keeps its order, short, long and with "=" alike', () => {
    const parsed = parse(spec, ['-f', 'a', '--file=b', 'one', '-fc', '--file', '-', '-q']);
    expect(parsed.values('file')).toEqual(['a', 'b', 'c', '-']);
    expect(parsed.has('quiet')).toBe(true);
    expect(parsed.arguments).toEqual(['one']);
  });

  it('what follows "--" is no flag', () => {
    expect(parse(spec, ['--', '-q', '--nope']).arguments).toEqual(['-q', '--nope']);
  });

  it('too few and too many are errors', () => {
    expect(parseVerbArgs(spec, [])).toMatchObject({
      message: expect.stringContaining('needs ONE'),
    });
    expect(parseVerbArgs(spec, ['1', '2', '3'])).toMatchObject({
      message: expect.stringContaining('unexpected argument "3"'),
    });
  });

  it('help names values and repetition', () => {
    expect(verbHelp(spec)).toContain('-f, --file FILE  x (may be repeated)');
  });
});

async function check(...argv: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const io = testIo();
  const code = await runCommandLine(argv, io);
  return { code, stdout: io.stdout.text, stderr: io.stderr.text };
}

function parse(spec: VerbSpec, argv: readonly string[]) {
  const parsed = parseVerbArgs(spec, argv);
  if (parsed.kind === 'error') throw new Error(parsed.message);
  return parsed.args;
}
