/** By what a program knows a network namespace: a number that no other one gets before the next boot. */
import { closeSync } from 'node:fs';
import { netnsCookieOf, openTcpSocket } from '../../platform/socket_calls.ts';

/** Of the namespace of this process. */
export function netnsCookie(): bigint {
  const fd = openTcpSocket(4);
  try {
    return netnsCookieOf(fd);
  } finally {
    closeSync(fd);
  }
}
