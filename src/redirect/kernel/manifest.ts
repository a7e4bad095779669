/** What `npm run build:bpf` says about its object; an object without it, or of another, is not loaded. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';

export interface ObjectManifest {
  /** SHA-256 of the object, and of the sources that it was made of. */
  readonly object: string;
  readonly sources: string;
  readonly layoutVersion: number;
  readonly compiler: string;
}

export function checkObject(objectPath: string, layoutVersion: number): ObjectManifest {
  const object = readOrTell(objectPath);
  const manifest = JSON.parse(readOrTell(`${objectPath}.json`).toString('utf8')) as ObjectManifest;
  const digest = createHash('sha256').update(object).digest('hex');
  if (digest !== manifest.object)
    throw new Error(`${objectPath} is not what its manifest describes (${digest})`);
  if (manifest.layoutVersion !== layoutVersion)
    throw new Error(
      `${objectPath} has layout ${manifest.layoutVersion}, this Sallyport has ${layoutVersion}: npm run build:bpf`,
    );
  return manifest;
}

function readOrTell(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    throw new Error(`${path} cannot be read: are the kernel programs built (npm run build:bpf)?`, {
      cause: error,
    });
  }
}
