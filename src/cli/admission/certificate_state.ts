/**
 * The certificates of the webhook as its replicas share them, and what is to be done next. A new authority is trusted
 * for a while before anything is signed by it, and the old one for a while after: no API server meets a certificate
 * that it does not trust.
 *
 *     ca ──renewal is due──► ca, next ──trusted for settleMs──► ca (was next), old ──served for settleMs──► ca
 */
import { X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import { issueAuthority, issueServer, type KeyPair, type Validity } from './certificate.ts';

export interface CertificateState {
  /** Signs what is served. */
  readonly ca: KeyPair;
  /** Will sign; trusted already. */
  readonly next: KeyPair | null;
  /** Signed what some may still serve; a certificate in PEM. */
  readonly old: string | null;
  readonly server: KeyPair;
}

export interface CertificateTimes {
  readonly authorityLifetimeMs: number;
  readonly serverLifetimeMs: number;
  /** Until every API server and every replica knows of a change. */
  readonly settleMs: number;
  /** By which clocks of machines may differ: what is made is valid since so long. */
  readonly skewMs: number;
}

export const CERTIFICATE_TIMES: CertificateTimes = {
  authorityLifetimeMs: 365 * 24 * 3_600_000,
  serverLifetimeMs: 90 * 24 * 3_600_000,
  settleMs: 10 * 60_000,
  skewMs: 3_600_000,
};

export interface Surroundings {
  readonly nowMs: number;
  readonly times: CertificateTimes;
  /** Names and addresses by which API servers know us. */
  readonly hosts: readonly string[];
  /** What API servers are told to trust, as it was last read. */
  readonly trusted: string;
}

export interface Step {
  readonly state: CertificateState;
  /** For the log. */
  readonly did: string;
}

const AUTHORITY_NAME = 'sallyport admission CA';

/** Null: nothing is to be done. One step at a time, each of which others can take up. */
export function nextStep(state: CertificateState | null, now: Surroundings): Step | null {
  if (state === null || !isValid(state.ca.certificate, now.nowMs)) return fresh(now);
  return (
    renewedServer(state, now) ??
    preparedAuthority(state, now) ??
    changedAuthority(state, now) ??
    forgottenAuthority(state, now)
  );
}

/** What API servers are to trust, in PEM. */
export function bundleOf({ ca, next, old }: CertificateState): string {
  return [ca.certificate, next?.certificate ?? '', old ?? ''].join('');
}

function fresh(now: Surroundings): Step {
  const ca = newAuthority(now);
  return {
    state: { ca, next: null, old: null, server: newServer(ca, now) },
    did: 'made an authority and a certificate',
  };
}

function renewedServer(state: CertificateState, now: Surroundings): Step | null {
  const { ca, server } = state;
  const served = new X509Certificate(server.certificate);
  const isOurs = served.verify(new X509Certificate(ca.certificate).publicKey);
  const isKnown = now.hosts.every((host) => hasHost(served, host));
  const isFit = isOurs && isKnown && isValid(server.certificate, now.nowMs);
  if (isFit && !isDue(served, now.nowMs)) return null;
  return { state: { ...state, server: newServer(ca, now) }, did: 'renewed the certificate' };
}

function preparedAuthority(state: CertificateState, now: Surroundings): Step | null {
  if (state.next !== null || !isDue(new X509Certificate(state.ca.certificate), now.nowMs)) {
    return null;
  }
  return {
    state: { ...state, next: newAuthority(now) },
    did: 'made the next authority, which is trusted beside the one in use',
  };
}

function changedAuthority(state: CertificateState, now: Surroundings): Step | null {
  const { ca, next } = state;
  if (next === null || !hasSettled(next.certificate, now)) return null;
  if (!now.trusted.includes(next.certificate)) return null;
  return {
    state: { ca: next, next: null, old: ca.certificate, server: newServer(next, now) },
    did: 'signed the certificate by the next authority; the old one is still trusted',
  };
}

function forgottenAuthority(state: CertificateState, now: Surroundings): Step | null {
  if (state.old === null || !hasSettled(state.server.certificate, now)) return null;
  return { state: { ...state, old: null }, did: 'the old authority is no longer trusted' };
}

function newAuthority(now: Surroundings): KeyPair {
  return issueAuthority(AUTHORITY_NAME, validity(now, now.times.authorityLifetimeMs));
}

function newServer(ca: KeyPair, now: Surroundings): KeyPair {
  const { notBeforeMs, notAfterMs } = validity(now, now.times.serverLifetimeMs);
  // What outlives its authority is trusted by nobody.
  const endMs = Math.min(notAfterMs, new X509Certificate(ca.certificate).validToDate.getTime());
  return issueServer(ca, now.hosts, { notBeforeMs, notAfterMs: endMs });
}

function validity({ nowMs, times }: Surroundings, lifetimeMs: number): Validity {
  return { notBeforeMs: nowMs - times.skewMs, notAfterMs: nowMs + lifetimeMs };
}

/** The last third of its life, in which there is time to find out why it was not renewed. */
function isDue(certificate: X509Certificate, nowMs: number): boolean {
  const fromMs = certificate.validFromDate.getTime();
  const toMs = certificate.validToDate.getTime();
  return nowMs > toMs - (toMs - fromMs) / 3;
}

/** Not yet, where it was made by a clock that was far ahead. */
function isValid(certificate: string, nowMs: number): boolean {
  const { validFromDate, validToDate } = new X509Certificate(certificate);
  return nowMs >= validFromDate.getTime() && nowMs < validToDate.getTime();
}

function hasSettled(certificate: string, { nowMs, times }: Surroundings): boolean {
  const madeMs = new X509Certificate(certificate).validFromDate.getTime() + times.skewMs;
  return nowMs >= madeMs + times.settleMs;
}

function hasHost(certificate: X509Certificate, host: string): boolean {
  const found = isIP(host) === 0 ? certificate.checkHost(host) : certificate.checkIP(host);
  return found !== undefined;
}
