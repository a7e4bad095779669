/** Client certificates, signed by a CA that the API server trusts. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

export interface ClientCertificate {
  readonly certPath: string;
  readonly keyPath: string;
}

export class CertificateAuthority {
  readonly caPath: string;
  readonly #folder: string;
  #made = 0;

  constructor(folder: string) {
    this.#folder = folder;
    this.caPath = join(folder, 'client-ca.crt');
    const keyPath = join(folder, 'client-ca.key');
    openssl([
      ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'],
      ...['-days', '2', '-subj', '/CN=test-client-ca', '-keyout', keyPath, '-out', this.caPath],
    ]);
  }

  /** The API server knows its holder as `user`, a member of `groups`. */
  issue(user: string, groups: readonly string[] = []): ClientCertificate {
    this.#made += 1;
    const base = join(this.#folder, `client-${this.#made}`);
    const certPath = `${base}.crt`;
    const keyPath = `${base}.key`;
    const subject = `${groups.map((group) => `/O=${group}`).join('')}/CN=${user}`;
    openssl([
      ...['req', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'],
      ...['-subj', subject, '-keyout', keyPath, '-out', `${base}.csr`],
    ]);
    openssl([
      ...[
        'x509',
        '-req',
        '-in',
        `${base}.csr`,
        '-CA',
        this.caPath,
        '-CAcreateserial',
        '-days',
        '1',
      ],
      ...['-CAkey', join(this.#folder, 'client-ca.key'), '-out', certPath],
    ]);
    return { certPath, keyPath };
  }
}

/** Base64, as a kubeconfig has it in one line. */
export function inlineFile(path: string): string {
  return readFileSync(path).toString('base64');
}

function openssl(args: readonly string[]): void {
  execFileSync('openssl', args, { stdio: ['ignore', 'ignore', 'pipe'] });
}
