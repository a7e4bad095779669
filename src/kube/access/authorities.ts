/**
 * Who is trusted to vouch for the API server, by hash. A cluster has authorities of its own, while the URLs by which pods
 * ask API servers are alike in all clusters.
 */
import { createHash } from 'node:crypto';
import type { Trust } from './access.ts';

export type TrustedAuthorities =
  /** SHA-256 of each certificate, sorted. None: those that the runtime knows, or nobody is asked for a certificate. */
  | { readonly kind: 'authorities'; readonly hashes: readonly string[] }
  | { readonly kind: 'error'; readonly message: string };

/** As they are at this moment: they may be replaced while we run. */
export function trustedAuthorities({
  authorities,
}: Pick<Trust, 'authorities'>): TrustedAuthorities {
  if (authorities === null) return { kind: 'authorities', hashes: [] };
  const read = authorities.now();
  if (read.kind === 'error') return read;
  const hashes = certificateHashes(read.text);
  if (hashes.length > 0) return { kind: 'authorities', hashes };
  return { kind: 'error', message: 'the certificate authority has no certificate in PEM' };
}

/** RFC 7468, with the older labels that OpenSSL takes, too. */
const CERTIFICATE =
  /-----BEGIN (?:X509 |TRUSTED )?CERTIFICATE-----([^-]*)-----END (?:X509 |TRUSTED )?CERTIFICATE-----/g;

function certificateHashes(pem: string): readonly string[] {
  const hashes = [...pem.matchAll(CERTIFICATE)].map(([, base64 = '']) =>
    createHash('sha256').update(Buffer.from(base64, 'base64')).digest('hex'),
  );
  return [...new Set(hashes)].sort();
}
