/** The report of a bench as text for people. */

import { paint } from '../terminal.ts';
import { textTable } from '../text_table.ts';
import { SHOWN_LINE_COUNT_MAX, SHOWN_ROW_COUNT_MAX } from './bounds.ts';
import type { BenchReport, Figure, LoadFigures } from './report.ts';

export function reportText(report: BenchReport, hasColour: boolean): string {
  const parts = [
    ...mismatchPart(report, hasColour),
    headPart(report),
    ...loadPart(report),
    rulesPart(report),
    ...unreachedPart(report),
    ...unsentPart(report),
    setPart(report),
    ...listPart('Advice:', report.advice),
    ...listPart('Notes:', report.notes),
  ];
  return `${parts.map((part) => part.trimEnd()).join('\n\n')}\n`;
}

function mismatchPart({ answers }: BenchReport, hasColour: boolean): string[] {
  const { mismatches, mismatchCount } = answers;
  if (mismatchCount === 0) return [];
  const title = `NOT AS JUDGED: ${counted(mismatchCount, 'answer')}`;
  const lines = mismatches
    .slice(0, SHOWN_LINE_COUNT_MAX)
    .map(({ place, what }) => `  ${place}: ${what}`);
  const head = paint({ hasColour }, 'red', title);
  const more = moreRows(mismatches.length, SHOWN_LINE_COUNT_MAX);
  return [[head, ...lines, ...more].join('\n')];
}

function headPart({ run, requests, answers }: BenchReport): string {
  const origin = run.upstream ?? 'the embedded origin';
  const log = run.hasAccessLog ? 'access log to a file' : 'no access log';
  return [
    `${counted(requests.count, 'request')} of ${run.requestsFile}: ${requests.allowedCount} allowed, ${requests.deniedCount} denied`,
    requests.sentCount === 0
      ? 'none of them can be sent'
      : `${requests.sentCount} sent by ${counted(requests.groups.length, 'listener')} to ${origin}; ${answersText(answers)}`,
    `${counted(run.connectionCount, 'connection')}, ${counted(run.roundCount, 'round')} of ${run.roundSeconds} s each way, one worker, ${log}, sallyport ${run.version}`,
  ].join('\n');
}

function answersText({ mismatchCount }: BenchReport['answers']): string {
  if (mismatchCount === 0) return 'every answer was as judged';
  return `${counted(mismatchCount, 'answer')} not as judged`;
}

function loadPart({ load, proxyResidentBytes }: BenchReport): string[] {
  if (load === null) return [];
  const lines = [
    'What the proxy adds to a request (median of the rounds, least to most):',
    textTable(['', 'direct', 'through the proxy', 'added'], loadRows(load)).trimEnd(),
  ];
  if (proxyResidentBytes !== null) {
    lines.push(`The worker then held ${mebibytes(proxyResidentBytes)}.`);
  }
  return [lines.join('\n')];
}

function loadRows(load: LoadFigures): string[][] {
  const { allowedLatency: allowed, deniedLatency: denied, requestsPerSecond: rate } = load;
  const rows: string[][] = [];
  if (allowed !== null) {
    for (const [name, key] of PERCENTILES) {
      rows.push([
        `allowed, latency ${name}, ms`,
        shown(allowed.direct[key], 3),
        shown(allowed.proxied[key], 3),
        shown(allowed.added[key], 3),
      ]);
    }
  }
  if (denied !== null) {
    for (const [name, key] of PERCENTILES) {
      rows.push([`denied, latency ${name}, ms`, '-', shown(denied[key], 3), '-']);
    }
  }
  const direct = rate.direct === null ? '-' : shown(rate.direct, 0);
  rows.push(['requests a second', direct, shown(rate.proxied, 0), '-']);
  const cpu = load.cpuUsPerRequest;
  if (cpu === null) return [...rows, ['CPU of the worker', '-', 'not available', '-']];
  return [
    ...rows,
    ['CPU of the worker, µs', '-', shown(cpu.total, 1), shown(cpu.total, 1)],
    ['  in user mode', '-', shown(cpu.user, 1), '-'],
    ['  in the kernel', '-', shown(cpu.kernel, 1), '-'],
  ];
}

const PERCENTILES = [
  ['p50', 'p50Ms'],
  ['p99', 'p99Ms'],
] as const;

function rulesPart({ rules }: BenchReport): string {
  const rows = rules.decided
    .slice(0, SHOWN_ROW_COUNT_MAX)
    .map((cost) => [
      cost.verdict,
      String(cost.hits),
      cost.verdictNs === null ? 'not measured' : cost.verdictNs.toFixed(0),
      cost.policy === null ? (cost.reason ?? 'no rule on requests') : `${cost.policy} ${cost.rule}`,
      cost.matchedBy ?? '-',
    ]);
  const noMatch = rules.noMatchNs === null ? '' : `; no rule matching: ${ns(rules.noMatchNs)}`;
  const lines = [
    'What each rule costs (a verdict in this process, without the rest of a request):',
    textTable(['verdict', 'requests', 'ns', 'decided by', 'matched by'], rows).trimEnd(),
    ...moreRows(rules.decided.length, SHOWN_ROW_COUNT_MAX),
  ];
  if (rules.meanVerdictNs !== null) {
    lines.push(`A verdict on these requests: ${ns(rules.meanVerdictNs)}${noMatch}.`);
  }
  return lines.join('\n');
}

function unreachedPart({ rules }: BenchReport): string[] {
  if (rules.unreached.length === 0) return [];
  const lines = rules.unreached
    .slice(0, SHOWN_LINE_COUNT_MAX)
    .map(({ policy, rule, matchedBy }) => `  ${policy} ${rule} (${matchedBy ?? '-'})`);
  return [
    [
      'Rules that decided none of these requests:',
      ...lines,
      ...moreRows(rules.unreached.length, SHOWN_LINE_COUNT_MAX),
    ].join('\n'),
  ];
}

function unsentPart({ requests }: BenchReport): string[] {
  const { unsent } = requests;
  if (unsent.length === 0) return [];
  const lines = unsent
    .slice(0, SHOWN_LINE_COUNT_MAX)
    .map(({ place, because }) => `  ${place}: ${because}`);
  return [
    [
      'Not sent, only judged in this process:',
      ...lines,
      ...moreRows(unsent.length, SHOWN_LINE_COUNT_MAX),
    ].join('\n'),
  ];
}

function setPart({ policySet: set }: BenchReport): string {
  return [
    `The policy set: ${set.ruleCount} rules and parts of rules, ${counted(set.policyCount, 'policy', 'policies')}, ${counted(set.endpointCount, 'endpoint')}`,
    `  reading and checking ${ms(set.decodeMs)}, compiling ${ms(set.compileMs)}, the views of these requests ${ms(set.viewsMs)}`,
    `  heap ${kibibytes(set.heapBytes)}, resident memory grew by ${kibibytes(set.residentBytes)}`,
  ].join('\n');
}

function listPart(title: string, lines: readonly string[]): string[] {
  if (lines.length === 0) return [];
  return [[title, ...lines.map((line) => `  * ${line}`)].join('\n')];
}

function moreRows(count: number, countMax: number): string[] {
  const more = count - countMax;
  return more > 0 ? [`  and ${more} more: -o json has all`] : [];
}

function counted(count: number, one: string, many = `${one}s`): string {
  return `${count} ${count === 1 ? one : many}`;
}

function shown({ median, min, max }: Figure, digits: number): string {
  const text = median.toFixed(digits);
  return min === max ? text : `${text} (${min.toFixed(digits)}-${max.toFixed(digits)})`;
}

function ns(value: number): string {
  return `${value.toFixed(0)} ns`;
}

function ms(value: number): string {
  return `${value.toFixed(1)} ms`;
}

function kibibytes(bytes: number): string {
  return `${Math.round(bytes / 1024)} KiB`;
}

function mebibytes(bytes: number): string {
  return `${(bytes / 1024 / 1024).toFixed(0)} MiB`;
}
