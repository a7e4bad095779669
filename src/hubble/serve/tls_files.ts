/** Certificates from files, read again when they change. What cannot be read leaves in force what was. */
import { readFileSync, statSync } from 'node:fs';
import { createSecureContext } from 'node:tls';
import { ServerCredentials } from '@grpc/grpc-js';

export interface TlsFiles {
  readonly cert: string;
  readonly key: string;
  /** Who may connect: whoever has a certificate of one of these. */
  readonly clientCa: string;
}

export class TlsCredentials {
  readonly #files: TlsFiles;
  readonly #onProblem: (problem: string) => void;
  #stamp = '';
  #credentials: ServerCredentials;

  /** Throws when the files cannot be read at first. */
  constructor(files: TlsFiles, onProblem: (problem: string) => void) {
    this.#files = files;
    this.#onProblem = onProblem;
    this.#stamp = stampOf(files);
    this.#credentials = read(files);
  }

  /** The same object while the files stay. */
  current(): ServerCredentials {
    const stamp = stampOf(this.#files);
    if (stamp === this.#stamp) return this.#credentials;
    this.#stamp = stamp;
    try {
      this.#credentials = read(this.#files);
    } catch (error) {
      this.#onProblem(error instanceof Error ? error.message : String(error));
    }
    return this.#credentials;
  }
}

function read({ cert, key, clientCa }: TlsFiles): ServerCredentials {
  const pair = { cert_chain: readFileSync(cert), private_key: readFileSync(key) };
  const ca = readFileSync(clientCa);
  // Throws for a key that is not of the certificate, before anybody connects.
  createSecureContext({ cert: pair.cert_chain, key: pair.private_key, ca });
  return ServerCredentials.createSsl(ca, [pair], true);
}

/** A file that is being replaced may be absent for a moment. */
function stampOf({ cert, key, clientCa }: TlsFiles): string {
  return [cert, key, clientCa]
    .map((path) => {
      const stat = statSync(path, { throwIfNoEntry: false });
      return `${stat?.mtimeMs} ${stat?.size} ${stat?.ino}`;
    })
    .join(' ');
}
