/**
 * Who may ask the admin server. It has no passwords: it is for whoever can reach its loopback
 * address or its socket file. A web browser on the same machine can be made to reach them, too, so
 * requests that a browser sends for some other site are refused: names that resolve to us by DNS
 * rebinding (Host), and cross-site requests (Origin, Sec-Fetch-Site).
 */
import type { IncomingMessage } from 'node:http';
import { parseIp } from '../model/address.ts';

/** Null when the request may go on, else why not. `isUnix`: over a socket file Host means nothing. */
export function refusal(request: IncomingMessage, isUnix: boolean): string | null {
  const hosts = request.headersDistinct['host'] ?? [];
  const host = hosts[0] ?? '';
  if (!isUnix && (hosts.length !== 1 || !isTrustedHost(host))) {
    return 'the Host must be an IP address or localhost';
  }
  const origins = request.headersDistinct['origin'] ?? [];
  if (origins.some((origin) => origin !== `http://${host}`)) {
    return 'requests of other web sites are refused';
  }
  const site = request.headers['sec-fetch-site'];
  if (site !== undefined && site !== 'none' && site !== 'same-origin') {
    return 'requests of other web sites are refused';
  }
  return null;
}

/** An address literal or localhost, with or without a port: what rebinding cannot forge. */
function isTrustedHost(host: string): boolean {
  const bracketed = /^\[([0-9a-fA-F:.]+)\](:[0-9]{1,5})?$/.exec(host);
  if (bracketed !== null) return parseIp(bracketed[1] ?? '')?.family === 6;
  const name = host.replace(/:[0-9]{1,5}$/, '').toLowerCase();
  return name === 'localhost' || parseIp(name)?.family === 4;
}
