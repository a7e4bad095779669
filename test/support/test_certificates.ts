/** Authorities and what they have signed, as PEM, made by openssl. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface KeyPair {
  readonly cert: string;
  readonly key: string;
}

export class TestAuthority {
  readonly cert: string;
  readonly #key: string;

  constructor(name: string) {
    const made = inFolder((folder) => {
      openssl(folder, [...NEW_KEY, '-x509', '-subj', `/CN=${name}`, '-out', 'it.crt']);
      return pairIn(folder);
    });
    this.cert = made.cert;
    this.#key = made.key;
  }

  /** `names`: "DNS:api.example", "IP:127.0.0.1"; none of a client. */
  issue(commonName: string, names: readonly string[] = []): KeyPair {
    return inFolder((folder) => {
      writeFileSync(join(folder, 'ca.crt'), this.cert);
      writeFileSync(join(folder, 'ca.key'), this.#key);
      const extensions = names.length === 0 ? '' : `subjectAltName=${names.join(',')}\n`;
      writeFileSync(join(folder, 'ext'), extensions);
      openssl(folder, [...NEW_KEY, '-subj', `/CN=${commonName}`, '-out', 'it.csr']);
      const sign = ['x509', '-req', '-in', 'it.csr', '-CA', 'ca.crt', '-CAkey', 'ca.key'];
      openssl(folder, [
        ...sign,
        '-set_serial',
        '7',
        '-days',
        '2',
        '-extfile',
        'ext',
        '-out',
        'it.crt',
      ]);
      return pairIn(folder);
    });
  }
}

const NEW_KEY = [
  ...['req', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'],
  ...['-keyout', 'it.key', '-days', '2'],
];

function inFolder<T>(task: (folder: string) => T): T {
  const folder = mkdtempSync(join(tmpdir(), 'test-certificates-'));
  try {
    return task(folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function pairIn(folder: string): KeyPair {
  const read = (name: string): string => readFileSync(join(folder, name), 'utf8');
  return { cert: read('it.crt'), key: read('it.key') };
}

function openssl(folder: string, args: readonly string[]): void {
  execFileSync('openssl', args, { cwd: folder, stdio: ['ignore', 'ignore', 'pipe'] });
}
