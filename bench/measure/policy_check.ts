/**
 * Before anything is measured: what enforces nothing, or refuses everything, must not be compared. Each
 * subject is asked for what the rules allow (2xx) and for neighbours of it that they do not (403).
 */
import { request } from 'node:http';
import { connect } from 'node:http2';
import type { BenchRule, HttpVersion, Subject } from '../subjects/subject.ts';

export interface Probe {
  readonly method: string;
  readonly path: string;
  readonly isAllowed: boolean;
}

/** Of ten thousand rules the first, the last and some between are asked. */
const RULES_PROBED_MAX = 20;
const PROBE_TIMEOUT_MS = 10_000;

export async function checkPolicy(
  subject: Subject,
  version: HttpVersion,
  rules: readonly BenchRule[],
): Promise<void> {
  for (const { method, path, isAllowed } of probesOf(rules)) {
    if (!isAllowed && (subject.isOrigin ?? false)) continue;
    const ask = version === 'h2' ? statusOverHttp2 : statusOverHttp1;
    const status = await ask(subject.url, method, path);
    if (isAllowed ? status >= 200 && status < 300 : status === 403) continue;
    const wanted = isAllowed ? 'a success' : '403';
    throw new Error(
      `${subject.name} enforces another policy: ${method} ${path} gave ${status}, not ${wanted}`,
    );
  }
}

export function probesOf(rules: readonly BenchRule[]): readonly Probe[] {
  const allowed = someOf(rules).flatMap(({ method, path, isPattern }) => {
    const sample = isPattern ? samplePath(path) : path;
    return sample === null ? [] : [{ method, path: sample, isAllowed: true }];
  });
  const judges = rules.map(judgeOf);
  const neighbours = allowed.flatMap(({ method, path }) => [
    { method, path: `${path}/x`, isAllowed: false },
    { method, path: `/x${path}`, isAllowed: false },
    { method: 'DELETE', path, isAllowed: false },
  ]);
  return [
    ...allowed,
    ...neighbours.filter((probe) => !judges.some((allows) => allows(probe))),
    { method: 'GET', path: '/denied/by/every/rule', isAllowed: false },
  ];
}

/** Something that the pattern matches; null: it is of a kind that this does not know. */
export function samplePath(pattern: string): string | null {
  const path = pattern
    .replaceAll(/\[0-9\](?:[+*]|\{[0-9,]+\})?|\\d[+*]?/g, '4242')
    .replaceAll(/\[a-z(?:0-9)?\][+*]?/g, 'abcd')
    .replaceAll(/(?:\.|\[\^\/\])[+*]/g, 'abcd')
    .replaceAll(/\(([^|()]*)\|[^()]*\)/g, '$1')
    .replaceAll('\\', '');
  return new RegExp(`^(?:${pattern})$`).test(path) ? path : null;
}

function someOf(rules: readonly BenchRule[]): readonly BenchRule[] {
  if (rules.length <= RULES_PROBED_MAX) return rules;
  const step = (rules.length - 1) / (RULES_PROBED_MAX - 1);
  return Array.from({ length: RULES_PROBED_MAX }, (_, i) => rules[Math.round(i * step)]).filter(
    (rule) => rule !== undefined,
  );
}

function judgeOf(rule: BenchRule): (probe: Omit<Probe, 'isAllowed'>) => boolean {
  const { method, path } = rule;
  if (!rule.isPattern) return (probe) => probe.method === method && probe.path === path;
  const pattern = new RegExp(`^(?:${path})$`);
  return (probe) => probe.method === method && pattern.test(probe.path);
}

function statusOverHttp1(url: string, method: string, path: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const asked = request(`${url}${path}`, {
      method,
      agent: false,
      timeout: PROBE_TIMEOUT_MS,
      headers: { 'content-length': 0 },
    });
    asked.on('response', (response) => {
      response.resume();
      response.on('end', () => resolve(response.statusCode ?? 0));
      response.on('error', reject);
    });
    asked.on('timeout', () => asked.destroy(new Error(`${method} ${url}${path}: no answer`)));
    asked.on('error', reject);
    asked.end();
  });
}

function statusOverHttp2(url: string, method: string, path: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const session = connect(url);
    const end = (finish: () => void): void => {
      session.destroy();
      finish();
    };
    session.on('error', (error) => end(() => reject(error)));
    session.setTimeout(PROBE_TIMEOUT_MS, () =>
      end(() => reject(new Error(`${method} ${url}${path}: no answer`))),
    );
    const stream = session.request({ ':method': method, ':path': path });
    let status = 0;
    stream.on('response', (head) => {
      status = head[':status'] ?? 0;
    });
    stream.on('error', (error) => end(() => reject(error)));
    stream.on('end', () => end(() => resolve(status)));
    stream.resume();
    stream.end();
  });
}
