/**
 * X.509 certificates of one form (RFC 5280): P-256 keys, an authority of our own and what it signs for a server. The
 * runtime makes keys and signatures; what is left is to lay out the fields in DER. A library for all of X.509 brings a
 * dozen packages for it.
 */
import {
  createHash,
  createPrivateKey,
  generateKeyPairSync,
  randomBytes,
  sign,
  X509Certificate,
} from 'node:crypto';
import { isIP } from 'node:net';
import {
  bits,
  bytesOf,
  choice,
  integer,
  octets,
  oid,
  sequence,
  set,
  time,
  utf8,
  wrap,
} from './der.ts';

/** Both in PEM. */
export interface KeyPair {
  readonly certificate: string;
  readonly key: string;
}

export interface Validity {
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
}

const ECDSA_WITH_SHA256 = sequence(oid('1.2.840.10045.4.3.2'));
const COMMON_NAME = '2.5.4.3';
const SUBJECT_KEY = '2.5.29.14';
const KEY_USAGE = '2.5.29.15';
const ALTERNATIVE_NAMES = '2.5.29.17';
const CONSTRAINTS = '2.5.29.19';
const AUTHORITY_KEY = '2.5.29.35';
const EXTENDED_USAGE = '2.5.29.37';
const SERVER_AUTH = '1.3.6.1.5.5.7.3.1';
const SERIAL_BYTES = 16;
/** Bits from the left: digitalSignature is 0, keyCertSign 5. */
const MAY_SIGN = bits(0x80, 7);
const MAY_CERTIFY = bits(0x04, 2);

/** Each has a name of its own, so that two of them stand in one bundle and are told apart. */
export function issueAuthority(name: string, validity: Validity): KeyPair {
  const { key, publicKey } = newKey();
  const subject = nameOf(`${name} ${randomBytes(4).toString('hex')}`);
  const certificate = certificateOf(
    {
      subject,
      publicKey,
      validity,
      extensions: [
        extension(CONSTRAINTS, sequence(bytesOf(0x01, [0xff]), integer(Buffer.from([0]))), true),
        extension(KEY_USAGE, MAY_CERTIFY, true),
        extension(SUBJECT_KEY, octets(keyIdOf(publicKey))),
      ],
    },
    { issuer: subject, key },
  );
  return { certificate, key };
}

/** Of the form that `issueServer` signs by, and nothing but one certificate. */
export function isOwnAuthority(certificate: string): boolean {
  const parsed = new X509Certificate(certificate);
  return (
    parsed.ca &&
    parsed.publicKey.asymmetricKeyDetails?.namedCurve === 'prime256v1' &&
    /^CN=[A-Za-z0-9 ]+$/.test(parsed.subject) &&
    pem(parsed.raw) === certificate
  );
}

/** `hosts`: names and addresses by which clients know the server. */
export function issueServer(
  authority: KeyPair,
  hosts: readonly string[],
  validity: Validity,
): KeyPair {
  const { key, publicKey } = newKey();
  const parsed = new X509Certificate(authority.certificate);
  const authorityKey = parsed.publicKey.export({ type: 'spki', format: 'der' });
  const certificate = certificateOf(
    {
      // Its last part may be longer than a name may be; nobody reads it beside the extension.
      subject: nameOf('sallyport admission'),
      publicKey,
      validity,
      extensions: [
        extension(CONSTRAINTS, sequence(), true),
        extension(KEY_USAGE, MAY_SIGN, true),
        extension(EXTENDED_USAGE, sequence(oid(SERVER_AUTH))),
        extension(AUTHORITY_KEY, sequence(choice(0, keyIdOf(authorityKey)))),
        extension(ALTERNATIVE_NAMES, sequence(...hosts.map(hostOf))),
      ],
    },
    { issuer: subjectOf(parsed), key: authority.key },
  );
  return { certificate, key };
}

interface Body {
  readonly subject: Buffer;
  /** SubjectPublicKeyInfo. */
  readonly publicKey: Buffer;
  readonly validity: Validity;
  readonly extensions: readonly Buffer[];
}

function certificateOf(
  { subject, publicKey, validity, extensions }: Body,
  by: { readonly issuer: Buffer; readonly key: string },
): string {
  const serial = randomBytes(SERIAL_BYTES);
  // Positive, and not shorter than it looks.
  serial[0] = ((serial[0] ?? 0) & 0x3f) | 0x40;
  const body = sequence(
    wrap(0, integer(Buffer.from([2]))),
    integer(serial),
    ECDSA_WITH_SHA256,
    by.issuer,
    sequence(time(validity.notBeforeMs), time(validity.notAfterMs)),
    subject,
    publicKey,
    wrap(3, sequence(...extensions)),
  );
  const signature = sign('sha256', body, createPrivateKey(by.key));
  return pem(sequence(body, ECDSA_WITH_SHA256, bits(signature, 0)));
}

function newKey(): { readonly key: string; readonly publicKey: Buffer } {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return {
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }) as string,
    publicKey: publicKey.export({ type: 'spki', format: 'der' }),
  };
}

function nameOf(commonName: string): Buffer {
  return sequence(set(sequence(oid(COMMON_NAME), utf8(commonName))));
}

/** Of a certificate of ours, which has a common name and no other part. */
function subjectOf(certificate: X509Certificate): Buffer {
  return nameOf(certificate.subject.replace(/^CN=/, ''));
}

function keyIdOf(publicKey: Buffer): Buffer {
  return createHash('sha256').update(publicKey).digest().subarray(0, 20);
}

function extension(id: string, value: Buffer, isCritical = false): Buffer {
  const critical = isCritical ? [bytesOf(0x01, [0xff])] : [];
  return sequence(oid(id), ...critical, octets(value));
}

function hostOf(host: string): Buffer {
  return isIP(host) === 0 ? choice(2, Buffer.from(host, 'latin1')) : choice(7, addressBytes(host));
}

function addressBytes(address: string): Buffer {
  if (isIP(address) === 4) return Buffer.from(address.split('.').map(Number));
  const [head = '', tail] = address.split('::', 2);
  const groups = (text: string): string[] => (text === '' ? [] : text.split(':'));
  const [before, after] = [groups(head), groups(tail ?? '')];
  const zeros = Array.from({ length: 8 - before.length - after.length }, () => '0');
  const all = tail === undefined ? before : [...before, ...zeros, ...after];
  return Buffer.from(all.map((group) => group.padStart(4, '0')).join(''), 'hex');
}

function pem(der: Buffer): string {
  const lines = der.toString('base64').match(/.{1,64}/g) ?? [];
  return `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`;
}
