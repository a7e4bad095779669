/** What went wrong with a request, of what the API server or the way to it said. */
import type { KubeFailure } from './client.ts';

export type Refusal = KubeFailure & { readonly kind: 'refused' };

/** Characters of a text that is no Status: a page of a proxy, ... */
const SHOWN_MAX = 200;

/** Of a Status object, in an answer or in a watch; null: it is none. */
export function refusalOfStatus(value: unknown, httpStatus: number): Refusal | null {
  const status = record(value);
  if (status?.['kind'] !== 'Status') return null;
  const code = status['code'];
  const seconds = record(status['details'])?.['retryAfterSeconds'];
  return {
    kind: 'refused',
    status: typeof code === 'number' && code > 0 ? code : httpStatus,
    reason: textOf(status['reason']),
    message: textOf(status['message']),
    retryAfterMs: typeof seconds === 'number' && seconds > 0 ? seconds * 1000 : null,
  };
}

/** Of an answer that has no Status. */
export function refusalOfText(text: string, httpStatus: number): Refusal {
  const line = text.trim().split('\n', 1)[0] ?? '';
  return {
    kind: 'refused',
    status: httpStatus,
    reason: '',
    message: line.slice(0, SHOWN_MAX),
    retryAfterMs: null,
  };
}

/** Of the field `retry-after`, in seconds; null if it is absent or a date. */
export function retryAfterMsOf(field: string | readonly string[] | undefined): number | null {
  return typeof field === 'string' && /^\d{1,6}$/.test(field) ? Number(field) * 1000 : null;
}

export function unreachable(server: string, error: unknown): KubeFailure {
  return {
    kind: 'unreachable',
    message: `the API server at ${server} cannot be reached: ${reasonOf(error)}`,
  };
}

/** An error of many attempts has no message of its own. */
function reasonOf(error: unknown): string {
  if (error instanceof AggregateError) {
    return [...new Set(error.errors.map(reasonOf))].join('; ');
  }
  const { name, message, code } = error as Partial<NodeJS.ErrnoException>;
  if (code === 'ECONNREFUSED') return `connection refused (${addressIn(message)})`;
  // undici names so what a proxy refuses, too.
  if (name === 'AbortError' && code !== 'UND_ERR_ABORTED') return 'the request was given up';
  return message === undefined || message === '' ? String(code ?? error) : message;
}

function addressIn(message: string | undefined): string {
  return /\S+:\d+$/.exec(message ?? '')?.[0] ?? 'by its host';
}

function record(value: unknown): Readonly<Record<string, unknown>> | null {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Record<string, unknown>)
    : null;
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

/** 504, with a cause of this name: a server that is behind the one we heard before. */
export function isTooNew(message: string): boolean {
  return message.includes('Too large resource version');
}
