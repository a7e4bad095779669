/**
 * Texts as Go's standard library writes them, which Cilium's agent is made of: users have filters and queries in that
 * form. (net/url and net/http: URL.String and CanonicalHeaderKey.)
 */
import type { HttpFacts } from '../../model/flow.ts';

/** A path of these stays as it was sent. */
const KEPT_PATH = /^(?:[-\w.~!$&'()*+,;=:@[\]/]|%[0-9a-fA-F]{2})*$/;
/** In another one these stay. */
const KEPT_BYTE = /[-\w.~$&+,/:;=@]/;
const ESCAPED = /%[0-9a-fA-F]{2}/g;
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;

export function goUrl({ scheme, host, path }: Pick<HttpFacts, 'scheme' | 'host' | 'path'>): string {
  const mark = path.search(/[?#]/);
  const end = mark === -1 ? path.length : mark;
  const plain = path.slice(0, end);
  const rooted = plain.startsWith('/') ? plain : `/${plain}`;
  return `${scheme === '' ? 'http' : scheme}://${host}${escapedPath(rooted)}${path.slice(end)}`;
}

/** `path` is a text of bytes: none is over 255. */
function escapedPath(path: string): string {
  if (KEPT_PATH.test(path)) return path;
  const bytes = path.replace(ESCAPED, (code) =>
    String.fromCharCode(Number.parseInt(code.slice(1), 16)),
  );
  let escaped = '';
  for (const byte of bytes) {
    escaped += KEPT_BYTE.test(byte) ? byte : percent(byte.charCodeAt(0) & 0xff);
  }
  return escaped;
}

function percent(byte: number): string {
  return `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
}

/** "x-request-id" → "X-Request-Id"; what is no token stays. */
export function goHeaderName(name: string): string {
  if (!TOKEN.test(name)) return name;
  return name.toLowerCase().replace(/(^|-)[a-z]/g, (start) => start.toUpperCase());
}
