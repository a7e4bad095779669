import { expect, it } from 'vitest';
import { PlainServers } from '../../../src/proxy/dns/plain_servers.ts';
import { address } from '../../support/plane_rig.ts';

it('servers without letters are remembered for ten minutes, the last thousand or so', () => {
  const servers = new PlainServers();
  const one = address('10.0.0.1:53');
  servers.add(one, 0);
  expect(servers.has(one, 599_999)).toBe(true);
  expect(servers.has(address('10.0.0.1:54'), 0)).toBe(false);
  expect(servers.has(one, 600_000)).toBe(false);
  servers.add(one, 0);
  for (let port = 1; port <= 1024; port++) servers.add(address(`10.0.0.2:${port}`), 0);
  expect(servers.has(one, 0)).toBe(false);
  expect(servers.has(address('10.0.0.2:1'), 0)).toBe(true);
  expect(servers.has(address('10.0.0.2:1024'), 0)).toBe(true);
});
