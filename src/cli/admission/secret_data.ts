/** The certificates as `data` of a Secret, in base64. */
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { isOwnAuthority, type KeyPair } from './certificate.ts';
import type { CertificateState } from './certificate_state.ts';
import { isRecord } from './review.ts';

/** `null` takes an entry away, in a merge patch. */
export type SecretData = Readonly<Record<string, string | null>>;

export function secretDataOf({ ca, next, old, server }: CertificateState): SecretData {
  return {
    'tls.crt': encoded(server.certificate),
    'tls.key': encoded(server.key),
    'ca.crt': encoded(ca.certificate),
    'ca.key': encoded(ca.key),
    'next-ca.crt': next === null ? null : encoded(next.certificate),
    'next-ca.key': next === null ? null : encoded(next.key),
    'old-ca.crt': old === null ? null : encoded(old),
  };
}

/**
 * Null: there is none yet, or it is damaged, which comes to the same. So does an authority of somebody else, by which
 * we could not sign: it may have another kind of key, or a name of several parts.
 */
export function stateOfSecret(data: unknown): CertificateState | null {
  if (!isRecord(data)) return null;
  const server = pairOf(data, 'tls');
  const ca = pairOf(data, 'ca');
  const old = decoded(data['old-ca.crt']);
  if (server === null || ca === null || !isOwnAuthority(ca.certificate)) return null;
  const next = pairOf(data, 'next-ca');
  return {
    ca,
    next: next !== null && isOwnAuthority(next.certificate) ? next : null,
    old: old !== null && isCertificate(old) ? old : null,
    server,
  };
}

function pairOf(data: Readonly<Record<string, unknown>>, name: string): KeyPair | null {
  const certificate = decoded(data[`${name}.crt`]);
  const key = decoded(data[`${name}.key`]);
  if (certificate === null || key === null) return null;
  try {
    const isPair = new X509Certificate(certificate).checkPrivateKey(createPrivateKey(key));
    return isPair ? { certificate, key } : null;
  } catch {
    return null;
  }
}

function isCertificate(text: string): boolean {
  try {
    return new X509Certificate(text).ca;
  } catch {
    return false;
  }
}

function decoded(value: unknown): string | null {
  return typeof value === 'string' ? Buffer.from(value, 'base64').toString('utf8') : null;
}

function encoded(text: string): string {
  return Buffer.from(text, 'utf8').toString('base64');
}
