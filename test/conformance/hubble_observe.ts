/**
 * Generated flows in a file, and generated flags: Hubble's own `hubble observe` shows them, and `sallyport observe`; every
 * line is the same.
 *
 *     node test/conformance/hubble_observe.ts [ROUNDS] [SEED...]
 *
 * Builds Hubble's client with Go ($GO, or `go`; $HUBBLE_CLI: one that is built already).
 */
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { hasUnsafeText } from '../../src/model/shown_text.ts';
import { generatedResponse } from '../support/hubble_flows.ts';
import { compare, count, goPeer, HUBBLE_FOLDER, ROOT, scratch, seeds } from './differential.ts';
import type { PolicySeed } from './generated_policies.ts';

const RESPONSES_EACH = 150;
/** Each with values that fit some of the flows. */
const FILTERS: readonly (readonly [string, readonly string[]])[] = [
  ['verdict', ['DROPPED', 'FORWARDED', 'AUDIT']],
  ['type', ['l7', 'drop', 'trace', 'trace:to-endpoint', 'policy-verdict', '129']],
  ['protocol', ['tcp', 'udp', 'http', 'dns', 'icmp', 'icmpv6']],
  ['http-status', ['200', '4+', '50+']],
  ['http-method', ['get', 'POST']],
  ['http-path', ['^/$', 'x']],
  ['http-header', ['X-Request-Id:v']],
  ['trace-id', ['4bf92f3577b34da6a3ce929d0e0e4736']],
  ['ip-version', ['v4', 'v6', 'none']],
  ['traffic-direction', ['ingress', 'egress']],
  ['tcp-flags', ['syn', 'syn,ack', 'rst']],
  ['drop-reason-desc', ['POLICY_DENIED', 'AUTH_REQUIRED']],
  ['node-name', ['kind/worker-1', 'worker*']],
  ['uuid', ['b3e5b8a2-0d8f-4f2d-9a44-0d1a7b1d3c7e']],
];
const SIDED: readonly (readonly [string, readonly string[]])[] = [
  ['pod', ['shop/web', 'default/api', '/web', 'shop/']],
  ['namespace', ['shop', 'kube-system']],
  ['ip', ['10.0.0.1', '10.0.0.0/16', 'fd00::1']],
  ['label', ['app=api', 'reserved:world', 'k8s-app in (kube-dns)', '!app']],
  ['port', ['80', '53']],
  ['identity', ['world', '25698', 'host']],
  ['workload', ['api', 'Deployment/api']],
  ['service', ['shop/checkout', 'default/check']],
  ['fqdn', ['*.test', 'api.example.com']],
];
const OUTPUTS = ['compact', 'dict', 'table', 'json', 'jsonpb'];
const SWITCHES = [
  ...['--print-node-name', '--print-policy-names', '--numeric', '--ip-translation=false'],
  ...['--use-default-field-masks=false', '--time-format=RFC1123Z'],
];

await compare(async () => {
  const theirs = goPeer(HUBBLE_FOLDER, 'github.com/cilium/cilium/hubble', 'HUBBLE_CLI');
  for (const { count: rounds, random } of seeds(40, 'rounds')) {
    for (let i = 0; i < rounds; i++) compareRound(random, theirs);
  }
});

function compareRound(random: PolicySeed, theirs: string): void {
  const file = join(scratch.dir, 'flows.json');
  const lines = Array.from({ length: RESPONSES_EACH }, () => tamed(generatedResponse(random)));
  writeFileSync(file, lines.map((line) => `${JSON.stringify(line)}\n`).join(''));
  const flags = [...generatedFlags(random), '--input-file', file, '--color', 'never'];
  const own = ran(join(ROOT, 'bin/sallyport'), ['observe', ...flags]);
  const other = ran(theirs, ['observe', ...flags]);
  const isJson = flags.some((flag) => flag.startsWith('json'));
  const isSame = isJson
    ? isDeepStrictEqual(values(own.text), values(other.text))
    : own.text === other.text;
  const isRefused = own.status !== 0 && other.status !== 0;
  count(isRefused || (isSame && own.status === other.status), () => [
    '---',
    flags.join(' '),
    ...differences(own.text, other.text),
    [own.status, own.error, other.status, other.error],
  ]);
}

interface Run {
  readonly status: number | null;
  readonly text: string;
  readonly error: string;
}

function ran(program: string, args: readonly string[]): Run {
  const { status, stdout, stderr } = spawnSync(program, args, {
    encoding: 'utf8',
    env: { PATH: process.env['PATH'] ?? '', HOME: scratch.dir },
    maxBuffer: 64 * 1024 * 1024,
    timeout: 60_000,
  });
  return { status, text: stdout, error: stderr };
}

function generatedFlags(random: PolicySeed): string[] {
  const flags: string[] = [];
  for (let i = random.below(4); i > 0; i--) {
    if (random.below(4) === 0) flags.push('--not');
    const isSided = random.below(2) === 0;
    const [name, allowed] = random.oneOf(isSided ? SIDED : FILTERS);
    const side = isSided ? random.oneOf(['', 'from-', 'to-']) : '';
    flags.push(`--${side}${name}`, random.oneOf(allowed));
  }
  const output = random.oneOf(OUTPUTS);
  flags.push('-o', output, ...SWITCHES.filter(() => random.below(5) === 0).slice(0, 3));
  if (random.below(3) === 0) flags.push(random.oneOf(['--last', '--first']), '5');
  if (random.below(5) === 0) flags.push('--since', '2026-03-04');
  return flags;
}

function values(text: string): unknown[] {
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line));
}

function differences(own: string, theirs: string): string[] {
  const [ours, others] = [own.split('\n'), theirs.split('\n')];
  const at = ours.findIndex((line, index) => line !== others[index]);
  return [`${ours.length}, ${others.length} lines`, `ours:   ${ours[at]}`, `theirs: ${others[at]}`];
}

/** Without what a terminal would obey. */
function tamed(value: unknown): unknown {
  if (typeof value === 'string') {
    return hasUnsafeText(value) || /[\n\t]/.test(value) ? 'tame' : value;
  }
  if (Array.isArray(value)) return value.map(tamed);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, tamed(one)]));
}
