/** The verbs that ask the engine, as a user sees them: exit codes, stdout, stderr and formats. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { runCommandLine } from '../../../src/cli/command_line.ts';
import { DEFAULT_LIMITS } from '../../../src/model/limits.ts';
import { testIo } from '../test_io.ts';

const ROOT = resolve(import.meta.dirname, '../../..');
const DIRECTORY = mkdtempSync(join(tmpdir(), 'sallyport-tools-'));
afterAll(() => rmSync(DIRECTORY, { recursive: true, force: true }));

const API = `apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: { name: api }
spec:
  endpointSelector: { matchLabels: { app: api } }
  ingress:
    - fromEndpoints: [{ matchLabels: { app: web } }]
      toPorts:
        - ports: [{ port: "8080", protocol: TCP }]
          rules:
            http:
              - { method: GET, path: "/items(/[0-9]+)?(\\\\?.*)?" }
              - { method: PUT, path: "/items/[0-9]+(\\\\?.*)?", headerMatches: [{ name: x-team, value: blue, mismatch: REPLACE }] }
`;
const NOTED = API.replace('(\\\\?.*)?', '');
const WRONG = API.replace('"8080"', '8080').replace('fromEndpoints', 'fromEndpoint');
const CLOSED = API.replace('app: web', 'app: nobody');
const ENDPOINTS = `endpoints:
  - { name: default/api, ip: 10.0.0.1, labels: { app: api } }
  - { name: default/web, ip: 10.0.0.2, labels: { app: web }, identity: 4321 }
  - { name: far/web, ip: 10.0.0.3, labels: { app: web } }
`;
const QUESTION = {
  endpoint: 'default/api',
  remote: 'default/web',
  port: 8080,
  http: { method: 'GET', path: '/items' },
};

file('api.yaml', API);
file('noted.yaml', NOTED);
file('wrong.yaml', WRONG);
file('closed.yaml', CLOSED);
file('endpoints.yaml', ENDPOINTS);
file('secrets.yaml', 'default/key: "s"\n');
file('wrong_endpoints.yaml', '# more\n# lines\nendpoints:\n  - { name: api, ip: 10.0.0.300 }\n');
file('wrong_secrets.yaml', 'default/key: 7\n');
file('set/a.yaml', API);
file('set/b.json', JSON.stringify({ ...parse(API), metadata: { name: 'other' } }));
file('set/README.md', 'no policy');
file('empty/README.md', 'no policy');
file('latin1.yaml', Buffer.from('# caf\xe9\n', 'latin1'));

interface Expected {
  readonly code: number;
  readonly stdout?: string | readonly string[];
  readonly stderr?: string | readonly string[];
}

/** Parts of an output; "" is an empty one. */
async function check(argv: readonly string[], expected: Expected, stdin = ''): Promise<string> {
  const io = testIo({ cwd: DIRECTORY, stdin });
  const code = await runCommandLine(argv, io);
  const { stdout, stderr } = { stdout: io.stdout.text, stderr: io.stderr.text };
  expect({ code, stdout, stderr }).toMatchObject({ code: expected.code });
  contains(stdout, expected.stdout ?? []);
  contains(stderr, expected.stderr ?? '');
  if (expected.code === 2 && expected.stdout === '') expect(stderr.split('\n').length).toBe(2);
  return stdout;
}

function contains(text: string, parts: string | readonly string[]): void {
  if (parts === '') expect(text).toBe('');
  else for (const part of [parts].flat()) expect(text).toContain(part);
}

function file(name: string, content: string | Buffer): string {
  const path = join(DIRECTORY, name);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, content);
  return path;
}

function lines(...values: readonly unknown[]): string {
  return values
    .map((value) => (typeof value === 'string' ? value : JSON.stringify(value)))
    .join('\n');
}

describe('check', () => {
  it('a clean file', () =>
    check(['check', 'api.yaml'], { code: 0, stdout: '1 file: 0 errors, 0 warnings, 0 notes\n' }));

  it('every problem with file, line, column and field; exit 1', () =>
    check(['check', '-p', 'wrong.yaml'], {
      code: 1,
      stdout: [
        'error: wrong.yaml:7:21: spec.ingress[0].fromEndpoint: unknown field "fromEndpoint"; did you mean fromEndpoints?',
        'error: wrong.yaml:9:27: spec.ingress[0].toPorts[0].ports[0].port: must be a string',
        '[invalid]\n',
        '1 file: 2 errors, 0 warnings, 0 notes\n',
      ],
    }));

  it('notes do not count', () =>
    check(['check', 'noted.yaml'], {
      code: 0,
      stdout: ['note: noted.yaml:12:', '[query-forgotten]', '0 warnings, 1 notes\n'],
    }));

  it('unless --strict', () =>
    check(['check', 'noted.yaml', '--strict'], { code: 1, stdout: '[query-forgotten]' }));

  it.each(['json', 'yaml'])('-o %s has the same findings', async (format) => {
    const text = await check(['check', 'wrong.yaml', '-o', format], { code: 1 });
    const { findings } = (format === 'json' ? JSON.parse(text) : parse(text)) as {
      findings: readonly object[];
    };
    expect(findings).toHaveLength(2);
    expect(findings[0]).toMatchObject({
      path: 'wrong.yaml',
      line: 7,
      column: 21,
      field: 'spec.ingress[0].fromEndpoint',
      severity: 'error',
      code: 'invalid',
    });
  });

  it('-o json of a clean file', async () => {
    const text = await check(['check', 'api.yaml', '-o', 'json'], { code: 0 });
    expect(JSON.parse(text)).toMatchObject({ findings: [] });
  });

  it('a directory: YAML and JSON, nothing else', () =>
    check(['check', 'set'], { code: 0, stdout: '2 files: 0 errors' }));

  it('a file that is named twice is one file', () =>
    check(['check', '-p', 'set', 'set/a.yaml', 'set/a.yaml'], { code: 0, stdout: '2 files: ' }));

  it('two files with one policy', () =>
    check(['check', 'api.yaml', 'closed.yaml'], {
      code: 1,
      stdout:
        'error: closed.yaml:1:1: CiliumNetworkPolicy default/api is also at api.yaml:1:1 [invalid]',
    }));

  it('standard input, as kubectl writes lists', () =>
    check(
      ['check', '-p', '-'],
      { code: 1, stdout: 'error: <stdin>:1:' },
      JSON.stringify({ apiVersion: 'v1', kind: 'List', items: [parse(API), parse(WRONG)] }),
    ));

  it('problems of endpoints and secrets', () =>
    check(
      [
        'check',
        'api.yaml',
        '--endpoints',
        'wrong_endpoints.yaml',
        '--secrets',
        'wrong_secrets.yaml',
      ],
      {
        code: 1,
        stdout: [
          'error: wrong_endpoints.yaml:4:',
          'error: wrong_secrets.yaml:1:14: default/key: the value of a secret must be a string',
        ],
      },
    ));

  it('endpoints in two documents', async () => {
    file('two.yaml', 'endpoints: []\n---\nendpoints: []\n');
    await check(['check', 'api.yaml', '--endpoints', 'two.yaml'], {
      code: 1,
      stdout: 'error: two.yaml:2:1: multiple documents are not allowed here',
    });
  });

  const unreadable: readonly (readonly [string, readonly string[], string])[] = [
    ['no policies', [], 'no policies: name them with -p PATH'],
    ['a file that is not there', ['nope.yaml'], 'nope.yaml: there is no such file or directory'],
    ['a directory without policies', ['empty'], 'there are no policy files'],
    ['no UTF-8', ['latin1.yaml'], 'latin1.yaml: it is not UTF-8 text'],
    ['no endpoints', ['api.yaml', '--endpoints', 'nope'], 'nope: there is no such file'],
    ['endpoints in a directory', ['api.yaml', '--endpoints', 'set'], 'it is a directory'],
    ['no secrets', ['api.yaml', '--secrets', 'nope'], 'nope: there is no such file'],
    ['an unknown flag', ['--polcy', 'x'], 'unknown flag --polcy; did you mean --policy?'],
    ['an unknown format', ['api.yaml', '-o', 'xml'], '"xml" is none of table, json, yaml'],
  ];
  it.each(unreadable)('%s: exit 2', async (_, argv, stderr) => {
    await check(['check', ...argv], {
      code: 2,
      stdout: '',
      stderr: ['sallyport: check: ', stderr],
    });
  });
});

describe('explain', () => {
  const SET = ['-p', 'api.yaml', '--endpoints', 'endpoints.yaml'];
  const ASK = [...SET, '--endpoint', 'default/api', '--remote', 'default/web', '--port', '8080'];

  const verdicts: readonly (readonly [string, readonly string[], number, readonly string[]])[] = [
    [
      'allowed: exit 0',
      [...ASK, '--path', '/items/7'],
      0,
      [
        'ALLOWED by ingress[0].toPorts[0].rules.http[0] of default/api',
        'identity 4321 (k8s:app=web',
      ],
    ],
    [
      'denied: exit 1 and the nearest rules',
      [...ASK, '--method', 'PUT', '--path', '/item/7'],
      1,
      [
        'DENIED (http): no HTTP rule matched',
        'Nearest first:',
        'path /item/7 does not match /items/',
      ],
    ],
    [
      'denied, as there is no policy at all',
      ['-p', '-', '--endpoints', 'endpoints.yaml', ...ASK.slice(SET.length)],
      1,
      ['policies  there is none at all, so everything is denied (allowEmptyPolicySet: true'],
    ],
    ['only the connection', ASK, 0, ['ALLOWED by ingress[0].toPorts[0] of default/api']],
    [
      'another remote',
      [...SET, '--endpoint', 'default/api', '--remote', 'far/web', '--port', '8080'],
      1,
      ['DENIED (network)'],
    ],
    [
      'addresses',
      [...SET, '--endpoint-ip', '10.0.0.1', '--remote-ip', '10.0.0.2', '--port', '8080'],
      0,
      ['ALLOWED'],
    ],
    [
      'an identity',
      [...SET, '--endpoint', 'default/api', '--identity', '4321', '--port', '8080'],
      0,
      ['ALLOWED'],
    ],
    [
      'an address that nobody has is the world',
      [...SET, '--endpoint', 'default/api', '--remote-ip', '203.0.113.9', '--port', '8080'],
      1,
      ['remote    identity 2 (reserved:world'],
    ],
    [
      'a URL gives host, port and path',
      [
        ...SET,
        '--endpoint',
        'default/api',
        '--remote',
        'default/web',
        '--url',
        'http://api:8080/items?x=1',
      ],
      0,
      ['ALLOWED'],
    ],
    [
      'the path is normalised as the proxy does it',
      [...ASK, '--path', '/x/../items/./7'],
      0,
      ['ALLOWED'],
    ],
    [
      'fields, and what is done to them',
      [...ASK, '-X', 'PUT', '--path', '/items/7', '-H', 'X-Team: red'],
      0,
      [
        'header replace: x-team: blue',
        'rejected header: x-team: red',
        'missing header: x-team: blue',
      ],
    ],
    ['a whole request', [...SET, '--request', JSON.stringify(QUESTION)], 0, ['ALLOWED']],
    [
      'labels of both sides, from no file',
      ['-p', 'api.yaml', '--endpoint-label', 'app=api', '--label', 'app=web', '--port', '8080'],
      0,
      ['ALLOWED', 'endpoint  default/ad-hoc', 'policies  default/api'],
    ],
    [
      'an endpoint of another namespace',
      [
        '-p',
        'api.yaml',
        '--endpoint-label',
        'app=api',
        '--endpoint-label',
        'io.kubernetes.pod.namespace=far',
        '--label',
        'app=web',
        '--port',
        '1',
      ],
      0,
      ['endpoint  far/ad-hoc', 'policies  none selects the endpoint'],
    ],
    [
      'beside the endpoints of a file',
      [...SET, '--endpoint-label', 'k8s:app=api', '--remote', 'default/web', '--port', '8080'],
      0,
      ['ALLOWED', 'endpoint  default/ad-hoc'],
    ],
  ];
  it.each(verdicts)('%s', async (_, argv, code, stdout) => {
    await check(['explain', ...argv], { code, stdout });
  });

  it.each(['json', 'yaml'])('-o %s', async (format) => {
    const text = await check(['explain', ...ASK, '--path', '/items/7', '-o', format], { code: 0 });
    const value: unknown = format === 'json' ? JSON.parse(text) : parse(text);
    expect(value).toMatchObject({
      verdict: 'allow',
      policy: 'default/api',
      rule: 'ingress[0].toPorts[0].rules.http[0]',
      endpoint: 'default/api',
      policies: ['default/api'],
      remote: { identity: 4321, labels: expect.arrayContaining(['k8s:app=web']) },
      steps: expect.arrayContaining([expect.objectContaining({ outcome: 'applied' })]),
    });
  });

  const errors: readonly (readonly [string, readonly string[], string])[] = [
    ['no policies', [], 'no policies: name them with -p PATH'],
    ['no such file', ['-p', 'nope'], 'nope: there is no such file'],
    ['a rejected set', ['-p', 'wrong.yaml'], 'the policy set is rejected: wrong.yaml:7:21: '],
    [
      'no endpoint',
      [...SET, '--remote', 'default/web'],
      '--endpoint, --endpoint-ip or --endpoint-label does',
    ],
    [
      'no other side',
      [...SET, '--endpoint', 'default/api'],
      '--remote, --remote-ip, --identity or --label does',
    ],
    ['two of them', [...ASK, '--identity', '1'], 'found identity and remote'],
    [
      'an unknown endpoint',
      [...SET, '--endpoint', 'default/ap', '--identity', '1'],
      'no endpoint is named "default/ap" (known: default/api, ',
    ],
    [
      'an unknown remote',
      [...SET, '--endpoint', 'default/api', '--remote', 'default/wbe'],
      'default/wbe',
    ],
    [
      'a port that is none',
      [...ASK.slice(0, -1), 'http'],
      '--port must be a number (found "http")',
    ],
    [
      'a port that is too great',
      [...ASK.slice(0, -1), '65536'],
      'port must be a whole number, 0 to 65535',
    ],
    ['a field that is none', [...ASK, '-H', 'x-team'], '--header "x-team" is not "Name: value"'],
    ['a URL of another scheme', [...ASK, '--url', 'ftp://api/x'], '--url "ftp://api/x" is no URL'],
    ['a request that is no JSON', [...SET, '--request', '{'], '--request is not JSON'],
    ['a request that is a list', [...SET, '--request', '[]'], '--request must be an object'],
    ['a request that is null', [...SET, '--request', 'null'], '--request must be an object'],
    ['a request with an unknown key', [...SET, '--request', '{"prot":1}'], 'unknown key "prot"'],
    ['a direction that is none', [...ASK, '--direction', 'in'], '"in" is none of ingress, egress'],
    [
      'an address that is none',
      [...SET, '--endpoint-ip', '10.0.0', '--identity', '1'],
      'endpointIp must be an IP address',
    ],
  ];
  it.each(errors)('%s: exit 2', async (_, argv, stderr) => {
    await check(['explain', ...argv], {
      code: 2,
      stdout: '',
      stderr: ['sallyport: explain: ', stderr],
    });
  });

  it('problems of the endpoints file keep their lines when an endpoint is added', () =>
    check(
      [
        'explain',
        '-p',
        'api.yaml',
        '--endpoints',
        'wrong_endpoints.yaml',
        '--endpoint-label',
        'a=b',
      ],
      { code: 2, stdout: '', stderr: 'wrong_endpoints.yaml:4:' },
    ));
});

describe('verdict', () => {
  const SET = ['verdict', '-p', 'api.yaml', '--endpoints', 'endpoints.yaml'];
  const ALLOW =
    '{"verdict":"allow","layer":"http","policy":"default/api","rule":"ingress[0].toPorts[0].rules.http[0]","headers":[],"missing":[],"rejected":[]}';

  it('an answer for each line, in order; empty lines are none', () =>
    check(
      SET,
      {
        code: 0,
        stdout: [
          `${ALLOW}\n{"verdict":"deny","layer":"http","reason":"no-http-rule-matched","missing":[],"rejected":[]}\n${ALLOW}\n`,
        ],
      },
      lines(QUESTION, '', { ...QUESTION, http: { method: 'GET', path: '/x' } }, QUESTION),
    ));

  it('no questions: no answers, exit 0', () => check(SET, { code: 0, stdout: '' }));

  it('an error is answered on its line; the others are answered; exit 2', async () => {
    const text = await check(
      SET,
      { code: 2 },
      lines('x', [], { ...QUESTION, prot: 1 }, { ...QUESTION, endpoint: 'no/body' }, QUESTION, ''),
    );
    const answers = text.trimEnd().split('\n');
    expect(answers.slice(0, 4).map((line) => Object.keys(JSON.parse(line)))).toEqual(
      Array(4).fill(['error']),
    );
    expect(answers.slice(4)).toEqual([ALLOW]);
  });

  it('a policy file is swapped before the next line', () =>
    check(
      SET,
      {
        code: 0,
        stdout: [
          `${ALLOW}\n{"update":"accepted"}\n{"verdict":"deny","layer":"network"`,
          `{"update":"accepted"}\n${ALLOW}\n`,
        ],
      },
      lines(
        QUESTION,
        { policyFile: 'closed.yaml' },
        QUESTION,
        { policyFile: 'set/a.yaml' },
        QUESTION,
      ),
    ));

  it('a rejected file leaves the set in force, whatever is wrong', async () => {
    const text = await check(
      SET,
      { code: 2 },
      lines(
        { policyFile: 'wrong.yaml' },
        { policyFile: 'nope.yaml' },
        { policyFile: '-' },
        { policyFile: 7 },
        { policyFile: 'closed.yaml', extra: 1 },
        QUESTION,
      ),
    );
    const answers = text.trimEnd().split('\n');
    expect(answers[0]).toContain('{"update":"rejected","reason":"wrong.yaml:7:21: ');
    expect(answers[1]).toContain('{"update":"rejected","reason":"cannot read ');
    expect(answers[2]).toContain('"error"');
    expect(answers[3]).toContain('{"error":"policyFile must be a path');
    expect(answers[4]).toContain('{"error":"policyFile must be a path');
    expect(answers[5]).toBe(ALLOW);
    expect(answers).toHaveLength(6);
  });

  it('standard input cannot be both', () =>
    check(
      ['verdict', '-p', '-'],
      { code: 2, stdout: '', stderr: 'verdict: standard input has the questions' },
      API,
    ));

  it('a rejected set at the start', () =>
    check(['verdict', 'wrong.yaml'], {
      code: 2,
      stdout: '',
      stderr: 'sallyport: verdict: the policy set is rejected: wrong.yaml:7:21: ',
    }));

  it('a line that is too long', () =>
    check(
      SET,
      { code: 2, stdout: '{"error":"the line has more than ' },
      ' '.repeat(DEFAULT_LIMITS.adminBodyBytesMax + 2),
    ));

  it('header changes are in the answer', async () => {
    const put = { method: 'PUT', path: '/items/7', headers: [['X-Team', 'red']] };
    const text = await check(SET, { code: 0 }, lines({ ...QUESTION, http: put }));
    expect(JSON.parse(text)).toMatchObject({
      verdict: 'allow',
      headers: [['X-Team', 'blue']],
      missing: [['x-team', 'blue']],
      rejected: [['x-team', 'red']],
    });
  });
});

describe('test', () => {
  const CASES = [
    { name: 'GET <items> & "more"', request: QUESTION, expect: 'allow' },
    { name: 'as a whole', request: QUESTION, expect: { verdict: 'allow', policy: 'default/api' } },
  ];
  const FILE = { about: 'The API.', policies: ['api.yaml'], endpoints: 'endpoints.yaml' };
  const WRONG_CASE = { name: 'wrong', request: QUESTION, expect: { verdict: 'deny', layer: 'x' } };
  file('good.test.yaml', JSON.stringify({ ...FILE, cases: CASES }));
  file('bad.test.yaml', JSON.stringify({ ...FILE, cases: [...CASES, WRONG_CASE] }));

  it('every case and the last line', () =>
    check(['test', 'good.test.yaml'], {
      code: 0,
      stdout: [
        'good.test.yaml: The API.\n  ok    GET <items> & "more"\n  ok    as a whole\n2 passed, 0 failed\n',
      ],
    }));

  it('a failure: what was expected, what was found, exit 1', () =>
    check(['test', 'bad.test.yaml', 'good.test.yaml'], {
      code: 1,
      stdout: [
        '  FAIL  wrong\n        verdict: expected "deny", found "allow"\n        layer: expected "x", found "http"\n',
        '4 passed, 1 failed\n',
      ],
    }));

  it('-q prints failures and the last line', async () => {
    expect(await check(['test', '-q', 'good.test.yaml'], { code: 0 })).toBe('2 passed, 0 failed\n');
    await check(['test', '-q', 'bad.test.yaml'], { code: 1, stdout: 'FAIL  wrong' });
  });

  it('--junit writes XML that is escaped', async () => {
    await check(['test', 'bad.test.yaml', '--junit', 'results.xml'], { code: 1 });
    const xml = readFileSync(join(DIRECTORY, 'results.xml'), 'utf8');
    expect(xml).toContain('<testsuites tests="3" failures="1" errors="0" skipped="0">');
    expect(xml).toContain('<testsuite name="bad.test.yaml" tests="3" failures="1"');
    expect(xml).toContain('name="GET &lt;items&gt; &amp; &quot;more&quot;"/>');
    expect(xml).toContain('<failure message="verdict: expected &quot;deny&quot;, found');
  });

  it('a file that cannot be written: exit 2', () =>
    check(['test', '-q', 'good.test.yaml', '--junit', 'no/such/directory.xml'], {
      code: 2,
      stderr: 'cannot write',
    }));

  const REJECTED = `about: a
policies:
  - apiVersion: cilium.io/v2
    kind: CiliumNetworkPolicy
    metadata: { name: p }
    spec:
      endpointSelector: {}
      ingress: [{ fromEntities: [wrld] }]
rejected: TEXT
`;

  it('a set that must be rejected, with true places', async () => {
    file('rejected.yaml', REJECTED.replace('TEXT', 'rejected.yaml:8:34'));
    await check(['test', 'rejected.yaml'], { code: 0, stdout: '1 passed, 0 failed' });
    file('rejected.yaml', REJECTED.replace('TEXT', 'another reason'));
    await check(['test', 'rejected.yaml'], {
      code: 1,
      stdout: 'it was rejected with:\n        rejected.yaml:8:34: spec.ingress[0].fromEntities[0]',
    });
    file('rejected.yaml', REJECTED.replace('TEXT', 'x').replace('wrld', 'world'));
    await check(['test', 'rejected.yaml'], { code: 1, stdout: 'the set was accepted' });
  });

  it('quotes in a document that stands in the file stay quotes, also through an alias', async () => {
    const document = API.replace('value: blue', 'value: "on"');
    const policy = document.split('\n').join('\n    ');
    file(
      'inline.yaml',
      `endpoints: endpoints.yaml\npolicies:\n  - ${policy}\ncases: ${JSON.stringify(CASES)}\n`,
    );
    await check(['test', 'inline.yaml'], { code: 0, stdout: '2 passed, 0 failed' });
    file(
      'alias.yaml',
      `endpoints: endpoints.yaml\npolicies:\n  - &one\n    ${policy}\n  - { <<: x, kind: CiliumCIDRGroup, apiVersion: cilium.io/v2, metadata: { name: g }, spec: { externalCIDRs: [10.0.0.0/8] } }\nrejected: unknown field "<<"\n`.replace(
        '<<: x',
        '"<<": *one',
      ),
    );
    await check(['test', 'alias.yaml'], { code: 0, stdout: '1 passed, 0 failed' });
  });

  it('a directory: the test files in it and below', async () => {
    file('tree/policies/api.yaml', API);
    file('tree/endpoints.yaml', ENDPOINTS);
    file(
      'tree/deep/one.yaml',
      JSON.stringify({
        ...FILE,
        policies: ['../policies'],
        endpoints: '../endpoints.yaml',
        cases: CASES,
      }),
    );
    await check(['test', 'tree'], {
      code: 0,
      stdout: ['tree/deep/one.yaml', '2 passed, 0 failed'],
    });
  });

  it('the fixtures of this repository all pass', () =>
    check(['test', '-q', join(ROOT, 'fixtures/policy')], { code: 0, stdout: ' passed, 0 failed' }));

  const errors: readonly (readonly [string, string | null, string])[] = [
    ['no such file', null, 'there is no such file'],
    ['no YAML', 'cases: [', 'sallyport: case.yaml:1:9: '],
    [
      'two documents',
      'about: a\n---\nabout: b',
      'case.yaml:2:1: multiple documents are not allowed here',
    ],
    ['no policies', 'cases: [{}]', 'policies must be a list'],
    ['neither cases nor rejected', 'policies: [api.yaml]', 'exactly one of cases and rejected'],
    ['no cases', 'policies: [api.yaml]\ncases: []', 'cases must be a list of at least one case'],
    ['an unknown key', 'policies: [api.yaml]\ncase: []', 'unknown key "case"'],
    [
      'an unknown key of a request',
      'policies: [api.yaml]\ncases: [{ request: { endpoint: a/b, identity: 1, port: 1, pth: 1 }, expect: allow }]',
      'cases[0].request: the request: unknown key "pth"',
    ],
    [
      'an unknown expectation',
      'policies: [api.yaml]\ncases: [{ request: { endpoint: a/b, identity: 1, port: 1 }, expect: allowed }]',
      'cases[0].expect must be allow, deny or an object',
    ],
    [
      'a policy file that is not there',
      'policies: [nope.yaml]\ncases: [{ request: { endpoint: a/b, identity: 1, port: 1 }, expect: allow }]',
      'nope.yaml: there is no such file',
    ],
  ];
  it.each(errors)('%s: exit 2', async (_, text, stderr) => {
    if (text !== null) file('case.yaml', text);
    await check(['test', text === null ? 'nope.yaml' : 'case.yaml'], {
      code: 2,
      stdout: '',
      stderr,
    });
  });

  it('no FILE, and a directory without tests: exit 2', async () => {
    await check(['test'], { code: 2, stdout: '', stderr: 'needs FILE' });
    await check(['test', 'set'], { code: 2, stdout: '', stderr: 'no test files in set' });
  });
});
