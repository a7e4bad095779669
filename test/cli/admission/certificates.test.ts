/** Certificates: what others make of them, and years of renewal by replicas whose clocks differ. */
import { execFileSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { issueAuthority, issueServer } from '../../../src/cli/admission/certificate.ts';
import {
  bundleOf,
  CERTIFICATE_TIMES,
  type CertificateState,
  nextStep,
} from '../../../src/cli/admission/certificate_state.ts';
import { secretDataOf, stateOfSecret } from '../../../src/cli/admission/secret_data.ts';

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const START = Date.UTC(2026, 0, 1);
const P256 = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256'];
const HOSTS = ['sallyport-admission.sallyport.svc', '10.0.0.1', 'fd00::12:3', '::1'];

describe('a certificate', () => {
  const validity = { notBeforeMs: START, notAfterMs: Date.UTC(2055, 5, 1) };
  const authority = issueAuthority('a test', validity);
  const server = issueServer(authority, HOSTS, validity);

  it('is read by the runtime as it was meant', () => {
    const parsed = new X509Certificate(server.certificate);
    const issuer = new X509Certificate(authority.certificate);
    expect(issuer.ca).toBe(true);
    expect(parsed.ca).toBe(false);
    expect(parsed.checkIssued(issuer)).toBe(true);
    expect(parsed.verify(issuer.publicKey)).toBe(true);
    expect(parsed.validFromDate.getTime()).toBe(START);
    expect(parsed.validToDate.getTime()).toBe(validity.notAfterMs);
    expect(parsed.keyUsage).toEqual(['1.3.6.1.5.5.7.3.1']);
    expect(parsed.checkHost(HOSTS[0] as string)).toBe(HOSTS[0]);
    for (const address of HOSTS.slice(1)) expect(parsed.checkIP(address)).toBe(address);
    expect(parsed.checkHost('other.sallyport.svc')).toBeUndefined();
    expect(parsed.checkIP('10.0.0.2')).toBeUndefined();
  });

  it('is taken by openssl, strictly, and not of another authority', () => {
    const folder = mkdtempSync(join(tmpdir(), 'sallyport-certificates-'));
    const file = (name: string, text: string): string => {
      writeFileSync(join(folder, name), text);
      return join(folder, name);
    };
    try {
      const other = issueAuthority('a test', validity);
      const both = file('both.pem', other.certificate + authority.certificate);
      const wrong = file('wrong.pem', other.certificate);
      const served = file('server.pem', server.certificate);
      const verify = ['verify', '-x509_strict', '-purpose', 'sslserver'];
      const said = execFileSync('openssl', [...verify, '-CAfile', both, served], { stdio: 'pipe' });
      expect(said.toString()).toContain('OK');
      expect(() =>
        execFileSync('openssl', [...verify, '-CAfile', wrong, served], { stdio: 'pipe' }),
      ).toThrow();
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

describe('the Secret', () => {
  const state = nextStep(null, surroundings(START, ''))?.state as CertificateState;
  const next = issueAuthority('next', { notBeforeMs: START, notAfterMs: START + DAY });
  const full: CertificateState = { ...state, next, old: next.certificate };

  it('gives back what was put into it', () => {
    for (const one of [state, full]) expect(stateOfSecret(secretDataOf(one))).toEqual(one);
  });

  it.each([
    ['nothing', undefined],
    ['no map', 'tls.crt'],
    ['no certificates', {}],
    ['a part of them', { ...secretDataOf(full), 'tls.key': null }],
    ['no base64 of PEM', { ...secretDataOf(full), 'ca.crt': '////' }],
    ['the key of another one', { ...secretDataOf(full), 'ca.key': secretDataOf(full)['tls.key'] }],
  ])('with %s counts as empty', (_, data) => {
    expect(stateOfSecret(data)).toBeNull();
  });

  it.each([
    ['of another kind of key', ['-newkey', 'ed25519', '-subj', '/CN=ours']],
    ['of RSA', ['-newkey', 'rsa:2048', '-subj', '/CN=ours']],
    ['of a name of several parts', [...P256, '-subj', '/O=us/CN=ours']],
    ['that may not sign', [...P256, '-subj', '/CN=ours', '-addext', 'basicConstraints=CA:FALSE']],
  ])('with an authority %s counts as empty', (_, flags) => {
    const folder = mkdtempSync(join(tmpdir(), 'sallyport-certificates-'));
    try {
      const [key, certificate] = [join(folder, 'key'), join(folder, 'crt')];
      const files = ['-nodes', '-keyout', key, '-out', certificate];
      execFileSync('openssl', ['req', '-x509', ...flags, ...files], { stdio: 'pipe' });
      const data = {
        ...secretDataOf(full),
        'ca.crt': readFileSync(certificate).toString('base64'),
        'ca.key': readFileSync(key).toString('base64'),
      };
      expect(stateOfSecret(data)).toBeNull();
      const next = { 'next-ca.crt': data['ca.crt'], 'next-ca.key': data['ca.key'] };
      expect(stateOfSecret({ ...secretDataOf(full), ...next })?.next).toBeNull();
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

describe('renewal', () => {
  it.each([0, -HOUR / 2, HOUR / 2])(
    'over three years, one clock %i ms off: each served certificate is valid and trusted',
    (skew) => {
      let stored: CertificateState | null = null;
      // What API servers were told, and what they know: some time later.
      const told: { readonly atMs: number; readonly bundle: string }[] = [];
      const did = new Map<string, number>();
      // Replicas: one reads each minute what is stored, the other a while later.
      const served: (CertificateState | null)[] = [null, null];
      for (let nowMs = START; nowMs < START + 3 * 365 * DAY; nowMs += DAY) {
        for (const [replica, offset] of [0, skew].entries()) {
          for (let round = 0; round < 3; round++) {
            const atMs: number = nowMs + replica * 1000 + round * 15 * 60_000;
            const trusted: string = told.at(-1)?.bundle ?? '';
            const step = nextStep(stored, surroundings(atMs + offset, trusted));
            stored = step?.state ?? stored;
            if (step !== null) did.set(step.did, (did.get(step.did) ?? 0) + 1);
            const bundle = bundleOf(stored as CertificateState);
            if (bundle !== trusted) told.push({ atMs, bundle });
            served[replica] = stored;
          }
        }
        const known = told.findLast(({ atMs }) => atMs <= nowMs + 40 * 60_000);
        for (const state of served) {
          const certificate = new X509Certificate((state as CertificateState).server.certificate);
          expect(certificate.validFromDate.getTime()).toBeLessThanOrEqual(nowMs + HOUR / 2);
          expect(certificate.validToDate.getTime()).toBeGreaterThan(nowMs + DAY);
          expect(isTrusted(certificate, known?.bundle ?? '')).toBe(true);
        }
      }
      expect(did.get('made an authority and a certificate')).toBe(1);
      expect(did.get('the old authority is no longer trusted')).toBeGreaterThan(2);
    },
    // Thousands of signatures are verified.
    240_000,
  );

  it('does not sign by an authority that API servers have not been told of', () => {
    let state = nextStep(null, surroundings(START, ''))?.state as CertificateState;
    const before = bundleOf(state);
    const late = START + 300 * DAY;
    for (let round = 0; round < 10; round++) {
      state = nextStep(state, surroundings(late + round * HOUR, before))?.state ?? state;
    }
    expect(state.next).not.toBeNull();
    expect(isTrusted(new X509Certificate(state.server.certificate), before)).toBe(true);
  });

  it('replaces what a clock made that was far ahead, as API servers do not take it yet', () => {
    const state = nextStep(null, surroundings(START + 2 * DAY, ''))?.state as CertificateState;
    const mended = nextStep(state, surroundings(START, bundleOf(state)))?.state as CertificateState;
    for (const { certificate } of [mended.ca, mended.server]) {
      expect(new X509Certificate(certificate).validFromDate.getTime()).toBeLessThan(START);
    }
    // To the clock that is ahead they are as good.
    expect(nextStep(mended, surroundings(START + 2 * DAY, bundleOf(mended)))).toBeNull();
  });

  it('takes up other names at once', () => {
    const state = nextStep(null, surroundings(START, ''))?.state as CertificateState;
    const now = { ...surroundings(START, bundleOf(state)), hosts: ['other.test'] };
    const step = nextStep(state, now);
    expect(new X509Certificate(step?.state.server.certificate ?? '').checkHost('other.test')).toBe(
      'other.test',
    );
  });
});

function surroundings(nowMs: number, trusted: string): Parameters<typeof nextStep>[1] {
  return { nowMs, times: CERTIFICATE_TIMES, hosts: HOSTS, trusted };
}

function isTrusted(certificate: X509Certificate, bundle: string): boolean {
  return bundle
    .split(/(?<=-----END CERTIFICATE-----\n)/)
    .filter((text) => text !== '')
    .some((text) => certificate.verify(new X509Certificate(text).publicKey));
}
