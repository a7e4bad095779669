/** All that is compared, in the order in which it is measured and told. */
import { AGENT } from './agent_dns.ts';
import { NODE_HTTP, NODE_HTTP2 } from './by_hand.ts';
import { DNSDIST } from './dnsdist.ts';
import { ENVOY } from './envoy.ts';
import { HAPROXY, HAPROXY_WITHOUT_LOG } from './haproxy.ts';
import { NGINX } from './nginx.ts';
import { ORIGIN_ALONE } from './origin.ts';
import { SALLYPORT, SALLYPORT_WITHOUT_LOG } from './sallyport.ts';
import type { SubjectKind } from './subject.ts';
import { UNBOUND } from './unbound.ts';

export const KINDS: readonly SubjectKind[] = [
  ORIGIN_ALONE,
  NODE_HTTP,
  NODE_HTTP2,
  ENVOY,
  NGINX,
  HAPROXY,
  HAPROXY_WITHOUT_LOG,
  UNBOUND,
  DNSDIST,
  AGENT,
  SALLYPORT,
  SALLYPORT_WITHOUT_LOG,
];
