/**
 * A refused head read as leniently as can be, for the record only: whatever looks like a method, a target
 * and a host. Bounded work; runs when something is wrong, never else.
 */
import { NOTHING_SEEN, type PartialRequest, partialRequest } from '../../model/partial_request.ts';
import { COLON, CR, equalsIgnoringCase, isBlank, LF, latin1, SP, TOKEN } from './syntax.ts';

const HOST_NAME = 'host';

/** `head` is what is here of it, from its first byte on. */
export function partialRequestOf(head: Buffer): PartialRequest {
  let methodEnd = 0;
  while (methodEnd < head.length && TOKEN[head[methodEnd] as number] === 1) methodEnd++;
  // Bytes of another protocol are no request: nothing of them is shown.
  const isMethod = methodEnd > 0 && (methodEnd === head.length || head[methodEnd] === SP);
  if (!isMethod) return NOTHING_SEEN;
  const targetStart = Math.min(methodEnd + 1, head.length);
  const lineEnd = lineEndOf(head, targetStart);
  return partialRequest({
    version: 'HTTP/1.1',
    method: latin1(head, 0, methodEnd),
    authority: hostOf(head, lineEnd),
    path: latin1(head, targetStart, targetEndOf(head, targetStart, lineEnd)),
  });
}

/** Up to the version, if there is one: a target that is refused may hold spaces. */
function targetEndOf(head: Buffer, start: number, lineEnd: number): number {
  const mark = head.lastIndexOf(VERSION_MARK, lineEnd);
  return mark >= start && lineEnd - mark <= VERSION_MARK.length + VERSION_BYTES_MAX
    ? mark
    : lineEnd;
}

const VERSION_MARK = Buffer.from(' HTTP/');
const VERSION_BYTES_MAX = 8;

/** The value of the first Host line. */
function hostOf(head: Buffer, firstLineEnd: number): string {
  for (let at = nextLine(head, firstLineEnd); at < head.length; ) {
    const lineEnd = lineEndOf(head, at);
    if (lineEnd === at) return '';
    const colon = head.indexOf(COLON, at);
    if (colon !== -1 && colon < lineEnd && isHostName(head, at, colon)) {
      let start = colon + 1;
      while (start < lineEnd && isBlank(head[start] as number)) start++;
      return latin1(head, start, lineEnd);
    }
    at = nextLine(head, lineEnd);
  }
  return '';
}

function isHostName(head: Buffer, start: number, colon: number): boolean {
  let end = colon;
  while (end > start && isBlank(head[end - 1] as number)) end--;
  return equalsIgnoringCase(head, start, end, HOST_NAME);
}

function lineEndOf(head: Buffer, from: number): number {
  const lf = head.indexOf(LF, from);
  if (lf === -1) return head.length;
  return lf > from && head[lf - 1] === CR ? lf - 1 : lf;
}

function nextLine(head: Buffer, lineEnd: number): number {
  return lineEnd + (head[lineEnd] === CR ? 2 : 1);
}
