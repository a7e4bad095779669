/**
 * hot path
 *
 * The verdict. Pure: changes nothing, logs nothing; header changes and log facts are in the
 * Decision. Two checks, as in cilium/proxy: the connection (L3, L4, server name), then the request.
 * Unlike there, every request repeats the first one against the snapshot in force, so that a policy
 * which disappears, or loses its HTTP rules, never lets a request on an open connection pass
 * unjudged.
 */
import type { Decision } from '../../model/decision.ts';
import type { RequestHead } from '../../model/request_head.ts';
import type { View } from '../compiled/port_rules.ts';
import { denyDecision } from '../compiled/ready_decisions.ts';
import { DNS } from '../l7/dns/dns.ts';
import { httpAllowOf } from '../l7/http/decide.ts';
import { HTTP } from '../l7/http/http.ts';
import { beginVerdict } from '../match/verdict_work.ts';
import { networkDenial, networkVerdict } from './network_verdict.ts';

export const DENY_NOT_JUDGEABLE = denyDecision('network', 'not-judgeable', null);
export const DENY_IDENTITY_CHANGED = denyDecision('network', 'identity-changed', null);
/** Of a Service: nobody would be reached. */
export const DENY_WITHOUT_BACKEND = denyDecision('network', 'service-without-backend', null);
export const DENY_MANY_BACKENDS = denyDecision('network', 'service-backends-many', null);
export const DENY_INTERNAL = denyDecision('network', 'internal-error', null);

/** `serverName` is "" for a connection without TLS. An exception is a denial that carries it. */
export function decideConnection(view: View, serverName: string): Decision {
  try {
    beginVerdict(view.port.workLimits);
    return networkVerdict(view, serverName);
  } catch (error) {
    return { ...DENY_INTERNAL, cause: error };
  }
}

/** The connection's verdict, and if that is an allow, the request's. */
export function decideRequest(view: View, serverName: string, head: RequestHead): Decision {
  try {
    beginVerdict(view.port.workLimits);
    return requestVerdict(view, serverName, head);
  } catch (error) {
    return { ...DENY_INTERNAL, cause: error };
  }
}

/** A DNS question for `name` (rules.dns; cilium-agent's DNS proxy). */
export function decideDns(view: View, name: string): Decision {
  try {
    beginVerdict(view.port.workLimits);
    return questionVerdict(view, name);
  } catch (error) {
    return { ...DENY_INTERNAL, cause: error };
  }
}

// In one verdict with what was decided right before: together they may cost what one may.

export function decideConnectionToo(view: View, serverName: string): Decision {
  try {
    return networkVerdict(view, serverName);
  } catch (error) {
    return { ...DENY_INTERNAL, cause: error };
  }
}

export function decideRequestToo(view: View, serverName: string, head: RequestHead): Decision {
  try {
    return requestVerdict(view, serverName, head);
  } catch (error) {
    return { ...DENY_INTERNAL, cause: error };
  }
}

export function decideDnsToo(view: View, name: string): Decision {
  try {
    return questionVerdict(view, name);
  } catch (error) {
    return { ...DENY_INTERNAL, cause: error };
  }
}

function requestVerdict(view: View, serverName: string, head: RequestHead): Decision {
  const network = networkVerdict(view, serverName);
  if (network.verdict === 'deny') return network;
  if (!view.hasL7Rules) return httpAllowOf(view, network);
  return HTTP.decide(view, head);
}

function questionVerdict(view: View, name: string): Decision {
  return DNS.decide(view, name) ?? networkDenial(view);
}
