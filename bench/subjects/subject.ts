/**
 * What is compared: Sallyport, its peers and the origin alone, each as processes of their own that enforce
 * the same policy, keep connections alive and write the same duty of access log.
 *
 * A kind knows whether it can be had here and how to start one; a running subject has an address, its
 * processes and the facts that go into the report.
 */
import type { Place } from '../measure/pinning.ts';
import type { Missing, SubjectFacts } from '../report/report.ts';

export interface SubjectKind {
  /** Unique in the report: "sallyport", "envoy", "haproxy", "haproxy, no log". */
  readonly name: string;
  readonly speaks: readonly Spoken[];
  /** Asked before a run; what is missing is told in the report, not skipped in silence. */
  readonly find: () => Promise<Found | Missing>;
}

export type HttpVersion = 'h1' | 'h2';

export type Spoken = HttpVersion | 'dns';

export interface Found {
  readonly version: string;
  readonly start: (order: Order) => Promise<Subject>;
}

export interface Order {
  /** Its own, made and removed by the caller. */
  readonly directory: string;
  /** Both sides of the proxy. */
  readonly version: Spoken;
  /** http://127.0.0.1:PORT of the origin. */
  readonly originUrl: string;
  /** Of HTTP. Of DNS it is always one zone (dns_zone.ts). */
  readonly rules: readonly BenchRule[];
  readonly hasAccessLog: boolean;
  /** How the origin behind it was started: for the kind that is an origin alone. */
  readonly startOrigin: StartOrigin;
}

export type StartOrigin = (order: OriginOrder) => Promise<Subject>;

export interface OriginOrder {
  readonly directory: string;
  readonly version: Spoken;
  readonly place: Place;
}

export interface Subject {
  readonly name: string;
  /** http://127.0.0.1:PORT */
  readonly url: string;
  readonly facts: SubjectFacts;
  /** Where its files are. */
  readonly directory: string;
  /** Answers everything: nothing is enforced. */
  readonly isOrigin?: boolean;
  /** Every process that works for it, also those started since. */
  readonly pids: () => readonly number[];
  /** Ends it, and waits until it is gone. */
  readonly stop: () => Promise<void>;
}

/** One rule of the policy that every subject gets. Patterns are within what RE2, PCRE and POSIX agree on. */
export interface BenchRule {
  readonly method: string;
  readonly path: string;
  /** Literal, or anchored at both ends as a pattern. */
  readonly isPattern: boolean;
}

/** The policy of all suites that do not vary it. */
export const PLAIN_RULES: readonly BenchRule[] = [
  { method: 'GET', path: '/orders/[0-9]+', isPattern: true },
  { method: 'GET', path: '/health', isPattern: false },
];
