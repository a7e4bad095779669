import { ADMISSION_LIMITS } from './limits/admission.ts';
import { CONNECTION_LIMITS } from './limits/connections.ts';
import { DNS_LIMITS } from './limits/dns.ts';
import { HTTP_LIMITS } from './limits/http.ts';
import { HTTP2_LIMITS } from './limits/http2.ts';
import { HUBBLE_LIMITS } from './limits/hubble.ts';
import { HUBBLE_OUTPUT_LIMITS } from './limits/hubble_output.ts';
import { KUBE_LIMITS } from './limits/kube.ts';
import { KUBE_REPORT_LIMITS } from './limits/kube_report.ts';
import { KUBE_SOURCE_LIMITS } from './limits/kube_source.ts';
import { OBSERVATION_LIMITS } from './limits/observation.ts';
import { POLICY_LIMITS } from './limits/policy.ts';
import { REDIRECT_LIMITS } from './limits/redirect.ts';
import type { LimitSpec } from './limits/spec.ts';
import { WORKER_LIMITS } from './limits/workers.ts';

export type { LimitSpec };

/**
 * Every bound and every time-out that a user may set, with its default and its range: one file a subject
 * in `model/limits/`, joined here.
 *
 * Defaults follow Envoy's edge advice and Cilium's agent where they agree, and are stricter where
 * an attack says so. The configuration's `limits:` accepts exactly these names; time-outs are in
 * milliseconds, and 0 means "off" where the range begins at 0.
 */
export const LIMITS = {
  ...HTTP_LIMITS,
  ...HTTP2_LIMITS,
  ...CONNECTION_LIMITS,
  ...DNS_LIMITS,
  ...POLICY_LIMITS,
  ...KUBE_SOURCE_LIMITS,
  ...OBSERVATION_LIMITS,
  ...HUBBLE_OUTPUT_LIMITS,
  ...HUBBLE_LIMITS,
  ...WORKER_LIMITS,
  ...REDIRECT_LIMITS,
  ...KUBE_LIMITS,
  ...KUBE_REPORT_LIMITS,
  ...ADMISSION_LIMITS,
} as const satisfies Record<string, LimitSpec>;

export type LimitName = keyof typeof LIMITS;

export type Limits = { readonly [Name in LimitName]: number };

export const DEFAULT_LIMITS: Limits = Object.freeze(
  Object.fromEntries(Object.entries(LIMITS).map(([name, { default: value }]) => [name, value])),
) as Limits;
