import { describe, expect, it } from 'vitest';
import { environmentProxy } from '../../../src/kube/access/environment_proxy.ts';

const PROXY = 'http://proxy:3128/';

function proxyOf(server: string, env: Readonly<Record<string, string>>): string | null {
  const result = environmentProxy(new URL(server), env);
  return result.kind === 'error' ? result.message : (result.proxy?.href ?? null);
}

describe('the proxy of the environment', () => {
  it.each([
    ['https://api.example', { HTTPS_PROXY: PROXY }, PROXY],
    ['https://api.example', { https_proxy: 'proxy:3128' }, PROXY],
    ['https://api.example', { HTTP_PROXY: PROXY }, null],
    ['http://api.example', { HTTP_PROXY: PROXY }, PROXY],
    ['https://api.example', { HTTPS_PROXY: 'socks5://p:1080' }, 'socks5://p:1080'],
    [
      'https://api.example',
      { HTTPS_PROXY: 'ftp://joe:secret@p' },
      'HTTPS_PROXY is no URL of a proxy',
    ],
    ['https://127.0.0.1:6443', { HTTPS_PROXY: PROXY }, null],
    ['https://[::1]:6443', { HTTPS_PROXY: PROXY }, null],
    ['https://localhost:6443', { HTTPS_PROXY: PROXY }, null],
  ])('for %s of %j', (server, env, expected) => {
    expect(proxyOf(server, env)).toBe(expected);
  });

  it.each([
    ['*', 'https://api.example', null],
    ['example', 'https://api.example', null],
    ['.example', 'https://api.example', null],
    ['*.example', 'https://api.example', null],
    ['api.example', 'https://api.example', null],
    ['API.Example', 'https://api.example', null],
    ['.api.example', 'https://api.example', PROXY],
    ['i.example', 'https://api.example', PROXY],
    ['other, api.example:6443', 'https://api.example:6443', null],
    ['api.example:443', 'https://api.example:6443', PROXY],
    ['10.0.0.0/8', 'https://10.1.2.3', null],
    ['10.0.0.0/8', 'https://11.1.2.3', PROXY],
    ['10.0.0.0/x', 'https://10.1.2.3', PROXY],
    ['10.1.2.3', 'https://10.1.2.3', null],
    ['.1.2.3', 'https://10.1.2.3', PROXY],
    ['fd00::/8', 'https://[fd00::1]', null],
    ['[fd00::1]:443', 'https://[fd00::1]', null],
    ['', 'https://api.example', PROXY],
  ])('is not used if NO_PROXY is %j: %s', (noProxy, server, expected) => {
    expect(proxyOf(server, { HTTPS_PROXY: PROXY, NO_PROXY: noProxy })).toBe(expected);
  });
});
