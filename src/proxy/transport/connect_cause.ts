/** Why a connection to an upstream was not made, as the system's error says it. */
import { type Cause, causeOf, type Detail } from '../../model/fault_detail.ts';

/** `code` of the error of the socket (errno(3)); absent when it ended without one. */
export function connectCause(code: string | undefined): Cause {
  return causeOf(DETAILS_OF_CODES.get(code ?? '') ?? 'tcp-other');
}

const DETAILS_OF_CODES: ReadonlyMap<string, Detail> = new Map([
  ['ECONNREFUSED', 'tcp-refused'],
  ['EHOSTUNREACH', 'tcp-unreachable'],
  ['ENETUNREACH', 'tcp-unreachable'],
  ['EHOSTDOWN', 'tcp-unreachable'],
  ['ENETDOWN', 'tcp-unreachable'],
  ['ETIMEDOUT', 'tcp-timed-out'],
  ['ECONNRESET', 'tcp-reset'],
  ['ECONNABORTED', 'tcp-reset'],
  ['EPIPE', 'tcp-reset'],
  ['EACCES', 'tcp-forbidden'],
  ['EPERM', 'tcp-forbidden'],
  ['EADDRNOTAVAIL', 'tcp-no-local-port'],
  ['EADDRINUSE', 'tcp-no-local-port'],
  ['EMFILE', 'tcp-no-descriptor'],
  ['ENFILE', 'tcp-no-descriptor'],
  ['ENOBUFS', 'tcp-no-descriptor'],
  ['ENOMEM', 'tcp-no-descriptor'],
]);
