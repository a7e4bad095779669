/**
 * Who is trusted to vouch for the API server, by the hash of his key. A cluster has authorities of its own, while the
 * URLs by which pods ask API servers are alike in all clusters. A certificate that was renewed with its key is of the same
 * authority: what it signed before is good, so nobody keeps the old one beside it.
 */
import { createHash, X509Certificate } from 'node:crypto';
import type { Trust } from './access.ts';

export type TrustedAuthorities =
  /** SHA-256 of the key of each (SubjectPublicKeyInfo), sorted. None: those that the runtime knows, or nobody is asked for a certificate. */
  | { readonly kind: 'authorities'; readonly hashes: readonly string[] }
  | { readonly kind: 'error'; readonly message: string };

/** As they are at this moment: they may be replaced while we run. */
export function trustedAuthorities({
  authorities,
}: Pick<Trust, 'authorities'>): TrustedAuthorities {
  if (authorities === null) return { kind: 'authorities', hashes: [] };
  const read = authorities.now();
  if (read.kind === 'error') return read;
  const hashes = keyHashes(read.text);
  if (hashes.length > 0) return { kind: 'authorities', hashes };
  return { kind: 'error', message: 'the certificate authority has no certificate in PEM' };
}

/** RFC 7468, with the older labels that OpenSSL takes, too. */
const CERTIFICATE =
  /-----BEGIN (?:X509 |TRUSTED )?CERTIFICATE-----[^-]*-----END (?:X509 |TRUSTED )?CERTIFICATE-----/g;

function keyHashes(pem: string): readonly string[] {
  const keys = [...pem.matchAll(CERTIFICATE)].map(([block]) => keyOf(block));
  const hashes = keys.flatMap((key) =>
    key === null ? [] : createHash('sha256').update(key).digest('hex'),
  );
  return [...new Set(hashes)].sort();
}

/** Null: it is no certificate, and vouches for nothing. */
function keyOf(pem: string): Buffer | null {
  try {
    return new X509Certificate(pem).publicKey.export({ type: 'spki', format: 'der' });
  } catch {
    return null;
  }
}
