/** Where the two differ, and why that is as it should be. docs/differences.md has a row for each. */
import type { Outcome } from './ask.ts';
import type { Case } from './cases.ts';

interface Difference {
  readonly why: string;
  readonly isIt: (one: Case, ours: Outcome, theirs: Outcome) => boolean;
}

/** Characters that Envoy's canonicaliser escapes in a path. */
const ESCAPED = /["<>^`{|}]/g;
const HOST = /^([A-Za-z0-9._~-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?$/i;

const DIFFERENCES: readonly Difference[] = [
  {
    why: 'forwarded by both: we send what the client sent, Envoy escapes some characters of a path',
    isIt: (_, ours, theirs) =>
      areForwarded(ours, theirs) && ours.seen.replace(ESCAPED, escaped) === theirs.seen,
  },
  {
    why: 'forwarded by both: a "%" that begins no escape leaves what follows it as it is',
    isIt: ({ target }, ours, theirs) =>
      areForwarded(ours, theirs) && /%(?![0-9a-f]{2})/i.test(pathOf(target)),
  },
  {
    why: 'forwarded by both: absolute-form, where we send Host as it came, Envoy what the target says',
    isIt: ({ target }, ours, theirs) => areForwarded(ours, theirs) && /^http:\/\//i.test(target),
  },
  {
    why: 'forwarded by us: methods that nobody has registered',
    isIt: ({ method }, ours, theirs) =>
      ours.kind === 'forwarded' && theirs.status === 400 && !REGISTERED.has(method),
  },
  {
    why: 'refused by us: a backslash, an escaped control character or %u in a path, a byte above 0x7e',
    isIt: refused(
      ({ target }) =>
        /\\|%[01][0-9a-f]|%7f|%u/i.test(pathOf(target)) || /[^\x21-\x7e]/.test(target),
    ),
  },
  {
    why: 'refused by us: dot segments that only some servers see',
    isIt: refused(({ target }) => hasDots(target)),
  },
  {
    why: 'refused by us: a target that names another host than Host',
    isIt: refused(({ target }) => /^https?:\/\//i.test(target)),
  },
  {
    why: 'refused by us: a method longer than methodBytesMax',
    isIt: refused(({ method }) => method.length > 64),
  },
  {
    why: 'refused by us: an HTTP/1.1 head that has more than one reading',
    isIt: refused(({ version, method }) => version === 'h1' && method === ''),
  },
  {
    why: 'refused by us: a scheme other than http and https over HTTP/2',
    isIt: refused(({ version, text }) => version === 'h2' && text.includes('":scheme","ftp"')),
  },
  { why: 'refused by us: what is no host', isIt: refused(({ host }) => !isHost(host)) },
];

const REGISTERED = new Set([
  ...['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'CONNECT', 'OPTIONS', 'TRACE', 'PATCH', 'PURGE'],
]);

/** Null when nothing explains it. */
export function explanationOf(one: Case, ours: Outcome, theirs: Outcome): string | null {
  return DIFFERENCES.find(({ isIt }) => isIt(one, ours, theirs))?.why ?? null;
}

/** Refused by its form, with an answer; a denial by policy is no such thing. */
function refused(has: (one: Case) => boolean): Difference['isIt'] {
  return (one, ours) => ours.kind === 'refused' && [400, 501].includes(ours.status) && has(one);
}

function isHost(host: string): boolean {
  const port = Number(/:([0-9]+)$/.exec(host)?.[1] ?? 0);
  return HOST.test(host) && port <= 65_535;
}

function areForwarded(ours: Outcome, theirs: Outcome): boolean {
  return ours.kind === 'forwarded' && theirs.kind === 'forwarded';
}

function pathOf(target: string): string {
  return target.split('?')[0] ?? '';
}

function escaped(char: string): string {
  return `%${char.charCodeAt(0).toString(16).toUpperCase()}`;
}

/** UTF-8 that is longer than a character of ASCII is. */
const OVERLONG = /(?:\xf0\x80[\x80\x81]|\xe0[\x80\x81]|[\xc0\xc1])[\x80-\xbf]/g;

function overlongChar(text: string): string {
  const [last = 0, before = 0] = [...text].reverse().map((char) => char.charCodeAt(0));
  return String.fromCharCode(((before & 1) << 6) | (last & 0x3f));
}

/** Read again and again, as servers behind servers do, and without parameters. */
function hasDots(target: string): boolean {
  let read = pathOf(target);
  for (let times = 0; times < 4; times++) {
    if (read.split(/[/\\]/).some((segment) => /^\.{1,2}(;|$)/.test(segment))) return true;
    read = read
      .replace(/%[0-9a-f]{2}/gi, (text) => String.fromCharCode(Number.parseInt(text.slice(1), 16)))
      .replace(OVERLONG, overlongChar);
  }
  return false;
}
