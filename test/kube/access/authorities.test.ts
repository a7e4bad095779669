/** Whom a kubeconfig or a pod trusts, by hash: keys count, not how and in which certificates they are written down. */
import { execFileSync } from 'node:child_process';
import { createHash, X509Certificate } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { rootCertificates } from 'node:tls';
import { afterAll, describe, expect, it } from 'vitest';
import { trustedAuthorities } from '../../../src/kube/access/authorities.ts';
import { FileText, fixedText } from '../../../src/kube/access/reread_text.ts';
import { ManualPlatform } from '../../support/manual_platform.ts';

const folder = mkdtempSync(join(tmpdir(), 'kube-authorities-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const [one = '', two = ''] = rootCertificates;

function hashOf(pem: string): string {
  const key = new X509Certificate(pem).publicKey.export({ type: 'spki', format: 'der' });
  return createHash('sha256').update(key).digest('hex');
}

function certificateOf(keyPath: string, days: number): string {
  const made = ['req', '-x509', '-key', keyPath, '-subj', '/CN=kubernetes', '-days', String(days)];
  return execFileSync('openssl', made, { encoding: 'utf8' });
}

function hashesOf(pem: string): readonly string[] {
  const found = trustedAuthorities({ authorities: fixedText(pem) });
  if (found.kind === 'error') throw new Error(found.message);
  return found.hashes;
}

describe('authorities', () => {
  it.each([
    ['one', one],
    ['with text before and behind', `# ours\nSubject: CN = x\n${one}\n# end\n`],
    ['with lines as in Windows', one.replaceAll('\n', '\r\n')],
    ['in lines of another length', one.replaceAll(/(.{64})\n(?=[A-Za-z0-9+/=])/g, '$1')],
    ['twice', `${one}\n${one}`],
    ['by its older label', one.replaceAll('CERTIFICATE', 'X509 CERTIFICATE')],
  ])('are the hashes of certificates: %s', (_about, pem) => {
    expect(hashesOf(pem)).toEqual([hashOf(one)]);
  });

  it('of a bundle are each one’s, in whatever order they stand', () => {
    const both = [hashOf(one), hashOf(two)].sort();
    expect(hashesOf(`${one}\n${two}`)).toEqual(both);
    expect(hashesOf(`${two}\n${one}`)).toEqual(both);
  });

  it('that renew their certificate with their key stay the same', () => {
    const keyPath = join(folder, 'ca.key');
    const kind = ['genpkey', '-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-256'];
    execFileSync('openssl', [...kind, '-out', keyPath]);
    const [before, after] = [certificateOf(keyPath, 10), certificateOf(keyPath, 3650)];
    expect(after).not.toBe(before);
    expect(hashesOf(after)).toEqual(hashesOf(before));
  });

  it.each(['AAAA', ''])('are not what has only the form of a certificate: "%s"', (text) => {
    const forged = `-----BEGIN CERTIFICATE-----\n${text}\n-----END CERTIFICATE-----\n`;
    expect(hashesOf(`${forged}${one}`)).toEqual([hashOf(one)]);
    expect(trustedAuthorities({ authorities: fixedText(forged) }).kind).toBe('error');
  });

  it('that nobody names are none; a text without any is an error', () => {
    expect(trustedAuthorities({ authorities: null })).toEqual({ kind: 'authorities', hashes: [] });
    expect(trustedAuthorities({ authorities: fixedText('hello') }).kind).toBe('error');
  });

  it('in a file are those that it has now; while it is away, those that were read last', async () => {
    const path = join(folder, 'ca.crt');
    const authorities = new FileText(path, new ManualPlatform().clock);
    expect(trustedAuthorities({ authorities })).toEqual({
      kind: 'error',
      message: `${path}: no such file`,
    });
    writeFileSync(path, one);
    await authorities.current();
    writeFileSync(path, two);
    expect(trustedAuthorities({ authorities })).toMatchObject({ hashes: [hashOf(two)] });
    rmSync(path);
    expect(trustedAuthorities({ authorities })).toMatchObject({ hashes: [hashOf(one)] });
  });
});
