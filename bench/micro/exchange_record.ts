/** The record of an exchange as `proxy/request/request_life.ts` makes it: a fresh object for each request. */
import { parseSocketAddress, type SocketAddress } from '../../src/model/address.ts';
import type { ConnectionMeta } from '../../src/model/connection_meta.ts';
import type { Decision } from '../../src/model/decision.ts';
import type { ProxyId } from '../../src/model/identity.ts';
import type { RequestRecord } from '../../src/model/record.ts';
import type { RequestHead } from '../../src/model/request_head.ts';
import { CLIENT, ENDPOINT_IP, ENDPOINT_PORT } from './policies.ts';

/** As a worker with the default configuration makes them. */
export const FLOW_OPTIONS = { instance: 'bench', node: 'node', headers: [], isQueryLogged: false };

export function metaOf(connectionId: number): ConnectionMeta {
  const destination = address(`${ENDPOINT_IP}:${ENDPOINT_PORT}`);
  return {
    connectionId,
    listener: 'api',
    proxyId: 0 as ProxyId,
    transport: 'TCP',
    direction: 'ingress',
    source: address(`10.0.1.9:${40_000 + connectionId}`),
    destination,
    upstream: destination,
    endpointIp: destination.ip,
    port: destination.port,
    remoteIdentity: CLIENT,
    identitySource: 'endpoints',
    dialled: null,
    second: null,
    recorded: null,
    sender: null,
  };
}

/** `count` makes times and sizes differ, as those of any two requests do. */
export function recordOf(
  meta: ConnectionMeta,
  asked: { readonly head: RequestHead; readonly decision: Decision },
  count: number,
): RequestRecord {
  const isAllowed = asked.decision.verdict === 'allow';
  return {
    meta,
    verdict: isAllowed ? 'forwarded' : 'denied',
    decision: asked.decision,
    shadowDecision: null,
    isDryRun: false,
    policyRevision: 1,
    head: asked.head,
    partial: null,
    fault: null,
    cause: null,
    status: isAllowed ? 200 : 403,
    responseSource: isAllowed ? 'upstream' : 'local',
    grpcStatus: null,
    serverName: '',
    bytesIn: 120,
    bytesOut: 300 + (count & 63),
    // Some 30,000 requests a second.
    endedAtMs: 1_700_000_000_000 + count / 32,
    durationMs: 0.25 + (count & 127) / 1000,
    overheadMs: 0.004 + (count & 3) / 1000,
  };
}

function address(text: string): SocketAddress {
  const parsed = parseSocketAddress(text);
  if (parsed === null) throw new Error(`not an address: ${text}`);
  return parsed;
}
